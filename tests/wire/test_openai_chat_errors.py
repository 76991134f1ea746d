"""Providers' errors in every shape → one kind each, and our errors for clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import KINDS, GatewayError, Kind, ProviderFailure
from omni_connector.wire import anthropic_errors
from omni_connector.wire.openai_chat import parse_error, render_error
from omni_connector.wire.openai_chat_errors import WORDS, error_in


def error(message: str = "x", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("bad"), Kind.BAD_REQUEST),
        (400, error("x", code="context_length_exceeded"), Kind.CONTEXT_TOO_LONG),
        (400, error("This model's maximum context length is 8192 tokens."), Kind.CONTEXT_TOO_LONG),
        (400, error("prompt too long; exceeded max context length by 9 tokens"), Kind.CONTEXT_TOO_LONG),
        (400, error("too long", type="too_many_prompt_tokens", code=400), Kind.CONTEXT_TOO_LONG),
        (400, error("the request exceeds the available context size", type="exceed_context_size_error", code=400), Kind.CONTEXT_TOO_LONG),
        (400, error("max_tokens is too large: 50000. This model supports at most 4096", param="max_tokens"), Kind.BAD_REQUEST),
        (400, error("The response was filtered … content management policy", code="content_filter"), Kind.CONTENT_FILTERED),
        (400, error("unsafe", code="1301"), Kind.CONTENT_FILTERED),
        (400, error("Incorrect API key provided: sk-…"), Kind.ACCOUNT_REJECTED),
        (400, error("vendor/none is not a valid model ID", code=400), Kind.UPSTREAM_MODEL_MISSING),
        (400, error("Model Not Exist"), Kind.UPSTREAM_MODEL_MISSING),
        (400, error("Unsupported parameter: 'stop' is not supported with this model.", param="stop"), Kind.BAD_REQUEST),
        (400, {"object": "error", "message": "Logprobs are not enabled", "type": "invalid", "code": "3051"}, Kind.BAD_REQUEST),
        (400, {"code": "Arrearage", "message": "Access denied", "request_id": "r"}, Kind.ACCOUNT_UNPAID),
        (401, error("no", type="invalid_request_error", code="invalid_api_key"), Kind.ACCOUNT_REJECTED),
        (401, b"", Kind.ACCOUNT_REJECTED),
        (402, error("Insufficient Balance"), Kind.ACCOUNT_UNPAID),
        (403, error("You are not allowed to sample from this model"), Kind.ACCOUNT_FORBIDDEN),
        (
            404,
            error("Unknown request URL: POST /openai/v1/rerank.", type="invalid_request_error", code="unknown_url"),
            Kind.UPSTREAM_FAILED,
        ),
        (404, error("Invalid URL (POST /v1/rerank)", type="invalid_request_error"), Kind.UPSTREAM_FAILED),
        (405, {"detail": "Method Not Allowed"}, Kind.UPSTREAM_FAILED),
        (
            403,
            error("Your chosen model requires moderation and your input was flagged", code=403, metadata={"reasons": ["violence"]}),
            Kind.CONTENT_FILTERED,
        ),
        (404, error("The model `x` does not exist", code="model_not_found"), Kind.UPSTREAM_MODEL_MISSING),
        (404, {"error": "Specified model not found: x"}, Kind.UPSTREAM_MODEL_MISSING),
        (404, error("No deployment", code="DeploymentNotFound"), Kind.UPSTREAM_MODEL_MISSING),
        (404, b"404 page not found", Kind.UPSTREAM_FAILED),
        (404, {"detail": "Not Found"}, Kind.UPSTREAM_FAILED),
        (404, error("No such file object", type="invalid_request_error"), Kind.BAD_REQUEST),
        (408, b"", Kind.UPSTREAM_TIMEOUT),
        (413, b"<html><title>413 Request Entity Too Large</title></html>", Kind.TOO_LARGE),
        (
            413,
            error("Request too large for model on tokens per minute", code="rate_limit_exceeded", type="tokens"),
            Kind.ACCOUNT_RATE_LIMITED,
        ),
        (422, {"detail": [{"loc": ["body", "tool_choice"], "msg": "Input should be a valid string"}]}, Kind.BAD_REQUEST),
        (429, error("slow", code="rate_limit_exceeded"), Kind.ACCOUNT_RATE_LIMITED),
        (429, error("You exceeded your current quota", code="insufficient_quota"), Kind.ACCOUNT_UNPAID),
        (429, error("x", type="exceeded_current_quota_error"), Kind.ACCOUNT_UNPAID),
        (429, error("余额不足", code="1113"), Kind.ACCOUNT_UNPAID),
        (429, error("busy", type="engine_overloaded_error"), Kind.UPSTREAM_OVERLOADED),
        (429, error("busy", code="1305"), Kind.UPSTREAM_OVERLOADED),
        # Google uses the words of OpenAI's unpaid error for its per-minute limit: only a code counts.
        (
            429,
            [
                {
                    "error": {
                        "code": 429,
                        "message": "You exceeded your current quota, please check your plan",
                        "status": "RESOURCE_EXHAUSTED",
                    }
                }
            ],
            Kind.ACCOUNT_RATE_LIMITED,
        ),
        (500, error("tools param requires --jinja flag", code=500, type="server_error"), Kind.UPSTREAM_FAILED),
        (502, b"<html><head><title>502 Bad Gateway</title></head></html>", Kind.UPSTREAM_FAILED),
        (503, error("Loading model"), Kind.UPSTREAM_OVERLOADED),
        (529, b"", Kind.UPSTREAM_OVERLOADED),
        (418, b"teapot", Kind.BAD_REQUEST),
    ],
)
def test_kinds(status: int, body: Any, kind: Kind) -> None:
    found = parse_error(status, {}, body, now=0)
    assert found.kind is kind
    assert found.upstream_status == status
    assert found.message
    as_bytes = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert parse_error(status, {}, as_bytes, now=0).kind is kind


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The provider answered HTTP 500 without a message."),
        (b"<html><title>502 Bad\n Gateway</title>", "an HTML page: 502 Bad Gateway"),
        (b"upstream connect error", "upstream connect error"),
        ({"error": "text"}, "text"),
        ({"error": {"message": "deep", "code": 5}}, "deep"),
        ({"detail": "why"}, "why"),
        ({"detail": [{"loc": ["body", "n"], "msg": "bad"}]}, "body.n: bad"),
        ({"object": "error", "message": "flat"}, "flat"),
        ({"success": False, "errors": [{"code": 7, "message": "cloud"}]}, "cloud"),
        ([{"error": {"message": "listed"}}], "listed"),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "the real one"}}}, "Provider returned error: the real one"),
    ],
)
def test_the_providers_words_are_kept(body: Any, message: str) -> None:
    assert parse_error(500, {}, body, now=0).message == message


def test_code_param_scope_and_wait() -> None:
    limited = parse_error(429, {"Retry-After": "7"}, error("slow", code="rate_limit_exceeded", param="p"), now=0)
    assert (limited.code, limited.param, limited.retry_after, limited.stated) == ("rate_limit_exceeded", "p", 7.0, True)
    unstated = parse_error(429, {}, error("slow"), now=0)
    assert (unstated.retry_after, unstated.stated) == (None, False)
    assert parse_error(429, {}, error("try again in 1.5s"), now=0).retry_after == 1.5
    behind = error("x", code=429, metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1754667660000"}})
    assert parse_error(429, {}, behind, now=1_754_667_600).retry_after == 60.0
    assert parse_error(403, {}, error("no access to this model"), now=0).scope == "model"
    assert parse_error(429, {}, error("plan used up", code="1308"), now=0).scope == "account"
    assert parse_error(400, {"retry-after": "7"}, error("bad"), now=0).retry_after is None


@pytest.mark.parametrize(
    ("chunk", "kind", "status"),
    [
        ({"error": {"message": "gone", "code": 502}}, Kind.UPSTREAM_FAILED, 502),
        ({"error": {"message": "slow", "code": 429}}, Kind.ACCOUNT_RATE_LIMITED, 429),
        ({"error": {"message": "mismatch", "type": "invalid_request_error", "status_code": 400}}, Kind.BAD_REQUEST, 400),
        ({"error": {"message": "mismatch", "type": "invalid_request_error"}}, Kind.BAD_REQUEST, None),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, Kind.UPSTREAM_OVERLOADED, None),
        ({"error": {"message": "broke", "type": "server_error"}}, Kind.UPSTREAM_FAILED, None),
        ({"error": "text"}, Kind.UPSTREAM_FAILED, None),
        ({"object": "error", "message": "flat", "code": 503}, Kind.UPSTREAM_OVERLOADED, 503),
        ({"choices": [{"error": {"message": "x", "code": 502}, "finish_reason": "error"}]}, Kind.UPSTREAM_FAILED, 502),
    ],
)
def test_errors_inside_a_200(chunk: Any, kind: Kind, status: int | None) -> None:
    found = error_in(chunk)
    assert found is not None
    assert (found.kind, found.upstream_status) == (kind, status)


@pytest.mark.parametrize("chunk", [{}, {"choices": []}, {"error": None, "choices": []}, None, [], {"message": "x"}])
def test_no_error(chunk: Any) -> None:
    assert error_in(chunk) is None


def test_every_kind_has_words() -> None:
    assert WORDS.keys() == set(Kind)
    for kind in Kind:
        body = render_error(GatewayError(kind, "why", param="p"))["error"]
        assert body.keys() == {"message", "type", "code", "param", "status"}
        assert (body["type"], body["status"], body["param"]) == (WORDS[kind][0], KINDS[kind].status, "p")


def test_failures_are_listed_and_codes_are_the_callers() -> None:
    failures = [ProviderFailure("openai", "main", 429, "slow", False)]
    body = render_error(GatewayError(Kind.NO_ACCOUNT, "none", failures=failures))["error"]
    assert body["provider_failures"] == [{"provider": "openai", "account": "main", "status": 429, "message": "slow", "skipped": False}]
    assert render_error(GatewayError(Kind.BAD_REQUEST, "x", code="unsupported_parameter"))["error"]["code"] == "unsupported_parameter"
    # An account's own trouble must not look like the client's.
    assert render_error(GatewayError(Kind.ACCOUNT_REJECTED, "x", code="invalid_api_key"))["error"]["code"] == "account_rejected"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "code", "type", "detail", "metadata", "errors", "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.integers(200, 599), _json | st.binary())
def test_any_body_gives_an_error_with_words(status: int, body: Any) -> None:
    assert parse_error(status, {}, body, now=0).message
    error_in(body)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "1001", Kind.ACCOUNT_REJECTED),
        (429, "1302", Kind.ACCOUNT_RATE_LIMITED),
        (429, "1303", Kind.ACCOUNT_RATE_LIMITED),
        (429, "1304", Kind.ACCOUNT_RATE_LIMITED),
        (429, "1305", Kind.UPSTREAM_OVERLOADED),
        (429, "1308", Kind.ACCOUNT_RATE_LIMITED),
        (429, "1309", Kind.ACCOUNT_UNPAID),
        (429, "1310", Kind.ACCOUNT_RATE_LIMITED),
        (429, "1113", Kind.ACCOUNT_UNPAID),
        (400, "1210", Kind.BAD_REQUEST),
        (400, "1211", Kind.UPSTREAM_MODEL_MISSING),
        (400, "1214", Kind.BAD_REQUEST),
        (400, "1301", Kind.CONTENT_FILTERED),
    ],
)
def test_what_glm_says_in_numbers_means_the_same_in_both_formats(status: int, code: str, kind: Kind) -> None:  # P-24, upstreams.md §11
    body = {"error": {"code": code, "message": "x"}}
    assert parse_error(status, {}, body).kind is kind
    wrapped = {"type": "error", "error": {"type": code, "message": "x"}}
    assert anthropic_errors.parse_error(status, {}, json.dumps(wrapped).encode()).kind is kind


def test_a_plan_of_glm_is_back_when_it_says() -> None:  # P-24
    words = "Usage limit reached for 5 hour. Your limit will reset at 2025-08-09 00:40:00"
    error = parse_error(429, {}, {"error": {"code": "1308", "message": words}}, now=1_754_667_600)
    assert (error.retry_after, error.stated, error.scope) == (3600, True, "account")
