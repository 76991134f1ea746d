"""The meter: what an answer used, when its first words came, how it ended. It listens; it changes nothing.

Two ears for two lanes: events (a translated answer) and a wire format's own `Listener` (bytes that pass through).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from omni_connector.chat import Delta, Ended, Event, Failed, Finish, Finished, Started, Usage, UsageSeen
from omni_connector.errors import GatewayError
from omni_connector.values import quick

Source = Literal["reported", "counted", "estimated", "none"]

COUNTS = ("input", "cache_read", "cache_write", "output", "reasoning", "cache_write_1h", "web_searches")
MOST_TOKENS = 1_000_000_000
"""No answer has more. A provider that reports more, or less than nothing, is not believed (and would not fit the ledger)."""

CHARS_PER_TOKEN = 4
"""For answers whose provider reports no usage: the usual ratio for English text, marked `counted` on the row."""


@quick(frozen=True, slots=True)
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
                case Finished(reason, choice):
                    # Of several answers the first one decides, as for the ears of the other lane.
                    self.finish = reason if choice == 0 or self.finish is None else self.finish
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
    """The figures for the ledger: the provider's where it gave them, else counted from what came, never invented. A usage block may
    itself say that it was counted (a command that reports nothing, another omni-connector)."""
    known = _believable(usage or Usage())
    if finish is not None and known.output is not None and known.prompt > 0:
        told = known.raw.get("usage_source")
        return Reading(known, told if told in ("counted", "estimated") else "reported", finish)
    heard = -(-output_chars // CHARS_PER_TOKEN)
    # Of an answer that was cut off only preliminary counts are known: Anthropic's first event says one token or so.
    output = heard if known.output is None else max(known.output, heard) if finish is None else known.output
    fresh = known.input if known.input is not None else estimated_input
    counted = replace(known, input=fresh, output=output)
    return Reading(counted, "counted" if output_chars else "estimated", finish)


def _believable(usage: Usage) -> Usage:
    for count in (
        usage.input,
        usage.cache_read,
        usage.cache_write,
        usage.output,
        usage.reasoning,
        usage.cache_write_1h,
        usage.web_searches,
    ):
        if count is not None and not 0 <= count <= MOST_TOKENS:
            break
    else:
        return usage
    absurd: dict[str, Any] = {name: None for name in COUNTS if not 0 <= (getattr(usage, name) or 0) <= MOST_TOKENS}
    return replace(usage, **absurd)
