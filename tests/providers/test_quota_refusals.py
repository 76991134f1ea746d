"""Bodies of refusals as windows. P-05"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest

from omni_connector.providers import quota_refusals
from omni_connector.providers.quota_refusals import read

NOW = round(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp() * 1000)
MIDNIGHT = round(datetime(2026, 11, 22, 8, 0, tzinfo=UTC).timestamp() * 1000)  # UTC-8 in winter


def google(*violations: Any, delay: Any = "47s") -> dict[str, Any]:
    details: list[Any] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": list(violations)},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return {"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": details}}


def violation(quota_id: str, value: str = "250", model: str = "gemini-2.5-flash") -> dict[str, Any]:
    return {"quotaId": quota_id, "quotaValue": value, "quotaDimensions": {"location": "global", "model": model}}


def test_google_names_the_quota_that_is_spent() -> None:  # P-05
    day, minute = "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "GenerateContentInputTokensPerModelPerMinute-FreeTier"
    assert read(google(violation(day), violation(minute, "250000")), NOW) == [
        {
            "name": "requests/day",
            "used": 250.0,
            "limit": 250.0,
            "unit": "requests",
            "resets_at": MIDNIGHT,
            "state": "estimated",
            "model": "gemini-2.5-flash",
        },
        {
            "name": "tokens/minute",
            "used": 250_000.0,
            "limit": 250_000.0,
            "unit": "tokens",
            "resets_at": NOW + 47_000,
            "state": "estimated",
            "model": "gemini-2.5-flash",
        },
    ]
    assert read(google(violation(day, "0"), violation("Something"), "odd", {"quotaId": day}), NOW) == []


def test_without_time_zones_a_day_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Any:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(quota_refusals, "ZoneInfo", none)
    assert read(google(violation("GenerateRequestsPerDay")), NOW) == []


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_1` service tier `on_demand` on tokens per day "
            "(TPD): Limit 100000, Used 97050, Requested 3619. Please try again in 9m38.016s. Need more tokens?",
            ("tokens/day", 97_050, 100_000, 578_016),
        ),
        (
            "Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 14567, Requested 24754. "
            "Please try again in 18.642s. Visit https://platform.openai.com/account/rate-limits to learn more.",
            ("tokens/minute", 14_567, 30_000, 18_642),
        ),
        ("Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 6294", None),
        ("You exceeded your current quota, please check your plan and billing details.", None),
    ],
)
def test_a_sentence_with_numbers(message: str, expected: Any) -> None:  # P-05
    found = read({"error": {"message": message, "type": "tokens"}}, NOW, "asked-model")
    if expected is None:
        assert found == []
    else:
        (window,) = found
        assert (window["name"], window["used"], window["limit"], window["resets_at"] - NOW) == expected
        assert (window["model"], window["state"]) == ("asked-model", "estimated")


def test_the_codex_backend_tells_an_end_and_not_which_window() -> None:
    error = {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": NOW // 1000 + 60, "resets_in_seconds": 60}
    (window,) = read({"error": error}, NOW, "gpt-5.4")
    assert (window["name"], window["used"], window["resets_at"], window.get("model")) == ("usage limit", 100.0, NOW + 60_000, None)
    assert read({"error": {"type": "usage_limit_reached", "resets_in_seconds": "5"}}, NOW)[0]["resets_at"] == NOW + 5000
    assert read({"error": {"type": "usage_limit_reached"}}, NOW) == []


@pytest.mark.parametrize(
    "odd", [None, [], "x", {}, {"error": "no"}, {"error": {"details": 5, "message": None}}, {"error": {"details": [3]}}]
)
def test_odd_bodies_say_nothing(odd: Any) -> None:
    assert read(odd, NOW) == []
