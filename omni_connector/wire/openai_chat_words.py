"""The vocabulary of OpenAI's Chat Completions format: names, maps and the conversions both directions share.

Sources: the API as typed by the vendor's SDK 3.52; extras of other hosts as documented by Zhipu (sensitive, network_error,
model_context_window_exceeded), DeepSeek (insufficient_system_resource), Mistral (model_length, error), vLLM (abort),
Together (eos), OpenRouter (reasoning_details) and as seen in recorded answers.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from omni_connector.chat import EFFORT_BUDGET, ChatRequest, Finish, Json, Usage
from omni_connector.errors import Kind, bad_request
from omni_connector.wire import views
from omni_connector.wire.fields import integer

NAME = "openai-chat"
PATH = "/chat/completions"
KEEPALIVE = b": keepalive\n"
DONE = b"[DONE]"

FINISH: Mapping[str, Finish] = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "end_turn": Finish.STOP,
    "completed": Finish.STOP,
    "stop_sequence": Finish.STOP_SEQUENCE,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "tool_call": Finish.TOOL_CALLS,
    "tool_use": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.FILTER,
    "sensitive": Finish.FILTER,
    "safety": Finish.FILTER,
    "refusal": Finish.REFUSAL,
    "model_context_window_exceeded": Finish.CONTEXT,
    "model_length": Finish.CONTEXT,
}
FAILED_FINISH: Mapping[str, Kind] = {
    "error": Kind.UPSTREAM_FAILED,
    "abort": Kind.UPSTREAM_FAILED,
    "network_error": Kind.UPSTREAM_FAILED,
    "insufficient_system_resource": Kind.UPSTREAM_OVERLOADED,
}
"""Finish reasons that tell of a failure inside the provider: the answer is a torso, not an answer."""

FINISH_REASON: Mapping[Finish, str] = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.CONTEXT: "length",
    Finish.TOOL_CALLS: "tool_calls",
    Finish.FILTER: "content_filter",
    Finish.REFUSAL: "content_filter",
    Finish.PAUSE: "stop",
    Finish.OTHER: "stop",
}

AUDIO_FORMAT: Mapping[str, str] = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}
AUDIO_TYPE: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}

OWN_VENDOR = frozenset({NAME, "openai-responses"})
"""Formats of the same vendor: `metadata`, `service_tier`, `verbosity` and `prompt_cache_key` mean the same in them."""

DETAIL = "openrouter.detail"
"""Opaque kind: one entry of `reasoning_details`, as JSON text."""
EXTRA_CONTENT = "openai-chat.extra_content"
"""Opaque kind: `tool_calls[].extra_content` (Gemini's thought signatures in its OpenAI-compatible form), as JSON text."""
SEALED_FORMAT = "omni-v1"
"""`format` of the `reasoning_details` entries that hold an opaque value of another wire format, sealed."""

LEGACY = "legacy"
"""Key in `Tool.raw`: the client speaks the old `functions` dialect and must be answered in it."""

ANSWER_EXTRAS = ("system_fingerprint", "service_tier", "provider", "citations", "search_results")
"""Fields of a provider's answer beyond the format that a chat client may want to see."""
CHOICE_EXTRAS = ("logprobs", "native_finish_reason", "content_filter_results")

CUSTOM_INPUT = "input"
"""The one argument of a function that stands in for a free-text tool where the target has none."""


def finish_of(word: str | None, calls: bool) -> Finish:
    """A finish reason → its meaning. Several hosts (Ollama, Google) say "stop" beside tool calls; agents need the truth.
    No word at all (a stream that ended properly without one) counts as "stop"."""
    reason = Finish.STOP if not word else FINISH.get(word.lower(), Finish.OTHER)
    return Finish.TOOL_CALLS if calls and reason is Finish.STOP else reason


def is_legacy(request: ChatRequest | None) -> bool:
    return request is not None and any(LEGACY in tool.raw for tool in request.tools if tool.kind == "function")


def common_effort(budget: int) -> str:
    """Tokens to think with → one of the three levels that every reasoning model knows."""
    return next((level for level in ("low", "medium") if budget <= EFFORT_BUDGET[level]), "high")


# ---------------------------------------------------------------- JSON


def loads(text: bytes | str) -> Any:
    """JSON → value; None for what is no JSON. Half an emoji that strict readers refuse stays a lone surrogate here, so
    that its other half in the next chunk can complete it."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        return None
    try:
        return json.loads(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError):
        return None


def dumps(value: Any) -> str:
    """Value → compact JSON text. Raises GatewayError (BAD_REQUEST) for what is nested too deeply to be written."""
    try:
        return views.encode(value).decode()
    except RecursionError:
        raise bad_request("The body is nested too deeply. Flatten it; about 1000 levels is the most JSON readers take.") from None


def wrap_custom(text: str) -> str:
    """Free text → arguments of the function that stands in for a custom tool."""
    return json.dumps({CUSTOM_INPUT: text}, ensure_ascii=False)


def unwrap_custom(arguments: str) -> str:
    """The opposite; what the model wrote otherwise is given as it is."""
    value = loads(arguments)
    inner = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
    return inner if isinstance(inner, str) else arguments


# ---------------------------------------------------------------- data: URLs

_MAGIC = (
    ("/9j/", "image/jpeg"),
    ("iVBORw0KGgo", "image/png"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
    ("JVBERi0", "application/pdf"),
)


def split_data_url(url: str) -> tuple[str, str] | None:
    """ "data:image/png;base64,AAAA" → (media type, base64). Percent-encoded ones become base64. None when it is broken."""
    head, comma, data = url[5:].partition(",")
    if not comma:
        return None
    media_type, *params = head.split(";")
    if not any(param.strip().lower() == "base64" for param in params):
        data = base64.b64encode(urllib.parse.unquote_to_bytes(data.encode("utf-8", "replace"))).decode()
    return media_type.strip().lower() or sniff(data), data


def sniff(data: str) -> str:
    """The media type that the first bytes of base64 data tell, "" if none."""
    return next((media_type for start, media_type in _MAGIC if data.startswith(start)), "")


# ---------------------------------------------------------------- Usage


def _count(block: Any, *keys: str) -> int | None:
    """The largest count that is stated under one of the keys."""
    if not isinstance(block, dict):
        return None
    most: int | None = None
    for key in keys:
        if key not in block:
            continue
        number = integer(block[key])
        if number is not None and number >= 0 and (most is None or number > most):
            most = number
    return most


def to_usage(raw: Any) -> Usage | None:
    """A usage block → exclusive counts. None when it states nothing.

    `prompt_tokens` includes cached tokens and `completion_tokens` reasoning tokens, but not everywhere: what
    `total_tokens` has beyond their sum is reasoning at xAI and Google's compatible endpoint, audio at Mistral, cached
    tokens behind some proxies; a reasoning count above `completion_tokens` was never inside it (Vercel's gateway).
    """
    prompt, completion, total = _count(raw, "prompt_tokens"), _count(raw, "completion_tokens"), _count(raw, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    details, output_details = raw.get("prompt_tokens_details"), raw.get("completion_tokens_details")
    cached = _most(_count(details, "cached_tokens"), _count(raw, "cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"))
    written = _most(_count(details, "cache_write_tokens"), _count(raw, "cache_creation_input_tokens"))
    reasoning = _most(_count(output_details, "reasoning_tokens"), _count(raw, "reasoning_tokens"))
    if completion is None and prompt is not None and total is not None:
        completion = max(0, total - prompt)
    if prompt is not None and completion is not None:
        beyond = (total or 0) - prompt - completion
        if beyond > 0:
            if beyond != reasoning and beyond in (_count(details, "audio_tokens"), (cached or 0) + (written or 0)):
                prompt += beyond
            else:
                completion += beyond
        elif reasoning is not None and reasoning > completion:
            completion += reasoning
    if prompt is not None:
        cached = None if cached is None else min(cached, prompt)
        written = None if written is None else min(written, prompt - (cached or 0))
    return Usage(
        input=None if prompt is None else prompt - (cached or 0) - (written or 0),
        cache_read=cached,
        cache_write=written,
        output=completion,
        reasoning=reasoning,
        raw=raw,
        cache_write_1h=_count(raw.get("cache_creation"), "ephemeral_1h_input_tokens"),
        web_searches=_count(raw, "num_search_queries"),
    )


def usage_in(chunk: Json, block: Json) -> Usage | None:
    """A usage block → counts, with the class of service, which stands beside it in the answer or chunk (platform.openai.com, "Priority
    processing": the answer names the tier that was used)."""
    counts, tier = to_usage(block), chunk.get("service_tier")
    return replace(counts, tier=tier.lower()) if counts is not None and isinstance(tier, str) and tier else counts


def _most(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def from_usage(usage: Usage) -> Json:
    """Counts → a usage block: inclusive again, over whatever else the provider's own block of this format said."""
    raw = usage.raw if "prompt_tokens" in usage.raw else {}
    prompt_details: Json = {**_object(raw.get("prompt_tokens_details")), "cached_tokens": usage.cache_read or 0}
    if usage.cache_write is not None:
        prompt_details["cache_write_tokens"] = usage.cache_write
    output_details = {**_object(raw.get("completion_tokens_details")), "reasoning_tokens": usage.reasoning or 0}
    return {
        **raw,
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output or 0,
        "total_tokens": usage.total,
        "prompt_tokens_details": prompt_details,
        "completion_tokens_details": output_details,
    }


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- Text

_SURROGATE = re.compile("[\ud800-\udfff]")


def has_surrogate(text: str) -> bool:
    return not text.isascii() and _SURROGATE.search(text) is not None


def join_surrogates(text: str) -> str:
    """Pairs of surrogates → their character, lone ones → U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
