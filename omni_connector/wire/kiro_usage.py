"""What a Kiro answer used: credits as the provider tells them, tokens as counted here where it does not (upstreams.md §9).

`contextUsageEvent` is kept and not reckoned with: peers found its percentage to be of no window that anybody states.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from omni_connector.chat import (
    ChatRequest,
    Json,
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
)
from omni_connector.wire.fields import integer
from omni_connector.wire.kiro_words import dumps

CHARS_PER_TOKEN = 4
"""The usual ratio for English text."""
PICTURE_TOKENS = 1_500
"""About what a picture of the usual size costs a Claude model."""


class Used:
    """Collects what is told of one answer. `request` None: nothing is known of the question."""

    def __init__(self, request: ChatRequest | None) -> None:
        self._request = request
        self._characters = 0
        self._told: Usage | None = None
        self._raw: Json = {}

    def heard(self, text: str) -> None:
        self._characters += len(text)

    def metering(self, said: Json) -> None:
        """{"usage": 0.25, "unit": "credit", "unitPlural": "credits"}."""
        self._raw["metering"] = said

    def context(self, said: Json) -> None:
        """{"contextUsagePercentage": 12.5}."""
        self._raw["contextUsage"] = said

    def tokens(self, said: Any) -> None:
        """`metadataEvent.tokenUsage`, in either of the two spellings that were seen: with and without what came from a cache."""
        if not isinstance(said, dict):
            return
        fresh, whole = _count(said, "uncachedInputTokens"), _count(said, "inputTokens")
        read, written = _count(said, "cacheReadInputTokens"), _count(said, "cacheWriteInputTokens")
        if fresh is None and whole is not None:
            fresh = max(0, whole - (read or 0) - (written or 0))
        output = _count(said, "outputTokens")
        if fresh is not None and output is not None:
            self._told = Usage(fresh, read, written, output)
        self._raw["tokenUsage"] = said

    def usage(self) -> Usage:
        """`raw["usage_source"]`: absent when the provider told the tokens, else how they are known."""
        if self._told is not None:
            told = self._told
            return Usage(told.input, told.cache_read, told.cache_write, told.output, raw=self._raw)
        source = "counted" if self._characters else "estimated"
        asked = None if self._request is None else _tokens(self._request)
        return Usage(asked, output=-(-self._characters // CHARS_PER_TOKEN), raw={**self._raw, "usage_source": source})


def _tokens(request: ChatRequest) -> int:
    pieces = [size for message in request.messages for part in message.parts for size in _sizes(part)]
    tools = sum(len(tool.name) + len(tool.description or "") + len(dumps(tool.schema or {})) for tool in request.tools)
    return max(1, -(-(sum(pieces) + tools) // CHARS_PER_TOKEN))


def _sizes(part: Part) -> Iterator[int]:
    """Characters, or what they would be."""
    match part:
        case TextPart() | RefusalPart():
            yield len(part.text)
        case ToolCallPart():
            yield len(part.name) + len(part.arguments)
        case ToolResultPart():
            for piece in part.parts:
                yield from _sizes(piece)
        case MediaPart():
            yield len(part.text) if part.text is not None else PICTURE_TOKENS * CHARS_PER_TOKEN
        case ReasoningPart():
            return  # not sent
        case _:
            return


def _count(said: Json, name: str) -> int | None:
    number = integer(said.get(name))
    return number if number is not None and number >= 0 else None
