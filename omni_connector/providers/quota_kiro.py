"""What is left of a Kiro plan (`getUsageLimits`; upstreams.md §9): the credits or requests of a month.

A trial, bonuses and allowed overage lie beside the plan's own amount. They are one window with it: whoever has something left in any of
them is served, so a used-up trial is not the end of the account.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from omni_connector.providers.addresses import Endpoints, base_url, check_url, named_endpoint, project_of, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account, Json

Question = tuple[str, str, dict[str, str], bytes]
"""(method, address, headers, body)."""

RESOURCE = "AGENTIC_REQUEST"
OVER = frozenset({"EXPIRED", "EXHAUSTED", "INACTIVE"})
"""States of a trial or bonus that is no use any more."""
_MS_FROM = 10**11
"""A Unix time above this is in milliseconds."""


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """The one question. GatewayError BAD_REQUEST as `base_url` raises it."""
    named = named_endpoint("quota", provider, account, endpoints)
    if named:
        address = check_url(named, "options.endpoints.quota")
    else:
        host = urlsplit(base_url(provider, account, endpoints))
        address = f"{host.scheme}://{host.netloc}{provider.quota_path}"
    profile = project_of(provider, account)
    query = {"origin": "AI_EDITOR", "resourceType": RESOURCE, **({"profileArn": profile} if profile else {})}
    return [("GET", f"{address}?{urlencode(query)}", request_headers(provider, account), b"")]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows ({"name", "used", "limit", "unit", "resets_at" ms | None, "state"}) and the plan's name, "" when it is not told."""
    windows: list[Json] = []
    plan = ""
    for told in _objects(answers):
        plan = plan or _text(_object(told.get("subscriptionInfo")), "subscriptionTitle", "type")
        overage = _object(told.get("overageConfiguration")).get("overageStatus") == "ENABLED"
        reset = _moment(told.get("nextDateReset"))
        windows += [_window(entry, reset, overage) for entry in _objects(told.get("usageBreakdownList"))]
    return windows, plan


def _window(entry: Json, reset: int | None, overage: bool) -> Json:
    trial = _object(entry.get("freeTrialInfo"))
    beside = [trial, *_objects(entry.get("bonuses"))]
    sources = [entry, *(one for one in beside if one and _text(one, "freeTrialStatus", "status") not in OVER)]
    amounts = [(_amount(one, "currentUsage"), _amount(one, "usageLimit")) for one in sources]
    if overage:
        amounts.append((_amount(entry, "currentOverages"), _amount(entry, "overageCap")))
    # An amount is only of use as a pair; the plan's own must be told for the sum to mean anything.
    pairs = [(used, limit) for used, limit in amounts if used is not None and limit is not None]
    known = bool(pairs) and pairs[0] == amounts[0]
    ends = _moment(entry.get("nextDateReset"))
    return {
        "name": "month",
        "used": round(sum(used for used, _ in pairs), 2) if known else None,
        "limit": round(sum(limit for _, limit in pairs), 2) if known else None,
        "unit": _text(entry, "displayNamePlural", "displayName", "resourceType").lower().replace("_", " ") or "credits",
        "resets_at": reset if ends is None else ends,
        "state": "live" if known else "unknown",
    }


def _amount(said: Json, name: str) -> float | None:
    """With the decimals, where they are told."""
    for value in (said.get(f"{name}WithPrecision"), said.get(name)):
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15:
            return float(value)
    return None


def _moment(value: Any) -> int | None:
    """Unix time, in seconds or milliseconds → ms UTC."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e14:
        return None
    return round(value if value > _MS_FROM else value * 1000)


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    found: Iterable[Any] = value if isinstance(value, list | tuple) else ()
    return [item for item in found if isinstance(item, dict)]


def _text(said: Json, *names: str) -> str:
    return next((value.strip() for name in names if isinstance(value := said.get(name), str) and value.strip()), "")
