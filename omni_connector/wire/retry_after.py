"""How long a provider says to wait: from its headers, else from its words.

Order of the vendors' own SDKs (openai-python `_calculate_retry_timeout`): `retry-after-ms`, `retry-after` in seconds,
`retry-after` as HTTP date (or, against RFC 9110, as Unix time). Then rate-limit headers whose remaining count is 0 (Go
durations at OpenAI and Groq, plain seconds at Cerebras, epoch milliseconds at OpenRouter), then "try again in 1.5s" or "will reset
at 2026-04-09 15:13:03" in the message.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

_UNIT_SECONDS: Mapping[str, float] = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_GO_PIECE = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_GO = re.compile(rf"(?:{_GO_PIECE.pattern})+\Z")

_WORD_UNITS = "milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d"
_IN_WORDS = re.compile(
    rf"(?:try again|retry|retrydelay\"?:|wait)\W+(?:(?:in|after|for)\W+)?((?:\d+(?:\.\d+)?\s*(?:{_WORD_UNITS})\b\s*)+)", re.IGNORECASE
)
_WORD_PIECE = re.compile(rf"(\d+(?:\.\d+)?)\s*({_WORD_UNITS})", re.IGNORECASE)
_STAMP = r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)"
_DATE = re.compile(rf"\breset(?:s|ting)?\b(?: (?:at|on|time|is|will be))*:? ?{_STAMP}|{_STAMP} ?(?:重置|刷新)", re.IGNORECASE)
_BEIJING = timezone(timedelta(hours=8))
_GLUED = re.compile(r"(?<=[a-z])(?=\d)", re.IGNORECASE)

_EPOCH = 10**9
"""A number of seconds above this is a date, not a duration."""


def stated_wait(headers: Mapping[str, str], text: str, now: float | None = None) -> float | None:
    """Seconds to wait as the provider states them, never negative; None when it does not say.

    `headers` have lower-case names. `now`: Unix seconds; default the answer's own `date` header, else the clock.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    here = now if now is not None else _date(headers.get("date"))
    moment = time.time() if here is None else here
    after = headers.get("retry-after")
    if after is not None:
        seconds = _number(after)
        if seconds is None:
            date = _date(after)
            seconds = None if date is None else date - moment
        elif seconds > _EPOCH:
            seconds = _from_epoch(seconds, moment)
        if seconds is not None:
            return max(0.0, seconds)
    limits = _spent_limits(headers, moment)
    if limits is not None:
        return limits
    words = in_words(text)
    return words if words is not None else until_date(text, moment)


def go_duration(text: str) -> float | None:
    """ "6m0s", "120ms", "1h2m3.5s" → seconds; None for anything else."""
    text = text.strip()
    if not _GO.match(text):
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _GO_PIECE.findall(text))


def in_words(text: str) -> float | None:
    """ "… try again in 1m 30.5s" → 90.5; None when the text names no time."""
    found = _IN_WORDS.search(_GLUED.sub(" ", text[:4000]))
    if found is None:
        return None
    total = 0.0
    for number, unit in _WORD_PIECE.findall(found[1]):
        word = unit.lower()
        short = "ms" if word.startswith(("ms", "milli")) else word[0]
        total += float(number) * _UNIT_SECONDS[short]
    return total


def until_date(text: str, now: float) -> float | None:
    """Seconds until "… will reset at 2026-04-09 15:13:03"; None when the text names no date, or one that is over.

    Z.ai tells no time zone. The vendor's own (UTC+8) is taken: where it means another, we ask again too early, never too late.
    """
    found = _DATE.search(text[:4000])
    if found is None:
        return None
    try:
        date = datetime.fromisoformat((found[1] or found[2]).replace(" ", "T"))
    except ValueError:
        return None
    wait = (date if date.tzinfo is not None else date.replace(tzinfo=_BEIJING)).timestamp() - now
    return wait if wait > 0 else None


def _spent_limits(headers: Mapping[str, str], now: float) -> float | None:
    """The latest reset among the limits with nothing remaining."""
    waits = []
    for name, remaining in headers.items():
        if not name.startswith("x-ratelimit-remaining") or _number(remaining) != 0:
            continue
        wait = _reset(headers.get(name.replace("remaining", "reset", 1), ""), now)
        if wait is not None:
            waits.append(wait)
    return max(waits, default=None)


def _reset(text: str, now: float) -> float | None:
    number = _number(text)
    if number is None:
        return go_duration(text)
    if number > _EPOCH:
        # A date that is over already says nothing about how long to wait.
        wait = _from_epoch(number, now)
        return wait if wait > 0 else None
    return max(0.0, number)


def _from_epoch(number: float, now: float) -> float:
    """Seconds from `now` to a date in Unix seconds or milliseconds."""
    return (number / 1000 if number > _EPOCH * 1000 else number) - now


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and abs(value) < 1e15 else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp()
