"""Connections under the door (engine.py): a unit of work goes in, its result comes out.

SQLite: each connection is aiosqlite's, with a thread of its own, and a unit of work runs in that thread from BEGIN to COMMIT.
SQLAlchemy's asyncio dialect would make one trip to the thread for each statement, sixty for a request that shares its commits with
nobody: 3 of 4 ms of CPU. PostgreSQL: SQLAlchemy's dialect of asyncpg, which has no threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

BUSY_S = 10
"""How long a writer waits for another process's transaction."""
CHANGED = "config_changed"
"""Where a unit of work notes on its connection that it changed the configuration."""
MOST_COMPILED = 500
"""Some statements have figures in them (bars.py), so there is no end of them."""
_COMPILED: sa.util.LRUCache[Any, Any] = sa.util.LRUCache(MOST_COMPILED)
"""Statements compiled for SQLite, for all connections: they share their dialect, by which SQLAlchemy keeps them apart."""


class Connections(Protocol):
    async def work(self, fn: Work[T], *, commit: bool) -> tuple[T, bool]:
        """What `fn` returns, in a transaction of its own that ends before this does, and whether it changed the configuration."""

    @property
    def in_use(self) -> int: ...

    async def dispose(self) -> None:
        """Closes all of them. Nothing is running any more."""

    def abandon(self) -> None:
        """`dispose` where the loop is closed that they belong to."""


class ServerConnections:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def work(self, fn: Work[T], *, commit: bool) -> tuple[T, bool]:
        async with self._engine.connect() as conn:
            result = await conn.run_sync(fn)
            if not commit:
                return result, False
            changed = conn.sync_connection is not None and conn.sync_connection.info.pop(CHANGED, False)
            await conn.commit()
            return result, bool(changed)

    @property
    def in_use(self) -> int:
        pool = self._engine.pool
        return pool.checkedout() if isinstance(pool, QueuePool) else 0

    async def dispose(self) -> None:
        await self._engine.dispose()

    def abandon(self) -> None:
        self._engine.sync_engine.dispose(close=False)


class FileConnections:
    """Up to `size` connections to a SQLite file, opened as they are needed. `begin`: how a transaction begins."""

    def __init__(self, path: Path, begin: str, pragmas: Sequence[str], size: int) -> None:
        self._path, self._begin, self._pragmas = path, begin, pragmas
        self._slots = asyncio.Semaphore(size)
        self._lines: list[_Line] = []
        self._free: list[_Line] = []

    async def work(self, fn: Work[T], *, commit: bool) -> tuple[T, bool]:
        async with self._slots:
            # The last one used has its pages in memory.
            line = self._free.pop() if self._free else await self._new()
            try:
                return await line.work(fn, commit)
            finally:
                if line.sound:
                    self._free.append(line)
                else:
                    self._lines.remove(line)
                    line.stop()

    async def _new(self) -> _Line:
        line = _Line(self._path, self._begin, self._pragmas)
        await line  # as aiosqlite would have it: this starts its thread
        self._lines.append(line)
        return line

    @property
    def in_use(self) -> int:
        return len(self._lines) - len(self._free)

    async def dispose(self) -> None:
        lines, self._lines, self._free = self._lines, [], []
        for line in lines:
            await line.let_go()

    def abandon(self) -> None:
        lines, self._lines, self._free = self._lines, [], []
        for line in lines:
            line.abandon()


class _Line(aiosqlite.Connection):
    """One connection and its thread, in which all of the work is done."""

    def __init__(self, path: Path, begin: str, pragmas: Sequence[str]) -> None:
        super().__init__(lambda: _connect(path, pragmas), iter_chunk_size=64)
        self._thread.daemon = True  # a process that is told to end at once does not wait for it
        self._engine = sa.create_engine("sqlite://", creator=lambda: self._conn, poolclass=StaticPool, hide_parameters=True)
        self._engine.dialect = _dialect()
        self.sound = True
        """False: it is of no use any more."""
        self._open: sa.Connection | None = None
        """Made once: connecting, and giving back, costs as much as a small transaction."""
        sa.event.listen(self._engine, "begin", lambda conn: conn.connection.dbapi_connection.execute(begin))

    async def work(self, fn: Work[T], commit: bool) -> tuple[T, bool]:
        if not self._running or self._connection is None:
            raise ValueError("The connection is closed.")
        done: asyncio.Future[tuple[T, bool]] = asyncio.get_running_loop().create_future()
        # In a list that is emptied: the thread keeps what it was told last, for as long as there is nothing else to do.
        self._tx.put_nowait((None, partial(self._work, [fn, done], commit)))
        return await done

    def _work(self, job: list[Any], commit: bool) -> None:
        fn, done = job
        job.clear()
        try:
            result = self._done(fn, commit)
        except StopIteration as error:  # which no future takes
            self._recover()
            _tell(done, _fail, RuntimeError(f"work with the database raised {error!r}"))
        except BaseException as error:  # noqa: BLE001 - who waits gets it
            self._recover()
            _tell(done, _fail, error)
        else:
            _tell(done, _succeed, result)
        finally:
            del fn, done  # an error holds on to this frame, and would so to itself

    def _done(self, fn: Work[T], commit: bool) -> tuple[T, bool]:
        if self._open is None:
            self._open = self._engine.connect().execution_options(compiled_cache=_COMPILED)
        with self._open.begin() as transaction:
            result = fn(self._open)
            if not commit:
                transaction.rollback()
                return result, False
            changed = self._open.info.pop(CHANGED, False)
        return result, bool(changed)

    def _recover(self) -> None:
        """After a failure: whether the connection can go on."""
        with contextlib.suppress(sqlite3.Error, ValueError):
            if self._conn.in_transaction:
                self._conn.rollback()  # SQLAlchemy does not undo what COMMIT refused
            if self._open is None or not (self._open.invalidated or self._open.in_transaction()):
                return
        self.sound = False
        with contextlib.suppress(sqlite3.Error, sa.exc.SQLAlchemyError):
            self._close_here()

    async def let_go(self) -> None:
        await self._execute(self._close_here)  # type: ignore[no-untyped-call]
        await self.close()

    def abandon(self) -> None:
        self._tx.put_nowait((None, self._close_here))
        self.stop()

    def _close_here(self) -> None:
        if self._open is not None:
            self._open.close()
        self._engine.dispose()


def _tell(done: asyncio.Future[Any], how: Callable[[asyncio.Future[Any], Any], None], what: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        done.get_loop().call_soon_threadsafe(how, done, what)


def _succeed(done: asyncio.Future[Any], result: object) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


def _connect(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    # isolation_level None hands BEGIN to us: Python's own handling would leave schema changes outside transactions.
    conn = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    try:
        for pragma in pragmas:
            conn.execute(pragma)
    except BaseException:
        conn.close()
        raise
    return conn


@cache
def _dialect() -> sa.Dialect:
    engine = sa.create_engine("sqlite://", poolclass=NullPool)
    with engine.connect():  # which is when it asks what this SQLite can do
        return engine.dialect
