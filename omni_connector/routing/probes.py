"""Which accounts are asked whether they are back, when, and what an answer proves. Pure: the clock and the dice are arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from omni_connector.errors import Kind
from omni_connector.routing.health import ACCOUNT_SCOPE, FOREVER, JITTER, MODEL_SCOPE, holds, kind_of
from omni_connector.snapshot import Account, Cooldown, Json
from omni_connector.values import dataclass

DAY_MS = 86_400_000
MOST_DOUBLINGS = 20


@dataclass(frozen=True, slots=True)
class Signals:
    """What questions that cost nothing said. None: nothing either way. `families` of the models that were listed."""

    reached: bool
    accepted: bool | None = None
    paid: bool | None = None
    families: frozenset[str] = frozenset()


PROOF: Mapping[Kind | None, Callable[[Signals], bool | None]] = {
    Kind.UPSTREAM_UNREACHABLE: lambda signals: signals.reached,
    Kind.ACCOUNT_REJECTED: lambda signals: bool(signals.accepted),
    Kind.ACCOUNT_UNPAID: lambda signals: signals.paid,
}
"""Kind of failure → is it over? None, and for every other kind: only a request can tell. A refused credential is never sent a
request: who sends refused credentials again and again is locked out for good."""


def next_probe(step: int, now: int, rng: Random, *, first_s: float = 30, longest_s: float = 3600, not_before: int = 0) -> int:
    """When the next probe is due (ms), after `step` that found nobody back: 30 s, 1 min, 2 min … 1 h, a tenth more or less; never
    before a time that the provider announced."""
    seconds: float = min(first_s * 2.0 ** min(step, MOST_DOUBLINGS), longest_s)
    return max(now + math.ceil(seconds * 1000 * rng.uniform(1 - JITTER, 1 + JITTER)), not_before)


def unproven(account: Account, cooldowns: Iterable[Cooldown]) -> list[Cooldown]:
    """What keeps, or kept, the account out without the provider's promise of an end, as long as nobody has shown that it is over.

    A `needs_login` whose cooldown was cleared counts as a refused credential.
    """
    if not account.enabled or account.state == "error":
        return []
    found = [cooldown for cooldown in cooldowns if cooldown.source != "stated"]
    if account.state == "needs_login" and not any(kind_of(cooldown) is Kind.ACCOUNT_REJECTED for cooldown in found):
        found.append(Cooldown(account.id, ACCOUNT_SCOPE, FOREVER, "terminal", "the credential is refused"))
    return found


def doubtful(account: Account, cooldowns: Iterable[Cooldown], now: int) -> list[Cooldown]:
    """Of those, what a probe is sent for: a guess that has run out is tested by the next request."""
    return [cooldown for cooldown in unproven(account, cooldowns) if cooldown.source == "terminal" or holds(cooldown, now)]


def announced(cooldowns: Iterable[Cooldown], now: int) -> int:
    """Until when (ms) the provider itself said that the account is out, 0 when it did not."""
    ends = [c.until_at for c in cooldowns if c.source == "stated" and c.scope == ACCOUNT_SCOPE and holds(c, now)]
    return max(ends, default=0)


def judge(cooldown: Cooldown, signals: Signals) -> bool | None:
    """Is it over? True, False, or None: only a request can tell."""
    if not signals.reached:
        return False
    kind = kind_of(cooldown)
    family = cooldown.scope.removeprefix(MODEL_SCOPE)
    if kind is Kind.UPSTREAM_MODEL_MISSING and signals.families and family not in signals.families:
        return False
    return PROOF[kind](signals) if kind in PROOF else None


@dataclass(frozen=True, slots=True)
class Memory:
    """What the job's payload keeps: failed probes in a row, and the billed ones of a day (days since 1970, UTC)."""

    step: int = 0
    day: int = 0
    billed: int = 0

    @classmethod
    def read(cls, payload: Mapping[str, Any], now: int) -> Memory:
        step, day, billed = (value if isinstance(value := payload.get(name), int) else 0 for name in ("step", "day", "billed"))
        today = now // DAY_MS
        return cls(max(0, step), today, max(0, billed) if day == today else 0)

    def payload(self) -> Json:
        return {"step": self.step, "day": self.day, "billed": self.billed}
