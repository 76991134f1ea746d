"""The score as one reads it in the table: candidate by candidate, part by part. What `score` works out for a whole tier at once is held
against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from omni_connector.routing import quota
from omni_connector.routing.affinity import Home
from omni_connector.routing.health import span
from omni_connector.routing.pool import FAILING_WINDOW_MS, Outcome, Pool, Track
from omni_connector.routing.resolve import Candidate
from omni_connector.routing.score import (
    CACHE_DOLLARS,
    CALM,
    ERRORS_FADE_MS,
    FRESH,
    LEAST_PLENTY,
    LITTLE_MS,
    LONG_TOKENS,
    LOW_BALANCE,
    MOST_NAMED,
    PARTS,
    REQUESTS_LEFT,
    RESETS_SOON_MS,
    SCARCE,
    SLOWER,
    SMALL_DOLLARS,
    SPEED_FADES_MS,
    STAYING,
    UNKNOWN_PRICE,
    Price,
    Saving,
    Score,
    cost,
    speed,
)
from omni_connector.snapshot import Account


class _Judged(NamedTuple):
    """A part of one candidate. `unknown`: nothing is known to judge by, which is said whether it matters or not."""

    value: float
    words: str
    unknown: bool = False


_NOT_CACHED, _NOT_HOME = _Judged(0.0, "nothing cached"), _Judged(0.0, "not where the conversation was")


class _Ground(NamedTuple):
    """What the candidates of one tier are measured against."""

    now: int
    steps: Mapping[tuple[bool, int], int]
    median_ms: float
    others_ms: float
    """The median of those that are not the home; as `median_ms`, 0 when nobody was measured lately."""
    least_load: float
    priced: bool
    cheapest: float
    unknown_price: float
    home: Home | None
    saving: Saving | None


class _Seen(NamedTuple):
    """One candidate and what is known of it. `track`: of its model's family, as far as that was used; else of the account."""

    candidate: Candidate
    in_flight: int
    track: Track
    failing: bool
    price: Decimal | None
    windows: Sequence[Mapping[str, Any]]
    """Of its quota, those that count for its model."""
    trust: float
    """Share of its measured latency that still counts."""


def score(
    candidates: Sequence[Candidate],
    pool: Pool,
    now: int,
    price: Price | None = None,
    home: Home | None = None,
    saving: Saving | None = None,
) -> list[Score]:
    """The score of each candidate of one tier, in their order. `home`: where the conversation was answered last."""
    seen = [_look(candidate, pool, now, price) for candidate in candidates]
    if not seen:
        return []
    ground = _ground(seen, now, price is not None, home, saving)
    judged = [{name: judge(one, ground) for name, judge in JUDGES.items()} for one in seen]
    points = [{name: float(round(part.value * PARTS[name].weight)) for name, part in one.items()} for one in judged]
    spread = {name: max(p[name] for p in points) - min(p[name] for p in points) for name in PARTS}
    if len(seen) == 1:
        spread = {name: abs(value) for name, value in points[0].items()}
    named = sorted((name for name in PARTS if spread[name]), key=lambda name: -spread[name])[:MOST_NAMED]
    return [Score(sum(p.values()), p, _in_words(one, named)) for one, p in zip(judged, points, strict=True)]


def _in_words(judged: Mapping[str, _Judged], named: Sequence[str]) -> str:
    """The parts that made the difference, the greatest first, in the same order for all; then what is unknown."""
    unknown = [name for name, part in judged.items() if part.unknown and name not in named]
    return ", ".join(judged[name].words for name in (*named, *unknown)) or "nothing sets it apart"


def _look(candidate: Candidate, pool: Pool, now: int, price: Price | None) -> _Seen:
    account_id = candidate.account.id
    track = pool.track(account_id, candidate.model)
    asked = None if price is None else price(candidate)
    known = asked is not None and asked.is_finite() and asked >= 0
    windows = quota.windows(candidate, pool.family)
    return _Seen(
        candidate, pool.live(account_id).in_flight, track, _failing(track, now), asked if known else None, windows, _trust(track, now)
    )


def _trust(track: Track, now: int) -> float:
    measured_at = next((outcome.at for outcome in reversed(track.recent) if outcome.ok and outcome.ms is not None), None)
    return 0.0 if measured_at is None else _fade(now - measured_at, SPEED_FADES_MS)


def _ground(seen: Sequence[_Seen], now: int, priced: bool, home: Home | None, saving: Saving | None) -> _Ground:
    standings = sorted({_standing(one.candidate.account) for one in seen}, reverse=True)
    measured = [(one.candidate.account.id, one.track.latency_ms) for one in seen if one.trust >= FRESH and one.track.latency_ms is not None]
    elsewhere = [ms for account_id, ms in measured if home is not None and account_id != home.account_id]
    prices = [float(one.price) for one in seen if one.price is not None]
    cheapest = min(prices, default=0.0)
    return _Ground(
        now,
        {standing: step for step, standing in enumerate(standings)},
        median(ms for _, ms in measured) if measured else 0.0,
        median(elsewhere) if elsewhere else 0.0,
        min(_load(one) for one in seen),
        priced,
        cheapest,
        min(UNKNOWN_PRICE, _dearer(max(prices, default=0.0), cheapest)),
        home,
        saving,
    )


# ---------------------------------------------------------------- The parts


def _priority(one: _Seen, ground: _Ground) -> _Judged:
    account = one.candidate.account
    words = "demo account" if account.demo else f"priority {account.priority}"
    return _Judged(-ground.steps[_standing(account)], words)


def _standing(account: Account) -> tuple[bool, int]:
    return not account.demo, account.priority


def _errors(one: _Seen, ground: _Ground) -> _Judged:
    rate = _error_rate(one, ground)
    if one.failing:
        return _Judged(-(1 + rate) / 2, "failed lately")
    return _Judged(-rate / 2, f"{rate:.0%} of its requests failed lately" if rate >= 0.005 else "no failures")


def _error_rate(one: _Seen, ground: _Ground) -> float:
    newest = one.track.recent[-1].at if one.track.recent else ground.now
    return one.track.error_rate * _fade(ground.now - newest, ERRORS_FADE_MS)


def _quota(one: _Seen, ground: _Ground) -> _Judged:
    known = [(share, row) for row in one.windows if (share := quota.left(row, ground.now)) is not None]
    if not known:
        return _Judged(0.0, "quota unknown", unknown=True)
    left, row = min(known, key=lambda window: window[0])
    resets_at = quota.number(row.get("resets_at"))
    soon = 0.0 if resets_at is None else 1 / (1 + (resets_at - ground.now) / RESETS_SOON_MS)
    plenty = left * (LEAST_PLENTY + (1 - LEAST_PLENTY) * soon) * PARTS["quota"].high
    words = f"{left:.0%} of {row.get('name') or 'its quota'} left"
    words += f" for {row.get('model')}" if row.get("model") else ""
    words += "" if resets_at is None else f", which resets in {span(round(resets_at) - ground.now)}"
    state = row.get("state") or "live"
    return _Judged(plenty - max(0.0, 1 - left / SCARCE), words if state == "live" else f"{words} ({state})")


def _balance(one: _Seen, _: _Ground) -> _Judged:
    """Neutral when unknown, and not said: most providers tell none. A request that costs nothing needs none."""
    told = one.candidate.account.balance
    amount = quota.number(told.get("amount")) if told else None
    if told is None or (amount is None and told.get("usable") is not False):
        return _Judged(0.0, "balance unknown")
    words = "balance not usable" if amount is None else f"balance {amount:.2f} {told.get('currency') or ''}".rstrip()
    if one.price == 0:
        return _Judged(0.0, words)
    if told.get("usable") is False or amount is None or amount <= 0:
        return _Judged(-1.0, words)
    enough = max(LOW_BALANCE, REQUESTS_LEFT * float(one.price or 0))
    return _Judged(-max(0.0, 1 - amount / enough), words)


def _in_flight(one: _Seen, ground: _Ground) -> _Judged:
    load = _load(one)
    words = f"{one.in_flight} in flight of weight {one.candidate.account.weight}"
    return _Judged(-(load - ground.least_load) / (load + CALM), words)


def _load(one: _Seen) -> float:
    return (one.in_flight + 1) / max(one.candidate.account.weight, 1)


def _affinity(one: _Seen, ground: _Ground) -> _Judged:
    home = ground.home
    if home is None or home.account_id != one.candidate.account.id or ground.saving is None:
        return _NOT_CACHED
    saved = ground.saving(one.candidate, home.prompt_tokens)
    if saved is None or not saved.is_finite() or saved <= 0:
        return _Judged(0.0, "what its cache saves has no price")
    return _Judged(float(saved) / (float(saved) + CACHE_DOLLARS), f"its cache saves ${saved:.6f}")


def _staying(one: _Seen, ground: _Ground) -> _Judged:
    """The floor below affinity: a move is never free. What is cached is answered sooner and takes less of a quota where it has no
    price, too, and an account that was good enough for a conversation is not left for the luck of a few milliseconds."""
    home = ground.home
    if home is None or home.account_id != one.candidate.account.id:
        return _NOT_HOME
    floor = STAYING + (1 - STAYING) * home.prompt_tokens / (home.prompt_tokens + LONG_TOKENS)
    dearer = 0.0 if one.price is None else _dearer(float(one.price), ground.cheapest)
    floor *= _not_slower(one, ground) * (1 + dearer) * (1 - _error_rate(one, ground))
    has = _affinity(one, ground).value * PARTS["affinity"].weight / PARTS["staying"].weight
    return _Judged(max(0.0, floor - has), f"has this conversation ({home.prompt_tokens} tokens)")


def _not_slower(one: _Seen, ground: _Ground) -> float:
    """1 up to SLOWER times the others' time, then ever less."""
    latency_ms = one.track.latency_ms
    if latency_ms is None or not ground.others_ms:
        return 1.0
    return 1 - one.trust * (1 - min(1.0, SLOWER * (ground.others_ms + LITTLE_MS) / (latency_ms + LITTLE_MS)))


def _latency(one: _Seen, ground: _Ground) -> _Judged:
    latency_ms = one.track.latency_ms
    if latency_ms is None:
        return _Judged(0.0, "speed unknown", unknown=True)
    faster = (ground.median_ms - latency_ms) / (ground.median_ms + latency_ms + LITTLE_MS) if ground.median_ms else 0.0
    return _Judged(one.trust * faster, speed(latency_ms))


def _price(one: _Seen, ground: _Ground) -> _Judged:
    if not ground.priced:
        return _Judged(0.0, cost(None))
    if one.price is None:
        return _Judged(ground.unknown_price, cost(None), unknown=True)
    return _Judged(_dearer(float(one.price), ground.cheapest), cost(one.price))


def _dearer(price: float, cheapest: float) -> float:
    return -(price - cheapest) / (price + SMALL_DOLLARS)


JUDGES: Mapping[str, Callable[[_Seen, _Ground], _Judged]] = {
    "priority": _priority,
    "errors": _errors,
    "quota": _quota,
    "balance": _balance,
    "load": _in_flight,
    "affinity": _affinity,
    "staying": _staying,
    "latency": _latency,
    "price": _price,
}


def _fade(age_ms: int, half_life_ms: int) -> float:
    return float(0.5 ** (max(0, age_ms) / half_life_ms))


def _failing(track: Track, now: int) -> bool:
    late: list[Outcome] = []
    for outcome in reversed(track.recent):
        if outcome.at < now - FAILING_WINDOW_MS:
            break
        late.append(outcome)
    failed = sum(not outcome.ok for outcome in late)
    return failed > 0 and failed >= len(late) - failed
