"""A Gemini answer → events (`ResponseParser`), streamed as events or as a JSON array, or whole, on one path.

The format has no terminal event: a finish reason for every candidate, or a blocked prompt, makes the end of the bytes an
`Ended`. `Finished` comes only there, because some models say STOP in every chunk. Usage is cumulative: the last one counts.
A signature on plain text becomes a thought of its own behind that text (see `gemini_contents`).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from typing import Any

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Json,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartKind,
    PartStart,
    Started,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.fields import integer
from omni_connector.wire.gemini_errors import error_in
from omni_connector.wire.gemini_frames import Frames
from omni_connector.wire.gemini_notes import merge_logprobs, sources_of, to_chat_logprobs
from omni_connector.wire.gemini_partial import PartialArguments
from omni_connector.wire.gemini_words import (
    BLOCK_NUMBERS,
    CUSTOM_INPUT,
    FINISH_NUMBERS,
    NAME,
    SIGNATURE,
    camel,
    dumps,
    finish_of,
    loads,
    make_id,
    to_arguments,
    to_usage,
    to_wire_name,
    word_of,
)

_CHUNK = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "error"})
_CANDIDATE = frozenset({"content", "finishReason", "index"})


class ResponseParser:
    """Push bytes, get events. `origin` is stamped on signatures; `request` tells which functions stand in for free-text tools
    and which names had to be written differently."""

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        tools = request.tools if request is not None else ()
        self._reader = _Reader(
            origin,
            frozenset(tool.name for tool in tools if tool.kind == "custom"),
            {to_wire_name(tool.name): tool.name for tool in tools if tool.kind != "foreign"},
        )
        self._frames = Frames()
        self._events: list[Event] = []
        self._candidates: dict[int, _Candidate] = {}
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
        chunk = loads(text)
        if isinstance(chunk, list):
            chunk = next((one for one in chunk if isinstance(one, dict)), None)
        if isinstance(chunk, dict):
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
            known = self._candidates[number] = _Candidate(number, self._reader, self._events)
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


class _Reader:
    """What all candidates of an answer share."""

    def __init__(self, origin: Origin, custom: frozenset[str], names: Mapping[str, str]) -> None:
        self.origin = origin
        self.custom = custom
        self.names = names
        self.indexes = count()
        self.calls = count()
        self.token = ""


class _Candidate:
    """One candidate of the answer: at most one part is open. `events` is handed in anew, since it is drained between."""

    def __init__(self, number: int, reader: _Reader, events: list[Event]) -> None:
        self._number = number
        self._reader = reader
        self._events = events
        self._open: tuple[int, PartKind] | None = None
        self._signature: Opaque | None = None
        """Of the open text: told as a thought when the text is complete."""
        self._partial: PartialArguments | None = None
        self._calls = False
        self._extra: Json = {}
        self.word: str | None = None

    def take(self, candidate: Json, events: list[Event]) -> None:
        self._events = events
        content = candidate.get("content")
        parts = camel(content).get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                self._part(camel(part))
        for key, value in candidate.items():
            if key not in _CANDIDATE and value is not None:
                self._extra[key] = merge_logprobs(self._extra.get(key), value) if key == "logprobsResult" else value
        self.word = word_of(candidate.get("finishReason"), FINISH_NUMBERS) or self.word

    def end(self, events: list[Event]) -> Finished:
        self._events = events
        if self._open is not None and self._open[1] == "text":
            events.extend(Annotation(self._open[0], NAME, note) for note in sources_of(self._extra))
        self._close()
        logprobs = to_chat_logprobs(self._extra.get("logprobsResult"))
        extra = self._extra if logprobs is None else {**self._extra, "logprobs": logprobs}
        return Finished(finish_of(self.word, self._calls), self._number, None, self.word, extra)

    # ------------------------------------------------------------ Parts

    def _part(self, part: Json) -> None:
        text = part.get("text")
        proof = part.get("thoughtSignature")
        opaque = Opaque(SIGNATURE, proof, self._reader.origin) if isinstance(proof, str) and proof else None
        if isinstance(text, str):
            self._words("reasoning" if part.get("thought") is True else "text", text, opaque)
        elif isinstance(part.get("functionCall"), dict):
            self._call(camel(part["functionCall"]), opaque)
        elif any(value is not None for value in part.values()):
            self._whole_part("foreign", ForeignPart(NAME, part))

    def _words(self, kind: PartKind, text: str, opaque: Opaque | None) -> None:
        if not text and opaque is None:
            return
        if self._open is None or self._open[1] != kind or (self._signature is not None and text):
            if not text and kind == "text":
                self._proof(opaque)
                return
            self._begin(kind)
        index = self._open[0] if self._open is not None else 0
        if text:
            self._events.append(Delta(index, text))
        if opaque is None:
            return
        if kind == "reasoning":
            # A signature belongs to exactly the thought it came with.
            self._events.append(OpaqueDelta(index, opaque))
            self._close()
        else:
            if self._signature is not None:
                self._close()
                self._proof(opaque)
                return
            self._signature = opaque

    def _proof(self, opaque: Opaque | None) -> None:
        """A signature without words."""
        self._close()
        if opaque is not None:
            index = self._begin("reasoning")
            self._events.append(OpaqueDelta(index, opaque))
            self._close()

    def _begin(self, kind: PartKind) -> int:
        self._close()
        index = next(self._reader.indexes)
        self._open = (index, kind)
        self._events.append(PartStart(index, kind, choice=self._number))
        return index

    def _close(self) -> None:
        if self._partial is not None:
            self._end_partial()
        if self._open is None:
            return
        self._events.append(PartEnd(self._open[0]))
        self._open = None
        opaque, self._signature = self._signature, None
        if opaque is not None:
            self._proof(opaque)

    def _whole_part(self, kind: PartKind, part: ForeignPart) -> None:
        self._close()
        index = next(self._reader.indexes)
        self._events += [PartStart(index, kind, name=part.wire, choice=self._number, value=part.value), PartEnd(index)]

    # ------------------------------------------------------------ Calls

    def _call(self, call: Json, opaque: Opaque | None) -> None:
        """A whole call, or a piece of one that is told in pieces (`willContinue`, `partialArgs`)."""
        name = call.get("name")
        more = call.get("willContinue") is True
        if isinstance(name, str) and name:
            self._begin_call(call, name, opaque)
            if more or "partialArgs" in call:
                self._partial = PartialArguments(self._custom(name))
            else:
                args = call.get("args")
                self._end_call(_arguments(args if isinstance(args, dict) else {}, self._custom(name)))
                return
        if self._partial is not None:
            self._partial.add(call.get("partialArgs"))
            if not more:
                self._end_partial()

    def _custom(self, wire_name: str) -> bool:
        return self._reader.names.get(wire_name, wire_name) in self._reader.custom

    def _begin_call(self, call: Json, wire_name: str, opaque: Opaque | None) -> None:
        self._close()
        self._calls = True
        name = self._reader.names.get(wire_name, wire_name)
        given, number = call.get("id"), next(self._reader.calls)
        call_id = given if isinstance(given, str) and given else make_id(number, self._reader.token)
        index = next(self._reader.indexes)
        self._open = (index, "tool_call")
        self._events.append(PartStart(index, "tool_call", call_id, name, name in self._reader.custom, self._number))
        if opaque is not None:
            self._events.append(OpaqueDelta(index, opaque))

    def _end_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None:
            self._end_call(_arguments(partial.value, partial.custom))

    def _end_call(self, arguments: str) -> None:
        if self._open is not None and arguments:
            self._events.append(Delta(self._open[0], arguments))
        self._close()


def _arguments(args: Json, custom: bool) -> str:
    """The words of a free-text tool, as the one string of the function that stood in for it; else the arguments."""
    text = args.get(CUSTOM_INPUT)
    if custom and isinstance(text, str):
        return text
    return dumps(args).decode() if custom else to_arguments(args)


def _seconds(value: Any) -> int:
    try:
        return int(datetime.fromisoformat(value).timestamp()) if isinstance(value, str) else 0
    except (ValueError, OverflowError):
        return 0


