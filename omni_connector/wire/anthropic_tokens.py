"""`/messages/count_tokens`, both sides: a client's request → ChatRequest, a request for an upstream's own counter, and the answers.

The same names as in `gemini_tokens` and `openai_responses_tokens`; `counting` drives them.
"""

from __future__ import annotations

from typing import Any

import omni_connector.wire.anthropic_messages as anthropic_messages
from omni_connector.chat import ChatRequest, Json, Rendered, Target
from omni_connector.wire import views
from omni_connector.wire.anthropic_words import NAME, loads_object
from omni_connector.wire.fields import integer

__all__ = ["NAME", "has_words", "parse_count", "parse_count_request", "path", "render_count", "render_count_request", "same_format"]

FIELDS = ("model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control", "speed")
"""What the counter takes (the vendor's SDK 2.11, MessageCountTokensParams); it refuses the rest of a Messages request, as
`max_tokens`, `stream` and `metadata` (upstreams.md §2)."""


def path(model: str) -> str:
    """The upstream path below a provider's base URL."""
    return "/messages/count_tokens"


def has_words(body: Json) -> bool:
    """Is there anything that an upstream would count rather than refuse? Claude Code counts tools beside an empty `messages`."""
    return bool(body.get("messages"))


def same_format(body: bytes, value: Json, model: str) -> bytes:
    """A client's own body (`value` is what it holds) for an upstream of this format, with the upstream's model id."""
    return body if value.get("model") == model else views.splice(body, {"model": model})


def parse_count_request(body: Json) -> ChatRequest:
    """Raises GatewayError (BAD_REQUEST) as `parse_request` does. There is no `max_tokens` here."""
    return anthropic_messages.parse_request(body)


def render_count_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The body for an upstream's counter: the fields that count. Raises GatewayError for what the format cannot say."""
    rendered = anthropic_messages.render_request(request, model, target)
    return Rendered({name: rendered.body[name] for name in FIELDS if name in rendered.body}, rendered.dropped)


def parse_count(body: Any) -> int | None:
    """An upstream's answer (bytes or values) → tokens; None when it does not say."""
    value = loads_object(body) if isinstance(body, bytes) else body
    tokens = integer(value.get("input_tokens")) if isinstance(value, dict) else None
    return tokens if tokens is not None and tokens >= 0 else None


def render_count(total: int) -> Json:
    """{"input_tokens"}."""
    return {"input_tokens": total}
