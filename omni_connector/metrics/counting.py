"""Counting of requests, when they are settled. Plain sums in memory: under 2 µs a request, against 15 with a metrics library,
whose locks one event loop does not need (docs/decisions.md)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import field
from decimal import Decimal

from omni_connector import catalog, providers
from omni_connector.metrics.families import DURATIONS, FIRST_TOKENS
from omni_connector.metrics.text import Samples, Spread
from omni_connector.record import Record
from omni_connector.snapshot import Account
from omni_connector.values import dataclass

NONE, OTHER = "none", "other"
MOST_SERIES = 2000
"""Sets of labels that are kept apart; a further model counts as "other"."""
MOST_NAMES = 5000
"""Names that are remembered with their set of labels; for further ones it is looked up each time."""
TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")

_Key = tuple[str, str | None, str | None, str | None]


@dataclass(slots=True)
class _Series:
    """The sums of one protocol, provider, model and outcome."""

    labels: tuple[str, str, str, str]
    requests: int = 0
    took_ms: int = 0
    took: list[int] = field(default_factory=lambda: [0] * (len(DURATIONS) + 1))
    first_ms: int = 0
    first: list[int] = field(default_factory=lambda: [0] * (len(FIRST_TOKENS) + 1))
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0


def known(record: Record, account: Account | None) -> bool:
    """Whether the account that a request came to, or the catalogue, knows its model: a name that a client made up must not become a
    series of its own."""
    model = record.model or ""
    return account is not None and (model in account.known_models or catalog.lookup(providers.price_id(account), model) is not None)


class Metrics:
    """Of one process. `known`: whether the account that served a request, or the catalogue, knows its model."""

    def __init__(self, known: Callable[[Record], bool]) -> None:
        self._known = known
        self._named: dict[_Key, _Series] = {}
        self._series: dict[tuple[str, str, str, str], _Series] = {}
        self._attempts: Counter[tuple[str, str | None, bool]] = Counter()
        self._failures: Counter[str] = Counter()
        self._failovers: Counter[str] = Counter()

    def settled(self, record: Record) -> None:
        """Count a request that is over; called once for each."""
        key = (record.wire, record.provider, record.model, record.outcome)
        series = self._named.get(key) or self._place(record, key)
        series.requests += 1
        took = (record.settled_at or record.started_at) - record.started_at
        series.took_ms += took
        series.took[bisect_left(DURATIONS, took)] += 1
        first = record.first_token_ms
        if first is not None:
            series.first_ms += first
            series.first[bisect_left(FIRST_TOKENS, first)] += 1
        if record.usage_source != NONE:
            self._used(series, record)
        for attempt in record.attempts:
            self._attempts[attempt.provider, attempt.kind, attempt.status is None] += 1
        if len(record.attempts) > 1:
            self._failovers[record.outcome or NONE] += 1
        if record.error is not None:
            self._failures[record.error.kind] += 1

    @staticmethod
    def _used(series: _Series, record: Record) -> None:
        usage = record.usage
        series.input += usage.input or 0
        series.cache_read += usage.cache_read or 0
        series.cache_write += usage.cache_write or 0
        series.output += usage.output or 0
        series.reasoning += usage.reasoning or 0
        if record.cost is not None:
            series.cost += record.cost
        elif usage.total:
            series.unpriced += 1

    def _place(self, record: Record, key: _Key) -> _Series:
        model = NONE if record.model is None else record.model if self._known(record) else OTHER
        labels = (record.wire, record.provider or NONE, model, record.outcome or NONE)
        if labels not in self._series and len(self._series) >= MOST_SERIES:
            labels = (labels[0], labels[1], OTHER, labels[3])
        series = self._series.setdefault(labels, _Series(labels))
        if len(self._named) < MOST_NAMES:
            self._named[key] = series
        return series

    def samples(self) -> Samples:
        """What was counted so far."""
        requests: Counter[tuple[str, ...]] = Counter()
        tokens: Counter[tuple[str, ...]] = Counter()
        unpriced: Counter[tuple[str, ...]] = Counter()
        cost: defaultdict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        took: dict[tuple[str, ...], Spread] = {}
        first: dict[tuple[str, ...], Spread] = {}
        for series in self._series.values():
            protocol, provider, model, outcome = series.labels
            requests[protocol, provider, outcome] += series.requests
            _add(took, (protocol, provider), series.took, series.took_ms)
            _add(first, (protocol, provider), series.first, series.first_ms)
            for kind in TOKENS:
                if count := getattr(series, kind):
                    tokens[provider, model, kind] += count
            if series.cost:
                cost[provider, model] += series.cost
            if series.unpriced:
                unpriced[provider, model] += series.unpriced
        attempts: Counter[tuple[str, ...]] = Counter()
        for (provider, failure, silent), count in self._attempts.items():
            attempts[provider, failure or ("unfinished" if silent else "answered")] += count
        return {
            "omni_requests_total": requests,
            "omni_failures_total": {(kind,): count for kind, count in self._failures.items()},
            "omni_attempts_total": attempts,
            "omni_failovers_total": {(outcome,): count for outcome, count in self._failovers.items()},
            "omni_request_duration_seconds": took,
            "omni_time_to_first_token_seconds": {labels: spread for labels, spread in first.items() if any(spread.counts)},
            "omni_tokens_total": tokens,
            "omni_cost_dollars_total": {labels: float(dollars) for labels, dollars in cost.items()},
            "omni_unpriced_requests_total": unpriced,
        }


def _add(to: dict[tuple[str, ...], Spread], labels: tuple[str, ...], counts: list[int], total_ms: int) -> None:
    spread = to.setdefault(labels, Spread([0] * len(counts)))
    spread.counts = [before + more for before, more in zip(spread.counts, counts, strict=True)]
    spread.total_ms += total_ms
