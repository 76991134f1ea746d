"""Counting: every settled request once, under labels that clients cannot multiply."""

from __future__ import annotations

import timeit
from decimal import Decimal

from omni_connector.chat import Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.metrics.counting import MOST_NAMES, MOST_SERIES, OTHER, Metrics, known
from omni_connector.metrics.text import Spread
from omni_connector.providers import complete
from omni_connector.record import Attempt, Record
from omni_connector.snapshot import Account

AT = 1_800_000_000_000


def record(model: str = "gpt-5", *, cost: str | None = "0.25") -> Record:
    made = Record("req_1", AT, "prc_1", "openai-chat", "/v1/chat/completions", "curl", "key_1", "the key of Anna")
    made.account_id, made.account_label, made.provider, made.model = "acc_1", "anna@example.com", "openai", model
    made.attempts.append(Attempt("slow", "groq", "llama", 429, 31, "account_rate_limited"))
    made.attempts.append(Attempt("anna@example.com", "openai", model, 200, 420))
    made.first_token_ms = 500
    made.usage, made.usage_source, made.cost = Usage(10, 4, None, 7, 2), "reported", None if cost is None else Decimal(cost)
    made.end(AT + 2600, "ok", 200)
    return made


def test_one_request_in_all_its_figures() -> None:
    metrics = Metrics(lambda _: True)
    metrics.settled(record())
    metrics.settled(record(cost=None))
    told = metrics.samples()
    assert told["omni_requests_total"] == {("openai-chat", "openai", "ok"): 2}
    assert told["omni_attempts_total"] == {("groq", "account_rate_limited"): 2, ("openai", "answered"): 2}
    assert told["omni_failovers_total"] == {("ok",): 2}
    tokens = {kind: count for (_, _, kind), count in told["omni_tokens_total"].items()}
    assert tokens == {"input": 20, "cache_read": 8, "output": 14, "reasoning": 4}
    assert told["omni_cost_dollars_total"] == {("openai", "gpt-5"): 0.25}
    assert told["omni_unpriced_requests_total"] == {("openai", "gpt-5"): 1}, "an unknown price is not 0 $"
    spread = told["omni_time_to_first_token_seconds"]["openai-chat", "openai"]
    assert isinstance(spread, Spread)
    assert (spread.counts[4], sum(spread.counts), spread.total_ms) == (2, 2, 1000), "500 ms is within the bucket of 500 ms"


def test_refusals_and_clients_that_leave() -> None:
    metrics = Metrics(lambda _: True)
    refused = Record("req_2", AT, "prc_1", "openai-chat", "/v1/chat/completions", "curl")
    refused.end(AT, "failed", 404, GatewayError(Kind.MODEL_NOT_FOUND, "no such model"))
    metrics.settled(refused)
    left = record()
    left.attempts[:] = [Attempt("a", "openai", "gpt-5", None, 3)]
    left.end(AT + 5, "client_left", 499, GatewayError(Kind.CLIENT_LEFT, "gone"))
    metrics.settled(left)
    told = metrics.samples()
    assert told["omni_requests_total"] == {("openai-chat", "none", "failed"): 1, ("openai-chat", "openai", "client_left"): 1}
    assert told["omni_failures_total"] == {("model_not_found",): 1, ("client_left",): 1}
    assert told["omni_attempts_total"] == {("openai", "unfinished"): 1}
    assert not told["omni_failovers_total"]


def test_labels_hold_no_names_of_people_and_stay_few() -> None:
    metrics = Metrics(lambda found: not (found.model or "").startswith("made-up"))
    for number in range(MOST_NAMES + 500):
        metrics.settled(record(f"made-up-{number}"))
    assert len(metrics._series) == 1 and len(metrics._named) == MOST_NAMES
    for number in range(MOST_SERIES + 500):
        metrics.settled(record(f"known-{number}"))
    told = metrics.samples()
    assert len(told["omni_cost_dollars_total"]) <= MOST_SERIES + 1
    assert ("openai", OTHER) in told["omni_cost_dollars_total"]
    assert told["omni_requests_total"]["openai-chat", "openai", "ok"] == MOST_NAMES + MOST_SERIES + 1000
    assert "Anna" not in str(told) and "anna" not in str(told) and "made-up" not in str(told)


def test_which_models_are_known() -> None:
    account = complete(Account("acc_1", "openai", "work", secret="sk-1", discovered=("my-own",)))
    for model, expected in (("my-own", True), ("gpt-5", True), ("whatever a client asks for", False)):
        assert known(record(model), account) is expected, model
    assert not known(record(), None)


def test_counting_is_cheap() -> None:
    metrics, one = Metrics(lambda _: True), record()
    best = min(timeit.repeat(lambda: metrics.settled(one), number=2000, repeat=5)) / 2000
    assert best < 50e-6, "2 µs on a free machine; this only finds an order of magnitude"
