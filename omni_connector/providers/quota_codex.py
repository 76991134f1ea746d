"""What is left of a ChatGPT plan at the Codex backend: `wham/usage`, and the `x-codex-*` headers of every answer (upstreams.md §6A)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from omni_connector.providers.addresses import Endpoints, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.providers.quota_values import Json, Question, address, moment, number, obj, objects, percent, text, window, window_name
from omni_connector.snapshot import Account

SLOTS = ("primary", "secondary")
"""Either may be missing, and either may be the short one: the length tells."""
PLAIN = frozenset({"", "codex"})
"""Limit ids of the plan itself; others are of a model or a feature."""
_HEADER = re.compile(r"x-codex-(?:(?P<limit>[a-z0-9-]+?)-)?(?P<slot>primary|secondary)-used-percent\Z")
_ODD = re.compile(r"[^a-z0-9.]+")


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """GatewayError BAD_REQUEST as `base_url` raises it."""
    url = address(provider, account, endpoints, provider.quota_path)
    return [("GET", url, {**request_headers(provider, account), "accept": "application/json"}, b"")]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows and the plan ("plus"). A limit of its own model or feature has that as `model`, so it counts for nothing else."""
    windows: list[Json] = []
    plan = ""
    for answer in map(obj, answers):
        plan = plan or text(answer.get("plan_type"))
        windows += _limits(obj(answer.get("rate_limit")), "")
        for extra in objects(answer.get("additional_rate_limits")):
            limit = extra.get("rate_limit")
            named = text(extra.get("limit_name")) or text(extra.get("name")) or text(extra.get("metered_feature"))
            windows += _limits(obj(limit) if limit is not None else extra, _model(named) or "other")
        windows += _credits(obj(answer.get("credits")))
    return windows, plan


def harvest(headers: Mapping[str, str]) -> list[Json]:
    """The same from an answer's headers (lower-case names)."""
    windows: list[Json] = []
    for name in headers:
        found = _HEADER.match(name)
        if found is None:
            continue
        start = name.removesuffix("used-percent")
        minutes = number(headers.get(f"{start}window-minutes"))
        limit = found["limit"] or ""
        model = "" if limit in PLAIN else limit
        end = moment(headers.get(f"{start}reset-at"))
        if minutes or end is not None:  # else nobody could say when it stops being true
            windows.append(percent(window_name(None if minutes is None else minutes * 60), number(headers[name]), end, model))
    told = {name: headers.get(f"x-codex-credits-{name.replace('_', '-')}") for name in ("has_credits", "unlimited", "balance")}
    flags = {name: told[name] == "true" for name in ("has_credits", "unlimited") if told[name] is not None}
    return windows + _credits({**told, **flags})


def _limits(limit: Json, model: str) -> list[Json]:
    """One window a slot; where a limit is reached without a number, it is used up."""
    found = []
    for slot in SLOTS:
        told = limit.get(f"{slot}_window")
        if isinstance(told, dict):
            name = window_name(number(told.get("limit_window_seconds")))
            found.append(percent(name, number(told.get("used_percent")), moment(told.get("reset_at")), model))
    return found


def _credits(credits: Json) -> list[Json]:
    """Bought beside the plan: how many there were is not told, so what is left is the limit."""
    balance = number(credits.get("balance"))
    if not credits.get("has_credits") or credits.get("unlimited") or balance is None:
        return []
    return [window("credits", 0.0, balance, "credits", model="credits")]


def _model(name: str) -> str:
    """ "GPT-5.3-Codex-Spark" → "gpt-5.3-codex-spark", as models are called."""
    return _ODD.sub("-", name.lower()).strip("-")
