"""Events → a chat client's answer: `ResponseRenderer` (chunks) and `render_response` (whole).

Order of a stream: a chunk with the role, content chunks, a chunk with the finish reason, the usage chunk when it was
asked for, `data: [DONE]`. After `fail` nothing follows. Thoughts go as `reasoning_content`; what must be echoed follows
each thought in `reasoning_details`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import field
from io import StringIO
from typing import Any, assert_never

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Json,
    MediaPart,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError
from omni_connector.values import dataclass
from omni_connector.wire import sse, views
from omni_connector.wire.openai_chat_details import call_entries, entries_of
from omni_connector.wire.openai_chat_errors import render_error
from omni_connector.wire.openai_chat_words import (
    ANSWER_EXTRAS,
    CHOICE_EXTRAS,
    DONE,
    EXTRA_CONTENT,
    FINISH_REASON,
    NAME,
    from_usage,
    is_legacy,
    loads,
)
from omni_connector.wire.pictures import pictures_of, to_chat

_OWN_NOTES = frozenset({"url_citation", "file_citation", "file_path", "container_file_citation", "file"})
_ID = "chatcmpl-"


def _answer_id(upstream_id: str) -> str:
    if upstream_id.startswith(_ID):
        return upstream_id
    return _ID + (upstream_id or uuid.uuid4().hex)


def _reason(finish: Finish, legacy: bool, calls: bool) -> str:
    """Clients run tools only when the reason says so, whatever the provider thinks of the call (Google: UNEXPECTED_TOOL_CALL)."""
    if calls and finish in (Finish.STOP, Finish.OTHER):
        finish = Finish.TOOL_CALLS
    return "function_call" if legacy and finish is Finish.TOOL_CALLS else FINISH_REASON[finish]


def _annotation(note: Json, start: int, end: int) -> Json | None:
    """A citation in this format's words. One of another format becomes a `url_citation` over the words it stands at;
    without a URL there is no way to say it."""
    if note.get("type") in _OWN_NOTES:
        return note
    url = note.get("url")
    if not isinstance(url, str):
        return None
    title = note.get("title")
    where = {"start_index": start, "end_index": end, "url": url, "title": title if isinstance(title, str) else url}
    return {"type": "url_citation", "url_citation": where}


# ---------------------------------------------------------------- Streamed


@dataclass(slots=True)
class _Part:
    start: PartStart
    number: int = 0
    """Position among the calls or the thoughts of its choice."""
    text: StringIO = field(default_factory=StringIO)
    opaque: list[Opaque] = field(default_factory=list)
    first: int = 0
    """Where a text part begins in the choice's whole text."""


@dataclass(slots=True)
class _Choice:
    calls: int = 0
    thoughts: int = 0
    chars: int = 0
    images: int = 0
    notes: list[Json] = field(default_factory=list)
    """Citations, told in one chunk at the end: the vendor's SDK adds up lists only once."""
    finished: bool = False


class ResponseRenderer:
    """Events in, bytes out. `model` is the name the client asked for; `now` gives Unix seconds where the provider's
    answer has no creation time."""

    def __init__(
        self,
        model: str,
        request: ChatRequest | None = None,
        now: Callable[[], float] = time.time,
        *,
        origin: Origin | None = None,
    ) -> None:
        """`origin` is taken for the sake of one signature in all formats: thoughts without proof need no seal here."""
        self._model = model
        self._include_usage = request is not None and request.include_usage
        self._legacy = is_legacy(request)
        self._now = now
        self._head = b""
        self._usage: Usage | None = None
        self._choices: dict[int, _Choice] = {}
        self._parts: dict[int, _Part] = {}
        self._over = False

    def feed(self, event: Event) -> bytes:
        if self._over:
            return b""
        match event:
            case Delta(index, text):
                return self._delta(self._parts[index], text)
            case Started():
                return self._started(event)
            case PartStart():
                return self._part_start(event)
            case OpaqueDelta(index, opaque):
                self._parts[index].opaque.append(opaque)
                return b""
            case Annotation(index, _, value):
                self._annotate(self._parts[index], value)
                return b""
            case PartEnd(index):
                return self._part_end(self._parts[index])
            case UsageSeen(usage):
                self._usage = usage if self._usage is None else self._usage.merged(usage)
                return b""
            case Finished():
                return self._finished(event)
            case Ended():
                return self._ended()
            case Failed(error):
                return self.fail(error)
            case _:
                assert_never(event)

    def fail(self, error: GatewayError) -> bytes:
        """The format's error event. No finish reason and no [DONE]: this is no clean end."""
        self._over = True
        return sse.encode(views.encode(render_error(error)))

    # ------------------------------------------------------------ Chunks

    def _chunk(self, choices: bytes, tail: bytes = b"") -> bytes:
        return self._head + choices + b"]" + tail + b"}\n\n"

    def _say(self, choice: int, delta: Json, reason: str | None = None, extra: Mapping[str, Any] | None = None) -> bytes:
        body: Json = {"index": choice, "delta": delta, "finish_reason": reason}
        if extra:
            body.update(extra)
        opening = b"" if choice in self._choices else self._opening(choice)
        return opening + self._chunk(views.encode(body))

    def _opening(self, choice: int) -> bytes:
        self._choices[choice] = _Choice()
        return self._say(choice, {"role": "assistant", "content": ""})

    def _started(self, event: Started) -> bytes:
        if event.usage is not None:
            self._usage = event.usage
        self._set_head(event)
        return b"" if 0 in self._choices else self._opening(0)

    def _set_head(self, event: Started) -> None:
        head: Json = {
            "id": _answer_id(event.id),
            "object": "chat.completion.chunk",
            "created": event.created or int(self._now()),
            "model": self._model,
        }
        head.update({key: event.extra[key] for key in ANSWER_EXTRAS if event.extra.get(key) is not None})
        self._head = b"data: " + views.encode(head)[:-1] + b',"choices":['

    def _choice(self, number: int) -> tuple[_Choice, bytes]:
        if not self._head:
            self._set_head(Started("", ""))
        known = self._choices.get(number)
        if known is not None:
            return known, b""
        opening = self._opening(number)
        return self._choices[number], opening

    # ------------------------------------------------------------ Parts

    def _part_start(self, event: PartStart) -> bytes:
        choice, opening = self._choice(event.choice)
        part = _Part(event, first=choice.chars)
        self._parts[event.index] = part
        match event.kind:
            case "tool_call":
                part.number = choice.calls
                choice.calls += 1
                return opening + self._say(event.choice, self._call_start(part))
            case "reasoning":
                part.number = choice.thoughts
                choice.thoughts += 1
                return opening
            case "foreign":
                value = _foreign(event.name, event.value, choice.images)
                choice.images += _pictures_in(value)
                return opening + (self._say(event.choice, value) if value else b"")
            case "text" | "refusal":
                return opening
            case _:
                assert_never(event.kind)

    def _is_function(self, part: _Part) -> bool:
        """The old dialect: the first call is `function_call`; more than one it cannot hold, so others stay tool calls."""
        return self._legacy and part.number == 0

    def _call_start(self, part: _Part) -> Json:
        start = part.start
        if self._is_function(part):
            return {"function_call": {"name": start.name, "arguments": ""}}
        kind, field_name = ("custom", "input") if start.custom else ("function", "arguments")
        return {"tool_calls": [{"index": part.number, "id": start.id, "type": kind, kind: {"name": start.name, field_name: ""}}]}

    def _delta(self, part: _Part, text: str) -> bytes:
        start = part.start
        match start.kind:
            case "text":
                self._choices[start.choice].chars += len(text)
                return self._say(start.choice, {"content": text})
            case "reasoning":
                part.text.write(text)
                return self._say(start.choice, {"reasoning_content": text})
            case "refusal":
                return self._say(start.choice, {"refusal": text})
            case "tool_call":
                if self._is_function(part):
                    return self._say(start.choice, {"function_call": {"arguments": text}})
                inner = {"custom": {"input": text}} if start.custom else {"function": {"arguments": text}}
                return self._say(start.choice, {"tool_calls": [{"index": part.number, **inner}]})
            case "foreign":
                return b""
            case _:
                assert_never(start.kind)

    def _annotate(self, part: _Part, value: Json) -> None:
        choice = self._choices[part.start.choice]
        note = _annotation(value, part.first, choice.chars)
        if note is not None:
            choice.notes.append(note)

    def _part_end(self, part: _Part) -> bytes:
        if not part.opaque:
            return b""
        start = part.start
        if start.kind == "reasoning":
            entries = entries_of(ReasoningPart(part.text.getvalue(), tuple(part.opaque)), part.number)
            return self._say(start.choice, {"reasoning_details": entries})
        call = ToolCallPart(start.id, start.name, "", opaque=tuple(part.opaque))
        delta: Json = {}
        native = _extra_content(call)
        if native is not None:
            delta["tool_calls"] = [{"index": part.number, "extra_content": native}]
        entries = call_entries(call, self._choices[start.choice].thoughts)
        if entries:
            delta["reasoning_details"] = entries
        return self._say(start.choice, delta) if delta else b""

    # ------------------------------------------------------------ The end

    def _finished(self, event: Finished) -> bytes:
        choice, opening = self._choice(event.choice)
        choice.finished = True
        extra = {key: event.extra[key] for key in CHOICE_EXTRAS if event.extra.get(key) is not None}
        notes = self._say(event.choice, {"annotations": choice.notes}) if choice.notes else b""
        return opening + notes + self._say(event.choice, {}, _reason(event.reason, self._legacy, choice.calls > 0), extra)

    def _ended(self) -> bytes:
        """Clients loop on a stream without a finish reason, so a choice that was left open gets one."""
        rest = [self._finished(Finished(Finish.OTHER, number)) for number, choice in self._choices.items() if not choice.finished]
        if self._include_usage and self._usage is not None:
            if not self._head:
                self._set_head(Started("", ""))
            rest.append(self._chunk(b"", b',"usage":' + views.encode(from_usage(self._usage))))
        rest.append(sse.encode(DONE))
        self._over = True
        return b"".join(rest)


def _extra_content(call: ToolCallPart) -> Json | None:
    values = (loads(opaque.value) for opaque in call.opaque if opaque.kind == EXTRA_CONTENT)
    return next((value for value in values if isinstance(value, dict)), None)


# ---------------------------------------------------------------- Whole


def render_response(
    response: ChatResponse,
    model: str,
    request: ChatRequest | None = None,
    now: Callable[[], float] = time.time,
    *,
    origin: Origin | None = None,
) -> Json:
    """A whole answer. Without a usage of the provider's there is no `usage`: nothing is made up here. `origin` is taken for the sake of
    one signature in all formats."""
    legacy = is_legacy(request)
    body: Json = {
        "id": _answer_id(response.id),
        "object": "chat.completion",
        "created": response.created or int(now()),
        "model": model,
        "choices": [_choice_body(choice, number, legacy) for number, choice in enumerate(response.choices)],
    }
    if response.usage is not None:
        body["usage"] = from_usage(response.usage)
    body.update({key: response.extra[key] for key in ANSWER_EXTRAS if response.extra.get(key) is not None})
    return body


def _choice_body(choice: Choice, number: int, legacy: bool) -> Json:
    calls = any(isinstance(part, ToolCallPart) for part in choice.parts)
    body: Json = {"index": number, "message": _message(choice, legacy), "finish_reason": _reason(choice.finish, legacy, calls)}
    body.update({key: choice.extra[key] for key in CHOICE_EXTRAS if choice.extra.get(key) is not None})
    return body


def _message(choice: Choice, legacy: bool) -> Json:
    words: list[str] = []
    refusal: list[str] = []
    thoughts: list[ReasoningPart] = []
    calls: list[ToolCallPart] = []
    notes: list[Json] = []
    foreign: Json = {}
    chars = 0
    for part in choice.parts:
        match part:
            case TextPart():
                rendered = (_annotation(note, chars, chars + len(part.text)) for note in part.citations)
                notes.extend(note for note in rendered if note is not None)
                words.append(part.text)
                chars += len(part.text)
            case RefusalPart(text):
                refusal.append(text)
            case ReasoningPart():
                thoughts.append(part)
            case ToolCallPart():
                calls.append(part)
            case ForeignPart():
                _merge(foreign, _foreign(part.wire, part.value, _pictures_in(foreign)))
            case MediaPart() | ToolResultPart():
                pass
            case _:
                assert_never(part)
    silent = not words and (bool(calls) or bool(refusal) or bool(foreign))
    message: Json = {"role": "assistant", "content": None if silent else "".join(words), "refusal": "".join(refusal) or None}
    text = "".join(part.text for part in thoughts)
    if text:
        message["reasoning_content"] = text
    entries = [entry for number, part in enumerate(thoughts) for entry in entries_of(part, number)]
    entries += [entry for call in calls for entry in call_entries(call, len(thoughts))]
    if entries:
        message["reasoning_details"] = entries
    if notes:
        message["annotations"] = notes
    message.update(foreign)
    if legacy and calls:
        first, *calls = calls
        message["function_call"] = {"name": first.name, "arguments": first.arguments}
    if calls:
        message["tool_calls"] = [_call_body(call) for call in calls]
    return message


def _call_body(call: ToolCallPart) -> Json:
    kind, name = ("custom", "input") if call.custom else ("function", "arguments")
    body: Json = {"id": call.id, "type": kind, kind: {"name": call.name, name: call.arguments}}
    native = _extra_content(call)
    if native is not None:
        body["extra_content"] = native
    return body


def _pictures_in(message: Json) -> int:
    images = message.get("images")
    return len(images) if isinstance(images, list) else 0


def _foreign(wire: str, block: Json, images: int) -> Json:
    """What a message can hold of a block that only one format knows: this one's own, or another one's pictures. `images`: those
    that it has already."""
    if wire == NAME:
        return block
    pictures = pictures_of(wire, block)
    return to_chat(pictures, images) if pictures else {}


def _merge(into: Json, value: Json) -> None:
    """Streamed pieces of audio and images → one: lists and base64 text are joined, the rest is overwritten."""
    for key, new in value.items():
        old = into.get(key)
        if isinstance(old, list) and isinstance(new, list):
            into[key] = [*old, *new]
        elif isinstance(old, dict) and isinstance(new, dict):
            inner = dict(old)
            _merge(inner, new)
            into[key] = inner
        elif key in {"data", "transcript"} and isinstance(old, str) and isinstance(new, str):
            into[key] = old + new
        else:
            into[key] = new
