"""Upkeep of the books: what goes when, in steps that nobody has to wait for, and sums that are put right."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector import upkeep
from omni_connector.secrets import new_id
from omni_connector.settings import Settings, load
from omni_connector.store import books, kept, partitions, pruning, requests, rollups, server, sums
from omni_connector.store.engine import Database
from omni_connector.store.tables import usage_hours
from omni_connector.upkeep import HOUR, MB, STEP_MS, Pace, Upkeep, make_months

DAY = 24 * HOUR
NOW = 1_800_000_000_000


class Books:
    """A database with one clock, a disk of its own size, and alerts that are written down."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db, self.home = db, home
        self.settings: Settings = load({}, {})
        self.free = 100 * 1024 * MB
        self.alerts: list[tuple[str, str]] = []
        self.upkeep = Upkeep(db, lambda: self.settings, home, lambda: NOW, self, lambda folder: self.free)

    def change(self, **values: Any) -> None:
        self.settings = load({f"OMNI_{name.upper()}": str(value) for name, value in values.items()}, {})

    async def begin(self, kind: str, subject: str, message: str) -> bool:
        self.alerts.append((kind, message))
        return True

    async def over(self, kind: str, subject: str) -> bool:
        self.alerts.append((kind, ""))
        return True

    async def fill(self, ages: list[int], *, settled: bool = True, size: int = 0) -> list[str]:
        rows = [{"id": new_id("req", NOW - age), "started_at": NOW - age, "process_id": "p"} for age in ages]
        ends = [{"id": row["id"], "settled_at": NOW, "outcome": "ok", "cost_nano": 1, "error_message": "x" * size} for row in rows]

        def write(conn: sa.Connection) -> None:
            requests.insert_open(conn, rows)
            books.settle(conn, ends if settled else [])

        await self.db.tx(write)
        return [str(row["id"]) for row in rows]

    async def left(self) -> set[str]:
        return {row["id"] for row in await self.db.run(lambda conn: requests.list_requests(conn, limit=500))}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Books]:
    database = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await database.migrate()
    yield Books(database, tmp_path)
    await database.close()


async def test_rows_go_after_their_days_and_beyond_their_number(house: Books) -> None:
    ids = await house.fill([age * DAY for age in range(20, 0, -1)])
    (open_one,) = await house.fill([100 * DAY], settled=False)
    house.change(retention_days=10, retention_rows=1000)
    assert await house.upkeep.retention() == "10 request rows and 0 kept answers deleted"
    house.change(retention_days=0, retention_rows=5)
    await house.upkeep.retention()
    assert await house.left() == {open_one, *ids[15:]}, "the newest stay, and what is in flight"
    house.change(retention_days=0, retention_rows=0)
    assert await house.upkeep.retention() == "0 request rows and 0 kept answers deleted"
    told = await house.db.run(lambda conn: sums.usage(conn, "account", 0, NOW))
    assert sum(row["requests"] for row in told) == 21, "what was used is known for good"


async def test_kept_answers_go_after_their_days(house: Books) -> None:
    rows = [{"kind": "call", "key_id": "k", "id": f"c{n}", "created_at": NOW - n * DAY - 1, "value": b"x"} for n in range(10)]
    await house.db.tx(lambda conn: kept.put(conn, rows))
    house.change(kept_days=0)
    assert (await house.upkeep.retention()).endswith("0 kept answers deleted")
    house.change(kept_days=2)
    assert await house.upkeep.retention() == "0 request rows and 8 kept answers deleted"
    left = await house.db.run(lambda conn: kept.get(conn, "call", "k", [row["id"] for row in rows]))
    assert [row["id"] for row in left] == ["c0", "c1"]


async def test_the_file_keeps_to_its_size_and_gives_room_back(house: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "SLACK", MB // 4)
    ids = await house.fill([(400 - number) * 600_000 for number in range(400)], size=10_000)
    answers = [{"kind": "call", "key_id": "k", "id": f"c{n}", "created_at": NOW - n * DAY - 1, "value": b"x"} for n in range(5)]
    await house.db.tx(lambda conn: kept.put(conn, answers))
    before = await house.db.run(pruning.size)
    assert before is not None and before.used > 4 * MB
    house.change(keep_requests_mb=2)
    said = await house.upkeep.retention()
    after = await house.db.run(pruning.size)
    left = await house.left()
    assert after is not None and MB // 2 < after.used <= 2 * MB  # the last step may take more than it must
    assert after.file < 2.6 * MB and "MiB given back" in said
    assert left == set(ids[-len(left) :]), "the newest stay"
    kept_ones = await house.db.run(lambda conn: kept.get(conn, "call", "k", [row["id"] for row in answers]))
    assert {row["id"] for row in kept_ones} <= {"c0", "c1", "c2"}, "answers go with the requests of their time"
    house.change(keep_requests_mb=1)
    await house.fill([0], size=2 * MB)
    await house.upkeep.retention()
    assert len(await house.left()) >= 1, "nothing of the last hour is deleted for want of room"


async def test_a_disk_that_is_nearly_full_is_told_and_room_is_made(house: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "ROOM", MB)
    ids = await house.fill([(400 - number) * 600_000 for number in range(400)], size=10_000)
    await house.upkeep.guard()
    assert house.alerts == [("disk_low", "")] and len(await house.left()) == 400
    house.free = 200 * MB
    said = await house.upkeep.guard()
    assert house.alerts[-1][0] == "disk_low" and "Only 200 MB are free" in house.alerts[-1][1] and "200 MB" in said
    left = await house.left()
    assert 200 < len(left) < 350 and left == set(ids[-len(left) :])
    size = await house.db.run(pruning.size)
    assert size is not None and size.free >= MB
    await house.upkeep.guard()
    assert await house.left() == left, "the room that was made is enough until it is used"
    house.free = 300 * MB
    seen = len(house.alerts)
    await house.upkeep.guard()
    assert len(house.alerts) == seen, "not to and fro at the edge"
    house.free = 400 * MB
    await house.upkeep.guard()
    assert house.alerts[-1] == ("disk_low", "")
    house.free = 0
    house.change(disk_reserve_mb=0)
    assert await house.upkeep.guard() == "switched off by the settings"


async def test_wrong_sums_are_told_and_put_right(house: Books, caplog: pytest.LogCaptureFixture) -> None:
    await house.fill([number * HOUR for number in range(60)])
    assert await house.upkeep.check() == "the sums of usage equal the rows"
    assert house.alerts == [("usage_differs", "")]
    hour = NOW // HOUR - 30
    await house.db.tx(lambda conn: conn.execute(sa.update(usage_hours).where(usage_hours.c.hour == hour).values(requests=9)))
    words = "1 hourly sums of usage differed from the requests, in 1 hours; they were added up anew"
    assert await house.upkeep.check() == words
    assert house.alerts[-1] == ("usage_differs", words)
    assert "differ from the rows" in caplog.text
    assert await house.db.run(rollups.check) == []


def test_a_step_takes_on_as_much_as_its_time_allows() -> None:
    pace = Pace(100)
    pace.took(STEP_MS * 4)
    assert pace.size == 25
    pace.took(1000)
    pace.took(1000)
    assert pace.size == 1, "a disk that slow deletes row by row"
    for _ in range(60):
        pace.took(0.1)
    assert pace.size == upkeep.MOST


async def test_the_prompt_log_grows_old_by_its_own_setting(house: Books) -> None:  # C-59, J-19
    folder = house.home / "logs" / "prompts"
    folder.mkdir(parents=True)
    for days in (1, 8, 30):
        (folder / f"{days}.jsonl").write_text("{}")
        os.utime(folder / f"{days}.jsonl", (NOW / 1000 - days * 86_400,) * 2)
    house.change(retention_days=365)
    await house.upkeep.retention()
    assert [path.name for path in folder.iterdir()] == ["1.jsonl"]


# ---------------------------------------------------------------- Months on PostgreSQL


@pytest.fixture
async def monthly(postgres: Any, tmp_path: Path) -> AsyncIterator[Books]:
    url = await postgres.fresh()
    database = await Database.open(url)
    for part in await database.run(partitions.parts):  # those of the day on which the test runs
        assert await database.tx(lambda conn, one=part: partitions.drop(conn, one, 0, None))
    await make_months(database, NOW - 65 * DAY, 2)  # November to January: NOW is 2027-01-15
    yield Books(database, tmp_path)
    await database.close()
    await postgres.drop(url)


async def tables(house: Books) -> list[str]:
    return [part.name for part in await house.db.run(partitions.parts)]


async def test_months_are_made_ahead_and_go_as_a_whole(monthly: Books) -> None:
    assert await tables(monthly) == ["requests_y2026m11", "requests_y2026m12", "requests_y2027m01"]
    assert await monthly.upkeep.months() == "made requests_y2027m02, requests_y2027m03, requests_y2027m04"
    assert await monthly.upkeep.months() == "nothing was missing"
    ids = await monthly.fill([age * DAY for age in (60, 50, 20, 18, 5)])  # 11-16, 11-26, 12-26, 12-28, 01-10
    monthly.change(retention_days=19)
    assert await monthly.upkeep.retention() == "3 request rows and 0 kept answers deleted"
    assert await monthly.left() == set(ids[3:]), "the November as a whole, one row of December by itself"
    assert "requests_y2026m11" not in await tables(monthly) and "requests_y2026m12" in await tables(monthly)
    assert "equal" in await monthly.upkeep.check()
    told = await monthly.db.run(lambda conn: sums.usage(conn, "account", 0, NOW))
    assert sum(row["requests"] for row in told) == 5, "what was used is known for good"


async def test_rows_may_stay_until_their_month_goes(monthly: Books) -> None:
    ids = await monthly.fill([age * DAY for age in (60, 20, 18, 5)])
    monthly.change(retention_days=19, retention_whole_months=True)
    assert await monthly.upkeep.retention() == "1 request rows and 0 kept answers deleted"
    assert await monthly.left() == set(ids[1:])
    monthly.change(retention_days=0, retention_rows=2, retention_whole_months=True)
    await monthly.upkeep.retention()
    assert await monthly.left() == set(ids[2:]), "their number is kept to all the same"


async def test_a_month_that_is_held_goes_next_time(monthly: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_connector.store import engine

    monkeypatch.setattr(partitions, "LOCK_S", 0.01)
    monkeypatch.setattr(engine, "PAUSES_S", (0.001,))
    await monthly.fill([60 * DAY, 5 * DAY])
    monthly.change(retention_days=40, retention_whole_months=True)
    async with asyncio.timeout(20):
        held = asyncio.Event()

        async def hold() -> None:
            connection = await server.open_connection(monthly.db.url)
            async with connection.transaction():
                await connection.fetch("SELECT count(*) FROM requests")
                held.set()
                await done.wait()
            await connection.close()

        done = asyncio.Event()
        holder = asyncio.create_task(hold())
        await held.wait()
        assert await monthly.upkeep.retention() == "0 request rows and 0 kept answers deleted"
        done.set()
        await holder
    assert await monthly.upkeep.retention() == "1 request rows and 0 kept answers deleted"
