"""Connections under the door (engine.py): a unit of work goes in, its result comes out.

SQLite: each connection is aiosqlite's, with a thread of its own, and a unit of work runs in that thread from BEGIN to COMMIT.
SQLAlchemy's asyncio dialect would make one trip to the thread for each statement, sixty for a request that shares its commits with
nobody: 3 of 4 ms of CPU. PostgreSQL: SQLAlchemy's dialect of asyncpg, which has no threads.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[sa.Connection], T]

BUSY_S = 10
"""How long a writer waits for another process's transaction."""
CHANGED = "config_changed"
"""Where a unit of work notes on its connection that it changed the configuration."""
_COMPILED: dict[Any, Any] = {}
"""Statements compiled for SQLite, for all connections. Their number is that of the statements in the source."""


class Connections(Protocol):
    async def work(self, fn: Work[T], *, commit: bool) -> tuple[T, bool]:
        """What `fn` returns, in a transaction of its own that ends before this does, and whether it changed the configuration."""

    @property
    def in_use(self) -> int: ...

    async def dispose(self) -> None:
        """Closes all of them. Nothing is running any more."""


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
                self._free.append(line)

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


class _Line(aiosqlite.Connection):
    """One connection and its thread, in which all of the work is done."""

    def __init__(self, path: Path, begin: str, pragmas: Sequence[str]) -> None:
        super().__init__(lambda: _connect(path, pragmas), iter_chunk_size=64)
        self._thread.daemon = True  # a process that is told to end at once does not wait for it
        self._engine = sa.create_engine("sqlite://", creator=lambda: self._conn, poolclass=StaticPool, hide_parameters=True)
        self._open: sa.Connection | None = None
        """Made once: connecting, and giving back, costs as much as a small transaction."""
        sa.event.listen(self._engine, "begin", lambda conn: conn.connection.dbapi_connection.execute(begin))

    async def work(self, fn: Work[T], commit: bool) -> tuple[T, bool]:
        done: tuple[T, bool] = await self._execute(self._work, fn, commit)  # type: ignore[no-untyped-call]
        return done

    def _work(self, fn: Work[T], commit: bool) -> tuple[T, bool]:
        if self._open is None:
            self._open = self._engine.connect().execution_options(compiled_cache=_COMPILED)
        with self._open.begin() as transaction:
            result = fn(self._open)
            if not commit:
                transaction.rollback()
                return result, False
            changed = self._open.info.pop(CHANGED, False)
        return result, bool(changed)

    async def let_go(self) -> None:
        await self._execute(self._close_here)  # type: ignore[no-untyped-call]
        await self.close()

    def _close_here(self) -> None:
        if self._open is not None:
            self._open.close()
        self._engine.dispose()


def _connect(path: Path, pragmas: Sequence[str]) -> sqlite3.Connection:
    # isolation_level None hands BEGIN to us: Python's own handling would leave schema changes outside transactions.
    conn = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
    for pragma in pragmas:
        conn.execute(pragma)
    return conn
