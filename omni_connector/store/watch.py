"""Notices that the configuration changed, whichever process changed it.

A connection of its own looks at `PRAGMA data_version` (a counter of other connections' commits, read without touching
the disk; it is per connection, so never a pooled one) and, when that moved, at the `config_version` row. PostgreSQL has
no such counter, so there the row itself is read; and whoever moves it also says so (NOTIFY), which arrives in milliseconds. Looking is
the base: through a pooler, on engines without NOTIFY, and while the connection is made anew, nothing is heard and nothing is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine import URL

from omni_connector.store import server
from omni_connector.store.files import DatabaseError

if TYPE_CHECKING:
    import asyncpg

log = logging.getLogger("omni_connector.store")

LONGEST_WAIT_S = 30.0
_VERSION = "SELECT value FROM meta WHERE name = 'config_version'"


class _Eye(Protocol):
    async def version(self) -> int | None:
        """config_version, or None when certainly nothing was committed since the last look."""

    async def close(self) -> None: ...
    def abandon(self) -> None:
        """`close` where the loop is closed that it belongs to."""


class _SqliteEye:
    def __init__(self, conn: aiosqlite.Connection) -> None:
        self._conn = conn
        self._commits = -1

    @classmethod
    async def open(cls, path: Path) -> _SqliteEye:
        conn = aiosqlite.connect(path, isolation_level=None, timeout=1)
        conn._thread.daemon = True  # as in connections.py: nobody waits for it who is told to end
        return cls(await conn)

    async def version(self) -> int | None:
        commits = await self._one("PRAGMA data_version")
        if commits == self._commits:
            return None
        version = await self._one(_VERSION)
        self._commits = commits
        return version

    async def _one(self, query: str) -> int:
        async with self._conn.execute(query) as cursor:
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def close(self) -> None:
        await self._conn.close()

    def abandon(self) -> None:
        self._conn.stop()


class _ServerEye:
    """One connection of its own, made anew when it is lost. `hear` is called when somebody says that the configuration moved."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._conn: asyncpg.Connection[Any] | None = None
        self.hear: Callable[[], None] = lambda: None

    async def version(self) -> int | None:
        try:
            if self._conn is None or self._conn.is_closed():
                self._conn = await server.open_connection(self._url)
                if not server.pooled(self._url):
                    await self._listen(self._conn)
            return int(await self._conn.fetchval(_VERSION) or 0)
        except Exception as error:
            lost, self._conn = self._conn, None
            await server.close_quietly(lost)
            raise (server.explain(error) or error) from error

    async def _listen(self, conn: asyncpg.Connection[Any]) -> None:
        try:
            await conn.add_listener(server.CHANNEL, lambda *_: self.hear())
        except Exception as error:  # noqa: BLE001 — engines that speak PostgreSQL's language but cannot do this
            log.info("the database does not tell of changes, so they are looked for: %s", error)

    async def close(self) -> None:
        await server.close_quietly(self._conn)

    def abandon(self) -> None:
        self._conn = None


class Watch:
    """A running watch. `look()` makes it look now; `await stop()` ends it."""

    def __init__(self, eye: _Eye, callback: Callable[[int], Awaitable[None]], seen: int, interval: float) -> None:
        self._eye = eye
        self._callback = callback
        self._seen = seen
        self._interval = interval
        self._wake = asyncio.Event()
        self._stopping = False
        self._failing = False
        self._wait = interval
        self._seen_at = time.monotonic()
        self._task = asyncio.create_task(self._loop(), name="config watch")

    @classmethod
    async def start(
        cls, url: URL, path: Path | None, callback: Callable[[int], Awaitable[None]], since: int | None, interval: float
    ) -> Watch:
        eye: _Eye
        if path is not None:
            eye = await _SqliteEye.open(path)
        else:
            eye = _ServerEye(url)
        if since is None:
            since = await eye.version() or 0
        watch = cls(eye, callback, since, interval)
        if isinstance(eye, _ServerEye):
            eye.hear = watch.look
        return watch

    @property
    def unseen_s(self) -> float:
        """Seconds since the database was looked at last, beyond those that were meant to pass."""
        return time.monotonic() - self._seen_at - self._wait

    def look(self) -> None:
        self._wake.set()

    def abandon(self) -> None:
        """Where its loop is closed."""
        self._eye.abandon()

    async def stop(self) -> None:
        """Never by cancelling: that would catch the connection in the middle of a query."""
        self._stopping = True
        self._wake.set()
        await self._task

    async def _loop(self) -> None:
        pending: int | None = None
        while not self._stopping:
            self._wake.clear()
            try:
                version = await self._eye.version()
                self._seen_at = time.monotonic()
                if version is not None and version != self._seen:
                    pending = version
                if pending is not None:
                    await self._callback(pending)
                    self._seen, pending = pending, None
                self._failing = False
                self._wait = self._interval
            except (sqlite3.Error, sa.exc.SQLAlchemyError, OSError, DatabaseError) as error:
                self._complain(error)
            except Exception:
                # The watch must outlive a failing reload, and reports it; `pending` makes it try again, less and less often.
                log.exception("reloading the configuration failed, trying again in %.1f s", self._wait)
                self._wait = min(self._wait * 2, LONGEST_WAIT_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._wait)
        await self._eye.close()

    def _complain(self, error: Exception) -> None:
        # Once: a database that is away for an hour is no news three times a second.
        if not self._failing:
            log.warning("cannot read the configuration's version, trying again: %s", error)
        self._failing = True
