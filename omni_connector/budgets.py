"""What accounts and keys may spend in a period, and whether a request still fits.

Checked before each request against what is settled and what is in flight as estimated. Requests under way at the same moment, in
this process or another, may overshoot by what they cost: the estimate stands for an answer that nobody knows yet.

What this process settles is counted at once, in memory; what others settled, and what was settled before this process began, is read
from the books (`follow` when the configuration moves, `refresh` every few seconds). Money is integer nano-dollars. A request belongs to
the period in which it began, as in the reports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any, Literal

from omni_connector.record import Record
from omni_connector.routing.plan import Overspent
from omni_connector.snapshot import Snapshot
from omni_connector.store import alerts as alert_rows
from omni_connector.store import requests as request_rows
from omni_connector.store.engine import Database
from omni_connector.usage import nano, usd

Json = dict[str, Any]
Price = Callable[[], Decimal | None]
"""Dollars of a request as estimated; None: unknown."""

PERIODS: Mapping[str, str] = {"day": "today", "week": "this week", "month": "this month", "total": "in total"}
"""Period → its words after an amount."""
NEVER = 1 << 62
LATE_MS = 10 * 60_000
"""A row that another process opens is on disk at most this much after its request began (a slow upload, a wait for an account):
what is older and settled is read once."""
ALERT = "budget_reached"
NEARLY = 0.99
"""Share of a budget from which it is told as reached: what is left is for no ordinary request."""


# ---------------------------------------------------------------- Periods


def period_start(period: str, now: int, zone: tzinfo = UTC) -> int:
    """The beginning (ms) of the calendar day, of the week (Monday) or of the month around `now`; 0 for "total"."""
    if period == "total":
        return 0
    return _ms(_first_day(period, datetime.fromtimestamp(now / 1000, zone)))


def period_end(period: str, now: int, zone: tzinfo = UTC) -> int | None:
    """When the next period begins (ms); None for "total"."""
    if period == "total":
        return None
    first = _first_day(period, datetime.fromtimestamp(now / 1000, zone))
    # By the calendar, not by hours: a day of a change of clocks has 23 or 25 of them.
    longer = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=32)}[period]
    return _ms(_first_day(period, first + longer))


def _first_day(period: str, moment: datetime) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if period == "month":
        return midnight.replace(day=1)
    return midnight - timedelta(days=midnight.weekday()) if period == "week" else midnight


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


# ---------------------------------------------------------------- Counting


@dataclass(slots=True)
class Counter:
    """One budget: what others, and this process before it began, spent of it since `start`."""

    id: str
    of_key: bool
    name: str
    budget: Json
    period: str
    amount: int
    start: int = 0
    end: int = 0
    until: int = 0
    """Rows of requests that began before are all settled and in `closed`; of later ones `recent` is what was read last."""
    closed: int = 0
    recent: int = 0

    def turn(self, now: int) -> None:
        """The period of `now`; a new one begins at nothing."""
        if self.start <= now < self.end:
            return
        self.start, self.end = _bounds(self.period, now)
        self.until, self.closed, self.recent = self.start, 0, 0


@dataclass(slots=True)
class _Own:
    """What this process settled, of everybody, in the present period of one kind."""

    period: str
    start: int = 0
    end: int = 0
    sums: dict[str, int] = field(default_factory=dict)

    def add(self, at: int, whom: Iterable[str | None], cost: int) -> None:
        if at < self.start:
            return
        if at >= self.end:
            self.start, self.end = _bounds(self.period, at)
            self.sums = {}
        for name in whom:
            if name is not None:
                self.sums[name] = self.sums.get(name, 0) + cost


def _bounds(period: str, now: int) -> tuple[int, int]:
    end = period_end(period, now)
    return period_start(period, now), NEVER if end is None else end


class Budgets:
    """`over` says whether a request fits, `reserve` also holds its price until `settled`: the only doors through which routing counts."""

    def __init__(self, db: Database, process_id: str, now: Callable[[], int]) -> None:
        self._db = db
        self._process_id = process_id
        self._now = now
        self._counters: dict[str, Counter] = {}
        """By the id of the account or key; only those that have a budget."""
        self._own = {period: _Own(period) for period in PERIODS}
        self._reserved: dict[str, int] = {}
        self._held: dict[str, tuple[tuple[str, str], int]] = {}
        """Id of a request in flight → whom it is reserved from, and how much."""
        self._reading = asyncio.Lock()
        self._alerted = True
        """Whether an alert may be open: at first nobody knows."""

    @property
    def watching(self) -> bool:
        return bool(self._counters)

    # ------------------------------------------------------------ the hot path

    def over(self, key_id: str, account_id: str, price: Price) -> Overspent | None:
        """Why a request does not fit any more, None when it does. What costs nothing always fits; what has no known price fits as long as
        something is left. The key's budget comes first."""
        if not self._counters:
            return None
        return self._over(key_id, account_id, price)[0]

    def reserve(self, request_id: str, key_id: str, account_id: str, price: Price) -> Overspent | None:
        """The same, and what fits is held until the request is settled or reserved anew, for another account."""
        if not self._counters:
            return None
        self._release(request_id)
        over, cost = self._over(key_id, account_id, price)
        if over is None and cost:
            whom = (key_id, account_id)
            self._held[request_id] = whom, cost
            for name in whom:
                self._reserved[name] = self._reserved.get(name, 0) + cost
        return over

    def settled(self, record: Record) -> None:
        """A request is over; called once for each, with what it cost."""
        self._release(record.id)
        if cost := nano(record.cost):
            for own in self._own.values():
                own.add(record.started_at, (record.account_id, record.key_id), cost)

    def _over(self, key_id: str, account_id: str, price: Price) -> tuple[Overspent | None, int]:
        """With the estimated price: 0 where nobody asks for it, or nobody knows."""
        found = [counter for counter in (self._counters.get(key_id), self._counters.get(account_id)) if counter is not None]
        if not found:
            return None, 0
        cost = nano(price())
        if cost == 0:
            return None, 0
        now = self._now()
        return next((over for counter in found if (over := self._exceeded(counter, cost, now))), None), cost or 0

    def _exceeded(self, counter: Counter, cost: int | None, now: int) -> Overspent | None:
        spent, flying = self._spent(counter, now), self._reserved.get(counter.id, 0)
        taken = spent + flying
        if taken < counter.amount and taken + (cost or 0) <= counter.amount:
            return None
        figures = f"${usd(spent)} of ${counter.budget['amount']} {PERIODS[counter.period]}"
        figures += f", ${usd(flying)} in flight" if flying else ""
        figures += f", about ${usd(cost)} for this request" if cost else ", and what this request costs is unknown"
        state = "is spent" if taken >= counter.amount else "has no room for this request"
        return Overspent(f"the budget of {counter.name} {state} ({figures})", _renewed(counter), counter.of_key)

    def _spent(self, counter: Counter, now: int) -> int:
        counter.turn(now)
        own = self._own[counter.period]
        return counter.closed + counter.recent + (own.sums.get(counter.id, 0) if own.start == counter.start else 0)

    def _release(self, request_id: str) -> None:
        whom, cost = self._held.pop(request_id, ((), 0))
        for name in whom:
            left = self._reserved[name] - cost
            if left:
                self._reserved[name] = left
            else:
                del self._reserved[name]

    # ------------------------------------------------------------ the books

    async def follow(self, snapshot: Snapshot) -> None:
        """The budgets of a new configuration. What an unchanged one has counted stays; a new one is read from the books first."""
        async with self._reading:
            wanted = dict(_budgets(snapshot))
            for name, counter in wanted.items():
                known = self._counters.get(name)
                if known is not None and known.budget == counter.budget:
                    known.name, wanted[name] = counter.name, known
            await self._read([counter for name, counter in wanted.items() if counter is not self._counters.get(name)])
            self._counters = wanted

    async def refresh(self) -> None:
        """What other processes settled since."""
        async with self._reading:
            await self._read(list(self._counters.values()))

    async def _read(self, counters: Sequence[Counter]) -> None:
        if not counters:
            return
        now = self._now()
        groups: dict[tuple[bool, int], list[Counter]] = {}
        for counter in counters:
            counter.turn(now)
            groups.setdefault((counter.of_key, counter.until), []).append(counter)

        def look(conn: Any) -> dict[tuple[bool, int], tuple[int, dict[str, int], dict[str, int]]]:
            horizon = min(request_rows.oldest_open(conn) or now, now - LATE_MS)
            found = {}
            for (of_key, until), group in groups.items():
                whom: Literal["key", "account"] = "key" if of_key else "account"
                ids, bound = [counter.id for counter in group], max(until, horizon)
                closed = request_rows.spent(conn, whom, ids, until, bound, self._process_id) if bound > until else {}
                recent = request_rows.spent(conn, whom, ids, bound, NEVER, self._process_id)
                found[of_key, until] = bound, closed, recent
            return found

        for (of_key, until), (bound, closed, recent) in (await self._db.run(look)).items():
            for counter in groups[of_key, until]:
                if counter.until == until:  # else a new period began meanwhile
                    counter.until = bound
                    counter.closed += closed.get(counter.id, 0)
                    counter.recent = recent.get(counter.id, 0)

    # ------------------------------------------------------------ what people are told

    def shape(self, name: str, budget: Json | None) -> Json | None:
        """A budget as the admin API shows it: with "spent_usd" in the present period, and "resets_at" (ms; None: never)."""
        counter = self._counters.get(name)
        if budget is None or counter is None:
            return budget
        return {**budget, "spent_usd": usd(self._spent(counter, self._now())), "resets_at": _renewed(counter)}

    async def tell(self, begin: Callable[[str, str, str], Awaitable[bool]], over: Callable[[str, str], Awaitable[bool]]) -> None:
        """Begin and end the alerts of budgets that are reached (`alerts.Watch`). Every process may: the same books say the same.
        A budget of 0 is a choice, not news."""
        if not self._counters and not self._alerted:
            return
        told = {alert.subject for alert in await self._db.run(alert_rows.open_alerts) if alert.kind == ALERT}
        now = self._now()
        spent = {counter.id: self._spent(counter, now) for counter in self._counters.values()}
        reached = [c for c in self._counters.values() if c.amount and spent[c.id] >= c.amount * NEARLY]
        for counter in reached:
            if counter.id not in told:
                figures = f"${usd(spent[counter.id])} of ${counter.budget['amount']} {PERIODS[counter.period]}"
                await begin(ALERT, counter.id, f"The budget of {counter.name} is spent: {figures}")
        for name in told - {counter.id for counter in reached}:
            await over(ALERT, name)
        self._alerted = bool(reached)


def _budgets(snapshot: Snapshot) -> Iterable[tuple[str, Counter]]:
    named = [(account.id, False, account.label, account.budget) for account in snapshot.accounts]
    named += [(key.id, True, f"key {key.name}", key.budget) for key in snapshot.keys.values()]
    for name, of_key, words, budget in named:
        if budget is not None:
            yield name, Counter(name, of_key, words, budget, budget["period"], nano(Decimal(budget["amount"])) or 0)


def _renewed(counter: Counter) -> int | None:
    return None if counter.end == NEVER else counter.end
