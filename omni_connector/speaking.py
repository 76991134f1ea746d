"""What one HTTP/1.1 connection of Hypercorn says, without h11: read by `http1`, written as h11 writes. Of the socket it knows nothing
(`connections`). Hypercorn keeps its WebSockets and its words to an app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from email.utils import formatdate
from time import time
from typing import Any, cast

from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Body, EndBody, Request, Response, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream

from omni_connector.http1 import BAD, FRAMING, Asked, Headers, Parser, Piece, is_websocket

BODILESS = (204, 304)
"""Statuses whose answers have no body, whatever their headers say (RFC 9112 §6.3)."""


class Head(RawData):
    """May wait for what follows, until the next turn of the loop: one packet instead of two."""


class Refused(Closed):
    """Closed, but the client may be sending still: cut off at once it would not get to read why."""


class Clock:
    """The Date header of this second."""

    def __init__(self) -> None:
        self._second = 0
        self._date = b""

    def date(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode("ascii")
        return self._date


CLOCK = Clock()


class Http1(H11Protocol):
    """What one connection says. A WebSocket is left to h11, from its handshake on."""

    def __init__(self, *given: Any) -> None:
        """As H11Protocol."""
        super().__init__(*given)
        self._parser = Parser(self.config.h11_max_incomplete_size)
        self._asked: Asked | None = None
        self._switched = False
        self._over = False
        """Nothing more is said."""
        self._gone = False
        """Nothing more is heard."""
        self._more = False
        """Of the request's body."""
        self._begun = self._done = False
        """The answer."""
        self._keep = True
        self._left: int | None = 0
        """Bytes of the answer that are still to come; None: nobody knows."""
        self._chunked = False
        self.write: Callable[[bytes], bool] | None = None
        """Writes bytes at once, or says False and does nothing."""

    async def handle(self, event: Event) -> None:
        if self._switched:
            await super().handle(event)
        elif isinstance(event, RawData):
            await self.received(event.data)
        elif isinstance(event, Closed):
            self._gone = True
            self._keep = False
            await self._close_stream()
            await self.can_read.set()

    async def received(self, data: bytes) -> None:
        """b"": the client says no more."""
        said: Sequence[Asked | Piece | int]
        if data:
            said = self._parser.feed(data)
        else:
            self._keep = False
            said = () if self._parser.is_between else (BAD,)
        for one in said:
            if isinstance(one, tuple):
                await self._body(*one)
                continue
            if not self._more:
                await self._turn()
            if self._over or self._gone:
                return
            if isinstance(one, int):
                await self._refuse(one)
            elif is_websocket(one):
                await self._switch(one)
            else:
                await self._request(one)

    async def _turn(self) -> None:
        """Until the answer before is out."""
        while self.stream is not None:
            await self.can_read.clear()
            await self.can_read.wait()

    async def _request(self, asked: Asked) -> None:
        await self.send(Updated(idle=False))
        self._asked = asked
        self._more = True
        self._begun = self._done = False
        self._keep = asked.keep
        self.keep_alive_requests += 1
        stream = HTTPStream(
            self.app, self.config, self.context, self.task_group, self.ssl, self.client, self.server, self.stream_send, STREAM_ID
        )
        self.stream = stream
        await stream.handle(Request(STREAM_ID, asked.headers, asked.version, asked.method, asked.target, self.connection_state))
        if asked.expects:
            await self.send(RawData(b"HTTP/1.1 100 \r\ndate: %s\r\n\r\n" % CLOCK.date()))

    async def _body(self, data: bytes, more: bool) -> None:
        self._more = more
        if self.stream is not None:
            await cast(HTTPStream, self.stream).app_put({"type": "http.request", "body": data, "more_body": more})

    async def _refuse(self, status: int) -> None:
        if not self._begun or self._done:
            await self._head(status, [(b"content-length", b"0"), (b"connection", b"close")])
        self._over = True
        await self.send(Refused())

    async def _switch(self, asked: Asked) -> None:
        self._switched = True
        head = [f"{asked.method} ".encode(), asked.target, f" HTTP/{asked.version}\r\n".encode()]
        head += [b"%s: %s\r\n" % header for header in asked.headers]
        await super().handle(RawData(b"".join((*head, b"\r\n", self._parser.rest))))

    # ------------------------------------------------------------ the answer

    async def stream_send(self, event: StreamEvent) -> None:
        if self._switched:
            await super().stream_send(event)
        elif self._over:
            return
        elif isinstance(event, Body):
            await self._data(event.data)
        elif isinstance(event, Response):
            await self._head(event.status_code, event.headers)
        elif isinstance(event, EndBody):
            await self._end()
        elif isinstance(event, StreamClosed):
            await self._maybe_recycle()

    async def _head(self, status: int, headers: Headers) -> None:
        """As h11 does: a body without a length goes in chunks, to HTTP/1.0 until the connection ends. Raises ValueError for a
        header that would be more than one."""
        method, version, keep = (self._asked.method, self._asked.version, self._asked.keep) if self._asked else ("", "1.1", True)
        if self.keep_alive_requests >= self.config.keep_alive_max_requests:
            headers = [*headers, (b"connection", b"close")]
        length, is_coded, options = _framing(headers)
        added = [(b"date", CLOCK.date())]
        dropped: tuple[bytes, ...] = ()
        self._left, self._chunked = length, False
        if status in BODILESS:
            self._left = 0
        elif is_coded or length is None:
            self._left, dropped = None, FRAMING
            if version == "1.1":
                self._chunked = method != "HEAD"
                added.append((b"Transfer-Encoding", b"chunked"))
            elif method != "HEAD":
                keep = False
        if method == "HEAD":
            self._left = 0
        if not keep:
            dropped = (*dropped, b"connection")
            options = sorted({*options, b"close"} - {b"keep-alive"})
            added += [(b"Connection", option) for option in options]
        self._keep = self._keep and b"close" not in options
        if dropped:
            headers = [header for header in headers if header[0].lower() not in dropped]
        lines = [b"%s: %s" % header for header in (*headers, *added)]
        head = b"HTTP/1.1 %d \r\n%s\r\n\r\n" % (status, b"\r\n".join(lines))
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2 or b"\0" in head:
            raise ValueError("a header of the answer has a line break in it")
        self._begun = True
        await self.send(Head(head))

    async def _data(self, data: bytes) -> None:
        if not data:
            return
        if self._chunked:
            data = b"%x\r\n%s\r\n" % (len(data), data)
        elif self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
        await self.send(RawData(data))

    def say(self, stream: object, data: bytes) -> bool:
        """A piece of a body whose length nobody knows, on its way at once; False, and nothing is said, where that is not so simple.
        `stream`: whose answer it is of."""
        if not self._chunked or not self._begun or self._done or self._over or self.stream is not stream or not data or self.write is None:
            return False
        return self.write(b"%x\r\n%s\r\n" % (len(data), data))

    async def _end(self) -> None:
        if self._chunked:
            await self.send(RawData(b"0\r\n\r\n"))
        elif self._left:
            raise RuntimeError("the answer is shorter than its Content-Length")
        self._done = True

    async def _maybe_recycle(self) -> None:
        """After an answer: the connection goes on only when both sides are through with it."""
        if self._switched:
            await super()._maybe_recycle()
            return
        await self._close_stream()
        if self._done and self._keep and not self._more and not self.context.terminated.is_set():
            await self.send(Updated(idle=True))
        else:
            self._over = True
            await self.send(Closed())
        await self.can_read.set()


def _framing(headers: Headers) -> tuple[int | None, bool, list[bytes]]:
    """Content-Length, whether there is a Transfer-Encoding, and the options of Connection."""
    length, is_coded, options = None, False, []
    for name, value in headers:
        match name.lower():
            case b"content-length":
                length = int(value)
            case b"transfer-encoding":
                is_coded = True
            case b"connection":
                options += [option.strip() for option in value.lower().split(b",")]
    return length, is_coded, options
