"""What was learned about estimates of tokens, from one start to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.store.tables import calibrations as t
from omni_connector.store.tables import upsert

Row = Mapping[str, Any]
"""family, seen, mean, spread."""


def load(conn: sa.Connection) -> list[Row]:
    """By family."""
    query = sa.select(t.c.family, t.c.seen, t.c.mean, t.c.spread).order_by(t.c.family)
    return [dict(row) for row in conn.execute(query).mappings()]


def store(conn: sa.Connection, rows: Sequence[Row], now: int) -> None:
    """Puts the rows in the place of those of the same family. No change of configuration."""
    if rows:
        upsert(conn, t, [{**row, "updated_at": now} for row in rows], ["family"], ["seen", "mean", "spread", "updated_at"])
