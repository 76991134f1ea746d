"""Live events: one snapshot for who comes new, then named deltas, for `GET /api/events` and `logs -f`.

A slow reader never holds anybody up: its queue is bounded, and when it is full the reader is sent away to come back
for a new snapshot (EventSource does that by itself).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

QUEUE = 500
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the line open."""

_encoder = msgspec.json.Encoder()


class Live:
    """The broadcaster of one process."""

    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes | None]] = set()
        self._waiting: set[asyncio.Future[bool]] = set()
        self._closed = False
        self.era = 0
        """Whose stream began in another one is no longer wanted here."""

    @property
    def listening(self) -> bool:
        """False: nobody looks, so nothing need be built."""
        return bool(self._readers or self._waiting)

    @property
    def watched(self) -> bool:
        """Some dashboard is open."""
        return bool(self._readers)

    async def next_request(self, within: float) -> bool:
        """Waits until a request is opened or settled in this process, `within` seconds at most. False: everybody is sent away."""
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            if not self._closed:
                await asyncio.wait((waiting,), timeout=within)
        finally:
            self._waiting.discard(waiting)
        return not self._closed and (not waiting.done() or waiting.result())

    def _wake(self, goes_on: bool = True) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(goes_on)

    def publish(self, name: str, value: Any) -> None:
        """Send one named delta to every reader."""
        if name == "request":
            self._wake()
        if not self._readers:
            return
        event = encode(name, value)
        for queue in tuple(self._readers):
            if queue.full():
                self._readers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)
                continue
            queue.put_nowait(event)

    def close(self) -> None:
        """End every stream: the server is going down."""
        self._closed = True
        self.send_away()

    def send_away(self) -> None:
        """End every stream that is open: what opened it may not hold any more. Who comes back is let in, or not."""
        self.era += 1
        self._wake(goes_on=False)
        for queue in tuple(self._readers):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        self._readers.clear()

    async def stream(self, snapshot: Callable[[], Any]) -> AsyncGenerator[bytes, None]:
        """Bytes of one reader's event stream. `snapshot` is called after subscribing, so that nothing falls between."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE)
        self._readers.add(queue)
        try:
            value = snapshot()
            yield encode("snapshot", await value if asyncio.iscoroutine(value) else value)
            while True:
                try:
                    async with asyncio.timeout(HEARTBEAT):
                        event = await queue.get()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield event
        finally:
            self._readers.discard(queue)


def encode(name: str, value: Any) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + _encoder.encode(value) + b"\n\n"
