"""The one door to the database: `db.run(fn)` reads, `db.tx(fn)` writes; every query is a synchronous `fn(conn)`.

Why a door: a caller that is cancelled (its client hung up) in the middle of a database call would leave a half-done
transaction behind and, with aiosqlite, hang and lose its place in the pool. So every unit of work runs in a task of its
own under `asyncio.shield`: the caller may leave at once, the work still ends in COMMIT or ROLLBACK.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL

from omni_connector.store import files, schema, server
from omni_connector.store.connections import Connections, FileConnections, ServerConnections
from omni_connector.store.files import DatabaseError, Silent
from omni_connector.store.watch import Watch

log = logging.getLogger("omni_connector.store")
T = TypeVar("T")

READERS = 4
"""Connections for `run` on SQLite; each is one thread. Writers have one of their own."""
PAUSES_S = (0.02, 0.1, 0.4, 1.0)
"""Between two runs of a transaction that PostgreSQL undid for the sake of another one, more or less."""
PG_BACKUP = (
    'The database is PostgreSQL, which is backed up by its own means: pg_dump --format=custom "$OMNI_DATABASE_URL" > omni.dump, or the '
    "copies that its host makes. Keep master.key of OMNI_HOME (or OMNI_MASTER_KEY) with it: without it no credential can be read."
)
CHECK_S = 1.0
"""A file that takes longer is not read whole at every start; `integrity` still does it on demand."""

SWEEPING = ("PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON", "PRAGMA cache_size=-8000", "PRAGMA wal_autocheckpoint=0")
"""No flush and no checkpoint within the transaction: both come after it, aside."""
PRAGMAS = ("PRAGMA synchronous=FULL", "PRAGMA foreign_keys=ON", "PRAGMA cache_size=-8000", "PRAGMA mmap_size=67108864")


class Database:
    """One database, opened by `Database.open`. Safe for any number of tasks and of processes."""

    def __init__(self, url: URL, reader: Connections, writer: Connections, path: Path | None, sweeper: Connections | None = None) -> None:
        self.url = url
        self.path = path
        """The file, for SQLite."""
        self._reader = reader
        self._writer = writer
        self._sweeper = sweeper or writer
        # One writer at a time: on SQLite in-process writers queue here, in order, instead of polling the file's lock.
        self._lane = asyncio.Lock() if path is not None else None
        self._running: set[asyncio.Task[Any]] = set()
        self._watches: set[Watch] = set()
        self._closed = False
        self.offset_ms = 0
        """How much the database's clock is ahead of this machine's; 0 for SQLite, where they are the same."""
        self.settled: Callable[[], Awaitable[None]] | None = None
        """Waited for by who reads what was written: until all of it is here (journal.py)."""
        self.patience_s = 0.0
        """How long work may take that a request waits for (`soon`), on PostgreSQL; 0: as long as the server lets it."""

    def __repr__(self) -> str:
        return f"<Database {self.url.render_as_string(hide_password=True)}: {len(self._running)} running>"

    @classmethod
    async def open(cls, url: str) -> Database:
        """Opens "sqlite:////absolute/path.db" (created, mode 0600) or "postgresql://…".

        Raises DatabaseError when the file is not a sound database or the server cannot be reached; changes nothing then.
        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            path = Path(parsed.database or "")
            await asyncio.to_thread(files.prepare, path, CHECK_S)
            reader = FileConnections(path, "BEGIN", (*PRAGMAS, "PRAGMA query_only=ON"), READERS)
            writer = FileConnections(path, "BEGIN IMMEDIATE", PRAGMAS, 1)
            return cls(parsed, reader, writer, path, FileConnections(path, "BEGIN IMMEDIATE", SWEEPING, 1))
        engine = server.engine(parsed)
        # One consistent picture needs a level above the default, which takes a new one for each statement.
        pictured = ServerConnections(engine.execution_options(isolation_level="REPEATABLE READ"))
        database = cls(parsed, pictured, ServerConnections(engine), None)
        try:
            await database.run(lambda conn: conn.execute(sa.text("SELECT 1")).scalar())
        except BaseException:
            await engine.dispose()
            raise
        return database

    async def run(self, fn: Callable[[sa.Connection], T], *, soon: bool = False) -> T:
        """Runs `fn` in a read transaction: one consistent picture, nothing is written. Not for changes. `soon`: as for `tx`."""
        if self.settled is not None and not soon:
            await self.settled()
        return await self._apart(self._work(self._reader, fn, commit=False), soon=soon)

    async def tx(self, fn: Callable[[sa.Connection], T], *, soon: bool = False) -> T:
        """Runs `fn` in a write transaction; durable when this returns, undone when `fn` raises. PostgreSQL may refuse to let two go on
        beside each other (a deadlock): then `fn` is run again from its beginning.

        `soon`: a request waits for it. After `patience_s` it is given up and `Silent` raised; whether it was done, or will be, is
        unknown then, so `fn` must be one that may be run again beside itself.
        """
        return await self._apart(self._write(self._writer, fn), soon=soon)

    async def sweep(self, fn: Callable[[sa.Connection], T]) -> T:
        """`tx` for what may be done again after a power cut, such as deleting old rows: it holds up writers only for its own work, and
        is durable with the next `tx` or `checkpoint`."""
        return await self._apart(self._write(self._sweeper, fn))

    async def checkpoint(self) -> None:
        """Carries what was written over into the file, beside the writers; else one of them does it in between, when there is much."""
        if self.path is not None:
            await asyncio.to_thread(files.checkpoint, self.path)

    async def migrate(self, keep: Path | None = None) -> bool:
        """Brings the schema to the newest revision; True when there was something to do. Cheap when there is not.

        Several processes may start together: one migrates, the others wait for it and find it done. `keep`: a folder for a copy of what
        is there before (`files.before_migration`), which the release before can read.
        """
        head = schema.head()
        present = await self.run(schema.current)
        if present == head:
            return False
        if keep is not None and present is not None and self.path is not None and schema.knows(present):
            await self._apart(asyncio.to_thread(files.before_migration, self.path, keep, present))
        changed = await self._apart(self._migrate(head))
        if present is not None and self.path is not None:
            await self._apart(asyncio.to_thread(files.make_shrinkable, self.path))
        return changed

    async def integrity(self) -> None:
        """Raises DatabaseError unless SQLite finds the file sound (`PRAGMA quick_check`). Reads all of it."""
        if self.path is not None:
            await asyncio.to_thread(files.quick_check, self.path)

    async def snapshot_to(self, target: Path) -> None:
        """Writes a consistent, compact copy of the running database to `target` (mode 0600), whole or not at all."""
        if self.path is None:
            raise DatabaseError(PG_BACKUP)
        if self.settled is not None:
            await self.settled()
        await self._apart(asyncio.to_thread(files.snapshot, self.path, target))

    async def watch(self, callback: Callable[[int], Awaitable[None]], since: int | None = None, interval: float = 0.3) -> Watch:
        """Calls `callback(config_version)` soon after any process changed the configuration.

        `since`: the version the caller already knows (None: the present one). `interval`: seconds between looks; changes
        made through this Database are noticed at once. End it with `await watch.stop()`.
        """
        watch = await Watch.start(self.url, self.path, callback, since, interval)
        self._watches.add(watch)
        return watch

    def shared(self, now: Callable[[], int]) -> Callable[[], int]:
        """The clock `now` (ms), put right by the database's: what several nodes compare must be the same clock's."""
        return lambda: now() + self.offset_ms

    async def compare_clocks(self, now: Callable[[], int]) -> int:
        """Finds out `offset_ms` and returns it."""
        if self.path is None:
            began = now()
            theirs = await self.run(server.clock)
            self.offset_ms = theirs - (began + now()) // 2
        return self.offset_ms

    async def close(self) -> None:
        """Waits for running work, then closes every connection."""
        self._closed = True
        for watch in self._watches:
            await watch.stop()
        while self._running:
            await asyncio.wait(self._running)
        await self._reader.dispose()
        await self._writer.dispose()
        await self._sweeper.dispose()

    def abandon(self) -> None:
        """Lets go of threads and files where the loop is closed, so that nothing can be waited for."""
        self._closed = True
        for watch in self._watches:
            watch.abandon()
        for connections in (self._reader, self._writer, self._sweeper):
            connections.abandon()

    # ------------------------------------------------------------ inside the door

    async def _apart(self, work: Coroutine[Any, Any, T], *, soon: bool = False) -> T:
        """Runs `work` in its own task, which a cancelled caller leaves behind unharmed."""
        if self._closed:
            work.close()
            raise DatabaseError("The database is closed.")
        task = asyncio.create_task(work)
        self._running.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._running.discard)
        patience = self.patience_s if soon and self._lane is None else 0
        try:
            await asyncio.wait((task,), timeout=patience or None)
        except asyncio.CancelledError:
            task.add_done_callback(_report)
            raise
        if task.done():
            return task.result()
        # The driver asks the server to stop, and closes the connection without an answer too: its place in the pool is free soon.
        task.cancel()
        task.add_done_callback(_report)
        raise Silent(f"The PostgreSQL database has not answered for {patience:g} s. The work goes on by itself when it does.")

    async def _write(self, through: Connections, fn: Callable[[sa.Connection], T]) -> T:
        if self._lane is None:
            return await self._write_beside(through, fn)
        async with self._lane:
            return await self._work(through, fn, commit=True)

    async def _write_beside(self, through: Connections, fn: Callable[[sa.Connection], T]) -> T:
        for pause in (*PAUSES_S, None):
            try:
                return await self._work(through, fn, commit=True)
            except (sa.exc.SQLAlchemyError, DatabaseError) as error:
                if pause is None or not server.again(error.__cause__ or error):
                    raise
                log.info("a transaction is run again: %s", error)
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        raise AssertionError

    async def _work(self, through: Connections, fn: Callable[[sa.Connection], T], *, commit: bool) -> T:
        try:
            result, changed = await through.work(fn, commit=commit)
            if changed:
                self._poke()
            return result
        except DatabaseError:
            raise
        except Exception as error:
            plain = self._explained(error)
            if plain is None:
                raise
            raise plain from error

    def _explained(self, error: Exception) -> DatabaseError | None:
        if self.path is not None:
            return files.explain(error, self.path) if isinstance(error, (sa.exc.SQLAlchemyError, sqlite3.Error, OSError)) else None
        # The driver raises its own errors, unwrapped, where no connection came about.
        ours = isinstance(error, (sa.exc.SQLAlchemyError, OSError)) or type(error).__module__.startswith("asyncpg")
        return server.explain(error) if ours else None

    def _poke(self) -> None:
        for watch in self._watches:
            watch.look()

    async def _migrate(self, head: str) -> bool:
        # Rebuilding a table (Alembic's batch mode) with foreign keys on would delete the rows that point at it.
        if self.path is None:
            through: Connections = ServerConnections(server.engine(self.url, patient=True))
        else:
            through = FileConnections(self.path, "BEGIN IMMEDIATE", ("PRAGMA synchronous=FULL", "PRAGMA foreign_keys=OFF"), 1)

        def upgrade(conn: sa.Connection) -> bool:
            schema.lock(conn)
            if schema.current(conn) == head:
                return False
            schema.upgrade(conn)
            return True

        try:
            return await self._work(through, upgrade, commit=True)
        finally:
            await through.dispose()


def _report(task: asyncio.Task[Any]) -> None:
    """Nobody waits for this work any more, so a failure of it must be said here."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("database work failed after its caller had left: %s", error)


def _parse(url: str) -> URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise DatabaseError("OMNI_DATABASE_URL is not a database address; write sqlite:////path/omni.db or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise DatabaseError("OMNI_DATABASE_URL names no file; write sqlite:////absolute/path/omni.db")
        return parsed.set(drivername="sqlite+aiosqlite")
    if backend in {"postgresql", "postgres"}:
        server.pool_size(parsed)
        return parsed.set(drivername="postgresql+asyncpg")
    raise DatabaseError(f"OMNI_DATABASE_URL: {backend!r} is not supported; use sqlite:////path/omni.db or postgresql://…")


def file_of(url: str) -> Path | None:
    """The file of a database address; None for PostgreSQL. Raises DatabaseError for what is no address."""
    parsed = _parse(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def without_password(url: str) -> str:
    """A database address as it may be shown. Raises DatabaseError for what is no address."""
    parsed = _parse(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=True)


def unsafe(url: str, environment: Mapping[str, str]) -> str:
    """What is wrong with how the connection to the database is protected (`server.unsafe`); "" for nothing, and for a file."""
    parsed = _parse(url) if url else None
    return "" if parsed is None or parsed.get_backend_name() == "sqlite" else server.unsafe(parsed, environment)


__all__ = ["Database", "DatabaseError", "Watch"]
