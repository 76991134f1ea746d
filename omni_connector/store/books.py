"""What closing a row of the books changes beside the row itself, all in the caller's transaction: sums stay equal to the rows whatever
happens in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from omni_connector.store import allowances, prices, requests, rollups
from omni_connector.store.allowances import Hold, Spent
from omni_connector.store.requests import Row


def settle(conn: sa.Connection, rows: Sequence[Row], held: Mapping[str, Hold] | None = None) -> list[Spent]:
    """Closes open rows (`requests.settle`); what is closed already changes nothing. Returns what is spent of budgets, where it moved.
    `held`: what is known of their holds (`allowances.settle`)."""
    closed = requests.settle(conn, rows)
    spent = _closed(conn, closed, held)
    done = {row["id"] for row in closed}
    late = [row for row in rows if row["id"] not in done]
    return spent + _settle_late(conn, late) if late else spent


def put(conn: sa.Connection, opens: Sequence[Row], settles: Sequence[Row]) -> list[Spent]:
    """Rows of this process that the database has not seen, or only as opened. Those that are over already are written once."""
    begun = {row["id"]: row for row in opens}
    whole: list[tuple[Row, Row]] = []
    rest: list[Row] = []
    for row in settles:
        opened = begun.pop(row["id"], None)
        if opened is None:
            rest.append(row)
        else:
            whole.append((opened, row))
    nothing = dict.fromkeys((opened["id"] for opened, _ in whole), Hold.NONE)
    spent = _closed(conn, requests.insert_closed(conn, whole), nothing)
    requests.insert_open(conn, list(begun.values()))
    return spent + settle(conn, rest) if rest else spent


def _settle_late(conn: sa.Connection, rows: Sequence[Row]) -> list[Spent]:
    """Rows that somebody has closed as estimates, because their process was silent for so long (a lid that was closed, a full disk): what
    it says now is true."""
    before = [row for row in requests.booked(conn, [row["id"] for row in rows]) if row["outcome"] == requests.RECOVERED]
    if not before:
        return []
    ids = {row["id"] for row in before}
    requests.reopen(conn, sorted(ids))
    return _moved(conn, before, requests.settle(conn, [row for row in rows if row["id"] in ids]))


def recover(conn: sa.Connection, dead_process_ids: Sequence[str], now: int, estimate: requests.Estimate | None = None) -> int:
    """Closes the rows of processes that died (`requests.recover`); returns how many."""
    found = requests.recover(conn, dead_process_ids, now, estimate)
    _closed(conn, found)
    return len(found)


def reprice(conn: sa.Connection, changes: Sequence[prices.Change | tuple[str, int | None, str]]) -> None:
    """Writes prices of closed rows anew (`prices.reprice`) and moves the sums by the differences."""
    ids = [change[0] for change in changes]
    before = requests.booked(conn, ids)
    prices.reprice(conn, changes)
    _moved(conn, before, requests.booked(conn, ids))


def _closed(conn: sa.Connection, rows: Sequence[Row], held: Mapping[str, Hold] | None = None) -> list[Spent]:
    """Every row passes here once, in the transaction that closes it."""
    rollups.add(conn, rows)
    return allowances.settle(conn, rows, held)


def _moved(conn: sa.Connection, before: Sequence[Row], after: Sequence[Row]) -> list[Spent]:
    """The same closed rows as they were and as they are."""
    rollups.move(conn, before, after)
    return allowances.move(conn, [*((row, -(row["cost_nano"] or 0)) for row in before), *((row, row["cost_nano"] or 0) for row in after)])
