"""Small readers that the quota readers share. Pure; whatever comes in, nothing raises."""

from __future__ import annotations

from typing import Any

from omni_connector.providers import quota_headers
from omni_connector.providers.addresses import Endpoints, base_url, check_url, named_endpoint
from omni_connector.providers.provider import Provider
from omni_connector.snapshot import Account

Json = dict[str, Any]
Question = tuple[str, str, dict[str, str], bytes]
"""(method, address, headers, body)."""

NAMES = {18_000: "5h", 86_400: "day", 604_800: "week", 2_592_000: "month"}
"""Seconds of a window → what it is called here."""
HOUR_S, DAY_S = 3600, 86_400
NEARLY_S = 120
"""Windows are told as 18001 s too."""
EPOCH_MS = 10**11
"""A Unix time above this is in milliseconds."""


def address(provider: Provider, account: Account, endpoints: Endpoints, path: str) -> str:
    """Where the quota is asked: as replaced, else this path at the host that the account calls (`/coding/v1/usages`)."""
    if named := named_endpoint("quota", provider, account, endpoints):
        return check_url(named, "options.endpoints.quota")
    scheme, _, rest = base_url(provider, account, endpoints).partition("://")
    return f"{scheme}://{rest.partition('/')[0]}{path}"


def window_name(seconds: float | None) -> str:
    """ "5h", "day", "week", "month", "90m"; "window" where the length is not told."""
    if seconds is None or seconds <= 0:
        return "window"
    near = next((name for length, name in NAMES.items() if abs(length - seconds) <= NEARLY_S), "")
    if near:
        return near
    for length, letter in ((DAY_S, "d"), (HOUR_S, "h")):
        if seconds >= length - NEARLY_S and abs(seconds / length - round(seconds / length)) * length <= NEARLY_S:
            return f"{round(seconds / length)}{letter}"
    return f"{max(1, round(seconds / 60))}m"


def window(name: str, used: float | None, limit: float | None, unit: str, resets_at: int | None = None, model: str = "") -> Json:
    """As `quota_readers` describes it; unknown where it is not told how much is used."""
    state = "unknown" if used is None or limit is None else "live"
    told: Json = {"name": name, "used": used, "limit": limit, "unit": unit, "resets_at": resets_at, "state": state}
    return {**told, "model": model} if model else told


def percent(name: str, used: float | None, resets_at: int | None = None, model: str = "") -> Json:
    """A window that is only told as a share."""
    return window(name, None if used is None else min(100.0, max(0.0, used)), None if used is None else 100.0, "%", resets_at, model)


def number(value: Any) -> float | None:
    found = quota_headers.number(value)
    return None if found is None or found < 0 else found


def moment(value: Any) -> int | None:
    """Unix seconds or milliseconds, also as text, or RFC 3339 → ms."""
    found = number(value)
    if found is not None:
        return round(found if found > EPOCH_MS else found * 1000) or None
    return quota_headers.moment(value)


def obj(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    return value.strip()[:100] if isinstance(value, str) else ""
