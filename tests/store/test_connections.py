"""A unit of work runs whole in the thread of its connection: one trip, whatever it does."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.store import connections
from omni_connector.store.connections import CHANGED, FileConnections

WORK = "CREATE TABLE IF NOT EXISTS t (n INTEGER)"


def _insert(conn: sa.Connection) -> str:
    conn.exec_driver_sql(WORK)
    conn.exec_driver_sql("INSERT INTO t VALUES (1)")
    return threading.current_thread().name


def _count(conn: sa.Connection) -> int:
    return conn.exec_driver_sql("SELECT count(*) FROM t").scalar_one()


async def test_work_is_done_in_one_thread_and_whole_or_not_at_all(tmp_path: Path) -> None:
    lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", ("PRAGMA journal_mode=WAL",), 1)
    first, changed = await lines.work(_insert, commit=True)
    second, _ = await lines.work(_insert, commit=True)
    assert first == second != threading.current_thread().name and changed is False

    def fails(conn: sa.Connection) -> None:
        _insert(conn)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await lines.work(fails, commit=True)
    await lines.work(_insert, commit=False)  # read only: nothing stays
    assert (await lines.work(_count, commit=False))[0] == 2

    def tells(conn: sa.Connection) -> None:
        conn.info[CHANGED] = True

    assert (await lines.work(tells, commit=True))[1] is True
    assert (await lines.work(_count, commit=True))[1] is False
    threads = [thread for thread in threading.enumerate() if thread.name == first]
    await lines.dispose()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


async def test_no_more_connections_than_allowed_and_none_before_it_is_needed(tmp_path: Path) -> None:
    lines = FileConnections(tmp_path / "a.db", "BEGIN", (), 2)
    before = threading.active_count()
    loop, go = asyncio.get_running_loop(), asyncio.Event()
    names: list[str] = []

    def waits(conn: sa.Connection) -> None:
        names.append(threading.current_thread().name)
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)

    assert threading.active_count() == before
    working = [asyncio.create_task(lines.work(waits, commit=False)) for _ in range(5)]
    while len(names) < 2:
        await asyncio.sleep(0)
    assert threading.active_count() == before + 2
    go.set()
    await asyncio.gather(*working)
    assert len(names) == 5 and len(set(names)) == 2
    await lines.dispose()


T = sa.Table("t", sa.MetaData(), sa.Column("n", sa.Integer))
LATE = (
    "CREATE TABLE p (id INTEGER PRIMARY KEY)",
    "CREATE TABLE c (p INTEGER REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)",
)


async def test_a_commit_that_fails_leaves_no_transaction_behind(tmp_path: Path) -> None:
    lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", ("PRAGMA journal_mode=WAL", "PRAGMA foreign_keys=ON"), 1)
    await lines.work(lambda conn: [conn.exec_driver_sql(sql) for sql in (WORK, *LATE)], commit=True)
    with pytest.raises(sa.exc.IntegrityError):  # said by COMMIT, which then leaves the transaction open
        await lines.work(lambda conn: conn.exec_driver_sql("INSERT INTO c VALUES (99)"), commit=True)
    with closing(sqlite3.connect(tmp_path / "a.db", timeout=0)) as other:
        other.execute("INSERT INTO t VALUES (2)")  # nobody holds the lock
        other.commit()
    await lines.work(_insert, commit=True)
    assert (await lines.work(_count, commit=False))[0] == 2
    assert (await lines.work(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM c").scalar_one(), commit=False))[0] == 0
    await lines.dispose()


async def test_a_busy_file_does_no_lasting_harm(tmp_path: Path) -> None:
    lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", ("PRAGMA journal_mode=WAL", "PRAGMA busy_timeout=0"), 1)
    await lines.work(_insert, commit=True)
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await lines.work(_insert, commit=True)
        other.execute("ROLLBACK")
    await lines.work(_insert, commit=True)
    assert (await lines.work(_count, commit=False))[0] == 2 and lines.in_use == 0
    await lines.dispose()


async def test_a_broken_connection_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", ("PRAGMA journal_mode=WAL",), 1)
    name, _ = await lines.work(_insert, commit=True)
    thread = next(thread for thread in threading.enumerate() if thread.name == name)

    def breaks(conn: sa.Connection) -> None:
        driver: Any = conn.connection.dbapi_connection
        driver.close()
        _insert(conn)

    with pytest.raises(sa.exc.ProgrammingError):
        await lines.work(breaks, commit=True)
    second, _ = await lines.work(_insert, commit=True)
    assert (await lines.work(_count, commit=False))[0] == 2 and second != name and lines.in_use == 0
    thread.join(10)
    assert not thread.is_alive()
    await lines.dispose()
    assert not caplog.records


async def test_what_does_not_open_takes_no_place_and_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"no database " * 1000)
    lines = FileConnections(path, "BEGIN", ("PRAGMA journal_mode=WAL",), 1)
    for _ in range(3):
        with pytest.raises(sqlite3.DatabaseError, match="not a database"):
            await lines.work(_count, commit=False)
    assert lines.in_use == 0
    handles = Path("/proc/self/fd")
    assert not handles.exists() or str(path) not in [os.path.realpath(handle) for handle in handles.iterdir()]
    path.unlink()
    await lines.work(_insert, commit=True)
    await lines.dispose()


async def test_compiled_statements_are_shared_and_bounded(tmp_path: Path) -> None:
    made = 0

    def looks(conn: sa.Connection) -> None:
        nonlocal made
        conn.execute(sa.select(T)).all()
        made = len(connections._COMPILED)

    for number in range(3):
        lines = FileConnections(tmp_path / f"{number}.db", "BEGIN", (), 1)
        await lines.work(_insert, commit=True)
        await lines.work(looks, commit=False)
        await lines.dispose()
        if not number:
            first = made
    assert made == first

    def many(conn: sa.Connection) -> None:
        for number in range(2 * connections.MOST_COMPILED):
            conn.execute(sa.select(sa.literal_column(str(number))))

    lines = FileConnections(tmp_path / "0.db", "BEGIN", (), 1)
    await lines.work(many, commit=False)
    assert len(connections._COMPILED) <= 1.5 * connections.MOST_COMPILED
    await lines.dispose()


class _Large:
    """Something that can be seen to be gone."""


async def test_a_connection_at_rest_holds_on_to_nothing(tmp_path: Path) -> None:
    """An old picture of the configuration has secrets in it, a page of requests megabytes."""
    lines = FileConnections(tmp_path / "a.db", "BEGIN", (), 1)
    given = _Large()
    seen = [weakref.ref(given)]

    def makes(conn: sa.Connection, given: _Large = given) -> _Large:
        made = _Large()
        seen.append(weakref.ref(made))
        return made

    found: Any = await lines.work(makes, commit=False)
    del found, given, makes
    async with asyncio.timeout(30):
        while any(one() is not None for one in seen):
            await asyncio.sleep(0)
    await lines.dispose()


async def test_whatever_work_raises_comes_back(tmp_path: Path) -> None:
    """A future takes no StopIteration: waiting for it would never end, and every writer behind it would wait too."""
    lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", (), 1)
    as_they_are = [(one, one) for one in (ValueError, asyncio.CancelledError)]
    for raised, seen in ((StopIteration, RuntimeError), *as_they_are):

        def fails(conn: sa.Connection, raised: type[BaseException] = raised) -> None:
            _insert(conn)
            raise raised

        with pytest.raises(seen):
            await asyncio.wait_for(lines.work(fails, commit=True), 30)
    await lines.work(_insert, commit=True)
    assert (await lines.work(_count, commit=False))[0] == 1
    await lines.dispose()


def test_work_whose_loop_is_closed_is_done_all_the_same(tmp_path: Path) -> None:
    begun, go = threading.Event(), threading.Event()

    async def leaves() -> FileConnections:
        lines = FileConnections(tmp_path / "a.db", "BEGIN IMMEDIATE", (), 1)
        await lines.work(_insert, commit=True)

        def slow(conn: sa.Connection) -> None:
            begun.set()
            assert go.wait(10)
            _insert(conn)

        working = asyncio.create_task(lines.work(slow, commit=True))
        await asyncio.to_thread(begun.wait, 10)
        assert not working.done()
        return lines

    before = set(threading.enumerate())
    lines = asyncio.run(leaves())
    (mine,) = set(threading.enumerate()) - before
    go.set()
    lines.abandon()
    mine.join(10)
    assert not mine.is_alive()
    with closing(sqlite3.connect(tmp_path / "a.db")) as there:
        assert there.execute("SELECT count(*) FROM t").fetchone()[0] == 2
