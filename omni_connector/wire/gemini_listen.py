"""The pass-through lane's ear for Gemini answers: usage, finish, errors and sizes out of bytes that are not parsed.

A chunk is decoded only when it says more than words; of the usage, which every chunk repeats, only the last is read, and only
when somebody asks. A `"` inside JSON text is always escaped, so `"error"` with bare quotes is a key or a value.
"""

from __future__ import annotations

import re
from typing import Any

from omni_connector.chat import Finish, Json, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_errors import error_in
from omni_connector.wire.gemini_frames import Frames
from omni_connector.wire.gemini_words import BLOCK_NUMBERS, FINISH_NUMBERS, camel, dumps, finish_of, loads, loads_chunk, to_usage, word_of

_TEXT = re.compile(rb'"text"\s*:\s*"')
_MARKS = re.compile(
    rb'"(?:finishReason|finish_reason|error|promptFeedback|prompt_feedback|functionCall|function_call|groundingMetadata|citationMetadata)"'
)
_OUTPUT = re.compile(rb'"(?:inlineData|inline_data|executableCode|codeExecutionResult|toolCall)"')
_COUNT = b'TokenCount"'
_BACKSLASH = 0x5C


class Listener:
    """Keeps its attributes up to date while bytes pass. The format has no terminal event: `finish` is known when its reason
    was seen, and `ended` becomes true in `close`, at the end of the bytes."""

    __slots__ = (
        "_answered",
        "_calls",
        "_feedback",
        "_frames",
        "_stated",
        "_told",
        "_usage",
        "_words",
        "ended",
        "error",
        "finish",
        "first_output",
        "output_chars",
    )

    def __init__(self) -> None:
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.first_output = False
        self.output_chars = 0
        """Characters of text, thoughts and tool arguments."""
        self._frames = Frames()
        self._usage: Usage | None = None
        self._told = b""
        """The last chunk with a usage that nobody asked for yet."""
        self._calls: set[int] = set()
        self._feedback = False
        """The prompt was spoken of, which without any candidate means that it was blocked."""
        self._answered = False
        self._words: dict[int, str] = {}
        """Candidate → its last finish reason."""
        self._stated = 0
        """How many counts stand in `_told`."""

    @property
    def usage(self) -> Usage | None:
        if self._told:
            chunk, self._told = loads_chunk(self._told), b""
            self._use(_opened(chunk or {}))
        return self._usage

    def feed(self, chunk: bytes) -> None:
        """Raises GatewayError (UPSTREAM_FAILED) for a chunk beyond sse.MAX_EVENT."""
        for text in self._frames.feed(chunk):
            self._hear(text)

    def close(self) -> None:
        """End of the bytes: what had its finish reason is complete."""
        for text in self._frames.close():
            self._hear(text)
        if self.finish is None and self._feedback and not self._answered:
            self.finish = Finish.FILTER
        if self.finish is not None and self.error is None:
            self.ended = True

    def whole(self, body: Any) -> None:
        """The same from a whole answer, as bytes or decoded JSON."""
        value = loads(body) if isinstance(body, bytes | str) else body
        chunks = [_opened(chunk) for chunk in (value if isinstance(value, list) else [value]) if isinstance(chunk, dict)]
        for chunk in chunks:
            self._read(chunk)
            self._use(chunk)
        told = any(map(_has_candidate, chunks))
        if self.error is None and not told and not any(isinstance(chunk.get("promptFeedback"), dict) for chunk in chunks):
            self.error = GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without a candidate.")
        if self.error is None:
            self.finish = self.finish or (finish_of(None, 0 in self._calls) if told else Finish.FILTER)
            self.first_output = self.ended = True

    # ------------------------------------------------------------ Chunks

    def _hear(self, text: bytes) -> None:
        if self.error is not None:
            return
        if b'"usageMetadata"' in text or b'"usage_metadata"' in text:
            stated = text.count(_COUNT)
            if stated < self._stated:
                # It states less than the one before, whose counts still hold.
                _ = self.usage
            self._told, self._stated = text, stated
        if _MARKS.search(text) is not None:
            chunk = loads_chunk(text)
            if chunk is not None:
                self._read(_opened(chunk))
            return
        self._answered = self._answered or b'"candidates"' in text
        found = _TEXT.search(text)
        if found is None:
            self.first_output = self.first_output or _OUTPUT.search(text) is not None
        while found is not None:
            found = _TEXT.search(text, self._count(text, found.end()))

    def _count(self, data: bytes, start: int) -> int:
        """Adds the characters of the string that begins at `start`; gives the place of its closing quote."""
        end = data.find(b'"', start)
        while end > start and data[end - 1] == _BACKSLASH and _escaped(data, end):
            end = data.find(b'"', end + 1)
        if end <= start:
            return start
        piece = data[start:end]
        if not piece.isascii() or b"\\" in piece:
            text = loads(b'"' + piece + b'"')
            self._add(len(text) if isinstance(text, str) else len(piece))
        else:
            self._add(end - start)
        return end

    def _add(self, characters: int) -> None:
        if characters:
            self.output_chars += characters
            self.first_output = True

    def _read(self, chunk: Json) -> None:
        self.error = self.error or error_in(chunk)
        if self.error is not None:
            return
        candidates = chunk.get("candidates")
        for position, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(candidate, dict):
                self._answered = True
                self._candidate(camel(candidate), position)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict):
            self._feedback = True
            if not self._answered and word_of(camel(feedback).get("blockReason"), BLOCK_NUMBERS):
                self.finish = Finish.FILTER

    def _candidate(self, candidate: Json, position: int) -> None:
        index = candidate.get("index")
        number = index if isinstance(index, int) else position
        content = candidate.get("content")
        parts = camel(content).get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                self._part(camel(part), number)
        word = word_of(candidate.get("finishReason"), FINISH_NUMBERS)
        if word is not None:
            self.first_output = True
            self._words[number] = word
        if number in self._words and (self.finish is None or number == min(self._words)):
            # Some models say STOP in every chunk, also before their calls.
            self.finish = finish_of(self._words[number], number in self._calls)

    def _part(self, part: Json, number: int) -> None:
        text, call = part.get("text"), part.get("functionCall")
        if isinstance(text, str):
            self._add(len(text))
        elif isinstance(call, dict):
            if isinstance(call.get("name"), str) and call["name"]:
                self._calls.add(number)
            self.first_output = True
            self.output_chars += _length(camel(call))
        elif part:
            self.first_output = True

    def _use(self, chunk: Json) -> None:
        usage = to_usage(chunk.get("usageMetadata"))
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)


def _has_candidate(chunk: Json) -> bool:
    candidates = chunk.get("candidates")
    return isinstance(candidates, list) and any(isinstance(candidate, dict) for candidate in candidates)


def _length(call: Json) -> int:
    """Characters of a call's arguments, or of the pieces that are told now."""
    args, pieces = call.get("args"), call.get("partialArgs")
    if isinstance(args, dict):
        return len(dumps(args).decode())
    told = [camel(piece).get("stringValue") for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []
    return sum(len(text) for text in told if isinstance(text, str))


def _opened(value: Json) -> Json:
    """The chunk itself, out of the wrapper that Cloud Code Assist puts around it."""
    chunk = camel(value)
    inner = chunk.get("response")
    return camel(inner) if isinstance(inner, dict) and "candidates" not in chunk else chunk


def _escaped(data: bytes, quote: int) -> bool:
    """Whether an odd number of backslashes stands before the quote."""
    at = quote - 1
    while at >= 0 and data[at] == _BACKSLASH:
        at -= 1
    return (quote - 1 - at) % 2 == 1
