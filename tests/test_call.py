"""The headers of an answer, and how a request's own are read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import call
from omni_connector.call import Headers, answer_headers, client_name, error_answer, header_text, lower
from omni_connector.errors import GatewayError, Kind, ProviderFailure
from omni_connector.record import Attempt, Record


def served(**more: object) -> Record:
    record = Record("req_1", 0, "prc_1", "openai-chat", "/v1/chat/completions", "curl", "key_1", "laptop")
    record.provider, record.account_label, record.model, record.route = "groq", "main", "llama", "auto: groq/main first of 2"
    record.attempts.append(Attempt("main", "groq", "llama", 200, 5))
    record.cost = Decimal("0.25")
    for name, value in more.items():
        setattr(record, name, value)
    return record


def named(headers: Headers) -> dict[str, str]:
    found = {name.decode(): value.decode() for name, value in headers}
    assert len(found) == len(headers), "no header twice"
    return found


def test_a_whole_answer_tells_its_route_and_cost() -> None:  # CONTRACT §4, "Response headers"
    upstream = {"x-ratelimit-remaining-requests": "9", "anthropic-ratelimit-tokens-limit": "5", "set-cookie": "a=b", "server": "x"}
    headers = named(answer_headers(served(dropped=("n", "logit_bias")), upstream, stream=False))
    assert headers == {
        "x-omni-request-id": "req_1",
        "x-request-id": "req_1",
        "request-id": "req_1",
        "x-omni-attempts": "1",
        "x-omni-provider": "groq",
        "x-omni-account": "main",
        "x-omni-model": "llama",
        "x-omni-route": "auto: groq/main first of 2",
        "x-omni-dropped": "n, logit_bias",
        "x-omni-cost": "0.250000",
        "x-ratelimit-remaining-requests": "9",
        "anthropic-ratelimit-tokens-limit": "5",
        "content-type": "application/json",
    }
    assert named(answer_headers(served(cost=None), {}, stream=False))["x-omni-cost"] == "unknown"


def test_a_stream_is_not_cached_or_buffered_and_its_cost_is_not_known_yet() -> None:
    headers = named(answer_headers(served(), {}, stream=True))
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert "x-omni-cost" not in headers


@given(st.text())
def test_no_text_can_break_out_of_a_header(text: str) -> None:
    value = header_text(text.encode("utf-8", "replace").decode())
    assert value.isascii()
    assert len(value) <= 1000
    assert all(32 <= byte < 127 for byte in value)


def test_readable_text_stays_readable() -> None:
    assert header_text("auto: groq/main (first of 2), quota unknown") == b"auto: groq/main (first of 2), quota unknown"
    assert header_text("Büro\r\nset-cookie: x") == b"B%C3%BCro%0D%0Aset-cookie: x"
    assert header_text("100%") == b"100%25"


@pytest.mark.parametrize(("wait", "header"), [(0.2, "1"), (1.0, "1"), (28.1, "29"), (None, None)])
def test_retry_after_is_whole_seconds_and_never_zero(wait: float | None, header: str | None) -> None:
    _, headers, _ = error_answer("openai-chat", GatewayError(Kind.RATE_LIMITED, "x", retry_after=wait), None)
    assert named(headers).get("retry-after") == header


def test_an_error_is_in_the_callers_format_with_what_is_known_of_the_route() -> None:  # C-46, O-21
    error = GatewayError(Kind.NO_ACCOUNT, "nobody", failures=[ProviderFailure("groq", "main", 500, "boom", skipped=False)])
    status, headers, body = error_answer("openai-chat", error, served())
    assert status == 503
    assert named(headers)["x-omni-request-id"] == "req_1"
    assert b'"provider_failures":[{' in body
    status, headers, body = error_answer("anthropic-messages", error, None)
    assert (status, b'"type":"error"' in body) == (503, True)
    assert "x-omni-request-id" not in named(headers)


def test_a_client_is_known_by_the_first_word_of_its_user_agent() -> None:
    assert client_name({"user-agent": "OpenAI/Python 1.2 (x)"}) == "OpenAI/Python"
    assert client_name({"user-agent": "claude-cli/2.0"}) == "claude-cli/2.0"
    assert client_name({}) == ""
    assert len(client_name({"user-agent": "x" * 500})) == 80


def test_header_names_are_lower_case_and_repeated_ones_joined() -> None:
    assert lower([(b"X-Api-Key", b"a"), (b"Accept", b"x"), (b"accept", b"\xfc")]) == {"x-api-key": "a", "accept": "x, ü"}


def test_names_of_headers_are_remembered_as_far_as_they_are_few_and_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "_NAMES", {})
    monkeypatch.setattr(call, "MOST_NAMES", 3)
    sent = [(b"X-%d" % number, b"v") for number in range(5)] + [(b"X-" + b"y" * 100, b"w"), (b"x-0", b"again")]
    for _ in range(2):
        assert lower(sent) == {"x-0": "v, again", **{f"x-{n}": "v" for n in range(1, 5)}, "x-" + "y" * 100: "w"}
    assert call._NAMES == {b"X-0": "x-0", b"X-1": "x-1", b"X-2": "x-2"}


def test_what_is_told_of_the_way_is_that_of_each_record() -> None:
    """Whatever was told of another one before; nothing is told of what is not known."""
    for change in (
        {},
        {"route": "auto: groq/other"},
        {"account_label": "b"},
        {"model": None},
        {"provider": "xai"},
        {"dropped": ("seed", "top_k")},
        {},
    ):
        record = served(**change)
        told = named(answer_headers(record, {}, stream=False))
        for name, value in (
            ("provider", record.provider),
            ("account", record.account_label),
            ("model", record.model),
            ("route", record.route),
        ):
            assert told.get(f"x-omni-{name}") == value
        assert told.get("x-omni-dropped") == (", ".join(record.dropped) or None)
