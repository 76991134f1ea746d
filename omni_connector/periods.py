"""Days, weeks, months by somebody's calendar: when they begin and end. Pure; a day of a change of clocks has 23 or 25 hours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

PERIODS: Mapping[str, str] = {"day": "today", "week": "this week", "month": "this month", "total": "in total"}
"""Period → its words after an amount."""
NEVER = 1 << 62
"""The end of "total"."""


def zone_of(name: str | None) -> tzinfo:
    """An IANA name; UTC when nothing is said. Raises KeyError (ZoneInfoNotFoundError) for a name that nobody knows."""
    return UTC if not name or name == "UTC" else ZoneInfo(name)


def period_start(period: str, now: int, zone: tzinfo = UTC) -> int:
    """The beginning (ms) of the calendar day, of the week (Monday) or of the month around `now`; 0 for "total"."""
    if period == "total":
        return 0
    return _ms(_first_day(period, datetime.fromtimestamp(now / 1000, zone)))


def period_end(period: str, now: int, zone: tzinfo = UTC) -> int | None:
    """When the next period begins (ms); None for "total"."""
    if period == "total":
        return None
    first = _first_day(period, datetime.fromtimestamp(now / 1000, zone))
    # By the calendar, not by hours.
    longer = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=32)}[period]
    return _ms(_first_day(period, first + longer))


@lru_cache(maxsize=4096)
def _bounds_in_minute(period: str, minute: int, zone: str) -> tuple[int, int]:
    now, where = minute * 60_000, zone_of(zone)
    end = period_end(period, now, where)
    return period_start(period, now, where), NEVER if end is None else end


def bounds(period: str, now: int, zone: str = "") -> tuple[int, int]:
    """[begin, end) of the period around `now`, by the calendar of `zone`."""
    # Every zone of our days changes on whole minutes, so one answer serves all requests of a minute.
    return _bounds_in_minute(period, now // 60_000, zone)


def _first_day(period: str, moment: datetime) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "month":
        return midnight.replace(day=1)
    return midnight - timedelta(days=midnight.weekday()) if period == "week" else midnight


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
