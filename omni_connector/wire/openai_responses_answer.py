"""Events → a Responses client's answer: `ResponseRenderer` (streamed) and `render_response` (whole, through the same path).

Order of a stream: response.created, response.in_progress, items one after the other (added, their parts, done), then
response.completed or response.incomplete with the whole object. A failed answer ends with response.failed, the only error
that Codex shows, and nothing follows it. Every event has its name in an `event:` line and a `sequence_number`.

An item stays open until the next one begins or the answer ends, so that a call which was cut short is told as incomplete
before somebody runs it; after a failure no open item is ever completed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, assert_never

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
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    Started,
    Usage,
    UsageSeen,
    unfold,
)
from omni_connector.errors import GatewayError
from omni_connector.wire import sse, views
from omni_connector.wire.in_turn import InTurn, PartEvent
from omni_connector.wire.openai_responses_errors import failed_body
from omni_connector.wire.openai_responses_tools import choice_body, declared, names_of
from omni_connector.wire.openai_responses_words import NAME, NOT_DONE, from_usage, status_of
from omni_connector.wire.openai_responses_writers import (
    CallWriter,
    MessageWriter,
    PictureWriter,
    ThoughtWriter,
    WholeWriter,
    Writer,
    said_of,
)
from omni_connector.wire.pictures import pictures_of, to_responses

_ID = "resp_"
_ECHOES = ("previous_response_id", "background", "max_tool_calls", "prompt", "truncation", "conversation", "prompt_cache_retention")
"""Fields of a request that its answer repeats as they were."""
_ANSWER_EXTRAS = ("service_tier", "provider")
"""Fields of another format's answer that mean the same here."""


class ResponseRenderer:
    """Events in, bytes out. Only choice 0 is told: the format has no others.

    `model` is the name the client asked for. `origin` is who serves the answer; it goes into the seal of thoughts that came
    without a proof. `now` gives Unix seconds where the provider's answer has no creation time.
    """

    def __init__(
        self,
        model: str,
        request: ChatRequest | None = None,
        now: Callable[[], float] = time.time,
        *,
        origin: Origin | None = None,
    ) -> None:
        self._model = model
        self._request = request
        self._now = now
        self._origin = origin
        self._names = names_of(request.tools) if request is not None else {}
        self._head: Json = {}
        self._sequence = 0
        self._turns = InTurn()
        self._writer: Writer | None = None
        self._output: list[Json] = []
        self._usage: Usage | None = None
        self._finished: Finished | None = None
        self._skipped: set[int] = set()
        """Parts of other choices."""
        self._over = False
        self.final: Json | None = None
        """The response object that the answer ended with, once it is complete or incomplete; not changed any more."""

    def feed(self, event: Event) -> bytes:
        return b"".join(sse.encode(views.encode(data), data["type"]) for data in self.events(event))

    def fail(self, error: GatewayError) -> bytes:
        """response.failed with the error; b"" when the answer is over already."""
        return b"" if self._over else b"".join(sse.encode(views.encode(data), data["type"]) for data in self._fail(error))

    def events(self, event: Event) -> list[Json]:
        """The same as `feed`, before it becomes bytes."""
        if self._over:
            return []
        match event:
            case Delta() | OpaqueDelta() | Annotation() | PartEnd():
                return self._parts(self._turns.feed(event))
            case PartStart():
                if event.choice != 0:
                    return []
                return [*self._start(Started("", "")), *self._parts(self._turns.feed(event))]
            case Started():
                return self._start(event)
            case UsageSeen(usage):
                self._usage = usage if self._usage is None else self._usage.merged(usage)
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

    def _numbered(self, events: list[Json]) -> list[Json]:
        for data in events:
            data["sequence_number"] = self._sequence
            self._sequence += 1
        return events

    # ------------------------------------------------------------ The frame

    def _start(self, event: Started) -> list[Json]:
        if self._head:
            return []
        if event.usage is not None:
            self._usage = event.usage
        self._head = self._object(event)
        first = {"type": "response.created", "response": self._response("in_progress")}
        return self._numbered([first, {"type": "response.in_progress", "response": first["response"]}])

    def _object(self, event: Started) -> Json:
        """The response object without what changes. An answer of this format brings its own echo of the request."""
        native = "tool_choice" in event.extra or "parallel_tool_calls" in event.extra
        extra = event.extra if native else {key: event.extra[key] for key in _ANSWER_EXTRAS if event.extra.get(key) is not None}
        return {
            "id": event.id if event.id and (native or event.id.startswith(_ID)) else _ID + (event.id or uuid.uuid4().hex),
            "object": "response",
            "created_at": event.created or int(self._now()),
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            **_echo(self._request),
            **extra,
            "model": self._model,
        }

    def _response(self, status: str, **more: Any) -> Json:
        return {**self._head, "output": self._output[:], "usage": None, **more, "status": status}

    def _end(self) -> list[Json]:
        out = self._start(Started("", ""))
        out += self._parts(self._turns.close())
        done = self._finished or Finished(Finish.OTHER)
        status, reason = status_of(done.reason, done.raw)
        out += self._close("incomplete" if status == "incomplete" else "completed")
        self._over = True
        self._tell_logprobs(done)
        more: Json = {"usage": None if status in NOT_DONE else from_usage(self._usage)}
        if status == "incomplete":
            more["incomplete_details"] = None if reason is None else {"reason": reason}
        elif status == "completed":
            more["completed_at"] = max(int(self._now()), self._head["created_at"])
        changed = done.extra.get("response")
        more |= changed if isinstance(changed, dict) else {}
        kind = "response.incomplete" if status == "incomplete" else "response.completed"
        response = {**self._response(status, **more), "model": self._model}
        self.final = None if status in NOT_DONE else response
        return [*out, *self._numbered([{"type": kind, "response": response}])]

    def _fail(self, error: GatewayError) -> list[Json]:
        out = self._start(Started("", ""))
        self._over = True
        last = {"type": "response.failed", "response": self._response("failed", error=failed_body(error))}
        return [*out, *self._numbered([last])]

    def _tell_logprobs(self, done: Finished) -> None:
        """They come at the end, when the words have been told, so only the last object has them; and only where it is plain which
        words they belong to."""
        logprobs = done.extra.get("logprobs")
        content = logprobs.get("content") if isinstance(logprobs, dict) else None
        texts = [part for item in self._output if item["type"] == "message" for part in item["content"] if part["type"] == "output_text"]
        if isinstance(content, list) and len(texts) == 1:
            texts[0]["logprobs"] = content

    # ------------------------------------------------------------ Items

    def _parts(self, events: list[PartEvent]) -> list[Json]:
        out: list[Json] = []
        for event in events:
            if isinstance(event, PartStart):
                out += self._begin(event)
            if self._writer is not None:
                out += self._writer.write(event)
        return self._numbered(out)

    def _begin(self, start: PartStart) -> list[Json]:
        """The item of a part: the open message goes on with more words, unless the provider began a new one."""
        words = start.kind in {"text", "refusal"}
        if words and isinstance(self._writer, MessageWriter) and said_of(start) is None:
            return []
        out = self._close("completed", count=False)
        if start.kind == "foreign":
            return [*out, *self._foreign(start)]
        index = len(self._output)
        match start.kind:
            case "text" | "refusal":
                self._writer = MessageWriter(index, start)
            case "reasoning":
                self._writer = ThoughtWriter(index, start, self._origin)
            case "tool_call":
                self._writer = CallWriter(index, start, self._names.get(start.name))
            case _:
                assert_never(start.kind)
        return [*out, *self._writer.open()]

    def _foreign(self, start: PartStart) -> list[Json]:
        """What other formats' providers ran themselves has no place here, but for the pictures that they made."""
        if start.name == NAME:
            self._writer = WholeWriter(len(self._output), start.value)
            return self._writer.open()
        out: list[Json] = []
        for picture in pictures_of(start.name, start.value):
            out += self._close("completed", count=False)
            self._writer = PictureWriter(len(self._output), to_responses(picture))
            out += self._writer.open()
        return out

    def _close(self, status: str, *, count: bool = True) -> list[Json]:
        writer, self._writer = self._writer, None
        if writer is None:
            return []
        out = writer.close(status)
        self._output.append(writer.item)
        companion = writer.companion(len(self._output)) if isinstance(writer, CallWriter) else None
        if companion is not None:
            out += [*companion.open(), *companion.close(status)]
            self._output.append(companion.item)
        return self._numbered(out) if count else out


def fail_after(started: Started, sequence: int, model: str, error: GatewayError) -> bytes:
    """The end of a stream that failed after others' events: response.failed for the response that they began, whose identity
    SDKs hold to. `sequence`: the number of events before it."""
    renderer = ResponseRenderer(model)
    renderer.events(started)
    (last,) = renderer.events(Failed(error))
    return sse.encode(views.encode({**last, "sequence_number": sequence}), last["type"])


def render_response(
    response: ChatResponse,
    model: str,
    request: ChatRequest | None = None,
    now: Callable[[], float] = time.time,
    *,
    origin: Origin | None = None,
) -> Json:
    """A whole answer: the object that its stream would have ended with."""
    renderer = ResponseRenderer(model, request, now, origin=origin)
    body: Json = {}
    for event in unfold(response):
        for data in renderer.events(event):
            body = data.get("response", body)
    return body


# ---------------------------------------------------------------- The echo of the request


def _echo(request: ChatRequest | None) -> Json:
    """The request's settings, which SDKs expect in every response object; the API's defaults where it did not say."""
    if request is None:
        request = ChatRequest(NAME, "", ())
    extra = request.extra if request.wire == NAME else {}
    sampling, thinking, choice = request.sampling, request.thinking, request.tool_choice
    tools, _ = declared(request.tools)
    echo: Json = {
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": None,
        "reasoning": {"effort": thinking.effort if thinking else None, "summary": thinking.show if thinking else None},
        "service_tier": request.service_tier or "default",
        "store": extra.get("store") is not False,
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": {"format": _text_format(request), **({} if request.verbosity is None else {"verbosity": request.verbosity})},
        "tool_choice": "auto" if choice is None else extra.get("tool_choice", choice_body(choice, request.tools)),
        "tools": tools,
        "top_logprobs": sampling.top_logprobs or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": "disabled",
        "background": False,
        "user": request.user,
        "metadata": request.metadata or {},
    }
    if request.cache_key is not None:
        echo["prompt_cache_key"] = request.cache_key
    echo.update({key: extra[key] for key in _ECHOES if extra.get(key) is not None})
    return echo


def _instructions(request: ChatRequest) -> str | None:
    first = request.messages[0] if request.messages else None
    if first is None or first.role != "system" or first.extra or request.wire != NAME:
        return None
    return "".join(getattr(part, "text", "") for part in first.parts)


def _text_format(request: ChatRequest) -> Json:
    output = request.output
    if output is None:
        return {"type": "text"}
    said = (
        ("type", output.kind),
        ("name", output.name),
        ("description", output.description),
        ("schema", output.schema),
        ("strict", output.strict),
    )
    return {key: value for key, value in said if value is not None}
