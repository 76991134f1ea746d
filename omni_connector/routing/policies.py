"""The order of candidates that can all be tried now. Each policy gives every candidate a rank and a reason in plain English.

`auto` takes the order of the scores (`score.py`); `performance` and `cost` ask the score where their own measure is equal.
Whatever the policy, demo accounts come last. Dice only break ties of accounts, so a decision repeats exactly for the same (now, rng);
models of one account that are equal stay in the order of its list, best first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from random import Random
from statistics import median
from typing import Any

from omni_connector.errors import bad_request
from omni_connector.routing.affinity import Home
from omni_connector.routing.health import span
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.routing.score import Price, Saving, Score, cost, score, speed, unscored

AUTO = "auto"


@dataclass
class _View:
    """What a policy may look at."""

    candidates: Sequence[Candidate]
    pool: Pool
    now: int
    price: Price

    @cached_property
    def typical_ms(self) -> float:
        """Median of the measured latencies: stands in for accounts that are not measured yet, so that they get their chance."""
        known = [ms for candidate in self.candidates if (ms := _measured(candidate, self.pool)) is not None]
        return median(known) if known else 0.0


Rank = Any
"""What candidates are sorted by, the least first: of one policy they compare."""
Ordered = tuple[Sequence[Rank], Sequence[Score]]
"""Of each candidate."""
Policy = Callable[[Sequence[Candidate], Sequence[Score], _View], Ordered]


def order(
    policy: str,
    candidates: Sequence[Candidate],
    pool: Pool,
    now: int,
    rng: Random,
    price: Price | None = None,
    *,
    home: Home | None = None,
    saving: Saving | None = None,
    detail: bool = True,
) -> list[tuple[Candidate, Score]]:
    """Candidates, first to try first, each with the facts that placed it: `words`, and for `auto` the points. Without `detail`
    nothing is worked out where there is nothing to choose. Raises GatewayError BAD_REQUEST for an unknown policy."""
    rank = POLICIES.get(policy)
    if rank is None:
        raise bad_request(f"There is no strategy '{policy}'. Choose one of: {', '.join(POLICIES)}.", "strategy")
    if len(candidates) == 1 and not detail:
        return [(candidates[0], unscored("the only one"))]
    scores = score(candidates, pool, now, price, home, saving) if policy in SCORED else [unscored("")] * len(candidates)
    dice = {candidate.account.id: rng.random() for candidate in candidates}
    view = _View(candidates, pool, now, price or _unknown_price)
    ranks, said = rank(candidates, scores, view)
    demos = [one.account.demo for one in candidates]
    # The place among them keeps the models of one account, whose dice are the same, in the order of its list.
    ranked = sorted(zip(demos, ranks, [dice[one.account.id] for one in candidates], range(len(demos)), strict=True))
    return [(candidates[at], said[at]) for _, _, _, at in ranked]


def _unknown_price(_: Candidate) -> Decimal | None:
    return None


# ---------------------------------------------------------------- The policies


def _auto(_: Sequence[Candidate], scores: Sequence[Score], __: _View) -> Ordered:
    return [-points.total for points in scores], scores


def _performance(candidates: Sequence[Candidate], scores: Sequence[Score], view: _View) -> Ordered:
    ranks: list[Rank] = []
    said = []
    for candidate, points in zip(candidates, scores, strict=True):
        failing = view.pool.failing(candidate.account.id, view.now, candidate.model)
        measured = _measured(candidate, view.pool)
        words = speed(measured)
        ranks.append((failing, view.typical_ms if measured is None else measured, -points.total))
        said.append(unscored(f"{words}, failed lately" if failing else words))
    return ranks, said


def _cost(candidates: Sequence[Candidate], scores: Sequence[Score], view: _View) -> Ordered:
    """An unknown price is not a low one: it comes after every known price."""
    prices = [view.price(candidate) for candidate in candidates]
    ranks = [(price is None, price or Decimal(0), -points.total) for price, points in zip(prices, scores, strict=True)]
    return ranks, [unscored(cost(price)) for price in prices]


def _round_robin(candidates: Sequence[Candidate], _: Sequence[Score], view: _View) -> Ordered:
    """Whoever served longest ago in the count of requests: fair for every subset of accounts, whichever others are out."""
    turns = [view.pool.live(candidate.account.id).turn for candidate in candidates]
    return _then_age(turns, candidates), [unscored(f"last turn {turn}" if turn else "no turn yet") for turn in turns]


def _fill_first(candidates: Sequence[Candidate], _: Sequence[Score], __: _View) -> Ordered:
    said = [unscored(f"priority {candidate.account.priority}, in the order of connecting") for candidate in candidates]
    return _then_age([-candidate.account.priority for candidate in candidates], candidates), said


def _lru(candidates: Sequence[Candidate], _: Sequence[Score], view: _View) -> Ordered:
    used = [view.pool.live(candidate.account.id).last_used for candidate in candidates]
    said = [unscored("never used" if last is None else f"last used {span(view.now - last)} ago") for last in used]
    return _then_age([last or 0 for last in used], candidates), said


POLICIES: Mapping[str, Policy] = {
    AUTO: _auto,
    "performance": _performance,
    "cost": _cost,
    "round-robin": _round_robin,
    "fill-first": _fill_first,
    "lru": _lru,
}
SCORED = frozenset({AUTO, "performance", "cost"})


def _then_age(ranks: Sequence[int], candidates: Sequence[Candidate]) -> list[Rank]:
    return [(rank, one.account.created_at, one.account.id) for rank, one in zip(ranks, candidates, strict=True)]


def _measured(candidate: Candidate, pool: Pool) -> float | None:
    """Milliseconds to the first token of that model there, or of the account as a whole while that model was not used."""
    return pool.track(candidate.account.id, candidate.model).latency_ms
