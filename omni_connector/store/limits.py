"""Limits of the installation, of providers and of models. Accounts and keys carry their own in their rows."""

from __future__ import annotations

import sqlalchemy as sa

from omni_connector.snapshot import Limit
from omni_connector.store.settings import bump_config
from omni_connector.store.tables import decode, encode, upsert
from omni_connector.store.tables import limits as t


def list_limits(conn: sa.Connection) -> tuple[Limit, ...]:
    """In order of scope and subject."""
    rows = conn.execute(sa.select(t).order_by(t.c.scope, t.c.subject)).mappings()
    return tuple(Limit(**{**row, "budget": decode(row["budget"])}) for row in rows)


def put(conn: sa.Connection, limit: Limit) -> None:
    """Sets the limit of its scope and subject as a whole."""
    values = {"budget": encode(limit.budget), "rpm": limit.rpm, "tpm": limit.tpm, "max_in_flight": limit.max_in_flight}
    row = {"scope": limit.scope, "subject": limit.subject, **values, "updated_at": limit.updated_at}
    upsert(conn, t, [row], ["scope", "subject"], [*values, "updated_at"])
    bump_config(conn)


def delete(conn: sa.Connection, scope: str, subject: str) -> bool:
    gone = conn.execute(sa.delete(t).where(t.c.scope == scope, t.c.subject == subject)).rowcount > 0
    if gone:
        bump_config(conn)
    return gone
