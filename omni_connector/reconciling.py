"""Compares the books with what providers say, once a day: what an account's provider says that a day cost, and what our rows come to.

A job (kind "reconcile", key: the account) for every account with a key that may read it (`options.usage_key`). The last three whole days
are asked each time, since providers go on adding to a day after it is over. What cannot be compared is said in words, never as 0.

A provider tells about a whole organisation, unless the account names its own part of it: then less than our books is wrong, and more may
be somebody else's.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from omni_connector import providers, secrets, usage
from omni_connector.errors import GatewayError
from omni_connector.jobs import Report
from omni_connector.providers import bill_readers
from omni_connector.providers.listing import refuse
from omni_connector.snapshot import Account
from omni_connector.store import jobs as queue
from omni_connector.store import reconciliations as table
from omni_connector.store.engine import Database
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass

KIND = "reconcile"
ALERT = "books_differ"
DAYS = 3
"""Whole days before today that are compared each time."""
SETTLED_DAYS = 2
"""A day counts for alerts from so many days after it on: until then its provider may still be adding to it."""
AT_MS = 2 * 3_600_000
"""After midnight UTC: when a day is asked about, at the earliest."""
SPAN_MS = 2 * 3_600_000
"""Over which the accounts are spread from there."""
AGAIN_MS = 3 * 3_600_000
"""After a failure."""
DAY_MS = 86_400_000
KEPT_DAYS = 400
WITHIN_S = 20.0
MOST_PAGES = 20
LEAST, SHARE = Decimal("0.05"), Decimal("0.02")
"""Dollars, and the share of the larger figure, by which two figures may differ and still count as equal."""

EQUAL, DIFFERS, MORE, UNKNOWN = "equal", "differs", "more", "unknown"
WHOLE, PART = "organisation", "part"


@dataclass(frozen=True, slots=True)
class Hands:
    """What it needs of the rest of the house, as plain callables."""

    accounts: Callable[[], Mapping[str, Account]]
    endpoints: Callable[[], providers.Endpoints]
    begin: Callable[[str, str, str], Awaitable[bool]]
    """(kind of alert, account id, words)."""
    over: Callable[[str, str], Awaitable[bool]]


def can(account: Account) -> bool:
    """Whether there is somebody to ask, and a key to ask with."""
    return bool(account.usage_key) and reader(account) is not None


def reader(account: Account) -> bill_readers.Bill | None:
    provider = providers.PROVIDERS.get(account.provider)
    return None if provider is None else bill_readers.bill(provider, account)


def why_not(account: Account) -> str:
    """Why an account's books are not compared, for people; "" when they are, or nobody tells anything there."""
    found = reader(account)
    if found is None or account.usage_key:
        return ""
    return f"unknown: this key may not read usage; {found.needs} in options.usage_key may"


def judge(theirs: Decimal, ours: Decimal, unpriced: int, scope: str) -> tuple[str, str]:
    """(state, words) of one day."""
    told = f"the provider says ${theirs:f}, our books ${ours:f}"
    if abs(theirs - ours) <= max(LEAST, SHARE * max(abs(theirs), abs(ours))):
        return EQUAL, told
    if theirs > ours and unpriced:
        return UNKNOWN, f"{told}, and {unpriced} of our requests have no known price"
    if theirs > ours and scope == WHOLE:
        return MORE, f"{told}; the rest may be others' in the same organisation"
    return DIFFERS, told


class Reconciler:
    """The jobs of that kind (`jobs.ByNeed`). Any number of processes may have one: a job is claimed by one of them."""

    kind = KIND

    def __init__(self, db: Database, upstream: Upstream, hands: Hands, now: Callable[[], int], rng: Random) -> None:
        self._db = db
        self._upstream = upstream
        self._hands = hands
        self._now = now
        self._rng = rng
        self._arranged: frozenset[str] | None = None

    # ------------------------------------------------------------ when

    async def arrange(self) -> None:
        """A job for every account that can be asked about; none for others, whose alerts end."""
        wanted = frozenset(account.id for account in self._hands.accounts().values() if account.enabled and can(account))
        if wanted == self._arranged:
            return
        now = self._now()
        jobs = [job for job in await self._db.run(queue.list_jobs) if job.kind == KIND]
        resting = {job.key for job in jobs if job.state in ("done", "dead")}
        begin = sorted((wanted - {job.key for job in jobs}) | (wanted & resting))
        rest = {job.id: job.payload for job in jobs if job.key not in wanted and job.state == "ready"}

        def write(conn: Any) -> None:
            queue.rest(conn, rest)
            for account_id in begin:
                queue.wake(conn, KIND, account_id, now, now + self._rng.randint(10_000, 60_000))

        if begin or rest:
            await self._db.tx(write)
        for job in jobs:
            if job.key not in wanted:
                await self._hands.over(ALERT, job.key)
        self._arranged = wanted

    def _tomorrow(self, now: int) -> int:
        return (now // DAY_MS + 1) * DAY_MS + AT_MS + self._rng.randint(0, SPAN_MS)

    # ------------------------------------------------------------ one look

    async def run(self, job: queue.JobRow) -> Report:
        account = self._hands.accounts().get(job.key)
        if account is None or not account.enabled or not can(account):
            return Report("", None, job.payload)
        now = self._now()
        error = await self.compare(account, now)
        await self._db.tx(lambda conn: table.prune(conn, str(_day(now) - timedelta(days=KEPT_DAYS))))
        due = now + AGAIN_MS if error else self._tomorrow(now)
        return Report(f"{account.label}: {error}" if error else "", due, error=error or None)

    async def compare(self, account: Account, now: int) -> str:
        """Asks about the last days, writes what came of it, begins or ends the alert. Returns what went wrong in words, "" for nothing."""
        mates = [mate.id for mate in self._hands.accounts().values() if _together(account, mate)]
        scope = PART if bill_readers.part_of(account) else WHOLE
        verdicts: list[tuple[str, str]] = []
        for back in range(1, DAYS + 1):
            day = _day(now) - timedelta(days=back)
            ours, unpriced = await self._db.run(lambda conn, day=day: table.booked(conn, mates, day))  # type: ignore[misc]
            try:
                theirs: Decimal | None = await self._ask(account, day)
            except GatewayError as error:
                words = secrets.scrub(error.message, account.usage_key)[:300]
                await self._keep(account, day, UNKNOWN, scope, f"unknown: {words}", None, ours, unpriced)
                return words
            if theirs is None:
                state, words = UNKNOWN, "unknown: the provider's answer cannot be understood"
            else:
                state, words = judge(theirs, Decimal(ours) / usage.NANO, unpriced, scope)
            await self._keep(account, day, state, scope, words, usage.nano(theirs), ours, unpriced)
            if back >= SETTLED_DAYS:
                verdicts.append((state, f"{account.provider}/{account.label}: on {day} {words}"))
        await self._tell(account, verdicts)
        return ""

    async def _tell(self, account: Account, verdicts: Sequence[tuple[str, str]]) -> None:
        """`verdicts`: newest day first."""
        wrong = next((words for state, words in verdicts if state == DIFFERS), None)
        if wrong is not None:
            await self._hands.begin(ALERT, account.id, wrong)
        elif all(state == EQUAL for state, _ in verdicts):
            await self._hands.over(ALERT, account.id)

    async def _keep(
        self, account: Account, day: date, state: str, scope: str, words: str, theirs: int | None, ours: int, unpriced: int
    ) -> None:
        row = {
            "account_id": account.id, "day": str(day), "provider": account.provider, "label": account.label, "state": state, "scope": scope,
            "words": words, "theirs_nano": theirs, "ours_nano": ours, "unpriced": unpriced, "at": self._now(),
        }  # fmt: skip
        await self._db.tx(lambda conn: table.put(conn, row))

    async def _ask(self, account: Account, day: date) -> Decimal | None:
        """Dollars of a day, all pages; None when an answer says nothing. Raises GatewayError when it is refused or not to be had."""
        provider, found = providers.get(account.provider), reader(account)
        assert found is not None
        total, more = Decimal(0), ""
        for _ in range(MOST_PAGES):
            question = bill_readers.question(found, provider, account, day, more, self._hands.endpoints())
            status, _, raw = await self._upstream.fetch(UpstreamRequest(*question, proxy_url=account.proxy_url), WITHIN_S)
            body = _parsed(raw)
            refuse(provider, status, body)
            told = bill_readers.read(found, account, body, day)
            if told.dollars is None:
                return None
            total += told.dollars
            if not told.more or told.more == more:
                return total
            more = told.more
        return None


def _together(account: Account, mate: Account) -> bool:
    """Whether what the provider tells of one is about the other too: the same key reads it, and the same part is meant."""
    same = mate.usage_key == account.usage_key and reader(mate) is reader(account)
    return mate.id == account.id or (same and bill_readers.part_of(mate) == bill_readers.part_of(account))


def _day(now: int) -> date:
    return datetime.fromtimestamp(now / 1000, UTC).date()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
