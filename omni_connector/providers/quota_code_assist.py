"""What is left on an account of Code Assist or Antigravity: the questions that cost nothing, and their answers as windows.

Code Assist tells a bucket a model (`:retrieveUserQuota`), Antigravity a bucket a group of models and length of window
(`:retrieveUserQuotaSummary`, recorded); its model list tells the same coarser. Plan and paid credits come from `:loadCodeAssist`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from omni_connector.providers.addresses import Endpoints, base_url, check_url, named_endpoint, request_headers
from omni_connector.providers.provider import EMPTY, Provider
from omni_connector.snapshot import Account
from omni_connector.wire.code_assist_words import METADATA, VARIANT, VARIANT_METADATA

Json = dict[str, Any]
Question = tuple[str, str, dict[str, str], bytes]
"""(method, address, headers, body)."""

GROUPS: Mapping[str, tuple[str, ...]] = {"gemini": ("gemini-*",), "3p": ("claude-*", "gpt-*")}
"""What a bucket's id begins with → the models that share it. Another id counts for all models."""
WINDOWS: Mapping[str, str] = {"weekly": "week", "daily": "day"}
"""The provider's word for a window → ours; others are kept."""
PERCENT = 100.0


def requests(provider: Provider, account: Account, endpoints: Endpoints = EMPTY) -> list[Question]:
    """The questions, in no order that `read` needs. GatewayError BAD_REQUEST as `base_url` raises it."""
    named = named_endpoint("quota", provider, account, endpoints)
    base = check_url(named, "options.endpoints.quota") if named else base_url(provider, account, endpoints)
    base = f"{base.removesuffix('/v1internal')}/v1internal"
    headers = {**request_headers(provider, account), "content-type": "application/json"}
    project = account.options.get("project")
    of_project = {"project": project} if project else {}
    if VARIANT in provider.features:
        asked: list[tuple[str, Json]] = [
            ("retrieveUserQuotaSummary", of_project),
            ("loadCodeAssist", {"metadata": VARIANT_METADATA}),
        ]
    else:
        load = {"metadata": METADATA, "mode": "HEALTH_CHECK", **({"cloudaicompanionProject": project} if project else {})}
        asked = [("retrieveUserQuota", of_project), ("loadCodeAssist", load)]
    return [("POST", f"{base}:{call}", headers, json.dumps(body).encode()) for call, body in asked]


def read(answers: Sequence[Any]) -> tuple[list[Json], str]:
    """Windows ({"name", "used", "limit", "unit", "resets_at" ms | None, "state", "model"?}) and the plan's name, "" when it is not
    told. `answers`: parsed JSON, anything for a question that failed; each is known by its shape."""
    windows: list[Json] = []
    plan = ""
    told = [answer for answer in answers if isinstance(answer, dict)]
    grouped = any("groups" in answer or "buckets" in answer for answer in told)
    for answer in told:
        for bucket in _objects(answer.get("buckets")):
            windows += _of_model(bucket)
        for group in _objects(answer.get("groups")):
            for bucket in _objects(group.get("buckets")):
                windows += _of_group(bucket)
        if isinstance(answer.get("models"), dict) and not grouped:
            windows += [window for name, model in answer["models"].items() for window in _of_listed(name, model)]
        paid, current = _object(answer.get("paidTier")), _object(answer.get("currentTier"))
        plan = plan or next(filter(None, (_text(tier.get(name)) for tier in (paid, current) for name in ("name", "id"))), "")
        windows += [window for credit in _objects(paid.get("availableCredits")) for window in _credits(credit)]
    return windows, plan


def _of_model(bucket: Json) -> list[Json]:
    """Code Assist: `remainingAmount` of `tokenType` (requests), or only a fraction."""
    model, fraction, amount = _text(bucket.get("modelId")), _number(bucket.get("remainingFraction")), _number(bucket.get("remainingAmount"))
    used: float | None = None
    limit: float | None = None
    unit = "%"
    if amount is not None and fraction:
        limit, unit = round(amount / fraction), _text(bucket.get("tokenType")).lower() or "requests"
        used = max(0.0, limit - amount)
    elif fraction is not None:
        used, limit = _spent(fraction)
    return [_window("day", used, limit, unit, bucket, model)]


def _of_group(bucket: Json) -> list[Json]:
    """Antigravity: a fraction of an unnamed amount, shared by the models of the group. One window for each name they may have."""
    fraction = _number(bucket.get("remainingFraction"))
    if bucket.get("disabled") is True:
        return []
    used, limit = _spent(fraction)
    word = _text(bucket.get("window"))
    models = GROUPS.get(_text(bucket.get("bucketId")).partition("-")[0], ("",))
    return [_window(WINDOWS.get(word, word or "window"), used, limit, "%", bucket, model) for model in models]


def _of_listed(name: str, model: Any) -> list[Json]:
    """The coarser word of Antigravity's model list."""
    info = _object(_object(model).get("quotaInfo"))
    if not info:
        return []
    used, limit = _spent(_number(info.get("remainingFraction")))
    return [_window("window", used, limit, "%", info, name)]


def _credits(credit: Json) -> list[Json]:
    """Paid credits: how many there were is not told, so what is left is the limit."""
    amount = _number(credit.get("creditAmount"))
    kind = _text(credit.get("creditType"))
    return [] if amount is None else [_window(f"credits {kind}".strip(), 0.0, amount, "credits", {})]


def _spent(fraction: float | None) -> tuple[float | None, float | None]:
    """Of a hundred; two decimals are more than anybody reads."""
    return (None, None) if fraction is None else (round(PERCENT * (1 - min(1.0, max(0.0, fraction))), 2), PERCENT)


def _window(name: str, used: float | None, limit: float | None, unit: str, told: Json, model: str = "") -> Json:
    state = "unknown" if used is None else "live"
    window: Json = {"name": name, "used": used, "limit": limit, "unit": unit, "resets_at": _moment(told.get("resetTime")), "state": state}
    return {**window, "model": model} if model else window


def _moment(value: Any) -> int | None:
    """RFC 3339 → ms UTC."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if found is None else round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e15 else None


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[Json]:
    found: Iterable[Any] = value if isinstance(value, list) else ()
    return [item for item in found if isinstance(item, dict)]


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
