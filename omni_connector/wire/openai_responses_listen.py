"""The pass-through lane's ear for Responses answers: the bytes go by unchanged, and this knows what they cost.

Of a delta no more than its length is kept, found by byte searches: a `"` inside JSON text is always escaped, so `"delta":"` with
bare quotes is a key. Decoded are only the first and the terminal event, an error, calls as they begin, and items of hosts that
tell no deltas.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from omni_connector.chat import Finish, Json, Started, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_words import dumps, loads
from omni_connector.wire.openai_responses_errors import answer_error
from omni_connector.wire.openai_responses_words import NOT_DONE, finish_of, is_call, usage_of

_TYPE = re.compile(rb'"type"\s*:\s*"((?:response\.[a-z_.]+|error|keepalive))"')
_DELTA = re.compile(rb'"delta"\s*:\s*"')
_CALL = re.compile(rb'"type"\s*:\s*"(?:function_call|custom_tool_call)"')

_COUNTED = frozenset(
    {
        b"response.output_text.delta",
        b"response.refusal.delta",
        b"response.reasoning_summary_text.delta",
        b"response.reasoning_text.delta",
        b"response.function_call_arguments.delta",
        b"response.custom_tool_call_input.delta",
    }
)
_TERMINAL = frozenset({b"response.completed", b"response.incomplete", b"response.done"})
_FAILED = frozenset({b"response.failed", b"error"})
_HEARD = _COUNTED | _TERMINAL | _FAILED | {b"response.output_item.added", b"response.output_item.done", b"response.created"}
_BACKSLASH = 0x5C
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ECHO = frozenset({"instructions", "tools"})


class Listener:
    """`feed` bytes as they pass, or `whole` for an answer in one piece; the attributes are always up to date."""

    __slots__ = (
        "_called",
        "_decoder",
        "_events",
        "_items",
        "_opening",
        "_rest",
        "_since",
        "ended",
        "error",
        "final",
        "finish",
        "first_output",
        "keeping",
        "output_chars",
        "usage",
    )

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        """A terminal event other than a failure was seen in the bytes fed so far."""
        self.output_chars = 0
        """Characters of words, thoughts and tool arguments."""
        self.first_output = False
        self.keeping = False
        """Set it before the first bytes by whom wants `final`: items are then held, which some hosts leave out at the end."""
        self.final: Json | None = None
        """The response object of an answer that is complete or incomplete; None when it is not known in full, or has no id."""
        self._rest = bytearray()
        self._decoder: sse.Decoder | None = None
        self._called = False
        self._events = 0
        self._items: list[bytes] = []
        """Events that tell whole items."""
        self._opening: bytes | None = None
        """The first event, which repeats the whole request: it is read only when somebody asks what it says of the response."""
        self._since = 0
        """Characters counted since the last item ended: 0 means that its host tells no deltas."""

    def feed(self, chunk: bytes) -> None:
        """Raises GatewayError (UPSTREAM_FAILED) for an event beyond the decoder's limit."""
        if self._decoder is not None or b"\r" in chunk:
            self._feed_slowly(chunk)
            return
        if self._rest:
            self._rest += chunk
            if b"\n" not in chunk:
                # The middle of a large event (an image): gathered, not searched again with every chunk.
                self._check_size()
                return
            chunk = bytes(self._rest)
            self._rest.clear()
        rest = self._blocks(chunk)
        if rest:
            self._rest += rest
            self._unfinished()

    def close(self) -> None:
        """End of the bytes: a last event without its blank line counts."""
        if self._decoder is not None:
            for event in self._decoder.close():
                self._hear(event.data, event.event.encode())
        elif self._rest:
            self._block(bytes(self._rest))
        self._rest.clear()

    def whole(self, body: Json | bytes) -> None:
        """The same from a whole answer, as decoded JSON or bytes."""
        value: Any = loads(body) if isinstance(body, bytes) else body
        if not isinstance(value, dict) or value.get("error") or value.get("status") == "failed":
            self.error = answer_error(value)
        elif not isinstance(value.get("output"), list):
            self.error = GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without `output`.")
        else:
            for item in value["output"]:
                self._count_item(item)
            self._end(value, ended=False)
            self.first_output = True
            if self.keeping and value.get("id") and str(value.get("status")) not in NOT_DONE:
                self.final = value

    def fail(self, error: GatewayError, model: str) -> bytes:
        """How this very stream ends when it fails here: response.failed for the response that has begun. `model` is the
        requested name."""
        from omni_connector.wire.openai_responses_answer import ResponseRenderer, fail_after  # here, as in `late`

        started = self._started()
        if started is None:
            return ResponseRenderer(model).fail(error)
        return fail_after(started, self._events, model, error)

    # ------------------------------------------------------------ Events

    def _feed_slowly(self, chunk: bytes) -> None:
        """CR line ends: the full decoder, from here on."""
        if self._decoder is None:
            self._decoder = sse.Decoder()
            chunk = bytes(self._rest) + chunk
            self._rest.clear()
        for event in self._decoder.feed(chunk):
            self._hear(event.data, event.event.encode())

    def _blocks(self, text: bytes) -> bytes:
        """All whole events; gives what is left."""
        at = 0
        while (end := text.find(b"\n\n", at)) >= 0:
            if not self._is_nothing(text, at, end):
                self._block(text[at:end])
            elif not self.ended and self.error is None:
                self._events += 1
            at = end + 2
        return text[at:]

    def _is_nothing(self, text: bytes, at: int, end: int) -> bool:
        """Whether an event has a name that says nothing to us: some repeat the whole request, so they are not even copied."""
        line = text.find(b"\n", at, end)
        if not text.startswith(b"event: response.", at) or text[at + 7 : line] in _HEARD or not text.startswith(b"data:", line + 1):
            return False
        return text.find(b"\n", line + 1, end) < 0

    def _block(self, block: bytes) -> None:
        name, _, data = block.partition(b"\n")
        if name[:7] == b"event: " and data[:5] == b"data:" and b"\n" not in data:
            self._hear(data[5:], name[7:])
        elif block[:5] == b"data:" and not data:
            self._hear(block[5:], b"")
        elif block:
            decoder = sse.Decoder()
            for event in (*decoder.feed(block + b"\n\n"), *decoder.close()):
                self._hear(event.data, event.event.encode())

    def _unfinished(self) -> None:
        """A terminal event counts as soon as its line is whole: some hosts hang up right behind it."""
        self._check_size()
        if self._rest.endswith((b"}", b"}\n")) and b"\ndata:" in b"\n" + self._rest:
            data = bytes(self._rest)
            kind = _TYPE.search(data)
            if kind is not None and kind[1] in _TERMINAL | _FAILED and loads(data[data.find(b"{") :]) is not None:
                self._block(data)

    def _check_size(self) -> None:
        if len(self._rest) > sse.MAX_EVENT:
            raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent an event of more than {sse.MAX_EVENT >> 20} MB.")

    def _hear(self, data: bytes, name: bytes) -> None:
        if self.ended or self.error is not None:
            return
        self._events += 1
        if name in _COUNTED:
            self._count_delta(data)
            return
        found = None if name.startswith(b"response.") else _TYPE.search(data)
        kind = name if found is None else found[1]
        if kind in _COUNTED:
            self._count_delta(data)
        elif kind == b"response.output_item.added":
            if _CALL.search(data) and is_call(_item_of(data)):
                self.first_output = self._called = True
        elif kind == b"response.output_item.done":
            self._item_done(data)
        elif kind == b"response.created" and self._opening is None:
            self._opening = data
        elif kind in _TERMINAL or kind in _FAILED:
            self._terminal(data)
        elif not kind and b'"error"' in data:
            event = loads(data)
            if isinstance(event, dict) and isinstance(event.get("error"), dict):
                self.error = answer_error(event)

    def _count_delta(self, data: bytes) -> None:
        found = _DELTA.search(data)
        if found is None:
            return
        start = found.end()
        end = data.find(b'"', start)
        while end > start and data[end - 1] == _BACKSLASH and _escaped(data, end):
            end = data.find(b'"', end + 1)
        if end <= start:
            return
        piece = data[start:end]
        if piece.isascii() and b"\\" not in piece:
            self._count(end - start)
            return
        text = loads(b'"' + piece + b'"')
        self._count(len(text) if isinstance(text, str) else len(piece))

    def _count(self, characters: int) -> None:
        if characters:
            self.output_chars += characters
            self._since += characters
            self.first_output = True

    def _item_done(self, data: bytes) -> None:
        if self.keeping:
            self._items.append(data)
        if not self._since:
            self._count_item(_item_of(data))
        elif not self._called and _CALL.search(data):
            self._called = is_call(_item_of(data))
        self._since = 0

    def _count_item(self, item: Any) -> None:
        """Words, thoughts and arguments of a whole item."""
        if not isinstance(item, dict):
            return
        called = is_call(item)
        self._called = self._called or called
        for key in ("arguments", "input"):
            value = item.get(key)
            if value and called:
                self._count(len(value if isinstance(value, str) else dumps(value)))
        for key in ("content", "summary"):
            pieces = item.get(key)
            for piece in pieces if isinstance(pieces, list) else ():
                text = (piece.get("text") or piece.get("refusal")) if isinstance(piece, dict) else None
                self._count(len(text) if isinstance(text, str) else 0)

    def _terminal(self, data: bytes) -> None:
        event = loads(data) if self.keeping else _without_echo(data)
        if not isinstance(event, dict):
            return
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        kind = event.get("type")
        if kind in ("response.failed", "error") or event.get("error") or response.get("error") or response.get("status") == "failed":
            self.error = answer_error(event)
            return
        if kind == "response.incomplete" and not response.get("incomplete_details"):
            response = {**response, "status": "incomplete"}
        output = response.get("output")
        for item in output if isinstance(output, list) else ():
            self._called = self._called or is_call(item)
            if not self.output_chars:
                self._count_item(item)
        self._end(response, ended=True)
        if self.keeping:
            self._keep(response)

    def _started(self) -> Started | None:
        from omni_connector.wire.openai_responses_stream import started_of

        return None if self._opening is None else started_of(loads(self._opening))

    def _keep(self, response: Json) -> None:
        """The terminal event's object, with the items and the id that the host told only earlier."""
        output = response.get("output")
        if not output:
            events = [event for event in map(loads, self._items) if isinstance(event, dict) and isinstance(event.get("item"), dict)]
            events.sort(key=lambda event: integer(event.get("output_index")) or 0)
            output = [event["item"] for event in events]
        self._items.clear()
        response_id = response.get("id") or ((started := self._started()) and started.id)
        if not response_id or (self.output_chars and not output):
            # Nobody can ask for it, or only deltas were told, of which nothing is held.
            return
        self.final = {**response, "id": response_id, "output": output}

    def _end(self, response: Json, *, ended: bool) -> None:
        self.finish, _ = finish_of(response, self._called, ended=ended)
        usage = usage_of(response)
        if usage is not None:
            self.usage = usage if self.usage is None else self.usage.merged(usage)
        self.ended = True


def _without_echo(data: bytes) -> Any:
    """An event without what its response repeats of the request, which may be large."""
    try:
        event = _RAW.decode(data)
        response = _RAW.decode(event["response"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return loads(data)
    told = {key: loads(bytes(value)) for key, value in event.items() if key != "response"}
    return {**told, "response": {key: loads(bytes(value)) for key, value in response.items() if key not in _ECHO}}


def _item_of(data: bytes) -> Any:
    event = loads(data)
    return event.get("item") if isinstance(event, dict) else None


def _escaped(data: bytes, quote: int) -> bool:
    """Whether an odd number of backslashes stands before the quote."""
    at = quote - 1
    while at >= 0 and data[at] == _BACKSLASH:
        at -= 1
    return (quote - 1 - at) % 2 == 1
