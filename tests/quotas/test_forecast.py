"""Looking ahead, only where it means something. P-05"""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.quotas.forecast import MOST_SEEN, Seen, forecast, note

NOW = 1_795_000_000_000  # 2026-11-18 11:06:40 UTC
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def window(used: Any, end: Any = 5 * HOUR, **more: Any) -> dict[str, Any]:
    ends = None if end is None else NOW + end
    return {"name": "5h", "used": used, "limit": 100, "unit": "%", "resets_at": ends, "state": "live", **more}


def seen(*points: tuple[int, float]) -> list[Seen]:
    """(minutes ago, used)"""
    return [(NOW - minutes * MINUTE, used) for minutes, used in points]


def test_a_steady_pace_in_words() -> None:  # P-05
    found = forecast(window(60), seen((60, 20), (30, 40), (0, 60)), NOW, UTC)
    assert found == {"ends_at": NOW + HOUR, "words": "5h window ends 12:06 at this pace"}
    named = forecast(window(60, None, model="claude-*"), seen((240, 50), (0, 60)), NOW, UTC)
    assert named == {"ends_at": NOW + 16 * HOUR, "words": "5h window of claude-* ends 03:06 at this pace"}
    far = forecast(window(50, None, name="week"), seen((2880, 10), (0, 50)), NOW, UTC)
    assert far == {"ends_at": NOW + 60 * HOUR, "words": "week window ends Fri 23:06 at this pace"}


def test_the_last_hour_counts_more_than_a_calm_day() -> None:
    found = forecast(window(70, None), seen((600, 10), (300, 10), (55, 20), (0, 70)), NOW)
    assert found is not None
    assert found["ends_at"] == NOW + 33 * MINUTE


@pytest.mark.parametrize(
    ("row", "points"),
    [
        (window(60), [(0, 60)]),  # seen once
        (window(60), [(5, 20), (0, 60)]),  # for too short
        (window(21), [(30, 20), (0, 21)]),  # one step of a percentage
        (window(60, 30 * MINUTE), [(60, 20), (0, 60)]),  # it begins anew before
        (window(30, None), [(10, 28), (0, 30)]),  # further away than anybody could say
        (window(60), [(60, 60), (0, 60)]),  # nothing is used
        (window(100), [(60, 20), (0, 100)]),  # it is spent
        (window(60, -1), [(60, 20), (0, 60)]),  # it is over
        (window(60, state="stale"), [(60, 20), (0, 60)]),
        (window(None, state="unknown"), [(60, 20), (0, 60)]),
        ({**window(60), "limit": None}, [(60, 20), (0, 60)]),
    ],
)
def test_silence_where_it_would_mean_nothing(row: Any, points: Any) -> None:
    assert forecast(row, seen(*points), NOW) is None


def test_what_is_seen_begins_anew_with_the_window() -> None:
    assert note(seen((10, 90)), NOW, 3) == [(NOW, 3)]
    assert note(seen((10, 3)), NOW, 5, ended=True) == [(NOW, 5)]
    assert note([], NOW, 5) == [(NOW, 5)]


@given(st.integers(0, 400))
def test_the_ring_stays_small_and_reaches_ever_further_back(count: int) -> None:
    ring: list[Seen] = []
    for step in range(count):
        ring = note(ring, step * MINUTE, float(step))
    assert len(ring) <= MOST_SEEN
    assert ring == sorted(set(ring))
    if count:
        assert (ring[0][0], ring[-1][0]) == (0, (count - 1) * MINUTE)
