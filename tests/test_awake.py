"""What runs beside requests elsewhere is done by the requests: the look at the configuration, the sign of life, what is left to write."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector import awake
from omni_connector.awake import BEAT_MS, LOOK_MS, Awake
from omni_connector.gateway import TOUCH_S, Gateway
from omni_connector.secrets import new_id
from omni_connector.store.files import Away
from omni_connector.store.tables import processes, requests

START = 1_800_000_000_000


class Process:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway, self.now, self.beats = gateway, START, 0
        self.awake = Awake(gateway, lambda: self.now)

    async def request(self) -> None:
        async with self.awake.request():
            pass

    async def seen(self) -> int:
        query = sa.select(sa.func.count()).select_from(processes).where(processes.c.id == self.gateway.process_id)
        return int(await self.gateway.db.run(lambda conn: conn.execute(query).scalar_one()))


@pytest.fixture
async def process(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Process]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    gateway = await Gateway.open(home, {})
    gateway.has_siblings = True
    await gateway.serve(jobs=False, resident=False)
    yield Process(gateway)
    await gateway.close()


async def test_a_request_begins_with_a_picture_that_is_not_old(process: Process, tmp_path: Path) -> None:
    other = await Gateway.open(tmp_path / "home", {})
    await other.admin.set_config({"strategy": "cost"})
    await other.close()
    await process.request()
    assert process.gateway.settings.strategy == "auto", "looked a moment ago"
    process.now += LOOK_MS
    await process.request()
    assert process.gateway.settings.strategy == "cost"


async def test_who_serves_says_that_he_lives(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await process.seen() == 0, "a start needs nothing of the database but to read it"
    await process.request()
    assert await process.seen() == 1
    beats = 0

    async def beat() -> None:
        nonlocal beats
        beats += 1

    monkeypatch.setattr(process.gateway.jobs, "beat", beat)
    await process.request()
    assert beats == 0
    process.now += BEAT_MS
    await process.request()
    assert beats == 1
    process.now -= 10 * BEAT_MS  # a clock that was set back
    await process.request()
    assert beats == 2
    monkeypatch.setattr(awake, "BEAT_S", 0)
    async with process.awake.request(), asyncio.timeout(10):
        while beats < 5:
            await asyncio.sleep(0)
    assert process.awake._beating is None, "and says nothing any more when it is done"


async def test_a_database_that_is_away_fails_no_request(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> None:
        raise Away("the database is away")

    monkeypatch.setattr(process.gateway.jobs, "beat", away)
    monkeypatch.setattr(process.gateway, "_fresh", away)
    process.now += BEAT_MS
    await process.request()
    assert process.awake._beaten == 0, "the next request tries again"


async def test_what_is_left_is_written_before_the_host_hears_that_it_is_over(process: Process) -> None:
    gateway = process.gateway
    row = {"id": new_id("req", START), "started_at": START, "process_id": gateway.process_id}
    with pytest.raises(asyncio.CancelledError):
        async with process.awake.request():
            gateway.ledger.open(row)  # nobody awaits it: its client has left
            gateway.ledger.settle({"id": row["id"], "settled_at": START, "outcome": "left"})
            raise asyncio.CancelledError
    query = sa.select(requests.c.state).where(requests.c.id == row["id"])
    assert await gateway.db.run(lambda conn: conn.execute(query).scalar()) == "settled"


async def test_now_and_then_a_request_does_the_rest(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    breaths = []

    async def breathe() -> None:
        breaths.append(process.now)

    monkeypatch.setattr(process.gateway, "catch_breath", breathe)
    for _ in range(3):
        await process.request()
    assert not breaths
    process.now += int(TOUCH_S * 1000)
    await asyncio.gather(*(process.request() for _ in range(3)))
    assert len(breaths) == 1
