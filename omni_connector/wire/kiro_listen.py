"""The ear for Kiro answers that nobody translates (a probe's): the same attributes as other formats', from the events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from omni_connector.chat import Delta, Ended, Event, Failed, Finish, Finished, Origin, Usage, UsageSeen
from omni_connector.errors import GatewayError
from omni_connector.wire.kiro_stream import ResponseParser


class Listener:
    __slots__ = ("_parser", "ended", "error", "finish", "first_output", "output_chars", "usage")

    def __init__(self) -> None:
        self._parser = ResponseParser(Origin("", ""))
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = self.first_output = False
        self.output_chars = 0

    def feed(self, chunk: bytes) -> None:
        self._hear(self._parser.feed(chunk))

    def close(self) -> None:
        self._hear(self._parser.close())

    def whole(self, body: Any) -> None:
        self._hear(self._parser.whole(body))

    def _hear(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Delta():
                    self.output_chars += len(event.text)
                    self.first_output = True
                case UsageSeen():
                    self.usage = event.usage
                case Finished():
                    self.finish, self.first_output = event.reason, True
                case Failed():
                    self.error = event.error
                case Ended():
                    self.ended = True
                case _:
                    pass
