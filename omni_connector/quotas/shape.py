"""An account's quota as the admin API shows it. Pure."""

from __future__ import annotations

from typing import Any

from omni_connector.quotas.forecast import forecast
from omni_connector.quotas.memory import Memory
from omni_connector.quotas.windows import as_shown
from omni_connector.snapshot import Account
from omni_connector.store.jobs import JobRow

Json = dict[str, Any]
MISSED = 3
"""Polls in a row without an answer, after which what is known is stale."""
LEAST_MS = 15 * 60_000


def shape(account: Account, job: JobRow | None, now: int, interval_ms: int) -> Json:
    """`job`: that of kind "quota", where there is one. →
    {"plan", "quota": [{…window, "forecast": {"ends_at", "words"} | null}], "forecast": the soonest of those | null,
    "polled_at" ms | null, "quota_error": words | null}.
    """
    memory = Memory() if job is None else Memory.read(job.payload)
    patience = max(MISSED * interval_ms, LEAST_MS)
    old = memory.polled_at is not None and now - memory.polled_at > patience + interval_ms // 2
    windows = as_shown(account.quota, now, old=old)
    told = [{**window, "forecast": forecast(window, memory.of(window), now)} for window in windows]
    soonest = min((window["forecast"] for window in told if window["forecast"]), key=lambda one: int(one["ends_at"]), default=None)
    identity = account.options.get("identity")
    plan = identity.get("plan") if isinstance(identity, dict) else None
    return {
        "plan": plan if isinstance(plan, str) and plan else None,
        "quota": told,
        "forecast": soonest,
        "polled_at": memory.polled_at,
        "quota_error": job.last_error if job is not None else None,
    }
