"""What a database holds that an older copy of it does not: read before the copy takes its place."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path

from omni_connector.store.files import DatabaseError

TABLES: Mapping[str, str] = {"accounts": "accounts", "client_keys": "keys", "requests": "requests"}
"""Table whose rows are counted → how they are called."""


def since(database: Path, copy: Path) -> dict[str, int]:
    """Name → rows of `database` that `copy` has not. Both are only read. Raises DatabaseError."""
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=10, isolation_level=None)) as conn:
            conn.execute("ATTACH DATABASE ? AS old", (str(copy),))
            return {
                name: int(conn.execute(f"SELECT count(*) FROM main.{table} WHERE id NOT IN (SELECT id FROM old.{table})").fetchone()[0])  # noqa: S608
                for table, name in TABLES.items()
            }
    except sqlite3.Error as error:
        raise DatabaseError(f"{database} and {copy} cannot be compared ({error}).") from error
