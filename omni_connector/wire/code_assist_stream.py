"""A Code Assist answer → events: Gemini's, out of the wrapper around every chunk and around the whole (upstreams.md §4)."""

from __future__ import annotations

from typing import Any

from omni_connector.chat import Json
from omni_connector.wire import gemini_stream
from omni_connector.wire.code_assist_claude import without_placeholder
from omni_connector.wire.code_assist_errors import error_in
from omni_connector.wire.code_assist_words import opened
from omni_connector.wire.gemini_words import camel


class ResponseParser(gemini_stream.ResponseParser):
    """See `gemini_stream.ResponseParser`; errors are read with Code Assist's reasons, and the placeholder argument goes."""

    def _chunk(self, value: Json) -> None:
        chunk = opened(value)
        error = error_in(chunk)
        if error is not None:
            self._fail(error)
            return
        super()._chunk(_without_placeholders(chunk))


def _without_placeholders(chunk: Json) -> Json:
    candidates = chunk.get("candidates")
    if not isinstance(candidates, list):
        return chunk
    return {**chunk, "candidates": [_candidate(one) if isinstance(one, dict) else one for one in candidates]}


def _candidate(value: Json) -> Json:
    content = value.get("content")
    said = camel(content) if isinstance(content, dict) else {}
    parts = said.get("parts")
    return {**value, "content": {**said, "parts": [_part(part) for part in parts]}} if isinstance(parts, list) else value


def _part(value: Any) -> Any:
    part = camel(value) if isinstance(value, dict) else {}
    call = part.get("functionCall")
    if not isinstance(call, dict) or "args" not in call:
        return value
    return {**part, "functionCall": {**call, "args": without_placeholder(call["args"])}}
