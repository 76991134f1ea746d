"""Resolution + live state → the attempts to make, in order, and what was left out and why.

Pure reading: a plan changes nothing, so `explain` may ask for one at any time. The relay bounds the attempts by count and
wall clock; here every candidate that can be tried is an attempt, and every other one is skipped with its reason.

A tier is exhausted before the next begins. When nothing can be tried, but some candidates are out on our guess only, the
least bad of them is tried all the same (panic).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property, partial
from random import Random

from omni_connector.errors import GatewayError, Kind, ProviderFailure
from omni_connector.routing import quota
from omni_connector.routing.affinity import Home
from omni_connector.routing.constraints import NONE, Constraints
from omni_connector.routing.drawing import DRAWN, ENOUGH, MORE, MOST, Drawing
from omni_connector.routing.health import ACCOUNT_SCOPE, FOREVER, model_scope
from omni_connector.routing.policies import SCORED, order
from omni_connector.routing.pool import Hold, Pool
from omni_connector.routing.resolve import Candidate, Resolution, key_refuses
from omni_connector.routing.score import Price, Saving, Score, stays_home, unscored
from omni_connector.snapshot import ClientKey, Json
from omni_connector.values import dataclass, quick

NAMED = ("alias", "chain", "cost-priority", "intelligence-priority", "claude")
"""Kinds of names whose meaning the route says."""
MOST_KEPT = 20
"""Candidates of a plan that are kept with the request: a few of them are tried at most."""


@dataclass(frozen=True, slots=True)
class Overspent:
    """A budget has no room for a request to a candidate. `until_at`: when it is renewed (ms), None: never by itself. `of_key`: it is
    the client key's, not the account's."""

    reason: str
    until_at: int | None
    of_key: bool

    def error(self) -> GatewayError:
        """What it means for a request that goes nowhere else: a key's budget is the caller's business, an account's is not."""
        if not self.of_key:
            return GatewayError(Kind.NO_ACCOUNT, self.reason)
        renewed = "It is not renewed by itself"
        if self.until_at is not None:
            renewed = f"It is renewed on {datetime.fromtimestamp(self.until_at / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        return GatewayError(
            Kind.BUDGET_SPENT, f"{self.reason[0].upper()}{self.reason[1:]}. {renewed}; models that cost nothing stay allowed."
        )


Over = Callable[[Candidate], Overspent | None]
"""Whether a budget keeps this request from a candidate."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that is not tried. `until_at`: when that ends (ms), None: unknown or not by itself."""

    candidate: Candidate
    reason: str
    until_at: int | None = None
    guess: bool = False
    """True: nothing but our own guess is against it."""
    busy: bool = False
    """True: it only waits for a request that is in flight."""
    lacks: str = ""
    """The capability it does not have, when that is the reason, and the request's field that asks for it."""
    asked_by: str = ""
    over: Overspent | None = None
    """The budget that has no room, when that is the reason."""

    @property
    def account(self) -> str:
        return self.candidate.account.label

    @property
    def provider(self) -> str:
        return self.candidate.account.provider

    @property
    def model(self) -> str:
        return self.candidate.model

    def as_json(self) -> dict[str, str]:
        """The shape of a request row's `skipped`."""
        return {"account": self.account, "provider": self.provider, "model": self.model, "reason": self.reason}


@quick(frozen=True, slots=False)
class Plan:
    """`scores[i]` says what placed `attempts[i]`, in words and, for policies that score, in points. Points are comparable within a
    tier only; `tiers[i]` is its number, from 0. `policy` ordered each tier. `route` is short enough for a header."""

    requested: str
    attempts: tuple[Candidate, ...]
    scores: tuple[Score, ...]
    skipped: tuple[Skipped, ...]
    route: str
    policy: str
    tiers: tuple[int, ...]
    panic: bool = False
    note: str = ""
    """What the name itself has to say: members of a chain that nobody is connected with, which default was taken."""

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(one.words for one in self.scores)

    def as_json(self) -> Json:
        """The shape of a request row's `plan`: what ordered the candidates, and the first of them, each with why; `more` were left out.

        `tier` counts from 1. `score` is None where the policy gave no points; parts of 0 points are left out. Not to be changed.
        """
        return self._json

    @cached_property
    def _json(self) -> Json:
        kept = zip(self.attempts[:MOST_KEPT], self.scores, self.tiers)  # noqa: B905 - of many attempts only the first are looked at
        return {
            "policy": self.policy,
            "panic": self.panic,
            "candidates": [_kept(candidate, score, tier) for candidate, score, tier in kept],
            "more": max(0, len(self.attempts) - MOST_KEPT),
        }


def _kept(candidate: Candidate, score: Score, tier: int) -> Json:
    parts, account = score.parts, candidate.account
    points = {"total": score.total, "parts": {name: part for name, part in parts.items() if part}} if parts else None
    return {
        "account": account.label,
        "provider": account.provider,
        "model": candidate.model,
        "tier": tier + 1,
        "reason": score.words,
        "score": points,
    }


def make_plan(
    resolution: Resolution,
    needs: Mapping[str, str],
    key: ClientKey | None,
    pool: Pool,
    policy: str,
    now: int,
    rng: Random,
    *,
    price: Price | None = None,
    home: Home | None = None,
    saving: Saving | None = None,
    wishes: Constraints = NONE,
    over: Over | None = None,
    detail: bool = True,
    drawing: Drawing | None = None,
) -> Plan:
    """The plan for one request. `needs` is `chat.needs(request)`: capability → the field that asks for it.

    `price`: what this request would cost at a candidate. `home`: where its conversation was answered last (`affinity.Homes`), and
    `saving`: what that many cached tokens save there. `wishes`: the client's own constraints. `over`: the budgets, None where
    there are none. `detail`: with points also where there is nothing to choose. `drawing`: of very many, some are weighed.
    No attempts is an answer too: `refusal` makes the error of it. Raises GatewayError (BAD_REQUEST) when the wishes leave nobody.
    """
    plan_of = partial(
        _plan,
        needs=needs,
        key=key,
        pool=pool,
        policy=policy,
        now=now,
        rng=rng,
        price=price,
        home=home,
        saving=saving,
        wishes=wishes,
        over=over,
        detail=detail,
    )
    if drawing is not None and policy in SCORED and any(len(tier) > MOST for tier in resolution.tiers):
        at_home = "" if home is None else home.account_id
        for count in (DRAWN, MORE):
            tiers = tuple(tuple(drawing.draw(tier, at_home, rng, count)) for tier in resolution.tiers)
            with contextlib.suppress(GatewayError):  # the wishes left nobody of them
                plan = plan_of(Resolution(resolution.kind, resolution.requested, tiers, resolution.note))
                if len(plan.attempts) >= ENOUGH:
                    return plan
    return plan_of(resolution)


def _plan(
    resolution: Resolution,
    *,
    needs: Mapping[str, str],
    key: ClientKey | None,
    pool: Pool,
    policy: str,
    now: int,
    rng: Random,
    price: Price | None,
    home: Home | None,
    saving: Saving | None,
    wishes: Constraints,
    over: Over | None,
    detail: bool,
) -> Plan:
    """`make_plan` of all the candidates there are in it."""
    attempts: list[tuple[Candidate, Score]] = []
    tiers: list[int] = []
    skipped: list[Skipped] = []
    unwished: list[str] = []
    # Where nothing of the request itself can be against anybody, a glance at each account is enough.
    plain = wishes is NONE and over is None and not needs and (key is None or (key.models is None and key.providers is None))
    for number, tier in enumerate(resolution.tiers):
        ready = []
        for candidate in tier:
            if plain and candidate.model and pool.is_clear(candidate.account):
                ready.append(candidate)
                continue
            obstacle = _obstacle(candidate, resolution.requested, needs, key, pool, now, over)
            if wishes is not NONE and (unwanted := wishes.refuses(candidate, price(candidate) if price else None)):
                unwished.append(unwanted)
                obstacle = Skipped(candidate, unwanted)  # whatever else is against it: panic must not bring it back
            if obstacle is None:
                ready.append(candidate)
            else:
                skipped.append(obstacle)
        attempts += order(policy, ready, pool, now, rng, price, home=home, saving=saving, detail=detail)
        tiers += [number] * len(ready)
    if unwished and len(unwished) == len(skipped) and not attempts:
        raise wishes.unmet(resolution.requested, unwished)
    panic = _least_bad(skipped, pool) if not attempts else None
    if panic is not None:
        skipped.remove(panic)
        attempts = [(panic.candidate, unscored(f"panic: {panic.reason}"))]
        tiers = [next(number for number, tier in enumerate(resolution.tiers) if any(one is panic.candidate for one in tier))]
    first = attempts[0][0] if attempts else None
    facts = []
    if tiers and stays_home([points for (_, points), tier in zip(attempts, tiers, strict=True) if tier == tiers[0]]):
        facts.append("stays home")
    if first is not None and not quota.windows(first, pool.family):
        facts.append("quota unknown")
    return Plan(
        resolution.requested,
        tuple(candidate for candidate, _ in attempts),
        tuple(points for _, points in attempts),
        tuple(skipped),
        _route(resolution, policy, first, len(attempts), facts, len(skipped), panic is not None),
        policy,
        tuple(tiers),
        panic is not None,
        resolution.note,
    )


def sole(resolution: Resolution) -> Candidate | None:
    """The only candidate there is; None: there are several, or none."""
    tiers = resolution.tiers
    return tiers[0][0] if len(tiers) == 1 and len(tiers[0]) == 1 else None


def is_open(
    candidate: Candidate, requested: str, needs: Mapping[str, str], key: ClientKey | None, pool: Pool, now: int, over: Over | None
) -> bool:
    """Whether nothing is against a request to this candidate now, its key and the budgets included."""
    return _obstacle(candidate, requested, needs, key, pool, now, over) is None


def going_on(plan: Plan, account_id: str) -> Plan:
    """The plan with that account first, if it is in it: it gave the answer that the request goes on from, so its provider has the
    conversation, and the cache of it."""
    placed = sorted(zip(plan.attempts, plan.scores, plan.tiers, strict=True), key=lambda one: one[0].account.id != account_id)
    if not placed or placed[0][0].account.id != account_id:
        return plan
    first, points, tier = placed[0]
    placed[0] = first, replace(points, words="gave the answer that this goes on from"), tier
    attempts, scores, tiers = zip(*placed, strict=True)
    route = plan.route if first is plan.attempts[0] else f"{plan.route}; {first.name} goes on with its answer"
    return replace(plan, attempts=attempts, scores=scores, tiers=tiers, route=route)


def _obstacle(
    candidate: Candidate,
    requested: str,
    needs: Mapping[str, str],
    key: ClientKey | None,
    pool: Pool,
    now: int,
    over: Over | None,
) -> Skipped | None:
    """Why the candidate cannot be tried: what waiting never changes first, then its state now."""
    if refused := key_refuses(key, requested, candidate):
        return Skipped(candidate, refused)
    if not candidate.model:
        return Skipped(candidate, f"no model of this account is known: ask for {candidate.account.label}/MODEL, or choose its models")
    for need, field in needs.items():
        if _cannot(candidate, need):
            return Skipped(candidate, f"cannot do {need}, which {field} asks for", lacks=need, asked_by=field)
    hold: Hold | None = pool.check(candidate.account, candidate.model, now)
    # What only time takes away is not worth saying of somebody whom money keeps out, nor may panic bring him back.
    passes = hold is None or hold.guess or hold.busy or hold.until_at is not None
    if over is not None and passes and (spent := over(candidate)) is not None:
        return Skipped(candidate, spent.reason, spent.until_at, over=spent)
    return None if hold is None else Skipped(candidate, hold.reason, hold.until_at, hold.guess, hold.busy)


def _cannot(candidate: Candidate, need: str) -> bool:
    """Only what the account says it cannot do counts; unknown is tried."""
    account = candidate.account
    said = account.options.get("capabilities")
    return f"no_{need}" in account.features or (isinstance(said, Mapping) and said.get(need) is False)


def _least_bad(skipped: Sequence[Skipped], pool: Pool) -> Skipped | None:
    """Of those out on a guess only: the one that failed least often in a row, then the one that would be back first."""
    guesses = [entry for entry in skipped if entry.guess]

    def badness(entry: Skipped) -> tuple[int, int]:
        account_id = entry.candidate.account.id
        scopes = (ACCOUNT_SCOPE, model_scope(pool.family(entry.model)))
        return max((c.step for s in scopes if (c := pool.cooldown(account_id, s))), default=0), entry.until_at or 0

    return min(guesses, key=badness, default=None)


def _route(
    resolution: Resolution, policy: str, first: Candidate | None, count: int, facts: Sequence[str], skipped: int, panic: bool
) -> str:
    """ "auto: groq/main first of 3, stays home, quota unknown, 2 skipped"."""
    name = f"{resolution.kind} {resolution.requested}, " if resolution.kind in NAMED else ""
    parts = []
    if first is None:
        parts.append("nobody can be tried")
    elif panic:
        parts.append(f"{first.name} as the least bad, all are out")
    else:
        parts.append(f"{first.name} {'only' if count == 1 else f'first of {count}'}")
    parts += facts
    if skipped:
        parts.append(f"{skipped} skipped")
    return f"{name}{policy}: {', '.join(parts)}"


# ---------------------------------------------------------------- When it did not work


def failures(plan: Plan) -> list[ProviderFailure]:
    """The skipped candidates as lines of the 503 breakdown."""
    return [ProviderFailure(entry.provider, entry.account, None, entry.reason, skipped=True) for entry in plan.skipped]


def earliest_recovery(plan: Plan, now: int) -> int | None:
    """Whole seconds (at least 1) until the first skipped candidate is back, for Retry-After. None: no time is known. Who is only busy
    may have a place again at any moment."""
    if any(entry.busy for entry in plan.skipped):
        return 1
    ends = [entry.until_at for entry in plan.skipped if entry.until_at is not None and now < entry.until_at < FOREVER]
    return max(1, math.ceil((min(ends) - now) / 1000)) if ends else None


def refusal(plan: Plan, now: int) -> GatewayError:
    """The error of a plan without attempts: the caller's when every candidate lacks what the request needs (400), or when the budget of
    its key is all that could change (402), else 503."""
    lacks = {entry.lacks for entry in plan.skipped}
    if plan.skipped and "" not in lacks:
        return GatewayError(
            Kind.BAD_REQUEST,
            f"No connected account that serves '{plan.requested}' can do {' and '.join(sorted(lacks))}, "
            f"which {plan.skipped[0].asked_by} asks for. Ask for a model that can, or leave it out.",
            param=plan.skipped[0].asked_by,
            failures=failures(plan),
        )
    if (spent := _unpayable(plan)) is not None:
        error = spent.error()
        error.failures = failures(plan)
        return error
    return GatewayError(
        Kind.NO_ACCOUNT,
        f"No account can serve '{plan.requested}' now: {len(plan.skipped)} skipped, each with its reason in provider_failures. "
        "`omni-connector doctor` names the fixes.",
        retry_after=earliest_recovery(plan, now),
        failures=failures(plan),
    )


def _unpayable(plan: Plan) -> Overspent | None:
    """The key's budget, when nobody it may still have is only out for a while."""
    spent = next((entry.over for entry in plan.skipped if entry.over is not None and entry.over.of_key), None)
    others = [entry for entry in plan.skipped if entry.over is None]
    return None if any(entry.busy or entry.guess or entry.until_at is not None for entry in others) else spent
