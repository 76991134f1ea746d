from __future__ import annotations

import pytest

from omni_connector.wire.retry_after import go_duration, in_words, stated_wait

NOW = 1_754_667_600.0


@pytest.mark.parametrize(
    ("headers", "text", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, "", 1.5),
        ({"retry-after": "8"}, "try again in 3s", 8.0),
        ({"retry-after": "0.25"}, "", 0.25),
        ({"retry-after": "-3"}, "", 0.0),
        ({"retry-after": "Fri, 08 Aug 2025 15:41:00 GMT", "date": "Fri, 08 Aug 2025 15:40:00 GMT"}, "", 60.0),
        ({"retry-after": "Fri, 08 Aug 2025 15:39:00 GMT", "date": "Fri, 08 Aug 2025 15:40:00 GMT"}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        # Some write the moment instead of the seconds; nobody means thirty years.
        ({"retry-after": "1754667690"}, "", 90.0),
        ({"retry-after": "1754667690000"}, "", 90.0),
        ({"retry-after": "1600000000"}, "", 0.0),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "6m0s",
                "x-ratelimit-remaining-tokens": "900",
                "x-ratelimit-reset-tokens": "9h",
            },
            "",
            360.0,
        ),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, "", 0.12),
        ({"x-ratelimit-remaining-requests-day": "0", "x-ratelimit-reset-requests-day": "33011.5"}, "", 33011.5),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1754667660000"}, "", 60.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1754667630"}, "", 30.0),
        # A reset that is over says nothing: a guess is better than a stated zero.
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1600000000000"}, "", None),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1s"}, "", None),
        ({}, "Rate limit reached … Please try again in 1.5s. Visit …", 1.5),
        ({}, "Please retry in 34.07s.", 34.07),
        ({}, '"retryDelay": "34s"', 34.0),
        ({}, "Slow down", None),
        # Z.ai, plan windows: its own time zone, unless it says another.
        ({}, "Usage limit reached for 5 hour. Your limit will reset at 2025-08-09 00:40:00", 3600.0),
        ({}, "Usage limit reached for 5 hour. Your limit will reset at 2025-08-08T16:40:00Z", 3600.0),
        ({}, "您的限额将在 2025-08-09 00:40:00 重置", 3600.0),
        ({}, "Your limit will reset at 2025-08-08 10:00:00", None),
        ({}, "Your limit will reset at 2025-13-08 10:00:00", None),
    ],
)
def test_stated_wait(headers: dict[str, str], text: str, seconds: float | None) -> None:
    now = None if "date" in headers else NOW
    found = stated_wait(headers, text, now)
    assert found == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("2d", 172800), ("", None), ("6 minutes", None), ("5", None)],
)
def test_go_durations(text: str, seconds: float | None) -> None:
    assert go_duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("try again in 20ms", 0.02),
        ("try again in 1m30s", 90),
        ("Try again in 2 minutes 5 seconds", 125),
        ("retry after 5 seconds", 5),
        ("wait for 1h", 3600),
        ("Please try again in 2 days 3 hrs.", 183_600),
        ("try again later", None),
        ("used 5s of quota", None),
    ],
)
def test_in_words(text: str, seconds: float | None) -> None:
    assert in_words(text) == (None if seconds is None else pytest.approx(seconds))
