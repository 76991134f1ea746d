"""Asks providers what is left on their accounts, in the background, and listens to what ordinary answers say about it.

A job per account (kind "quota", key: its id) that has somebody to ask: a reader of its quota, or a balance. Failures make polls rarer;
where a provider says to wait, it is left alone for that long (DESIGN.md, law 6). What is overheard costs a request next to nothing:
it is put aside, and read and written with the next tick, at most once a minute and account.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from omni_connector import catalog, providers
from omni_connector.jobs import LEASE_MS, Report
from omni_connector.providers import quota_readers
from omni_connector.quotas.asking import Answer, Asker, parsed, same_credential
from omni_connector.quotas.memory import Memory
from omni_connector.quotas.proof import proven
from omni_connector.quotas.shape import MISSED
from omni_connector.quotas.windows import is_news, merge, overheard, stale
from omni_connector.routing.health import recover, span
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts as rows
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.upstream import Upstream
from omni_connector.values import dataclass

Json = dict[str, Any]

KIND = "quota"
MINUTE_MS = 60_000
JITTER = 0.1
FIRST_MS = 10_000
"""Accounts that are there at a start are not all asked in the same moment."""
LONGEST_MS = 6 * 3_600_000
"""Between polls that fail."""
AFTER_LIMIT_MS = 10 * MINUTE_MS
"""After a 429 that does not say how long to wait."""
LOOK_MS = MINUTE_MS
"""Between looks at the table while nothing seems to have changed: another process may see it differently."""
GAP_MS = 10_000
"""Between polls that the user asks for."""
HEARD_MS = MINUTE_MS
MOST_HEARD = 512
MOST_BODY = 16_384


@dataclass(frozen=True, slots=True)
class Hands:
    """What polling needs of the rest of the house, as plain callables."""

    accounts: Callable[[], Mapping[str, Account]]
    cooldowns: Callable[[str], Sequence[Cooldown]]
    """Account id → its cooldowns, run out or not (`Pool.cooldowns`)."""
    endpoints: Callable[[], providers.Endpoints]
    renew: Callable[[Account, str], Awaitable[Account]]
    """(an account with a sign-in, the access token that was refused or "") → the account with one that was not. Raises GatewayError."""
    recovered: Callable[[str, str, int], Awaitable[bool]]
    """(account id, scope, when it was asked): clear that cooldown, here and in the database. False: it failed anew since."""
    reload: Callable[[], Awaitable[None]]
    """Accounts were changed in the database."""
    show: Callable[[str], Awaitable[None]]
    """Account id: tell the dashboards."""


@dataclass(frozen=True, slots=True)
class _Heard:
    account_id: str
    provider: str
    model: str
    headers: Mapping[str, str]
    refusal: bytes
    at: int


class Poller:
    """The jobs of kind "quota" (`jobs.ByNeed`). Any number of processes may have one: a job is claimed by one of them."""

    kind = KIND

    def __init__(
        self,
        db: Database,
        upstream: Upstream,
        hands: Hands,
        settings: Callable[[], Settings],
        process_id: str,
        now: Callable[[], int],
        rng: Random,
    ) -> None:
        self._db = db
        self._hands = hands
        self._settings = settings
        self._process_id = process_id
        self._now = now
        self._rng = rng
        self._asker = Asker(upstream, hands.endpoints, hands.renew, now)
        self._arranged: frozenset[str] | None = None
        self._looked_at = 0
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._wrote: dict[str, int] = {}

    # ------------------------------------------------------------ when

    def asks(self, account: Account) -> bool:
        """Whether there is anybody to ask about it."""
        return self._asker.asks(account)

    async def arrange(self) -> None:
        """A job for every account that has somebody to ask; none for others. What was overheard is written."""
        now = self._now()
        await self._write_heard(now)
        wanted = self._wanted()
        if wanted == self._arranged and now - self._looked_at < LOOK_MS:
            return
        jobs = [job for job in await self._db.run(queue.list_jobs) if job.kind == KIND]
        known = {job.key: job.state for job in jobs}
        begin = [account_id for account_id in sorted(wanted) if known.get(account_id, "done") in ("done", "dead")]
        extra = [job for job in jobs if job.key not in wanted]
        rest = {job.id: job.payload for job in extra if job.state == "ready"}
        # What was learned of an account that is only switched off stays with its row.
        over = [job.id for job in extra if job.state in ("done", "dead") and job.key not in self._hands.accounts()]

        def write(conn: Any) -> None:
            queue.rest(conn, rest)
            queue.remove(conn, over)
            for account_id in begin:
                queue.wake(conn, KIND, account_id, now, now + self._rng.randint(0, FIRST_MS))

        if begin or rest or over:
            await self._db.tx(write)
        self._arranged, self._looked_at = wanted, now

    def _wanted(self) -> frozenset[str]:
        if self._settings().quota_refresh_interval == 0:
            return frozenset()
        mine = self._hands.accounts().values()
        return frozenset(account.id for account in mine if account.enabled and account.state == "ok" and self.asks(account))

    def _next(self, failed: int, wait_s: float | None, limited: bool, now: int) -> int:
        """When the next poll is due (ms), after so many failures in a row."""
        interval = max(1, self._settings().quota_refresh_interval) * MINUTE_MS
        wait = min(interval * 2.0 ** min(failed, 20), max(LONGEST_MS, interval))
        if limited:
            wait = max(wait, AFTER_LIMIT_MS)
        due = now + round(wait * self._rng.uniform(1 - JITTER, 1 + JITTER))
        return due if wait_s is None else max(due, now + round(wait_s * 1000))

    # ------------------------------------------------------------ one poll

    async def run(self, job: queue.JobRow) -> Report:
        account = self._hands.accounts().get(job.key)
        if account is None or job.key not in self._wanted():
            return Report("", None, job.payload, job.last_error)
        return await self._poll(job, account)

    async def _poll(self, job: queue.JobRow, account: Account) -> Report:
        memory, began = Memory.read(job.payload), self._now()
        answer = await self._asker.ask(account)
        now = self._now()
        current = self._hands.accounts().get(account.id)
        if current is None or not same_credential(current, account):
            # What was told was about another credential.
            return Report("", None if current is None else now, job.payload)
        failed = 0 if answer.told or not answer.error else memory.failed + 1
        due = self._next(failed, answer.wait_s, answer.limited, now)
        memory = replace(memory, failed=failed, hold=due if answer.limited else 0)
        if not failed:
            seen = memory.seen if answer.windows is None else memory.noted(answer.windows, now)
            memory = replace(memory, polled_at=now, seen=seen)
        if not await self._keep(job, account, answer, memory):
            return Report("", due, memory.payload())  # another process took over: this one writes nothing
        await self._end_guesses(account.id, answer, began)
        await self._hands.show(account.id)
        said = f"{account.label}: {answer.error}" if answer.error else ""
        return Report(said, due if account.id in self._wanted() else None, memory.payload(), answer.error[:500] or None)

    async def _keep(self, job: queue.JobRow, account: Account, answer: Answer, memory: Memory) -> bool:
        """Writes what was told, where it is news. False: the lease was lost."""
        quota: Callable[[Sequence[Json]], Sequence[Json]] | None = None
        if answer.windows is not None:
            quota = partial(merge, told=answer.windows, whole=answer.whole)
        elif memory.failed >= MISSED:
            quota = stale

        def write(conn: Any) -> tuple[bool, bool]:
            if not queue.note(conn, job, memory.payload()):
                return False, False
            return True, rows.set_left(conn, account.id, quota=quota, is_news=self._is_news, plan=answer.plan, balance=answer.balance)

        held, changed = await self._db.tx(write)
        if changed:
            await self._hands.reload()
        return held

    def _is_news(self, stored: Sequence[Json], fresh: Sequence[Json]) -> bool:
        return is_news(stored, fresh, self._now())

    async def _end_guesses(self, account_id: str, answer: Answer, began: int) -> None:
        """A good answer ends what was only guessed, unless the account failed anew while it was asked."""
        account, now = self._hands.accounts().get(account_id), self._now()
        if account is None or not answer.told:
            return
        for cooldown in self._hands.cooldowns(account_id):
            if proven(cooldown, account, answer, now, catalog.family) and recover(cooldown, began, now):
                await self._hands.recovered(account_id, cooldown.scope, began)

    # ------------------------------------------------------------ when the user asks

    async def refresh(self, account: Account) -> str:
        """Asks now, whatever the schedule says; returns in words what came of it. Never while the provider wants to be left alone."""
        if not self.asks(account):
            return f"There is nobody to ask what is left on {account.label}: its provider tells no quota and no balance to its credential."
        now = self._now()

        def take(conn: Any) -> queue.JobRow | str:
            queue.wake(conn, KIND, account.id, now, now)
            job = next(job for job in queue.list_jobs(conn) if (job.kind, job.key) == (KIND, account.id))
            memory = Memory.read(job.payload)
            if memory.hold > now:
                return f"Its provider answered 429 and is left alone for another {span(memory.hold - now)}; this is what it said before."
            if memory.polled_at is not None and now - memory.polled_at < GAP_MS:
                return "It was asked a moment ago."
            return queue.take(conn, job.id, self._process_id, now, LEASE_MS) or "It is being asked already."

        job = await self._db.tx(take)
        if isinstance(job, str):
            return job
        report = await self._poll(job, account)
        ended = self._now()
        await self._db.tx(lambda conn: queue.again(conn, job, ended, report.due_at, report.payload, report.error))
        await self._hands.show(account.id)
        return f"{account.label} did not tell: {report.error}" if report.error else f"{account.label} was asked what is left."

    # ------------------------------------------------------------ what answers tell by the way

    def harvest(self, account: Account, headers: Mapping[str, str], model: str = "", refusal: bytes = b"") -> None:
        """The headers (lower-case names) of any answer of an account's; `model`: whom it was of, as the provider calls it; `refusal`:
        the body of a 429. Stands in the way of every request: nothing is read here."""
        if not refusal and not quota_readers.tells(headers):
            return
        place = (account.id, model)
        if len(self._heard) < MOST_HEARD or place in self._heard:
            self._heard[place] = _Heard(account.id, account.provider, model, headers, refusal[:MOST_BODY], self._now())

    async def _write_heard(self, now: int) -> None:
        due = [one for one in self._heard.values() if now - self._wrote.get(one.account_id, 0) >= HEARD_MS]
        if not due:
            return
        self._heard = {place: one for place, one in self._heard.items() if one not in due}
        accounts = self._hands.accounts()
        for account_id in dict.fromkeys(one.account_id for one in due):
            windows = [window for one in due if one.account_id == account_id for window in _windows(one)]
            account = accounts.get(account_id)
            if account is not None and windows:
                await self._keep_heard(account, windows, now)

    async def _keep_heard(self, account: Account, windows: Sequence[Json], now: int) -> None:
        stored = [dict(row) for row in account.quota]
        if not is_news(stored, overheard(stored, windows, now), now):
            return
        self._wrote[account.id] = now
        quota = partial(overheard, heard=windows, now=now)
        if await self._db.tx(lambda conn: rows.set_left(conn, account.id, quota=quota, is_news=self._is_news)):
            await self._hands.reload()
            await self._hands.show(account.id)


def _windows(one: _Heard) -> list[Json]:
    provider = providers.PROVIDERS.get(one.provider)
    if provider is None:
        return []
    found = quota_readers.harvest(provider, one.headers, one.at, one.model)
    return found + (quota_readers.refused(parsed(one.refusal), one.at, one.model) if one.refusal else [])
