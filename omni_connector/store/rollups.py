"""Hourly sums of usage (`tables.usage_hours`) that always equal the rows: whatever closes or changes a closed row moves them in the same
transaction. They outlive the rows, which retention deletes.

A row counts in the UTC hour in which its request began. `whole_from` tells from which hour on no row was deleted: there sums and rows
can be compared, and made anew from the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import add as plus
from operator import sub as minus
from typing import Any

import sqlalchemy as sa

from omni_connector.store.filters import FAILED
from omni_connector.store.prebuilt import Prebuilt
from omni_connector.store.requests import HOUR_MS, TOKENS, Row
from omni_connector.store.settings import get_meta, set_meta
from omni_connector.store.tables import requests as r
from omni_connector.store.tables import usage_hours as t

KEY = ("hour", "key_id", "account_id", "provider", "model", "client")
NAMES = ("key_name", "account_label")
SUMS = ("requests", "failed", *TOKENS, "cost_nano", "unpriced", "shadow_nano")
MOST_DIFFERENCES = 1000
"""That are told; more would be no more news."""
_WHOLE_FROM = "requests_whole_from"
_STEP = 24
"""Hours that are compared at once."""

Key = tuple[Any, ...]
Sum = tuple[list[str], list[int]]
"""NAMES and SUMS."""


def _add_statement(dialect: Any) -> Any:
    insert = dialect.insert(t).values({column.name: sa.bindparam(f"new_{column.name}", type_=column.type) for column in t.columns})
    # A name that a batch does not know must not wipe out the known one.
    named = {name: sa.func.coalesce(sa.func.nullif(insert.excluded[name], sa.literal_column("''")), t.c[name]) for name in NAMES}
    return insert.on_conflict_do_update(index_elements=KEY, set_={**named, **{name: t.c[name] + insert.excluded[name] for name in SUMS}})


_ADD = Prebuilt(_add_statement)


def add(conn: sa.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds closed rows (columns `requests.BOOKED`), each of which passes here exactly once."""
    sums: dict[Key, Sum] = {}
    for row in rows:
        _count(sums, row, 1)
    _write(conn, sums)


def move(conn: sa.Connection, before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> None:
    """The same rows as they were and as they are now: moves the sums by the difference."""
    sums: dict[Key, Sum] = {}
    for row in before:
        _count(sums, row, -1)
    for row in after:
        _count(sums, row, 1)
    _write(conn, sums)


def _count(sums: dict[Key, Sum], row: Mapping[str, Any], sign: int) -> None:
    key = (
        row["started_at"] // HOUR_MS,
        row["key_id"] or "",
        row["account_id"] or "",
        row["provider"] or "",
        row["model_requested"] if row["model"] is None else row["model"],
        row["client"],
    )
    cost = row["cost_nano"]
    tokens = [row[name] or 0 for name in TOKENS]
    unpriced = cost is None and ((row["input"] or 0) > 0 or (row["output"] or 0) > 0)
    counts = (1, row["outcome"] in FAILED, *tokens, cost or 0, unpriced, row["shadow_nano"] or 0)
    known = sums.get(key)
    if known is None:
        known = sums[key] = (["", ""], [0] * len(SUMS))
    names, figures = known
    names[0], names[1] = row["key_name"] or names[0], row["account_label"] or names[1]
    figures[:] = map(plus if sign > 0 else minus, figures, counts)


def _write(conn: sa.Connection, sums: Mapping[Key, Sum]) -> None:
    # In order, so that two processes that add to the same rows never wait for each other in a circle.
    moved = ((key, *sums[key]) for key in sorted(sums))
    rows = [dict(zip((*KEY, *NAMES, *SUMS), (*key, *names, *figures), strict=True)) for key, names, figures in moved if any(figures)]
    if rows:
        _ADD.run(conn, rows)


# ---------------------------------------------------------------- Are they equal?


def whole_from(conn: sa.Connection) -> int:
    """The hour (since 1970) from which on all rows are still there."""
    return int(get_meta(conn, _WHOLE_FROM) or 0)


def rows_gone(conn: sa.Connection, started_at: int) -> None:
    """Says that rows were deleted, the latest of which began then (ms)."""
    first = started_at // HOUR_MS + 1
    if first > whole_from(conn):
        set_meta(conn, _WHOLE_FROM, str(first))


def check(conn: sa.Connection) -> list[Row]:
    """Where sums and rows differ, in all hours whose rows are still there; [] when they are equal.

    Differences: KEY, "rows" and "sums" (each SUMS → figure), MOST_DIFFERENCES at most.
    """
    found: list[Row] = []
    begin: int | None = 0
    while begin is not None and len(found) < MOST_DIFFERENCES:
        more, begin = check_on(conn, begin)
        found += more
    return found[:MOST_DIFFERENCES]


def check_on(conn: sa.Connection, begin: int) -> tuple[list[Row], int | None]:
    """`check` of a day from the hour `begin` on, so that nobody waits for it; and where to go on, None at the end."""
    begin = max(begin, whole_from(conn))
    # Hours of which there is nothing are passed over: a wrong clock may have put decades of them in between.
    at = conn.execute(sa.select(sa.func.min(r.c.started_at)).where(r.c.started_at >= begin * HOUR_MS)).scalar()
    hour = conn.execute(sa.select(sa.func.min(t.c.hour)).where(t.c.hour >= begin)).scalar()
    first = min((*([] if at is None else [int(at) // HOUR_MS]), *([] if hour is None else [int(hour)])), default=None)
    return ([], None) if first is None else (_compare(conn, first, first + _STEP), first + _STEP)


def _compare(conn: sa.Connection, first: int, last: int) -> list[Row]:
    # As plain tuples: there may be a hundred thousand of them.
    sums = sa.select(*(t.c[name] for name in (*KEY, *NAMES, *SUMS))).where(t.c.hour >= first, t.c.hour < last)
    counted, kept = (
        {tuple(row[: len(KEY)]): tuple(row[len(KEY) + len(NAMES) :]) for row in conn.execute(query)}
        for query in (_from_rows(first, last), sums)
    )
    nothing = (0,) * len(SUMS)
    return [
        {
            **dict(zip(KEY, key, strict=True)),
            **{
                side: dict(zip(SUMS, map(int, figures), strict=True))
                for side, figures in (("rows", counted.get(key, nothing)), ("sums", kept.get(key, nothing)))
            },
        }
        for key in sorted(counted.keys() | kept.keys())
        if counted.get(key, nothing) != kept.get(key, nothing)
    ]


def _from_rows(first: int, last: int) -> sa.Select[Any]:
    """The table as the rows of the hours [first, last) make it."""
    keys = (
        (r.c.started_at // HOUR_MS).label("hour"),
        *(sa.func.coalesce(r.c[name], sa.literal_column("''")).label(name) for name in ("key_id", "account_id", "provider")),
        sa.func.coalesce(r.c.model, r.c.model_requested).label("model"),
        r.c.client,
    )
    names = (sa.func.coalesce(sa.func.max(r.c[name]), "").label(name) for name in NAMES)
    return (
        sa.select(*keys, *names, *sums_of_rows())
        .where(r.c.started_at >= first * HOUR_MS, r.c.started_at < last * HOUR_MS, r.c.state == "settled")
        .group_by(*(sa.text(str(place + 1)) for place in range(len(KEY))))
    )


def sums_of_rows() -> list[sa.Label[Any]]:
    """SUMS over rows, open ones too."""

    def count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    unpriced = sa.and_(r.c.state == "settled", r.c.cost_nano.is_(None), sa.or_(r.c.input > 0, r.c.output > 0))
    return [
        sa.func.count().label("requests"),
        count(r.c.outcome.in_(FAILED)).label("failed"),
        *(sa.func.coalesce(sa.func.sum(r.c[name]), 0).label(name) for name in (*TOKENS, "cost_nano")),
        count(unpriced).label("unpriced"),
        sa.func.coalesce(sa.func.sum(r.c.shadow_nano), 0).label("shadow_nano"),
    ]


def rebuild(conn: sa.Connection, hours: Iterable[int]) -> int:
    """Makes the sums of these hours anew from the rows; hours whose rows are not all there stay. Returns how many were made."""
    whole = [hour for hour in sorted(set(hours)) if hour >= whole_from(conn)]
    names = [*KEY, *NAMES, *SUMS]
    for hour in whole:
        conn.execute(sa.delete(t).where(t.c.hour == hour))
        fresh = _from_rows(hour, hour + 1).subquery()
        conn.execute(sa.insert(t).from_select(names, sa.select(*(sa.cast(fresh.c[name], t.c[name].type) for name in names))))
    return len(whole)
