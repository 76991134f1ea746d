"""The order of candidates that can all be tried now. Each policy gives every candidate a rank and a reason in plain English.

Whatever the policy, demo accounts come last. Dice only break ties, so a decision repeats exactly for the same (now, rng).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from statistics import median
from typing import Any

from omni_connector.errors import bad_request
from omni_connector.routing.health import span
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate

Price = Callable[[Candidate], Decimal | None]
"""What this request would cost at a candidate, in dollars; None: unknown."""

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
Policy = Callable[[Candidate, _View], tuple[Rank, str]]


def order(
    policy: str,
    candidates: Sequence[Candidate],
    pool: Pool,
    now: int,
    rng: Random,
    price: Price | None = None,
) -> list[tuple[Candidate, str]]:
    """Candidates, first to try first, each with the facts that placed it. Raises GatewayError BAD_REQUEST for an unknown policy."""
    rank = POLICIES.get(policy)
    if rank is None:
        raise bad_request(f"There is no strategy '{policy}'. Choose one of: {', '.join(POLICIES)}.", "strategy")
    known = [ms for candidate in candidates if (ms := pool.live(candidate.account.id).latency_ms) is not None]
    view = _View(pool, now, price or _unknown_price, median(known) if known else 0.0)
    ranked = [(rank(candidate, view), rng.random(), candidate) for candidate in candidates]
    ranked.sort(key=lambda entry: (entry[2].account.demo, entry[0][0], entry[1]))
    return [(candidate, reason) for (_, reason), _, candidate in ranked]


def _unknown_price(_: Candidate) -> Decimal | None:
    return None


# ---------------------------------------------------------------- The policies


def _auto(candidate: Candidate, view: _View) -> tuple[Rank, str]:
    """Preference, then health, load for its weight, measured speed, and who waited longest."""
    account, live = candidate.account, view.pool.live(candidate.account.id)
    failing = view.pool.failing(account.id, view.now)
    load = (live.in_flight + 1) / max(account.weight, 1)
    rank = (-account.priority, failing, load, _latency(candidate, view), live.last_used or 0)
    reason = f"priority {account.priority}, {live.in_flight} in flight of weight {account.weight}, {_speed(live.latency_ms)}"
    return rank, f"{reason}, failed lately" if failing else reason


def _performance(candidate: Candidate, view: _View) -> tuple[Rank, str]:
    failing = view.pool.failing(candidate.account.id, view.now)
    reason = _speed(view.pool.live(candidate.account.id).latency_ms)
    return (failing, _latency(candidate, view), _auto(candidate, view)[0]), f"{reason}, failed lately" if failing else reason


def _cost(candidate: Candidate, view: _View) -> tuple[Rank, str]:
    """An unknown price is not a low one: it comes after every known price."""
    price = view.price(candidate)
    reason = "price unknown" if price is None else f"${price:f} for this request"
    return (price is None, price or Decimal(0), _auto(candidate, view)[0]), reason


def _round_robin(candidate: Candidate, view: _View) -> tuple[Rank, str]:
    """Whoever served longest ago in the count of requests: fair for every subset of accounts, whichever others are out."""
    turn = view.pool.live(candidate.account.id).turn
    reason = f"last turn {turn}" if turn else "no turn yet"
    return (turn, *_age(candidate)), reason


def _fill_first(candidate: Candidate, _: _View) -> tuple[Rank, str]:
    account = candidate.account
    return (-account.priority, *_age(candidate)), f"priority {account.priority}, in the order of connecting"


def _lru(candidate: Candidate, view: _View) -> tuple[Rank, str]:
    last = view.pool.live(candidate.account.id).last_used
    reason = "never used" if last is None else f"last used {span(view.now - last)} ago"
    return (last or 0, *_age(candidate)), reason


POLICIES: Mapping[str, Policy] = {
    AUTO: _auto,
    "performance": _performance,
    "cost": _cost,
    "round-robin": _round_robin,
    "fill-first": _fill_first,
    "lru": _lru,
}


def _age(candidate: Candidate) -> Rank:
    return candidate.account.created_at, candidate.account.id


def _latency(candidate: Candidate, view: _View) -> float:
    measured = view.pool.live(candidate.account.id).latency_ms
    return view.typical_ms if measured is None else measured


def _speed(latency_ms: float | None) -> str:
    return "speed unknown" if latency_ms is None else f"first token after {latency_ms:.0f} ms"
