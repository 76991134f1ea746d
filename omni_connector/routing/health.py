"""Failure → cooldown, success → recovery (DESIGN.md, law 2). Pure: the clock and the dice are arguments.

A cooldown is `stated` (the provider's own time), `guessed` (the ladder below, at most ten minutes) or `terminal` (needs the
user). It is never shortened by another failure. When a guessed or terminal one has run out, a single request decides (half-open).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Literal

from omni_connector.errors import GatewayError, Kind
from omni_connector.snapshot import Account, Cooldown
from omni_connector.values import dataclass

ACCOUNT_SCOPE = ""
MODEL_SCOPE = "model:"
SHORT_S = (5, 15, 30)
LONG_S = (60, 120, 300, 600)
"""The ladder: short steps while it may be chance (the last one repeats), long ones once the errors are many (max_error_count)."""
JITTER = 0.1
LONGEST_STATED_S = 35 * 86_400
"""A month's quota plus a few days: nobody states more, and a broken header must not lock an account for years."""
UNPAID_S = 6 * 3600
FOREVER = 253_402_300_799_000
"""9999-12-31T23:59:59Z in ms: until the user acts."""
FORGET_MS = 30 * 60_000
"""A guess that ran out this long ago says nothing about a new failure: the ladder starts again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of failure takes out when the provider states neither scope nor time."""

    scope: Literal["account", "model"]
    source: Literal["guessed", "terminal"]
    reason: str
    lasting: bool = False
    """Will not be different in seconds: the ladder begins at its end."""
    hold_s: int | None = None
    """Terminal only: seconds until one request may look again. None: never by itself."""


RULES: Mapping[Kind, Rule] = {
    Kind.ACCOUNT_RATE_LIMITED: Rule("model", "guessed", "rate limited"),
    Kind.ACCOUNT_REJECTED: Rule("account", "terminal", "the credential is refused"),
    Kind.ACCOUNT_FORBIDDEN: Rule("model", "guessed", "not allowed for this account", lasting=True),
    Kind.ACCOUNT_UNPAID: Rule("account", "terminal", "no credit left", hold_s=UNPAID_S),
    Kind.UPSTREAM_MODEL_MISSING: Rule("model", "guessed", "the provider does not know the model", lasting=True),
    Kind.UPSTREAM_OVERLOADED: Rule("model", "guessed", "the provider is overloaded"),
    Kind.UPSTREAM_UNREACHABLE: Rule("account", "guessed", "the provider cannot be reached"),
    Kind.UPSTREAM_FAILED: Rule("model", "guessed", "the provider failed"),
    Kind.UPSTREAM_TIMEOUT: Rule("model", "guessed", "the provider did not answer in time"),
}
"""Every kind that `errors.KINDS` says cools, and no other. Each has a reason of its own: see `kind_of`."""
KIND_OF_REASON: Mapping[str, Kind] = {rule.reason: kind for kind, rule in RULES.items()}


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """`guessed_max_s`: the setting guessed_cooldown_max_s, in seconds. `max_error_count`: failures in a row after which an
    account × model family is out for the long steps of the ladder."""

    guessed_max_s: float = 600
    max_error_count: int = 5


def model_scope(family: str) -> str:
    return MODEL_SCOPE + family


def scope_of(error: GatewayError, model_family: str) -> str | None:
    """The cooldown scope of a failure: what the error named, else the kind's own. None: this failure cools nobody."""
    rule = RULES.get(error.kind)
    if rule is None:
        return None
    return ACCOUNT_SCOPE if (error.scope or rule.scope) == "account" else model_scope(model_family)


def kind_of(cooldown: Cooldown) -> Kind | None:
    """The failure that a cooldown is for. None: its words are those of another version."""
    return KIND_OF_REASON.get(cooldown.reason.partition(" (HTTP ")[0])


def ladder_s(step: int, max_error_count: int) -> int:
    """Seconds that an account is out after `step` + 1 failures in a row: 5, 15, 30, 30, … and from failure number
    `max_error_count` on 60, 120, 300, 600."""
    long = step - (max_error_count - 1)
    return LONG_S[min(long, len(LONG_S) - 1)] if long >= 0 else SHORT_S[min(step, len(SHORT_S) - 1)]


def needs_login(kind: Kind) -> bool:
    """True: the account's state becomes `needs_login`, and only a new credential helps."""
    return kind is Kind.ACCOUNT_REJECTED


def cooldown_for(
    error: GatewayError,
    account: Account,
    model_family: str,
    previous: Cooldown | None,
    now: int,
    settings: HealthSettings,
    rng: Random,
) -> Cooldown | None:
    """The cooldown this failure leaves, or None when it cools nobody.

    `previous` is what `pool.cooldown(account.id, scope_of(…))` holds for the same scope, run out or not.
    """
    rule, scope = RULES.get(error.kind), scope_of(error, model_family)
    if rule is None or scope is None:
        return None
    reason = rule.reason if error.upstream_status is None else f"{rule.reason} (HTTP {error.upstream_status})"

    def out(seconds: float | None, source: Literal["stated", "guessed", "terminal"], step: int = 0) -> Cooldown:
        until = FOREVER if seconds is None else now + math.ceil(seconds * 1000)
        return extend(previous, Cooldown(account.id, scope, until, source, reason, step, now))

    delay = _seconds(error.retry_after)
    if needs_login(error.kind):
        return out(None, "terminal")
    if error.stated and delay:
        return out(min(delay, LONGEST_STATED_S), "stated")
    if rule.source == "terminal":
        return out(rule.hold_s, "terminal")
    if previous is not None and previous.source == "guessed" and holds(previous, now):
        return previous  # requests that fail together are one failure, not many steps
    step = _next_step(previous, rule, now, settings.max_error_count)
    seconds = max(ladder_s(step, settings.max_error_count), delay) * rng.uniform(1 - JITTER, 1 + JITTER)
    return out(min(seconds, settings.guessed_max_s), "guessed", step)


def _seconds(retry_after: float | None) -> float:
    """A usable delay, else 0: absent, negative, NaN and infinite values say nothing."""
    return retry_after if retry_after is not None and math.isfinite(retry_after) and retry_after > 0 else 0


def _next_step(previous: Cooldown | None, rule: Rule, now: int, max_error_count: int) -> int:
    """The number of failures in a row before this one, which is what `Cooldown.step` holds. It is the count and not a place on
    the ladder, so that a changed setting is right at once."""
    last = max_error_count - 1 + len(LONG_S) - 1
    first = last if rule.lasting else 0
    if previous is None or previous.source != "guessed" or now - previous.until_at > FORGET_MS:
        return first
    return min(max(previous.step + 1, first), last)


def extend(previous: Cooldown | None, new: Cooldown) -> Cooldown:
    """Both at once: the later end wins, and what needs the user keeps needing him until it has run out. It is as new as whatever
    gave it its end or its reason, so that no answer to an older question ends it (`recover`)."""
    if previous is None or not holds(previous, new.created_at):
        return new
    later = previous if previous.until_at >= new.until_at else new
    lasting = next((c for c in (previous, new) if c.source == "terminal"), later)
    made_at = max(later.created_at, lasting.created_at)
    return Cooldown(new.account_id, new.scope, later.until_at, lasting.source, lasting.reason, max(previous.step, new.step), made_at)


def recover(cooldown: Cooldown, started_at: int, now: int) -> bool:
    """True: a success of a request started at `started_at` proves that the cooldown is over and may be cleared.

    A success that was under way before the failure proves nothing, and a time the provider stated is left to run out.
    """
    if started_at < cooldown.created_at:
        return False
    return cooldown.source != "stated" or not holds(cooldown, now)


def holds(cooldown: Cooldown, now: int) -> bool:
    return cooldown.until_at > now


def half_open(cooldown: Cooldown, now: int) -> bool:
    """True: it has run out, but was no promise of the provider, so one request must show that the account is back."""
    return not holds(cooldown, now) and cooldown.source != "stated"


# ---------------------------------------------------------------- In words


def describe(cooldown: Cooldown, now: int) -> str:
    """When it ends and who says so: "back in 28 s, because the provider said so"."""
    if not holds(cooldown, now):
        return "the next request decides" if half_open(cooldown, now) else "back"
    if cooldown.until_at >= FOREVER:
        return "out until you act"
    left = span(cooldown.until_at - now)
    if cooldown.source == "terminal":
        return f"out until you act, looked at again in {left}"
    return f"back in {left}, {'because the provider said so' if cooldown.source == 'stated' else 'which is our guess'}"


def span(ms: int) -> str:
    """Milliseconds in words, rounded up: "28 s", "5 min", "3 h", "2 d"."""
    seconds = max(0, math.ceil(ms / 1000))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 2 * 3600:
        return f"{math.ceil(seconds / 60)} min"
    if seconds < 48 * 3600:
        return f"{math.ceil(seconds / 3600)} h"
    return f"{math.ceil(seconds / 86_400)} d"
