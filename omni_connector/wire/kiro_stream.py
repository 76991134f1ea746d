"""A Kiro answer → events (`ResponseParser`): frames of an AWS event stream whose payloads are JSON (upstreams.md §9).

The format has no terminal event: the end of the bytes behind a whole frame is the end of the answer, and one that was never told
anything, or ends inside a frame, was cut. Text comes in pieces, a call's arguments as pieces of JSON by its id. How much was used is
told in credits; where tokens are not told, they are counted here from what was said, and marked so (`Usage.raw["usage_source"]`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from omni_connector.chat import (
    ChatRequest,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    Json,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartKind,
    PartStart,
    Started,
    UsageSeen,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.values import dataclass
from omni_connector.wire.event_stream import Decoder, Frame
from omni_connector.wire.kiro_errors import error_in, parse_error
from omni_connector.wire.kiro_tags import ThinkTags
from omni_connector.wire.kiro_usage import Used
from omni_connector.wire.kiro_words import CUSTOM_INPUT, FINISH, REDACTED, SIGNATURE, dumps, loads, to_wire_name


@dataclass(slots=True)
class _Call:
    index: int
    custom: bool
    told: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.told)


class ResponseParser:
    """Push bytes, get events. `origin` is stamped on signatures; `request` tells which functions stand in for free-text tools, which
    names had to be written differently, and whether thoughts were asked for in words."""

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        tools = request.tools if request is not None else ()
        self._origin = origin
        self._custom = frozenset(tool.name for tool in tools if tool.kind == "custom")
        self._names = {to_wire_name(tool.name): tool.name for tool in tools if tool.kind != "foreign"}
        thinking = request.thinking if request is not None else None
        self._tags = ThinkTags() if thinking is not None and thinking.enabled is not False else None
        self._used = Used(request)
        self._decoder = Decoder()
        self._events: list[Event] = []
        self._next = 0
        self._open: tuple[int, PartKind] | None = None
        """The part of text or thoughts that goes on."""
        self._calls: dict[str, _Call] = {}
        self._done: set[str] = set()
        self._cut = False
        """A call's arguments ended in the middle."""
        self._stop = ""
        self._started = self._over = False
        self._hear: Mapping[str, Callable[[Json], None]] = {
            "assistantResponseEvent": self._assistant,
            "codeEvent": self._assistant,
            "reasoningContentEvent": self._reasoning,
            "toolUseEvent": self._tool_use,
            "metadataEvent": self._metadata,
            "messageStopEvent": self._metadata,
            "meteringEvent": self._used.metering,
            "contextUsageEvent": self._used.context,
            "invalidStateEvent": self._invalid,
        }

    # ------------------------------------------------------------ In

    def feed(self, data: bytes) -> list[Event]:
        if self._over:
            return []
        try:
            for frame in self._decoder.feed(data):
                if not self._over:
                    self._frame(frame)
        except GatewayError as error:
            self._fail(error)
        return self._drain()

    def close(self) -> list[Event]:
        """End of the bytes. Inside a frame, or before anything was said, no `Ended` comes: the answer was cut."""
        if not self._over and (self._next or self._stop) and not self._decoder.pending:
            self._finish()
        return self._drain()

    def whole(self, body: Any) -> list[Event]:
        """There are no whole answers: a stream as one piece of bytes, or the JSON of an error that came with status 200."""
        if isinstance(body, bytes | bytearray) and not body.lstrip().startswith(b"{"):
            return [*self.feed(bytes(body)), *self.close()]
        error = parse_error(500, {}, body)
        error.upstream_status = None
        self._fail(error)
        return self._drain()

    def _drain(self) -> list[Event]:
        events = self._events
        self._events = []
        return events

    def _fail(self, error: GatewayError) -> None:
        self._over = True
        self._events.append(Failed(error))

    # ------------------------------------------------------------ Frames

    def _frame(self, frame: Frame) -> None:
        error = error_in(frame)
        if error is not None:
            self._fail(error)
            return
        kind = frame.text(":event-type")
        hear = self._hear.get(kind)
        payload = loads(frame.payload) if hear is not None else None
        if hear is None:
            return  # references, citations and suggestions that no client of ours can show
        if not isinstance(payload, dict):
            raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent a {kind} that is no JSON object.")
        inner = payload.get(kind)
        payload = inner if isinstance(inner, dict) else payload
        if not self._started:
            self._started = True
            model = payload.get("modelId")
            self._events.append(Started("", model if isinstance(model, str) else ""))
        hear(payload)

    def _assistant(self, said: Json) -> None:
        text = said.get("content")
        if not isinstance(text, str) or not text:
            return
        for kind, piece in self._tags.feed(text) if self._tags is not None else [("text", text)]:
            self._words("reasoning" if kind == "reasoning" else "text", piece)

    def _reasoning(self, said: Json) -> None:
        text, proof, hidden = said.get("text"), said.get("signature"), said.get("redactedContent")
        if isinstance(text, str) and text:
            self._words("reasoning", text)
        for kind, value in ((SIGNATURE, proof), (REDACTED, hidden)):
            if isinstance(value, str) and value:
                index = self._part("reasoning")
                self._events.append(OpaqueDelta(index, Opaque(kind, value, self._origin)))
                self._close()  # it belongs to exactly the thought it came with

    def _metadata(self, said: Json) -> None:
        reason = said.get("stopReason") or said.get("stop_reason")
        self._stop = reason if isinstance(reason, str) and reason else self._stop
        self._used.tokens(said.get("tokenUsage"))

    def _invalid(self, said: Json) -> None:
        words = said.get("message") or said.get("reason")
        raise GatewayError(Kind.UPSTREAM_FAILED, words if isinstance(words, str) else "The provider could not go on with its answer.")

    # ------------------------------------------------------------ Text and thoughts

    def _words(self, kind: PartKind, text: str) -> None:
        if not text:
            return
        self._used.heard(text)
        self._events.append(Delta(self._part(kind), text))

    def _part(self, kind: PartKind) -> int:
        if self._open is None or self._open[1] != kind:
            self._close()
            self._open = (self._begin(kind), kind)
        return self._open[0]

    def _begin(self, kind: PartKind, call_id: str = "", name: str = "", custom: bool = False) -> int:
        index, self._next = self._next, self._next + 1
        self._events.append(PartStart(index, kind, call_id, name, custom))
        return index

    def _close(self) -> None:
        if self._open is not None:
            self._events.append(PartEnd(self._open[0]))
            self._open = None

    # ------------------------------------------------------------ Calls

    def _tool_use(self, said: Json) -> None:
        """A piece of a call. One without an id goes on with the call that is open."""
        given, name = said.get("toolUseId"), said.get("name")
        call_id = given if isinstance(given, str) and given else next(reversed(self._calls), "")
        if call_id in self._done:
            return
        call = self._calls.get(call_id)
        if call is None:
            if not isinstance(name, str) or not name:
                return
            call_id = call_id or f"call_{self._next}"
            call = self._calls[call_id] = self._begin_call(call_id, self._names.get(name, name))
        piece = said.get("input")
        text = piece if isinstance(piece, str) else dumps(piece) if isinstance(piece, dict) and piece else ""
        if text:
            call.told.append(text)
            self._used.heard(text)
            if not call.custom:
                self._events.append(Delta(call.index, text))
        if said.get("stop") is True:
            self._end_call(call_id)

    def _begin_call(self, call_id: str, name: str) -> _Call:
        self._flush_tags()
        self._close()
        custom = name in self._custom
        return _Call(self._begin("tool_call", call_id, name, custom), custom)

    def _end_call(self, call_id: str) -> None:
        call = self._calls.pop(call_id)
        self._done.add(call_id)
        arguments = call.arguments
        value = loads(arguments) if arguments.strip() else {}
        # The service itself cuts long arguments in the middle, and then says that the call is complete.
        self._cut = self._cut or not isinstance(value, dict)
        words = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
        if call.custom:
            self._events.append(Delta(call.index, words if isinstance(words, str) else arguments))
        elif not arguments:
            self._events.append(Delta(call.index, "{}"))
        self._events.append(PartEnd(call.index))

    # ------------------------------------------------------------ The end

    def _flush_tags(self) -> None:
        for kind, piece in self._tags.close() if self._tags is not None else []:
            self._words("reasoning" if kind == "reasoning" else "text", piece)

    def _finish(self) -> None:
        self._over = True
        self._flush_tags()
        self._close()
        for call_id in list(self._calls):
            self._end_call(call_id)
        self._events += [UsageSeen(self._used.usage()), Finished(self._reason(), raw=self._stop or None), Ended()]

    def _reason(self) -> Finish:
        """A call that is complete is a reason of its own, whatever word came; one that is not must not be run."""
        if self._cut:
            return Finish.LENGTH
        told = FINISH.get(self._stop, Finish.OTHER) if self._stop else Finish.STOP
        return Finish.TOOL_CALLS if self._done and told in (Finish.STOP, Finish.OTHER) else told
