"""What is spent of every budget, as this process last saw it: for planning, for people, and for the alert when one is reached.

Decisions are made in the database (store/allowances.py, limits.py). Here a figure may be a few seconds old, and only ever errs in
saying that less is spent: so an account is passed over early when its money is gone, and never because of money that is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from omni_connector.limits import Bound, Limits, limits_of, overspent
from omni_connector.periods import NEVER, PERIODS
from omni_connector.routing.plan import Overspent
from omni_connector.snapshot import Account, Snapshot
from omni_connector.store import alerts as alert_rows
from omni_connector.store import allowances
from omni_connector.store.allowances import Claim, Refused, Spent
from omni_connector.store.engine import Database
from omni_connector.usage import usd

Json = dict[str, Any]
Least = Callable[[], int | None]
"""Nano-dollars that a request needs at least; None: unknown."""
Period = tuple[str, str, int, int]
"""Scope, subject, begin and end (ms)."""

ALERT = "budget_reached"
NEARLY = 0.99
"""Share of a budget from which it is told as reached: what is left is for no ordinary request."""


class Budgets:
    """`limits` are those of the present configuration."""

    def __init__(self, db: Database, now: Callable[[], int]) -> None:
        self._db = db
        self._now = now
        self.limits = Limits()
        self._budgets: list[Bound] = []
        self._spent: dict[Period, int] = {}
        self._held: dict[tuple[str, str], int] = {}
        self._reading = asyncio.Lock()
        self._alerted = True
        """Whether an alert may be open: at first nobody knows."""

    @property
    def watching(self) -> bool:
        return bool(self._budgets)

    # ------------------------------------------------------------ the hot path

    def over(self, key_id: str, account: Account, model: str, least: Least) -> Overspent | None:
        """Why a request does not fit any more, None when it does or when only the database can tell. What costs nothing always fits;
        what has no known price fits as long as something is left. The key's budget comes first."""
        hard = [found for found in self.limits.applying(key_id, account, model) if found.hard]
        if not hard:
            return None
        cost = least()
        if cost == 0:
            return None
        now = self._now()
        return next((over for found in hard if (over := self._exceeded(found, cost, now))), None)

    def _exceeded(self, found: Bound, cost: int | None, now: int) -> Overspent | None:
        spent, amount = self._of(found, now), found.amount or 0
        if amount - spent >= (1 if cost is None else cost):
            return None
        start, end = found.bounds(now)
        claim = Claim(found.limit.scope, found.limit.subject, amount, start, end)
        return overspent(found, Refused(claim, "spent", None, spent), cost)

    def note(self, sums: Iterable[Spent]) -> None:
        """What a transaction of this process left as spent."""
        for scope, subject, start, end, spent in sums:
            self._spent[scope, subject, start, end] = spent

    def _of(self, found: Bound, now: int) -> int:
        return self._spent.get((*found.key, *found.bounds(now)), 0)

    # ------------------------------------------------------------ the books

    async def follow(self, snapshot: Snapshot) -> None:
        """The limits of a new configuration; what is spent of new budgets is read first."""
        limits = limits_of(snapshot)
        budgets = [found for found in limits.by.values() if found.amount is not None]
        async with self._reading:
            await self._read(budgets)
            self.limits, self._budgets = limits, budgets

    async def refresh(self) -> None:
        """What other processes spent and hold, and the periods that have begun."""
        async with self._reading:
            await self._read(self._budgets)
        if self.limits.by:
            await self._db.tx(lambda conn: allowances.tidy(conn, self._now()))

    async def read(self, claims: Iterable[Claim]) -> None:
        """Sums up what was spent in periods that nobody asked for yet, so that the database can decide about them."""
        periods = [(claim.scope, claim.subject, claim.start_at, claim.end_at) for claim in claims if claim.amount is not None]
        await self._db.tx(lambda conn: allowances.read(conn, periods), soon=True)

    async def _read(self, budgets: Sequence[Bound]) -> None:
        if not budgets:
            self._spent, self._held = {}, {}
            return
        now = self._now()
        periods: list[Period] = [(*found.key, *found.bounds(now)) for found in budgets]

        def look(conn: Any) -> tuple[list[Spent] | None, list[tuple[str, str, int]]]:
            return allowances.known(conn, periods), allowances.held(conn)

        sums, held = await self._db.run(look)
        if sums is None:
            sums = await self._db.tx(lambda conn: allowances.read(conn, periods))
        self._spent = {(scope, subject, start, end): spent for scope, subject, start, end, spent in sums}
        self._held = {(scope, subject): nanos for scope, subject, nanos in held}

    # ------------------------------------------------------------ what people are told

    def shape(self, name: str, budget: Json | None) -> Json | None:
        """The budget of an account or a key, by its id, as the admin API shows it."""
        return self.shape_limit("account" if name.startswith("acc_") else "key", name, budget)

    def shape_limit(self, scope: str, subject: str, budget: Json | None) -> Json | None:
        """A budget with "spent_usd" in the present period, "held_usd" for requests in flight, "resets_at" (ms; None: never)."""
        found = self.limits.by.get((scope, subject))
        if budget is None or found is None or found.amount is None:
            return budget
        now = self._now()
        end = found.bounds(now)[1]
        figures = {"spent_usd": usd(self._of(found, now)), "held_usd": usd(self._held.get(found.key, 0))}
        return {**budget, **figures, "resets_at": None if end == NEVER else end}

    async def tell(self, begin: Callable[[str, str, str], Awaitable[bool]], over: Callable[[str, str], Awaitable[bool]]) -> None:
        """Begin and end the alerts of budgets that are reached (`alerts.Watch`), hard and soft ones. Every process may: the same books
        say the same. A budget of 0 is a choice, not news."""
        if not self._budgets and not self._alerted:
            return
        told = {alert.subject for alert in await self._db.run(alert_rows.open_alerts) if alert.kind == ALERT}
        now = self._now()
        reached = {_subject(found): found for found in self._budgets if found.amount and self._of(found, now) >= found.amount * NEARLY}
        for subject, found in reached.items():
            if subject not in told:
                amount = "0" if found.limit.budget is None else found.limit.budget["amount"]
                figures = f"${usd(self._of(found, now))} of ${amount} {PERIODS[found.period]}"
                await begin(ALERT, subject, f"The budget of {found.name} is spent: {figures}")
        for subject in told - reached.keys():
            await over(ALERT, subject)
        self._alerted = bool(reached)


def _subject(found: Bound) -> str:
    """An account's and a key's id say what they are."""
    scope, subject = found.key
    return subject if scope in ("account", "key") else f"{scope}:{subject}".rstrip(":")
