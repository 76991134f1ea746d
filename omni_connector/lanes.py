"""The two lanes between upstream bytes and client bytes.

`PassThrough`: same wire format on both sides; the bytes stay as they are and a listener only listens. `Translated`: parse
to events, render in the client's format. Both have the same few names, so the relay does not care which one it drives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, Protocol

from omni_connector.chat import ChatRequest, ChatResponse, Event, Finish, Fold, Json, Origin, Started, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.meter import Meter, Reading, reading
from omni_connector.wire import (
    CLIENT_FORMATS,
    EMBEDDINGS,
    FORMATS,
    LISTENERS,
    call_marks,
    dialect,
    embedding,
    ocr,
    passing,
    raw_listen,
    views,
)


class Lane(Protocol):
    """What the relay needs of an answer on its way. `feed` and `close` return what the client may be sent."""

    translated: bool

    def feed(self, piece: bytes) -> bytes: ...
    def close(self) -> bytes:
        """End of the upstream's bytes; b"" when called again. What it returns ends the stream properly if `complete`."""

    def whole(self, body: bytes) -> bytes: ...
    def fail(self, error: GatewayError) -> bytes:
        """The format's own way to say, inside a stream that has begun, that it failed; b"" where there is none."""

    @property
    def complete(self) -> bool:
        """The terminal event (or at least the finish reason) was seen: this was an answer, not the torso of one."""

    @property
    def ended(self) -> bool: ...
    @property
    def error(self) -> GatewayError | None: ...
    @property
    def first_output(self) -> bool: ...
    @property
    def final(self) -> Json | None:
        """The whole answer object that the client may ask for again by its id (Responses); None elsewhere, and until the end."""

    def reading(self, estimated_input: int) -> Reading: ...


class PassThrough:
    """Bytes through, ears open. `model` is the requested name, given back in the answer. `hide_usage`: we asked the
    upstream for usage and the client did not, so that chunk is kept from it."""

    translated = False

    def __init__(self, wire: str, *, model: str, hide_usage: bool, keep: bool = False, as_array: bool = False) -> None:
        """`keep`: the answer will be asked for again, so it is wanted in full (`final`). `as_array`: the client wants its stream as
        one JSON array (Gemini without `alt=sse`)."""
        self._wire = wire
        self._model = model
        self._ear: Any = LISTENERS[wire]()
        if keep:
            self._ear.keeping = True
        self._array = passing.ArrayEditor() if as_array else None
        self._editor = self._array or passing.StreamEditor(wire, model=model, hide_usage=hide_usage)
        self._told = False
        """The terminal event has been passed on."""
        self._closed = False

    def feed(self, piece: bytes) -> bytes:
        """Nothing is passed on behind the terminal event: a client would read it into the next answer, or stumble over half of it."""
        if self._told:
            return b""
        self._ear.feed(piece)
        out = self._editor.feed(piece)
        if self._ear.ended:
            out, self._told = passing.until_end(self._wire, out)
        return out

    def close(self) -> bytes:
        if self._closed:
            return b""
        self._closed = True
        rest = b"" if self._told else self._editor.close()
        ended = self._ear.ended
        self._ear.close()
        if self._array is not None:
            return rest + (self._array.end() if self.complete else b"")
        if ended:
            return passing.until_end(self._wire, rest)[0]
        if self._ear.finish is None:
            return rest
        return passing.without_torn(rest) + passing.TERMINAL.get(self._wire, b"")

    def whole(self, body: bytes) -> bytes:
        answer = decode_answer(body)
        self._ear.whole(answer)
        return body if answer.get("model") == self._model else passing.rename_whole(body, self._model)

    def passes_array(self, first: bytes) -> bool:
        """Whether an answer with these first bytes is an array that can pass to the client as it is."""
        return self._array is not None and first.lstrip().startswith(b"[")

    def fail(self, error: GatewayError) -> bytes:
        """Where a failure must name the answer that was begun (Responses), the ear knows it."""
        if self._array is not None:
            return self._array.fail(error)
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

    @property
    def final(self) -> Json | None:
        final: Json | None = getattr(self._ear, "final", None)
        return final

    def reading(self, estimated_input: int) -> Reading:
        return reading(self._ear.usage, self._ear.output_chars, self._ear.finish, estimated_input)


class Translated:
    """Upstream format → events → client format. Used too when a streamed answer is wanted and a whole one comes."""

    translated = True

    def __init__(
        self,
        source: str,
        target: str,
        model: str,
        request: ChatRequest,
        origin: Origin,
        *,
        as_array: bool = False,
        answer_id: str = "",
    ) -> None:
        """`as_array`: the client wants its stream as one JSON array (Gemini without `alt=sse`). `answer_id` replaces the provider's
        own id of the answer."""
        self._target: ModuleType = CLIENT_FORMATS[target]
        self._parser = FORMATS[source].ResponseParser(origin, request)
        renderer = self._target.ArrayRenderer if as_array else self._target.ResponseRenderer
        self._renderer = renderer(model, request, origin=origin)
        self._model = model
        self._request = request
        self._origin = origin
        self._answer_id = answer_id
        self._meter = Meter()
        self._marks = call_marks.CallMarks(origin)
        self._whole: Json | None = None
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
        events = self._hear(self._parser.whole(decode_answer(body)))
        if self._meter.error is not None:
            return b""
        whole = Fold()
        for event in events:
            whole.feed(event)
        return self._rendered(whole.response())

    def _rendered(self, response: ChatResponse) -> bytes:
        self._whole = self._target.render_response(response, self._model, self._request, origin=self._origin)
        return views.encode(self._whole)

    def _hear(self, events: Sequence[Event]) -> Sequence[Event]:
        self._meter.hear(events)
        self._marks.hear(events)
        if self._answer_id and events and isinstance(events[0], Started):
            return [replace(events[0], id=self._answer_id), *events[1:]]
        return events

    def _render(self, events: Sequence[Event]) -> bytes:
        events = self._hear(events)
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

    @property
    def final(self) -> Json | None:
        final: Json | None = self._whole or getattr(self._renderer, "final", None)
        return final

    def marks(self) -> dict[str, call_marks.Mark]:
        """What the answer's tool calls came with, by their ids: the client's format may have no place for it."""
        return self._marks.marks

    def reading(self, estimated_input: int) -> Reading:
        return reading(self._meter.usage, self._meter.output_chars, self._meter.finish, estimated_input)


class Gathered(Translated):
    """A streamed answer collected into the whole one that the client asked for, from a provider that only streams. Nothing can be
    sent on the way: when the lane is `complete`, `whole_answer` is the answer. An upstream that answers whole after all is served
    by `whole`."""

    def __init__(self, source: str, target: str, model: str, request: ChatRequest, origin: Origin, *, answer_id: str = "") -> None:
        super().__init__(source, target, model, request, origin, answer_id=answer_id)
        self._fold = Fold()

    def _render(self, events: Sequence[Event]) -> bytes:
        for event in self._hear(events):
            self._fold.feed(event)
        return b""

    def whole_answer(self) -> bytes:
        """The body for the client. Raises GatewayError: the provider's own where it failed, UPSTREAM_FAILED for the torso of an answer."""
        if self._meter.error is not None:
            raise self._meter.error
        if not self._meter.ended:
            raise GatewayError(Kind.UPSTREAM_FAILED, "The provider's stream broke off before it was complete.")
        return self._rendered(self._fold.response())


class Vectors:
    """Embeddings of one format for a client of the other: whole answers only."""

    translated = True
    final = None
    ended = complete = first_output = True

    def __init__(self, source: str, target: str, model: str, request: embedding.EmbeddingRequest) -> None:
        self._source = EMBEDDINGS[source]
        self._target = EMBEDDINGS[target]
        self._model = model
        self._request = request
        self._usage: Usage | None = None
        self.error: GatewayError | None = None

    def feed(self, piece: bytes) -> bytes:
        raise TypeError("embeddings do not stream")

    def close(self) -> bytes:
        return b""

    def whole(self, body: bytes) -> bytes:
        try:
            answer = self._source.parse_answer(body, self._request)
        except GatewayError as error:
            self.error = error
            return b""
        self._usage = answer.usage
        return views.encode(self._target.render_answer(answer, self._model, self._request))

    def fail(self, error: GatewayError) -> bytes:
        raise TypeError("embeddings do not stream")

    def reading(self, estimated_input: int) -> Reading:
        used = self._usage or Usage()
        return reading(
            Usage(used.input, used.cache_read, used.cache_write, used.output or 0, raw=used.raw), 0, Finish.STOP, estimated_input
        )


class Recognised:
    """The text of a picture, read from the answer of a provider with a format of its own: whole answers only."""

    translated = True
    final = None
    ended = complete = first_output = True

    def __init__(self, read: Callable[[bytes], ocr.OcrAnswer], model: str, answer_id: str, page: int | None = None) -> None:
        """`read`: a provider's whole answer; raises GatewayError."""
        self._read = read
        self._told = (model, answer_id, page)
        self.error: GatewayError | None = None

    def feed(self, piece: bytes) -> bytes:
        raise TypeError("text of pictures does not stream")

    def close(self) -> bytes:
        return b""

    def whole(self, body: bytes) -> bytes:
        try:
            answer = self._read(body)
        except GatewayError as error:
            self.error = error
            return b""
        return views.encode(ocr.render_answer(answer, *self._told))

    def fail(self, error: GatewayError) -> bytes:
        raise TypeError("text of pictures does not stream")

    def reading(self, estimated_input: int) -> Reading:
        """Pictures are paid by the piece, not by tokens."""
        return Reading(Usage(), "none", Finish.STOP)


class Raw:
    """Bytes through, whatever they are (a picture, a sound, a verdict): the end of the bytes is the end of the answer."""

    translated = False
    final = None

    def __init__(self) -> None:
        self._ear = raw_listen.RawListener("")
        self._events = False
        self._last = b""
        """The end of what was passed on."""
        self._closed = False
        self.tells_whole = False
        """A JSON object comes: it is read before any of it is passed on, since it may be an error."""

    def begin(self, content_type: str) -> None:
        """What the upstream says its bytes are."""
        self._ear = raw_listen.RawListener(content_type)
        self._events = raw_listen.media_type(content_type) == raw_listen.EVENTS
        self.tells_whole = raw_listen.is_json(content_type)

    def feed(self, piece: bytes) -> bytes:
        self._ear.feed(piece)
        if self._ear.error is None:
            self._last = (self._last + piece[-4:])[-4:]
        return piece

    def close(self) -> bytes:
        if not self._closed:
            self._closed = True
            self._ear.close()
        return b""

    def whole(self, body: bytes) -> bytes:
        self._closed = True
        self._ear.whole(body)
        return body

    def fail(self, error: GatewayError) -> bytes:
        """b"" where nothing can be said, as inside a picture: the connection breaks off instead of ending well."""
        if self._events and (not self._last or self._last.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))):
            return passing.fail_stream("openai-chat", error)
        return b""

    @property
    def complete(self) -> bool:
        return self._closed and self._ear.error is None

    @property
    def ended(self) -> bool:
        return self._closed

    @property
    def error(self) -> GatewayError | None:
        return self._ear.error

    @property
    def first_output(self) -> bool:
        return bool(self._ear.first_output)

    def reading(self, estimated_input: int) -> Reading:
        """What the provider said it used; its silence is `none`, since bytes of pictures and sounds are no tokens."""
        if self._ear.usage is None:
            return Reading(Usage(), "none", self._ear.finish)
        return reading(self._ear.usage, 0, self._ear.finish, 0)


def decode_answer(body: bytes) -> Json:
    """A provider's whole answer as values. Raises GatewayError (UPSTREAM_FAILED) when it is not a JSON object."""
    try:
        return views.decode(body)
    except GatewayError as error:
        excerpt = body[:200].decode("utf-8", "replace").strip()
        raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider answered with something that is not JSON: {excerpt!r}") from error


def error_body(wire: str, error: GatewayError) -> bytes:
    """An error as the format's SDKs expect it."""
    rendered: Mapping[str, Any] = dialect(wire).render_error(error)
    return views.encode(dict(rendered))
