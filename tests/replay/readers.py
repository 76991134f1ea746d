"""The four readers by the name of their format."""

from __future__ import annotations

from types import ModuleType

from tests.replay import read_chat, read_gemini, read_messages, read_responses
from tests.replay.told import CHAT, GEMINI, MESSAGES, RESPONSES, Told, events, loads

READERS: dict[str, ModuleType] = {CHAT: read_chat, RESPONSES: read_responses, MESSAGES: read_messages, GEMINI: read_gemini}

FORMAT_OF = {CHAT: CHAT, RESPONSES: RESPONSES, MESSAGES: MESSAGES, GEMINI: GEMINI, "gemini-stream": GEMINI}
"""Wire of a recording → its format; Gemini's streams have a wire of their own."""


def read_answer(format: str, raw: bytes, *, streamed: bool) -> Told:
    """`streamed`: events, or one JSON array where the body begins like one."""
    reader = READERS[format]
    text = raw.strip()
    answer: Told
    if not streamed or text.startswith(b"["):
        answer = reader.whole(loads(text))
    else:
        told = events(raw)
        answer = reader.stream(told)
    return answer
