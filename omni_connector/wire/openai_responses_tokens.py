"""`/responses/input_tokens`, both sides: a client's request → ChatRequest, a request for an upstream's own counter, and the answers.

The same names as in `anthropic_tokens` and `gemini_tokens`; `counting` drives them.
"""

from __future__ import annotations

from typing import Any

import omni_connector.wire.openai_responses as openai_responses
from omni_connector.chat import ChatRequest, Json, Rendered, Target
from omni_connector.wire import views
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_words import loads
from omni_connector.wire.openai_responses_words import NAME

__all__ = ["NAME", "has_words", "parse_count", "parse_count_request", "path", "render_count", "render_count_request", "same_format"]

FIELDS = ("model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation")
"""What the counter takes of a whole conversation (the vendor's SDK 3.52, InputTokenCountParams)."""
KIND = "response.input_tokens"


def path(model: str) -> str:
    """The upstream path below a provider's base URL."""
    return "/responses/input_tokens"


def has_words(body: Json) -> bool:
    """Is there anything that an upstream would count rather than refuse?"""
    return any(body.get(name) for name in ("input", "instructions", "tools", "previous_response_id", "conversation", "prompt"))


def same_format(body: bytes, value: Json, model: str) -> bytes:
    """A client's own body (`value` is what it holds) for an upstream of this format, with the upstream's model id."""
    return body if value.get("model") == model else views.splice(body, {"model": model})


def parse_count_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST) as `parse_request` does, and for what only one provider's memory knows."""
    openai_responses.refuse_state(body)
    return openai_responses.parse_request(body)


def render_count_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The body for an upstream's counter: the fields that count. Raises GatewayError for what the format cannot say."""
    rendered = openai_responses.render_request(request, model, target)
    return Rendered({name: rendered.body[name] for name in FIELDS if name in rendered.body}, rendered.dropped)


def parse_count(body: Any) -> int | None:
    """An upstream's answer (bytes or values) → tokens; None when it does not say."""
    value = loads(body) if isinstance(body, bytes) else body
    tokens = integer(value.get("input_tokens")) if isinstance(value, dict) else None
    return tokens if tokens is not None and tokens >= 0 else None


def render_count(total: int) -> Json:
    """{"object", "input_tokens"}."""
    return {"object": KIND, "input_tokens": total}
