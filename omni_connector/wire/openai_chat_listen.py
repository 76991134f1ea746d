"""The pass-through lane's ear for chat completions: usage, finish, errors and sizes out of bytes that are not parsed.

A chunk is decoded only when it says something (usage, a finish reason, an error); the rest is a few byte searches.
A `"` inside JSON text is always escaped, so `"usage"` with bare quotes is a key, or a value, but never part of one.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from omni_connector.chat import Finish, Json, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_errors import error_in
from omni_connector.wire.openai_chat_words import DONE, FAILED_FINISH, dumps, finish_of, loads, usage_in
from omni_connector.wire.usual import Usual, length

_TEXT = re.compile(rb'"(?:content|reasoning_content|reasoning|arguments|refusal|input)"\s*:\s*"')
_CALLS = re.compile(rb'"(?:tool_calls"\s*:\s*\[\s*\{|function_call"\s*:\s*\{)')
_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*\{')
_BESIDE = re.compile(rb'"message"\s*:\s*\{')
_NULL = re.compile(rb'"finish_reason"\s*:\s*null')
_BACKSLASH = 0x5C
LESSONS = 4
"""Times that a stream's usual chunk is looked for: it is another one for thoughts, words and calls, and at some hosts never the same."""
_ABSENT, _NO_USAGE = msgspec.Raw(), (msgspec.Raw(), msgspec.Raw(b"null"))


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    arguments: str | None = None
    name: str | None = None


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    function: _Function
    index: int | None = None
    id: str | None = None
    type: str | None = None


class _Delta(msgspec.Struct, forbid_unknown_fields=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    role: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta
    finish_reason: str | None = None
    message: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


class _Chunk(msgspec.Struct):
    """The usual chunk of a stream. What is not named here has no meaning for the ear."""

    choices: list[_Choice]
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT
    x_groq: msgspec.Raw = _ABSENT


_USUAL = msgspec.json.Decoder(_Chunk)


class Listener:
    """Keeps its attributes up to date while bytes pass. `ended` is already true after the very `feed` that brought
    [DONE], so the relay can settle before it forwards those bytes. Call `close` at the end of the bytes: an upstream
    that gave its finish reason and omits [DONE] has ended then."""

    __slots__ = (
        "_calls",
        "_decoder",
        "_heard",
        "_lessons",
        "_null",
        "_rest",
        "_shape",
        "_usual",
        "ended",
        "error",
        "finish",
        "first_output",
        "output_chars",
        "usage",
    )

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.first_output = False
        self.output_chars = 0
        self._rest = bytearray()
        self._decoder: sse.Decoder | None = None
        self._null = b""
        self._calls: set[int] = set()
        """The choices that called a tool."""
        self._heard = False
        self._usual = True
        """False as soon as a chunk has fields in a delta that are not the format's own."""
        self._shape: Usual | None = None
        self._lessons = LESSONS

    def feed(self, chunk: bytes) -> None:
        """Raises GatewayError (UPSTREAM_FAILED) for an event beyond the decoder's limit."""
        if self._decoder is not None or b"\r" in chunk:
            self._feed_slowly(chunk)
            return
        if self._rest:
            if b"\n" not in chunk:
                # The middle of a large event (an image): gathered, not searched again with every chunk.
                self._rest += chunk
                self._check_size()
                return
            chunk = bytes(self._rest) + chunk
            self._rest.clear()
        rest = self._events(chunk)
        if rest:
            self._rest += rest
            self._unfinished()

    def close(self) -> None:
        if self._decoder is not None:
            for event in self._decoder.close():
                self._hear(event.data, event.event)
        elif self._rest:
            self._block(bytes(self._rest))
        self._rest.clear()
        if self.finish is not None and self.error is None:
            self.ended = True

    def whole(self, body: Json | bytes) -> None:
        """The same from a whole answer, as decoded JSON or bytes."""
        value: Any = loads(body) if isinstance(body, bytes) else body
        given = value.get("choices") if isinstance(value, dict) else None
        choices = [choice for choice in given if isinstance(choice, dict)] if isinstance(given, list) else []
        self.error = error_in(value)
        if self.error is None and not choices:
            self.error = GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without a choice.")
        if self.error is not None:
            return
        for choice in choices:
            message = choice.get("message")
            if isinstance(message, dict):
                self._count_message(message)
        self._note_calls(value, "message")
        self._read(value)
        if self.error is None:
            self.finish = self.finish or finish_of(None, 0 in self._calls)
            self.first_output = self.ended = True

    # ------------------------------------------------------------ Events

    def _feed_slowly(self, chunk: bytes) -> None:
        """CR line ends: the full decoder, from here on."""
        if self._decoder is None:
            self._decoder = sse.Decoder()
            chunk = bytes(self._rest) + chunk
            self._rest.clear()
        for event in self._decoder.feed(chunk):
            self._hear(event.data, event.event)

    def _events(self, text: bytes) -> bytes:
        """All whole events; gives what is left."""
        at = 0
        while True:
            if self._shape is not None:
                at = self._usual_events(self._shape, text, at)
            end = text.find(b"\n\n", at)
            if end < 0:
                return text[at:]
            self._block(text[at:end])
            at = end + 2

    def _usual_events(self, shape: Usual, text: bytes, at: int) -> int:
        """What is in events of the usual shape is only counted; gives the place of the next other one."""
        words, end = shape.run(text, at)
        if not words or self.ended or self.error is not None:
            return end
        count = length(words)
        if count is None:
            for block in text[at:end].split(b"\n\n"):
                self._block(block)
        elif count:
            self.output_chars += count
            self.first_output = True
        return end

    def _block(self, block: bytes) -> None:
        if block.startswith(b"data:") and b"\n" not in block:
            self._hear(block[5:])
            return
        if not block:
            return
        decoder = sse.Decoder()
        for event in (*decoder.feed(block + b"\n\n"), *decoder.close()):
            self._hear(event.data, event.event)

    def _unfinished(self) -> None:
        """[DONE] counts before its blank line; an event without end must not eat the memory."""
        if bytes(self._rest[:20]).rstrip() in {b"data: [DONE]", b"data:[DONE]"}:
            self._hear(DONE)
        self._check_size()

    def _check_size(self) -> None:
        if len(self._rest) > sse.MAX_EVENT:
            raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent an event of more than {sse.MAX_EVENT >> 20} MB.")

    def _hear(self, data: bytes, event: str = "") -> None:
        if self.ended or self.error is not None:
            return
        if len(data) < 16 and data.strip() == DONE:
            if not self._heard and self.finish is None:
                self.error = GatewayError(Kind.UPSTREAM_FAILED, "The provider ended the stream without an answer.")
                return
            self.ended = True
            if self.finish is None:
                self.finish = finish_of(None, 0 in self._calls)
            return
        if not self._heard and _CHOICE.search(data):
            self._heard = True
            # How this host spells a null finish reason, so that the usual chunk is known without a pattern.
            null = _NULL.search(data)
            self._null = null[0] if null else b'"finish_reason":null'
        if self._usual and not event:
            characters = self._characters(data)
            if characters is not None:
                self._count_only(data, characters)
                return
        at = max(0, data.find(b'"delta"'))
        if b'"message"' in data and _BESIDE.search(data):
            self._count_slowly(data)
        else:
            found = _TEXT.search(data, at)
            while found is not None:
                found = _TEXT.search(data, self._count(data, found.end()))
        if b'"name"' in data and _CALLS.search(data):
            self.first_output = True
            self._note_calls(loads(data), "delta")
        if (
            data.count(b'"finish_reason"') != data.count(self._null)
            or (b'"usage"' in data and b'"usage":null' not in data)
            or b'"error"' in data
            or event == "error"
        ):
            self._decode(data, event)

    def _count_only(self, data: bytes, characters: int) -> None:
        if not characters:
            return
        self.output_chars += characters
        self.first_output = True
        if self._lessons:
            self._lessons -= 1
            self._learn(data)

    def _learn(self, data: bytes) -> None:
        """The next such chunks are known by what stands around the words of this one, if all that counts in it is one text."""
        found = _TEXT.search(data, max(0, data.find(b'"delta"')))
        end = -1 if found is None else data.find(b'"', found.end())
        if found is None or end < 0:
            return
        start = found.end()
        if b"\\" not in data[start:end] and self._characters(data[:start] + data[end:]) == 0:
            self._shape = Usual(b"data:%s\n\n" % data, start + 5, end + 5)

    def _characters(self, data: bytes) -> int | None:
        """Of a chunk that holds words, thoughts or pieces of arguments and nothing else; None for all others."""
        try:
            chunk = _USUAL.decode(data)
        except msgspec.ValidationError:
            self._usual = False
            self._shape, self._lessons = None, 0
            return None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if not chunk.choices or chunk.usage not in _NO_USAGE or chunk.error != _ABSENT or chunk.x_groq != _ABSENT:
            return None
        characters = 0
        for choice in chunk.choices:
            delta = choice.delta
            if choice.finish_reason or choice.message != _ABSENT or choice.error != _ABSENT:
                return None
            characters += len(delta.content or "") + len(delta.reasoning_content or "") + len(delta.reasoning or "")
            characters += len(delta.refusal or "")
            for call in delta.tool_calls or ():
                if call.function.name is not None:
                    return None
                characters += len(call.function.arguments or "")
        return characters

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
            self.output_chars += len(text) if isinstance(text, str) else len(piece)
        else:
            self.output_chars += end - start
        self.first_output = True
        return end

    def _count_slowly(self, data: bytes) -> None:
        """A chunk with a `message`: that is the choice where it has no delta, and all that was said so far beside one."""
        chunk = loads(data)
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for choice in choices if isinstance(choices, list) else ():
            told = choice if isinstance(choice, dict) else {}
            said = told.get("delta", None if self.output_chars else told.get("message"))
            if isinstance(said, dict):
                before = self.output_chars
                self._count_message(said)
                self.first_output = self.first_output or self.output_chars > before

    def _decode(self, data: bytes, event: str) -> None:
        chunk = loads(data)
        if not isinstance(chunk, dict):
            return
        self.error = error_in(chunk, event=event)
        if self.error is None:
            self._read(chunk)

    def _read(self, chunk: Json) -> None:
        """Usage and finish reasons of a decoded chunk or whole answer. Choice 0 decides where there are several."""
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            word = choice.get("finish_reason") if isinstance(choice, dict) else None
            if not isinstance(word, str) or not word:
                continue
            if word in FAILED_FINISH:
                self.error = GatewayError(FAILED_FINISH[word], f"The provider broke the answer off (finish_reason {word!r}).")
                return
            self.first_output = True
            number = integer(choice.get("index")) or 0
            if self.finish is None or number == 0:
                self.finish = finish_of(word, number in self._calls)
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        counts = usage_in(chunk, usage) if isinstance(usage, dict) else None
        if counts is not None:
            self.usage = counts if self.usage is None else self.usage.merged(counts)

    def _note_calls(self, chunk: Any, inner: str) -> None:
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            said = choice.get(inner) if isinstance(choice, dict) else None
            if isinstance(said, dict) and _calls(said):
                number = integer(choice.get("index"))
                self._calls.add(position if number is None else number)

    def _count_message(self, message: Json) -> None:
        for key in ("content", "reasoning_content", "reasoning", "refusal"):
            value = message.get(key)
            if value:
                self.output_chars += len(value if isinstance(value, str) else dumps(value))
        calls = message.get("tool_calls")
        calls = calls if isinstance(calls, list) else []
        if isinstance(message.get("function_call"), dict):
            calls = [*calls, {"function": message["function_call"]}]
        for call in calls:
            inner = (call.get("function") or call.get("custom")) if isinstance(call, dict) else None
            text = (inner.get("arguments") or inner.get("input")) if isinstance(inner, dict) else None
            self.output_chars += len(text) if isinstance(text, str) else 0


def _calls(said: Json) -> bool:
    """Whether a call begins here: what follows its beginning may repeat the name as an empty text."""
    calls = said.get("tool_calls")
    if not calls and "function_call" not in said:
        return False
    begun = calls if isinstance(calls, list) else [calls]
    begun = [*begun, {"function": said.get("function_call")}]
    inner = [call.get("custom") or call.get("function") for call in begun if isinstance(call, dict)]
    return any(isinstance(one, dict) and isinstance(one.get("name"), str) and one["name"] for one in inner)


def _escaped(data: bytes, quote: int) -> bool:
    """Whether an odd number of backslashes stands before the quote."""
    at = quote - 1
    while at >= 0 and data[at] == _BACKSLASH:
        at -= 1
    return (quote - 1 - at) % 2 == 1
