"""Quota answers of Code Assist and Antigravity as windows. P-05"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_code_assist import read, requests
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens

RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
RESET = "2026-09-11T01:30:48Z"
RESET_MS = 1789090248000


def account(provider: str, **options: Any) -> Account:
    made = Account("acc_1", provider, "me", auth="oauth", secret=Tokens("ya29.t").encode(), options=options)
    return providers.complete(made)


def asked(provider: str, endpoints: Any = {}, **options: Any) -> list[tuple[str, Any]]:
    questions = requests(providers.get(provider), account(provider, **options), endpoints)
    assert all(method == "POST" and headers["authorization"] == "Bearer ya29.t" for method, _, headers, _ in questions)
    return [(url, json.loads(body)) for _, url, _, body in questions]


def test_what_is_asked() -> None:
    plain = asked("gemini-cli", project="p-1")
    assert [url for url, _ in plain] == [
        f"https://cloudcode-pa.googleapis.com/v1internal:{call}" for call in ("retrieveUserQuota", "loadCodeAssist")
    ]
    assert plain[0][1] == {"project": "p-1"} and plain[1][1]["mode"] == "HEALTH_CHECK"
    variant = asked("antigravity")
    assert variant[0] == ("https://daily-cloudcode-pa.googleapis.com/v1internal:retrieveUserQuotaSummary", {})
    assert asked("antigravity", endpoints={"quota": "http://127.0.0.1:1/v1internal"})  # options.endpoints wins over the row
    assert asked("antigravity", {"antigravity": {"quota": "http://127.0.0.1:1"}})[0][0].startswith("http://127.0.0.1:1/v1internal:")


def test_the_recorded_summary() -> None:
    found = list(RECORDINGS.glob("codeassist-quota--*.json")) if RECORDINGS.is_dir() else []
    if not found:
        pytest.skip("the recordings do not stand beside this checkout")
    windows, plan = read([json.loads(found[0].read_text())["response"]["body"]])
    assert plan == ""
    assert [(one["name"], one["model"], one["used"]) for one in windows] == [
        ("week", "gemini-*", 97.44),
        ("5h", "gemini-*", 0.72),
        ("week", "claude-*", 9.25),
        ("week", "gpt-*", 9.25),
        ("5h", "claude-*", 3.84),
        ("5h", "gpt-*", 3.84),
    ]
    assert all((one["limit"], one["unit"], one["state"]) == (100.0, "%", "live") for one in windows)
    assert windows[0]["resets_at"] == RESET_MS


def test_buckets_of_models_and_the_plan() -> None:
    buckets = [
        {"modelId": "gemini-2.5-pro", "tokenType": "REQUESTS", "remainingAmount": "375", "remainingFraction": 0.25, "resetTime": RESET},
        {"modelId": "gemini-2.5-flash", "remainingFraction": 0.0, "remainingAmount": "0", "resetTime": "soon"},
        {"modelId": "gemini-3-pro-preview"},
    ]
    credit = {"creditType": "GOOGLE_ONE_AI", "creditAmount": "120"}
    windows, plan = read([{"paidTier": {"id": "g1-pro-tier", "name": "Google AI Pro", "availableCredits": [credit]}}, {"buckets": buckets}])
    assert plan == "Google AI Pro"
    assert windows == [
        {"name": "credits GOOGLE_ONE_AI", "used": 0.0, "limit": 120.0, "unit": "credits", "resets_at": None, "state": "live"},
        {
            "name": "day",
            "used": 1125.0,
            "limit": 1500,
            "unit": "requests",
            "resets_at": RESET_MS,
            "state": "live",
            "model": "gemini-2.5-pro",
        },
        {"name": "day", "used": 100.0, "limit": 100.0, "unit": "%", "resets_at": None, "state": "live", "model": "gemini-2.5-flash"},
        {"name": "day", "used": None, "limit": None, "unit": "%", "resets_at": None, "state": "unknown", "model": "gemini-3-pro-preview"},
    ]


def test_the_model_list_stands_in_where_there_are_no_groups() -> None:
    models = {"gemini-3-flash": {"quotaInfo": {"remainingFraction": 0.5, "resetTime": RESET}}, "tab_x": {}}
    windows, _ = read([{"models": models}])
    assert [(one["model"], one["used"]) for one in windows] == [("gemini-3-flash", 50.0)]
    assert read([{"models": models}, {"groups": []}]) == ([], "")


@pytest.mark.parametrize("odd", [None, [], "x", {"groups": 5}, {"buckets": [None, {"remainingFraction": "x"}]}, {"paidTier": []}])
def test_odd_answers_are_no_failure(odd: Any) -> None:
    windows, plan = read([odd])
    assert all(one["state"] == "unknown" for one in windows) and plan == ""


def test_a_group_that_is_off_is_no_window() -> None:
    bucket = {"bucketId": "gemini-5h", "window": "5h", "remainingFraction": 1, "disabled": True}
    assert read([{"groups": [{"buckets": [bucket, {"bucketId": "new-1", "window": "weekly", "remainingFraction": 2}]}]}])[0] == [
        {"name": "week", "used": 0.0, "limit": 100.0, "unit": "%", "resets_at": None, "state": "live"}
    ]
