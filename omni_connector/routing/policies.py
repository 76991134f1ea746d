"""The order of candidates that can all be tried now. Each policy gives every candidate a rank and a reason in plain English.

`auto` takes the order of the scores (`score.py`); `performance` and `cost` ask the score where their own measure is equal.
Whatever the policy, demo accounts come last. Dice only break ties of accounts, so a decision repeats exactly for the same (now, rng);
models of one account that are equal stay in the order of its list, best first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
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


@dataclass(frozen=True, slots=True)
class _View:
    """What a policy may look at."""

    pool: Pool
    now: int
    price: Price
    typical_ms: float
    """Median of the measured latencies: stands in for accounts that are not measured yet, so that they get their chance."""


Rank = tuple[Any, ...]
Policy = Callable[[Candidate, Score, _View], tuple[Rank, Score]]


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
    known = [ms for candidate in candidates if (ms := _measured(candidate, pool)) is not None]
    view = _View(pool, now, price or _unknown_price, median(known) if known else 0.0)
    scores = score(candidates, pool, now, price, home, saving) if policy in SCORED else [unscored("")] * len(candidates)
    dice = {candidate.account.id: rng.random() for candidate in candidates}
    ranked = [(*rank(one, points, view), one) for one, points in zip(candidates, scores, strict=True)]
    ranked.sort(key=lambda entry: (entry[2].account.demo, entry[0], dice[entry[2].account.id]))
    return [(candidate, points) for _, points, candidate in ranked]


def _unknown_price(_: Candidate) -> Decimal | None:
    return None


# ---------------------------------------------------------------- The policies


def _auto(_: Candidate, points: Score, __: _View) -> tuple[Rank, Score]:
    return (-points.total,), points


def _performance(candidate: Candidate, points: Score, view: _View) -> tuple[Rank, Score]:
    failing = view.pool.failing(candidate.account.id, view.now, candidate.model)
    measured = _measured(candidate, view.pool)
    words = speed(measured)
    rank = failing, view.typical_ms if measured is None else measured, -points.total
    return rank, unscored(f"{words}, failed lately" if failing else words)


def _cost(candidate: Candidate, points: Score, view: _View) -> tuple[Rank, Score]:
    """An unknown price is not a low one: it comes after every known price."""
    price = view.price(candidate)
    return (price is None, price or Decimal(0), -points.total), unscored(cost(price))


def _round_robin(candidate: Candidate, _: Score, view: _View) -> tuple[Rank, Score]:
    """Whoever served longest ago in the count of requests: fair for every subset of accounts, whichever others are out."""
    turn = view.pool.live(candidate.account.id).turn
    return (turn, *_age(candidate)), unscored(f"last turn {turn}" if turn else "no turn yet")


def _fill_first(candidate: Candidate, _: Score, __: _View) -> tuple[Rank, Score]:
    account = candidate.account
    return (-account.priority, *_age(candidate)), unscored(f"priority {account.priority}, in the order of connecting")


def _lru(candidate: Candidate, _: Score, view: _View) -> tuple[Rank, Score]:
    last = view.pool.live(candidate.account.id).last_used
    return (last or 0, *_age(candidate)), unscored("never used" if last is None else f"last used {span(view.now - last)} ago")


POLICIES: Mapping[str, Policy] = {
    AUTO: _auto,
    "performance": _performance,
    "cost": _cost,
    "round-robin": _round_robin,
    "fill-first": _fill_first,
    "lru": _lru,
}
SCORED = frozenset({AUTO, "performance", "cost"})


def _age(candidate: Candidate) -> Rank:
    return candidate.account.created_at, candidate.account.id


def _measured(candidate: Candidate, pool: Pool) -> float | None:
    """Milliseconds to the first token of that model there, or of the account as a whole while that model was not used."""
    return pool.track(candidate.account.id, candidate.model).latency_ms
