from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from omni_connector.store import requests
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database


class Seen:
    """Collects what a watch reports and lets a test wait for it."""

    def __init__(self, fail_first: int = 0) -> None:
        self.versions: list[int] = []
        self._fail = fail_first
        self._news = asyncio.Event()

    async def __call__(self, version: int) -> None:
        if self._fail:
            self._fail -= 1
            raise ValueError("reload fails")
        self.versions.append(version)
        self._news.set()

    async def until(self, version: int) -> None:
        async with asyncio.timeout(10):
            while version not in self.versions:
                self._news.clear()
                await self._news.wait()


def change(db: Database, value: str) -> Awaitable[None]:
    return db.tx(lambda conn: rows.set_setting(conn, "a", value))


async def test_changes_made_here_are_seen_at_once(db: Database) -> None:
    seen = Seen()
    watch = await db.watch(seen, interval=3600)
    await change(db, "1")
    await seen.until(1)
    await change(db, "2")
    await seen.until(2)
    await watch.stop()
    await watch.stop()


async def other(db: Database) -> Database:
    """A second door to the same database: other connections, as another process has."""
    return await Database.open(db.url.render_as_string(hide_password=False))


async def test_changes_made_elsewhere_are_seen_and_bookings_are_not(db: Database) -> None:
    second, seen = await other(db), Seen()
    await db.watch(seen, interval=0.0001)
    await second.tx(lambda conn: requests.insert_open(conn, [{"id": "req_1", "started_at": 1, "process_id": "p"}]))
    await change(second, "1")
    await seen.until(1)
    for number in range(5):  # time in which it looks many times and finds nothing new
        await second.tx(lambda conn, n=number: requests.insert_open(conn, [{"id": f"req_2{n}", "started_at": 1, "process_id": "p"}]))
    await change(second, "2")
    await seen.until(2)
    assert seen.versions == [1, 2]
    await second.close()


async def test_what_changed_before_the_watch_began_is_not_missed(db: Database) -> None:
    known = await db.run(rows.config_version)
    await change(db, "1")
    seen = Seen()
    await db.watch(seen, since=known, interval=3600)
    await seen.until(1)


async def test_a_failing_callback_is_reported_and_tried_again(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    seen = Seen(fail_first=2)
    await db.watch(seen, interval=0.01)
    await change(db, "1")
    await seen.until(1)
    assert caplog.text.count("reloading the configuration failed") == 2


async def test_stopping_while_it_looks_hangs_nobody(db: Database) -> None:
    for _ in range(20):
        watch = await db.watch(Seen(), interval=0)
        await change(db, "x")
        await asyncio.wait_for(watch.stop(), 30)
