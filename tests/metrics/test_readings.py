"""What is read at the moment of a scrape."""

from __future__ import annotations

from dataclasses import replace

from omni_connector import __version__
from omni_connector.metrics import FAMILIES, Parts, readings
from omni_connector.snapshot import Cooldown

NOW = 1_800_000_000_000
PARTS = Parts(
    accounts=[("openai", "ready"), ("openai", "ready"), ("groq", "cooling")],
    cooldowns=[("groq", Cooldown("a", "", NOW + 1, "stated", "slow")), ("groq", Cooldown("a", "model:x", NOW, "guessed", "slow"))],
    jobs=[("probe", "ready"), ("probe", "dead"), ("probe", "ready")],
    in_flight=3, retrying=1, commits=10, rows=20, waiting=0, unsettled=0, memory_mb=1.5, started_at=NOW - 1000, now=NOW,
)  # fmt: skip


def test_states_are_counted() -> None:
    told = readings(PARTS)
    assert told["omni_accounts"] == {("openai", "ready"): 2, ("groq", "cooling"): 1}
    assert told["omni_cooldowns"] == {("groq", "stated"): 1}, "one that is over is none"
    assert told["omni_jobs"] == {("probe", "ready"): 2, ("probe", "dead"): 1}
    assert told["omni_requests_in_flight"] == {(): 3}
    assert told["process_resident_memory_bytes"] == {(): 1_572_864}
    assert __version__ in str(told["omni_build_info"])
    assert told.keys() <= FAMILIES.keys()


def test_what_the_system_does_not_tell_is_left_out() -> None:
    assert "process_resident_memory_bytes" not in readings(replace(PARTS, memory_mb=None))
