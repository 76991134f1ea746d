"""What one group commit writes, and what a crash leaves to be estimated."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from omni_connector.booking import Booking
from omni_connector.budgets import Budgets
from omni_connector.frames import Frame
from omni_connector.snapshot import Account, Limit, PriceOverride, Snapshot
from omni_connector.store import allowances, books, requests, rollups
from omni_connector.store.allowances import Ask, Claim, Granted
from omni_connector.store.engine import Database

NOW = 1_800_000_000_000
ACCOUNT = Account("acc_1", "openai", "main", prices=(PriceOverride("m", input=Decimal(2), output=Decimal(8)),))
SERVED = {"account_id": "acc_1", "account_label": "main", "provider": "openai", "model": "m"}
EVERYTHING = Limit("installation", budget={"amount": "1", "period": "total"})


@pytest.fixture
async def db(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Database]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield database
    await database.close()


@pytest.fixture
async def booking(db: Database) -> Booking:
    budgets = Budgets(db, lambda: NOW)
    await budgets.follow(Snapshot(limits=(EVERYTHING,)))
    return Booking(db, budgets, {"acc_1": ACCOUNT}.get, lambda: NOW)


def row(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "started_at": NOW, "process_id": "prc_1", "est_input": 1_000_000, **SERVED, **more}


async def test_who_ends_makes_room_and_who_left_while_asking_holds_nothing(booking: Booking, db: Database) -> None:
    claim = Claim("key", "key_1", max_in_flight=1)
    (first,) = await booking.write([row("a")], [], [], [Ask("a", NOW, (claim,))])
    ending = [{"id": name, "settled_at": NOW, "outcome": "ok"} for name in ("a", "b")]
    (second,) = await booking.write([row("b")], ending, [], [Ask("b", NOW, (claim,))])
    assert isinstance(first, Granted) and isinstance(second, Granted)
    assert await db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar()) == 0


async def test_what_a_crash_leaves_costs_its_prompt_at_least(booking: Booking, db: Database) -> None:
    await booking.write([row("a"), row("b", account_id="acc_gone")], [], [], [])
    assert await db.tx(lambda conn: books.recover(conn, ["prc_1"], NOW, booking.estimate)) == 2
    found = await db.run(lambda conn: requests.get(conn, "a"))
    assert found is not None and (found["cost_nano"], found["price_source"], found["account_label"]) == (2_000_000_000, "override", "main")
    assert await db.run(rollups.check) == []
    period = ("installation", "", 0, 1 << 62)
    assert await db.run(lambda conn: allowances.known(conn, [period])) == [(*period, 2_000_000_000)]


async def test_a_request_that_nobody_served_says_so(booking: Booking, db: Database) -> None:
    nobody = dict.fromkeys(SERVED)
    ending = {"id": "a", "settled_at": NOW, "outcome": "failed", "http_status": 503, **nobody, "told": True}
    bare = {"id": "b", "settled_at": NOW, "outcome": "failed"}
    await booking.write([row("a"), row("b")], [ending, bare], [], [])
    served = [await db.run(lambda conn, name=name: requests.get(conn, name)) for name in "ab"]
    assert [{key: found[key] for key in SERVED} for found in served if found] == [nobody, SERVED]
    assert await db.run(rollups.check) == []


async def test_what_waited_while_the_database_was_away_goes_over_in_one_go(
    booking: Booking, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several nodes come with theirs at once, and the sums of an hour are one row: each frame by itself held it for half a minute."""
    calls: list[int] = []
    real = books.settle

    def settle(conn: Any, rows: Any) -> Any:
        calls.append(len(rows))
        return real(conn, rows)

    monkeypatch.setattr(books, "settle", settle)

    def settled(name: str, cost: int) -> dict[str, Any]:
        return {"id": name, "settled_at": NOW, "outcome": "ok", "http_status": 200, "cost_nano": cost}

    names = [f"req_{number:03}" for number in range(50)]
    frames = [Frame(2 * at + 1, [row(name)], [], []) for at, name in enumerate(names)]
    frames += [Frame(200 + at, [], [settled(name, 7)], []) for at, name in enumerate(names)]
    frames += [Frame(300, [], [settled(names[0], 9)], [])]
    for _ in range(2):  # the answer to the first commit may not have come
        await booking.carry("prc_1-1.spill", frames, "prc_1", False, False)
    assert calls == [50, 1], "who is settled twice is so one after the other, and the first counts"
    found = await db.run(lambda conn: conn.exec_driver_sql("SELECT id, cost_nano FROM requests").fetchall())
    assert sorted(map(tuple, found)) == [(name, 7) for name in names]
    assert await db.run(rollups.check) == []
