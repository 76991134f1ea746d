"""The vocabulary of Google's Code Assist endpoint, and of Antigravity's variant of it (upstreams.md §4, §5).

Sources: gemini-cli (open source) for the plain form; for the variant what peers found and what was recorded. The variant is
a private API: what nobody recorded is marked in the notes of its provider's row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.wire.gemini_words import camel

NAME = "code-assist"
PATH = "/v1internal"
KEEPALIVE = b""
AGENT = "omni-connector"
"""Who we say we are in the variant's `userAgent`: ourselves (DESIGN.md, law 8)."""
VARIANT = "antigravity_envelope"
"""Feature word of accounts that speak the variant."""

PLACEHOLDER = "omni_no_arguments"
"""A property that stands in an object without required ones, which Claude behind the variant refuses. Taken out of answers again."""

METADATA: Mapping[str, str] = {"ideType": "IDE_UNSPECIFIED", "platform": "PLATFORM_UNSPECIFIED", "pluginType": "GEMINI"}
VARIANT_METADATA: Mapping[str, str] = {"ideType": "ANTIGRAVITY"}
"""What `:loadCodeAssist` is asked with. The word ANTIGRAVITY names the product that is asked for."""

FIELDS = ("systemInstruction", "contents", "tools", "toolConfig", "safetySettings", "labels", "cachedContent", "generationConfig")
"""What `request` may hold; anything else would be refused."""

_BACKEND: Mapping[str, str] = {"gemini-3.5-flash": "gemini-3-flash"}
"""Names under which the plain endpoint knows a model (gemini-cli's own table)."""
_OLD_CLAUDE = "gemini-claude-"
"""How an older product spelt the variant's Claude models."""
_PICTURES = re.compile(r"-image(-|$)")


def path(model: str, stream: bool) -> str:
    """Below the host: the model stands in the body."""
    return f"{PATH}:streamGenerateContent?alt=sse" if stream else f"{PATH}:generateContent"


def backend_model(model: str, *, variant: bool) -> str:
    name = model.removeprefix("models/")
    if not variant:
        return _BACKEND.get(name, name)
    return name.removeprefix("gemini-") if name.startswith(_OLD_CLAUDE) else name


def is_claude(model: str) -> bool:
    return "claude" in model


def is_gemini(model: str) -> bool:
    return model.startswith("gemini") and not is_claude(model)


def request_type(model: str) -> str:
    return "image_gen" if _PICTURES.search(model) else "agent"


def opened(value: Json) -> Json:
    """A chunk or whole answer out of its wrapper {"response": {…}, "traceId", …}; an error stays as it is."""
    chunk = camel(value)
    inner: Any = chunk.get("response")
    return camel(inner) if isinstance(inner, dict) and "candidates" not in chunk else chunk
