"""Filters of the request log, and the way to the rows that several of them let through.

Most filters have an index in which their rows stand newest first. With several, a page follows the index of the one with the fewest rows
and looks at what it finds there; the others must not tempt the database to go by an index of theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.store import tables
from omni_connector.store.tables import requests as t
from omni_connector.values import dataclass

Condition = sa.ColumnElement[bool]

FAILED = ("failed", "cut")
"""Outcomes that count as failures: a client that left, or a row recovered after a crash, says nothing of the account."""
IS_OPEN = t.c.state == sa.literal_column("'open'")
"""Written out, not as a parameter: only so does the database see that the small index of open rows holds them all."""
HAS_FAILED = t.c.outcome.in_([sa.literal_column(f"'{outcome}'") for outcome in FAILED])
"""Written out for the same reason as `IS_OPEN`."""

_NAMED: Mapping[str, tuple[str, sa.Column[Any], sa.Column[Any], sa.Column[Any], sa.Column[Any]]] = {
    "account": ("acc_", t.c.account_id, t.c.account_label, tables.accounts.c.id, tables.accounts.c.label),
    "key": ("key_", t.c.key_id, t.c.key_name, tables.client_keys.c.id, tables.client_keys.c.name),
}
"""Filter → how its ids begin, the id and the name in a request's row, the id and the name in the table of their own."""
_SEARCHED_IN = (*(t.c.model_requested, t.c.model, t.c.provider, t.c.account_label, t.c.key_name, t.c.client, t.c.flag, t.c.error_message),)


@dataclass(frozen=True, slots=True)
class Filter:
    """`walks`: conditions that an index leads to, newest first, any of which a row must meet; () where there is none. `seen`: what
    that comes to, in words that no index answers."""

    walks: tuple[Condition, ...]
    seen: Condition


@dataclass(frozen=True, slots=True)
class Way:
    """Walks to go, what their rows must meet besides, and the id down to which this page looks (None: all the way)."""

    walks: tuple[Condition, ...]
    seen: tuple[Condition, ...]
    floor: str | None


def way(conn: sa.Connection, filters: Mapping[str, str], before_id: str | None, searched: int) -> Way:
    """The way to the rows before `before_id` that all filters let through. A page looks at `searched` rows at most, unless one filter
    leads to all there is to find. Raises KeyError for a filter that does not exist."""
    found = [_filter(conn, name, value) for name, value in filters.items()]
    if not found:
        return Way((sa.true(),), (), None)
    led = [one for one in found if one.walks]
    if len(found) == 1 and led:
        return Way(led[0].walks, (), None)
    best, lowest = None, None
    for one in led:
        floor = _floor(conn, one.walks, before_id, searched)
        if best is None or floor is None or (lowest is not None and floor < lowest):
            best, lowest = one, floor
        if floor is None:
            break
    if best is None:
        return Way((sa.true(),), tuple(one.seen for one in found), _floor(conn, (sa.true(),), before_id, searched))
    return Way(best.walks, tuple(one.seen for one in found if one is not best), lowest)


def seen(conn: sa.Connection, filters: Mapping[str, str]) -> list[Condition]:
    """What rows must meet that are found by other means: no index answers it. Raises KeyError for a filter that does not exist."""
    return [_filter(conn, name, value).seen for name, value in filters.items()]


def _floor(conn: sa.Connection, walks: Sequence[Condition], before_id: str | None, searched: int) -> str | None:
    """The id down to which so many rows stand on the walks together; None where there are fewer."""
    each = sa.select(t.c.id).order_by(t.c.id.desc()).limit(1).offset(max(0, searched // len(walks) - 1))
    if before_id:
        each = each.where(t.c.id < before_id)
    ends = [conn.execute(each.where(walk)).scalar() for walk in walks]
    return max((end for end in ends if end is not None), default=None)


def _filter(conn: sa.Connection, name: str, value: str) -> Filter:
    match name:
        case "protocol":
            return _equal(value, t.c.wire)
        case "provider" | "flag":
            return _equal(value, t.c[name])
        case "model":
            return _equal(value, t.c.model, t.c.model_requested)
        case "client":
            return Filter((), t.c.client == value)
        case "account" | "key":
            return _named(conn, name, value)
        case "status":
            return _status(value)
        case "text":
            return Filter((), sa.or_(*(place.icontains(value, autoescape=True) for place in _SEARCHED_IN)))
    raise KeyError(f"no such filter: {name}")


def _equal(value: str, *columns: sa.Column[Any]) -> Filter:
    return Filter(tuple(column == value for column in columns), sa.or_(*(sa.func.coalesce(column, "") == value for column in columns)))


def _named(conn: sa.Connection, name: str, value: str) -> Filter:
    begins, by_id, by_name, own_id, own_name = _NAMED[name]
    if value.startswith(begins):
        return _equal(value, by_id)
    # Under its name of today all its rows; a name that nobody has any more finds the rows that were booked under it.
    ids = conn.execute(sa.select(own_id).where(own_name == value)).scalars().all()
    if not ids:
        return Filter((), by_name == value)
    return Filter(tuple(by_id == one for one in ids), sa.func.coalesce(by_id, "").in_(ids))


def _status(value: str) -> Filter:
    match value:
        case "ok":
            return Filter((), t.c.outcome == "ok")
        case "open":
            return Filter((IS_OPEN,), sa.func.coalesce(t.c.state, "") == "open")
        case "failed":
            return Filter((HAS_FAILED,), sa.func.coalesce(t.c.outcome, "").in_(FAILED))
    if not (value.isdecimal() and len(value) == 3):
        return Filter((sa.false(),), sa.false())
    seen = sa.func.coalesce(t.c.http_status, 0) == int(value)
    # The index holds errors only, and a database has to see that these are some.
    error = sa.and_(t.c.http_status == int(value), t.c.http_status >= sa.literal_column("400"))
    return Filter((error,) if value >= "400" else (), seen)
