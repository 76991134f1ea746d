"""`:countTokens`, both sides: a client's request → ChatRequest, a request for an upstream's own counter, and the answers.

The same names as in `anthropic_tokens` and `openai_responses_tokens`; `counting` drives them.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import omni_connector.wire.gemini_generate as gemini_generate
from omni_connector.chat import ChatRequest, Json, Rendered, Target
from omni_connector.errors import bad_request
from omni_connector.wire import views
from omni_connector.wire.fields import integer, name_of, wrong
from omni_connector.wire.gemini_words import NAME, PATH, camel, loads_object

__all__ = ["NAME", "has_words", "parse_count", "parse_count_request", "path", "render_count", "render_count_request", "same_format"]

_INNER = ("generateContentRequest", "generate_content_request")


def path(model: str) -> str:
    """The upstream path below a provider's base URL."""
    return f"{PATH}/{urllib.parse.quote(model.removeprefix('models/'), safe='')}:countTokens"


def has_words(body: Json) -> bool:
    """Is there anything that an upstream would count rather than refuse?"""
    return any(body.get(name) for name in ("contents", *_INNER))


def same_format(body: bytes, value: Json, model: str) -> bytes:
    """A client's own body (`value` is what it holds) for an upstream of this format. The model stands in the URL; where the body
    repeats it, both must name the same one."""
    name = f"models/{model.removeprefix('models/')}"
    inner = {key: value[key] for key in _INNER if isinstance(value.get(key), dict) and value[key].get("model") != name}
    return views.splice(body, {key: {**old, "model": name} for key, old in inner.items()}) if inner else body


def parse_count_request(body: Json) -> ChatRequest:
    """{"contents": […]} or {"generateContentRequest": {"model", "contents", "systemInstruction", "tools", …}}; the URL's model is
    in `model`, put there by the caller. Raises GatewayError (BAD_REQUEST)."""
    if not isinstance(body, dict):
        raise bad_request(f"The body must be a JSON object with `contents`, not {name_of(body)}.")
    outer = camel(body)
    inner = outer.get("generateContentRequest")
    if inner is None:
        return gemini_generate.parse_request(outer)
    if not isinstance(inner, dict):
        raise wrong("generateContentRequest", inner, "an object")
    model = outer.get("model") or inner.get("model")
    return gemini_generate.parse_request({**inner, "model": model})


def render_count_request(request: ChatRequest, model: str, target: Target) -> Rendered:
    """The body for an upstream's `POST /models/{model}:countTokens`, with all that counts: system, tools and contents."""
    rendered = gemini_generate.render_request(request, model, target)
    whole = {"model": f"models/{model.removeprefix('models/')}", **rendered.body}
    return Rendered({"generateContentRequest": whole}, rendered.dropped)


def parse_count(body: Any) -> int | None:
    """An upstream's answer → tokens; None when it does not say."""
    value = loads_object(body) if isinstance(body, bytes) else body
    tokens = integer(camel(value).get("totalTokens")) if isinstance(value, dict) else None
    return tokens if tokens is not None and tokens >= 0 else None


def render_count(total: int, cached: int | None = None) -> Json:
    """{"totalTokens", "promptTokensDetails", "cachedContentTokenCount"?}."""
    body: Json = {"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}
    return body if cached is None else {**body, "cachedContentTokenCount": cached}
