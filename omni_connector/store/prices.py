"""Prices that the user set, and the rows of a period that are priced anew by them. Dollars are decimal text in the database."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import sqlalchemy as sa

from omni_connector.secrets import id_floor
from omni_connector.snapshot import PriceOverride
from omni_connector.store.settings import bump_config
from omni_connector.store.tables import decode, upsert
from omni_connector.store.tables import prices as t
from omni_connector.store.tables import requests as r

Row = dict[str, Any]


class Change(NamedTuple):
    """What becomes of a row: its cost in nano-dollars, the source of its price, and what it is worth where a subscription pays."""

    id: str
    cost: int | None
    source: str
    worth: int | None = None


RATES = ("input", "output", "cache_read", "cache_write", "per_request")
_READ = (
    "id", "settled_at", "account_id", "provider", "model", "flag", "cost_nano", "price_source", "usage_raw",
    "input", "cache_read", "cache_write", "output", "reasoning", "cache_write_1h", "web_searches",
    "shadow_nano",
)  # fmt: skip
"""What pricing a row again needs of it."""


def list_prices(conn: sa.Connection) -> tuple[PriceOverride, ...]:
    """In order of pattern and scope."""
    return tuple(_override(row) for row in conn.execute(sa.select(t).order_by(t.c.pattern, t.c.scope)).mappings())


def put(conn: sa.Connection, entry: PriceOverride) -> None:
    """Sets the price of its pattern and scope as a whole."""
    texts = {name: None if (rate := getattr(entry, name)) is None else f"{rate:f}" for name in RATES}
    values = {**texts, "subscription": entry.subscription, "updated_at": entry.updated_at}
    upsert(conn, t, [{"pattern": entry.pattern, "scope": entry.scope, **values}], ["pattern", "scope"], list(values))
    bump_config(conn)


def delete(conn: sa.Connection, pattern: str, scope: str) -> bool:
    gone = conn.execute(sa.delete(t).where(t.c.pattern == pattern, t.c.scope == scope)).rowcount > 0
    if gone:
        bump_config(conn)
    return gone


def _override(row: sa.RowMapping) -> PriceOverride:
    return PriceOverride(**{**row, **{name: None if row[name] is None else Decimal(row[name]) for name in RATES}})


# ---------------------------------------------------------------- Pricing anew


def booked(conn: sa.Connection, from_ms: int, to_ms: int, after_id: str, limit: int) -> list[Row]:
    """Up to `limit` settled rows of requests that began in [from_ms, to_ms), in order of their ids beyond `after_id` ("": the first ones);
    only those that were priced when they were settled, if only as "unknown"."""
    query = (
        # Ids sort by time, so the key of the table leads to the period.
        sa.select(*(r.c[name] for name in _READ))
        .where(r.c.id > after_id, r.c.id >= id_floor("req", from_ms))
        .where(r.c.started_at >= from_ms, r.c.started_at < to_ms)
        .where(r.c.state == "settled", r.c.price_source.is_not(None))
        .order_by(r.c.id)
        .limit(limit)
    )
    return [{**row, "usage_raw": decode(row["usage_raw"])} for row in conn.execute(query).mappings()]


def reprice(conn: sa.Connection, changes: Sequence[Change | tuple[str, int | None, str]]) -> None:
    """Writes the changes on rows that are settled."""
    if not changes:
        return
    change = (
        sa.update(r)
        .where(r.c.id == sa.bindparam("of"), r.c.state == "settled")
        .values(cost_nano=sa.bindparam("cost"), price_source=sa.bindparam("source"), shadow_nano=sa.bindparam("worth"))
    )
    conn.execute(
        change,
        [{"of": one.id, "cost": one.cost, "source": one.source, "worth": one.worth} for one in (Change(*change) for change in changes)],
    )
