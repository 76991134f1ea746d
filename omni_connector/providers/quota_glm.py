"""What is left of a GLM coding plan: `/api/monitor/usage/quota/limit` at Z.ai and bigmodel.cn, undocumented (upstreams.md §11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omni_connector.providers.addresses import Endpoints, region_of, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.providers.quota_values import Json, Question, address, moment, number, obj, objects, percent, text, window, window_name
from omni_connector.snapshot import Account

CODING = "-coding"
"""How the regions of the plan end; a key of the general API has no plan, and is not asked about one."""
SECONDS = {3: 3600, 4: 86_400, 5: 2_592_000, 6: 604_800}
"""`unit` → seconds. 3 and 6 were seen; the others follow from their place."""
TOKENS, TOOLS = "TOKENS_LIMIT", "TIME_LIMIT"


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """The key stands bare in its header there. GatewayError BAD_REQUEST as `base_url` raises it."""
    if not region_of(provider, account).endswith(CODING):
        return []
    headers = {**request_headers(provider, account), "accept": "application/json", "accept-language": "en-US,en"}
    headers["authorization"] = headers.get("authorization", "").removeprefix("Bearer ")
    return [("GET", address(provider, account, endpoints, provider.quota_path), headers, b"")]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows and the plan ("pro"). An answer that says that there is no plan has none."""
    windows: list[Json] = []
    plan = ""
    for answer in map(obj, answers):
        data = obj(answer.get("data"))
        if answer.get("success") is False:
            continue
        plan = plan or text(data.get("level")).lower()
        for limit in objects(data.get("limits")):
            windows += _window(limit)
    return windows, plan


def _window(told: Json) -> list[Json]:
    """Tokens are told as a share only. Calls of the plan's own tools (search) are counted apart: `model` "tools" keeps them from
    standing against the models."""
    end, share = moment(told.get("nextResetTime")), number(told.get("percentage"))
    if told.get("type") == TOKENS:
        unit, count = number(told.get("unit")), number(told.get("number"))
        seconds = SECONDS.get(int(unit)) if unit is not None else None
        return [percent(window_name(None if seconds is None or count is None else seconds * count), share, end)]
    if told.get("type") == TOOLS:
        used, limit = number(told.get("currentValue")), number(told.get("usage"))
        if used is None or limit is None:
            return [percent("month", share, end, "tools")]
        return [window("month", used, limit, "calls", end, "tools")]
    return []
