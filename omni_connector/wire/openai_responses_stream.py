"""An upstream's Responses answer → events (`ResponseParser`), streamed and whole on one path.

Order of a stream: response.created, items (added, their deltas, done), then one of response.completed, .incomplete, .failed;
`error` may come anywhere and unknown events are skipped (upstreams.md §1). Hosts leave things out: deltas, `output_index`,
`added`, all but the done items (Codex backend), all but the terminal event. So whatever an event tells that is not yet known is
told, once. The terminal events and nothing else end a stream properly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    Ended,
    Event,
    Failed,
    Finished,
    Json,
    Origin,
    PartKind,
    Started,
    UsageSeen,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_words import loads
from omni_connector.wire.openai_responses_codex import real_names
from omni_connector.wire.openai_responses_errors import answer_error
from omni_connector.wire.openai_responses_pieces import Item, Pieces
from omni_connector.wire.openai_responses_tools import names_of
from omni_connector.wire.openai_responses_words import NAME, finish_of, to_citation, usage_of

_SAID_AGAIN = frozenset({"response.queued", "response.in_progress"})
"""Events that repeat the first one, tools and instructions and all: not worth reading once that is known."""
_OBJECT = frozenset(
    {"id", "object", "created_at", "completed_at", "status", "model", "output", "output_text", "usage", "error", "incomplete_details"}
)
"""Fields of a response object that are read; the others (`service_tier`, `metadata`, echoes of the request) ride along."""


class ResponseParser:
    """Push bytes, get events. `origin`: who answers, stamped on opaque values. `request`, where given, tells the names that tools
    have here, and which functions stand in for free-text tools.

    An error inside the answer is a `Failed` event; only an event beyond all size raises (sse.Decoder).
    """

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        tools = request.tools if request is not None else ()
        self._decoder = sse.Decoder()
        self._events: list[Event] = []
        self._pieces = Pieces(
            origin,
            self._events.append,
            custom=frozenset(tool.name for tool in tools if tool.kind == "custom"),
            flat={**real_names(tools), **{said: flat for flat, said in names_of(tools).items()}},
        )
        self._items: dict[int, Item] = {}
        self._started = False
        self._over = False
        self._extra: Json = {}

    # ------------------------------------------------------------ In

    def feed(self, data: bytes) -> list[Event]:
        for event in self._decoder.feed(data):
            self._event(event)
        return self._drain()

    def close(self) -> list[Event]:
        """End of the bytes. Adds no `Ended`: a stream without its terminal event was cut."""
        for event in self._decoder.close():
            self._event(event)
        return self._drain()

    def whole(self, body: Any) -> list[Event]:
        """A whole answer, as bytes or decoded JSON → the events its stream would have had."""
        value = loads(body) if isinstance(body, bytes | str) else body
        if not isinstance(value, dict) or value.get("error") or value.get("status") == "failed":
            self._fail(answer_error(value))
        elif not isinstance(value.get("output"), list):
            self._fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without `output`."))
        else:
            self._start(value)
            self._finish(value, ended=False)
        return self._drain()

    def _drain(self) -> list[Event]:
        events = self._events[:]
        self._events.clear()
        return events

    def _event(self, event: sse.ServerEvent) -> None:
        if self._over or (self._started and event.event in _SAID_AGAIN):
            return
        data = loads(event.data)
        if not isinstance(data, dict):
            # Keep-alives of hosts and a closing [DONE]; a torn event of ours would show in what follows.
            return
        kind = data.get("type")
        handler = _HANDLERS.get(kind if isinstance(kind, str) else event.event)
        if handler is not None:
            handler(self, data)
        elif isinstance(data.get("error"), dict) and not isinstance(kind, str):
            self._fail(answer_error(data))

    # ------------------------------------------------------------ The frame

    def begin(self, data: Json) -> None:
        response = data.get("response")
        self._start(response if isinstance(response, dict) else {})

    def _start(self, response: Json) -> None:
        if self._started:
            return
        self._started = True
        event = started_of({"response": response})
        self._extra = event.extra
        self._events.append(event)

    def end(self, data: Json) -> None:
        response = data.get("response")
        response = response if isinstance(response, dict) else {}
        if response.get("error") or response.get("status") == "failed":
            self._fail(answer_error(data))
            return
        if data.get("type") == "response.incomplete" and not response.get("incomplete_details"):
            response = {**response, "status": "incomplete"}
        self._start(response)
        self._finish(response, ended=True)

    def failed(self, data: Json) -> None:
        self._fail(answer_error(data))

    def _finish(self, response: Json, *, ended: bool) -> None:
        self._fill(response.get("output"))
        for item in self._items.values():
            self._pieces.finish(item, {})
        usage = usage_of(response)
        if usage is not None:
            self._events.append(UsageSeen(usage))
        self._over = True
        reason, word = finish_of(response, self._pieces.called, ended=ended)
        self._events.append(Finished(reason, raw=word, extra=self._left(response)))
        self._events.append(Ended())

    def _fill(self, output: Any) -> None:
        """What only the terminal event tells: whole items, or the ends of those that were left open."""
        known = {item.id: item for item in self._items.values() if item.id}
        for number, value in enumerate(output if isinstance(output, list) else ()):
            if not isinstance(value, dict):
                continue
            item = known.get(_string(value.get("id"))) or self._items.get(number)
            if item is None:
                item = self._items[self._free(number)] = Item(value)
            self._pieces.finish(item, value)

    def _left(self, response: Json) -> Json:
        """What the end says beside what was known at the beginning, and the log probabilities in the chat format's shape."""
        extra: Json = {}
        changed = {key: value for key, value in _others(response).items() if self._extra.get(key) != value}
        if response.get("completed_at") is not None:
            changed["completed_at"] = response["completed_at"]
        if changed:
            extra["response"] = changed
        if self._pieces.logprobs:
            extra["logprobs"] = {"content": self._pieces.logprobs}
        return extra

    def _fail(self, error: GatewayError) -> None:
        self._over = True
        self._events.append(Failed(error))

    # ------------------------------------------------------------ Items

    def added(self, data: Json) -> None:
        value = data.get("item")
        if not isinstance(value, dict):
            return
        self._start({})
        key = self._key(data)
        known = self._items.get(key)
        if known is not None:
            # A host that counts no items: the one before is over.
            self._pieces.finish(known, {})
        item = self._items[key] = Item(value)
        self._pieces.open(item)

    def done(self, data: Json) -> None:
        value = data.get("item")
        if not isinstance(value, dict):
            return
        self._start({})
        key = self._key(data, value)
        item = self._items.get(key)
        if item is None or (item.done and item.id != _string(value.get("id"))):
            item = self._items[key] = Item(value)
        self._pieces.finish(item, value)

    def _key(self, data: Json, value: Json | None = None) -> int:
        """Where an item stands. Without `output_index` its id tells, else it is a new one."""
        index = integer(data.get("output_index"))
        if index is not None:
            return index
        item_id = _string((value or {}).get("id"))
        return next((key for key, item in self._items.items() if item_id and item.id == item_id), self._free(0))

    def _free(self, wanted: int) -> int:
        return wanted if wanted not in self._items else max(self._items) + 1

    def _item(self, data: Json, implied: str) -> Item:
        """The item that a delta belongs to; one is made up where the host forgot to open it."""
        self._start({})
        index, item_id = integer(data.get("output_index")), _string(data.get("item_id"))
        item = self._items.get(index) if index is not None else None
        if item is None and index is None:
            items = reversed(self._items.values())
            item = next((one for one in items if (one.id == item_id if item_id else not one.done)), None)
        if item is None:
            item = Item({"type": implied, "id": item_id})
            self._items[self._free(0) if index is None else index] = item
        return item

    # ------------------------------------------------------------ Deltas

    def _content(self, data: Json, kind: PartKind, key: str) -> None:
        item = self._item(data, "message")
        place = integer(data.get("content_index")) or 0
        text = data.get(key)
        if not isinstance(text, str) or item.done:
            return
        if key == "delta" or not self._pieces.spoke(item, ("content", place)):
            self._pieces.say(item, ("content", place), kind, text)

    def text_delta(self, data: Json) -> None:
        self._content(data, "text", "delta")

    def text_done(self, data: Json) -> None:
        self._content(data, "text", "text")

    def refusal_delta(self, data: Json) -> None:
        self._content(data, "refusal", "delta")

    def refusal_done(self, data: Json) -> None:
        self._content(data, "refusal", "refusal")

    def annotation(self, data: Json) -> None:
        note = data.get("annotation")
        item = self._item(data, "message")
        if isinstance(note, dict) and not item.done:
            piece = self._pieces.piece(item, ("content", integer(data.get("content_index")) or 0), "text")
            piece.notes += 1
            self._events.append(Annotation(piece.index, NAME, to_citation(note)))

    def _thought(self, data: Json, form: str, key: str) -> None:
        item = self._item(data, "reasoning")
        place = integer(data.get("summary_index" if form == "summary" else "content_index")) or 0
        text = data.get(key)
        if isinstance(text, str) and not item.done and (key == "delta" or (form, place) not in item.thoughts):
            self._pieces.think(item, form, place, text)

    def summary_delta(self, data: Json) -> None:
        self._thought(data, "summary", "delta")

    def summary_done(self, data: Json) -> None:
        self._thought(data, "summary", "text")

    def thought_delta(self, data: Json) -> None:
        self._thought(data, "content", "delta")

    def thought_done(self, data: Json) -> None:
        self._thought(data, "content", "text")

    def _call(self, data: Json, implied: str, key: str) -> None:
        item = self._item(data, implied)
        text = data.get(key)
        if isinstance(text, str) and not item.done and (key == "delta" or not item.told):
            self._pieces.argue(item, text)

    def arguments_delta(self, data: Json) -> None:
        self._call(data, "function_call", "delta")

    def arguments_done(self, data: Json) -> None:
        self._call(data, "function_call", "arguments")

    def input_delta(self, data: Json) -> None:
        self._call(data, "custom_tool_call", "delta")

    def input_done(self, data: Json) -> None:
        self._call(data, "custom_tool_call", "input")


_HANDLERS: Mapping[str, Callable[[ResponseParser, Json], None]] = {
    "response.created": ResponseParser.begin,
    "response.queued": ResponseParser.begin,
    "response.in_progress": ResponseParser.begin,
    "response.output_item.added": ResponseParser.added,
    "response.output_item.done": ResponseParser.done,
    "response.output_text.delta": ResponseParser.text_delta,
    "response.output_text.done": ResponseParser.text_done,
    "response.output_text.annotation.added": ResponseParser.annotation,
    "response.refusal.delta": ResponseParser.refusal_delta,
    "response.refusal.done": ResponseParser.refusal_done,
    "response.reasoning_summary_text.delta": ResponseParser.summary_delta,
    "response.reasoning_summary_text.done": ResponseParser.summary_done,
    "response.reasoning_text.delta": ResponseParser.thought_delta,
    "response.reasoning_text.done": ResponseParser.thought_done,
    "response.function_call_arguments.delta": ResponseParser.arguments_delta,
    "response.function_call_arguments.done": ResponseParser.arguments_done,
    "response.custom_tool_call_input.delta": ResponseParser.input_delta,
    "response.custom_tool_call_input.done": ResponseParser.input_done,
    "response.completed": ResponseParser.end,
    "response.incomplete": ResponseParser.end,
    "response.done": ResponseParser.end,
    "response.failed": ResponseParser.failed,
    "error": ResponseParser.failed,
}


def started_of(data: Any) -> Started:
    """The first event of a stream → what it says of the response. An event without one says nothing."""
    response = data.get("response") if isinstance(data, dict) else None
    response = response if isinstance(response, dict) else {}
    created = response.get("created_at")
    seconds = int(created) if isinstance(created, int | float) and not isinstance(created, bool) and 0 < created < 1e15 else 0
    return Started(_string(response.get("id")), _string(response.get("model")), seconds, extra=_others(response))


def _others(response: Json) -> Json:
    return {key: value for key, value in response.items() if key not in _OBJECT and value is not None}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
