"""The meter: what an answer used, when its first words came, how it ended. It listens; it changes nothing.

Two ears for two lanes: events (a translated answer) and a wire format's own `Listener` (bytes that pass through).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from omni_connector.chat import Delta, Ended, Event, Failed, Finish, Finished, Started, Usage, UsageSeen
from omni_connector.errors import GatewayError

Source = Literal["reported", "counted", "estimated", "none"]

CHARS_PER_TOKEN = 4
"""For answers whose provider reports no usage: the usual ratio for English text, marked `counted` on the row."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The final figures of an answer. `source` says how they are known: `reported` by the provider, `counted` from what
    was delivered, `estimated` from the request alone, `none` when nothing was sent upstream."""

    usage: Usage
    source: Source
    finish: Finish | None


class Meter:
    """Usage, finish and failure of one answer, kept up to date event by event."""

    __slots__ = ("ended", "error", "finish", "first_output", "output_chars", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.first_output = False
        self.output_chars = 0

    def hear(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Delta():
                    self.output_chars += len(event.text)
                    self.first_output = True
                case UsageSeen(usage):
                    self._use(usage)
                case Started():
                    if event.usage is not None:
                        self._use(event.usage)
                case Finished(reason):
                    self.finish = reason
                    self.first_output = True
                case Failed(error):
                    self.error = error
                case Ended():
                    self.ended = True
                case _:
                    pass

    def _use(self, usage: Usage) -> None:
        self.usage = usage if self.usage is None else self.usage.merged(usage)


def reading(usage: Usage | None, output_chars: int, finish: Finish | None, estimated_input: int) -> Reading:
    """The figures for the ledger: the provider's where it gave them, else counted from what came, never invented."""
    if usage is not None and usage.output is not None and usage.prompt > 0:
        return Reading(usage, "reported", finish)
    known = usage or Usage()
    output = known.output if known.output is not None else -(-output_chars // CHARS_PER_TOKEN)
    fresh = known.input if known.input is not None else estimated_input
    counted = Usage(fresh, known.cache_read, known.cache_write, output, known.reasoning, known.raw)
    return Reading(counted, "counted" if output_chars else "estimated", finish)
