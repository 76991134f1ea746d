"""What is left of a ChatGPT plan. P-05"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_codex import harvest, read, requests
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens

RESET, RESET_MS = 1_800_000_000, 1_800_000_000_000
SHORT = {"used_percent": 25, "limit_window_seconds": 18_001, "reset_after_seconds": 100, "reset_at": RESET}
WEEK = {"used_percent": 40.5, "limit_window_seconds": 604_800, "reset_at": RESET}


def window(name: str, used: float | None, **more: Any) -> dict[str, Any]:
    told = {"name": name, "used": used, "limit": 100.0, "unit": "%", "resets_at": RESET_MS, "state": "live"}
    return {**told, **more}


def test_what_is_asked() -> None:
    row = providers.get("codex")
    options = {"identity": {"account_id": "acct-7"}}
    mine = providers.complete(Account("a", "codex", "a", auth="oauth", secret=Tokens("t").encode(), options=options))
    ((method, url, headers, body),) = requests(row, mine)
    assert (method, url, body) == ("GET", "https://chatgpt.com/backend-api/wham/usage", b"")
    assert (headers["authorization"], headers["chatgpt-account-id"]) == ("Bearer t", "acct-7")
    ((_, replaced, _, _),) = requests(row, mine, {"codex": {"quota": "http://127.0.0.1:9/q"}})
    assert replaced == "http://127.0.0.1:9/q"


def test_windows_and_the_plan() -> None:
    spark = {"limit_name": "GPT-5.3-Codex-Spark", "metered_feature": "x", "rate_limit": {"primary_window": WEEK}}
    answer = {
        "plan_type": "plus",
        "rate_limit": {"allowed": True, "limit_reached": False, "primary_window": SHORT, "secondary_window": WEEK},
        "additional_rate_limits": [spark, {"name": "Cloud Tasks", "primary_window": SHORT}],
        "credits": {"has_credits": True, "unlimited": False, "balance": "12.50"},
    }
    assert read([None, answer]) == (
        [
            window("5h", 25.0),
            window("week", 40.5),
            window("week", 40.5, model="gpt-5.3-codex-spark"),
            window("5h", 25.0, model="cloud-tasks"),
            window("credits", 0.0, limit=12.5, unit="credits", resets_at=None, model="credits"),
        ],
        "plus",
    )


def test_a_plan_with_one_window_names_it_by_its_length() -> None:
    assert read([{"rate_limit": {"primary_window": WEEK, "secondary_window": None}}])[0] == [window("week", 40.5)]
    assert read([{"plan_type": "free", "rate_limit": None, "additional_rate_limits": None, "credits": None}]) == ([], "free")


def test_every_answer_tells_it_in_its_headers() -> None:
    headers = {
        "x-codex-primary-used-percent": "100",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(RESET),
        "x-codex-secondary-used-percent": "3",
        "x-codex-secondary-window-minutes": "10080",
        "x-codex-spark-primary-used-percent": "9",
        "x-codex-spark-primary-window-minutes": "300",
        "x-codex-other-primary-used-percent": "9",
        "x-codex-credits-has-credits": "true",
        "x-codex-credits-unlimited": "false",
        "x-codex-credits-balance": "3",
        "x-codex-promo-message": "…",
    }
    assert harvest(headers) == [
        window("5h", 100.0),
        window("week", 3.0, resets_at=None),
        window("5h", 9.0, resets_at=None, model="spark"),
        window("credits", 0.0, limit=3.0, unit="credits", resets_at=None, model="credits"),
    ]
    assert harvest({"content-type": "x", "x-codex-credits-has-credits": "false", "x-codex-credits-balance": "3"}) == []


@pytest.mark.parametrize(
    "odd", [None, [], "x", {"rate_limit": 5}, {"rate_limit": {"primary_window": {"used_percent": "x"}}}, {"credits": []}]
)
def test_odd_answers_are_no_failure(odd: Any) -> None:
    windows, plan = read([odd])
    assert all(one["state"] == "unknown" for one in windows) and plan == ""
