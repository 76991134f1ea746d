"""The ledger's hand in the database: everything that one group commit writes, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omni_connector import prices, usage
from omni_connector.budgets import Budgets
from omni_connector.chat import Usage
from omni_connector.ledger import Verdict
from omni_connector.snapshot import Account
from omni_connector.store import allowances, books, kept, requests
from omni_connector.store.allowances import Ask, Spent
from omni_connector.store.engine import Database

Row = dict[str, Any]


class Booking:
    """`write` is what `Ledger` wants; `account`: by its id, None when it is gone."""

    def __init__(self, db: Database, budgets: Budgets, account: Callable[[str], Account | None], now: Callable[[], int]) -> None:
        self._db = db
        self._budgets = budgets
        self._account = account
        self._now = now

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """Rows to open, rows to settle, rows to keep; what the limits say to those who ask."""
        asking = {ask.request_id for ask in asks}

        def write(conn: Any) -> tuple[list[Verdict], list[Spent]]:
            requests.insert_open(conn, opens)
            # Who ends makes room for who begins; who left while he was asking holds nothing.
            spent = books.settle(conn, [row for row in settles if row["id"] not in asking])
            verdicts = allowances.admit(conn, asks, self._now()) if asks else []
            spent += books.settle(conn, [row for row in settles if row["id"] in asking])
            kept.put(conn, keeps)
            return verdicts, spent

        verdicts, spent = await self._db.tx(write)
        self._budgets.note(spent)
        return verdicts

    def estimate(self, row: Mapping[str, Any]) -> tuple[int | None, str | None]:
        """What a row that a crash left open costs at least, its prompt: nano-dollars and the source of the price. None: unknown."""
        account = self._account(row["account_id"])
        if account is None:
            return None, None
        found = prices.price(Usage(input=row["input"]), account, row["model"] or "")
        return usage.nano(found.cost), found.source
