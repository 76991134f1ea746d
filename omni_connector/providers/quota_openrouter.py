"""What is left on an OpenRouter key: `/key`, a limit that its owner set (upstreams.md §12). What is left of the credits is the
account's balance and asked as that; `/credits` is read here too, where somebody asks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omni_connector.providers.addresses import Endpoints, base_url, check_url, named_endpoint, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.providers.quota_values import Json, Question, number, obj, text, window
from omni_connector.snapshot import Account

NAMES = {"daily": "day", "weekly": "week", "monthly": "month"}
"""`limit_reset` → the window; without one the limit is for good."""
FREE, PAID = "free tier", "pay as you go"


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """GatewayError BAD_REQUEST as `base_url` raises it."""
    named = named_endpoint("quota", provider, account, endpoints)
    url = check_url(named, "options.endpoints.quota") if named else f"{base_url(provider, account, endpoints)}/key"
    return [("GET", url, {**request_headers(provider, account), "accept": "application/json"}, b"")]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows in USD, and whether the key is of the free tier."""
    windows: list[Json] = []
    plan = ""
    for answer in map(obj, answers):
        data = obj(answer.get("data"))
        limit, left = number(data.get("limit")), number(data.get("limit_remaining"))
        if limit is not None:
            used = max(0.0, limit - left) if left is not None else number(data.get("usage"))
            windows.append(window(NAMES.get(text(data.get("limit_reset")), "key limit"), used, limit, "USD"))
        total, spent = number(data.get("total_credits")), number(data.get("total_usage"))
        if total is not None and spent is not None:
            windows.append(window("credits", spent, total, "USD"))
        if isinstance(free := data.get("is_free_tier"), bool):
            plan = plan or (FREE if free else PAID)
    return windows, plan
