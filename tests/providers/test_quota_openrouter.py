"""What is left on an OpenRouter key. P-05"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_openrouter import read, requests
from omni_connector.snapshot import Account


def test_what_is_asked() -> None:
    mine = providers.complete(Account("a", "openrouter", "a", secret="sk-or-v1-x"))
    ((method, url, headers, _),) = requests(providers.get("openrouter"), mine)
    assert (method, url, headers["authorization"]) == ("GET", "https://openrouter.ai/api/v1/key", "Bearer sk-or-v1-x")


def test_limits_and_credits() -> None:
    key = {"data": {"limit": 20, "limit_remaining": 15.5, "limit_reset": "monthly", "usage": 90.0, "is_free_tier": False}}
    bought = {"data": {"total_credits": 50, "total_usage": 12.25}}
    common = {"unit": "USD", "resets_at": None, "state": "live"}
    month = {"name": "month", "used": 4.5, "limit": 20.0, **common}
    assert read([key, bought]) == ([month, {"name": "credits", "used": 12.25, "limit": 50.0, **common}], "pay as you go")
    once = {"data": {"limit": 5, "usage": 1, "limit_reset": None, "is_free_tier": True}}
    assert read([once]) == ([{"name": "key limit", "used": 1.0, "limit": 5.0, **common}], "free tier")


@pytest.mark.parametrize("odd", [None, [], "x", {"data": []}, {"data": {"limit": None, "usage": "x"}}])
def test_no_limit_and_odd_answers_are_no_failure(odd: Any) -> None:
    assert read([odd]) == ([], "")
