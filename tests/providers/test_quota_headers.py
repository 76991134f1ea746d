"""Headers of ordinary answers as windows. P-05"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omni_connector.providers.quota_headers import MARKERS, moment, number, read

NOW = 1_800_000_000_000


def told(headers: dict[str, str], model: str = "") -> list[tuple[Any, ...]]:
    """(name, used, limit, unit, ms until it resets, state) of each window."""
    found = read(headers, NOW, model)
    assert all(window.get("model", "") == model for window in found if window["unit"] != "%")
    return [(w["name"], w["used"], w["limit"], w["unit"], w["resets_at"] - NOW, w["state"]) for w in found]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (  # OpenAI, Groq
            {
                "x-ratelimit-limit-requests": "1000",
                "x-ratelimit-remaining-requests": "989",
                "x-ratelimit-reset-requests": "15m50.4s",
                "x-ratelimit-limit-tokens": "30000",
                "x-ratelimit-remaining-tokens": "28663",
                "x-ratelimit-reset-tokens": "2.674s",
            },
            [("requests", 11, 1000, "requests", 950_400, "live"), ("tokens", 1337, 30_000, "tokens", 2674, "live")],
        ),
        (  # Cerebras: plain seconds
            {
                "x-ratelimit-limit-requests-day": "1440000",
                "x-ratelimit-remaining-requests-day": "1439999",
                "x-ratelimit-reset-requests-day": "24483.605",
            },
            [("requests/day", 1, 1_440_000, "requests", 24_483_605, "live")],
        ),
        (  # OpenRouter: epoch milliseconds
            {"x-ratelimit-limit": "1", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 5000)},
            [("requests", 1, 1, "requests", 5000, "live")],
        ),
        (  # Mistral: no reset, but a minute is over after a minute
            {"x-ratelimit-limit-tokens-minute": "100000", "x-ratelimit-remaining-tokens-minute": "99969"},
            [("tokens/minute", 31, 100_000, "tokens", 60_000, "live")],
        ),
        ({"x-ratelimit-limit-requests": "300", "x-ratelimit-remaining-requests": "0"}, []),  # xAI: nobody could say until when
        ({"x-ratelimit-limit-tokens": "-1", "x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, []),  # Azure
        (  # Together: a burst
            {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "19", "x-ratelimit-reset": "2"},
            [("requests", 0, 10, "requests", 2000, "live")],
        ),
        ({"x-ratelimit-limit": "many", "x-ratelimit-remaining": "", "x-ratelimit-reset": "soon"}, []),
        ({"content-type": "text/plain"}, []),
    ],
)
def test_rate_limits(headers: dict[str, str], expected: list[Any]) -> None:  # P-05
    assert told(headers, "a-model") == expected
    assert bool(expected) <= bool(MARKERS & headers.keys())


def test_anthropic_tells_an_absolute_end() -> None:  # P-05
    kinds = {"requests": (4000, 3999), "input-tokens": (400_000, 300_000), "output-tokens": (80_000, 0), "tokens": (480_000, 300_000)}
    headers = {
        f"anthropic-ratelimit-{kind}-{what}": text
        for kind, (limit, left) in kinds.items()
        for what, text in (("limit", str(limit)), ("remaining", str(left)), ("reset", "2027-01-15T08:00:10Z"))
    }
    assert told(headers, "claude-x") == [
        ("requests", 1, 4000, "requests", 10_000, "live"),
        ("input tokens", 100_000, 400_000, "tokens", 10_000, "live"),
        ("output tokens", 80_000, 80_000, "tokens", 10_000, "live"),
    ]
    assert [name for name, *_ in told({k: v for k, v in headers.items() if "put" not in k})] == ["requests", "tokens"]


def test_windows_of_a_plan_are_for_all_models_and_unknown_is_not_zero() -> None:  # P-05
    start = "anthropic-ratelimit-unified-"
    end = {f"{start}5h-reset": str(NOW // 1000 + 60), f"{start}7d-reset": str(NOW // 1000 + 600)}
    assert told({**end, f"{start}5h-utilization": "0.37", f"{start}7d-status": "rejected", f"{start}7d_oi-reset": "1"}, "m") == [
        ("5h", 37.0, 100.0, "%", 60_000, "live"),
        ("week", 100.0, 100.0, "%", 600_000, "live"),
    ]
    assert told({**end, f"{start}5h-status": "allowed"})[0] == ("5h", None, None, "%", 60_000, "unknown")


def test_all_recorded_headers_are_read(recordings: Path) -> None:
    counted = 0
    for path in recordings.glob("*.json"):
        headers = (json.loads(path.read_text()).get("response") or {}).get("headers") or {}
        windows = read({name.lower(): value for name, value in headers.items()}, NOW)
        assert all(0 <= window["used"] <= window["limit"] and isinstance(window["resets_at"], int) for window in windows)
        counted += bool(windows)
    assert counted > 30


def test_numbers_and_moments() -> None:
    assert [number(value) for value in ("1.5", 3, True, "nan", "1e400", None, [])] == [1.5, 3.0, None, None, None, None, None]
    assert (moment("2027-01-15T08:00:00Z"), moment("2027-01-15T08:00:00"), moment("soon"), moment(5)) == (NOW, NOW, None, None)
