"""Parts of an answer that overlap → parts in a row, for formats in which one thing follows the other.

Some providers tell parallel calls in turns. A part that begins while another is open waits until that one is complete.
"""

from __future__ import annotations

from omni_connector.chat import Annotation, Delta, OpaqueDelta, PartEnd, PartStart

PartEvent = PartStart | Delta | OpaqueDelta | Annotation | PartEnd


class InTurn:
    """Push the events of parts, get them in an order in which at most one part is open. Events of a part that never began,
    or is over, are left out."""

    __slots__ = ("_current", "_waiting")

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[PartEvent]] = {}
        """Parts that began later, in order of their beginning, with all that was said of them meanwhile."""

    def feed(self, event: PartEvent) -> list[PartEvent]:
        if event.index == self._current:
            return self._end(event) if isinstance(event, PartEnd) else [event]
        if isinstance(event, PartStart):
            if self._current is None:
                self._current = event.index
                return [event]
            self._waiting[event.index] = [event]
            return []
        waiting = self._waiting.get(event.index)
        if waiting is not None and not isinstance(waiting[-1], PartEnd):
            waiting.append(event)
        return []

    def close(self) -> list[PartEvent]:
        """The answer is over: what is still open ends, in order."""
        out: list[PartEvent] = []
        while self._current is not None:
            out += self._end(PartEnd(self._current))
        return out

    def _end(self, event: PartEvent) -> list[PartEvent]:
        out = [event]
        self._current = None
        while self._waiting and self._current is None:
            index = next(iter(self._waiting))
            events = self._waiting.pop(index)
            out += events
            if not isinstance(events[-1], PartEnd):
                self._current = index
        return out
