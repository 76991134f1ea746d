"""Words for the shapes of answers, and the JSON Schema they stand for.

A shape is written as what it describes looks like: `{"id": "text", "until": "int?", "models": ["text"], "budget": "Budget?"}`. A mark
behind the word: `?` may be null. A mark behind a field: `?` may be absent. Capital letter: a shape of COMPONENTS. A text that begins
with `=` names the only values: `=ok|degraded`. Objects may hold more than is written: answers grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
Shape = Any
"""A word, a list of one shape, or a mapping of fields."""

WORDS: Mapping[str, Json] = {
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "object": {"type": "object"},
    "array": {"type": "array"},
    "null": {"type": "null"},
    "any": {},
    "time": {"type": "integer", "description": "Milliseconds UTC."},
    "usd": {"type": "string", "description": "Dollars, exact, as text."},
}


def schema(shape: Shape) -> Json:
    """The JSON Schema of a shape. Raises KeyError for a word that is none."""
    if isinstance(shape, list):
        (item,) = shape
        return {"type": "array", "items": schema(item)}
    if isinstance(shape, Mapping):
        required = [name for name in shape if not name.endswith("?")]
        fields = {name.rstrip("?"): schema(inner) for name, inner in shape.items()}
        return {"type": "object", "properties": fields, **({"required": required} if required else {})}
    word, nullable = (shape[:-1], True) if shape.endswith("?") else (shape, False)
    found = _word(word)
    return {"anyOf": [found, {"type": "null"}]} if nullable else found


def _word(word: str) -> Json:
    if word.startswith("="):
        return {"type": "string", "enum": word[1:].split("|")}
    if word.startswith("map:"):
        return {"type": "object", "additionalProperties": schema(word[4:])}
    if word[0].isupper():
        return reference(word)
    return dict(WORDS[word])


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_SUMS = {
    "requests": "int",
    "failed": "int",
    "input": "int",
    "cache_read": "int",
    "cache_write": "int",
    "output": "int",
    "reasoning": "int",
    "unpriced": "int",
    "cost_usd": "usd",
    "worth_usd": "usd",
}
_STATUS = "=ready|cooling|locked|needs_login|disabled|error"
_COUNTS = {"ready": "int", "cooling": "int", "locked": "int", "needs_login": "int", "disabled": "int", "error": "int"}
_LIMITED = {"rpm": "int?", "tpm": "int?", "max_in_flight": "int?", "budget": "Budget?"}

COMPONENTS: Mapping[str, Shape] = {
    "Error": {"error": {"message": "text"}},
    "Budget": {"amount": "text", "period": "=day|week|month|total", "spent_usd?": "usd", "held_usd?": "usd", "resets_at?": "time?"},
    "Cooldown": {"until": "time", "source": "=stated|guessed|terminal", "scope": "text", "reason": "text"},
    "Balance": {"amount?": "text", "currency?": "text"},
    "Window": {"name": "text", "used": "any", "limit": "any", "unit": "text?", "resets_at": "time?", "state": "text"},
    "Account": {
        "id": "text", "provider": "text", "provider_label": "text", "demo": "bool", "label": "text", "auth": "=api_key|oauth|cli|none",
        "key_hint": "text", "access_until": "time?", "base_url": "text", "models": ["text"], "discovered": ["text"], "serves": ["text"],
        "prefix": "text", "model_map": "map:text", "enabled": "bool", "priority": "int", "weight": "int", **_LIMITED, "options": "object",
        "proxy": "bool", "status": _STATUS, "status_reason": "text", "cooldown": "Cooldown?", "cooldowns": ["Cooldown"],
        "quota": ["Window"], "balance": "Balance?", "in_flight": "int", "last_used_at": "time?", "created_at": "time",
        "heartbeat": ["object"], "requests_today": "int", "cost_today": "usd?", "can_probe": "bool", "can_refresh": "bool",
        "test?": "Test?", "warning?": "text?",
    },
    "Test": {"ok": "bool", "status": "int?", "message": "text", "models": ["text"], "latency_ms": "int"},
    "Key": {
        "id": "text", "name": "text", "hint": "text", "created_at": "time", "expires_at": "time?", "revoked_at": "time?",
        "last_used_at": "time?", "models": "array?", "providers": "array?", **_LIMITED, "status": "=active|expired|revoked",
    },
    "NewlyMadeKey": {"id": "text", "key": "text", "name": "text"},
    "Provider": {
        "id": "text", "label": "text", "name": "text", "enabled": "bool", "base_url": "text", "default_base_url": "text",
        "model_map": "map:text", "accounts": ["text"], "health": "Counts", "auth": "text", "local": "bool", "demo": "bool",
        "custom": "bool", "env": ["text"], "default_models": ["text"], "regions": "map:text",
    },
    "Counts": _COUNTS,
    "Request": {
        "id": "text", "at": "time", "state": "text", "outcome": "text?", "flag": "text?", "protocol": "text?", "path": "text?",
        "stream": "bool", "client": "text?", "node": "text?", "key": {"id": "text?", "name": "text?"}, "model_requested": "text?",
        "model": "text?", "provider": "text?", "account": {"id": "text?", "label": "text?"}, "http_status": "int?", "attempts": ["object"],
        "skipped": ["object"], "route": "text?", "dropped": "array", "first_token_ms": "int?", "duration_ms": "int?", "usage": "object",
        "cost": {"usd": "usd?", "source": "text?", "worth_usd": "usd?"}, "error": "object?",
    },
    "Job": {
        "id": "text", "kind": "text", "key": "text", "due_at": "time", "interval_s": "int?", "attempts": "int", "state": "text",
        "last_run_at": "time?", "last_ok_at": "time?", "last_error": "text?", "lease_until": "time?",
    },
    "Setting": {
        "name": "text", "env": "text", "kind": "=str|int|float|bool|list", "help": "text", "value": "any", "default": "any",
        "source": "=environment|database|default", "choices": ["text"], "stored": "bool", "secret": "bool",
    },
    "Config": {"settings": ["Setting"], "aliases": "object", "chains": "object"},
    "Alias": {"name": "text", "targets": ["text"]},
    "Chain": {"name": "text", "tiers": [["text"]]},
    "Gone": {"name": "text", "removed": "bool"},
    "Limit": {"scope": "=installation|provider|model", "subject": "text", "name": "text", **_LIMITED, "updated_at": "time"},
    "Price": {
        "pattern": "text", "account": "object?", "provider": "text?", "input": "text?", "output": "text?", "cache_read": "text?",
        "cache_write": "text?", "per_request": "text?", "subscription": "bool", "updated_at": "time",
    },
    "Alert": "object",
    "Channel": {
        "id": "text", "kind": "text", "label": "text", "name": "text", "hint": "text", "kinds": ["text"], "enabled": "bool",
        "signed": "bool", "created_at": "time?", "last_ok_at": "time?", "last_error": "text?",
    },
    "Sums": _SUMS,
    "UsageRow": {"id": "text?", "name": "text?", **_SUMS},
    "Usage": {
        "group": "text", "from": "time", "to": "time", "zone": "text", "currency": "text", "rows": ["UsageRow"], "total": "Sums",
        "bucket?": "text", "bars?": ["UsageBar"], "series?": ["UsageSeries"], "others?": "object?",
    },
    "UsageBar": {"name": "text", **_SUMS},
    "UsageSeries": {
        "id": "text?", "name": "text", "requests": ["int"], "tokens": ["int"], "cost_usd": ["usd"], "worth_usd": ["usd"],
    },
    "Flow": {"flow_id": "text", "way?": "text", "authorization_url?": "text", "verification_uri?": "text", "user_code?": "text"},
    "Model": {
        "id": "text", "accounts": ["text"], "providers": ["text"], "context_window": "int?", "max_output": "int?",
        "input_usd_per_mtok": "text?", "output_usd_per_mtok": "text?", "price_override": "bool", "capabilities": ["text"],
    },
    "Backend": {
        "id": "text", "label": "text", "provider": "text", "enabled": "bool", "status": _STATUS, "status_reason": "text",
        "in_flight": "int", "latency_ms": "int?", "error_rate": "number", "cooldown": "Cooldown?",
        "requests_today": "int", "cost_today": "usd?",
    },
    "File": {
        "path": "text", "kind": "text", "bytes": "int", "changed_at": "time", "shown": "bool", "removable": "bool", "why": "text",
    },
    "ModelList": {"data?": ["object"], "models?": ["object"]},
    "Count": {"input_tokens?": "int", "totalTokens?": "int"},
}  # fmt: skip
"""What several answers hold, by name."""
