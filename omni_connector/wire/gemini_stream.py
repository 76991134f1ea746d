"""A Gemini answer → events (`ResponseParser`), streamed as events or as a JSON array, or whole, on one path.

The format has no terminal event: a finish reason for every candidate, or a blocked prompt, makes the end of the bytes an
`Ended`. `Finished` comes only there, because some models say STOP in every chunk. Usage is cumulative: the last one counts.
A signature on plain text becomes a thought of its own behind that text (see `gemini_contents`).
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from omni_connector.chat import (
    ChatRequest,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    Json,
    Origin,
    Started,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.fields import integer
from omni_connector.wire.gemini_calls import to_wire_name
from omni_connector.wire.gemini_candidate import Candidate, Reader
from omni_connector.wire.gemini_errors import error_in
from omni_connector.wire.gemini_frames import Frames
from omni_connector.wire.gemini_words import BLOCK_NUMBERS, camel, loads, loads_chunk, to_usage, word_of

_CHUNK = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "error"})


class ResponseParser:
    """Push bytes, get events. `origin` is stamped on signatures; `request` tells which functions stand in for free-text tools
    and which names had to be written differently."""

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        tools = request.tools if request is not None else ()
        self._reader = Reader(
            origin,
            frozenset(tool.name for tool in tools if tool.kind == "custom"),
            {to_wire_name(tool.name): tool.name for tool in tools if tool.kind != "foreign"},
        )
        self._frames = Frames()
        self._events: list[Event] = []
        self._candidates: dict[int, Candidate] = {}
        self._started = False
        self._over = False
        self._usage: Usage | None = None
        self._feedback: Json | None = None

    # ------------------------------------------------------------ In

    def feed(self, data: bytes) -> list[Event]:
        for text in self._frames.feed(data):
            self._text(text)
        return self._drain()

    def close(self) -> list[Event]:
        """End of the bytes. Without a finish reason of every candidate no `Ended` comes: the answer was cut."""
        for text in self._frames.close():
            self._text(text)
        finished = all(candidate.word for candidate in self._candidates.values())
        if not self._over and finished and (self._candidates or self._feedback is not None):
            self._finish()
        return self._drain()

    def whole(self, body: Any) -> list[Event]:
        """A whole answer, as bytes or decoded JSON; an array of chunks is taken too."""
        value = loads(body) if isinstance(body, bytes | str) else body
        for chunk in value if isinstance(value, list) else [value]:
            if isinstance(chunk, dict) and not self._over:
                self._chunk(chunk)
        if not self._over and not self._candidates and self._feedback is None:
            self._fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without a candidate."))
        if not self._over:
            self._finish()
        return self._drain()

    def _drain(self) -> list[Event]:
        events = self._events
        self._events = []
        return events

    def _text(self, text: bytes) -> None:
        if self._over:
            return
        chunk = loads_chunk(text)
        if chunk is not None:
            self._chunk(chunk)
        elif text.lstrip().startswith(b"{"):
            self._fail(GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent broken JSON: {text[:200].decode('utf-8', 'replace')!r}"))

    # ------------------------------------------------------------ A chunk, or a whole answer

    def _chunk(self, value: Json) -> None:
        chunk = camel(value)
        inner = chunk.get("response")
        if isinstance(inner, dict) and "candidates" not in chunk:
            # Cloud Code Assist wraps every chunk (upstreams.md §4).
            chunk = camel(inner)
        error = error_in(chunk)
        if error is not None:
            self._fail(error)
            return
        candidates = chunk.get("candidates")
        if isinstance(chunk.get("promptFeedback"), dict):
            self._feedback = camel(chunk["promptFeedback"])
        if not self._started:
            self._start(chunk)
        for position, candidate in enumerate(candidates if isinstance(candidates, list) else ()):
            if isinstance(candidate, dict):
                self._candidate(camel(candidate), position)
        usage = to_usage(chunk.get("usageMetadata"))
        if usage is not None and usage != self._usage:
            self._usage = usage
            self._events.append(UsageSeen(usage))

    def _start(self, chunk: Json) -> None:
        self._started = True
        name, model = chunk.get("responseId"), chunk.get("modelVersion")
        name = name if isinstance(name, str) else ""
        self._reader.token = name or uuid.uuid4().hex
        extra = {key: value for key, value in chunk.items() if key not in _CHUNK and value is not None}
        self._events.append(Started(name, model if isinstance(model, str) else "", _seconds(chunk.get("createTime")), extra=extra))

    def _candidate(self, candidate: Json, position: int) -> None:
        index = integer(candidate.get("index"))
        number = position if index is None or index < 0 else index
        known = self._candidates.get(number)
        if known is None:
            known = self._candidates[number] = Candidate(number, self._reader, self._events)
        known.take(candidate, self._events)

    # ------------------------------------------------------------ The end

    def _finish(self) -> None:
        self._over = True
        if not self._candidates:
            feedback = self._feedback or {}
            reason = word_of(feedback.get("blockReason"), BLOCK_NUMBERS)
            self._events += [Finished(Finish.FILTER, raw=reason, extra={"promptFeedback": feedback}), Ended()]
            return
        done = [candidate.end(self._events) for _, candidate in sorted(self._candidates.items())]
        self._events += [*done, Ended()]

    def _fail(self, error: GatewayError) -> None:
        self._over = True
        self._events.append(Failed(error))


def _seconds(value: Any) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        return 0
