"""Errors both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind, ProviderFailure
from omni_connector.wire.gemini_errors import STATUS_WORD, error_in, parse_error, render_error

RPC = "type.googleapis.com/google.rpc."
NOON = 1_780_315_200.0
"""2026-06-01T12:00:00Z"""


def body(message: str = "x", status: str = "", *details: dict[str, Any]) -> bytes:
    return json.dumps({"error": {"code": 0, "message": message, "status": status, "details": list(details)}}).encode()


def info(reason: str, **metadata: str) -> dict[str, Any]:
    return {"@type": RPC + "ErrorInfo", "reason": reason, "domain": "googleapis.com", "metadata": metadata}


def quota(*ids: str) -> dict[str, Any]:
    return {"@type": RPC + "QuotaFailure", "violations": [{"quotaId": name, "quotaMetric": "generate_requests"} for name in ids]}


def retry(delay: str) -> dict[str, Any]:
    return {"@type": RPC + "RetryInfo", "retryDelay": delay}


@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (400, body("Invalid value at 'contents'"), Kind.BAD_REQUEST),
        (400, body("API key not valid. Please pass a valid API key."), Kind.ACCOUNT_REJECTED),
        (400, body("x", "INVALID_ARGUMENT", info("API_KEY_INVALID")), Kind.ACCOUNT_REJECTED),
        (400, body("User location is not supported for the API use.", "FAILED_PRECONDITION"), Kind.ACCOUNT_FORBIDDEN),
        (400, body("Please enable billing on your project.", "FAILED_PRECONDITION"), Kind.ACCOUNT_UNPAID),
        (400, body("The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."), Kind.CONTEXT_TOO_LONG),
        (400, body("Request payload size exceeds the limit: 20971520 bytes."), Kind.TOO_LARGE),
        (400, body("Function call is missing a thought_signature in functionCall parts."), Kind.BAD_REQUEST),
        (401, body("Request had invalid authentication credentials.", "UNAUTHENTICATED"), Kind.ACCOUNT_REJECTED),
        (403, body("Your API key was reported as leaked.", "PERMISSION_DENIED"), Kind.ACCOUNT_REJECTED),
        (403, body("Generative Language API has not been used", "PERMISSION_DENIED", info("SERVICE_DISABLED")), Kind.ACCOUNT_FORBIDDEN),
        (403, body("This API method requires billing to be enabled.", "PERMISSION_DENIED"), Kind.ACCOUNT_UNPAID),
        (404, body("models/gemini-9 is not found for API version v1beta", "NOT_FOUND"), Kind.UPSTREAM_MODEL_MISSING),
        (404, body("Publisher Model `projects/p/models/gemini-9` not found.", "NOT_FOUND"), Kind.UPSTREAM_MODEL_MISSING),
        (404, body("CachedContent not found", "NOT_FOUND"), Kind.NOT_FOUND),
        (404, b"<html><title>Error 404</title>", Kind.UPSTREAM_FAILED),
        (408, b"", Kind.UPSTREAM_TIMEOUT),
        (413, b"", Kind.TOO_LARGE),
        (429, body("Resource exhausted.", "RESOURCE_EXHAUSTED"), Kind.ACCOUNT_RATE_LIMITED),
        (429, body("* Quota exceeded for metric: free_tier_requests, limit: 0, model: gemini-3-pro"), Kind.ACCOUNT_FORBIDDEN),
        (429, body("x", "", info("RATE_LIMIT_EXCEEDED", quota_limit_value="0")), Kind.ACCOUNT_FORBIDDEN),
        (429, body("limit: 05 reached"), Kind.ACCOUNT_RATE_LIMITED),
        (429, body("Your prepayment credits are depleted."), Kind.ACCOUNT_UNPAID),
        (429, body("x", "", info("INSUFFICIENT_G1_CREDITS_BALANCE")), Kind.ACCOUNT_UNPAID),
        (429, body("x", "", info("MODEL_CAPACITY_EXHAUSTED")), Kind.UPSTREAM_OVERLOADED),
        (499, body("The operation was cancelled.", "CANCELLED"), Kind.UPSTREAM_FAILED),
        (500, body("An internal error has occurred.", "INTERNAL"), Kind.UPSTREAM_FAILED),
        (502, b"Bad Gateway", Kind.UPSTREAM_FAILED),
        (503, body("The model is overloaded.", "UNAVAILABLE"), Kind.UPSTREAM_OVERLOADED),
        (504, body("Deadline expired", "DEADLINE_EXCEEDED"), Kind.UPSTREAM_TIMEOUT),
    ],
)
def test_an_answer_is_classified_by_status_first(status: int, answer: bytes, kind: Kind) -> None:
    error = parse_error(status, {}, answer)
    assert (error.kind, error.upstream_status) == (kind, status)
    assert error.message
    assert parse_error(status, {}, b"[" + answer + b"]").kind is kind or answer[:1] != b"{", "wrapped in an array it is the same"


DAY, MINUTE = "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "GenerateRequestsPerMinutePerProjectPerRegion"


@pytest.mark.parametrize(
    ("answer", "headers", "seconds", "scope"),
    [
        (body("x", "", retry("34.07s")), {}, 34.07, None),
        (body("x", "", retry("34s"), quota(MINUTE)), {"Retry-After": "9"}, 34, "account"),
        (body("x", "", quota(MINUTE)), {}, 60, "account"),
        (body("x", "", quota(MINUTE)), {"Retry-After": "9"}, 9, "account"),
        (body("x", "", info("R", quota_limit=MINUTE)), {}, 60, "account"),
        (body("x", "", info("QUOTA_EXHAUSTED", quotaResetDelay="1h2m3s")), {}, 3723, None),
        (body("Please retry in 12.5s."), {}, 12.5, None),
        (body("Please retry in 800.5ms."), {}, 0.8005, None),
        # Noon: twenty hours until 08:00 UTC; the short delay beside a daily quota is not its end.
        (body("x", "", retry("34s"), quota(DAY)), {}, 20 * 3600, "model"),
        (body("x", "", retry("90000s"), quota(DAY)), {}, 90000, "model"),
        (body("Resource exhausted."), {}, None, None),
        (body("x", "", retry("soon")), {}, None, None),
    ],
)
def test_when_to_come_back_and_whom_it_shuts_out(answer: bytes, headers: dict[str, str], seconds: float | None, scope: str | None) -> None:
    error = parse_error(429, headers, answer, NOON)
    assert error.kind is Kind.ACCOUNT_RATE_LIMITED
    assert error.retry_after == pytest.approx(seconds) if seconds is not None else error.retry_after is None
    assert (error.stated, error.scope) == (seconds is not None, scope)


def test_a_quota_of_nothing_shuts_out_the_model_only() -> None:
    error = parse_error(429, {}, body("limit: 0, model: gemini-3-pro", "", retry("30s")))
    assert (error.scope, error.retry_after, error.stated) == ("model", None, False)


def test_words_code_field_and_links_are_kept() -> None:
    violations = {"@type": RPC + "BadRequest", "fieldViolations": [{"field": "contents[0].role", "description": "x"}]}
    helping = {"@type": RPC + "Help", "links": [{"description": "x", "url": "https://example.com/help"}]}
    error = parse_error(400, {}, body("Bad role.", "INVALID_ARGUMENT", violations, helping))
    assert (error.message, error.code, error.param) == ("Bad role.", "INVALID_ARGUMENT", "contents[0].role")
    assert error.details == {"links": ["https://example.com/help"]}
    assert parse_error(502, {}, b"<title> Oh no </title>").message == "The provider answered with a web page: Oh no."
    assert parse_error(500, {}, b"").message == "The provider answered 500 without a message."
    assert parse_error(500, {}, b"\xff\xfe").message


@pytest.mark.parametrize(
    ("chunk", "kind"),
    [
        ({"error": {"code": 503, "message": "x"}}, Kind.UPSTREAM_OVERLOADED),
        ({"error": {"status": "RESOURCE_EXHAUSTED"}}, Kind.ACCOUNT_RATE_LIMITED),
        ({"error": {"code": 0, "message": "x"}}, Kind.UPSTREAM_FAILED),
        ({"error": "words"}, Kind.UPSTREAM_FAILED),
        ({"error": None}, None),
        ({"candidates": []}, None),
        ([], None),
    ],
)
def test_errors_inside_an_answer(chunk: Any, kind: Kind | None) -> None:
    found = error_in(chunk)
    assert (found.kind if found else None) == kind
    assert found is None or found.message


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_status_word(kind: Kind) -> None:
    error = GatewayError(kind, "Words for a person.")
    rendered = render_error(error)["error"]
    assert (rendered["code"], rendered["status"]) == (error.status, STATUS_WORD[kind])
    assert "Words for a person." in rendered["message"]
    assert rendered["details"][0]["reason"] == kind.value.upper()


def test_details_of_our_errors() -> None:
    error = GatewayError(
        Kind.NO_ACCOUNT, "None left.", param="model", retry_after=12.5, failures=[ProviderFailure("gemini", "main", 429, "slow", False)]
    )
    assert render_error(error) == {
        "error": {
            "code": 503,
            "message": "None left.",
            "status": "UNAVAILABLE",
            "details": [
                {"@type": RPC + "ErrorInfo", "reason": "NO_ACCOUNT", "domain": "omni-connector"},
                {"@type": RPC + "BadRequest", "fieldViolations": [{"field": "model", "description": "None left."}]},
                {"@type": RPC + "RetryInfo", "retryDelay": "12.5s"},
            ],
            "provider_failures": [{"provider": "gemini", "account": "main", "status": 429, "message": "slow", "skipped": False}],
        }
    }
    assert "exceeds the maximum number of tokens" in render_error(GatewayError(Kind.CONTEXT_TOO_LONG, "Too much."))["error"]["message"]
