"""`GET /models`, in the form of the SDK that asks: three protocols share one path (clients.md, finding 1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omni_connector.chat import Json
from omni_connector.wire import gemini_models

NO_DATE = "1970-01-01T00:00:00Z"
"""Anthropic's SDK wants a time; nobody tells us when a model was made."""


def one(wire: str, model: str, owner: str) -> Json:
    """One model. `owner`: the provider, or omni-connector for its own names (auto, aliases)."""
    if wire == "anthropic-messages":
        return {"type": "model", "id": model, "display_name": model, "created_at": NO_DATE}
    if wire == "gemini-generate":
        embeds = "embed" in model.lower()
        return gemini_models.render_model(model, methods=gemini_models.EMBEDDING_METHODS if embeds else gemini_models.CHAT_METHODS)
    return {"id": model, "object": "model", "created": 0, "owned_by": owner}


def many(wire: str, models: Iterable[tuple[str, str]]) -> Json:
    """All of them: (model, owner) pairs → the format's list."""
    listed = [(model, one(wire, model, owner)) for model, owner in models]
    data = [entry for _, entry in listed]
    if wire == "anthropic-messages":
        ends = {"first_id": listed[0][0] if listed else None, "last_id": listed[-1][0] if listed else None}
        return {"data": data, "has_more": False, **ends}
    if wire == "gemini-generate":
        return gemini_models.render_models(data)
    return {"object": "list", "data": data}


def names(wire: str, body: Any) -> list[str]:
    """The ids in a format's list, as a client reads them; [] of anything else."""
    field, key = ("models", "name") if wire == "gemini-generate" else ("data", "id")
    listed = body.get(field) if isinstance(body, dict) else None
    found = [entry.get(key) for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return [name.removeprefix("models/") for name in found if isinstance(name, str)]
