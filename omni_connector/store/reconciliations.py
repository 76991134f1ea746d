"""What providers say that a day cost, beside what the books say. A day is one of UTC, as "2026-11-20"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from omni_connector.secrets import id_floor
from omni_connector.store.tables import reconciliations as t
from omni_connector.store.tables import requests as r
from omni_connector.store.tables import upsert

Row = dict[str, Any]
DAY_MS = 86_400_000
_CHANGE = tuple(column.name for column in t.columns if not column.primary_key)


def put(conn: sa.Connection, row: Mapping[str, Any]) -> None:
    """Needed: account_id, day; in the place of what was known of that day."""
    upsert(conn, t, [dict(row)], ["account_id", "day"], [name for name in _CHANGE if name in row])


def listed(conn: sa.Connection, since: str) -> list[Row]:
    """From that day on; the newest day first, then by label."""
    query = sa.select(t).where(t.c.day >= since).order_by(t.c.day.desc(), t.c.label, t.c.account_id)
    return [dict(row) for row in conn.execute(query).mappings()]


def prune(conn: sa.Connection, before: str) -> int:
    """Forgets the days before; returns how many rows."""
    return conn.execute(sa.delete(t).where(t.c.day < before)).rowcount


def booked(conn: sa.Connection, account_ids: Sequence[str], day: date) -> tuple[int, int]:
    """(nano-dollars, requests that used tokens and have no known price) of the accounts' requests that began on the day."""
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    unpriced = sa.and_(r.c.cost_nano.is_(None), sa.or_(r.c.input > 0, r.c.output > 0))
    query = sa.select(
        sa.func.coalesce(sa.func.sum(r.c.cost_nano), 0), sa.func.coalesce(sa.func.sum(sa.case((unpriced, 1), else_=0)), 0)
    ).where(
        # Ids sort by time, so the index on (account, id) leads to these rows.
        r.c.account_id.in_(account_ids),
        r.c.id >= id_floor("req", start),
        r.c.started_at >= start,
        r.c.started_at < start + DAY_MS,
        r.c.state == "settled",
    )
    cost, without = conn.execute(query).one()
    return int(cost), int(without)
