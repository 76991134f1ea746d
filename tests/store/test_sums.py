"""Sums by group and span: exact to the millisecond, from hourly sums and rows together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from omni_connector.snapshot import Account
from omni_connector.store import accounts, books, pruning, requests, rollups, sums
from omni_connector.store.engine import Database
from tests.store.test_requests import DAY, START, book, opened, settled

HOUR = 3_600_000
FIRST = START + 20 * 60_000
"""The first whole hour."""


async def test_sums_by_each_group(db: Database) -> None:  # R-49, C-80, C-105
    one = {"account_id": "acc_1", "account_label": "main", "provider": "groq", "model": "m", "input": 5, "output": 2, "cost_nano": 10}
    await book(
        db,
        (opened(1, key_id="key_1", key_name="laptop"), one),
        (opened(2, key_id="key_1", key_name="laptop"), {**one, "cost_nano": None, "cache_read": 4}),
        (opened(DAY // 1000), {**one, "outcome": "cut", "account_id": "acc_2", "account_label": "b", "provider": "openai"}),
        (opened(3), None),
        (opened(-1), {**one, "cost_nano": 99}),  # before the window
    )

    async def added(group: Any) -> dict[str, tuple[int, ...]]:
        listed = await db.run(lambda conn: sums.usage(conn, group, START, START + 2 * DAY))
        return {row["name"]: (row["requests"], row["failed"], row["input"], row["cost_nano"], row["unpriced"]) for row in listed}

    assert await added("account") == {"main": (2, 0, 10, 10, 1), "b": (1, 1, 5, 10, 0), "": (1, 0, 0, 0, 0)}
    assert await added("provider") == {"groq": (2, 0, 10, 10, 1), "openai": (1, 1, 5, 10, 0), "": (1, 0, 0, 0, 0)}
    assert await added("model") == {"m": (3, 1, 15, 20, 1), "auto": (1, 0, 0, 0, 0)}
    assert await added("key") == {"laptop": (2, 0, 10, 10, 1), "": (2, 1, 5, 10, 0)}
    assert list((await added("day")).items()) == [("2025-11-21", (3, 0, 10, 10, 1)), ("2025-11-22", (1, 1, 5, 10, 0))]
    shifted = await db.run(lambda conn: sums.usage(conn, "day", START, START + DAY, ZoneInfo("Etc/GMT+12")))
    assert [(row["name"], row["id"], row["cache_read"]) for row in shifted] == [("2025-11-20", None, 4)]


async def test_activity_of_accounts(db: Database, vault: Any) -> None:
    for label in ("busy", "idle"):
        await db.tx(lambda conn, label=label: accounts.insert(conn, vault, Account(id=f"acc_{label}", provider="demo", label=label)))
    end = {"account_id": "acc_busy", "duration_ms": 7, "cost_nano": 3}
    await book(
        db,
        *(
            (opened(number), {**end, "outcome": "failed" if number == 4 else "ok", "flag": "X" if number == 4 else None})
            for number in range(6)
        ),
        (opened(7, account_id="acc_busy"), None),
        (opened(8), {"account_id": "acc_deleted"}),
    )
    activity = await db.run(lambda conn: sums.account_activity(conn, START + 3000, per_account=4))
    assert activity["acc_idle"] == {"heartbeat": [], "requests": 0, "failed": 0, "cost_nano": 0, "unpriced": 0}
    beats = activity["acc_busy"].pop("heartbeat")
    assert [(beat["at"], beat["ok"], beat["ms"], beat["flag"]) for beat in beats] == [
        (START + 3000, True, 7, None),
        (START + 4000, False, 7, "X"),
        (START + 5000, True, 7, None),
    ]  # the fourth newest is the open one
    assert activity["acc_busy"] == {"requests": 4, "failed": 1, "cost_nano": 9, "unpriced": 0}
    assert set(activity) == {"acc_busy", "acc_idle"}


async def test_sums_by_client_and_hour_and_of_one_provider(db: Database) -> None:  # C-80, C-81
    await book(
        db,
        (opened(1, client="curl/8"), {"provider": "groq", "cost_nano": 3}),
        (opened(7200, client="sdk"), {"provider": "openai", "cost_nano": 5}),
    )
    ask = lambda group, **more: db.run(lambda conn: sums.usage(conn, group, START, START + DAY, **more))  # noqa: E731
    assert {row["name"]: row["cost_nano"] for row in await ask("client")} == {"curl/8": 3, "sdk": 5}
    hours = [row["name"] for row in await ask("hour")]
    assert [hour[13:] for hour in hours] == [":00Z", ":00Z"]
    assert hours == sorted(hours)
    assert [(row["name"], row["cost_nano"]) for row in await ask("client", provider="groq")] == [("curl/8", 3)]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-03-29", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/St_Johns", "2026-03-08", 23),  # three and a half hours behind
        ("Asia/Kathmandu", "2026-03-29", 24),  # five and three quarters ahead
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
    ],
)
async def test_a_day_is_that_of_the_zone_whatever_clocks_do(lite: Database, zone: str, day: str, hours: float) -> None:  # C-80
    where = ZoneInfo(zone)
    midnight = round(datetime.fromisoformat(day).replace(tzinfo=where).timestamp() * 1000)
    rows = [{"id": f"req_{at}", "started_at": at, "process_id": "p"} for at in range(midnight - DAY, midnight + 2 * DAY, HOUR // 4)]
    await lite.tx(lambda conn: requests.insert_open(conn, rows))
    await lite.tx(lambda conn: books.settle(conn, [settled(row, cost_nano=1) for row in rows if row["started_at"] % HOUR]))
    ask = lambda: lite.run(lambda conn: sums.usage(conn, "day", midnight - DAY, midnight + 2 * DAY, where))  # noqa: E731
    counted = {row["name"]: row["requests"] for row in await ask()}
    assert counted[day] == hours * 4
    assert sum(counted.values()) == len(rows)
    assert counted == _by_hand(rows, where)


def _by_hand(rows: list[dict[str, Any]], zone: ZoneInfo) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        day = datetime.fromtimestamp(row["started_at"] / 1000, UTC).astimezone(zone).date().isoformat()
        found[day] = found.get(day, 0) + 1
    return found


async def test_the_ends_of_a_span_are_exact_to_the_millisecond(db: Database) -> None:  # C-80
    await book(db, *((opened(minute * 60), {"cost_nano": 1} if minute % 7 else None) for minute in range(300)))
    for since, until in ((0, 300), (1, 299), (59, 61), (60, 120), (61, 119), (61, 62), (120, 121), (119, 120), (5, 5)):
        span = START + since * 60_000, START + until * 60_000
        found = await db.run(lambda conn, span=span: sums.usage(conn, "model", *span))
        assert sum(row["requests"] for row in found) == until - since, (since, until)
        assert sum(row["cost_nano"] for row in found) == sum(1 for minute in range(since, until) if minute % 7)
    late = await db.run(lambda conn: sums.usage(conn, "model", START + 1, START + 60_001))
    assert [row["requests"] for row in late] == [1]


async def test_history_outlives_its_rows_hour_by_hour(db: Database) -> None:
    await book(db, *((opened(1200 + minute * 60), {"cost_nano": 1}) for minute in range(180)))
    gone = await db.run(lambda conn: pruning.oldest(conn, FIRST + 90 * 60_000, limit=1000))
    assert await db.tx(lambda conn: pruning.delete(conn, gone)) == 90

    async def counted(since: int, until: int) -> int:
        rows = await db.run(lambda conn: sums.usage(conn, "account", FIRST + since * 60_000, FIRST + until * 60_000))
        return sum(row["requests"] for row in rows)

    assert await counted(0, 180) == 180
    # Of an hour whose rows are gone only the whole is known: it counts where it begins.
    assert (await counted(0, 30), await counted(30, 60), await counted(30, 100), await counted(100, 130)) == (60, 0, 60, 10)
    assert await db.run(rollups.whole_from) == FIRST // HOUR + 2
    assert await db.run(rollups.check) == []


async def test_keys_and_accounts_go_by_id_and_are_told_by_their_name_of_today(db: Database, vault: Any) -> None:  # C-80
    for label in ("old", "gone"):
        account = {"account_id": f"acc_{label}", "account_label": label, "cost_nano": 1}
        await book(db, (opened(1), account), (opened(7200), {**account, "account_label": f"{label}er"}))
    await db.tx(lambda conn: accounts.insert(conn, vault, Account(id="acc_old", provider="demo", label="new")))
    found = await db.run(lambda conn: sums.usage(conn, "account", START, START + DAY))
    assert [(row["id"], row["name"], row["requests"]) for row in found] == [("acc_gone", "goneer", 2), ("acc_old", "new", 2)]
