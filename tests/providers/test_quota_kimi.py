"""What is left of a Kimi coding plan. P-05"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_kimi import read, requests
from omni_connector.snapshot import Account

RESET, RESET_MS = "2027-01-15T08:00:00Z", 1_800_000_000_000


def test_what_is_asked() -> None:
    mine = providers.complete(Account("a", "kimi-code", "a", secret="sk-kimi-1"))
    ((method, url, headers, _),) = requests(providers.get("kimi-code"), mine)
    assert (method, url, headers["authorization"]) == ("GET", "https://api.kimi.com/coding/v1/usages", "Bearer sk-kimi-1")


def test_windows_and_the_plan() -> None:
    short = {"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"}, "detail": {"limit": "100", "remaining": "80", "resetTime": RESET}}
    answer = {
        "user": {"membership": {"level": "LEVEL_INTERMEDIATE"}},
        "usage": {"limit": "1000", "used": "250", "remaining": "750", "resetTime": RESET},
        "limits": [short, {"window": {"duration": 1, "timeUnit": "TIME_UNIT_DAY"}, "detail": {"limit": 500}}, {"window": {}}],
    }
    common = {"unit": "requests", "resets_at": RESET_MS, "state": "live"}
    assert read([answer]) == (
        [
            {"name": "5h", "used": 20.0, "limit": 100.0, **common},
            {"name": "day", "used": None, "limit": 500.0, **common, "resets_at": None, "state": "unknown"},
            {"name": "week", "used": 250.0, "limit": 1000.0, **common},
        ],
        "intermediate",
    )


@pytest.mark.parametrize("odd", [None, [], "x", {"limits": 5, "usage": "x"}, {"limits": [None, {"detail": []}], "user": []}])
def test_odd_answers_are_no_failure(odd: Any) -> None:
    assert read([odd]) == ([], "")
