"""Which limits a request counts against: of the installation, its provider, its model, its account and its key.

Every one of them must let the request through. Whether it does is decided in the database (store/allowances.py), for all processes
at once; here is only what applies, and what a client is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from omni_connector import catalog
from omni_connector.errors import GatewayError, Kind
from omni_connector.periods import PERIODS, bounds
from omni_connector.routing.plan import Overspent
from omni_connector.snapshot import Account, Limit, Snapshot
from omni_connector.store.allowances import Claim, Refused
from omni_connector.usage import nano, usd
from omni_connector.values import dataclass

OWN = ("key", "installation")
"""Scopes whose limit no other account can help against."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit, and what it is called. `amount`: nano-dollars of its budget; None: it has none."""

    limit: Limit
    name: str
    amount: int | None
    period: str = ""
    zone: str = ""
    hard: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.limit.scope, self.limit.subject

    @property
    def enforced(self) -> bool:
        """Whether it can refuse anything; a soft budget only tells."""
        return self.hard or any(value is not None for value in (self.limit.rpm, self.limit.tpm, self.limit.max_in_flight))

    def bounds(self, now: int) -> tuple[int, int]:
        return bounds(self.period, now, self.zone)

    def claim(self, at: int, *, free: bool) -> Claim:
        """`free`: the request costs nothing, so no budget is asked."""
        limit = self.limit
        start, end = (0, 0) if free or not self.hard else self.bounds(at)
        amount = None if free or not self.hard else self.amount
        return Claim(limit.scope, limit.subject, amount, start, end, limit.rpm, limit.tpm, limit.max_in_flight)


def bound(limit: Limit, name: str) -> Bound:
    budget = limit.budget
    if budget is None:
        return Bound(limit, name, None)
    amount = nano(Decimal(budget["amount"])) or 0
    return Bound(limit, name, amount, budget["period"], budget.get("zone") or "", budget.get("mode") != "soft")


class Limits:
    """The limits of one configuration."""

    def __init__(self, bounds: Iterable[Bound] = ()) -> None:
        self.by: Mapping[tuple[str, str], Bound] = {found.key: found for found in bounds}
        self._models = [found for found in self.by.values() if found.limit.scope == "model"]

    def applying(self, key_id: str, account: Account, model: str) -> Sequence[Bound]:
        """The key's first: what it may not, nobody else can help."""
        if not self.by:
            return ()
        wanted = (("key", key_id), ("installation", ""), ("account", account.id), ("provider", account.provider))
        found = [bound for name in wanted if (bound := self.by.get(name)) is not None]
        return [*found, *(bound for bound in self._models if catalog.covers(bound.limit.subject, model))]


def limits_of(snapshot: Snapshot) -> Limits:
    bounds = [bound(limit, _name(limit)) for limit in snapshot.limits]
    bounds += [bound(_account_limit(account), account.label) for account in snapshot.accounts]
    for key in snapshot.keys.values():
        limit = Limit("key", key.id, key.budget, key.rpm, key.tpm, key.max_in_flight)
        bounds.append(bound(limit, f"key {key.name}"))
    return Limits(found for found in bounds if found.enforced or found.amount is not None)


def _account_limit(account: Account) -> Limit:
    return Limit("account", account.id, account.budget, account.rpm, account.tpm, account.max_in_flight)


def _name(limit: Limit) -> str:
    return "this installation" if limit.scope == "installation" else f"{limit.scope} {limit.subject}"


# ---------------------------------------------------------------- What is told


def refusal(bound: Bound, refused: Refused, least: int | None, now: int) -> Overspent | GatewayError:
    """Why a request is not let in: of a candidate, so that the next one may; or an error where nobody else helps. `least`: nano-dollars
    that it needs, None: unknown."""
    if refused.why == "spent":
        return overspent(bound, refused, least)
    reason = _reason(bound, refused, least)
    if bound.limit.scope not in OWN:
        return Overspent(reason, refused.until_at, of_key=False)
    # What others hold may be there again in a moment: that is no reason to tell a client that its money is gone.
    wait = max(0.1, ((refused.until_at or now) - now) / 1000)
    words = f"{reason[0].upper()}{reason[1:]}. Wait, or raise the limit."
    return GatewayError(Kind.RATE_LIMITED, words, retry_after=wait, stated=True)


def overspent(bound: Bound, refused: Refused, least: int | None) -> Overspent:
    """The budget has no room for a request. The key's, and that of the installation, is the caller's business."""
    until = None if bound.period == "total" else refused.claim.end_at
    return Overspent(_reason(bound, refused, least), until, bound.limit.scope in OWN)


def _reason(bound: Bound, refused: Refused, least: int | None) -> str:
    limit = bound.limit
    match refused.why:
        case "rpm":
            return f"{_whose(bound)} may send {limit.rpm} requests a minute"
        case "tpm":
            return f"{_whose(bound)} may use {limit.tpm} tokens a minute"
        case "in_flight" if limit.scope == "account":
            return f"{limit.max_in_flight} of {limit.max_in_flight} in flight"
        case "in_flight":
            return f"{_whose(bound)} may have {limit.max_in_flight} requests in flight"
    amount = "0" if limit.budget is None else limit.budget["amount"]
    figures = f"${usd(refused.spent)} of ${amount} {PERIODS[bound.period]}"
    figures += f", ${usd(refused.held)} held for requests in flight" if refused.held else ""
    figures += f", at least ${usd(least)} for this request" if least else ", and what this request costs is unknown"
    state = "is spent" if refused.spent >= (bound.amount or 0) else "has no room for this request"
    return f"the budget of {bound.name} {state} ({figures})"


def _whose(bound: Bound) -> str:
    return "this key" if bound.limit.scope == "key" else bound.name
