"""Following the books: which requests were settled since the last look, whichever process settled them.

Requests are settled in another order than they are named, and a row is made up to a minute after its name (a request may wait for an
account first). So a look compares names: those of the last two minutes and those that were open, less those open now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

import sqlalchemy as sa

from omni_connector.secrets import id_floor
from omni_connector.store import filters as filtering
from omni_connector.store import requests as books
from omni_connector.store.tables import requests as t
from omni_connector.values import dataclass

Row = dict[str, Any]

WINDOW_MS = 120_000
"""How long after its name a row may appear and is still told. `wait_for_account_s` is a minute at most."""
MOST = 20_000
"""Names that one follower remembers of each kind. At more than 160 requests a second the window becomes shorter than WINDOW_MS."""
BACKLOG = 1000
"""Rows of the past at most, the newest ones, for who comes back."""
LONGEST_MS = 3_600_000
"""A request lasts half an hour at most, so what was settled after a moment was named no earlier than this before it."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """What the last look saw: names that were open, and those near `at` (ms) that are done with."""

    at: int
    opened: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()


def begin(conn: sa.Connection, now: int) -> Known:
    """From here on: what is settled already is done with."""
    opened = _open(conn)
    return Known(now, opened, _named(conn, now - WINDOW_MS) - opened)


def look(conn: sa.Connection, filters: Mapping[str, str], known: Known, now: int) -> tuple[list[Row], Known]:
    """Rows that were settled since `known` and pass the filters (those of `list_requests`), in the order of settling; and what is known
    from here on. One consistent picture: no row is told twice, none is left out."""
    opened, named = _open(conn), _named(conn, min(known.at, now) - WINDOW_MS)
    fresh = (named | known.opened) - opened - known.done
    return _rows(conn, filters, fresh), Known(now, opened, (known.done | fresh) & named)


def last(conn: sa.Connection, filters: Mapping[str, str], number: int) -> list[Row]:
    """The newest settled rows by their names, in the order of settling."""
    rows = books.list_requests(conn, filters, None, number) if number else []
    return sorted((row for row in rows if row["state"] == "settled"), key=_order)


def since(conn: sa.Connection, filters: Mapping[str, str], settled_at: int) -> list[Row]:
    """Rows settled at that moment (ms) or later, in the order of settling; the newest BACKLOG of them."""
    query = (
        sa.select(*books.LISTED)
        .where(t.c.id >= id_floor("req", max(0, settled_at - LONGEST_MS)), t.c.state == "settled", t.c.settled_at >= settled_at)
        .where(*filtering.seen(conn, filters))
        .order_by(t.c.settled_at.desc(), t.c.id.desc())
        .limit(BACKLOG)
    )
    return books.decoded(conn.execute(query).mappings())[::-1]


def opened(conn: sa.Connection, but_not: str, most: int) -> list[Row]:
    """The newest open rows of all processes but one."""
    query = sa.select(*books.LISTED).where(filtering.IS_OPEN, t.c.process_id != but_not).order_by(t.c.id.desc()).limit(most)
    return books.decoded(conn.execute(query).mappings())[::-1]


def _open(conn: sa.Connection) -> frozenset[str]:
    return frozenset(conn.execute(sa.select(t.c.id).where(filtering.IS_OPEN).order_by(t.c.id.desc()).limit(MOST)).scalars())


def _named(conn: sa.Connection, since_ms: int) -> frozenset[str]:
    query = sa.select(t.c.id).where(t.c.id >= id_floor("req", max(0, since_ms))).order_by(t.c.id.desc()).limit(MOST)
    return frozenset(conn.execute(query).scalars())


def _rows(conn: sa.Connection, filters: Mapping[str, str], names: Set[str]) -> list[Row]:
    if not names:
        return []
    conditions, ordered = filtering.seen(conn, filters), sorted(names)
    found: list[Row] = []
    for begin_at in range(0, len(ordered), _AT_ONCE):
        some: Iterable[str] = ordered[begin_at : begin_at + _AT_ONCE]
        query = sa.select(*books.LISTED).where(t.c.id.in_(some), t.c.state == "settled", *conditions)
        found += books.decoded(conn.execute(query).mappings())
    return sorted(found, key=_order)


def _order(row: Row) -> tuple[int, str]:
    return row["settled_at"] or 0, row["id"]
