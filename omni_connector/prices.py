"""What an answer costs at an account: the user's own prices first, then the list's (`usage.py`).

Of the prices that name a model, the nearest wins: one for the account before one for the provider before one for everybody;
then the model's own id before its family before a pattern; of two patterns the one that says more.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from omni_connector import catalog, providers, usage
from omni_connector.chat import Usage
from omni_connector.snapshot import Account, PriceOverride

ID, FAMILY, PATTERN = range(3)
COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning", "cache_write_1h", "web_searches")
"""Counts of a row of the books, by the same names as in Usage."""


def price(used: Usage, account: Account, model: str, at: int | None = None) -> usage.Price:
    """`usage.price` of an answer by this account; `model` is the provider's own id. `at`: ms UTC, None = now."""
    return usage.price(used, providers.price_id(account), model, override=rates(account, model), at=at)


def rates(account: Account, model: str) -> usage.Rates | None:
    """What the user set for the model there; None: nothing."""
    found = find(account, model)
    return None if found is None else _rates(found)


def find(account: Account, model: str) -> PriceOverride | None:
    """The nearest of the account's prices that names the model."""
    fitting = [(_far(entry.scope), fit, entry) for entry in account.prices if (fit := fits(entry.pattern, model)) is not None]
    return min(fitting, key=lambda found: found[:2])[2] if fitting else None


@lru_cache(maxsize=8192)
def fits(pattern: str, model: str) -> tuple[int, int, str] | None:
    """How nearly a pattern names a model, the nearest sorts first; None: it names another one."""
    text, name = pattern.lower(), model.lower()
    if text == name:
        return ID, 0, text
    of = catalog.family(name)
    if "*" in text or "?" in text:
        plain = text.replace("[", "[[]")  # ids have brackets of their own: "opus[1m]"
        said = len(text) - text.count("*") - text.count("?")
        return (PATTERN, -said, text) if fnmatchcase(name, plain) or fnmatchcase(of, plain) else None
    # A family has lost nothing by being looked up as one; "gpt-4o-2024-08-06" would, and means that edition only.
    whole = catalog.family(text)
    return (FAMILY, 0, text) if whole == of and len(whole) == len(text) else None


def _far(scope: str) -> int:
    return 2 if not scope else 1 if scope.startswith("provider:") else 0


def _rates(entry: PriceOverride) -> usage.Rates:
    if entry.subscription:
        return usage.NOTHING
    nothing = Decimal(0)
    return usage.own_rates(
        entry.input or nothing, entry.output or nothing, entry.cache_read, entry.cache_write, entry.per_request or nothing
    )


# ---------------------------------------------------------------- Rows of the books


def again(row: Mapping[str, Any], account: Account | None, own: tuple[PriceOverride, ...]) -> usage.Price | str:
    """What a settled row costs by the prices known now, or in a word why its cost stays. The price list's own dates count: a row is
    priced by what held when it was settled. `account`: None when it is removed; then only `own`, the prices the user set, can tell.

    Words: "reported" (the provider said what it took), "continued" (two accounts share the row), "removed".
    """
    if row["price_source"] == usage.REPORTED:
        return usage.REPORTED
    if row["flag"] == "CONTINUED":
        return "continued"
    name, provider, model = row["account_id"] or "", row["provider"] or "", row["model"] or ""
    if account is None:
        mine = tuple(entry for entry in own if entry.holds_for(name, provider))
        account = Account(name, provider, "", prices=mine)
        if find(account, model) is None:
            return "removed"
    used = Usage(raw=row["usage_raw"] or {}, **{count: row[count] for count in COUNTS})
    return price(used, account, model, row["settled_at"])
