"""Looks after accounts that are out: asks whether they are back, for free first, and sends one token where only that can tell.

A job per account (kind "probe", key: its id) from the moment that it is out until it has proved itself; each failed probe
doubles the time to the next. Healthy accounts are never probed, and a time that the provider stated is waited for (DESIGN.md,
law 6). A probe never lengthens a guess: it only ends it early.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any, Protocol

from omni_connector import catalog, providers, secrets
from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import Report
from omni_connector.pinging import Pinger, model_for
from omni_connector.routing.health import ACCOUNT_SCOPE, MODEL_SCOPE, kind_of, recover
from omni_connector.routing.probes import DAY_MS, Memory, Signals, announced, doubtful, judge, next_probe, unproven
from omni_connector.routing.resolve import Candidate
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.upstream import Upstream, UpstreamRequest
from omni_connector.values import dataclass
from omni_connector.wire import views

KIND = "probe"
SOON_MS = 30_000
"""A token that ends within this time is renewed before it is used."""
WITHIN_S = 15.0
REFUSES = frozenset({400, 401, 403})
"""What a model list says to somebody without a credential when it is not open to everybody."""


class Listed(Protocol):
    """What asking for the models said (`admin.probe.ask_models`)."""

    @property
    def ok(self) -> bool: ...
    @property
    def status(self) -> int | None: ...
    @property
    def message(self) -> str: ...
    @property
    def models(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """What probing needs of the rest of the house, as plain callables."""

    accounts: Callable[[], Mapping[str, Account]]
    cooldowns: Callable[[str], Sequence[Cooldown]]
    """Account id → its cooldowns, run out or not (`Pool.cooldowns`)."""
    endpoints: Callable[[], providers.Endpoints]
    ask: Callable[[Account], Awaitable[Listed]]
    recovered: Callable[[str, str, int], Awaitable[bool]]
    """(account id, scope, when it was asked): clear that cooldown, here and in the database. False: it failed anew since."""
    accepted: Callable[[str], Awaitable[None]]
    """Account id: its credential is taken again, `needs_login` becomes `ok`."""
    renew: Callable[[Account, str], Awaitable[Account]]
    """As the relay's door: the account with a token that has not ended. Raises GatewayError."""
    failed: Callable[[Candidate, GatewayError], None]
    """As for a request that failed."""
    learned: Callable[[str, tuple[str, ...], Json | None], Awaitable[None]]
    """(account id, its models, its balance): news from its provider, to be kept. () and None: no news."""


# ---------------------------------------------------------------- The work


class Prober:
    """The jobs of kind "probe" (`jobs.ByNeed`). Any number of processes may have one: a job is claimed by one of them."""

    kind = KIND

    def __init__(
        self,
        db: Database,
        upstream: Upstream,
        pinger: Pinger,
        hands: Hands,
        settings: Callable[[], Settings],
        now: Callable[[], int],
        rng: Random,
    ) -> None:
        self._db = db
        self._upstream = upstream
        self._pinger = pinger
        self._hands = hands
        self._settings = settings
        self._now = now
        self._rng = rng
        self._idle = False
        """There is nothing in the table, so there is no need to look while all are well."""

    async def arrange(self) -> None:
        """A job for every account that is out for longer than it takes to ask; none for those that have proved themselves."""
        now = self._now()
        waiting = self._waiting()
        if self._idle and not waiting:
            return
        rows = [job for job in await self._db.run(queue.list_jobs) if job.kind == KIND]
        known = {job.key: job.state for job in rows}
        begin = [account_id for account_id, worth in waiting.items() if worth and known.get(account_id, "done") in ("done", "dead")]
        well = [job for job in rows if job.key not in waiting]
        rest = {job.id: replace(Memory.read(job.payload, now), step=0).payload() for job in well if job.state == "ready"}
        # The count of billed probes outlives the need for them, else an account that comes and goes would have no daily limit.
        over = [job.id for job in well if job.state in ("done", "dead") and job.payload.get("day") != now // DAY_MS]
        self._idle = not rows and not begin

        def write(conn: Any) -> None:
            queue.rest(conn, rest)
            queue.remove(conn, over)
            for account_id in begin:
                queue.wake(conn, KIND, account_id, now, self._next(0, now))

        if begin or rest or over:
            await self._db.tx(write)

    def _waiting(self) -> dict[str, bool]:
        """Account id → is it out until after the first probe? Only then is a job begun; one that is there stays until the
        account has proved itself, so that its probes go on getting rarer."""
        stored, now = self._settings(), self._now()
        if stored.probe_max_s == 0:
            return {}
        found = {}
        for account in self._hands.accounts().values():
            if left := unproven(account, self._hands.cooldowns(account.id)):
                found[account.id] = any(c.source == "terminal" or c.until_at > now + stored.probe_first_s * 1000 for c in left)
        return found

    def _next(self, step: int, now: int, not_before: int = 0) -> int:
        stored = self._settings()
        return next_probe(step, now, self._rng, first_s=stored.probe_first_s, longest_s=max(1, stored.probe_max_s), not_before=not_before)

    async def run(self, job: queue.JobRow) -> Report:
        now = self._now()
        memory = Memory.read(job.payload, now)
        account = self._hands.accounts().get(job.key)
        if account is None or self._settings().probe_max_s == 0 or not self._left(account):
            return Report("no need to ask", None, replace(memory, step=0).payload())
        told = self._hands.cooldowns(account.id)
        stated = announced(told, now)
        wanted = doubtful(account, told, now)
        if stated or not wanted:
            words = "its provider said when it is back" if stated else "the next request decides"
            return Report(words, self._next(memory.step, now, stated), memory.payload())
        memory, problems = await self._probe(job, account, wanted, memory)
        ended = self._now()
        if not self._left(account):
            return Report(f"{account.label} is back", None, replace(memory, step=0).payload())
        error = "; ".join(problems) or "it is still out"
        memory = replace(memory, step=memory.step + 1)
        return Report(f"{account.label}: {error}", self._next(memory.step, ended), memory.payload(), error[:500])

    def _left(self, account: Account) -> list[Cooldown]:
        current = self._hands.accounts().get(account.id)
        return unproven(current, self._hands.cooldowns(current.id)) if current else []

    async def _probe(self, job: queue.JobRow, account: Account, wanted: Sequence[Cooldown], memory: Memory) -> tuple[Memory, list[str]]:
        """Free questions, then at most one token. Returns what to remember and what is still wrong, in words."""
        began = self._now()
        if account.access_until is not None and account.access_until < began + SOON_MS:
            try:
                account = await self._hands.renew(account, "")
            except GatewayError as error:
                return memory, [error.message]
        signals, problem = await self._signals(account, {kind_of(cooldown) for cooldown in wanted})
        open_questions: list[Cooldown] = []
        problems = [problem] if problem else []
        for cooldown in wanted:
            verdict = judge(cooldown, signals)
            if verdict:
                await self._recovered(cooldown, began)
            elif verdict is None:
                open_questions.append(cooldown)
            elif cooldown.scope == ACCOUNT_SCOPE:
                return memory, problems or [f"still out: {cooldown.reason}"]
        if not open_questions:
            return memory, problems
        wide = [cooldown for cooldown in open_questions if cooldown.scope == ACCOUNT_SCOPE]
        asked = wide[0] if wide else open_questions[memory.step % len(open_questions)]
        memory, problem = await self._ping(job, account, asked, memory)
        return memory, [problem] if problem else []

    async def _recovered(self, cooldown: Cooldown, began: int) -> None:
        """Clears it, unless it failed anew while it was asked about."""
        now_held = next((c for c in self._hands.cooldowns(cooldown.account_id) if c.scope == cooldown.scope), None)
        if now_held is not None and not recover(now_held, began, self._now()):
            return
        if now_held is not None and not await self._hands.recovered(cooldown.account_id, cooldown.scope, began):
            return
        if kind_of(cooldown) is Kind.ACCOUNT_REJECTED:
            await self._hands.accepted(cooldown.account_id)

    # ------------------------------------------------------------ for free

    async def _signals(self, account: Account, kinds: set[Kind | None]) -> tuple[Signals, str]:
        listed = await self._hands.ask(account)
        reached = listed.status is not None and listed.status < 500
        accepted: bool | None = True if listed.ok else None
        paid: bool | None = None
        balance: Json | None = None
        if reached and kinds & {Kind.ACCOUNT_UNPAID, Kind.ACCOUNT_REJECTED}:
            balance = await self._balance(account)
            if balance is not None:
                accepted, usable = True, balance["usable"]
                paid = usable if usable is not None else Decimal(balance["amount"]) > 0
            elif listed.ok and Kind.ACCOUNT_REJECTED in kinds:
                accepted = await self._list_is_closed(account)
        await self._learn(account, listed.models if listed.ok else (), balance)
        families = frozenset(catalog.family(model) for model in listed.models)
        return Signals(reached, accepted, paid, families), "" if listed.ok else secrets.scrub(listed.message, account.access)[:400]

    async def _learn(self, account: Account, models: tuple[str, ...], balance: Json | None) -> None:
        """What the free questions said beside the one that was asked, where it is news."""
        current = self._hands.accounts().get(account.id)
        if current is None or current.secret != account.secret:
            return  # it was removed, or given another credential, while it was asked
        news = models if models != current.discovered else ()
        balance = balance if balance != current.balance else None
        if news or balance:
            await self._hands.learned(account.id, news, balance)

    async def _balance(self, account: Account) -> Json | None:
        """What is left on the account; None where nobody says."""
        provider = providers.get(account.provider)
        try:
            asked = providers.balance_request(provider, account, self._hands.endpoints())
            if asked is None:
                return None
            status, _, body = await self._upstream.fetch(UpstreamRequest("GET", *asked, proxy_url=account.proxy_url), WITHIN_S)
            return providers.parse_balance(provider, account, status, views.decode(body))
        except GatewayError:
            return None  # no answer is no signal: the model list or a token tells

    async def _list_is_closed(self, account: Account) -> bool:
        """Some providers list their models to everybody: that proves no credential. Some commands cannot say who is signed in."""
        if providers.get(account.provider).command:
            return providers.commands.proves_login(account)
        if not account.secret and not account.headers:
            return True
        stranger = await self._hands.ask(replace(account, secret="", access="", headers={}))
        return stranger.status in REFUSES

    # ------------------------------------------------------------ for one token

    async def _ping(self, job: queue.JobRow, account: Account, cooldown: Cooldown, memory: Memory) -> tuple[Memory, str]:
        """One token, if the day's count allows it. Returns what is wrong in words, "" when the account answered."""
        model = model_for(account, cooldown.scope, paying=kind_of(cooldown) is Kind.ACCOUNT_UNPAID)
        if not model:
            return memory, f"only a request can tell whether it is over: {cooldown.reason}"
        if memory.billed >= self._settings().probe_billed_per_day:
            return memory, f"only a request can tell whether it is over ({cooldown.reason}), and today's {memory.billed} were sent"
        memory = replace(memory, billed=memory.billed + 1)
        payload = memory.payload()
        # Counted before it is sent: neither a crash nor another process can spend more than the day's count.
        if not await self._db.tx(lambda conn: queue.note(conn, job, payload)):
            return memory, "another process took over"
        began = self._now()
        try:
            await self._pinger.send(account, model, self._hands.endpoints(), cooldown.reason)
        except GatewayError as error:
            self._hands.failed(Candidate(account, model), error)
            return memory, f"{model}: {error.message[:400]}"
        scopes = {cooldown.scope, MODEL_SCOPE + catalog.family(model)}
        for held in [c for c in self._hands.cooldowns(account.id) if c.scope in scopes]:
            await self._recovered(held, began)
        return memory, ""
