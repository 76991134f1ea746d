"""What a call may cost and where it may go: the router (routing/) with live state, prices and the words of the settings.

Planning only reads, so `preview` may plan what nobody sends (`POST /v1/router/explain`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal

from omni_connector import admission, catalog, prices, providers, usage
from omni_connector.budgets import Budgets
from omni_connector.calibration import ALLOWANCE, PLAIN_ALLOWANCE
from omni_connector.call import Call
from omni_connector.errors import GatewayError, Kind
from omni_connector.prepare import Asked, Preparer
from omni_connector.record import Record
from omni_connector.routing import constraints
from omni_connector.routing.affinity import Homes, fingerprint
from omni_connector.routing.drawing import Drawing
from omni_connector.routing.plan import Over, Overspent, Plan, going_on, is_open, make_plan, sole
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate, ModelName, Resolution, resolve, visible_models
from omni_connector.routing.score import Price
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, ClientKey, Snapshot
from omni_connector.wire import caps, conversations
from omni_connector.wire.views import View

PROVIDER_NAMES: Mapping[str, str] = {
    **{name: target for name, (target, _) in providers.ALIASES.items()},
    **{name: name for name in providers.PROVIDERS},
}
"""Every word for a provider, in lower case → its id."""

ANSWER_TOKENS = 500
"""What an answer is taken to be long when prices are compared before it is there."""

MOST_NAMES = 4096
"""Names whose meaning is remembered: clients may send any."""
LONGEST = 300
"""Characters of such a name."""
TOO_LONG = 1000
"""Characters of a name that is not even looked up: what is worked out of a name is remembered in many places."""

TOOLS = b'"tools"'
CACHES_WHEN_ASKED = frozenset({"anthropic"})
"""Price ids of those who write a prompt to a cache, which costs more than reading it, only where the request says so."""


def provider_named(word: str) -> str:
    """The provider that a path, a header or a setting names, in any case; "" when there is none."""
    return PROVIDER_NAMES.get(word.strip().lower(), "")


class Planner:
    """`snapshot` and `stored` give the configuration of the moment; `priced`: whether prices are known without loading them now;
    `at_most`: (model, estimated tokens of a prompt, tokens that its provider may add) → as many as they can turn out to be."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        stored: Callable[[], Settings],
        pool: Pool,
        priced: Callable[[], bool],
        now: Callable[[], int],
        budgets: Budgets,
        at_most: Callable[[str, int, int], int],
    ) -> None:
        self._snapshot = snapshot
        self._stored = stored
        self._pool = pool
        self._priced = priced
        self._now = now
        self._budgets = budgets
        self._at_most = at_most
        self._rng = random.Random()
        self._drawing = Drawing()
        self._resolved: dict[tuple[str, str, str, str], tuple[ClientKey, Resolution]] = {}
        self._resolved_of: tuple[Snapshot, Settings] | None = None
        """The configuration that they are of."""
        self._sole: dict[tuple[str, ...], Plan] = {}
        """Of the same configuration: by all that they are of, see `_sole_plan`."""
        self.homes = Homes()
        self.likely: Callable[[str, int], int] = lambda model, tokens: tokens
        """(model, estimated tokens of a prompt) → how many they are at that model, by experience."""

    # ------------------------------------------------------------ plans

    def plan(self, call: Call, asked: Asked, *, detail: bool = False) -> Plan:
        """The plan of a call. `detail`: with every candidate's points, also where there is no choice.
        Raises GatewayError for a name that leads nowhere, and for headers that leave nobody."""
        view, stored, now = asked.view, self._stored(), self._now()
        wishes = constraints.NONE
        if not constraints.NAMED.isdisjoint(call.headers):
            wishes = constraints.parse(call.headers, family=catalog.family, provider_aliases=PROVIDER_NAMES)
        if asked.tokens is None:
            asked.tokens = usage.estimate_tokens(call.body)
        tokens = asked.tokens
        if not asked.conversation:
            asked.conversation = fingerprint(call.key.id, view.model, conversations.marks(call.wire, call.body, call.headers))
        resolution = self.resolve(view.model, call, tokens)
        policy = wishes.policy(stored.strategy)
        over = self._over(call, tokens) if self._budgets.watching else None
        only = None if detail or wishes is not constraints.NONE else sole(resolution)
        if only is not None and is_open(only, resolution.requested, view.needs, call.key, self._pool, now, over):
            plan = self._sole_plan(resolution, only, policy, now)
            return going_on(plan, asked.earlier[-1].account_id or "") if asked.earlier else plan
        plan = make_plan(
            resolution,
            view.needs,
            call.key,
            self._pool,
            policy,
            now,
            self._rng,
            price=self._costs(tokens),
            home=self.homes.home(asked.conversation, now) if asked.conversation else None,
            saving=self._saving,
            wishes=wishes,
            over=over,
            detail=detail,
            drawing=None if detail else self._drawing,
        )
        return going_on(plan, asked.earlier[-1].account_id or "") if asked.earlier else plan

    def _sole_plan(self, resolution: Resolution, only: Candidate, policy: str, now: int) -> Plan:
        """The plan where there is one candidate and nothing is against him: nothing else of the request changes it, so one serves all
        that mean the same. A changed account is another object. Raises GatewayError for an unknown policy."""
        meaning = (policy, resolution.kind, resolution.requested, resolution.note, *only.key)
        known = self._sole.get(meaning)
        if known is not None and known.attempts[0].account is only.account:
            return known
        plan = make_plan(resolution, {}, None, self._pool, policy, now, self._rng, detail=False)
        if plan.attempts and not plan.skipped:
            if len(self._sole) >= MOST_NAMES:
                self._sole.clear()
            self._sole[meaning] = plan
        return plan

    async def preview(self, call: Call, preparer: Preparer) -> tuple[str, Plan]:
        """What the name of a call's model is, and the plan that the call would get now; nothing is sent. A call without a body is
        judged by the name alone. Raises GatewayError as the call itself would be refused."""
        asked = await preparer.look(call) if call.body else Asked(call, View(call.model, False, False, {}, False))
        if call.model:
            asked.view = replace(asked.view, model=call.model)
        return self.resolve(asked.view.model, call).kind, self.plan(call, asked, detail=True)

    def answered(self, asked: Asked, record: Record) -> None:
        """The conversation is at home where it was answered: its beginning is in that provider's cache now."""
        if asked.conversation and record.account_id is not None:
            self.homes.settle(asked.conversation, record.account_id, record.usage.prompt or None, self._now())

    def _over(self, call: Call, tokens: int) -> Over:
        wanted = caps.read(call.wire, call.body)

        def over(candidate: Candidate) -> Overspent | None:
            account, model = candidate.account, candidate.model
            return self._budgets.over(call.key.id, account, model, lambda: self.stake(account, model, wanted, tokens, call.body).least)

        return over

    # ------------------------------------------------------------ names

    def resolve(self, name: str, call: Call, tokens: int = 0) -> Resolution:
        """A pin by path or header first, then the name as it stands (CONTRACT §4)."""
        if len(name) > TOO_LONG:
            words = f"No model has a name of {len(name)} characters; {TOO_LONG} are the most."
            raise GatewayError(Kind.MODEL_NOT_FOUND, words, param="model", details={"near": []})
        snapshot, stored = self._snapshot(), self._stored()
        if self._resolved_of is None or self._resolved_of[0] is not snapshot or self._resolved_of[1] is not stored:
            self._resolved_of, self._resolved, self._sole = (snapshot, stored), {}, {}
        asked = (name, call.wire, call.key.id, call.provider)
        known = self._resolved.get(asked)
        # By the key itself: that of a request whose body came slowly is older than the configuration, and may have allowed more.
        if known is not None and known[0] is call.key:
            return known[1]
        found, priced = self._looked_up(name, call, tokens, snapshot, stored)
        if not priced and len(name) <= LONGEST:  # with prices it depends on the request
            if len(self._resolved) >= MOST_NAMES:
                self._resolved.clear()
            self._resolved[asked] = call.key, found
        return found

    def _looked_up(self, name: str, call: Call, tokens: int, snapshot: Snapshot, stored: Settings) -> tuple[Resolution, bool]:
        """The resolution, and whether prices had a say in it."""
        priced = False

        def price(account: Account, model: str) -> Decimal | None:
            nonlocal priced
            priced = True
            return self._cost(account, model, tokens)

        def look_up(wanted: str) -> Resolution:
            return resolve(
                wanted,
                snapshot,
                call.wire,
                call.key,
                family=catalog.family,
                default_model=stored.default_model,
                provider_aliases=PROVIDER_NAMES,
                default_provider=provider_named(stored.default_provider),
                levels=catalog.levels,
                price=price,
                rank=catalog.rank,
                provider=call.provider,
            )

        try:
            return look_up(name), priced
        except GatewayError as error:
            if error.kind is not Kind.MODEL_NOT_FOUND or not stored.spoof_unknown_models:
                raise
        return look_up("auto"), priced

    def models(self, key: ClientKey) -> list[ModelName]:
        return visible_models(self._snapshot(), key, family=catalog.family, provider_aliases=PROVIDER_NAMES, levels=catalog.levels)

    # ------------------------------------------------------------ prices

    def _rates(self, account: Account, model: str, service: tuple[tuple[str, str], ...] = ()) -> usage.Rates | None:
        own = prices.rates(account, model)
        if own is not None:
            return own
        price_id = providers.price_id(account)
        if price_id is None or price_id in usage.FREE or not self._priced():
            return None
        return usage.rates(price_id, model, None, service)

    def _cost(self, account: Account, model: str, tokens: int) -> Decimal | None:
        """Dollars of a request with so many tokens by the user's price or the list's, answer included; None: unknown."""
        found = self._rates(account, model)
        if found is None and providers.price_id(account) in usage.FREE:
            return Decimal(0)
        if found is None or found.input is None or found.output is None:
            return None
        tokens = self.likely(model, tokens)
        return found.per_request + found.input.at(tokens) * tokens + found.output.at(tokens) * ANSWER_TOKENS

    def _costs(self, tokens: int) -> Price:
        """`_cost` for one request's candidates: who has no prices of his own pays what all of his price list do."""
        known: dict[tuple[str | None, str], Decimal | None] = {}

        def cost(candidate: Candidate) -> Decimal | None:
            account, model = candidate.account, candidate.model
            if account.prices:
                return self._cost(account, model, tokens)
            listed = providers.price_id(account), model
            if listed not in known:
                known[listed] = self._cost(account, model, tokens)
            return known[listed]

        return cost

    def stake(self, account: Account, model: str, wanted: caps.Wanted, tokens: int, body: bytes) -> admission.Stake:
        """What a request with so many tokens, as estimated, can cost there."""
        found = self._rates(account, model)
        free = found is None and providers.price_id(account) in usage.FREE
        prompt = self._at_most(model, tokens, ALLOWANCE if TOOLS in body else PLAIN_ALLOWANCE)
        caches = providers.price_id(account) not in CACHES_WHEN_ASKED
        plain = admission.stake(found, free, wanted, prompt, body, model, caches=caches)
        # A class of service is a wish: whoever does not get it pays what is usual.
        dear = self._rates(account, model, wanted.service) if wanted.service else None
        asked = plain if dear is None else admission.stake(dear, free, wanted, prompt, body, model, caches=caches)
        return asked if (asked.most or 0) > (plain.most or 0) else plain

    def _saving(self, candidate: Candidate, tokens: int) -> Decimal | None:
        """Dollars less that so many tokens of a prompt cost there when they come from the cache; None: unknown."""
        found = self._rates(candidate.account, candidate.model)
        if found is None or found.input is None or found.cache_read is None:
            return None
        return (found.input.at(tokens) - found.cache_read.at(tokens)) * tokens
