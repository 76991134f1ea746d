"""Whether a request may go to an account: limits are asked, and what it may cost at most is held until it is settled (DESIGN.md, law 4).

Held is the worst case: the prompt as large as it can be counted, and the longest answer that the request, or the model, allows. Where
a budget has room for less, the request is told to answer no longer than that; so it is kept to the nano-dollar and used to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from omni_connector import catalog, providers, usage
from omni_connector.budgets import Budgets
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind
from omni_connector.ledger import Ledger, Verdict
from omni_connector.limits import Bound, refusal
from omni_connector.prepare import CHAT_WIRE, COMPLETIONS, Prepared, Unable
from omni_connector.record import Record
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import Account
from omni_connector.store.allowances import Ask, Granted
from omni_connector.usage import nano
from omni_connector.values import dataclass
from omni_connector.wire import caps

LEAST_ANSWER = 64
"""Tokens of an answer that are worth asking for: with room for less, a budget is spent."""
UNSAID_ANSWER = 32_768
"""The longest answer of a model of which nobody says how much it gives, to a request that does not say either."""
HOUR = b'"1h"'
CACHING = b"cache_control"


@dataclass(frozen=True, slots=True)
class Stake:
    """What a request can cost. `fixed`: nano-dollars without the answer; None: unknown. `per_token`: of the answer, of all its choices."""

    fixed: int | None
    per_token: Decimal
    tokens: int
    """The longest answer."""

    @property
    def most(self) -> int | None:
        return self.at(self.tokens)

    @property
    def least(self) -> int | None:
        return self.at(min(self.tokens, LEAST_ANSWER))

    def at(self, tokens: int) -> int | None:
        return None if self.fixed is None else self.fixed + _up(self.per_token * tokens)

    def answer(self, nanos: int) -> int:
        """The longest answer that so much pays for."""
        return self.tokens if not self.per_token else max(1, int((nanos - (self.fixed or 0)) / self.per_token))


def stake(
    rates: usage.Rates | None, free: bool, wanted: caps.Wanted, prompt: int, body: bytes, model: str, *, caches: bool = False
) -> Stake:
    """`prompt`: tokens at most. `free`: no money changes hands. `caches`: prompts are written to a cache without being asked to."""
    longest = catalog.max_output(model) or UNSAID_ANSWER
    tokens = longest if wanted.tokens is None else wanted.tokens
    if rates is None:
        return Stake(0 if free else None, Decimal(0), tokens)
    if rates.input is None or (rates.output is None and tokens):
        return Stake(None, Decimal(0), tokens)
    reading = [rates.input]
    if (caches or CACHING in body) and rates.cache_write is not None:
        reading.append(rates.cache_write)
    if HOUR in body and rates.cache_write_1h is not None:
        reading.append(rates.cache_write_1h)
    fixed = rates.per_request + max(rate.at(prompt) for rate in reading) * prompt
    answering = max((rate.at(prompt) for rate in (rates.output, rates.reasoning) if rate is not None), default=Decimal(0))
    return Stake(_up(fixed * usage.NANO), answering * usage.NANO * wanted.choices, tokens)


def _up(nanos: Decimal) -> int:
    return int(nanos.to_integral_value(rounding="ROUND_CEILING"))


Staking = Callable[[Account, str, caps.Wanted, int, bytes], Stake]
"""(account, model, what the request allows, estimated tokens of its prompt, its body) → what it can cost."""


@dataclass(slots=True)
class Entering:
    """A request at the door of a candidate. The verdict comes with the ledger's next commit."""

    candidate: Candidate
    ask: Ask
    bounds: Mapping[tuple[str, str], Bound]
    stake: Stake
    verdict: asyncio.Future[Verdict]


class Admission:
    """`begin` asks, in the transaction that is written next; `end` waits for the answer."""

    def __init__(self, ledger: Ledger, budgets: Budgets, stake: Staking, now: Callable[[], int]) -> None:
        self._ledger = ledger
        self._budgets = budgets
        self._stake = stake
        self._now = now

    def first(self, call: Call, candidate: Candidate, tokens: int) -> Entering | None:
        """`begin` of a request that was nowhere yet."""
        return self._begin(call.id, call.started_at, call.key.id, candidate, call.wire, call.body, tokens, None, again=False)

    def begin(
        self, call: Call, candidate: Candidate, tokens: int, paid: Decimal | None = None, before: Entering | None = None
    ) -> Entering | None:
        """None: no limit applies. `paid`: what the request has cost already, where another account goes on with its answer. `before`: what
        was asked for an account that is done with; what it holds is let go."""
        entering = self._begin(call.id, call.started_at, call.key.id, candidate, call.wire, call.body, tokens, paid)
        if entering is None and before is not None:
            self._ledger.ask(replace(before.ask, claims=(), again=True))
        return entering

    def probe(self, record: Record, account: Account, body: bytes) -> Awaitable[object]:
        """The same of a question of our own, which counts against what the account may use. Raises GatewayError."""
        candidate = Candidate(account, record.model_requested)
        entering = self._begin(record.id, record.started_at, "", candidate, account.wire, body, record.est_input, None, again=False)
        return self._probed(entering)

    async def _probed(self, entering: Entering | None) -> None:
        try:
            if entering is not None:
                await self.end(entering)
        except Unable as unable:
            raise unable.error from unable

    def _begin(
        self,
        request_id: str,
        at: int,
        key_id: str,
        candidate: Candidate,
        wire: str,
        body: bytes,
        tokens: int,
        paid: Decimal | None,
        *,
        again: bool = True,
    ) -> Entering | None:
        if not self._budgets.limits.by:
            return None  # as in nearly every installation
        account, model = candidate.account, candidate.model
        bounds = [found for found in self._budgets.limits.applying(key_id, account, model) if found.enforced]
        if not bounds:
            return None
        wanted, spoken = caps.read(wire, body), providers.facing(account, CHAT_WIRE.get(wire, wire))
        heeds = _heeds_limits(spoken)
        if not heeds and wire in caps.SAYS:
            wanted = replace(wanted, tokens=None)
        found = self._stake(account, model, wanted, tokens, body)
        if paid is not None and found.fixed is not None:
            found = replace(found, fixed=found.fixed + (nano(paid) or 0))
        claims = tuple(bound.claim(at, free=found.most == 0) for bound in bounds)
        # Who cannot be told how long an answer may be needs room for all of it.
        least = found.most or 0
        if heeds:
            least = found.at(min(found.tokens, LEAST_ANSWER + (wanted.thoughts if spoken.wire == wire else 0))) or 0
        used = tokens + min(found.tokens, LEAST_ANSWER)
        ask = Ask(request_id, at, claims, found.most, least, used, keeps=paid is not None, again=again)
        return Entering(candidate, ask, {bound.key: bound for bound in bounds}, found, self._ledger.ask(ask))

    async def end(self, entering: Entering) -> int | None:
        """Tokens that the answer may have at most; None: as the request says. Raises GatewayError where no other account helps, Unable
        where one may: the client is told that error all the same where no other one is left."""
        verdict = await entering.verdict
        while not isinstance(verdict, Granted) and verdict.why == "unread":
            await self._budgets.read(entering.ask.claims)
            entering.verdict = self._ledger.ask(entering.ask)
            verdict = await entering.verdict
        if isinstance(verdict, Granted):
            short = verdict.nano is not None and entering.stake.most is not None and verdict.nano < entering.stake.most
            return entering.stake.answer(verdict.nano or 0) if short else None
        bound = entering.bounds[verdict.claim.scope, verdict.claim.subject]
        if verdict.claim.amount is not None:
            claim = verdict.claim
            self._budgets.note([(claim.scope, claim.subject, claim.start_at, claim.end_at, verdict.spent)] if verdict.spent else [])
        least = None if entering.stake.most is None else entering.ask.least
        refused = refusal(bound, verdict, least, self._now())
        if isinstance(refused, GatewayError):
            if verdict.why == "held":
                raise Unable(refused)  # what costs less, or nothing, may still fit
            raise refused
        error = refused.error()
        if refused.until_at is not None:
            error.retry_after = max(1.0, (refused.until_at - self._now()) / 1000)
        raise Unable(error)


def _heeds_limits(account: Account) -> bool:
    """Whether it can be told how long an answer may be: not every format can say it, the ChatGPT backends refuse to hear it, and
    programs do not."""
    row = providers.PROVIDERS.get(account.provider)
    return account.wire in caps.SAYS and "codex_backend" not in account.features and not (row is not None and row.command)


def shortened(prepared: Prepared, candidate: Candidate, tokens: int, asked: str) -> Prepared:
    """The request with an answer of at most `tokens`. `asked`: the client's format. Raises Unable where it cannot be said."""
    features = providers.facing(candidate.account, prepared.wire).features
    wire = "openai-completions" if prepared.endpoint == COMPLETIONS else prepared.wire
    body = caps.capped(wire, prepared.request.body, tokens, features, yielding=wire != asked)
    if body is None:
        words = "what is left of the budget pays for a part of the answer only, and this account cannot be told to stop there"
        raise Unable(GatewayError(Kind.NO_ACCOUNT, words))
    if body == prepared.request.body:
        return prepared
    note = f"answer shortened to {tokens} tokens: the budget pays for no more"
    return replace(prepared, request=replace(prepared.request, body=body), dropped=(*prepared.dropped, note))
