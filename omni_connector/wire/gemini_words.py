"""The vocabulary of Gemini's generateContent format: names, maps and the small conversions both directions share.

Sources: the API as typed by the vendor's SDK google-genai 3.4 (finish and block reasons, usage, parts), its enum numbers as
the REST surface of google-generativeai 0.8.5 sends them, and recorded answers.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from omni_connector.chat import Finish, Json, Usage
from omni_connector.wire import views
from omni_connector.wire.fields import integer

NAME = "gemini-generate"
PATH = "/models"
KEEPALIVE = b""
"""Six clients fail on a comment in a Gemini stream (clients.md, finding 8)."""

FINISH: Mapping[str, Finish] = {
    "STOP": Finish.STOP,
    "MAX_TOKENS": Finish.LENGTH,
    "SAFETY": Finish.FILTER,
    "RECITATION": Finish.FILTER,
    "BLOCKLIST": Finish.FILTER,
    "PROHIBITED_CONTENT": Finish.FILTER,
    "SPII": Finish.FILTER,
    "MODEL_ARMOR": Finish.FILTER,
    "IMAGE_SAFETY": Finish.FILTER,
    "IMAGE_PROHIBITED_CONTENT": Finish.FILTER,
    "IMAGE_RECITATION": Finish.FILTER,
}
"""All others (LANGUAGE, OTHER, MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, …) are OTHER, with their word kept in `raw`."""
FINISH_REASON: Mapping[Finish, str] = {
    Finish.STOP: "STOP",
    Finish.STOP_SEQUENCE: "STOP",
    Finish.LENGTH: "MAX_TOKENS",
    Finish.CONTEXT: "MAX_TOKENS",
    Finish.TOOL_CALLS: "STOP",
    Finish.FILTER: "SAFETY",
    Finish.REFUSAL: "SAFETY",
    Finish.PAUSE: "OTHER",
    Finish.OTHER: "OTHER",
}
FINISH_NUMBERS = (
    "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "BLOCKLIST",
    "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY",
)  # fmt: skip
BLOCK_NUMBERS = ("BLOCK_REASON_UNSPECIFIED", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY")
TYPE_NUMBERS = ("TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
MODE_NUMBERS = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
"""Numbers of the enums, which clients and answers with `$alt=json;enum-encoding=int` have in place of words."""

CANDIDATE_EXTRAS = (
    "safetyRatings", "citationMetadata", "groundingMetadata", "groundingAttributions", "urlContextMetadata", "avgLogprobs",
    "logprobsResult", "tokenCount", "finishMessage",
)  # fmt: skip
"""Fields of a candidate beside its content and finish reason."""


def path(model: str, stream: bool) -> str:
    """The upstream path below a provider's base URL. The id is one path segment, whatever a caller puts into it."""
    segment = urllib.parse.quote(model.removeprefix("models/"), safe="")
    return f"{PATH}/{segment}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"


def word_of(value: Any, numbers: Sequence[str]) -> str | None:
    """An enum's value, also as its number; None for what is neither."""
    if isinstance(value, str):
        return value or None
    number = integer(value)
    if number is None:
        return None
    return numbers[number] if 0 <= number < len(numbers) else str(number)


def finish_of(word: str | None, calls: bool) -> Finish:
    """Tool calls end with STOP here; agents need the truth. No word at all (a whole answer without one) counts as STOP."""
    reason = Finish.STOP if word is None else FINISH.get(word, Finish.OTHER)
    return Finish.TOOL_CALLS if calls and reason is Finish.STOP else reason


# ---------------------------------------------------------------- JSON and its two spellings


def loads(text: bytes | str) -> Any:
    """JSON text → value; None for what is no JSON. Half an emoji that strict readers refuse stays a lone surrogate."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        escaped = b"\\u" in text if isinstance(text, bytes) else "\\u" in text
    except RecursionError:
        return None
    try:
        return json.loads(text) if escaped else None
    except (ValueError, RecursionError):
        return None


def loads_object(text: bytes | str) -> Json | None:
    value = loads(text)
    return value if isinstance(value, dict) else None


def loads_chunk(text: bytes) -> Json | None:
    """One chunk of a stream; some hosts wrap it in an array of its own."""
    value = loads(text)
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, dict)), None)
    return value if isinstance(value, dict) else None


def dumps(value: Any) -> bytes:
    """Compact JSON. Raises RecursionError for what is nested deeper than any reader takes."""
    return views.encode(value)


_UNDERSCORES = re.compile(r"_+([a-z0-9])")


@lru_cache(maxsize=512)
def _camel(key: str) -> str:
    return _UNDERSCORES.sub(lambda found: found[1].upper(), key.lstrip("_"))


def camel(value: Json) -> Json:
    """The object with its own keys in camelCase: proto-JSON takes both spellings and clients mix them (clients.md,
    finding 16). Only for objects of the format itself, never for arguments, responses or schemas' property names."""
    if "_" not in "".join(value):
        return value
    out: Json = {}
    for key, item in value.items():
        name = _camel(key) if len(key) < 64 else key
        if out.get(name) is None:
            out[name] = item
    return out


# ---------------------------------------------------------------- Models

_GENERATION = re.compile(r"gemini-(\d+)(?:[.-](\d+)(?!\d))?")
_LATEST = re.compile(r"gemini-(?:pro|flash|flash-lite)-latest")


def generation(model: str) -> tuple[int, int] | None:
    """ "models/gemini-2.5-pro" → (2, 5). None for a name that tells nothing; "-latest" names are of the third at least."""
    found = _GENERATION.search(model)
    if found is not None:
        return int(found[1][:4]), int(found[2] or 0)
    return (3, 0) if _LATEST.search(model) else None


def is_third(model: str) -> bool:
    """Gemini 3 and later: thinking levels, signatures demanded, media in function responses."""
    return (generation(model) or (0, 0)) >= (3, 0)


# ---------------------------------------------------------------- Usage


def _count(raw: Json, key: str) -> int | None:
    number = integer(raw.get(key))
    return number if number is not None and number >= 0 else None


def to_usage(value: Any) -> Usage | None:
    """`usageMetadata` → exclusive counts; None when it states none.

    Cached tokens are inside `promptTokenCount`, those of a provider-run tool beside it; thoughts are not inside
    `candidatesTokenCount` (upstreams.md §0.2). A count that is missing is told by `totalTokenCount` where that can be.
    """
    if not isinstance(value, dict):
        return None
    raw = camel(value)
    prompt, cached, tool = (_count(raw, key) for key in ("promptTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount"))
    spoken, thoughts, total = (_count(raw, key) for key in ("candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount"))
    if spoken is None:
        spoken = _count(raw, "responseTokenCount")
    if prompt is None and spoken is None and thoughts is None and total is None:
        return None
    read = None if prompt is None else prompt + (tool or 0)
    output = None if spoken is None and thoughts is None else (spoken or 0) + (thoughts or 0)
    if spoken is None and read is not None and total is not None and total > read:
        output = total - read
    if prompt is not None and cached is not None:
        cached = min(cached, prompt)
    fresh, tier = None if read is None else read - (cached or 0), raw.get("serviceTier")
    named = tier.lower() if isinstance(tier, str) and tier else None
    return Usage(input=fresh, cache_read=cached, output=output, reasoning=thoughts, raw=value, tier=named)


def from_usage(usage: Usage) -> Json:
    """Counts → `usageMetadata`: inclusive again, over whatever else the provider's own block of this format said."""
    raw = usage.raw if "promptTokenCount" in usage.raw else {}
    tool = min(_count(raw, "toolUsePromptTokenCount") or 0, usage.input or 0)
    block: Json = {**raw, "promptTokenCount": usage.prompt - tool}
    if usage.output is not None:
        block["candidatesTokenCount"] = max(0, usage.output - (usage.reasoning or 0))
    if usage.reasoning is not None:
        block["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read is not None:
        block["cachedContentTokenCount"] = usage.cache_read
    block["totalTokenCount"] = usage.total
    return block
