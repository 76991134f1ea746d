"""What goes with a tool call and has no place in the client's format: signatures of the call, and the thoughts before it.

`CallMarks` collects it from an answer, by the call's id; `restore` puts it back into a later request that has the call without
it. Only values that say who minted them are kept, so that renderers decide as ever who may have them (DESIGN.md, law 1).

Ids alone are not enough: some providers count their calls anew in every conversation ("functions.search:0"). So a mark also
knows the name and arguments of its call, and is put back only there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from io import StringIO
from typing import Any

from omni_connector.chat import (
    ChatRequest,
    Delta,
    Event,
    Json,
    Message,
    Opaque,
    OpaqueDelta,
    Origin,
    Part,
    PartStart,
    ReasoningPart,
    ToolCallPart,
)
from omni_connector.values import dataclass
from omni_connector.wire.anthropic_words import NO_OPAQUE


@dataclass(frozen=True, slots=True)
class Mark:
    """What is kept for one call. `opaque`: its own values. `thoughts`: for the first call of a turn, what was thought before it;
    the first `early` of them came before any words. `call`: digest of its name and arguments."""

    opaque: tuple[Opaque, ...] = ()
    thoughts: tuple[ReasoningPart, ...] = ()
    early: int = 0
    call: str = ""


# ---------------------------------------------------------------- Out of an answer


class _Heard:
    """A part that matters here, as far as it was told."""

    __slots__ = ("opaque", "start", "texts")

    def __init__(self, start: PartStart) -> None:
        self.start = start
        self.texts = StringIO()
        self.opaque: list[Opaque] = []


class CallMarks:
    """Hears the events of one answer; `marks` at its end. `origin`: who answers; it is noted on thoughts that came without any
    proof, so that nobody else takes them for the client's own."""

    __slots__ = ("_heard", "_origin", "_worded")

    def __init__(self, origin: Origin | None = None) -> None:
        self._origin = origin
        self._heard: dict[int, _Heard] = {}
        """Thoughts and calls by index, in the order in which they began."""
        self._worded: dict[int, int] = {}
        """Choice → number of thoughts before its first words."""

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Delta(index, text):
                    heard = self._heard.get(index)
                    if heard is not None:
                        heard.texts.write(text)
                case OpaqueDelta(index, opaque):
                    heard = self._heard.get(index)
                    if heard is not None:
                        heard.opaque.append(opaque)
                case PartStart(index, kind):
                    if kind in ("reasoning", "tool_call"):
                        self._heard[index] = _Heard(event)
                    else:
                        self._worded.setdefault(event.choice, sum(one.start.choice == event.choice for one in self._heard.values()))
                case _:
                    pass

    @property
    def marks(self) -> dict[str, Mark]:
        """By call id, those with something to keep. Of calls with the same id the first counts; one without an id has none."""
        found: dict[str, Mark] = {}
        thoughts: dict[int, list[_Heard]] = {}
        called: set[int] = set()
        for heard in self._heard.values():
            start = heard.start
            before = thoughts.setdefault(start.choice, [])
            if start.kind == "reasoning":
                before.append(heard)
                continue
            first = start.choice not in called
            called.add(start.choice)
            mark = self._mark(heard, before if first else [])
            if start.id and (mark.opaque or mark.thoughts):
                found.setdefault(start.id, mark)
        return found

    def _mark(self, heard: _Heard, before: list[_Heard]) -> Mark:
        start = heard.start
        worded = self._worded.get(start.choice, len(before))
        thoughts = [self._thought(one) for one in before]
        return Mark(
            opaque=_minted(heard.opaque),
            thoughts=tuple(thought for thought in thoughts if thought is not None),
            early=sum(thought is not None for thought in thoughts[:worded]),
            call=_digest(start.name, heard.texts.getvalue(), start.custom),
        )

    def _thought(self, heard: _Heard) -> ReasoningPart | None:
        text, opaque = heard.texts.getvalue(), _minted(heard.opaque)
        if not text and not opaque:
            return None
        if not heard.opaque and self._origin is not None:
            opaque = (Opaque(NO_OPAQUE, "", self._origin),)
        return ReasoningPart(text, opaque, heard.start.value)


def _minted(opaques: Iterable[Opaque]) -> tuple[Opaque, ...]:
    return tuple(opaque for opaque in opaques if opaque.origin is not None)


def _digest(name: str, arguments: str, custom: bool) -> str:
    """The same for arguments that a client has written anew: other blanks, other order of keys, 1 instead of 1.0."""
    said = arguments
    if not custom:
        with contextlib.suppress(ValueError, RecursionError):  # what is no JSON stays what it is
            said = json.dumps(json.loads(arguments or "{}", parse_float=_number), sort_keys=True)
    return hashlib.sha256(f"{name}\n{said}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


# ---------------------------------------------------------------- Into a request


def wanted(request: ChatRequest) -> tuple[str, ...]:
    """Ids of the assistant's calls that have no opaque value, or that begin a turn without thoughts: those to look up marks for."""
    ids: dict[str, None] = {}
    for message in request.messages:
        if message.role != "assistant":
            continue
        first = None if _has_thoughts(message) else _first_call(message)
        for part in message.parts:
            if isinstance(part, ToolCallPart) and part.id and (part is first or not part.opaque):
                ids[part.id] = None
    return tuple(ids)


def restore(request: ChatRequest, marks: Mapping[str, Mark]) -> ChatRequest:
    """The same request with what was kept for its calls. What a message has already stays; marks of other calls change nothing."""
    if not marks:
        return request
    messages = tuple(_restored(message, marks) if message.role == "assistant" else message for message in request.messages)
    return request if messages == request.messages else replace(request, messages=messages)


def _restored(message: Message, marks: Mapping[str, Mark]) -> Message:
    fitting = {part.id: mark for part in message.parts if isinstance(part, ToolCallPart) and (mark := _of(part, marks)) is not None}
    if not fitting:
        return message
    first = None if _has_thoughts(message) else _first_call(message)
    parts: list[Part] = []
    for part in message.parts:
        mark = fitting.get(part.id) if isinstance(part, ToolCallPart) else None
        if isinstance(part, ToolCallPart) and mark is not None:
            if part is first:
                # Some providers want a turn to begin with its thoughts, others want them where they were.
                parts = [*mark.thoughts[: mark.early], *parts, *mark.thoughts[mark.early :]]
            parts.append(part if part.opaque else replace(part, opaque=mark.opaque))
        else:
            parts.append(part)
    return replace(message, parts=tuple(parts))


def _of(part: ToolCallPart, marks: Mapping[str, Mark]) -> Mark | None:
    mark = marks.get(part.id)
    return mark if mark is not None and mark.call == _digest(part.name, part.arguments, part.custom) else None


def _has_thoughts(message: Message) -> bool:
    return any(isinstance(part, ReasoningPart) for part in message.parts)


def _first_call(message: Message) -> ToolCallPart | None:
    return next((part for part in message.parts if isinstance(part, ToolCallPart)), None)


# ---------------------------------------------------------------- As a kept value


def to_json(mark: Mark) -> Json:
    """{"opaque": [[kind, provider, model, value], …], "thoughts": [{"text", "opaque", "extra"}, …], "early", "call"}."""
    thoughts = [{"text": part.text, "opaque": _written(part.opaque), "extra": part.extra} for part in mark.thoughts]
    return {"opaque": _written(mark.opaque), "thoughts": thoughts, "early": mark.early, "call": mark.call}


def from_json(value: Json) -> Mark:
    """The opposite of `to_json`, exact. Raises KeyError, TypeError or ValueError for what it did not write."""
    thoughts = tuple(ReasoningPart(one["text"], _read(one["opaque"]), one["extra"]) for one in value["thoughts"])
    return Mark(_read(value["opaque"]), thoughts, value["early"], value["call"])


def _written(opaques: Iterable[Opaque]) -> list[list[str]]:
    return [[one.kind, one.origin.provider, one.origin.model, one.value] for one in opaques if one.origin is not None]


def _read(written: Iterable[Any]) -> tuple[Opaque, ...]:
    return tuple(Opaque(kind, value, Origin(provider, model)) for kind, provider, model, value in written)
