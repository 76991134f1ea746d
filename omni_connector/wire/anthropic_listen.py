"""The pass-through lane's ear for Anthropic answers: the bytes go by unchanged, and this knows what they cost.

Only lines that can matter are decoded; of a delta no more than its length is kept.
"""

from __future__ import annotations

from typing import Any

import msgspec

from omni_connector.chat import Finish, Json, Usage
from omni_connector.errors import GatewayError
from omni_connector.wire.anthropic_errors import error_in_answer
from omni_connector.wire.anthropic_words import FINISH, dumps, loads_object, to_usage

_HEAD = 64
"""Bytes of a data line in which a host that writes `type` first names the event."""


_SILENT = ("content_block_start", "content_block_stop", "ping")
_SHORT = 200
"""A message_stop event is shorter."""


class _Delta(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    partial_json: str = ""


class _BlockDelta(msgspec.Struct):
    delta: _Delta


_DELTA = msgspec.json.Decoder(_BlockDelta)


class Listener:
    """`feed` bytes as they pass, or `whole` for an answer in one piece; the attributes are always up to date."""

    __slots__ = ("_pieces", "ended", "error", "finish", "first_output", "output_chars", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        """message_stop was seen in the bytes fed so far, or after `close` the stop reason."""
        self.output_chars = 0
        """Characters of text, thoughts and tool arguments."""
        self.first_output = False
        """True as soon as the first of them was seen."""
        self._pieces: list[bytes] = []
        """A line whose end has not come yet."""

    def feed(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n") + 1
        if end:
            text = chunk[:end]
            if self._pieces:
                text = b"".join([*self._pieces, text])
                self._pieces = []
            for line in text.split(b"\n"):
                if line[:5] == b"data:":
                    self._line(line)
        if end < len(chunk):
            self._pieces.append(chunk[end:])
            if chunk[-1:] == b"}":
                self._unfinished()

    def _unfinished(self) -> None:
        """Some hosts hang up right after the last brace: a message_stop counts without the end of its line."""
        line = b"".join(self._pieces)
        self._pieces = [line]
        if len(line) < _SHORT and line[:5] == b"data:" and b'"message_stop"' in line:
            self._event(line)

    def close(self) -> None:
        """End of the bytes: a last line without its end counts, and so does an answer that told its reason but no message_stop."""
        line, self._pieces = b"".join(self._pieces), []
        if line[:5] == b"data:":
            self._line(line)
        if self.finish is not None and self.error is None:
            self._end()

    def whole(self, body: Json | bytes) -> None:
        """The same from a whole answer, as bytes or decoded JSON."""
        body = loads_object(body) or {} if isinstance(body, bytes) else body
        content = body.get("content") if isinstance(body, dict) else None
        if not isinstance(content, list) or isinstance(body.get("error"), dict):
            self.error = error_in_answer(body)
            return
        self._use(body.get("usage"))
        self._stop(body.get("stop_reason"))
        self._end()
        for block in content:
            if isinstance(block, dict):
                self._count(sum(len(value) for key in ("text", "thinking") if isinstance(value := block.get(key), str)))
                if block.get("type") == "tool_use":
                    self._count(len(dumps(block.get("input")).decode()))

    def _line(self, line: bytes) -> None:
        head = line[:_HEAD]
        if b'"content_block_delta"' in head:
            self._delta(line)
        elif b'"content_block_st' not in head and b'"ping"' not in head:
            self._event(line)

    def _delta(self, line: bytes) -> None:
        try:
            delta = _DELTA.decode(line[5:]).delta
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        self._count(len(delta.text) + len(delta.thinking) + len(delta.partial_json))

    def _count(self, characters: int) -> None:
        if characters:
            self.output_chars += characters
            self.first_output = True

    def _event(self, line: bytes) -> None:
        data = loads_object(line[5:])
        if data is None or self.ended or self.error is not None:
            return
        kind = data.get("type")
        if kind == "message_start":
            message = data.get("message")
            self._use(message.get("usage") if isinstance(message, dict) else None)
        elif kind == "message_delta":
            delta = data.get("delta")
            self._use(data.get("usage"))
            self._stop(delta.get("stop_reason") if isinstance(delta, dict) else None)
        elif kind == "message_stop":
            self._end()
        elif kind == "content_block_delta":
            self._delta(line)
        elif kind not in _SILENT and (kind == "error" or isinstance(data.get("error"), dict)):
            self.error = error_in_answer(data)

    def _use(self, raw: Any) -> None:
        usage = to_usage(raw)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)

    def _stop(self, reason: Any) -> None:
        if isinstance(reason, str):
            self.finish = FINISH.get(reason, Finish.OTHER)

    def _end(self) -> None:
        self.ended = True
        self.finish = self.finish or Finish.OTHER
