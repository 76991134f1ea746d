"""The ear for answers that pass byte for byte: usage and errors where they are told in JSON, nothing out of pictures and sound.

Usage shapes: OpenAI images and audio (`input_tokens`, or seconds: {"type": "duration"}), rerankers after Jina (`total_tokens` alone)
and Cohere (`meta.tokens`, `meta.billed_units`). Values of other fields are skipped without being built: they may be pictures of
many megabytes in base64.
"""

from __future__ import annotations

from typing import Any

import msgspec

from omni_connector.chat import Finish, Json, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse, views
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_errors import error_in
from omni_connector.wire.openai_chat_words import DONE, loads

MAX_KEPT = sse.MAX_EVENT
"""Bytes of a JSON answer in pieces that are kept to be read; the usage of a larger one stays unknown."""
EVENTS = "text/event-stream"
_MAY_BE_EMPTY = frozenset({"text/plain", "text/vtt", "application/x-subrip"})
"""What silence is written down as."""

_READ = ("input_tokens", "prompt_tokens")
_WRITTEN = ("output_tokens", "completion_tokens")
_DETAILS = ("input_tokens_details", "input_token_details", "prompt_tokens_details")
_COHERE = ("tokens", "billed_units")
_NULL = msgspec.Raw(b"null")


class _Answer(msgspec.Struct):
    """What matters of an answer or event. `type`: of an event, where it says so."""

    usage: msgspec.Raw = _NULL
    meta: msgspec.Raw = _NULL
    error: msgspec.Raw = _NULL
    type: msgspec.Raw = _NULL


_ANSWER = msgspec.json.Decoder(_Answer)


class RawListener:
    """Keeps its attributes up to date while bytes pass. What kind of bytes they are is told by `content_type`, the answer's own.

    There is no terminal event to wait for: at `close`, or after `whole`, an answer without an error has `ended` with `finish`
    STOP. One without a byte is an error, but for a transcript. `output_chars` stays 0. Raises GatewayError (UPSTREAM_FAILED) for
    an event beyond the decoder's limit.
    """

    __slots__ = ("_decoder", "_json", "_kept", "_may_be_empty", "ended", "error", "finish", "first_output", "output_chars", "usage")

    def __init__(self, content_type: str) -> None:
        kind = media_type(content_type)
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.first_output = False
        self.output_chars = 0
        self._decoder = sse.Decoder() if kind == EVENTS else None
        self._json = is_json(content_type)
        self._may_be_empty = kind in _MAY_BE_EMPTY
        self._kept: bytearray | None = bytearray()

    def feed(self, chunk: bytes) -> None:
        if self._decoder is not None:
            self._events(self._decoder.feed(chunk))
            return
        self.first_output = self.first_output or bool(chunk)
        if not self._json or self._kept is None:
            return
        self._kept += chunk
        if len(self._kept) > MAX_KEPT:
            self._kept = None

    def close(self) -> None:
        if self._decoder is not None:
            self._events(self._decoder.close())
        elif self._kept:
            self._hear(bytes(self._kept))
        self._kept = None
        if self.error is None and not (self.first_output or self._may_be_empty):
            self.error = GatewayError(Kind.UPSTREAM_FAILED, "The provider answered with nothing at all.")
        if self.error is None:
            self.finish, self.ended = Finish.STOP, True

    def whole(self, body: Json | bytes) -> None:
        """The same from a whole answer, as bytes or decoded JSON."""
        data = body if isinstance(body, bytes) else views.encode(body)
        if self._decoder is not None:
            self.feed(data)
        else:
            self.first_output = bool(data)
            if self._json:
                self._hear(data)
        self.close()

    def _events(self, events: list[sse.ServerEvent]) -> None:
        for event in events:
            if event.data.strip() != DONE and self.error is None:
                self._hear(event.data, event.event)
                self.first_output = self.first_output or self.error is None

    def _hear(self, data: bytes, event: str = "") -> None:
        try:
            answer = _ANSWER.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # no JSON object: nothing is told, and the bytes are the client's to judge
        told = loads(bytes(answer.error))
        if told:
            self.error = error_in({"error": told})
        elif event == "error" or loads(bytes(answer.type)) == "error":
            self.error = error_in(loads(data), event="error")
        usage = _usage(loads(bytes(answer.usage)), loads(bytes(answer.meta)))
        if usage is not None:
            self.usage = usage


def media_type(content_type: str) -> str:
    """ "Application/JSON; charset=utf-8" → "application/json"."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    kind = media_type(content_type)
    return kind == "application/json" or kind.endswith("+json")


def usage_of(body: bytes, content_type: str) -> Usage | None:
    """The usage that a whole answer tells: a JSON object's own, the last one of a stream. None when it tells none."""
    ear = RawListener(content_type)
    ear.whole(body)
    return ear.usage


def _usage(told: Any, meta: Any) -> Usage | None:
    """A usage block → exclusive counts; one without token counts (seconds, searches, money) is kept in `raw`."""
    block: Json = told if isinstance(told, dict) else {}
    if not block and isinstance(meta, dict):
        block = {key: meta[key] for key in _COHERE if isinstance(meta.get(key), dict)}
    if not block:
        return None
    counts: Json = next((block[key] for key in _COHERE if isinstance(block.get(key), dict)), block)
    read, written, total = _count(counts, *_READ), _count(counts, *_WRITTEN), _count(counts, "total_tokens")
    if total is not None:
        # Rerankers and moderations read only: what the total has beyond one count is the other one.
        read = max(0, total - (written or 0)) if read is None else read
        written = max(0, total - read) if written is None else written
    details: Json = next((counts[key] for key in _DETAILS if isinstance(counts.get(key), dict)), {})
    cached = _count(details, "cached_tokens")
    if read is not None and cached is not None:
        cached = min(cached, read)
        read -= cached
    return Usage(input=read, cache_read=cached, output=written, raw=block)


def _count(block: Json, *names: str) -> int | None:
    """The first of the names that holds a count."""
    numbers = (integer(block.get(name)) for name in names)
    return next((number for number in numbers if number is not None and number >= 0), None)
