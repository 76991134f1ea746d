"""Errors of Code Assist and Antigravity, recorded and as gemini-cli reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.code_assist_errors import error_in, parse_error

RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
LINK = "https://support.google.com/accounts?p=al_alert"
NOW = 1_789_000_000.0


def body(code: int, message: str = "", reason: str = "", status: str = "RESOURCE_EXHAUSTED", delay: str = "", **metadata: str) -> Any:
    details: list[Any] = []
    if reason:
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata})
    if delay:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


def parsed(value: Any) -> GatewayError:
    return parse_error(value["error"]["code"], {}, json.dumps(value).encode(), NOW)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        (body(429, "busy", "RATE_LIMIT_EXCEEDED", delay="34.5s", quotaResetDelay="2h"), 34.5),
        (body(429, "spent", "QUOTA_EXHAUSTED", quotaResetDelay="1h2m3.5s"), 3723.5),
        (body(429, "spent", "QUOTA_EXHAUSTED", quotaResetTimeStamp="2026-09-10T00:26:41Z"), 1.0),
        (body(429, "You have exhausted your capacity on this model. Your quota will reset after 1h2m3s.", "QUOTA_EXHAUSTED"), 3723.0),
        (body(429, "Your quota will reset after 0s.", quotaResetTimeStamp="no date"), 0.0),
        (body(429, "slow down", "RATE_LIMIT_EXCEEDED"), None),
    ],
)
def test_how_long_to_wait(value: Any, wait: float | None) -> None:
    error = parsed(value)
    assert (error.kind, error.retry_after, error.stated) == (Kind.ACCOUNT_RATE_LIMITED, wait, wait is not None)


@pytest.mark.parametrize(
    ("reason", "status", "kind"),
    [
        ("MODEL_CAPACITY_EXHAUSTED", 429, Kind.UPSTREAM_OVERLOADED),
        ("MODEL_CAPACITY_EXHAUSTED", 503, Kind.UPSTREAM_OVERLOADED),
        ("INSUFFICIENT_G1_CREDITS_BALANCE", 429, Kind.ACCOUNT_UNPAID),
        ("ACCESS_TOKEN_EXPIRED", 401, Kind.ACCOUNT_REJECTED),
        ("", 404, Kind.NOT_FOUND),
        ("", 400, Kind.BAD_REQUEST),
    ],
)
def test_reasons(reason: str, status: int, kind: Kind) -> None:
    assert parsed(body(status, "no", reason)).kind is kind


@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value]])
def test_what_the_owner_must_do_is_said_with_the_address(wrap: Any) -> None:
    value = body(403, "Verify your account to continue", "VALIDATION_REQUIRED", "PERMISSION_DENIED", validation_link=LINK)
    error = parse_error(403, {}, json.dumps(wrap(value)).encode())
    assert (error.kind, error.scope, error.code) == (Kind.ACCOUNT_FORBIDDEN, "account", "VALIDATION_REQUIRED")
    assert error.message.startswith("Verify your account to continue. ") and f"open {LINK} in a browser" in error.message
    assert error.details == {"links": [LINK]}
    helped = body(403, "", "VALIDATION_REQUIRED", "PERMISSION_DENIED")
    helped["error"]["details"].append({"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": LINK}]})
    assert LINK in parsed(helped).message
    assert "open Gemini Code Assist" in parsed(body(403, "", "VALIDATION_REQUIRED")).message


def test_a_client_that_is_not_served_gets_advice() -> None:
    for value in (body(403, "No.", "UNSUPPORTED_CLIENT"), body(400, "UNSUPPORTED_CLIENT: use Antigravity")):
        error = parsed(value)
        assert (error.kind, error.scope, error.code) == (Kind.ACCOUNT_FORBIDDEN, "account", "UNSUPPORTED_CLIENT")
        assert "Standard or Enterprise" in error.message and "API key" in error.message


def test_an_error_inside_an_answer() -> None:
    found = error_in(body(403, "Verify", "VALIDATION_REQUIRED", validation_link=LINK))
    assert found is not None and LINK in found.message
    limited = error_in(body(429, "reset after 5s", "QUOTA_EXHAUSTED"))
    assert limited is not None and limited.retry_after == 5.0
    silent = error_in({"error": {"code": 500}})
    assert silent is not None and "inside its answer" in silent.message
    assert error_in({"candidates": []}) is None


@pytest.mark.parametrize("raw", [b"", b"<html><title>502</title>", b"[]", b'{"error": "x"}', b'{"error": {"details": [5, {"@type": 5}]}}'])
def test_odd_bodies(raw: bytes) -> None:
    assert parse_error(502, {}, raw).kind is Kind.UPSTREAM_FAILED


@pytest.mark.parametrize(
    ("name", "kind", "wait"),
    [
        ("cliproxy-antigravity-executor-credits-test-8ece19", Kind.ACCOUNT_RATE_LIMITED, 0.479417207),
        ("cliproxy-antigravity-executor-credits-test-4e947a", Kind.UPSTREAM_OVERLOADED, None),
        ("probea-unsigned", Kind.BAD_REQUEST, None),
    ],
)
def test_recorded_errors(name: str, kind: Kind, wait: float | None) -> None:
    found = list(RECORDINGS.glob(f"codeassist-*{name}*.json")) if RECORDINGS.is_dir() else []
    if not found:
        pytest.skip("the recordings do not stand beside this checkout")
    response = json.loads(found[0].read_text())["response"]
    error = parse_error(response["status"], response["headers"], response["body"])
    assert (error.kind, error.retry_after) == (kind, wait)
