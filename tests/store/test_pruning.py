"""Deleting the oldest rows a little at a time, and giving the disk back what they held."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from omni_connector.store import files, pruning
from omni_connector.store.engine import Database
from tests.store.test_requests import START, book, found, opened


async def test_the_oldest_go_in_chunks_and_open_rows_stay(db: Database) -> None:
    ids = await book(db, *((opened(number), {} if number else None) for number in range(10)))

    async def prune(before_ms: int | None = None, up_to: str | None = None, limit: int = 100) -> int:
        rows = await db.run(lambda conn: pruning.oldest(conn, before_ms, up_to, limit))
        return await db.tx(lambda conn: pruning.delete(conn, rows))

    assert await prune() == 0
    assert [await prune(START + 6000, limit=3) for _ in range(3)] == [3, 2, 0]
    last = await db.run(lambda conn: pruning.last_beyond(conn, 2))
    assert await prune(START, last) == 2
    assert await found(db) == [ids[9], ids[8], ids[0]]
    assert await db.run(lambda conn: pruning.last_beyond(conn, 3)) is None


async def test_what_to_delete_is_found_without_reading_the_table(lite: Database) -> None:
    plans: list[str] = []

    def ask(conn: sa.Connection) -> None:
        def explain(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
            rows = conn.connection.cursor()
            rows.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[3] for row in rows.fetchall())

        sa.event.listen(conn, "before_cursor_execute", explain)
        pruning.oldest(conn, START, "req_x")

    await lite.tx(ask)
    assert [plan.split(" ")[0] for plan in plans] == ["SEARCH", "SEARCH"], plans


async def test_a_new_file_shrinks_in_steps(tmp_path: Path) -> None:
    db = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await db.migrate()
    await book(db, *((opened(number), {"error_message": "x" * 3000}) for number in range(400)))
    full = await db.run(pruning.size)
    rows = await db.run(lambda conn: pruning.oldest(conn, START + 10**9, limit=1000))
    await db.tx(lambda conn: pruning.delete(conn, rows))
    emptied = await db.run(pruning.size)
    assert full is not None and emptied is not None
    assert full.shrinks and emptied.file == full.file and emptied.used < full.used / 3
    await db.tx(lambda conn: pruning.give_back(conn, 10))
    stepped = await db.run(pruning.size)
    assert stepped is not None and emptied.file - 12 * 4096 <= stepped.file < emptied.file
    await db.tx(lambda conn: pruning.give_back(conn, 10**6))
    small = await db.run(pruning.size)
    assert small is not None and small.free == 0 and small.file == small.used
    await db.close()
    assert (tmp_path / "omni.db").stat().st_size == small.file


async def test_postgresql_sees_to_its_own_files(db: Database) -> None:
    assert (await db.run(pruning.size) is None) == (db.path is None)


async def test_the_file_of_an_older_release_learns_to_shrink(tmp_path: Path) -> None:
    path = tmp_path / "omni.db"
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("CREATE TABLE a (x)")
        conn.execute("INSERT INTO a VALUES ('kept')")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        assert not files.make_shrinkable(path), "somebody is at work there"
    assert files.make_shrinkable(path)
    assert not files.make_shrinkable(path), "once is enough"
    with contextlib.closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA auto_vacuum").fetchone() == (pruning.INCREMENTAL,)
        assert conn.execute("SELECT x FROM a").fetchone() == ("kept",)


async def test_copies_can_shrink_whatever_they_were_made_of(tmp_path: Path) -> None:
    source, target = tmp_path / "omni.db", tmp_path / "copy.db"
    with contextlib.closing(sqlite3.connect(source)) as conn, conn:
        conn.execute("CREATE TABLE a (x)")
    files.snapshot(source, target)
    with contextlib.closing(sqlite3.connect(target)) as conn:
        assert conn.execute("PRAGMA auto_vacuum").fetchone() == (pruning.INCREMENTAL,)
