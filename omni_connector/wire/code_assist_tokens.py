"""`:countTokens` of Code Assist (upstreams.md §4): the half of `gemini_tokens` that faces the provider; `counting` drives it."""

from __future__ import annotations

import omni_connector.wire.code_assist as code_assist
from omni_connector.chat import ChatRequest, Json, Rendered, Target
from omni_connector.wire.code_assist_words import NAME, PATH, VARIANT, backend_model
from omni_connector.wire.gemini_tokens import parse_count
from omni_connector.wire.gemini_words import dumps

__all__ = ["NAME", "parse_count", "path", "render_count_request"]


def path(model: str) -> str:
    """Below the host: the model stands in the body."""
    return f"{PATH}:countTokens"


def render_count_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """{"request": {"model", "contents"}}: no more is taken here. System and tools are counted as text in front, and thoughts as
    text, since they cost tokens too."""
    rendered = code_assist.render_request(request, model, target)
    body: Json = rendered.body["request"]
    contents = [{**content, "parts": [_as_text(part) for part in content["parts"]]} for content in body["contents"]]
    system = body.get("systemInstruction", {}).get("parts", [])
    tools = [{"text": dumps(body["tools"]).decode()}] if body.get("tools") else []
    if system or tools:
        contents.insert(0, {"role": "user", "parts": [*system, *tools]})
    name = backend_model(model, variant=VARIANT in target.features)
    return Rendered({"request": {"model": f"models/{name}", "contents": contents}}, rendered.dropped)


def _as_text(part: Json) -> Json:
    return {key: value for key, value in part.items() if key not in ("thought", "thoughtSignature")}
