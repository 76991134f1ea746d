"""A stream that broke after its first words, gone on with by the next account (`continue_broken_streams`, off by default).

`Told` is a translated lane that remembers the words it has sent; `Continued` takes over its renderer, so ids, indexes and order
of the client's format stay those of one answer. Only plain text is gone on with: half a tool call, half a JSON document and half
a thought mean nothing to another model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    Delta,
    Event,
    Finished,
    Message,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    Started,
    TextPart,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError
from omni_connector.lanes import Lane, Translated
from omni_connector.meter import COUNTS, Reading
from omni_connector.record import Record
from omni_connector.values import dataclass
from omni_connector.wire import FORMATS, dialect

ASK = (
    "Your last message was cut off by a technical failure. Go on exactly where it broke off, in the middle of the word if need be. "
    "Repeat nothing, add no introduction and do not mention the interruption."
)
"""The words of the user that follow the torn answer. No provider row says that a prefilled answer is gone on with, and the newer
models of its inventor refuse one, so everybody is asked."""

NOTE = b": continued by another account\n"
"""A comment line, which readers of server-sent events skip."""

OVERLAP = 200
"""Characters before the seam in which repeated words are looked for."""
OVERLAP_LEAST = 8
"""Shorter repetitions are chance: "Hel" and "lo" share a letter that belongs to both."""


def is_wanted(request: ChatRequest) -> bool:
    """Whether an answer to this request could be gone on with: one choice, in plain words."""
    asked, sampling = request.output, request.sampling
    return request.stream and (asked is None or asked.kind == "text") and sampling.n in (None, 1) and not sampling.logprobs


def onward(request: ChatRequest, text: str, spent: int = 0) -> ChatRequest:
    """The request that asks for the rest of an answer of which `text` was sent, in `spent` tokens: the client's limit is for both."""
    begun = Message("assistant", (TextPart(text),))
    most = None if request.max_tokens is None else max(1, request.max_tokens - spent)
    return replace(request, messages=(*request.messages, begun, Message("user", (TextPart(ASK),))), max_tokens=most)


class Sent:
    """What a client was sent of an answer, kept as long as it is plain text."""

    def __init__(self) -> None:
        self.next = 0
        """The first number that no part has."""
        self._open: dict[int, str] = {}
        self._text: list[str] = []
        self._plain = True

    def hear(self, event: Event) -> None:
        match event:
            case PartStart(index, kind):
                self.next = max(self.next, index + 1)
                self._open[index] = kind
                self._plain &= kind in ("text", "reasoning")
            case Delta(index, text) if self._open.get(index) == "text" and self._plain:
                self._text.append(text)
            case PartEnd(index):
                self._plain &= self._open.pop(index, "text") == "reasoning"
            case Finished() | Annotation():
                self._plain = False
            case _:
                pass

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def open_text(self) -> int | None:
        """The number of the one open part, if it is text and nothing but thoughts came before it; else None."""
        if not self._plain or list(self._open.values()) != ["text"] or not self.text.strip():
            return None
        return next(iter(self._open))


class Told(Translated):
    """The translated lane of an answer that may be gone on with; also where both sides speak the same format."""

    def __init__(
        self, source: str, target: str, model: str, request: ChatRequest, origin: Origin, *, as_array: bool = False, answer_id: str = ""
    ) -> None:
        super().__init__(source, target, model, request, origin, as_array=as_array, answer_id=answer_id)
        self.sent = Sent()
        self.note = NOTE if dialect(target).KEEPALIVE else b""
        """Tells the client of the seam, where the format lets it."""

    def _render(self, events: Sequence[Event]) -> bytes:
        events = self._hear(events)
        return b"" if self._meter.error is not None else self._tell(events)

    def _tell(self, events: Sequence[Event]) -> bytes:
        for event in events:
            self.sent.hear(event)
        return b"".join(self._renderer.feed(event) for event in events)

    def continued(self, source: str, origin: Origin, before: Usage) -> Continued:
        """The lane of the account that goes on, whose answer comes in the format `source`. `before`: what was used so far."""
        return Continued(self, source, origin, before)


class Continued(Told):
    """The rest of an answer. Its first words go on with the part that is open; thoughts about going on are left out."""

    def __init__(self, torn: Told, source: str, origin: Origin, before: Usage) -> None:
        super().__init__(source, torn._request.wire, torn._model, torn._request, origin)
        self._renderer = torn._renderer
        self.sent = torn.sent
        self.note = torn.note
        index = self.sent.open_text
        assert index is not None, "only what may be gone on with is"
        self._text = index
        self._ours: dict[int, int | None] = {}
        """Their parts → ours; None: left out."""
        self._base = self.sent.next
        self._joined = False
        """Their first words were given a place."""
        self._text_open = True
        self._tail = self.sent.text[-OVERLAP:]
        self._seam: str | None = ""
        """Words that may repeat what was sent; None once that is decided."""
        self._before = before
        self._usage: Usage | None = None
        self._finished = False
        self._waiting: list[Event] = []

    def _tell(self, events: Sequence[Event]) -> bytes:
        self._waiting += [ours for event in events for ours in self._map(event)]
        if not self._meter.first_output:
            # Until then yet another account may take over, and the renderer cannot take back what it said.
            return b""
        told, self._waiting = self._waiting, []
        return super()._tell(told)

    def _map(self, event: Event) -> list[Event]:
        """Their event as part of our answer."""
        match event:
            case Started():
                return self._use(event.usage)
            case UsageSeen(usage):
                return self._use(usage)
            case PartStart():
                return self._part(event)
            case Delta() | OpaqueDelta() | Annotation() | PartEnd():
                return self._piece(event)
            case Finished():
                self._finished = True
                return [*self._close_text(), *self._used(), event]
            case _:
                return [event]

    def _use(self, usage: Usage | None) -> list[Event]:
        if usage is not None:
            self._usage = usage if self._usage is None else self._usage.merged(usage)
        return self._used() if self._finished else []

    def _used(self) -> list[Event]:
        """Told once they are final: counts of a stream replace each other."""
        return [] if self._usage is None else [UsageSeen(added(self._before, self._usage))]

    def _part(self, event: PartStart) -> list[Event]:
        if event.kind == "reasoning":
            self._ours[event.index] = None
            return []
        if event.kind == "text" and not self._joined and self._text_open:
            self._joined = True
            self._ours[event.index] = self._text
            return []
        number = self._ours[event.index] = self._base + event.index
        return [*self._close_text(), replace(event, index=number)]

    def _piece(self, event: Delta | OpaqueDelta | Annotation | PartEnd) -> list[Event]:
        index = self._ours.get(event.index)
        if index is None:
            return []
        if index != self._text:
            return [replace(event, index=index)]
        if isinstance(event, PartEnd):
            return self._close_text()
        if isinstance(event, Delta):
            return self._words(event.text)
        return [*self._words("", last=True), replace(event, index=index)]

    def _close_text(self) -> list[Event]:
        if not self._text_open:
            return []
        told = self._words("", last=True)
        self._text_open = False
        return [*told, PartEnd(self._text)]

    def _words(self, text: str, *, last: bool = False) -> list[Event]:
        """Words of the part that goes on, once it is known how far they repeat what was sent."""
        if self._seam is not None:
            text = self._seam + text
            if not last and len(text) < OVERLAP and text in self._tail:
                self._seam = text
                return []
            self._seam = None
            text = text[repeated(self._tail, text) :]
        return [Delta(self._text, text)] if text else []


def repeated(before: str, after: str) -> int:
    """Characters at the beginning of `after` that repeat the end of `before`; 0 where it may be chance."""
    most = min(len(before), len(after), OVERLAP)
    return next((size for size in range(most, OVERLAP_LEAST - 1, -1) if before.endswith(after[:size])), 0)


# ---------------------------------------------------------------- The row


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer that broke off after its first words: whose it was, and what was used until then."""

    lane: Told
    error: GatewayError
    account_id: str | None
    account_label: str | None
    provider: str | None
    model: str | None
    reading: Reading
    cost: Decimal | None

    def to(self, record: Record) -> None:
        """The row belongs to this account again: nobody has gone on."""
        record.account_id, record.account_label, record.provider, record.model = (
            self.account_id,
            self.account_label,
            self.provider,
            self.model,
        )

    def plus(self, reading: Reading, cost: Decimal | None) -> tuple[Reading, Decimal | None]:
        """Both accounts' figures: a sum is as good as its worst part."""
        source = reading.source if reading.source == self.reading.source else "counted"
        total = None if cost is None or self.cost is None else cost + self.cost
        return Reading(added(self.reading.usage, reading.usage), source, reading.finish), total


def broken(lane: Lane | None, error: GatewayError, record: Record) -> Broken | None:
    """What may be gone on with of an answer that just failed, after its figures went to the row; None: the client is told."""
    if not can_go_on(lane, error):
        return None
    assert isinstance(lane, Told)
    *_, last = record.attempts
    record.attempts[-1] = replace(last, kind=str(error.kind), message=error.message[:500])
    reading = Reading(record.usage, record.usage_source, None)  # type: ignore[arg-type]  # the row keeps plain words
    return Broken(lane, error, record.account_id, record.account_label, record.provider, record.model, reading, record.cost)


def can_go_on(lane: Lane | None, error: GatewayError) -> bool:
    return isinstance(lane, Told) and error.info.retry and lane.sent.open_text is not None


def speaks(wire: str) -> bool:
    """Whether answers in this client format can be gone on with: conversations only."""
    return wire in FORMATS


def added(one: Usage, other: Usage) -> Usage:
    """Counts of two answers together. Neither provider's own block says the sum, so it is left out."""
    pairs = {name: (getattr(one, name), getattr(other, name)) for name in COUNTS}
    sums: dict[str, Any] = {name: sum(count or 0 for count in pair) for name, pair in pairs.items() if pair != (None, None)}
    return Usage(**sums)
