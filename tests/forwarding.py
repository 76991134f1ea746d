"""A forward proxy on loopback that changes nothing: whatever is sent through it takes the general client, and breaks as it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

THROUGH_PROXY = os.environ.get("OMNI_TEST_TRANSPORT", "direct") == "httpx2"
"""The same tests on both transports. direct: through our own client; httpx2: through a proxy, which takes the general client."""


class Forwarder:
    """Every connection to it becomes one to the host that its first request names."""

    def __init__(self) -> None:
        self.url = ""
        self.taken = 0
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is None:
            return
        self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        self.taken += 1
        try:
            await self._forward(reader, writer)
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._running.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = urlsplit(head.split(b" ", 2)[1].decode())
        assert target.hostname and target.port, "an origin that a test made"
        try:
            there, onward = await asyncio.open_connection(target.hostname, target.port)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return
        try:
            onward.write(head)
            both = [asyncio.ensure_future(self._pipe(reader, onward)), asyncio.ensure_future(self._pipe(there, writer))]
            try:
                done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in both:
                    each.cancel()
                await asyncio.gather(*both, return_exceptions=True)
            for each in done:
                each.result()
        finally:
            onward.transport.abort()

    async def _pipe(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Until one side ends: its end, however it came, is the end of both."""
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[str]:
    """The address of one that must have been used, "" where none is wanted."""
    if not THROUGH_PROXY:
        yield ""
        return
    forwarder = Forwarder()
    await forwarder.start()
    try:
        yield forwarder.url
        assert forwarder.taken, "nothing went through it"
    finally:
        await forwarder.stop()
