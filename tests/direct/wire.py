"""A connection without a network: what it sends is kept, what it hears is fed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from omni_connector.direct.answer import Answer
from omni_connector.direct.connection import Connection

KEY = (False, "h", 80)


class Wire(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_paused = self.is_cut = False
        self.jams: Callable[[], None] | None = None
        """Called after every write, as a full buffer would."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))
        if self.jams is not None:
            self.jams()

    def writelines(self, list_of_data: object) -> None:
        self.sent.append(b"".join(cast("tuple[bytes, ...]", list_of_data)))

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_cut

    def abort(self) -> None:
        self.is_cut = True


class Place:
    """One connection, its transport, and what its owner hears."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.heard: list[str] = []
        self.connection = Connection(self, KEY, asyncio.get_running_loop())
        self.connection.connection_made(self.wire)

    def rest(self, connection: Connection) -> None:
        self.heard.append("rest")

    def gone(self, connection: Connection) -> None:
        if "gone" not in self.heard:
            self.heard.append("gone")

    def closed(self, connection: Connection) -> None:
        self.heard.append("closed")

    def ask(self, body: bytes = b"", *, is_head: bool = False) -> Answer:
        return self.connection.ask(b"HEAD", body, "h", is_head=is_head)

    def feed(self, *pieces: bytes) -> None:
        """As a transport would: nothing after the connection was cut off."""
        for piece in pieces:
            if not self.wire.is_cut:
                self.connection.data_received(piece)

    def end(self, error: Exception | None = None) -> None:
        """The other side is gone."""
        self.wire.is_cut = True
        self.connection.connection_lost(error)


async def whole(answer: Answer) -> bytes:
    await answer.begun()
    found = b""
    while piece := await answer.read():
        found += piece
    return found
