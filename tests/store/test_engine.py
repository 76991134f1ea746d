from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import random
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

import omni_connector
from omni_connector.store import files, schema
from omni_connector.store import settings as rows
from omni_connector.store.connections import FileConnections
from omni_connector.store.engine import Database, DatabaseError
from omni_connector.store.tables import settings

HAVE_ASYNCPG = importlib.util.find_spec("asyncpg") is not None
ENV = {"PYTHONPATH": str(Path(omni_connector.__file__).parent.parent), "PATH": ""}


def run_processes(script: str, path: Path, count: int) -> None:
    started = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", script, str(path)], env=ENV, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    failures = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * count, "\n".join(failures)


async def test_a_transaction_is_kept_whole_or_not_at_all(db: Database) -> None:
    await db.tx(lambda conn: rows.set_setting(conn, "a", "1"))

    def fails(conn: sa.Connection) -> None:
        rows.set_setting(conn, "a", "2")
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await db.tx(fails)
    assert await db.run(rows.all_settings) == {"a": "1"}
    assert await db.run(rows.config_version) == 1


async def test_cancelled_callers_leave_nothing_behind(db: Database) -> None:
    """300 callers leave at random moments: no hang, no half transaction, no lost place in the pool."""
    rng = random.Random(7)

    def pair(number: int) -> Callable[[sa.Connection], None]:
        def work(conn: sa.Connection) -> None:
            conn.execute(sa.insert(settings).values(name=f"{number}a", value="x"))
            conn.execute(sa.select(settings.c.name)).all()
            conn.execute(sa.insert(settings).values(name=f"{number}b", value="x"))

        return work

    async def cancelled(number: int) -> None:
        task = asyncio.create_task(db.tx(pair(number)) if number % 3 else db.run(rows.all_settings))
        await asyncio.sleep(rng.random() * 0.004)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for first in range(0, 300, 3):
        await asyncio.wait_for(asyncio.gather(*(cancelled(number) for number in range(first, first + 3))), 30)
    while db._running:
        await asyncio.wait_for(asyncio.wait(set(db._running)), 30)

    names = await asyncio.wait_for(db.run(rows.all_settings), 30)
    assert {name[:-1] for name in names if name.endswith("a")} == {name[:-1] for name in names if name.endswith("b")}
    assert len(names) > 100
    assert db._reader.in_use == db._writer.in_use == 0
    await asyncio.wait_for(asyncio.gather(*(db.run(rows.config_version) for _ in range(20))), 30)
    await asyncio.wait_for(asyncio.gather(*(db.tx(rows.bump_config) for _ in range(20))), 30)
    assert await db.run(rows.config_version) == 20


async def test_a_failure_nobody_waits_for_is_logged(lite: Database, caplog: pytest.LogCaptureFixture) -> None:
    entered, left = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(conn: sa.Connection) -> None:
        conn.execute(sa.select(settings.c.name)).all()
        loop.call_soon_threadsafe(entered.set)
        asyncio.run_coroutine_threadsafe(left.wait(), loop).result(10)
        conn.execute(sa.select(settings.c.name)).all()
        raise ValueError("late fault")

    task = asyncio.create_task(lite.tx(work))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    left.set()
    await asyncio.wait(set(lite._running))
    await asyncio.sleep(0)
    assert "late fault" in caplog.text


async def test_close_waits_for_work_and_ends_the_database(lite: Database) -> None:
    task = asyncio.create_task(lite.tx(lambda conn: rows.set_setting(conn, "a", "1")))
    await asyncio.sleep(0)
    await lite.close()
    await task
    with pytest.raises(DatabaseError, match="closed"):
        await lite.run(rows.all_settings)


async def test_run_cannot_write(lite: Database) -> None:
    with pytest.raises(DatabaseError, match="readonly"):
        await lite.run(lambda conn: rows.set_setting(conn, "a", "1"))


WRITER = """
import asyncio, sys
from omni_connector.store.engine import Database
from omni_connector.store import settings
def work(conn):
    settings.set_setting(conn, "count", str(int(settings.all_settings(conn).get("count", 0)) + 1))
async def main():
    db = await Database.open(f"sqlite:///{sys.argv[1]}")
    for _ in range(100):
        await db.tx(work)
    await db.close()
asyncio.run(main())
"""


async def test_four_processes_lose_no_update(lite: Database) -> None:
    await asyncio.to_thread(run_processes, WRITER, lite.path, 4)
    assert (await lite.run(rows.all_settings))["count"] == "400"
    assert await lite.run(rows.config_version) == 400


STARTER = """
import asyncio, sys
from omni_connector.store.engine import Database
async def main():
    db = await Database.open(f"sqlite:///{sys.argv[1]}")
    await db.migrate()
    assert not await db.migrate()
    await db.close()
asyncio.run(main())
"""


async def test_processes_that_start_together_migrate_once(tmp_path: Path) -> None:  # J-13
    path = tmp_path / "omni.db"
    await asyncio.to_thread(run_processes, STARTER, path, 3)
    database = await Database.open(f"sqlite:///{path}")
    assert await database.run(schema.current) == schema.head()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await database.close()


def test_alembic_is_not_imported_when_the_schema_is_current(tmp_path: Path, sqlite_template: bytes) -> None:
    path = tmp_path / "omni.db"
    path.write_bytes(sqlite_template)
    run_processes(STARTER + "assert 'alembic' not in sys.modules", path, 1)


async def test_before_a_migration_a_copy_is_kept(tmp_path: Path) -> None:  # O-11
    """Of a database that has something in it, for the release before; the newest few stay."""
    path, keep = tmp_path / "omni.db", tmp_path / "backups"
    db = await Database.open(f"sqlite:///{path}")
    await db.migrate(keep)
    assert not keep.exists()
    assert not await db.migrate(keep) and not keep.exists()
    for _ in range(files.BEFORE_KEPT + 1):
        await db.tx(lambda conn: conn.execute(sa.text("UPDATE alembic_version SET version_num = '0001'")))
        with contextlib.suppress(DatabaseError, sa.exc.DBAPIError):
            await db.migrate(keep)  # its tables are there already
    await db.close()
    copies = sorted(keep.iterdir())
    assert len(copies) == files.BEFORE_KEPT and {files.revision(copy) for copy in copies} == {"0001"}


async def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(conn: sa.Connection) -> None:
        conn.execute(sa.text("CREATE TABLE half (id INTEGER)"))
        raise RuntimeError("on purpose")

    database = await Database.open(f"sqlite:///{tmp_path}/omni.db")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(schema, "upgrade", half)
        await database.migrate()
    assert await database.run(lambda conn: sa.inspect(conn).get_table_names()) == []
    assert await database.migrate()
    await database.close()


async def test_a_full_disk_is_said_and_passes(lite: Database) -> None:
    def limit(conn: sa.Connection) -> None:
        conn.exec_driver_sql("PRAGMA max_page_count=1")

    await lite.tx(limit)
    with pytest.raises(DatabaseError, match=r"disk that holds .*omni\.db is full"):
        await lite.tx(lambda conn: rows.set_setting(conn, "a", "x" * 1_000_000))
    await lite.tx(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000"))
    await lite.tx(lambda conn: rows.set_setting(conn, "a", "x" * 1_000_000))


@pytest.mark.parametrize("url", ["", "sqlite://", "mysql://localhost/x", "sqlite:///:memory:", "what?"])
async def test_wrong_addresses_are_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match="OMNI_DATABASE_URL"):
        await Database.open(url)


def test_what_belonged_to_a_closed_loop_is_let_go(tmp_path: Path) -> None:
    async def use() -> Database:
        opened = await Database.open(f"sqlite:///{tmp_path / 'a.db'}")
        await opened.migrate()
        await asyncio.gather(*(opened.run(rows.config_version) for _ in range(5)), opened.tx(rows.bump_config))
        await opened.watch(lambda version: asyncio.sleep(0))
        return opened

    before = set(threading.enumerate())
    db = asyncio.run(use())
    mine = set(threading.enumerate()) - before
    assert mine and all(thread.daemon for thread in mine), "no process waits for them"
    db.abandon()
    for thread in mine:
        thread.join(10)
        assert not thread.is_alive()


async def test_repr_hides_the_password() -> None:
    none = FileConnections(Path("none.db"), "BEGIN", (), 1)
    shown = repr(Database(sa.make_url("postgresql://u:hunter2@h/d"), none, none, None))
    assert "hunter2" not in shown


async def test_a_postgresql_that_cannot_be_used_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "asyncpg", None)
        with pytest.raises(DatabaseError, match="extra `postgres`"):
            await Database.open("postgresql://localhost/x")
    if HAVE_ASYNCPG:
        with pytest.raises(DatabaseError, match="OMNI_DATABASE_URL"):
            await Database.open("postgresql://127.0.0.1:9/x")


async def test_a_sweep_is_a_transaction_among_the_others(db: Database) -> None:
    """Whole or not at all, one writer at a time; only its flush to disk is left to later."""
    order: list[str] = []

    def write(name: str) -> Callable[[sa.Connection], None]:
        def work(conn: sa.Connection) -> None:
            rows.set_meta(conn, name, "x")
            order.append(name)

        return work

    def fail(conn: sa.Connection) -> None:
        rows.set_meta(conn, "undone", "x")
        raise ValueError

    await asyncio.gather(*((db.sweep if number % 2 else db.tx)(write(f"n{number}")) for number in range(10)))
    with pytest.raises(ValueError):
        await db.sweep(fail)
    await db.checkpoint()
    assert sorted(order) == [f"n{number}" for number in range(10)]
    found = await db.run(lambda conn: [rows.get_meta(conn, name) for name in (*order, "undone")])
    assert found == ["x"] * 10 + [None]
