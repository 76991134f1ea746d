"""Operations on prices: what the user set for models, and pricing a period of the books anew by what is known now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import field
from decimal import Decimal
from typing import Any

from msgspec import Struct

from omni_connector import prices, providers, usage
from omni_connector.admin import bodies
from omni_connector.admin.accounts import Accounts
from omni_connector.admin.when import parse_when
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.snapshot import Account, PriceOverride
from omni_connector.store import books
from omni_connector.store import prices as table
from omni_connector.values import dataclass

Json = dict[str, Any]
Amount = str | int | float | None

MOST = Decimal(1_000_000)
DECIMALS = 12
"""Digits behind the point: with these bounds every product of a rate and a count is exact."""
MAX_PATTERN = 256
CHUNK = 1000
"""Rows priced anew in one transaction: requests that settle meanwhile wait for one at most."""


class PriceBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """PUT /api/prices/{pattern}: dollars per million tokens, and per request. `account`: id or label. Neither `account` nor `provider`:
    everywhere."""

    input: Amount = None
    output: Amount = None
    cache_read: Amount = None
    cache_write: Amount = None
    per_request: Amount = None
    subscription: bool = False
    account: str = ""
    provider: str = ""


class Whose(Struct, forbid_unknown_fields=True, kw_only=True):
    """DELETE /api/prices/{pattern}, as query or as body: which of the pattern's prices."""

    account: str = ""
    provider: str = ""


class Period(Struct, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """POST /api/prices/reprice. Times as in GET /api/usage; `to`: now. `dry_run`: only say what would change."""

    from_: str | int
    to: str | int = "now"
    dry_run: bool = True


class Prices(Accounts):
    async def prices(self) -> Json:
        """GET /api/prices → {"prices": [{"pattern", "account": {"id", "label"} or null, "provider", the rates as text or null, …}]}."""
        return {"prices": [self._price_json(entry) for entry in self._snapshot().prices]}

    async def set_price(self, pattern: str, body: object) -> Json:
        """PUT /api/prices/{pattern}: the whole price of a pattern for one account, one provider or everywhere; effective at once, for
        what is settled from now on. `input` and `output` go together, or `per_request`, or `subscription`: what costs nothing more; rates
        beside that say what it would be worth.

        Raises BAD_REQUEST naming the field, NOT_FOUND for an account or a provider with near names.
        """
        given = bodies.read(body, PriceBody)
        rates = {name: _rate(getattr(given, name), name) for name in table.RATES}
        _complete(given, rates)
        entry = PriceOverride(_pattern(pattern), self._scope(given), **rates, subscription=given.subscription, updated_at=self._clock())
        await self._change(lambda conn: table.put(conn, entry))
        answer = self._price_json(entry)
        self._publish("price", answer)
        return answer

    async def remove_price(self, pattern: str, body: object = None) -> Json:
        """DELETE /api/prices/{pattern}[?account=|provider=] → what is removed. NOT_FOUND."""
        scope, wanted = self._scope(bodies.read(body or {}, Whose)), _pattern(pattern)
        found = next((entry for entry in self._snapshot().prices if (entry.pattern, entry.scope) == (wanted, scope)), None)
        if found is None:
            raise GatewayError(Kind.NOT_FOUND, f"No price is set for {wanted!r} there. GET /api/prices lists them.", param="pattern")
        await self._change(lambda conn: table.delete(conn, wanted, scope))
        answer = {**self._price_json(found), "removed": True}
        self._publish("price", answer)
        return answer

    async def reprice(self, body: object) -> Json:
        """POST /api/prices/reprice → {"from", "to", "dry_run", "rows" (looked at), "changed", "kept": {reason: rows}, "before_usd",
        "after_usd", "unpriced_before", "unpriced_after", "models": [the same for each that changes]}.

        The stored counts of each row are multiplied anew, by the user's prices of today and the list that held when it was settled. A row
        whose price the provider reported stays, as does one whose price nobody knows any more. Durable in chunks: what is broken off can
        be asked for again.
        """
        given = bodies.read(body, Period)
        now = self._clock()
        start, end = parse_when(given.from_, now, "from", "back"), parse_when(given.to, now, "to", "back")
        if start >= end:
            raise bad_request("from: it has to be before `to`.", "from")
        picture = self._snapshot()
        accounts = {account.id: account for account in picture.accounts}
        told, last = Difference(), ""
        while rows := await self.db.run(lambda conn, after=last: table.booked(conn, start, end, after, CHUNK)):  # type: ignore[misc]
            last = rows[-1]["id"]
            # In a thread: it is arithmetic for tens of milliseconds, and the price list may have to be loaded.
            changes = await asyncio.to_thread(told.add, rows, accounts, picture.prices)
            if changes and not given.dry_run:
                await self.db.tx(lambda conn, them=changes: books.reprice(conn, them))  # type: ignore[misc]
        return {"from": start, "to": end, "dry_run": given.dry_run, **told.as_json()}

    def _scope(self, given: PriceBody | Whose) -> str:
        if given.account and given.provider:
            raise bad_request("account: a price is for an account or for a provider, not for both.", "account")
        if given.provider:
            return f"provider:{providers.get(given.provider).id}"
        if not given.account:
            return ""
        known = {name: account.id for account in self._snapshot().accounts for name in (account.label, account.id)}
        # The price of an account that is gone can still be removed, by the account's id.
        gone = [entry.scope.removeprefix("account:") for entry in self._snapshot().prices if entry.scope.startswith("account:")]
        known |= dict(zip(gone, gone, strict=True))
        if given.account not in known:
            near = bodies.did_you_mean(given.account, known)
            raise GatewayError(Kind.NOT_FOUND, f"There is no account {given.account!r}{near}.", param="account")
        return f"account:{known[given.account]}"

    def _price_json(self, entry: PriceOverride) -> Json:
        kind, _, name = entry.scope.partition(":")
        labels = {account.id: account.label for account in self._snapshot().accounts}
        return {
            "pattern": entry.pattern,
            "account": {"id": name, "label": labels.get(name)} if kind == "account" else None,
            "provider": name if kind == "provider" else None,
            **{rate: None if (value := getattr(entry, rate)) is None else f"{value:f}" for rate in table.RATES},
            "subscription": entry.subscription,
            "updated_at": entry.updated_at,
        }


def _pattern(text: str) -> str:
    clean = text.strip()
    if not 0 < len(clean) <= MAX_PATTERN or not clean.isprintable():
        raise bad_request(f'pattern: a model\'s id, its family, or a pattern such as "gpt-5*", up to {MAX_PATTERN} characters.', "pattern")
    return clean


def _rate(value: Amount, name: str) -> Decimal | None:
    if value is None:
        return None
    exact = bodies.exact_decimal(value)
    if exact is None or not 0 <= exact <= MOST or exact != round(exact, DECIMALS):
        raise bad_request(f"{name}: dollars from 0 to {MOST}, with {DECIMALS} decimals at most, not {value!r}.", name)
    return exact


def _complete(given: PriceBody, rates: Mapping[str, Decimal | None]) -> None:
    """Half a price would be none: a count without a rate makes the whole request's price unknown."""
    named = [name for name, rate in rates.items() if rate is not None]
    if (rates["input"] is None) != (rates["output"] is None):
        missing = "input" if rates["input"] is None else "output"
        raise bad_request(f"{missing}: name both `input` and `output`; 0 is a price, too.", missing)
    if rates["input"] is None and (rates["cache_read"] is not None or rates["cache_write"] is not None):
        raise bad_request("input: a price of cached tokens needs `input` and `output` beside it.", "input")
    if not named and not given.subscription:
        raise bad_request("input: name `input` and `output`, or `per_request`, or `subscription`.", "input")


# ---------------------------------------------------------------- The difference


@dataclass(slots=True)
class Sum:
    """Nano-dollars, and how many rows have no known price, before and after."""

    rows: int = 0
    before: int = 0
    after: int = 0
    unpriced_before: int = 0
    unpriced_after: int = 0

    def add(self, before: int | None, after: int | None) -> None:
        self.rows += 1
        self.before += before or 0
        self.after += after or 0
        self.unpriced_before += before is None
        self.unpriced_after += after is None

    def as_json(self) -> Json:
        counts = {"unpriced_before": self.unpriced_before, "unpriced_after": self.unpriced_after}
        return {"rows": self.rows, "before_usd": usage.usd(self.before), "after_usd": usage.usd(self.after), **counts}


@dataclass(slots=True)
class Difference:
    """What pricing rows anew comes to."""

    total: Sum = field(default_factory=Sum)
    models: dict[tuple[str, str], Sum] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Iterable[Mapping[str, Any]], accounts: Mapping[str, Account], own: tuple[PriceOverride, ...]) -> list[table.Change]:
        """Adds the rows; returns those that change."""
        changes: list[table.Change] = []
        for row in rows:
            before = row["cost_nano"]
            found = prices.again(row, accounts.get(row["account_id"] or ""), own)
            if not isinstance(found, str) and found.cost is None and before is not None and row["price_source"] != usage.OVERRIDE:
                found = "unknown"
            if isinstance(found, str):
                self.kept[found] += 1
                self.total.add(before, before)
                continue
            after, worth = usage.nano(found.cost), usage.nano(found.worth)
            self.total.add(before, after)
            if after != before:
                self.models.setdefault((row["provider"] or "", row["model"] or ""), Sum()).add(before, after)
            if (after, worth) != (before, row["shadow_nano"]):
                changes.append(table.Change(row["id"], after, found.source, worth))
        return changes

    def as_json(self) -> Json:
        models = [{"provider": provider, "model": model, **one.as_json()} for (provider, model), one in sorted(self.models.items())]
        changed = sum(one.rows for one in self.models.values())
        return {**self.total.as_json(), "changed": changed, "kept": dict(sorted(self.kept.items())), "models": models}
