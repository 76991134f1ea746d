"""Errors both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.errors import KINDS, GatewayError, Kind, ProviderFailure
from omni_connector.wire.anthropic_errors import ERROR_TYPE, error_in_answer, parse_error, render_error


def body(kind: str = "", message: str = "", **more: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}).encode()


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, body("invalid_request_error", "messages.0: Input does not match the expected shape."), Kind.BAD_REQUEST),
        (400, body("invalid_request_error", "role 'system' is not supported on this model"), Kind.BAD_REQUEST),
        (400, body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), Kind.CONTEXT_TOO_LONG),
        (400, body("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3"), Kind.CONTEXT_TOO_LONG),
        (400, body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."), Kind.ACCOUNT_UNPAID),
        (400, body("invalid_request_error", "Output blocked by content filtering policy"), Kind.CONTENT_FILTERED),
        (400, body("authentication_error", "bad key"), Kind.ACCOUNT_REJECTED),
        (400, body("not_found_error", "model: foo"), Kind.UPSTREAM_MODEL_MISSING),
        (401, body("authentication_error", "invalid x-api-key"), Kind.ACCOUNT_REJECTED),
        (402, body("billing_error", "pay"), Kind.ACCOUNT_UNPAID),
        (403, body("permission_error", "no"), Kind.ACCOUNT_FORBIDDEN),
        (403, body("permission_error", "over", details={"error_code": "organization_on_hold"}), Kind.ACCOUNT_FORBIDDEN),
        (404, body("not_found_error", "model: there-is-no-such-model"), Kind.UPSTREAM_MODEL_MISSING),
        (404, body("not_found_error", "File not found: file_1"), Kind.NOT_FOUND),
        (404, b"<html><head><title>Not here</title></head></html>", Kind.UPSTREAM_FAILED),
        (408, b"", Kind.UPSTREAM_TIMEOUT),
        (409, b"", Kind.UPSTREAM_FAILED),
        (413, body("request_too_large", "Request exceeds the maximum size"), Kind.TOO_LARGE),
        (422, b'{"detail":"x"}', Kind.BAD_REQUEST),
        (429, body("rate_limit_error", "slow down"), Kind.ACCOUNT_RATE_LIMITED),
        (429, body("rate_limit_error", "Fast mode requires extra usage credits"), Kind.BAD_REQUEST),
        (429, body("rate_limit_error", "You have reached your spend limit"), Kind.ACCOUNT_UNPAID),
        (429, b'{"error":{"code":"1113","message":"Insufficient balance"}}', Kind.ACCOUNT_UNPAID),
        (429, b'{"error":{"code":"1302","message":"Too many"}}', Kind.ACCOUNT_RATE_LIMITED),
        (429, b'{"error":{"type":"engine_overloaded_error","message":"busy"}}', Kind.UPSTREAM_OVERLOADED),
        (500, body("api_error", "Internal server error"), Kind.UPSTREAM_FAILED),
        (500, body("overloaded_error", "Overloaded"), Kind.UPSTREAM_OVERLOADED),
        (502, b"Bad Gateway", Kind.UPSTREAM_FAILED),
        (503, b"", Kind.UPSTREAM_OVERLOADED),
        (504, body("timeout_error", "late"), Kind.UPSTREAM_TIMEOUT),
        (529, body("overloaded_error", "Overloaded"), Kind.UPSTREAM_OVERLOADED),
    ],
)
def test_an_answer_is_classified_by_status_first(status: int, answer: bytes, kind: Kind) -> None:
    # O-20
    error = parse_error(status, {}, answer)
    assert (error.kind, error.upstream_status) == (kind, status)
    assert error.message


def test_words_code_field_and_request_id_are_kept() -> None:
    error = parse_error(400, {}, body("invalid_request_error", "tools.0.custom.input_schema: Input is odd.", details={"error_code": "odd"}))
    assert (error.message, error.code, error.param) == ("tools.0.custom.input_schema: Input is odd.", "odd", "tools.0.custom.input_schema")
    assert error.details == {"error_code": "odd", "request_id": "req_1"}
    assert parse_error(502, {"Request-Id": "req_2"}, b"Bad Gateway").details == {"request_id": "req_2"}
    assert parse_error(502, {}, b"Bad Gateway").message == "Bad Gateway"
    assert parse_error(404, {}, b"<html><title>Not here</title>").message == "The provider answered with a web page: Not here."
    assert parse_error(503, {}, b"\xff\xfe").message
    assert parse_error(500, {}, b"").message == "The provider answered 500 without a message."


DATE = {"Date": "Fri, 01 May 2026 10:00:00 GMT"}
LIMIT = "anthropic-ratelimit"


@pytest.mark.parametrize(
    ("headers", "seconds", "scope"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, None),
        ({"Retry-After": "7"}, 7, None),
        ({"retry-after": "Fri, 01 May 2026 10:01:00 GMT"}, 60, None),
        ({f"{LIMIT}-requests-remaining": "0", f"{LIMIT}-requests-reset": "2026-05-01T10:00:30Z"}, 30, None),
        (
            {
                f"{LIMIT}-tokens-remaining": "0",
                f"{LIMIT}-tokens-reset": "2026-05-01T10:02:00Z",
                f"{LIMIT}-input-tokens-remaining": "0",
                f"{LIMIT}-input-tokens-reset": "2026-05-01T10:05:00Z",
                f"{LIMIT}-output-tokens-remaining": "7",
                f"{LIMIT}-output-tokens-reset": "2026-05-01T11:00:00Z",
            },
            300,
            None,
        ),
        (
            {f"{LIMIT}-unified-status": "rejected", f"{LIMIT}-unified-reset": "1777633200", f"{LIMIT}-unified-5h-status": "rejected"},
            3600,
            "account",
        ),
        (
            {
                f"{LIMIT}-unified-status": "rejected",
                f"{LIMIT}-unified-reset": "1777633200",
                f"{LIMIT}-unified-5h-status": "allowed",
                f"{LIMIT}-unified-7d_oi-status": "rejected",
            },
            3600,
            "model",
        ),
        ({f"{LIMIT}-unified-representative-claim": "seven_day_opus", "retry-after": "60"}, 60, "model"),
        ({f"{LIMIT}-requests-remaining": "0", f"{LIMIT}-requests-reset": "soon"}, None, None),
        ({"retry-after": "never"}, None, None),
    ],
)
def test_the_providers_own_time_and_scope(headers: dict[str, str], seconds: float | None, scope: str | None) -> None:
    # R-11, P-09
    error = parse_error(429, {**DATE, **headers}, body("rate_limit_error", "limit"))
    assert (error.retry_after, error.stated, error.scope) == (seconds, seconds is not None, scope)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("overloaded_error", Kind.UPSTREAM_OVERLOADED),
        ("rate_limit_error", Kind.ACCOUNT_RATE_LIMITED),
        ("invalid_request_error", Kind.BAD_REQUEST),
        ("timeout_error", Kind.UPSTREAM_TIMEOUT),
        ("api_error", Kind.UPSTREAM_FAILED),
        ("new_error", Kind.UPSTREAM_FAILED),
    ],
)
def test_an_error_with_status_200_goes_by_its_type(kind: str, expected: Kind) -> None:
    assert error_in_answer({"type": "error", "error": {"type": kind, "message": "m"}}).kind is expected


def test_every_kind_has_a_face() -> None:
    # C-39…C-45
    assert ERROR_TYPE.keys() == KINDS.keys() == set(Kind)
    for kind in Kind:
        assert render_error(GatewayError(kind, "Words.")) == {
            "type": "error",
            "error": {"type": ERROR_TYPE[kind], "message": "prompt is too long: Words." if kind is Kind.CONTEXT_TOO_LONG else "Words."},
        }


def test_details_failures_and_request_id_are_told() -> None:
    failure = ProviderFailure("anthropic", "main", 529, "Overloaded", False)
    error = GatewayError(Kind.NO_ACCOUNT, "None left.", failures=[failure], details={"error_code": "x", "request_id": "req_9"})
    assert render_error(error) == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "None left.",
            "details": {"error_code": "x"},
            "provider_failures": [{"provider": "anthropic", "account": "main", "status": 529, "message": "Overloaded", "skipped": False}],
        },
        "request_id": "req_9",
    }
