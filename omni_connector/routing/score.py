"""How good each candidate would be for one request now, in points, and in words.

A score is the sum of its parts, and the candidate with most points is tried first. Every part is a value in a small range times the
weight of its row in PARTS, in whole points: a difference of less than one point is noise, and noise is a tie.

A candidate is compared with the others of its tier only, so points of two requests are not comparable. What is unknown is
neutral (quota, balance, speed) or worse than what is known (price), and is said to be unknown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from omni_connector.routing import quota
from omni_connector.routing.affinity import Home
from omni_connector.routing.health import span
from omni_connector.routing.pool import Pool, Track
from omni_connector.routing.resolve import Candidate
from omni_connector.snapshot import EMPTY
from omni_connector.values import dataclass, quick

Price = Callable[[Candidate], Decimal | None]
"""What this request would cost at a candidate, in dollars; None: unknown."""
Saving = Callable[[Candidate, int], Decimal | None]
"""How many dollars less that many prompt tokens cost at a candidate when they come from its cache; None: unknown."""


@dataclass(frozen=True, slots=True)
class Part:
    """`low`…`high`: the values that are multiplied by `weight`."""

    weight: int
    low: float
    high: float
    sentence: str


PARTS: Mapping[str, Part] = {
    "priority": Part(
        1000,
        -math.inf,
        0,
        "Your priority comes first: one step below the highest outweighs all other parts together; demos stand below all.",
    ),
    "errors": Part(100, -1, 0, "Accounts that failed lately come last; half the weight is their error rate, which fades while they rest."),
    "quota": Part(60, -1, 0.5, "What is plenty and runs out soon is used first, what is scarce is spared."),
    "balance": Part(60, -1, 0, "Accounts whose money will not last are spared."),
    "load": Part(60, -1, 0, "Requests in flight for the account's weight, against the least loaded."),
    "affinity": Part(45, 0, 1, "What the cached beginning of the conversation saves there, by price."),
    "staying": Part(
        40,
        0,
        1,
        "A conversation keeps its home: as much as affinity falls short of 32 points, of 40 the longer it is. Fewer where the "
        "home is much slower than the others, is dearer, or failed lately.",
    ),
    "latency": Part(30, -1, 1, "Time to the first token against the median; who was not measured lately counts as the median."),
    "price": Part(30, -1, 0, "This request's price against the cheapest; unknown is worse than every known price."),
}
"""What `auto` weighs, weightiest first."""
NO_POINTS = dict.fromkeys(PARTS, 0.0)
OF_HOME = ("affinity", "staying")
"""The parts that only the home of a conversation has."""

ERRORS_FADE_MS = 5 * 60_000
SPEED_FADES_MS = 30 * 60_000
"""Half-lives: what was measured long ago must not keep an account from being tried for good."""
LITTLE_MS = 200
"""Nobody notices a difference well below it, however many times one is the other."""
FRESH = 0.5
"""The median is of what still counts this much: whoever had one slow answer long ago must not make all others fast for ever."""
SCARCE = 0.2
"""Share of a quota window below which it is spared."""
RESETS_SOON_MS = 5 * 3_600_000
"""At this time to the reset, what is left counts half as much as right before it."""
LEAST_PLENTY = 0.1
"""A quota that is known to be fine is better than an unknown one, however late it resets."""
CALM = 4
"""Requests for a weight of 1 that make no big difference: the difference is held against the load plus this."""
SMALL_DOLLARS = 0.001
"""A request this much dearer than a free one is half as bad as can be; below it, price hardly matters."""
UNKNOWN_PRICE = -0.5
LOW_BALANCE = 1.0
REQUESTS_LEFT = 20
"""A balance is low below 1 of its currency, or below this many requests of this price."""
CACHE_DOLLARS = 0.005
"""A cache that saves this much has half of the points for affinity."""
STAYING, LONG_TOKENS = 0.8, 8000
"""The floor of a home: its share however short the conversation is. A prompt of so many tokens has half of the rest.
32 points are more than any quota elsewhere that is only plenty (30), and than chance makes of equal latencies (SLOWER)."""
SLOWER = 4
"""Time to the first token of one account, over a few requests, differs by this factor by chance. The floor of a home melts beyond
it: it is half at twice of that."""
MOST_NAMED = 4
NOTHING, QUOTA_UNKNOWN = "nothing sets it apart", "quota unknown"


@quick(frozen=True, slots=True)
class Score:
    """`parts`: points by the names of PARTS; `total` is their sum. Policies that do not score have words only."""

    total: float
    parts: Mapping[str, float]
    words: str


def unscored(words: str) -> Score:
    return Score(0.0, EMPTY, words)


@dataclass(slots=True)
class _Tier:
    """The candidates of one tier and what is known of them: each list has an entry for each of them, in their order. Parts are worked
    out for all of them at once, since what nobody has anything of (quota, balance, a home) need not be asked of each."""

    candidates: Sequence[Candidate]
    now: int
    tracks: Sequence[Track]
    """Of its model's family, as far as that was used; else of the account."""
    in_flight: Sequence[int]
    trust: Sequence[float]
    """Share of its measured latency that still counts."""
    priced: bool
    prices: Sequence[Decimal | None]
    windows: Sequence[_Tightest | None]
    """What is left of the tightest window of its quota that counts for its model; None: unknown."""
    home: Home | None
    saved: Mapping[int, Decimal | None]
    """Place of each candidate that is the home → what its cache saves, None: that has no price."""
    median_ms: float = 0.0
    others_ms: float = 0.0
    """The median of those that are not the home; as `median_ms`, 0 when nobody was measured lately."""
    cheapest: float = 0.0
    unknown_price: float = UNKNOWN_PRICE


class _Tightest(NamedTuple):
    left: float
    row: Mapping[str, Any]


def score(
    candidates: Sequence[Candidate],
    pool: Pool,
    now: int,
    price: Price | None = None,
    home: Home | None = None,
    saving: Saving | None = None,
) -> list[Score]:
    """The score of each candidate of one tier, in their order. `home`: where the conversation was answered last."""
    if not candidates:
        return []
    tier = _look(candidates, pool, now, price, home, saving)
    columns: dict[str, list[float]] = {}
    for name, judge in JUDGES.items():
        values = judge(tier)
        if values is not None:
            weight = PARTS[name].weight
            columns[name] = [float(round(value * weight)) for value in values]
    parts = [NO_POINTS.copy() for _ in candidates]
    for name, column in columns.items():
        for own, points in zip(parts, column, strict=True):
            own[name] = points
    totals = map(sum, zip(*columns.values(), strict=True)) if columns else [0.0] * len(parts)
    return list(map(Score, totals, parts, _in_words(tier, _named(columns))))


def stays_home(scores: Sequence[Score]) -> bool:
    """Of one tier's scores, in the order to be tried: is the first one first because the conversation is at home there?"""
    if len(scores) < 2:
        return False
    first = scores[0]
    rest = first.total - sum(first.parts.get(name, 0.0) for name in OF_HOME)
    if rest >= first.total:
        return False
    affinity, staying = OF_HOME
    return rest <= max([one.total - one.parts[affinity] - one.parts[staying] for one in scores[1:]])


def _named(columns: Mapping[str, Sequence[float]]) -> Sequence[str]:
    """The parts that made the difference, the greatest first."""
    spread = {name: abs(points[0]) if len(points) == 1 else max(points) - min(points) for name, points in columns.items()}
    return sorted((name for name, wide in spread.items() if wide), key=lambda name: -spread[name])[:MOST_NAMED]


def _in_words(tier: _Tier, named: Sequence[str]) -> Iterable[str]:
    """Of each candidate, in the same order for all: what made the difference, then what is unknown."""
    told = [WORDS[name](tier) for name in named]
    told += [words for name, unknown in UNKNOWN.items() if name not in named and any(words := unknown(tier))]
    if not told:
        return [NOTHING] * len(tier.candidates)
    rows = zip(*told, strict=True)
    if all(map(all, told)):
        return map(", ".join, rows)
    return [", ".join(filter(None, row)) or NOTHING for row in rows]


def _look(candidates: Sequence[Candidate], pool: Pool, now: int, price: Price | None, home: Home | None, saving: Saving | None) -> _Tier:
    lives, tracks = zip(*[pool.seen(candidate.account.id, candidate.model) for candidate in candidates], strict=True)
    tier = _Tier(
        candidates,
        now,
        tracks,
        [live.in_flight for live in lives],
        [_trust(track, now) for track in tracks],
        price is not None,
        () if price is None else [_known(price(candidate)) for candidate in candidates],
        [_tightest(candidate, pool, now) if candidate.account.quota else None for candidate in candidates],
        home,
        {} if home is None else {at: _saved(one, home, saving) for at, one in enumerate(candidates) if one.account.id == home.account_id},
    )
    measured = [
        (at, track.latency_ms)
        for at, (track, trust) in enumerate(zip(tracks, tier.trust, strict=True))
        if trust >= FRESH and track.latency_ms is not None
    ]
    if measured:
        tier.median_ms = median([ms for _, ms in measured])
        elsewhere = [ms for at, ms in measured if at not in tier.saved] if home is not None else ()
        tier.others_ms = median(elsewhere) if elsewhere else 0.0
    known = [float(one) for one in tier.prices if one is not None]
    if known:
        tier.cheapest = min(known)
        tier.unknown_price = min(UNKNOWN_PRICE, _dearer(max(known), tier.cheapest))
    return tier


def _known(price: Decimal | None) -> Decimal | None:
    return price if price is not None and price.is_finite() and price >= 0 else None


def _trust(track: Track, now: int) -> float:
    for outcome in reversed(track.recent):
        if outcome.ok and outcome.ms is not None:
            return _fade(now - outcome.at, SPEED_FADES_MS)
    return 0.0


def _tightest(candidate: Candidate, pool: Pool, now: int) -> _Tightest | None:
    known = [_Tightest(share, row) for row in quota.windows(candidate, pool.family) if (share := quota.left(row, now)) is not None]
    return min(known, key=lambda window: window.left, default=None)


def _saved(candidate: Candidate, home: Home, saving: Saving | None) -> Decimal | None:
    saved = None if saving is None else saving(candidate, home.prompt_tokens)
    return saved if saved is not None and saved.is_finite() and saved > 0 else None


# ---------------------------------------------------------------- The parts: a value for each candidate, None: 0 for all of them


def _priority(tier: _Tier) -> list[float] | None:
    standings = [(not one.account.demo, one.account.priority) for one in tier.candidates]
    kinds = set(standings)
    if len(kinds) == 1:
        return None
    steps = {standing: step for step, standing in enumerate(sorted(kinds, reverse=True))}
    return [-steps[standing] for standing in standings]


def _errors(tier: _Tier) -> list[float] | None:
    if not any(track.error_rate for track in tier.tracks):
        return None  # nobody failed
    rates = [_error_rate(track, tier.now) for track in tier.tracks]
    return [-(1 + rate) / 2 if track.failing(tier.now) else -rate / 2 for track, rate in zip(tier.tracks, rates, strict=True)]


def _error_rate(track: Track, now: int) -> float:
    newest = track.recent[-1].at if track.recent else now
    return track.error_rate * _fade(now - newest, ERRORS_FADE_MS)


def _quota(tier: _Tier) -> list[float] | None:
    if not any(tier.windows):
        return None
    return [0.0 if window is None else _plenty(window, tier.now) for window in tier.windows]


def _plenty(window: _Tightest, now: int) -> float:
    resets_at = quota.number(window.row.get("resets_at"))
    soon = 0.0 if resets_at is None else 1 / (1 + (resets_at - now) / RESETS_SOON_MS)
    plenty = window.left * (LEAST_PLENTY + (1 - LEAST_PLENTY) * soon) * PARTS["quota"].high
    return plenty - max(0.0, 1 - window.left / SCARCE)


def _balance(tier: _Tier) -> list[float] | None:
    """Neutral when unknown, and not said: most providers tell none. A request that costs nothing needs none."""
    if not any(one.account.balance for one in tier.candidates):
        return None
    return [_funds(one.account.balance, tier.prices[at] if tier.priced else None) for at, one in enumerate(tier.candidates)]


def _funds(told: Mapping[str, Any] | None, price: Decimal | None) -> float:
    amount = quota.number(told.get("amount")) if told else None
    if told is None or (amount is None and told.get("usable") is not False) or price == 0:
        return 0.0
    if told.get("usable") is False or amount is None or amount <= 0:
        return -1.0
    return -max(0.0, 1 - amount / max(LOW_BALANCE, REQUESTS_LEFT * float(price or 0)))


def _in_flight(tier: _Tier) -> list[float] | None:
    loads = [
        (flying + 1) / (weight if (weight := one.account.weight) > 0 else 1)
        for flying, one in zip(tier.in_flight, tier.candidates, strict=True)
    ]
    least = min(loads)
    return [-(load - least) / (load + CALM) for load in loads]


def _affinity(tier: _Tier) -> list[float] | None:
    return _of_home(tier, _cached) if tier.saved else None


def _of_home(tier: _Tier, value: Callable[[_Tier, int], float]) -> list[float]:
    return [value(tier, at) if at in tier.saved else 0.0 for at in range(len(tier.candidates))]


def _cached(tier: _Tier, at: int) -> float:
    saved = tier.saved[at]
    return 0.0 if saved is None else float(saved) / (float(saved) + CACHE_DOLLARS)


def _staying(tier: _Tier) -> list[float] | None:
    """The floor below affinity: a move is never free. What is cached is answered sooner and takes less of a quota where it has no
    price, too, and an account that was good enough for a conversation is not left for the luck of a few milliseconds."""
    return _of_home(tier, _floor) if tier.saved else None


def _floor(tier: _Tier, at: int) -> float:
    tokens = 0 if tier.home is None else tier.home.prompt_tokens
    floor = STAYING + (1 - STAYING) * tokens / (tokens + LONG_TOKENS)
    price = tier.prices[at] if tier.priced else None
    dearer = 0.0 if price is None else _dearer(float(price), tier.cheapest)
    floor *= _not_slower(tier, at) * (1 + dearer) * (1 - _error_rate(tier.tracks[at], tier.now))
    has = _cached(tier, at) * PARTS["affinity"].weight / PARTS["staying"].weight
    return max(0.0, floor - has)


def _not_slower(tier: _Tier, at: int) -> float:
    """1 up to SLOWER times the others' time, then ever less."""
    latency_ms = tier.tracks[at].latency_ms
    if latency_ms is None or not tier.others_ms:
        return 1.0
    return 1 - tier.trust[at] * (1 - min(1.0, SLOWER * (tier.others_ms + LITTLE_MS) / (latency_ms + LITTLE_MS)))


def _latency(tier: _Tier) -> list[float] | None:
    typical = tier.median_ms
    if not typical:
        return None
    return [
        0.0 if (ms := track.latency_ms) is None else trust * ((typical - ms) / (typical + ms + LITTLE_MS))
        for track, trust in zip(tier.tracks, tier.trust, strict=True)
    ]


def _price(tier: _Tier) -> list[float] | None:
    if not tier.priced:
        return None
    return [tier.unknown_price if one is None else _dearer(float(one), tier.cheapest) for one in tier.prices]


def _dearer(price: float, cheapest: float) -> float:
    return -(price - cheapest) / (price + SMALL_DOLLARS)


JUDGES: Mapping[str, Callable[[_Tier], list[float] | None]] = {
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
"""What is worked out for the parts."""


# ---------------------------------------------------------------- The parts in words: for each candidate


def _priority_words(tier: _Tier) -> list[str]:
    return ["demo account" if one.account.demo else f"priority {one.account.priority}" for one in tier.candidates]


def _errors_words(tier: _Tier) -> list[str]:
    return [_failed(track, tier.now) for track in tier.tracks]


def _failed(track: Track, now: int) -> str:
    if track.failing(now):
        return "failed lately"
    rate = _error_rate(track, now)
    return f"{rate:.0%} of its requests failed lately" if rate >= 0.005 else "no failures"


def _quota_words(tier: _Tier) -> list[str]:
    return [QUOTA_UNKNOWN if window is None else _window(window, tier.now) for window in tier.windows]


def _window(window: _Tightest, now: int) -> str:
    row = window.row
    resets_at = quota.number(row.get("resets_at"))
    words = f"{window.left:.0%} of {row.get('name') or 'its quota'} left"
    words += f" for {row.get('model')}" if row.get("model") else ""
    words += "" if resets_at is None else f", which resets in {span(round(resets_at) - now)}"
    state = row.get("state") or "live"
    return words if state == "live" else f"{words} ({state})"


def _balance_words(tier: _Tier) -> list[str]:
    return [_money(one.account.balance) for one in tier.candidates]


def _money(told: Mapping[str, Any] | None) -> str:
    amount = quota.number(told.get("amount")) if told else None
    if told is None or (amount is None and told.get("usable") is not False):
        return "balance unknown"
    return "balance not usable" if amount is None else f"balance {amount:.2f} {told.get('currency') or ''}".rstrip()


def _load_words(tier: _Tier) -> list[str]:
    return [f"{flying} in flight of weight {one.account.weight}" for flying, one in zip(tier.in_flight, tier.candidates, strict=True)]


def _affinity_words(tier: _Tier) -> list[str]:
    """Only said where it made a difference, so where a cache saves something somewhere."""
    return [_saves(tier.saved[at]) if at in tier.saved else "nothing cached" for at in range(len(tier.candidates))]


def _saves(saved: Decimal | None) -> str:
    return "what its cache saves has no price" if saved is None else f"its cache saves ${saved:.6f}"


def _staying_words(tier: _Tier) -> list[str]:
    has = f"has this conversation ({0 if tier.home is None else tier.home.prompt_tokens} tokens)"
    return [has if at in tier.saved else "not where the conversation was" for at in range(len(tier.candidates))]


def _latency_words(tier: _Tier) -> list[str]:
    return [speed(track.latency_ms) for track in tier.tracks]


def _price_words(tier: _Tier) -> list[str]:
    return [cost(one) for one in tier.prices]


WORDS: Mapping[str, Callable[[_Tier], list[str]]] = {
    "priority": _priority_words,
    "errors": _errors_words,
    "quota": _quota_words,
    "balance": _balance_words,
    "load": _load_words,
    "affinity": _affinity_words,
    "staying": _staying_words,
    "latency": _latency_words,
    "price": _price_words,
}
UNKNOWN: Mapping[str, Callable[[_Tier], list[str]]] = {
    "quota": lambda tier: ["" if window is not None else QUOTA_UNKNOWN for window in tier.windows],
    "latency": lambda tier: ["" if track.latency_ms is not None else speed(None) for track in tier.tracks],
    "price": lambda tier: ["" if one is not None else cost(None) for one in tier.prices],
}
"""What is said to be unknown whether it matters or not; "" where it is known."""


# ---------------------------------------------------------------- Words and numbers


def speed(latency_ms: float | None) -> str:
    return "speed unknown" if latency_ms is None else f"first token after {latency_ms:.0f} ms"


def cost(price: Decimal | None) -> str:
    return "price unknown" if price is None else f"${price:f} for this request"


def _fade(age_ms: int, half_life_ms: int) -> float:
    return 0.5 ** (age_ms / half_life_ms) if age_ms > 0 else 1.0
