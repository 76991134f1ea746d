"""A unit of work runs whole in the thread of its connection: one trip, whatever it does."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

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
