"""Events or a whole answer → Anthropic's form (client's side).

Clients demand strict order (clients.md, finding 10): blocks one after the other with start, deltas and stop, `event:` lines,
usage in message_start and message_delta. Parts of other formats may overlap (calls told in turns), so a part waits until
those before it are complete.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import field
from typing import assert_never

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    ChatResponse,
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
    PartStart,
    Started,
    Usage,
    UsageSeen,
    seal,
    unfold,
)
from omni_connector.errors import GatewayError
from omni_connector.values import dataclass
from omni_connector.wire.anthropic_errors import render_error
from omni_connector.wire.anthropic_words import (
    CITATIONS,
    CUSTOM_INPUT,
    FINISH,
    FOREIGN_PAGE,
    NAME,
    NO_OPAQUE,
    REDACTED,
    SIGNATURE,
    STOP_REASON,
    dumps,
    from_usage,
    join_sealed,
    to_input,
    to_wire_id,
)
from omni_connector.wire.sse import encode

_DELTA_FIELDS = ("stop_details", "container")
"""Of `Finished.extra`: these stand in the `delta` of message_delta, `context_management` beside it."""


@dataclass(slots=True)
class _Part:
    start: PartStart
    waiting: list[Event] = field(default_factory=list)
    """Events that came while an earlier part was open."""
    ended: bool = False


class ResponseRenderer:
    """Push events, get bytes of the client's stream. Only choice 0 is told: the format has no others.

    `model` is the requested name. `origin` is who serves the answer; it goes into the seal of thoughts that came without a
    proof, so that a later turn knows where they came from.
    """

    def __init__(self, model: str, request: ChatRequest | None = None, *, origin: Origin | None = None) -> None:
        self._model = model
        self._origin = origin
        self._usage: Usage | None = None
        self._finished: Finished | None = None
        self._started = False
        self._over = False
        self._parts: dict[int, _Part] = {}
        """Parts that are not complete yet, in order of their numbers once sorted."""
        self._current: int | None = None
        self._block: _BlockWriter | None = None
        self._blocks = 0
        self._said: set[str] = set()

    def feed(self, event: Event) -> bytes:
        return b"".join(encode(dumps(data), data["type"]) for data in self.events(event))

    def fail(self, error: GatewayError) -> bytes:
        """Close what is open and tell the error. No message_stop may follow: a failed answer has no clean end."""
        return b"" if self._over else b"".join(encode(dumps(data), data["type"]) for data in self._fail(error))

    def events(self, event: Event) -> list[Json]:
        """The same as `feed`, before it becomes bytes."""
        if self._over:
            return []
        match event:
            case Started():
                return self._start(event)
            case PartStart():
                return self._part_start(event) if event.choice == 0 else []
            case Delta() | OpaqueDelta() | Annotation():
                return self._to_part(event)
            case PartEnd(index):
                return self._part_end(index)
            case UsageSeen(usage):
                self._use(usage)
            case Finished():
                if event.choice == 0:
                    self._finished = event
            case Failed(error):
                return self._fail(error)
            case Ended():
                return self._end()
            case _:
                assert_never(event)
        return []

    # ------------------------------------------------------------ The frame

    def _fail(self, error: GatewayError) -> list[Json]:
        self._over = True
        closing = [] if self._block is None else self._block.close()
        return [*closing, render_error(error)]

    def _use(self, usage: Usage) -> None:
        self._usage = usage if self._usage is None else self._usage.merged(usage)

    def _start(self, event: Started) -> list[Json]:
        if self._started:
            return []
        self._started = True
        if event.usage is not None:
            self._use(event.usage)
        name = event.id if event.id.startswith("msg_") else f"msg_{to_wire_id(event.id) if event.id else uuid.uuid4().hex}"
        message: Json = {
            "id": name,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": from_usage(self._usage),
        }
        return [{"type": "message_start", "message": message}]

    def _end(self) -> list[Json]:
        out: list[Json] = [] if self._started else self._start(Started("", ""))
        for index in sorted(self._parts):
            out += self._part_end(index)
        done = self._finished or Finished(Finish.OTHER)
        delta: Json = {"stop_reason": self._stop_reason(done), "stop_sequence": done.stop_sequence}
        delta |= {key: done.extra[key] for key in _DELTA_FIELDS if done.extra.get(key) is not None}
        last: Json = {"type": "message_delta", "delta": delta, "usage": from_usage(self._usage)}
        if done.extra.get("context_management") is not None:
            last["context_management"] = done.extra["context_management"]
        self._over = True
        return [*out, last, {"type": "message_stop"}]

    def _stop_reason(self, done: Finished) -> str:
        """The format's own word stays; hosts that say "stop" beside a tool call or a refusal are corrected."""
        if done.raw is not None and FINISH.get(done.raw) is done.reason:
            return done.raw
        if done.reason in (Finish.STOP, Finish.OTHER):
            if "tool_call" in self._said:
                return "tool_use"
            if "refusal" in self._said:
                return "refusal"
        return STOP_REASON[done.reason]

    # ------------------------------------------------------------ One block at a time

    def _part_start(self, event: PartStart) -> list[Json]:
        self._parts[event.index] = _Part(event)
        return self._advance() if self._current is None else []

    def _to_part(self, event: Delta | OpaqueDelta | Annotation) -> list[Json]:
        if event.index == self._current and self._block is not None:
            return self._block.write(event)
        part = self._parts.get(event.index)
        if part is not None:
            part.waiting.append(event)
        return []

    def _part_end(self, index: int) -> list[Json]:
        part = self._parts.get(index)
        if part is None:
            return []
        part.ended = True
        return self._close_current() + self._advance() if index == self._current else []

    def _close_current(self) -> list[Json]:
        out = [] if self._block is None else self._block.close()
        if self._block is not None and self._block.opened:
            self._blocks += 1
        if self._current is not None:
            del self._parts[self._current]
        self._current = self._block = None
        return out

    def _advance(self) -> list[Json]:
        """Open the next part in order, with all that was said of it meanwhile; go on while they are complete."""
        out: list[Json] = []
        while self._parts:
            self._current = min(self._parts)
            part = self._parts[self._current]
            self._said.add(part.start.kind)
            self._block = _BlockWriter(self._blocks, part.start, self._origin)
            out += self._block.open()
            for event in part.waiting:
                out += self._block.write(event)
            part.waiting = []
            if not part.ended:
                break
            out += self._close_current()
        return out


class _BlockWriter:
    """One content block. Text and thoughts open with their first words, so that an empty part leaves no empty block:
    the API refuses those when they come back."""

    def __init__(self, number: int, part: PartStart, origin: Origin | None) -> None:
        self.opened = False
        self._number = number
        self._part = part
        self._origin = origin
        self._opaque: list[Opaque] = []
        self._redacted = False

    def open(self) -> list[Json]:
        part = self._part
        if part.kind == "tool_call":
            call_id = to_wire_id(part.id) if part.id else f"toolu_{uuid.uuid4().hex}"
            block: Json = {"type": "tool_use", "id": call_id, "name": part.name, "input": {}}
            if "caller" in part.value:
                block["caller"] = part.value["caller"]
            return [self._start(block), *([self._delta("input_json_delta", "partial_json", _CUSTOM_HEAD)] if part.custom else ())]
        if part.kind == "foreign" and part.name == NAME:
            return self._foreign(part.value)
        return []

    def write(self, event: Event) -> list[Json]:
        match event:
            case Delta(_, text):
                return self._text(text)
            case Annotation(_, _, value):
                return self._annotation(value)
            case OpaqueDelta(_, opaque):
                self._opaque.append(opaque)
        return []

    def close(self) -> list[Json]:
        out: list[Json] = []
        if self._part.kind == "reasoning":
            out += self._proof()
        elif self._part.kind == "tool_call" and self._part.custom:
            out.append(self._delta("input_json_delta", "partial_json", _CUSTOM_TAIL))
        if self.opened:
            out.append({"type": "content_block_stop", "index": self._number})
        return out

    def _start(self, block: Json) -> Json:
        self.opened = True
        return {"type": "content_block_start", "index": self._number, "content_block": block}

    def _delta(self, kind: str, key: str, value: object) -> Json:
        return {"type": "content_block_delta", "index": self._number, "delta": {"type": kind, key: value}}

    def _text(self, text: str) -> list[Json]:
        if not text:
            return []
        kind = self._part.kind
        if kind == "tool_call":
            return [self._delta("input_json_delta", "partial_json", _escaped(text) if self._part.custom else text)]
        if kind == "reasoning":
            opening = [] if self.opened else [self._start({"type": "thinking", "thinking": "", "signature": ""})]
            return [*opening, self._delta("thinking_delta", "thinking", text)]
        opening = [] if self.opened else [self._start({"type": "text", "text": ""})]
        return [*opening, self._delta("text_delta", "text", text)]

    def _annotation(self, value: Json) -> list[Json]:
        """Pages that other formats cite are told as search results. The vendor's encrypted index has our seal in its place, so that
        a returning one is known; documents have no address that this format could name."""
        if self._part.kind != "text":
            return []
        if value.get("type") not in CITATIONS:
            inner = value.get("url_citation")
            page = inner if isinstance(inner, dict) else value
            if not isinstance(page.get("url"), str):
                return []
            value = _search_result(page, self._origin)
        opening = [] if self.opened else [self._start({"type": "text", "text": ""})]
        return [*opening, self._delta("citations_delta", "citation", value)]

    def _proof(self) -> list[Json]:
        """The end of a thought: this format's own values bare, all others sealed. Never an empty or invented signature."""
        kinds = [opaque.kind for opaque in self._opaque]
        if not self.opened:
            if kinds == [REDACTED]:
                return [self._start({"type": "redacted_thinking", "data": self._opaque[0].value})]
            if not kinds:
                return []
        opening = [] if self.opened else [self._start({"type": "thinking", "thinking": "", "signature": ""})]
        if kinds == [SIGNATURE]:
            signature = self._opaque[0].value
        else:
            signature = join_sealed([seal(opaque) for opaque in self._opaque or [Opaque(NO_OPAQUE, "", self._origin)]])
        return [*opening, self._delta("signature_delta", "signature", signature)]

    def _foreign(self, block: Json) -> list[Json]:
        """Blocks of this format only. Clients collect `input` and a compaction's `content` from deltas, as the API tells them."""
        if isinstance(block.get("input"), dict):
            text = dumps(block["input"]).decode()
            return [self._start({**block, "input": {}}), self._delta("input_json_delta", "partial_json", text)]
        if block.get("type") == "compaction":
            return [self._start({**block, "content": None}), self._delta("compaction_delta", "content", block.get("content"))]
        return [self._start(block)]


def _search_result(page: Json, origin: Origin | None) -> Json:
    title, text = page.get("title"), page.get("cited_text")
    return {
        "type": "web_search_result_location",
        "cited_text": text if isinstance(text, str) else "",
        "encrypted_index": seal(Opaque(FOREIGN_PAGE, "", origin)),
        "title": title if isinstance(title, str) else None,
        "url": page["url"],
    }


_CUSTOM_HEAD = f'{{"{CUSTOM_INPUT}":"'
_CUSTOM_TAIL = '"}'
"""A free-text tool's words as the one string of its function: written around the escaped pieces."""


def _escaped(text: str) -> str:
    return dumps(text).decode()[1:-1]


# ---------------------------------------------------------------- Whole answers


def render_response(response: ChatResponse, model: str, request: ChatRequest | None = None, *, origin: Origin | None = None) -> Json:
    """The whole answer, by way of the stream's own events."""
    renderer = ResponseRenderer(model, request, origin=origin)
    return accumulate(data for event in unfold(response) for data in renderer.events(event))


def accumulate(events: Iterable[Json]) -> Json:
    """Events of a stream of ours → the message they describe, as the vendor's SDK collects them."""
    message: Json = {}
    json_texts: dict[int, str] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(dict(event["content_block"]))
            case "content_block_delta":
                _collect(message["content"][event["index"]], event["delta"], event["index"], json_texts)
            case "message_delta":
                message |= {**event["delta"], "usage": event["usage"]}
                if "context_management" in event:
                    message["context_management"] = event["context_management"]
    for index, text in json_texts.items():
        message["content"][index]["input"] = to_input(text)
    return message


def _collect(block: Json, delta: Json, index: int, json_texts: dict[int, str]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])
        case "compaction_delta":
            block["content"] = delta["content"]
        case "input_json_delta":
            json_texts[index] = json_texts.get(index, "") + delta["partial_json"]
