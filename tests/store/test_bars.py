"""Sums over time: the same as the sums, split by the hours and days of any zone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from omni_connector.store import bars, books, pruning, requests, sums
from omni_connector.store.engine import Database
from tests.store.test_requests import DAY, START, book, opened, settled

HOUR = 3_600_000


async def over_time(db: Database, bucket: Any, group: Any, since: int, until: int, zone: Any = UTC, provider: str | None = None) -> Any:
    """Name of the place → name of the row → requests, cost."""
    places = bars.places(bucket, since, until, zone)
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for place, row in await db.run(lambda conn: bars.usage(conn, group, places, (since, until), provider)):
        found.setdefault(places[place][0], {})[row["name"]] = row["requests"], row["cost_nano"]
    return found


async def by_day(db: Database, span: tuple[int, int], zone: Any) -> list[requests.Row]:
    return await db.run(lambda conn: sums.usage(conn, "day", *span, zone))


async def test_hours_and_days_of_a_group(db: Database) -> None:  # C-80, C-97
    main = {"account_id": "acc_1", "account_label": "main", "provider": "groq", "cost_nano": 10}
    await book(
        db,
        (opened(1), main),
        (opened(2), {**main, "cost_nano": 5}),
        (opened(3), None),  # in flight
        (opened(7200), {**main, "account_id": "acc_2", "account_label": "b"}),
        (opened(DAY // 1000), main),
    )
    days = await over_time(db, "day", "account", START, START + 2 * DAY)
    assert days == {"2025-11-21": {"main": (2, 15), "": (1, 0), "b": (1, 10)}, "2025-11-22": {"main": (1, 10)}}
    assert await over_time(db, "day", "account", START, START + 2 * DAY, provider="openai") == {}
    hours = await over_time(db, "hour", "provider", START, START + 3 * HOUR)
    assert [list(found.items()) for found in hours.values()] == [[("", (1, 0)), ("groq", (2, 15))], [("groq", (1, 10))]]
    assert [name[13:] for name in hours] == [":00Z", ":00Z"]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-03-29", 24),
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/St_Johns", "2026-03-08", 23),  # three and a half hours behind
        ("Asia/Kathmandu", "2026-03-29", 24),  # five and three quarters ahead
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Africa/Cairo", "2026-04-24", 23),  # there is no midnight that day
    ],
)
async def test_days_are_those_of_the_zone_and_add_up_to_the_sums(lite: Database, zone: str, day: str, hours: float) -> None:  # C-80
    where = ZoneInfo(zone)
    midnight = bars.places("day", round(datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=where).timestamp() * 1000), 1 << 42, where)
    begin = midnight[0][1]
    rows: list[dict[str, Any]] = [
        {"id": f"req_{at}", "started_at": at, "process_id": "p"} for at in range(begin - 3 * DAY, begin + 4 * DAY, HOUR // 4)
    ]
    await lite.tx(lambda conn: requests.insert_open(conn, rows))
    await lite.tx(lambda conn: books.settle(conn, [settled(row, cost_nano=1) for row in rows if row["started_at"] % HOUR]))
    span = begin - 3 * DAY + 7, begin + 4 * DAY - 7
    found = {
        name: sum(count for count, _ in rows.values()) for name, rows in (await over_time(lite, "day", "client", *span, where)).items()
    }
    assert found[day] == hours * 4
    assert found == {row["name"]: row["requests"] for row in await by_day(lite, span, where)}


async def test_what_retention_left_and_the_ends_of_the_span(db: Database) -> None:  # C-80
    await book(db, *((opened(minute * 60), {"cost_nano": 1} if minute % 7 else None) for minute in range(300)))
    for since, until in ((0, 300), (1, 299), (59, 61), (61, 119), (5, 6)):
        span = START + since * 60_000, START + until * 60_000
        found = await over_time(db, "hour", "model", *span)
        assert sum(count for rows in found.values() for count, _ in rows.values()) == until - since, (since, until)
    gone = await db.run(lambda conn: pruning.oldest(conn, START + 200 * 60_000, limit=1000))
    await db.tx(lambda conn: pruning.delete(conn, gone))
    for zone in (UTC, ZoneInfo("Asia/Kolkata")):
        span = START - DAY, START + DAY
        days = await over_time(db, "day", "model", *span, zone)
        all_of_it = await by_day(db, span, zone)
        assert {name: sum(count for count, _ in rows.values()) for name, rows in days.items()} == {
            row["name"]: row["requests"] for row in all_of_it
        }


async def test_one_query_on_the_sums_whatever_the_span(lite: Database) -> None:
    """A year of days by account: the hours are added up by the database, in few cases."""
    asked: list[str] = []

    def look(conn: sa.Connection) -> None:
        sa.event.listen(conn, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
        zone, since = ZoneInfo("Europe/Berlin"), 1_767_222_000_000
        bars.usage(conn, "account", bars.places("day", since, since + 365 * DAY, zone), (since, since + 365 * DAY), None)

    await lite.run(look)
    on_sums = [statement for statement in asked if "usage_hours" in statement]
    assert len(on_sums) == 1
    assert on_sums[0].count("WHEN") <= 5
    assert len([statement for statement in asked if "requests" in statement and statement not in on_sums]) <= 2
