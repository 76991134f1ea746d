from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from omni_connector.store import compare
from omni_connector.store.files import DatabaseError


def database(path: Path, **ids: tuple[str, ...]) -> Path:
    with closing(sqlite3.connect(path)) as conn:
        for table in compare.TABLES:
            conn.execute(f"CREATE TABLE {table} (id TEXT PRIMARY KEY)")
            conn.executemany(f"INSERT INTO {table} VALUES (?)", [(one,) for one in ids.get(table, ())])
        conn.commit()
    return path


def test_rows_that_the_copy_has_not_are_counted(tmp_path: Path) -> None:
    now = database(tmp_path / "now.db", accounts=("a", "b"), requests=("1", "2", "3"))
    then = database(tmp_path / "then.db", accounts=("a", "gone"), requests=("1",))
    assert compare.since(now, then) == {"accounts": 1, "keys": 0, "requests": 2}
    with pytest.raises(DatabaseError, match="cannot be compared"):
        compare.since(tmp_path / "empty.db", then)
