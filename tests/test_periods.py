"""Days, weeks and months by somebody's calendar."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.periods import NEVER, PERIODS, bounds, period_end, period_start, zone_of


def at(text: str, zone: tzinfo = UTC) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("period", "now", "start", "end"),
    [
        ("day", "2026-02-28T23:59:59.999", "2026-02-28", "2026-03-01"),
        ("day", "2028-02-29T00:00", "2028-02-29", "2028-03-01"),
        ("week", "2026-01-01T12:00", "2025-12-29", "2026-01-05"),
        ("week", "2026-03-02T00:00", "2026-03-02", "2026-03-09"),
        ("month", "2026-01-31T23:59:59.999", "2026-01-01", "2026-02-01"),
        ("month", "2026-02-01T00:00", "2026-02-01", "2026-03-01"),
        ("month", "2028-02-29T12:00", "2028-02-01", "2028-03-01"),
        ("month", "2026-12-31T23:59", "2026-12-01", "2027-01-01"),
    ],
)
def test_periods_are_those_of_the_calendar(period: str, now: str, start: str, end: str) -> None:
    assert (period_start(period, at(now)), period_end(period, at(now))) == (at(start), at(end))


def test_a_day_of_a_change_of_clocks_is_one_day() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    noon = at("2026-03-29T12:00", berlin)
    start, end = period_start("day", noon, berlin), period_end("day", noon, berlin)
    assert (start, end) == (at("2026-03-29", berlin), at("2026-03-30", berlin)) and end is not None and end - start == 23 * 3_600_000


@given(
    now=st.integers(0, 4_102_444_800_000),
    period=st.sampled_from(sorted(set(PERIODS) - {"total"})),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_periods_follow_each_other_without_a_gap(now: int, period: str, zone: str) -> None:
    where = ZoneInfo(zone)
    start, end = period_start(period, now, where), period_end(period, now, where)
    assert end is not None and start <= now < end
    assert period_start(period, end - 1, where) == start and period_start(period, end, where) == end
    assert datetime.fromtimestamp(start / 1000, where).hour == 0


def test_the_total_never_ends() -> None:
    assert (period_start("total", 5), period_end("total", 5)) == (0, None) and bounds("total", 5) == (0, NEVER)


def test_a_midnight_that_does_not_exist_begins_its_day_with_the_first_moment_that_does() -> None:
    beirut = zone_of("Asia/Beirut")  # clocks went from 0:00 to 1:00 on 31 March 2024
    noon = at("2024-03-31T12:00", beirut)
    start, end = bounds("day", noon, "Asia/Beirut")
    assert (start, end) == (at("2024-03-30T22:00"), at("2024-03-31T21:00")) and bounds("day", start - 1, "Asia/Beirut")[1] == start


def test_bounds_are_those_of_the_named_zone() -> None:
    kathmandu = zone_of("Asia/Kathmandu")
    assert bounds("day", at("2026-03-31T18:14:59.999"), "Asia/Kathmandu") == (at("2026-03-31", kathmandu), at("2026-04-01", kathmandu))
    assert bounds("month", at("2026-03-31T18:15"), "Asia/Kathmandu") == (at("2026-04-01", kathmandu), at("2026-05-01", kathmandu))
    with pytest.raises(KeyError):
        zone_of("Mars/Olympus")
