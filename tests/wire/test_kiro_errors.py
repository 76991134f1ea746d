"""Errors of Kiro: the reason, then the type, then the status. P-02, P-22"""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.errors import Kind
from omni_connector.wire.event_stream import Frame
from omni_connector.wire.kiro_errors import error_in, parse_error

NOW = 1_780_000_000.0


def said(name: str = "", message: str = "No.", **more: Any) -> bytes:
    return json.dumps({**({"__type": f"com.amazon.x#{name}"} if name else {}), "message": message, **more}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said("ValidationException", "Improperly formed request."), Kind.BAD_REQUEST),
        (400, said("ValidationException", "Input is too long."), Kind.CONTEXT_TOO_LONG),
        (400, said("ValidationException", reason="CONTENT_LENGTH_EXCEEDS_THRESHOLD"), Kind.CONTEXT_TOO_LONG),
        (400, said("ValidationException", "Invalid model. Please select a different model."), Kind.UPSTREAM_MODEL_MISSING),
        (400, said("ValidationException", reason="INVALID_MODEL_ID"), Kind.UPSTREAM_MODEL_MISSING),
        (400, said("ThrottlingException", "Rate exceeded"), Kind.ACCOUNT_RATE_LIMITED),
        (400, said("ThrottlingException", reason="INSUFFICIENT_MODEL_CAPACITY"), Kind.UPSTREAM_OVERLOADED),
        (400, said("ServiceQuotaExceededException", reason="MONTHLY_REQUEST_COUNT"), Kind.ACCOUNT_RATE_LIMITED),
        (400, said("ExpiredTokenException"), Kind.ACCOUNT_REJECTED),
        (401, said("UnauthorizedException"), Kind.ACCOUNT_REJECTED),
        (401, b"", Kind.ACCOUNT_REJECTED),
        (401, said("AccessDeniedException"), Kind.ACCOUNT_REJECTED),
        (403, said("AccessDeniedException", "The bearer token included in the request is invalid."), Kind.ACCOUNT_REJECTED),
        (403, said("AccessDeniedException", "The security token included in the request is expired"), Kind.ACCOUNT_REJECTED),
        (403, said("AccessDeniedException", "User is not authorized to make this call."), Kind.ACCOUNT_FORBIDDEN),
        (403, said("AccessDeniedException", reason="TEMPORARILY_SUSPENDED"), Kind.ACCOUNT_FORBIDDEN),
        (402, said(reason="MONTHLY_REQUEST_COUNT"), Kind.ACCOUNT_RATE_LIMITED),
        (402, said(), Kind.ACCOUNT_UNPAID),
        (404, said("ResourceNotFoundException"), Kind.UPSTREAM_FAILED),
        (408, b"", Kind.UPSTREAM_TIMEOUT),
        (413, b"<html>too large</html>", Kind.TOO_LARGE),
        (418, b"", Kind.UPSTREAM_FAILED),
        (429, said("ThrottlingException"), Kind.ACCOUNT_RATE_LIMITED),
        (429, said("ThrottlingException", reason="INSUFFICIENT_MODEL_CAPACITY"), Kind.UPSTREAM_OVERLOADED),
        (500, said("InternalServerException"), Kind.UPSTREAM_OVERLOADED),
        (503, b"", Kind.UPSTREAM_OVERLOADED),
        (504, b"", Kind.UPSTREAM_TIMEOUT),
    ],
)
def test_what_each_means(status: int, body: bytes, kind: Kind) -> None:
    found = parse_error(status, {}, body, NOW)
    assert (found.kind, found.upstream_status) == (kind, status) and found.message


def test_the_type_may_stand_in_a_header() -> None:
    headers = {"x-amzn-ErrorType": "ThrottlingException:http://internal.amazon.com/coral/"}
    found = parse_error(400, headers, b'{"message":"slow down"}', NOW)
    assert (found.kind, found.code) == (Kind.ACCOUNT_RATE_LIMITED, "ThrottlingException")


def test_a_used_up_month_says_until_when() -> None:
    found = parse_error(402, {}, said(reason="MONTHLY_REQUEST_COUNT", nextDateReset=NOW + 1000), NOW)
    assert (found.retry_after, found.stated, found.scope, found.code) == (1000, True, "account", "MONTHLY_REQUEST_COUNT")
    for odd in (NOW - 1, NOW * 1000, "soon", True, None):
        found = parse_error(402, {}, said(reason="MONTHLY_REQUEST_COUNT", nextDateReset=odd), NOW)
        assert (found.retry_after, found.stated) == (None, False)
    assert parse_error(429, {"Retry-After": "7"}, said("ThrottlingException"), NOW).retry_after == 7


def test_words_that_help() -> None:
    assert "histories" in parse_error(400, {}, said(message="Improperly formed request."), NOW).message
    assert parse_error(500, {}, b"<html>x</html>", NOW).message == "an HTML page instead of JSON"
    assert "503 without a message" in parse_error(503, {}, None, NOW).message
    assert parse_error(500, {}, {"error": {"message": "inner"}}, NOW).message == "inner"
    assert parse_error(500, {}, "plain", NOW).message == "plain"


def test_inside_a_stream() -> None:
    assert error_in(Frame({":message-type": "event", ":event-type": "x"}, b"{}")) is None and error_in(Frame({}, b"")) is None
    headers = {":message-type": "exception", ":exception-type": "throttlingException"}
    found = error_in(Frame(headers, b'{"message":"Too many requests, please wait 5 seconds."}'), NOW)
    assert found is not None
    assert (found.kind, found.upstream_status, found.retry_after, found.code) == (Kind.ACCOUNT_RATE_LIMITED, None, 5, "ThrottlingException")
    found = error_in(Frame({":message-type": "error", ":error-code": "InternalServerException", ":error-message": "Oh no."}, b""), NOW)
    assert found is not None and (found.kind, found.message) == (Kind.UPSTREAM_OVERLOADED, "Oh no.")
    found = error_in(Frame({":message-type": "error"}, b""), NOW)
    assert found is not None and found.kind is Kind.UPSTREAM_FAILED and "without a message" in found.message
