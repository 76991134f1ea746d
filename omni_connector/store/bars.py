"""What requests added up to over time: the sums of `sums.usage`, split by hours or days as well.

One query on the hourly sums does it, whatever the span: the database itself finds the day of an hour. Only the cut hours (at the ends of a
span, and at midnight where clocks differ by half hours) and what is in flight are read from the rows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Literal

import sqlalchemy as sa

from omni_connector.store import rollups
from omni_connector.store.filters import IS_OPEN
from omni_connector.store.requests import HOUR_MS, Row
from omni_connector.store.rollups import SUMS
from omni_connector.store.sums import MINUTE_MS, NAMED, Group, Span, grouped, hours_and_edges, names_of_today, settled_in
from omni_connector.store.tables import requests as r
from omni_connector.store.tables import usage_hours as h

Bucket = Literal["hour", "day"]
Place = tuple[str, int, int]
"""Name ("YYYY-MM-DD" or "YYYY-MM-DDTHH:00Z"), begin and end in ms."""

_HOURS_A_DAY = 24


def places(bucket: Bucket, from_ms: int, to_ms: int, zone: tzinfo = UTC) -> list[Place]:
    """The hours of UTC or days of `zone` that [from_ms, to_ms) touches, in order and without gap."""
    if bucket == "hour":
        begins = range(from_ms // HOUR_MS * HOUR_MS, to_ms, HOUR_MS)
        return [(f"{datetime.fromtimestamp(at // 1000, UTC):%Y-%m-%dT%H:00Z}", at, at + HOUR_MS) for at in begins]
    found: list[Place] = []
    day = datetime.fromtimestamp(from_ms // 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    begin = _ms(day)
    while begin < to_ms:
        name, day = day.date().isoformat(), day + timedelta(days=1)  # by the calendar: a day of the zone may have 23 or 25 hours
        found.append((name, begin, _ms(day)))
        begin = found[-1][2]
    return found


def usage(conn: sa.Connection, group: Group, over: Sequence[Place], span: Span, provider: str | None = None) -> list[tuple[int, Row]]:
    """Sums over requests started in `span` ([from, to) in ms), by the places `over` that it touches and by one group.

    Rows: index of the place, and what a row of `sums.usage` holds; over all places they add up to it. `group`: not a time.
    """
    whole_from = rollups.whole_from(conn)
    hours, edges = hours_and_edges(*span, whole_from)
    cut = [begin // HOUR_MS for _, begin, _ in over if begin % HOUR_MS and max(hours[0], whole_from) <= begin // HOUR_MS < hours[1]]
    spans = [*edges, *((hour * HOUR_MS, (hour + 1) * HOUR_MS) for hour in cut)]
    sums: dict[tuple[int, str], tuple[str, list[int]]] = {}

    def add(place: int, row: Row) -> None:
        name, known = sums.get((place, row["grouped"]), ("", [0] * len(SUMS)))
        figures = [one + int(row[column]) for one, column in zip(known, SUMS, strict=True)]
        sums[place, row["grouped"]] = max(name, row["name"] or ""), figures

    for row in _whole(conn, group, over, hours, cut, provider):
        add(int(row["place"]), row)
    for place, piece in _pieces(over, spans):
        for row in settled_in(conn, group, [piece], provider):
            add(place, row)
    begins = [begin for _, begin, _ in over]
    for row in _open(conn, group, span, provider):
        add(max(0, bisect_right(begins, int(row["minute"])) - 1), row)
    return _told(conn, group, sums)


def _told(conn: sa.Connection, group: Group, sums: dict[tuple[int, str], tuple[str, list[int]]]) -> list[tuple[int, Row]]:
    named = group in NAMED
    names = names_of_today(conn, group) if named else {}
    return [
        (
            place,
            {"id": (of or None) if named else None, "name": names.get(of, name) if named else of, **dict(zip(SUMS, figures, strict=True))},
        )
        for (place, of), (name, figures) in sorted(sums.items())
        if any(figures)
    ]


def _whole(
    conn: sa.Connection, group: Group, over: Sequence[Place], hours: tuple[int, int], cut: Sequence[int], provider: str | None
) -> list[Row]:
    by, name = grouped(group, h)
    within = [h.c.hour >= hours[0], h.c.hour < hours[1]]
    if cut:
        within.append(h.c.hour.not_in(cut))
    if provider is not None:
        within.append(h.c.provider == provider)
    figures = (sa.func.sum(h.c[column]).label(column) for column in SUMS)
    query = sa.select(_place(over).label("place"), by.label("grouped"), name, *figures).where(*within).group_by("place", "grouped")
    return [dict(row) for row in conn.execute(query).mappings()]


def _place(over: Sequence[Place]) -> sa.ColumnElement[int]:
    """The index of the place that an hour lies in. Days of 24 hours that follow each other are one division, so that a year is three or
    five cases (clocks that are put forward and back), not 365."""
    runs: list[tuple[int, int, int]] = []  # index, first hour, hours a place
    for index, (_, begin, end) in enumerate(over):
        hours = -(-end // HOUR_MS) - -(-begin // HOUR_MS)
        if not runs or hours != runs[-1][2] or hours not in (1, _HOURS_A_DAY):
            runs.append((index, -(-begin // HOUR_MS), hours))

    def within(index: int, first: int, hours: int) -> sa.ColumnElement[int]:
        return sa.literal_column(str(index)) + (h.c.hour - sa.literal_column(str(first))) // sa.literal_column(str(max(1, hours)))

    if len(runs) == 1:
        return within(*runs[0])
    cases = [(h.c.hour < following[1], within(*run)) for run, following in pairwise(runs)]
    return sa.case(*cases, else_=within(*runs[-1]))


def _pieces(over: Sequence[Place], spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """The spans, each cut where a place ends."""
    for since, until in spans:
        for index, (_, begin, end) in enumerate(over):
            if max(since, begin) < min(until, end):
                yield index, (max(since, begin), min(until, end))


def _open(conn: sa.Connection, group: Group, span: Span, provider: str | None) -> list[Row]:
    by, name = grouped(group, r)
    minute = (r.c.started_at // MINUTE_MS * MINUTE_MS).label("minute")  # no zone changes its day within one
    query = sa.select(minute, by.label("grouped"), name, *rollups.sums_of_rows())
    query = query.where(IS_OPEN, r.c.started_at >= span[0], r.c.started_at < span[1]).group_by("minute", "grouped")
    if provider is not None:
        query = query.where(r.c.provider == provider)
    return [dict(row) for row in conn.execute(query).mappings()]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
