"""The two lanes between upstream bytes and client bytes.

`PassThrough`: same wire format on both sides; the bytes stay as they are and a listener only listens. `Translated`: parse
to events, render in the client's format. Both have the same few names, so the relay does not care which one it drives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol

from omni_connector.chat import ChatRequest, Event, Fold, Json, Origin
from omni_connector.errors import GatewayError, Kind
from omni_connector.meter import Meter, Reading, reading
from omni_connector.wire import FORMATS, passing, views


class Lane(Protocol):
    """What the relay needs of an answer on its way. `feed` and `close` return what the client may be sent."""

    translated: bool

    def feed(self, piece: bytes) -> bytes: ...
    def close(self) -> bytes:
        """End of the upstream's bytes; b"" when called again. What it returns ends the stream properly if `complete`."""

    def whole(self, body: bytes) -> bytes: ...
    def fail(self, error: GatewayError) -> bytes:
        """The format's own way to say, inside a stream that has begun, that it failed."""

    @property
    def complete(self) -> bool:
        """The terminal event (or at least the finish reason) was seen: this was an answer, not the torso of one."""

    @property
    def ended(self) -> bool: ...
    @property
    def error(self) -> GatewayError | None: ...
    @property
    def first_output(self) -> bool: ...
    def reading(self, estimated_input: int) -> Reading: ...


class PassThrough:
    """Bytes through, ears open. `model` is the requested name, given back in the answer. `hide_usage`: we asked the
    upstream for usage and the client did not, so that chunk is kept from it."""

    translated = False

    def __init__(self, wire: str, *, model: str, hide_usage: bool) -> None:
        self._wire = wire
        self._model = model
        self._ear: Any = FORMATS[wire].Listener()
        self._editor = passing.StreamEditor(wire, model=model, hide_usage=hide_usage)
        self._closed = False

    def feed(self, piece: bytes) -> bytes:
        self._ear.feed(piece)
        return self._editor.feed(piece)

    def close(self) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        rest = self._editor.close()
        told = self._ear.ended
        self._ear.close()
        if told or self._ear.finish is None:
            return rest
        return rest + passing.TERMINAL.get(self._wire, b"")

    def whole(self, body: bytes) -> bytes:
        self._ear.whole(decode_answer(body))
        return passing.rename_whole(body, self._model)

    def fail(self, error: GatewayError) -> bytes:
        """Where a failure must name the answer that was begun (Responses), the ear knows it."""
        if hasattr(self._ear, "fail"):
            return bytes(self._ear.fail(error, self._model))
        return passing.fail_stream(self._wire, error)

    @property
    def complete(self) -> bool:
        return bool(self._ear.ended or (self._ear.finish is not None and self._wire in passing.TERMINAL))

    @property
    def ended(self) -> bool:
        return bool(self._ear.ended)

    @property
    def error(self) -> GatewayError | None:
        error: GatewayError | None = self._ear.error
        return error

    @property
    def first_output(self) -> bool:
        return bool(self._ear.first_output)

    def reading(self, estimated_input: int) -> Reading:
        return reading(self._ear.usage, self._ear.output_chars, self._ear.finish, estimated_input)


class Translated:
    """Upstream format → events → client format. Used too when a streamed answer is wanted and a whole one comes."""

    translated = True

    def __init__(self, source: str, target: str, model: str, request: ChatRequest, origin: Origin, *, as_array: bool = False) -> None:
        """`as_array`: the client wants its stream as one JSON array (Gemini without `alt=sse`)."""
        self._target: ModuleType = FORMATS[target]
        self._parser = FORMATS[source].ResponseParser(origin, request)
        renderer = self._target.ArrayRenderer if as_array else self._target.ResponseRenderer
        self._renderer = renderer(model, request, origin=origin)
        self._model = model
        self._request = request
        self._meter = Meter()
        self._closed = False

    def feed(self, piece: bytes) -> bytes:
        return self._render(self._parser.feed(piece))

    def close(self) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        return self._render(self._parser.close())

    def stream_whole(self, body: bytes) -> bytes:
        """A whole answer where a stream was asked for: the same events, all at once. It may be a stream as one array (Gemini)."""
        if body.lstrip().startswith(b"["):
            told = self._render([*self._parser.feed(body), *self._parser.close()])
            if self._meter.ended or self._meter.error is not None:
                return told
        return self._render(self._parser.whole(decode_answer(body)))

    def whole(self, body: bytes) -> bytes:
        events = self._parser.whole(decode_answer(body))
        self._meter.hear(events)
        if self._meter.error is not None:
            return b""
        whole = Fold()
        for event in events:
            whole.feed(event)
        rendered: Json = self._target.render_response(whole.response(), self._model, self._request)
        return views.encode(rendered)

    def _render(self, events: Sequence[Event]) -> bytes:
        self._meter.hear(events)
        if self._meter.error is not None:
            return b""
        return b"".join(self._renderer.feed(event) for event in events)

    def fail(self, error: GatewayError) -> bytes:
        return bytes(self._renderer.fail(error))

    @property
    def complete(self) -> bool:
        return self._meter.ended

    @property
    def ended(self) -> bool:
        return self._meter.ended

    @property
    def error(self) -> GatewayError | None:
        return self._meter.error

    @property
    def first_output(self) -> bool:
        return self._meter.first_output

    def reading(self, estimated_input: int) -> Reading:
        return reading(self._meter.usage, self._meter.output_chars, self._meter.finish, estimated_input)


def decode_answer(body: bytes) -> Json:
    """A provider's whole answer as values. Raises GatewayError (UPSTREAM_FAILED) when it is not a JSON object."""
    try:
        return views.decode(body)
    except GatewayError as error:
        excerpt = body[:200].decode("utf-8", "replace").strip()
        raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider answered with something that is not JSON: {excerpt!r}") from error


def error_body(wire: str, error: GatewayError) -> bytes:
    """An error as the format's SDKs expect it."""
    rendered: Mapping[str, Any] = FORMATS[wire].render_error(error)
    return views.encode(dict(rendered))
