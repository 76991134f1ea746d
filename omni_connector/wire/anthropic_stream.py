"""An Anthropic answer, streamed or whole → events (upstream's side).

Order of a stream: message_start, (content_block_start, content_block_delta*, content_block_stop)*, message_delta,
message_stop; ping and error may come anywhere and unknown events are skipped (reference of streaming). Compatible hosts
are looser, so a block may start without its event, be left open, or carry its content in content_block_start.
"""

from __future__ import annotations

from dataclasses import field
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
from omni_connector.errors import GatewayError
from omni_connector.values import dataclass
from omni_connector.wire.anthropic_errors import error_in_answer
from omni_connector.wire.anthropic_words import (
    CUSTOM_INPUT,
    FINISH,
    NAME,
    REDACTED,
    SIGNATURE,
    dumps,
    loads_object,
    to_arguments,
    to_input,
    to_usage,
)
from omni_connector.wire.sse import Decoder, ServerEvent

_KINDS: dict[str, PartKind] = {"text": "text", "thinking": "reasoning", "redacted_thinking": "reasoning", "tool_use": "tool_call"}
_IMPLIED = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}
"""Delta type → the block it implies when the host forgot content_block_start."""
_MESSAGE_FIELDS = ("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage")
_FINISH_FIELDS = ("stop_details", "container", "context_management")
"""What may come with the stop reason; in a whole answer it stands beside `content`."""


@dataclass(slots=True)
class _Block:
    """A block that is open in the stream."""

    index: int
    """Ours."""
    kind: PartKind
    value: Json
    custom: bool = False
    json: list[str] = field(default_factory=list)
    spoken: bool = False
    """Some of the arguments have been told."""
    proof: Opaque | None = None
    """Told at the end: the last one counts, as the vendor's SDK has it."""


class ResponseParser:
    """Push bytes, get events. `origin` marks signatures; `request` tells which tools were free-text ones.

    An error inside the answer is a `Failed` event; only an event beyond all size raises (sse.Decoder).
    """

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        self._origin = origin
        self._custom = frozenset(tool.name for tool in request.tools if tool.kind == "custom") if request is not None else frozenset()
        self._decoder = Decoder()
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._started = False
        self._finished = False
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        out: list[Event] = []
        for event in self._decoder.feed(chunk):
            self._server_event(event, out)
        return out

    def close(self) -> list[Event]:
        """End of the bytes. Without message_stop and without a stop reason no `Ended` comes: the answer was cut."""
        out: list[Event] = []
        for event in self._decoder.close():
            self._server_event(event, out)
        if self._finished and not self._over:
            self._end(out)
        return out

    def whole(self, body: Json | bytes) -> list[Event]:
        """A whole answer, as bytes or decoded JSON → the events its stream would have had."""
        out: list[Event] = []
        body = loads_object(body) or {} if isinstance(body, bytes) else body
        if not isinstance(body, dict) or isinstance(body.get("error"), dict) or not isinstance(body.get("content"), list):
            self._fail(error_in_answer(body), out)
            return out
        self._start(body, None, out)
        for number, block in enumerate(body["content"]):
            self._open(number, block, out)
            self._close(number, out)
        self._usage(body.get("usage"), out)
        self._stopped(body, {key: body[key] for key in _FINISH_FIELDS if body.get(key) is not None}, out)
        self._end(out)
        return out

    # ------------------------------------------------------------ Events of the stream

    def _server_event(self, event: ServerEvent, out: list[Event]) -> None:
        if self._over:
            return
        data = loads_object(event.data)
        if data is None:
            # Keep-alives of hosts come as anything; a torn event of ours would show in what follows.
            return
        kind = data.get("type")
        if kind == "content_block_delta":
            self._delta(data, out)
        elif kind == "content_block_start":
            self._open(_index(data), data.get("content_block"), out)
        elif kind == "content_block_stop":
            self._close(_index(data), out)
        elif kind == "message_start":
            message = data.get("message")
            self._start(message, to_usage(message.get("usage")) if isinstance(message, dict) else None, out)
        elif kind == "message_delta":
            self._message_delta(data, out)
        elif kind == "message_stop":
            self._end(out)
        elif kind == "error" or isinstance(data.get("error"), dict):
            self._fail(error_in_answer(data), out)

    def _start(self, message: Any, usage: Usage | None, out: list[Event]) -> None:
        if self._started or not isinstance(message, dict):
            return
        self._started = True
        name, model = message.get("id"), message.get("model")
        extra = {key: value for key, value in message.items() if key not in (*_MESSAGE_FIELDS, *_FINISH_FIELDS)}
        out.append(Started(name if isinstance(name, str) else "", model if isinstance(model, str) else "", usage=usage, extra=extra))

    def _message_delta(self, data: Json, out: list[Event]) -> None:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            delta = {}
        self._usage(data.get("usage"), out)
        said = {**delta, **data}
        self._stopped(delta, {key: said[key] for key in _FINISH_FIELDS if said.get(key) is not None}, out)

    def _usage(self, raw: Any, out: list[Event]) -> None:
        usage = to_usage(raw)
        if usage is not None:
            out.append(UsageSeen(usage))

    def _stopped(self, said: Json, extra: Json, out: list[Event]) -> None:
        """The stop reason; null leaves it open until the end, where it becomes OTHER."""
        reason, sequence = said.get("stop_reason"), said.get("stop_sequence")
        self._close_all(out)
        if isinstance(reason, str):
            self._finished = True
            text = sequence if isinstance(sequence, str) else None
            out.append(Finished(FINISH.get(reason, Finish.OTHER), 0, text, reason, extra))

    def _end(self, out: list[Event]) -> None:
        self._close_all(out)
        self._over = True
        if not self._finished:
            out.append(Finished(Finish.OTHER))
        out.append(Ended())

    def _close_all(self, out: list[Event]) -> None:
        for number in list(self._blocks):
            self._close(number, out)

    def _fail(self, error: GatewayError, out: list[Event]) -> None:
        self._over = True
        out.append(Failed(error))

    # ------------------------------------------------------------ Blocks

    def _open(self, number: int, value: Any, out: list[Event]) -> None:
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            return
        self._close(number, out)
        kind = _KINDS.get(value["type"], "foreign")
        block = _Block(self._next, kind, value)
        self._next += 1
        self._blocks[number] = block
        if kind == "foreign":
            # Its event carries the whole block, so it waits for its end.
            return
        if kind == "tool_call":
            self._open_call(block, out)
            return
        known = ("type", "text", "citations", "thinking", "signature", "data")
        out.append(PartStart(block.index, kind, value={key: one for key, one in value.items() if key not in known}))
        self._said(block, value, out)

    def _open_call(self, block: _Block, out: list[Event]) -> None:
        value = block.value
        name = _str(value.get("name"))
        block.custom = name in self._custom
        extra = {key: one for key, one in value.items() if key not in ("type", "id", "name", "input")}
        out.append(PartStart(block.index, "tool_call", _str(value.get("id")), name, block.custom, value=extra))

    def _delta(self, data: Json, out: list[Event]) -> None:
        delta, number = data.get("delta"), _index(data)
        if not isinstance(delta, dict):
            return
        implied = _IMPLIED.get(_str(delta.get("type")))
        if number not in self._blocks and implied is not None:
            self._open(number, {"type": implied}, out)
        block = self._blocks.get(number)
        if block is None:
            return
        if delta.get("type") == "input_json_delta":
            self._json(block, _str(delta.get("partial_json")), out)
        elif block.kind == "foreign":
            _grow(block, delta)
        else:
            self._said(block, delta, out)

    def _said(self, block: _Block, value: Json, out: list[Event]) -> None:
        """Words, thoughts, proofs and citations of a block's start or of a delta: the field names are the same."""
        text = value.get("text") if block.kind == "text" else value.get("thinking")
        if isinstance(text, str) and text:
            out.append(Delta(block.index, text))
        if block.kind == "text":
            citations = value.get("citations")
            told = [*(citations if isinstance(citations, list) else ()), value.get("citation")]
            out.extend(Annotation(block.index, NAME, citation) for citation in told if isinstance(citation, dict))
            return
        for key, kind in (("signature", SIGNATURE), ("data", REDACTED)):
            proof = value.get(key)
            if isinstance(proof, str) and proof:
                block.proof = Opaque(kind, proof, self._origin)

    def _json(self, block: _Block, text: str, out: list[Event]) -> None:
        if not text:
            return
        block.spoken = True
        if block.kind == "tool_call" and not block.custom:
            out.append(Delta(block.index, text))
        else:
            block.json.append(text)

    def _close(self, number: int, out: list[Event]) -> None:
        block = self._blocks.pop(number, None)
        if block is None:
            return
        if block.kind == "foreign":
            value = block.value if not block.json else {**block.value, "input": to_input("".join(block.json))}
            out.append(PartStart(block.index, "foreign", name=NAME, value=value))
        elif block.kind == "tool_call":
            self._close_call(block, out)
        elif block.proof is not None:
            out.append(OpaqueDelta(block.index, block.proof))
        out.append(PartEnd(block.index))

    def _close_call(self, block: _Block, out: list[Event]) -> None:
        """What is still to be said of the arguments: those of a free-text tool, and input that came with the start."""
        given = block.value.get("input")
        if block.custom:
            value = loads_object("".join(block.json)) if block.json else given
            text = value.get(CUSTOM_INPUT) if isinstance(value, dict) else None
            if not isinstance(text, str):
                # The model did not keep to the one string it was offered: give what it said.
                text = "".join(block.json) or dumps(given or {}).decode()
            out.append(Delta(block.index, text))
        elif not block.spoken:
            out.append(Delta(block.index, to_arguments(given) if isinstance(given, dict) else _str(given) or "{}"))


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(data: Json) -> int:
    index = data.get("index")
    return index if isinstance(index, int) else 0


def _grow(block: _Block, delta: Json) -> None:
    """Apply a delta to a block we do not know: text grows, anything else replaces (compaction_delta and what may come)."""
    grown = dict(block.value)
    for key, piece in delta.items():
        if key != "type":
            before = grown.get(key)
            grown[key] = before + piece if isinstance(before, str) and isinstance(piece, str) else piece
    block.value = grown
