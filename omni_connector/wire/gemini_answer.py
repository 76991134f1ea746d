"""Events or a whole answer → Gemini's form (client's side).

Every chunk is a whole GenerateContentResponse: text as it comes, a call when its arguments are complete, and at the end a
chunk with every finish reason and the usage. Lines end in CRLF, as Google's do. `ArrayRenderer` gives the same chunks as one JSON
array, for clients that do not ask for `alt=sse`.

An answer that fails ends with an error object and behind it a candidate with the finish reason OTHER and the error's words as
`finishMessage`: the vendor's SDK raises the first; gemini-cli, kimi, pi and aider skip it, and opencode would repeat the
request in a loop without the second (clients.md, finding 9 and §4).
"""

from __future__ import annotations

import uuid
from dataclasses import field
from typing import assert_never

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
    PartStart,
    Started,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError
from omni_connector.values import dataclass
from omni_connector.wire.gemini_calls import is_made_up, to_args
from omni_connector.wire.gemini_errors import render_error
from omni_connector.wire.gemini_notes import OWN_NOTE, from_chat_logprobs, grounding_of
from omni_connector.wire.gemini_signatures import NO_OPAQUE, SIGNATURE, signature_of
from omni_connector.wire.gemini_words import CANDIDATE_EXTRAS, FINISH, FINISH_REASON, NAME, dumps, from_usage
from omni_connector.wire.pictures import pictures_of, to_gemini

_HEAD_EXTRAS = ("createTime", "promptFeedback", "modelStatus")


@dataclass(slots=True)
class _Part:
    start: PartStart
    text: list[str] = field(default_factory=list)
    """Of a call: its arguments so far."""
    spoken: bool = False
    opaque: list[Opaque] = field(default_factory=list)
    ended: bool = False


@dataclass(slots=True)
class _Choice:
    notes: list[Json] = field(default_factory=list)
    finished: Finished | None = None


class ResponseRenderer:
    """Push events, get bytes of the client's stream. `model` is the requested name. `origin` is who serves the answer; it is
    sealed into thoughts that came without a proof, so that a later turn knows whose they are."""

    def __init__(self, model: str, request: ChatRequest | None = None, *, origin: Origin | None = None) -> None:
        """`request` is taken for the sake of one signature in all formats."""
        self._model = model
        self._origin = origin
        self._id = ""
        self._extra: Json = {}
        self._tail = b""
        self._usage: Usage | None = None
        self._parts: dict[int, _Part] = {}
        self._choices: dict[int, _Choice] = {}
        self._over = False

    def feed(self, event: Event) -> bytes:
        if type(event) is Delta and not self._over:
            return self._quick(event)
        chunks = self.chunks(event)
        framed = b"".join(self._frame(dumps(chunk)) for chunk in chunks)
        return framed + self._end_of_stream() if self._over and chunks else framed

    def fail(self, error: GatewayError) -> bytes:
        """The error, and a finish reason for those who do not look for errors. b"" when the answer is over already."""
        if self._over:
            return b""
        return b"".join(self._frame(dumps(chunk)) for chunk in self._fail(error)) + self._end_of_stream()

    def _frame(self, chunk: bytes) -> bytes:
        return b"data: " + chunk + b"\r\n\r\n"

    def _end_of_stream(self) -> bytes:
        return b""

    # ------------------------------------------------------------ Chunks

    def chunks(self, event: Event) -> list[Json]:
        """The same as `feed`, before it becomes bytes."""
        if self._over:
            return []
        match event:
            case Delta(index, text):
                return self._delta(self._parts[index], text)
            case Started():
                self._start(event)
            case PartStart():
                return self._part_start(event)
            case OpaqueDelta(index, opaque):
                self._parts[index].opaque.append(opaque)
            case Annotation(index, _, value):
                if value.get("type") != OWN_NOTE:
                    self._choices[self._parts[index].start.choice].notes.append(value)
            case PartEnd(index):
                return self._part_end(index)
            case UsageSeen(usage):
                self._use(usage)
            case Finished():
                self._choice(event.choice).finished = event
            case Failed(error):
                return self._fail(error)
            case Ended():
                return self._end()
            case _:
                assert_never(event)
        return []

    def _start(self, event: Started) -> None:
        self._id = event.id or self._id
        self._extra = {key: event.extra[key] for key in _HEAD_EXTRAS if event.extra.get(key) is not None}
        if event.usage is not None:
            self._use(event.usage)

    def _use(self, usage: Usage) -> None:
        self._usage = usage if self._usage is None else self._usage.merged(usage)

    def _choice(self, number: int) -> _Choice:
        return self._choices.setdefault(number, _Choice())

    def _head(self) -> Json:
        self._id = self._id or uuid.uuid4().hex
        return {"modelVersion": self._model, "responseId": self._id}

    def _say(self, choice: int, part: Json) -> list[Json]:
        return [{"candidates": [{"content": {"parts": [part], "role": "model"}, "index": choice}], **self._head()}]

    def _quick(self, event: Delta) -> bytes:
        """Nearly every event is a piece of text: the frame around it is made once."""
        part = self._parts[event.index]
        if part.start.kind != "text":
            return b"".join(self._frame(dumps(chunk)) for chunk in self._delta(part, event.text))
        if not self._tail:
            self._tail = dumps(self._head())[1:]
        part.spoken = True
        head = b'{"candidates":[{"content":{"parts":[{"text":'
        place = b'}],"role":"model"},"index":%d}],' % part.start.choice
        return self._frame(head + dumps(event.text) + place + self._tail)

    # ------------------------------------------------------------ Parts

    def _part_start(self, event: PartStart) -> list[Json]:
        self._parts[event.index] = _Part(event)
        self._choice(event.choice)
        if event.kind != "foreign":
            return []
        parts = [event.value] if event.name == NAME else map(to_gemini, pictures_of(event.name, event.value))
        return [chunk for part in parts for chunk in self._say(event.choice, part)]

    def _delta(self, part: _Part, text: str) -> list[Json]:
        if part.start.kind == "tool_call":
            part.text.append(text)
            return []
        if not text or part.start.kind == "foreign":
            return []
        part.spoken = True
        return self._say(part.start.choice, {"text": text, "thought": True} if part.start.kind == "reasoning" else {"text": text})

    def _part_end(self, index: int) -> list[Json]:
        part = self._parts[index]
        part.ended = True
        if part.start.kind == "reasoning":
            return self._proof(part)
        return self._calls(final=False) if part.start.kind == "tool_call" else []

    def _proof(self, part: _Part) -> list[Json]:
        """What a thought must be sent back with. A signature without words stands on an empty text, as Gemini has it."""
        opaque = part.opaque
        if not opaque and part.spoken and self._origin is not None:
            opaque = [Opaque(NO_OPAQUE, "", self._origin)]
        if not opaque:
            return []
        piece: Json = {"text": "", "thoughtSignature": signature_of(opaque)}
        if part.spoken or opaque[0].kind != SIGNATURE:
            piece["thought"] = True
        return self._say(part.start.choice, piece)

    def _calls(self, *, final: bool) -> list[Json]:
        """Calls that are complete, in the order they began: a client pairs results by that order."""
        out: list[Json] = []
        for index in sorted(number for number, part in self._parts.items() if part.start.kind == "tool_call"):
            part = self._parts[index]
            if not (part.ended or final):
                break
            del self._parts[index]
            out += self._say(part.start.choice, self._call(part))
        return out

    def _call(self, part: _Part) -> Json:
        start = part.start
        call: Json = {"name": start.name, "args": to_args("".join(part.text), start.custom)}
        if start.id and not is_made_up(start.id):
            call = {"id": start.id, **call}
        piece: Json = {"functionCall": call}
        if part.opaque:
            piece["thoughtSignature"] = signature_of(part.opaque)
        return piece

    # ------------------------------------------------------------ The end

    def _end(self) -> list[Json]:
        out = self._calls(final=True)
        last = self._last([self._finished(number) for number in sorted(self._choices)])
        self._over = True
        return [*out, last]

    def _last(self, candidates: list[Json]) -> Json:
        chunk: Json = {"candidates": candidates, **self._extra}
        blocked = [choice.finished.extra.get("promptFeedback") for choice in self._choices.values() if choice.finished is not None]
        if blocked and isinstance(blocked[0], dict) and not self._parts:
            # A blocked prompt has feedback in place of candidates.
            chunk = {"promptFeedback": blocked[0]}
        if self._usage is not None:
            chunk["usageMetadata"] = from_usage(self._usage)
        return {**chunk, **self._head()}

    def _finished(self, number: int) -> Json:
        """The last piece of a candidate. Clients look for parts even there, so it has an empty one, as Google's have."""
        choice = self._choices[number]
        done = choice.finished or Finished(Finish.OTHER, number)
        candidate: Json = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": _reason(done), "index": number}
        candidate |= {key: done.extra[key] for key in CANDIDATE_EXTRAS if done.extra.get(key) is not None}
        logprobs, grounding = from_chat_logprobs(done.extra.get("logprobs")), grounding_of(choice.notes)
        if logprobs is not None:
            candidate.setdefault("logprobsResult", logprobs)
        if grounding is not None:
            candidate.setdefault("groundingMetadata", grounding)
        return candidate

    def _fail(self, error: GatewayError) -> list[Json]:
        """Calls that were never completed are not told: their arguments are torn."""
        self._over = True
        body = render_error(error)
        candidate = {"finishReason": "OTHER", "finishMessage": error.message, "index": 0}
        chunk: Json = {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, **candidate}]}
        if self._usage is not None:
            chunk["usageMetadata"] = from_usage(self._usage)
        return [body, {**chunk, **self._head()}]


def _reason(done: Finished) -> str:
    """The format's own word stays."""
    if done.raw is not None and (FINISH.get(done.raw) is done.reason or _is_own(done)):
        return done.raw
    return FINISH_REASON[done.reason]


def _is_own(done: Finished) -> bool:
    """Words of this format for which there is no common meaning (MALFORMED_FUNCTION_CALL, …)."""
    return done.reason is Finish.OTHER and done.raw is not None and done.raw.isupper() and done.raw.replace("_", "").isalpha()


class ArrayRenderer(ResponseRenderer):
    """The same stream as one JSON array, told element by element."""

    _opened = False

    def _frame(self, chunk: bytes) -> bytes:
        before = b",\r\n" if self._opened else b"["
        self._opened = True
        return before + chunk

    def _end_of_stream(self) -> bytes:
        return b"]"
