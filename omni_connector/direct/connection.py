"""One connection to a provider: an asyncio protocol around llhttp. One request at a time; what cannot be read in one way only is refused.

llhttp in its strict mode (no leniency is switched on) refuses: a bare LF or CR, folded lines, control characters in values, whitespace
before the colon, a second or malformed Content-Length, Content-Length beside Transfer-Encoding, chunk sizes that are not plain
hexadecimal. Here are the bounds it does not have, and what it lets pass.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from omni_connector.direct.address import Key
from omni_connector.direct.answer import Answer
from omni_connector.direct.faults import Broke, BrokenOff, DirectError, Disconnected, NotHttp, Reset

HEAD_BYTES = 64 * 1024
"""Bytes of a head; also what may stand between two pieces of a body (sizes and extensions of chunks, trailers), or come as 1xx answers."""
HEADERS = 1000
HIGH = 256 * 1024
"""Bytes that wait unread before the provider is kept from sending more."""
JOINED = 64 * 1024
"""Bytes of a body that are copied to its head, to go out as one."""
SLICE = 1 << 19
"""Bytes of a body that are handed to the transport at once. In one piece, a large one would be copied whole into its buffer."""

VERSIONS = ("1.1", "1.0")
BODILESS = (204, 304)
NAMES_KEPT = 512

_names: dict[bytes, str] = {}
"""Names of headers as they come → in lower case."""


def _lowered(name: bytes) -> str:
    lowered = name.decode("latin-1").lower()
    if len(_names) < NAMES_KEPT:
        _names[name] = lowered
    return lowered


class Owner(Protocol):
    """Who holds the connections."""

    def rest(self, connection: Connection) -> None:
        """It can take another request."""

    def gone(self, connection: Connection) -> None:
        """It takes no more requests: lost, or given up."""

    def closed(self, connection: Connection) -> None:
        """Its transport is gone too. The last that is heard of it."""


class Connection(asyncio.Protocol):
    """Made by the loop, once TLS is through. Its owner hears when it may be used again and when it is gone."""

    def __init__(self, owner: Owner, key: Key, loop: asyncio.AbstractEventLoop) -> None:
        self.key = key
        self.since = 0.0
        """When it began to rest, on the loop's clock; the owner's."""
        self._owner = owner
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None
        self._unsent: memoryview | None = None
        self._is_jammed = False
        self._pairs: list[tuple[str, str]] = []
        self._is_head = self._in_head = self._until_end = False
        self._keep = self._is_spoiled = self._has_progress = self._was_used = False
        self._idle_bytes = 0

    # ------------------------------------------------------------ sending

    def ask(self, head: bytes, body: bytes, host: str, *, is_head: bool = False, unpacks: bool = True) -> Answer:
        """Sends a request; what comes back goes into the answer. `is_head`: to HEAD, so no body comes. `host`: for messages."""
        answer = self._answer = Answer(self, host, self._loop, unpacks=unpacks)
        self._in_head = True
        self._is_head = is_head
        self._keep = self._until_end = False
        self._idle_bytes = 0
        size = len(body)
        if size <= JOINED:
            self._transport.write(head + body)
        elif size <= SLICE:
            self._transport.writelines((head, body))
        else:
            self._transport.write(head)
            self._unsent = memoryview(body)
            self._pump()
        return answer

    def _pump(self) -> None:
        while self._unsent is not None and not self._is_jammed and not self._transport.is_closing():
            piece = self._unsent[:SLICE]
            self._unsent = self._unsent[SLICE:] if len(self._unsent) > SLICE else None
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._is_jammed = True

    def resume_writing(self) -> None:
        self._is_jammed = False
        self._pump()

    # ------------------------------------------------------------ the transport

    @property
    def is_open(self) -> bool:
        return not self._transport.is_closing()

    def resume(self) -> None:
        """The answer was read: the provider may send on."""
        answer = self._answer
        if answer is not None and answer.is_full:
            answer.is_full = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cuts off, without waiting for what was not sent or for TLS to say goodbye."""
        answer, self._answer, self._unsent = self._answer, None, None
        self._owner.gone(self)
        self._transport.abort()
        if answer is not None:
            answer.fail(BrokenOff())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.gone(self)
        self._owner.closed(self)
        answer, self._answer, self._unsent = self._answer, None, None
        del self._parser  # it holds on to us
        if answer is None:
            return
        if not self._in_head:
            if self._until_end and exc is None:
                answer.end()
            else:
                answer.fail(BrokenOff())
        elif self._idle_bytes:
            answer.fail(BrokenOff())
        elif exc is None:
            answer.fail(Disconnected())
        else:
            answer.fail(Reset() if self._was_used and isinstance(exc, ConnectionError) else Broke())

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:  # nobody asked: a server that gives up, or one that lies
            self.abort()
            return
        self._has_progress = False
        self._idle_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not answer.is_complete:
                self._fail(NotHttp() if self._in_head else BrokenOff())
                return
            self._is_spoiled = True
        if answer.is_complete:
            self._finish()
        elif self._has_progress:
            self._idle_bytes = 0
            if answer.size > HIGH and not answer.is_full:
                answer.is_full = True
                self._transport.pause_reading()
        elif self._idle_bytes > HEAD_BYTES:
            self._fail(NotHttp() if self._in_head else BrokenOff())
            return
        answer.wake()

    def _fail(self, fault: DirectError) -> None:
        if self._answer is not None:
            self._answer.fail(fault)
        self.abort()

    def _finish(self) -> None:
        """Everything has come. Whatever is not as it must be for another request ends the connection."""
        answer, self._answer = self._answer, None
        if not self._keep or self._is_spoiled or self._unsent is not None or self._transport.is_closing():
            self.abort()
            return
        if answer is not None and answer.is_full:
            self._transport.resume_reading()
        self._was_used = True
        self._owner.rest(self)

    # ------------------------------------------------------------ called by llhttp

    def on_message_begin(self) -> None:
        if not self._in_head:
            self._is_spoiled = True  # another answer, and nobody asked for it

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else it is a trailer: nobody wants them
            self._pairs.append((_names.get(name) or _lowered(name), value.rstrip(b" \t").decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        answer = self._answer
        if answer is None or not self._in_head:
            return
        parser = self._parser
        pairs, self._pairs = self._pairs, []
        status = parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:  # we asked for no other protocol
                raise ValueError("not an answer")
            return
        headers = dict(pairs)
        is_large = self._idle_bytes > HEAD_BYTES and _size(pairs) > HEAD_BYTES
        if is_large or len(pairs) > HEADERS or parser.get_http_version() not in VERSIONS:
            raise ValueError("a head that is not taken")
        codings = "transfer-encoding" in headers
        if codings and [value.lower() for name, value in pairs if name == "transfer-encoding"] != ["chunked"]:
            raise ValueError("a coding that cannot be read")
        self._in_head = False
        self._has_progress = True
        self._until_end = not codings and "content-length" not in headers and status not in BODILESS
        answer.begin(status, headers)
        if self._is_head:
            self._is_spoiled = True  # llhttp takes what follows for the body: it cannot tell
            answer.end()

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is not None and not answer.is_complete:
            self._has_progress = True
            answer.add(data)

    def on_message_complete(self) -> None:
        answer = self._answer
        if answer is None or self._in_head or answer.is_complete:
            return
        self._keep = self._parser.should_keep_alive()
        answer.end()


def _size(pairs: list[tuple[str, str]]) -> int:
    return sum([len(name) + len(value) + 4 for name, value in pairs])
