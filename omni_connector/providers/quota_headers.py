"""What is left, as the headers of an ordinary answer tell it. Pure.

Forms: `x-ratelimit-{limit,remaining,reset}[-requests|-tokens|…]` (OpenAI and who follows it: Go-like durations; Cerebras: plain
seconds; OpenRouter: epoch milliseconds), `anthropic-ratelimit-{requests,input-tokens,…}-{limit,remaining,reset}` (RFC 3339) and
`anthropic-ratelimit-unified-{5h,7d}-{status,reset,utilization}` (Unix seconds, a share). Recorded traffic has all but the last.

A window that tells neither its end nor its length is left out: nobody could say when it stops being true.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from omni_connector.wire.retry_after import go_duration

Json = dict[str, Any]

KINDS: Mapping[str, tuple[str, str]] = {
    "": ("requests", ""),
    "requests": ("requests", ""),
    "tokens": ("tokens", ""),
    "requests-minute": ("requests", "minute"),
    "req-minute": ("requests", "minute"),
    "tokens-minute": ("tokens", "minute"),
    "requests-hour": ("requests", "hour"),
    "tokens-hour": ("tokens", "hour"),
    "requests-day": ("requests", "day"),
    "tokens-day": ("tokens", "day"),
}
"""What stands behind `x-ratelimit-limit-` → unit, and the length of the window where the name tells it."""
LENGTHS_MS: Mapping[str, int] = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
ANTHROPIC_KINDS = ("requests", "input-tokens", "output-tokens")
ANTHROPIC_SUM = "tokens"
"""Told beside input and output; only shown where those are not."""
UNIFIED: Mapping[str, str] = {"5h": "5h", "7d": "week"}
"""Windows of a plan, for all models. Others (one family of models) name no model, so they are left out."""

MARKERS: frozenset[str] = frozenset(
    {
        *(f"x-ratelimit-limit-{kind}" if kind else "x-ratelimit-limit" for kind in KINDS),
        *(f"anthropic-ratelimit-{kind}-limit" for kind in (*ANTHROPIC_KINDS, ANTHROPIC_SUM)),
        *(f"anthropic-ratelimit-unified-{kind}-reset" for kind in UNIFIED),
    }
)
"""An answer without any of these tells nothing here."""
EPOCH = 10**9
"""A number of seconds above this is a date, not a duration."""
MOST = 1e15


def read(headers: Mapping[str, str], now: int, model: str = "") -> list[Json]:
    """Windows as `quota_readers` describes them. `headers` have lower-case names. `now`: ms. `model`: whom the answer was of; limits
    of rate are each model's own at the providers that tell them, those of a plan are not."""
    return [*_rates(headers, now, model), *_anthropic(headers, now, model), *_unified(headers)]


def _rates(headers: Mapping[str, str], now: int, model: str) -> list[Json]:
    found = []
    for suffix, (unit, length) in KINDS.items():
        tail = f"-{suffix}" if suffix else ""
        limit, remaining = number(headers.get(f"x-ratelimit-limit{tail}")), number(headers.get(f"x-ratelimit-remaining{tail}"))
        end = _end(headers.get(f"x-ratelimit-reset{tail}"), now)
        if end is None and length:
            end = now + LENGTHS_MS[length]
        found += _window(f"{unit}/{length}" if length else unit, unit, limit, remaining, end, model)
    return found


def _anthropic(headers: Mapping[str, str], now: int, model: str) -> list[Json]:
    parts = any(f"anthropic-ratelimit-{kind}-limit" in headers for kind in ANTHROPIC_KINDS[1:])
    found = []
    for kind in ANTHROPIC_KINDS if parts else (*ANTHROPIC_KINDS, ANTHROPIC_SUM):
        told = [headers.get(f"anthropic-ratelimit-{kind}-{what}") for what in ("limit", "remaining", "reset")]
        words = kind.replace("-", " ")
        found += _window(words, words.rpartition(" ")[2], number(told[0]), number(told[1]), moment(told[2]), model)
    return found


def _unified(headers: Mapping[str, str]) -> list[Json]:
    found = []
    for kind, name in UNIFIED.items():
        start = f"anthropic-ratelimit-unified-{kind}-"
        reset, share = number(headers.get(f"{start}reset")), number(headers.get(f"{start}utilization"))
        if reset is None:
            continue
        used = 100.0 if headers.get(f"{start}status") == "rejected" else None if share is None else round(min(1.0, share) * 100, 2)
        window: Json = {"name": name, "used": used, "limit": None if used is None else 100.0, "unit": "%", "resets_at": int(reset * 1000)}
        found.append({**window, "state": "unknown" if used is None else "live"})
    return found


def _window(name: str, unit: str, limit: float | None, remaining: float | None, end: int | None, model: str) -> list[Json]:
    """`limit` -1: no limit (Azure). More remaining than the limit is a burst that is allowed for a while (Together)."""
    if limit is None or remaining is None or end is None or limit <= 0 or remaining < 0:
        return []
    used = max(0.0, limit - remaining)
    window: Json = {"name": name, "used": used, "limit": limit, "unit": unit, "resets_at": end, "state": "live"}
    return [{**window, "model": model} if model else window]


def _end(text: str | None, now: int) -> int | None:
    """A duration, or a date in seconds or milliseconds → ms."""
    seconds = number(text)
    if seconds is None:
        span = None if text is None else go_duration(text)
        return None if span is None else now + round(span * 1000)
    if seconds > EPOCH:
        return int(seconds if seconds > EPOCH * 1000 else seconds * 1000)
    return now + round(max(0.0, seconds) * 1000)


def moment(text: object) -> int | None:
    """RFC 3339 → ms."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if found is None else round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | None:
    """A number of a sane size, also as text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < MOST else None  # also false for NaN
