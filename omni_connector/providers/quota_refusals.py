"""What is left, as the body of a 429 tells it. Pure.

Forms: Google's QuotaFailure (which of a project's quotas, and its size), the sentence of OpenAI and Groq ("… on tokens per day (TPD):
Limit 100000, Used 97050, Requested 3619. Please try again in 9m38s"), and the Codex backend's `usage_limit_reached`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from omni_connector.providers.quota_headers import LENGTHS_MS, number
from omni_connector.wire.retry_after import go_duration, in_words

Json = dict[str, Any]

LENGTHS: Mapping[str, str] = {"min": "minute", "minute": "minute", "hour": "hour", "day": "day"}
_SENTENCE = re.compile(
    r"\bon (?P<unit>tokens|requests) per (?P<length>min|minute|hour|day) \([A-Z]+\): "
    r"Limit:? (?P<limit>\d+), Used:? (?P<used>\d+)\b",
    re.IGNORECASE,
)
_ID = re.compile(r"Per(?P<length>Minute|Hour|Day)(?![a-z])")
PACIFIC = "America/Los_Angeles"
"""Google's daily quotas begin anew at midnight there (its documentation of rate limits)."""


def read(body: Any, now: int, model: str = "") -> list[Json]:
    """Windows as `quota_readers` describes them; [] for what says nothing. `body`: parsed JSON. `model`: whom was asked.

    Google names the quota that refused a request and not what is used of it: it counts as spent until it ends. As ends are worked out
    here, and sliding windows open little by little, the state is "estimated".
    """
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict):
        return []
    return [*_google(error, now, model), *_sentence(error, now, model), *_codex(error, now)]


def _google(error: Json, now: int, model: str) -> list[Json]:
    details = [detail for detail in _list(error.get("details")) if isinstance(detail, dict)]
    delays = [detail.get("retryDelay") for detail in details if _is(detail, "RetryInfo")]
    delay = next((seconds for text in delays if isinstance(text, str) and (seconds := go_duration(text)) is not None), None)
    found = []
    for violation in [item for detail in details if _is(detail, "QuotaFailure") for item in _list(detail.get("violations"))]:
        named = str(violation.get("quotaId")) if isinstance(violation, dict) else ""
        length, limit = _ID.search(named), number(violation.get("quotaValue")) if isinstance(violation, dict) else None
        if length is None or not limit or limit <= 0:
            continue  # a limit of 0: the plan does not have the model at all, which no waiting changes
        word = length["length"].lower()
        end = _midnight(now) if word == "day" else now + (LENGTHS_MS[word] if delay is None else round(delay * 1000))
        dimensions = violation.get("quotaDimensions")
        whose = dimensions.get("model") if isinstance(dimensions, dict) else None
        unit = "tokens" if "Token" in named else "requests"
        if end is not None:
            found.append(_spent(f"{unit}/{word}", unit, limit, limit, end, str(whose or model)))
    return found


def _sentence(error: Json, now: int, model: str) -> list[Json]:
    text = error.get("message")
    said = _SENTENCE.search(text[:2000]) if isinstance(text, str) else None
    wait = in_words(text) if said is not None and isinstance(text, str) else None
    if said is None or wait is None:
        return []
    unit, word = said["unit"].lower(), LENGTHS[said["length"].lower()]
    # These windows slide: after the stated time there is room for the request again, not for all.
    return [_spent(f"{unit}/{word}", unit, float(said["used"]), float(said["limit"]), now + round(wait * 1000), model)]


def _codex(error: Json, now: int) -> list[Json]:
    """For the whole account; which of its windows is not told."""
    if error.get("type") != "usage_limit_reached":
        return []
    at, seconds = number(error.get("resets_at")), number(error.get("resets_in_seconds"))
    end = at * 1000 if at else None if seconds is None else now + seconds * 1000
    return [] if end is None else [{**_spent("usage limit", "%", 100.0, 100.0, round(end), ""), "state": "live"}]


def _spent(name: str, unit: str, used: float, limit: float, end: int, model: str) -> Json:
    window: Json = {"name": name, "used": used, "limit": limit, "unit": unit, "resets_at": end, "state": "estimated"}
    return {**window, "model": model} if model else window


def _midnight(now: int) -> int | None:
    """The next one in the Pacific time zone, ms; None where this system knows no time zones."""
    try:
        there = datetime.fromtimestamp(now / 1000, UTC).astimezone(ZoneInfo(PACIFIC))
    except ZoneInfoNotFoundError:
        return None
    return round(datetime.combine(there.date() + timedelta(days=1), datetime.min.time(), there.tzinfo).timestamp() * 1000)


def _is(detail: Json, name: str) -> bool:
    return str(detail.get("@type")).endswith(f".{name}")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
