"""What is left of a Kimi coding plan: `/coding/v1/usages`, undocumented (upstreams.md §10b). Numbers come as text, and some are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omni_connector.providers.addresses import Endpoints, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.providers.quota_values import Json, Question, address, moment, number, obj, objects, text, window, window_name
from omni_connector.snapshot import Account

SECONDS = {"TIME_UNIT_SECOND": 1, "TIME_UNIT_MINUTE": 60, "TIME_UNIT_HOUR": 3600, "TIME_UNIT_DAY": 86_400, "TIME_UNIT_WEEK": 604_800}
WHOLE = "week"
"""The window of `usage`, which is not told."""


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """GatewayError BAD_REQUEST as `base_url` raises it."""
    url = address(provider, account, endpoints, provider.quota_path)
    return [("GET", url, {**request_headers(provider, account), "accept": "application/json"}, b"")]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows, the shortest first, and the plan ("intermediate")."""
    windows: list[Json] = []
    plan = ""
    for answer in map(obj, answers):
        level = text(obj(obj(answer.get("user")).get("membership")).get("level"))
        plan = plan or level.removeprefix("LEVEL_").replace("_", " ").lower()
        for limit in objects(answer.get("limits")):
            span = obj(limit.get("window"))
            unit, duration = SECONDS.get(text(span.get("timeUnit"))), number(span.get("duration"))
            name = window_name(None if unit is None or duration is None else unit * duration)
            windows += _window(name, obj(limit.get("detail")))
        windows += _window(WHOLE, obj(answer.get("usage")))
    return windows, plan


def _window(name: str, told: Json) -> list[Json]:
    limit, used, left = (number(told.get(key)) for key in ("limit", "used", "remaining"))
    if limit is None:
        return []
    if used is None and left is not None:
        used = max(0.0, limit - left)
    end = next((at for key in ("resetTime", "resetAt", "reset_time", "reset_at") if (at := moment(told.get(key))) is not None), None)
    return [window(name, used, limit, "requests", end)]
