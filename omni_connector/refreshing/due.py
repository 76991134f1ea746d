"""When a token is to be renewed, and when to try again. Pure."""

from __future__ import annotations

from random import Random

from omni_connector.tokens import Tokens

GAP_MS = 30_000
"""Between two refreshes of one account, whatever the provider says about its tokens."""
JITTER_MS = 60_000
"""At most so much earlier, so that accounts connected together are not renewed together."""
LADDER_MS = (10_000, 30_000, 60_000, 120_000, 300_000, 900_000)
"""Wait after the first, second, … failure in a row; the last one repeats."""
LONGEST_WAIT_MS = 24 * 3_600_000
"""More is not believed when a provider says how long to wait."""


def due_at(tokens: Tokens, lead_s: int) -> int | None:
    """From when (ms) the token should be renewed ahead of its end; None: it does not say when it ends.

    `lead_s` before the end, but never in the first half of a short life, nor before the provider allows it.
    """
    if tokens.expires_at is None:
        return None
    lead, floor = lead_s * 1000, tokens.not_before
    if tokens.refreshed_at:
        life = max(0, tokens.expires_at - tokens.refreshed_at)
        lead = min(lead, life // 2)
        floor = max(floor, tokens.refreshed_at + min(GAP_MS, life))
    return max(tokens.expires_at - lead, floor)


def earliest(lead_s: int) -> int:
    """How much earlier (ms) than due a renewal may begin."""
    return min(JITTER_MS, lead_s * 200)


def spread(lead_s: int, rng: Random) -> int:
    """How much earlier (ms) this one begins."""
    return int(rng.uniform(0, earliest(lead_s)))


def wanted(tokens: Tokens, rejected: str, lead_s: int, now: int, early_ms: int = 0) -> bool:
    """Whether there is anything to do: the stored token is the one that was `rejected`, or, when none was, it is due."""
    if rejected:
        return tokens.access_token == rejected
    due = due_at(tokens, lead_s)
    return due is not None and due - early_ms <= now


def over(tokens: Tokens, now: int) -> bool:
    """The access token is good no more."""
    return tokens.expires_at is not None and tokens.expires_at <= now


def wait_ms(failures: int, stated_s: float | None, rng: Random) -> int:
    """How long to leave the provider alone after this many failures in a row: as long as it says, else by the ladder."""
    if stated_s is not None:
        return min(max(1_000, int(stated_s * 1000)), LONGEST_WAIT_MS)
    return int(LADDER_MS[min(failures, len(LADDER_MS) - 1)] * rng.uniform(1, 1.2))
