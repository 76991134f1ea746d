"""What closing a row of the books changes beside the row itself, all in the caller's transaction: sums stay equal to the rows whatever
happens in between.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from omni_connector.store import requests
from omni_connector.store.requests import Row


def settle(conn: sa.Connection, rows: Sequence[Row]) -> None:
    """Closes open rows (`requests.settle`); what is closed already changes nothing."""
    _closed(conn, requests.settle(conn, rows))


def recover(conn: sa.Connection, dead_process_ids: Sequence[str], now: int) -> int:
    """Closes the rows of processes that died (`requests.recover`); returns how many."""
    found = requests.recover(conn, dead_process_ids, now)
    _closed(conn, found)
    return len(found)


def _closed(conn: sa.Connection, rows: Sequence[Row]) -> None:
    """Every row passes here once, in the transaction that closes it."""
