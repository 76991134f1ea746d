"""What closing a row of the books changes beside the row itself, all in the caller's transaction: sums stay equal to the rows whatever
happens in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from omni_connector.store import allowances, prices, requests, rollups
from omni_connector.store.allowances import Spent
from omni_connector.store.requests import Row


def settle(conn: sa.Connection, rows: Sequence[Row]) -> list[Spent]:
    """Closes open rows (`requests.settle`); what is closed already changes nothing. Returns what is spent of budgets, where it moved."""
    return _closed(conn, requests.settle(conn, rows))


def recover(conn: sa.Connection, dead_process_ids: Sequence[str], now: int) -> int:
    """Closes the rows of processes that died (`requests.recover`); returns how many."""
    found = requests.recover(conn, dead_process_ids, now)
    _closed(conn, found)
    return len(found)


def reprice(conn: sa.Connection, changes: Sequence[prices.Change | tuple[str, int | None, str]]) -> None:
    """Writes prices of closed rows anew (`prices.reprice`) and moves the sums by the differences."""
    ids = [change[0] for change in changes]
    before = requests.booked(conn, ids)
    prices.reprice(conn, changes)
    _moved(conn, before, requests.booked(conn, ids))


def _closed(conn: sa.Connection, rows: Sequence[Row]) -> list[Spent]:
    """Every row passes here once, in the transaction that closes it."""
    rollups.add(conn, rows)
    return allowances.settle(conn, rows)


def _moved(conn: sa.Connection, before: Sequence[Row], after: Sequence[Row]) -> None:
    """The same closed rows as they were and as they are."""
    rollups.move(conn, before, after)
    paid = {row["id"]: row["cost_nano"] or 0 for row in before}
    allowances.move(conn, [(row, more) for row in after if (more := (row["cost_nano"] or 0) - paid[row["id"]])])
