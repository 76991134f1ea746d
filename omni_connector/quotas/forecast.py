"""When a window will be spent if it goes on like this. Pure.

Said only when it means something: enough was used over enough time, the end comes before the window begins anew, and it is not much
further away than what was seen reaches back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from omni_connector.routing.quota import number

Json = dict[str, Any]
Seen = tuple[int, float]
"""When (ms), and what was used then."""

MOST_SEEN = 12
RECENT_MS = 3_600_000
"""The pace of the last hour is the pace, as long as there is one; else that of all that was seen."""
LEAST_MS = 10 * 60_000
LEAST_RISE = 0.02
"""Share of the limit. Percentages are told in whole numbers: one step more is no pace."""
REACH = 8
"""How many times further than it was watched the end may be."""
SOON_MS = 18 * 3_600_000
"""Up to here a time of day is clear without its day."""


def note(seen: Sequence[Seen], at: int, used: float, ended: bool = False) -> list[Seen]:
    """`seen` with one more. Less used than before, or `ended`: the window has begun anew. When there are too many, every second one
    goes, so that they reach ever further back."""
    if ended or (seen and used < seen[-1][1]):
        return [(at, used)]
    longer = [*seen, (at, used)]
    return longer if len(longer) <= MOST_SEEN else [*longer[:-1:2], longer[-1]]


def forecast(window: Mapping[str, Any], seen: Sequence[Seen], now: int, zone: tzinfo | None = None) -> Json | None:
    """{"ends_at" ms, "words"}, or None where there is nothing to say. `zone` of the words; None: this machine's."""
    ends_at = _ends_at(window, seen, now)
    if ends_at is None:
        return None
    at = datetime.fromtimestamp(ends_at / 1000, UTC).astimezone(zone)
    clock = at.strftime("%H:%M" if ends_at - now < SOON_MS else "%a %H:%M")
    of = f" of {window['model']}" if window.get("model") else ""
    return {"ends_at": ends_at, "words": f"{window.get('name') or 'quota'} window{of} ends {clock} at this pace"}


def _ends_at(window: Mapping[str, Any], seen: Sequence[Seen], now: int) -> int | None:
    used, limit, end = number(window.get("used")), number(window.get("limit")), number(window.get("resets_at"))
    if window.get("state") != "live" or used is None or not limit or used >= limit or len(seen) < 2 or (end is not None and end <= now):
        return None
    at, most = seen[-1]
    for since in (at - RECENT_MS, 0):
        first_at, first = next(one for one in seen if one[0] >= since)
        span, rise = at - first_at, most - first
        if span < LEAST_MS or rise < LEAST_RISE * limit:
            continue
        ends_at = at + round((limit - most) * span / rise)
        if ends_at - now <= REACH * span:
            return max(ends_at, now) if end is None or ends_at < end else None
    return None
