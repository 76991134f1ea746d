"""Wait-if-soon: all candidates are out, and one of them is back before the client would mind. Pure: the clock is an argument.

Waiting only bridges known ends. What is out on nobody's word but ours is tried at once (panic), and what is busy, disabled or
in need of the user has no end to wait for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from omni_connector.errors import bad_request

HEADER = "x-omni-wait"
LONGEST_S = 60.0
LEAST_MS = 10
"""An end that is now or just over: the next look must not follow so fast that it becomes a loop without rest."""


def patience_ms(header: str | None, default_s: float) -> int:
    """How long a client waits for an account, in ms: what its header says (seconds, at most LONGEST_S), else the setting
    wait_for_account_s. Raises GatewayError (BAD_REQUEST) for a header that is no number of seconds."""
    if header is None or not header.strip():
        seconds = default_s
    else:
        try:
            seconds = float(header)
        except ValueError:
            seconds = math.nan
        if not seconds >= 0:
            raise bad_request(f"The header {HEADER} must be a number of seconds from 0 to {LONGEST_S:g}.", param=HEADER)
    return round(min(seconds, LONGEST_S) * 1000)


def wait_for(ends: Iterable[int | None], now: int, patience_ms: int) -> int | None:
    """Milliseconds until the first of them is back, or None when none is within the patience.

    `ends`: `until_at` of everything the plan skipped (ms; None: no time is known). `patience_ms`: what is left of it. The wait
    is at least LEAST_MS, so a caller that plans anew after each wait ends when the patience does.
    """
    soonest = min((end for end in ends if end is not None), default=None)
    if soonest is None:
        return None
    wait = max(soonest - now, LEAST_MS)
    return wait if wait <= patience_ms else None
