"""What this API and the Codex backend say beyond the chat format's errors (C-39…C-47)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.openai_responses_errors import answer_error, failed_body, parse_error


def test_a_used_up_plan_waits_until_its_window_opens() -> None:
    body = {"error": {"type": "usage_limit_reached", "message": "Limit reached.", "plan_type": "plus", "resets_in_seconds": 3600}}
    error = parse_error(429, {}, json.dumps(body).encode())
    assert (error.kind, error.scope, error.retry_after, error.stated) == (Kind.ACCOUNT_RATE_LIMITED, "account", 3600.0, True)
    dated = {"error": {"type": "usage_limit_reached", "message": "x", "resets_at": 1_790_000_060}}
    assert parse_error(429, {}, dated, now=1_790_000_000).retry_after == 60.0
    assert parse_error(429, {}, {"error": {"type": "usage_limit_reached", "resets_in_seconds": True}}).stated is False


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"type": "usage_not_included", "message": "x"}, Kind.ACCOUNT_UNPAID),
        (429, {"code": "rate_limit_exceeded", "message": "Please try again in 1.5s."}, Kind.ACCOUNT_RATE_LIMITED),
        (503, {"code": "server_is_overloaded", "message": "x"}, Kind.UPSTREAM_OVERLOADED),
        (400, {"message": "Selected model is at capacity. Try another."}, Kind.UPSTREAM_OVERLOADED),
        (400, {"code": "context_length_exceeded", "message": "x"}, Kind.CONTEXT_TOO_LONG),
        (400, {"code": "cyber_policy", "message": "x"}, Kind.CONTENT_FILTERED),
        (400, {"code": "invalid_prompt", "message": "Your prompt was flagged."}, Kind.CONTENT_FILTERED),
        (400, {"code": "invalid_prompt", "message": "Odd."}, Kind.BAD_REQUEST),
        (400, {"code": "invalid_encrypted_content", "message": "x"}, Kind.BAD_REQUEST),
        (401, {"message": "x"}, Kind.ACCOUNT_REJECTED),
        (400, {"type": "server_error", "message": "tools: 200 are too many"}, Kind.BAD_REQUEST),  # clients.md finding 13
        (500, {"type": "server_error", "message": "x"}, Kind.UPSTREAM_FAILED),
    ],
)
def test_error_answers(status: int, error: dict[str, Any], kind: Kind) -> None:
    found = parse_error(status, {}, {"error": error})
    assert (found.kind, found.upstream_status) == (kind, status)


def test_the_backends_detail_bodies() -> None:
    error = parse_error(401, {}, b'{"detail": "Could not parse your authentication token."}')
    assert (error.kind, error.message) == (Kind.ACCOUNT_REJECTED, "Could not parse your authentication token.")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", Kind.UPSTREAM_FAILED),
        ("rate_limit_exceeded", Kind.ACCOUNT_RATE_LIMITED),
        ("insufficient_quota", Kind.ACCOUNT_UNPAID),
        ("server_is_overloaded", Kind.UPSTREAM_OVERLOADED),
        ("context_length_exceeded", Kind.CONTEXT_TOO_LONG),
        ("invalid_image_url", Kind.BAD_REQUEST),
        ("bio_policy", Kind.CONTENT_FILTERED),
        ("something_new", Kind.UPSTREAM_FAILED),
    ],
)
def test_errors_inside_an_answer(code: str, kind: Kind) -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": code, "message": "Because."}}}
    bare = {"type": "error", "code": code, "message": "Because.", "param": None, "sequence_number": 3}
    nested = {"type": "error", "error": {"code": code, "message": "Because."}}
    for data in (failed, bare, nested, failed["response"]):
        error = answer_error(data)
        assert (error.kind, error.message) == (kind, "Because.")
        assert error.retry_after is None


@pytest.mark.parametrize(
    "data", [None, [], {}, {"type": "response.failed"}, {"response": {"error": None}}, {"type": "error"}, {"error": 3}]
)
def test_a_failure_without_words_is_still_one(data: Any) -> None:
    error = answer_error(data)
    assert error.kind is Kind.UPSTREAM_FAILED
    assert error.message


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_can_be_told_inside_a_stream(kind: Kind) -> None:
    body = failed_body(GatewayError(kind, "Because."))
    assert body["message"] == "Because."
    assert body["code"] in {"server_error", "invalid_prompt", "rate_limit_exceeded", "context_length_exceeded", "server_is_overloaded"}


def test_the_providers_own_word_stays_for_the_callers_faults() -> None:
    assert failed_body(GatewayError(Kind.BAD_REQUEST, "x", code="image_too_large"))["code"] == "image_too_large"
    assert failed_body(GatewayError(Kind.ACCOUNT_UNPAID, "x", code="usage_not_included"))["code"] == "server_error"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "response", "type", "code", "message", "resets_at", "resets_in_seconds"]), inner, max_size=4
        )
    ),
)


@given(st.integers(0, 600), _json)
def test_any_body_is_an_error(status: int, body: Any) -> None:
    assert parse_error(status, {}, body, now=0.0).message
    assert answer_error(body, now=0.0).message


@pytest.mark.parametrize(
    ("status", "code", "kind", "scope"),
    [
        (403, "subscription_sharing_user_not_eligible", Kind.ACCOUNT_FORBIDDEN, "account"),
        (429, "subscription_sharing_usage_limit_exceeded", Kind.ACCOUNT_RATE_LIMITED, "account"),
        (503, "subscription_sharing_usage_unavailable", Kind.UPSTREAM_OVERLOADED, None),
        (503, "subscription_sharing_user_unavailable", Kind.UPSTREAM_OVERLOADED, None),
        (400, "subscription_sharing_unsupported_capability", Kind.BAD_REQUEST, None),
        (403, "subscription_sharing_route_not_supported", Kind.ACCOUNT_FORBIDDEN, None),
        (401, "subscription_sharing_invalid_user", Kind.ACCOUNT_REJECTED, None),
        (403, "chatpass_v2_scope_not_authorized", Kind.ACCOUNT_REJECTED, None),
        (400, "invalid_encrypted_content", Kind.BAD_REQUEST, None),
    ],
)
def test_a_shared_plan_says_why_in_every_place(status: int, code: str, kind: Kind, scope: str | None) -> None:  # upstreams.md §6B
    said = {"code": code, "message": "No.", "type": "invalid_request_error", "param": None}
    for error in (
        parse_error(status, {}, {"error": said}),
        parse_error(status, {}, json.dumps({"detail": said}).encode()),
        answer_error({"type": "response.failed", "response": {"status": "failed", "error": said}}),
    ):
        assert (error.kind, error.code, error.scope) == (kind, code, scope)
        assert error.retry_after is None and error.message.startswith("No")
    if code.endswith("usage_limit_exceeded"):
        assert "https://chatgpt.com/settings/usage" in error.message


def test_a_bare_detail_is_read() -> None:  # upstreams.md §6A
    assert parse_error(403, {}, b'{"detail": "serving region not permitted"}').message == "serving region not permitted"
    assert parse_error(401, {}, {"detail": [{"loc": ["x"], "msg": "odd"}]}).kind is Kind.ACCOUNT_REJECTED
