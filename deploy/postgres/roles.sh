#!/bin/bash
# Runs once, when the database is made: one role owns the tables, the other one works with them (docs/postgresql.md, "Rights").
set -eu

password_of() { sed -E 's#^postgresql://[^:]+:([^@]+)@.*#\1#' "${SECRETS:-/run/secrets}/$1"; }

psql --set ON_ERROR_STOP=1 --quiet --username "${POSTGRES_USER:-postgres}" \
  --set owner_password="$(password_of database_owner_url)" --set app_password="$(password_of database_url)" <<'SQL'
CREATE ROLE omni_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE omni_app LOGIN PASSWORD :'app_password';
CREATE DATABASE omni OWNER omni_owner;
\connect omni
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO omni_owner;
GRANT USAGE ON SCHEMA public TO omni_app;
ALTER DEFAULT PRIVILEGES FOR ROLE omni_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO omni_app;
SQL
