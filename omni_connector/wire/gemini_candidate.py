"""One candidate of a Gemini answer: its parts, in order, as events. `gemini_stream` feeds it chunk by chunk."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from omni_connector.chat import (
    Annotation,
    Delta,
    Event,
    Finished,
    Json,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartKind,
    PartStart,
)
from omni_connector.wire.gemini_calls import CUSTOM_INPUT, make_id, to_arguments
from omni_connector.wire.gemini_notes import merged, sources_of, to_chat_logprobs
from omni_connector.wire.gemini_partial import PartialArguments
from omni_connector.wire.gemini_signatures import SIGNATURE
from omni_connector.wire.gemini_words import FINISH_NUMBERS, NAME, camel, dumps, finish_of, word_of

_FIELDS = frozenset({"content", "finishReason", "index"})


class Reader:
    """What all candidates of an answer share."""

    def __init__(self, origin: Origin, custom: frozenset[str], names: Mapping[str, str]) -> None:
        self.origin = origin
        self.custom = custom
        self.names = names
        self.indexes = count()
        self.calls = count()
        self.token = ""


class Candidate:
    """One candidate of the answer: at most one part is open. `events` is handed in anew, since it is drained between."""

    def __init__(self, number: int, reader: Reader, events: list[Event]) -> None:
        self._number = number
        self._reader = reader
        self._events = events
        self._open: tuple[int, PartKind] | None = None
        self._signature: Opaque | None = None
        """Of the open text: told as a thought when the text is complete."""
        self._partial: PartialArguments | None = None
        self._calls = False
        self._extra: Json = {}
        self.word: str | None = None

    def take(self, candidate: Json, events: list[Event]) -> None:
        self._events = events
        content = candidate.get("content")
        parts = camel(content).get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                self._part(camel(part))
        for key, value in candidate.items():
            if key not in _FIELDS and value is not None:
                self._extra[key] = merged(key, self._extra.get(key), value)
        self.word = word_of(candidate.get("finishReason"), FINISH_NUMBERS) or self.word

    def end(self, events: list[Event]) -> Finished:
        self._events = events
        if self._open is not None and self._open[1] == "text":
            events.extend(Annotation(self._open[0], NAME, note) for note in sources_of(self._extra))
        self._close()
        logprobs = to_chat_logprobs(self._extra.get("logprobsResult"))
        extra = self._extra if logprobs is None else {**self._extra, "logprobs": logprobs}
        return Finished(finish_of(self.word, self._calls), self._number, None, self.word, extra)

    # ------------------------------------------------------------ Parts

    def _part(self, part: Json) -> None:
        text = part.get("text")
        proof = part.get("thoughtSignature")
        opaque = Opaque(SIGNATURE, proof, self._reader.origin) if isinstance(proof, str) and proof else None
        if isinstance(text, str):
            self._words("reasoning" if part.get("thought") is True else "text", text, opaque)
        elif isinstance(part.get("functionCall"), dict):
            self._call(camel(part["functionCall"]), opaque)
        elif any(value is not None for value in part.values()):
            self._foreign(part)

    def _words(self, kind: PartKind, text: str, opaque: Opaque | None) -> None:
        if text:
            index = self._open[0] if self._open is not None and self._takes(kind) else self._begin(kind)
            self._events.append(Delta(index, text))
        if opaque is None:
            return
        if self._open is None or not self._takes(kind):
            self._proof(opaque)
        elif kind == "text":
            self._signature = opaque
        else:
            # A signature belongs to exactly the thought it came with.
            self._events.append(OpaqueDelta(self._open[0], opaque))
            self._close()

    def _takes(self, kind: PartKind) -> bool:
        """Whether the open part can go on with words of this kind: not when it is signed already."""
        return self._open is not None and self._open[1] == kind and self._signature is None

    def _proof(self, opaque: Opaque) -> None:
        """A signature without words."""
        self._events.append(OpaqueDelta(self._begin("reasoning"), opaque))
        self._close()

    def _begin(self, kind: PartKind) -> int:
        self._close()
        index = next(self._reader.indexes)
        self._open = (index, kind)
        self._events.append(PartStart(index, kind, choice=self._number))
        return index

    def _close(self) -> None:
        if self._partial is not None:
            self._end_partial()
        if self._open is None:
            return
        self._events.append(PartEnd(self._open[0]))
        self._open = None
        opaque, self._signature = self._signature, None
        if opaque is not None:
            self._proof(opaque)

    def _foreign(self, part: Json) -> None:
        self._close()
        index = next(self._reader.indexes)
        self._events += [PartStart(index, "foreign", name=NAME, choice=self._number, value=part), PartEnd(index)]

    # ------------------------------------------------------------ Calls

    def _call(self, call: Json, opaque: Opaque | None) -> None:
        """A whole call, or a piece of one that is told in pieces (`willContinue`, `partialArgs`)."""
        name = call.get("name")
        more = call.get("willContinue") is True
        if isinstance(name, str) and name:
            self._begin_call(call, name, opaque)
            if more or "partialArgs" in call:
                self._partial = PartialArguments(self._custom(name))
            else:
                args = call.get("args")
                self._end_call(_arguments(args if isinstance(args, dict) else {}, self._custom(name)))
                return
        if self._partial is not None:
            self._partial.add(call.get("partialArgs"))
            if not more:
                self._end_partial()

    def _custom(self, wire_name: str) -> bool:
        return self._reader.names.get(wire_name, wire_name) in self._reader.custom

    def _begin_call(self, call: Json, wire_name: str, opaque: Opaque | None) -> None:
        self._close()
        self._calls = True
        name = self._reader.names.get(wire_name, wire_name)
        given, number = call.get("id"), next(self._reader.calls)
        call_id = given if isinstance(given, str) and given else make_id(number, self._reader.token)
        index = next(self._reader.indexes)
        self._open = (index, "tool_call")
        self._events.append(PartStart(index, "tool_call", call_id, name, name in self._reader.custom, self._number))
        if opaque is not None:
            self._events.append(OpaqueDelta(index, opaque))

    def _end_partial(self) -> None:
        partial, self._partial = self._partial, None
        if partial is not None:
            self._end_call(_arguments(partial.value, partial.custom))

    def _end_call(self, arguments: str) -> None:
        if self._open is not None and arguments:
            self._events.append(Delta(self._open[0], arguments))
        self._close()


def _arguments(args: Json, custom: bool) -> str:
    """The words of a free-text tool, as the one string of the function that stood in for it; else the arguments."""
    text = args.get(CUSTOM_INPUT)
    if custom and isinstance(text, str):
        return text
    return dumps(args).decode() if custom else to_arguments(args)
