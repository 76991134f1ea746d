"""What an answer costs at an account: the user's own prices first, then what the provider says it took, then the list's (`usage.py`).

Of the prices that name a model, the nearest wins: one for the account before one for the provider before one for everybody;
then the model's own id before its family before a pattern; of two patterns the one that says more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from omni_connector import catalog, providers, usage
from omni_connector.chat import Usage
from omni_connector.snapshot import Account, PriceOverride

ID, FAMILY, PATTERN = range(3)
SUBSCRIPTION = usage.FREE["subscription"]
COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning", "cache_write_1h", "web_searches")
"""Counts of a row of the books, by the same names as in Usage."""


VENDORS: tuple[tuple[str, str], ...] = (
    (r"claude-", "anthropic"),
    (r"gpt-|o[134](-|$)|codex-", "openai"),
    (r"gemini-", "google"),
    (r"kimi-", "moonshotai"),
    (r"glm-", "zai"),
    (r"grok-", "x-ai"),
    (r"deepseek-", "deepseek"),
    (r"minimax-", "minimax"),
    (r"mistral-|magistral-|codestral|devstral", "mistral"),
)
"""Pattern on a model's family → whose list says what it costs those who pay by the token. First match wins."""
_LEVEL = re.compile(r"-(thinking|minimal|low|medium|high|xhigh)$")
"""Plans name models with their level of thinking; lists do not."""


def price(used: Usage, account: Account, model: str, at: int | None = None) -> usage.Price:
    """What an answer by this account costs; `model` is the provider's own id. `at`: ms UTC, None = now. Raises nothing."""
    own = find(account, model)
    price_id = providers.price_id(account)
    if own is None and price_id not in usage.FREE and (told := providers.reported_cost(account, used.raw)) is not None:
        return usage.Price(told, usage.REPORTED)
    found = usage.price(used, price_id, model, override=None if own is None else _rates(own), at=at)
    if found.source == SUBSCRIPTION or (own is not None and own.subscription):
        return replace(found, worth=worth(used, own, price_id, model, at))
    return found


def worth(used: Usage, own: PriceOverride | None, price_id: str | None, model: str, at: int | None = None) -> Decimal | None:
    """What an answer that a subscription pays for would cost by the token: by the user's rates beside it, else by the list of who made
    the model. None: unknown."""
    if own is not None and own.subscription and own.rated:
        return usage.price(used, None, model, override=_own_rates(own), at=at).cost
    if price_id is not None and price_id not in usage.FREE:
        return usage.price(used, price_id, model, at=at).cost
    listed = _listed(model)
    return None if listed is None else usage.price(used, *listed, at=at).cost


@lru_cache(maxsize=4096)
def _listed(model: str) -> tuple[str, str] | None:
    """(whose list, the model's name there); None: nobody's list has it."""
    family = catalog.family(model)
    vendor = next((price_id for pattern, price_id in VENDORS if re.match(pattern, family)), None)
    if vendor is None:
        return None
    plain = _LEVEL.sub("", model.strip().lower())
    names = dict.fromkeys((model, plain, catalog.family(plain)))
    return next(((vendor, name) for name in names if usage.priced_model(vendor, name) is not None), None)


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
    return usage.NOTHING if entry.subscription else _own_rates(entry)


def _own_rates(entry: PriceOverride) -> usage.Rates:
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
