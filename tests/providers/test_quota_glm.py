"""What is left of a GLM coding plan. P-05, P-24"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector import providers
from omni_connector.providers.quota_glm import read, requests
from omni_connector.snapshot import Account

RESET_MS = 1_800_000_000_000


@pytest.mark.parametrize(
    ("region", "host"), [("zai-coding", "https://api.z.ai"), ("bigmodel-coding", "https://open.bigmodel.cn"), ("zai", ""), ("bigmodel", "")]
)
def test_what_is_asked(region: str, host: str) -> None:
    mine = providers.complete(Account("a", "glm", "a", secret="id.secret", options={"region": region}))
    asked = [(method, url, headers["authorization"]) for method, url, headers, _ in requests(providers.get("glm"), mine)]
    assert asked == ([("GET", f"{host}/api/monitor/usage/quota/limit", "id.secret")] if host else [])


def test_windows_and_the_plan() -> None:
    limits = [
        {"type": "TOKENS_LIMIT", "unit": 3, "number": 5, "percentage": 12, "nextResetTime": RESET_MS},
        {"type": "TOKENS_LIMIT", "unit": 6, "number": 1, "percentage": 40},
        {"type": "TIME_LIMIT", "unit": 5, "number": 1, "usage": 100, "currentValue": 15, "remaining": 85, "percentage": 15},
        {"type": "NEW_LIMIT", "percentage": 1},
        {"type": "TOKENS_LIMIT", "unit": 99},
    ]
    share = {"limit": 100.0, "unit": "%", "resets_at": None, "state": "live"}
    assert read([{"code": 200, "success": True, "data": {"level": "Pro", "limits": limits}}]) == (
        [
            {"name": "5h", "used": 12.0, **share, "resets_at": RESET_MS},
            {"name": "week", "used": 40.0, **share},
            {"name": "month", "used": 15.0, **share, "unit": "calls", "model": "tools"},
            {"name": "window", "used": None, **share, "limit": None, "state": "unknown"},
        ],
        "pro",
    )


@pytest.mark.parametrize("odd", [None, [], "x", {"success": False, "msg": "no plan", "data": {"limits": [{}]}}, {"data": []}])
def test_no_plan_and_odd_answers_are_no_failure(odd: Any) -> None:
    assert read([odd]) == ([], "")
