"""What a new answer makes of the windows that are known. P-05"""

from __future__ import annotations

from typing import Any

from omni_connector.quotas.windows import MOST_HEARD, as_shown, is_news, merge, overheard, stale

NOW = 1_800_000_000_000
HOUR = 3_600_000


def window(name: str = "5h", used: Any = 10, limit: Any = 100, end: Any = HOUR, **more: Any) -> dict[str, Any]:
    """`end`: ms from now."""
    ends = None if end is None else NOW + end
    return {"name": name, "used": used, "limit": limit, "unit": "%", "resets_at": ends, "state": "live", **more}


HEARD = {"source": "headers"}


def test_a_poll_replaces_what_it_asked_for_and_leaves_what_was_overheard() -> None:
    stored = [window("5h"), window("week"), window("requests", model="a", **HEARD)]
    assert merge(stored, [window("5h", 20)]) == [window("5h", 20), stored[2]]
    assert merge(stored, [window("5h", 20)], whole=False) == [window("5h", 20), stored[1], stored[2]], "half an answer takes nothing away"
    assert merge([], [window("5h", model="a"), window("5h", model="b")]) == [window("5h", model="a"), window("5h", model="b")]


def test_what_is_overheard_finds_its_window() -> None:
    stored = [window("5h"), window("requests", model="a", **HEARD), window("tokens", end=-2 * HOUR, model="old", **HEARD)]
    found = overheard(stored, [window("5h", 30), window("requests", 5, model="a"), window("requests", 6, model="b")], NOW)
    assert found == [window("5h", 30), window("requests", 5, model="a", **HEARD), window("requests", 6, model="b", **HEARD)]
    many = [window("requests", model=f"m{n}", end=n) for n in range(MOST_HEARD + 5)]
    assert [row["model"] for row in overheard([window("5h")], many, NOW)[1:]] == [f"m{n}" for n in range(5, MOST_HEARD + 5)]


def test_only_news_is_written() -> None:
    stored = [window("5h", 10)]
    assert not is_news(stored, [window("5h", 10, end=HOUR + 30_000)], NOW), "clocks differ"
    for fresh in (
        [window("5h", 11)],
        [window("5h", 10, end=2 * HOUR)],
        [window("5h", 10, end=None)],
        [],
        [window("5h", 10, state="stale")],
    ):
        assert is_news(stored, fresh, NOW), fresh
    heard = [window("requests", 11, **HEARD)]
    assert not is_news(heard, [window("requests", 14, end=2 * HOUR, **HEARD)], NOW), "small moves of a rate are not"
    assert is_news(heard, [window("requests", 15, **HEARD)], NOW)
    assert is_news([window("requests", 11, end=-5, **HEARD)], [window("requests", 11, **HEARD)], NOW), "the next minute, as busy"
    assert not is_news([window("requests", 1, end=-5, **HEARD)], [window("requests", 2, **HEARD)], NOW), "the next one, as calm"


def test_as_people_see_them() -> None:  # P-05
    rows = [
        window("5h", end=-1),
        window("week", None, state="unknown", end=-1),
        window("requests", end=-2 * HOUR, **HEARD),
        window("tokens", **HEARD),
    ]
    assert as_shown(rows, NOW) == [
        window("5h", 0, end=None, state="stale"),
        window("week", None, end=None, state="unknown"),
        window("tokens"),
    ]
    assert [row["state"] for row in as_shown([window("5h"), window("x", state="unknown"), window("t", **HEARD)], NOW, old=True)] == [
        "stale",
        "unknown",
        "live",
    ]
    assert [row["state"] for row in stale([window("5h"), window("t", **HEARD), window("x", state="estimated")])] == [
        "stale",
        "live",
        "estimated",
    ]
