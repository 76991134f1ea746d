"""Tries at the dashboard's password: rows of `meta`, so that all workers and nodes count the same ones. A row is a try: its name says from
which network, its value (ms) when it counts no more.
"""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from omni_connector.store.settings import drop_old_meta, set_meta
from omni_connector.store.tables import Big, meta

TRIED = "tried "
LOCK = 0x6F6D6E6C
"""Advisory lock on PostgreSQL ("omnl")."""


def note(conn: sa.Connection, who: str, now: int, most: int, window: int) -> int | None:
    """Counts one more try of the network `who`, before anybody knows whether it is right: None. Or, where there were `most` within the last
    `window` (ms): counts nothing, and returns when (ms) there may be another one."""
    if conn.dialect.name == "postgresql":
        # Those who try at the same moment are counted one after the other; SQLite has one writer anyway.
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))"), {"lock": LOCK & 0x7FFFFFFF, "name": who})
    drop_old_meta(conn, TRIED, now)
    until = sa.cast(meta.c.value, Big)
    # Clocks differ a little; but one that was far ahead must not lock anybody out for as long.
    tried = conn.execute(sa.select(until).where(_of(who), until <= now + 2 * window).order_by(until)).scalars().all()
    if len(tried) >= most:
        return int(tried[-most])
    set_meta(conn, f"{TRIED}{who} {secrets.token_hex(8)}", str(now + window))
    return None


def forget(conn: sa.Connection, who: str) -> None:
    """One of them was right."""
    conn.execute(sa.delete(meta).where(_of(who)))


def _of(who: str) -> sa.ColumnElement[bool]:
    return meta.c.name.startswith(f"{TRIED}{who} ", autoescape=True)
