"""Making room: deleting the oldest rows of the books a little at a time, and giving the file's free pages back to the disk.

What to delete is found in a read, so that the write transaction only deletes: writers wait for that alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.store import rollups
from omni_connector.store.requests import Row
from omni_connector.store.tables import requests as t
from omni_connector.values import dataclass

INCREMENTAL = 2
"""SQLite's number for `auto_vacuum=INCREMENTAL`."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a SQLite file, in bytes: all of it, and what of that is free for new rows. `shrinks`: free pages can be given back."""

    file: int
    free: int
    shrinks: bool

    @property
    def used(self) -> int:
        return self.file - self.free


def size(conn: sa.Connection) -> Size | None:
    """None for PostgreSQL, which sees to its own files."""
    if conn.dialect.name != "sqlite":
        return None
    page, pages, free, mode = (_pragma(conn, name) for name in ("page_size", "page_count", "freelist_count", "auto_vacuum"))
    return Size(page * pages, page * free, mode == INCREMENTAL)


def _pragma(conn: sa.Connection, name: str) -> int:
    return int(conn.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)


def last_beyond(conn: sa.Connection, keep_rows: int) -> str | None:
    """The newest id that is not among the newest `keep_rows`. Reads so many entries of an index: once for a whole pass."""
    found: str | None = conn.execute(sa.select(t.c.id).order_by(t.c.id.desc()).limit(1).offset(max(0, keep_rows))).scalar()
    return found


def oldest(conn: sa.Connection, before_ms: int | None = None, up_to: str | None = None, limit: int = 100) -> list[Row]:
    """The oldest settled rows that began before `before_ms` or have an id up to `up_to`: id and started_at, `limit` at most."""
    query = sa.select(t.c.id, t.c.started_at).where(t.c.state == "settled").limit(limit)
    found: list[Row] = []
    # Each by its own index: asked for both at once, a database reads the whole table where there is nothing to find.
    if before_ms is not None:
        found = [dict(row) for row in conn.execute(query.where(t.c.started_at < before_ms).order_by(t.c.started_at)).mappings()]
    if not found and up_to is not None:
        found = [dict(row) for row in conn.execute(query.where(t.c.id <= up_to).order_by(t.c.id)).mappings()]
    return found


def delete(conn: sa.Connection, rows: Sequence[Row]) -> int:
    """Deletes rows that `oldest` found; returns how many. The hourly sums stay."""
    if not rows:
        return 0
    gone = conn.execute(sa.delete(t).where(t.c.id.in_([row["id"] for row in rows]), t.c.state == "settled")).rowcount
    rollups.rows_gone(conn, max(row["started_at"] for row in rows))
    return gone


def give_back(conn: sa.Connection, pages: int) -> None:
    """Up to so many free pages of the file go back to the disk (`Size.shrinks`). Alone in its transaction."""
    driver: Any = conn.connection.dbapi_connection
    # As a script: each page is a step of the statement, of which Python's driver takes only the first where no column is told.
    driver.executescript(f"PRAGMA incremental_vacuum({int(pages)})")
