from __future__ import annotations

from typing import Any

from omni_connector.quotas import Memory, shape
from omni_connector.snapshot import Account
from omni_connector.store.jobs import JobRow

NOW = 1_800_000_000_000
MINUTE, HOUR = 60_000, 3_600_000
EVERY = 5 * MINUTE
WINDOW: Any = {"name": "5h", "used": 60.0, "limit": 100.0, "unit": "%", "resets_at": NOW + 5 * HOUR, "state": "live"}


def job(polled_at: int, error: str | None = None) -> JobRow:
    memory = Memory(polled_at=polled_at, seen={"5h\n": (NOW + 5 * HOUR, ((NOW - HOUR, 20.0), (NOW, 60.0)))})
    return JobRow("job_1", "quota", "acc_1", NOW, payload=memory.payload(), last_error=error)


def account(**more: Any) -> Account:
    return Account("acc_1", "codex", "me", **{"quota": (WINDOW,), "options": {"identity": {"plan": "plus"}}, **more})


def test_windows_plan_and_forecast() -> None:  # P-05
    told = shape(account(), job(NOW - MINUTE), NOW, EVERY)
    assert (told["plan"], told["polled_at"], told["quota_error"]) == ("plus", NOW - MINUTE, None)
    assert told["forecast"]["ends_at"] == NOW + HOUR
    assert told["quota"] == [{**WINDOW, "forecast": told["forecast"]}]


def test_what_nobody_has_confirmed_for_three_polls_is_stale() -> None:  # P-05
    told = shape(account(), job(NOW - 30 * MINUTE, "it is down"), NOW, EVERY)
    assert (told["quota"][0]["state"], told["forecast"], told["quota_error"]) == ("stale", None, "it is down")
    assert shape(account(), job(NOW - 16 * MINUTE), NOW, EVERY)["quota"][0]["state"] == "live"
    assert shape(account(), job(NOW - 16 * MINUTE), NOW, 0)["quota"][0]["state"] == "stale", "nobody is asked any more"


def test_without_a_poll_nothing_is_made_up() -> None:
    told = shape(account(quota=(), options={}), None, NOW, EVERY)
    assert told == {"plan": None, "quota": [], "forecast": None, "polled_at": None, "quota_error": None}
