"""What a provider says an answer took, in the usage block of the answer itself. Pure; whatever comes in, nothing raises.

A reader is named by the provider's row (`Provider.cost`) or, for accounts of one's own address, by the host that is called. Only hosts
that are known to bill what they report are believed; Azure, for one, sends xAI's field with 0 in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from omni_connector.providers.provider import Provider
from omni_connector.snapshot import Account

Json = Mapping[str, Any]

HOSTS: Mapping[str, str] = {
    "openrouter.ai": "openrouter",
    "api.x.ai": "xai",
    "api.perplexity.ai": "perplexity",
    "ai-gateway.vercel.sh": "vercel",
}
"""Host of an account's own address → reader."""

TICKS = Decimal(10_000_000_000)
"""xAI's for one dollar (docs.x.ai, "Cost tracking")."""
MOST = Decimal(10_000)
"""Dollars: no single answer takes more, so more is not believed."""


def read(provider: Provider, account: Account, raw: Json) -> Decimal | None:
    """Dollars of one answer; None where the provider is not known to tell, or does not. `raw`: the usage block as it came."""
    if account.base_url:
        reader = READERS.get(HOSTS.get(_host(account.base_url), ""))
    else:
        reader = READERS.get(provider.cost)
    return None if reader is None or not raw else reader(raw)


def _openrouter(raw: Json) -> Decimal | None:
    """`cost` is what the account is charged. With a key of one's own at the model's host that is the fee alone, and the host bills the
    rest, told beside it (openrouter.ai/docs, "Usage accounting"). Free models really cost 0."""
    charged = _dollars(raw.get("cost"))
    if charged is None or raw.get("is_byok") is not True:
        return charged
    details = raw.get("cost_details")
    elsewhere = _dollars(details.get("upstream_inference_cost")) if isinstance(details, Mapping) else None
    return None if elsewhere is None else charged + elsewhere


def _xai(raw: Json) -> Decimal | None:
    """The amount billed, discounts and searches included (docs.x.ai, "Cost tracking")."""
    ticks = _number(raw.get("cost_in_usd_ticks"))
    return _dollars(ticks / TICKS) if ticks else None


def _perplexity(raw: Json) -> Decimal | None:
    """Tokens and the search itself; 0 in every chunk but the last of a stream (recorded traffic)."""
    cost = raw.get("cost")
    return (_dollars(cost.get("total_cost")) or None) if isinstance(cost, Mapping) else None


def _vercel(raw: Json) -> Decimal | None:
    """What is taken from the credits. With a key of one's own at the model's host that is not what the answer costs."""
    return None if raw.get("is_byok") is True else _dollars(raw.get("cost"))


READERS: Mapping[str, Callable[[Json], Decimal | None]] = {
    "openrouter": _openrouter,
    "xai": _xai,
    "perplexity": _perplexity,
    "vercel": _vercel,
}


def _dollars(value: Any) -> Decimal | None:
    found = _number(value)
    return found if found is not None and 0 <= found <= MOST else None


def _number(value: Any) -> Decimal | None:
    """JSON's number, or its text, to the last digit that was written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal) or len(text := str(value)) > 40:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found.adjusted()) < 30 else None


@lru_cache(maxsize=1024)
def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
