"""Points in time as people write them: `1763712000000`, `2026-12-31`, `2026-12-31T08:00:00Z`, `30d`, `today`.

Pure: the clock is an argument. Everything comes out as integer milliseconds UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Literal

from omni_connector.errors import bad_request
from omni_connector.periods import period_start

UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
DAY_MS = UNITS_MS["d"]
_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_LATEST_MS = 253_402_300_799_999  # the last millisecond of the year 9999: datetime can show nothing later


def parse_when(value: str | int, now_ms: int, param: str, spans: Literal["ahead", "back"], zone: tzinfo = UTC) -> int:
    """A point in time → milliseconds UTC. A span (`30d`) counts ahead of now (expiry) or back from it (reports).

    Dates without a zone are those of `zone`: UTC, like every time the API gives, where none is asked for. Raises BAD_REQUEST that names
    `param` and the forms.
    """
    text = str(value).strip()
    if text.isascii() and text.isdigit():
        return _within(int(text), param)
    if text in ("now", "today"):
        return now_ms if text == "now" else day_start(now_ms, zone)
    if span := _SPAN.fullmatch(text):
        length = int(span[1]) * UNITS_MS[span[2]]
        return _within(now_ms + length if spans == "ahead" else max(0, now_ms - length), param)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request(
            f"{param}: {text!r} is not a time. Write milliseconds since 1970, a date (2026-12-31), "
            "a date and time (2026-12-31T08:00:00Z), or a span (12h, 30d, 8w).",
            param,
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return _within(round(moment.timestamp() * 1000), param)


def _within(ms: int, param: str) -> int:
    if 0 <= ms <= _LATEST_MS:
        return ms
    raise bad_request(f"{param}: the time lies outside the years 1970 to 9999.", param)


def day_start(now_ms: int, zone: tzinfo = UTC) -> int:
    """The midnight before `now_ms`: days in reports are UTC days, where no other zone is asked for."""
    return period_start("day", now_ms, zone)
