"""deploy/postgres/roles.sh on a real PostgreSQL: one role migrates, the other one works and may change no table."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from omni_connector.store import settings as table
from omni_connector.store.engine import Database
from tests import postgres

ROOT = Path(__file__).resolve().parents[2]


async def test_the_nodes_role_works_and_changes_no_table(tmp_path: Path) -> None:  # J-12, J-13
    if reason := postgres.missing() or ("" if shutil.which("psql") else "psql is not here"):
        pytest.skip(reason)
    server = postgres.start()
    if not isinstance(server, postgres.LocalServer):
        pytest.skip("roles are made on a server of our own only")
    try:
        subprocess.run(["sh", str(ROOT / "deploy/make-secrets.sh"), str(tmp_path)], check=True, capture_output=True, timeout=30)
        env = {**os.environ, "SECRETS": str(tmp_path), "POSTGRES_USER": "omni", "PGHOST": "127.0.0.1", "PGPORT": str(server.port)}
        script = ["bash", str(ROOT / "deploy/postgres/roles.sh")]
        subprocess.run(script, env={**env, "PGDATABASE": "postgres"}, check=True, capture_output=True, timeout=60)

        def url(name: str) -> str:
            return (tmp_path / name).read_text().strip().replace("@postgres/", f"@127.0.0.1:{server.port}/")

        owner = await Database.open(url("database_owner_url"))
        await owner.migrate()
        await owner.close()
        import asyncpg

        node = await Database.open(url("database_url"))
        await node.migrate()  # nothing to do, so nothing that it may not
        await node.tx(lambda conn: table.set_meta(conn, "test", "written"))
        assert await node.run(lambda conn: table.get_meta(conn, "test")) == "written"
        await node.close()
        conn = await asyncpg.connect(url("database_url"))
        for forbidden in ("CREATE TABLE mine (x int)", "DROP TABLE meta", "ALTER TABLE meta ADD COLUMN x int", "CREATE ROLE other"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(forbidden)
        await conn.close()
    finally:
        server.close()
