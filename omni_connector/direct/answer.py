"""An answer that is being received: what the connection puts in, and the caller takes out."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Protocol

from omni_connector.direct.decoding import READ, UNREADABLE, Decoder
from omni_connector.direct.faults import BrokenOff, DirectError, Unreadable, told

NO_HEADERS: Mapping[str, str] = {}

Take = Callable[[bytes], bool]
"""Takes a piece, whatever it answers. False: no more for now."""


class Source(Protocol):
    """Where the bytes come from."""

    def resume(self) -> None:
        """There is room again."""

    def abort(self) -> None:
        """Nobody waits any more."""


class Answer:
    """`upstream.Exchange` on a direct connection. `status` and `headers` hold once `begun` has returned."""

    __slots__ = (
        "_decoder",
        "_fault",
        "_loop",
        "_pieces",
        "_raised",
        "_refused",
        "_source",
        "_take",
        "_unpacks",
        "_waiter",
        "headers",
        "host",
        "is_complete",
        "is_full",
        "size",
        "status",
    )

    def __init__(self, source: Source, host: str, loop: asyncio.AbstractEventLoop, *, unpacks: bool = True) -> None:
        """`unpacks`: what is compressed; else it is read as it came."""
        self._source: Source | None = source
        self._loop = loop
        self._pieces: list[bytes] = []
        self._decoder: Decoder | None = None
        self._fault: DirectError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._take: Take | None = None
        self._refused = False
        """Who takes wants no more, which his task does not know yet."""
        self._raised: BaseException | None = None
        """What his taking ended with."""
        self._unpacks = unpacks
        self.host = host
        self.status = 0
        self.headers: Mapping[str, str] = NO_HEADERS
        self.is_complete = False
        """Everything has come, which says nothing of what was read."""
        self.size = 0
        """Bytes that wait to be read."""
        self.is_full = False
        """The source was stopped, as nobody reads."""

    # ------------------------------------------------------------ for the caller

    async def begun(self) -> None:
        """Waits for status and headers. Raises DirectError."""
        while not self.status:
            if self._fault is not None:
                raise self._fault
            await self._wait()

    async def read(self) -> bytes:
        """The next bytes as soon as there are some, b"" at the end. Safe to cancel and call again. Raises GatewayError."""
        while True:
            if piece := self._next():
                return piece
            if self.is_complete:
                return b""
            await self._wait()

    async def pass_on(self, take: Take) -> bool:
        """Gives each piece to `take`, in the very turn of the loop that brings it, so that this task need not be woken for it. True: it
        wants no more for now; False: this is the end. Safe to cancel and call again. Raises GatewayError, and whatever `take` does."""
        # A callback of the connection has the context of the request that opened it: what is logged would be somebody else's.
        run = copy_context().run
        self._take = lambda piece: run(take, piece)
        try:
            while not (self._refused or self._raised):
                if piece := self._next():
                    if not take(piece):
                        return True
                elif self.is_complete:
                    return False
                else:
                    await self._wait()
        finally:
            self._take = None
        self._refused, raised, self._raised = False, self._raised, None
        if raised is None:
            return True
        try:
            raise raised
        finally:
            del raised  # it leads to this frame

    @property
    def is_here(self) -> bool:
        """All of it has come and can be read as it is: whoever reads it waits for nothing."""
        return self.is_complete and self._decoder is None

    def close(self) -> None:
        """Let go: an unfinished connection is cut off, so that the provider notices. A finished one is long back in the pool."""
        self._pieces.clear()
        self._decoder = self._raised = None
        source = self._source
        if source is not None:
            self.fail(BrokenOff())
            source.abort()
        if self._fault is not None:
            self._fault = BrokenOff()  # what was raised holds whoever it passed through, and they hold us

    # ------------------------------------------------------------ for the connection

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """The head has come."""
        coding = headers.get("content-encoding")
        if coding is not None and self._unpacks:
            coding = coding.lower()
            if coding in READ:
                self._decoder = Decoder(coding)
            elif coding in UNREADABLE:
                self._fault = Unreadable()
                return
        self.status = status
        self.headers = headers

    def add(self, piece: bytes) -> None:
        """A piece of the body, as it came. The connection wakes the reader when it has added all there is."""
        self._pieces.append(piece)
        self.size += len(piece)

    def end(self) -> None:
        """All of it has come."""
        self._source = None
        self.is_complete = True
        self.wake()

    def fail(self, fault: DirectError) -> None:
        """No more will come. What came before is still read first."""
        self._source = None
        if self._fault is None:
            self._fault = fault
        self.wake()

    def wake(self) -> None:
        """There is something new."""
        waiter = self._waiter
        if waiter is None:
            return
        if self._take is not None and self._pieces and self._decoder is None and not (self._refused or self._raised):
            try:
                self._refused = not self._take(self._all())
            except BaseException as error:  # noqa: BLE001 - it is raised in the task that wants the pieces
                self._raised = error
            if not (self._refused or self._raised or self.is_complete or self._fault):
                return
        self._waiter = None
        if not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------ within

    def _next(self) -> bytes:
        """What there is, b"" for nothing yet or no more. Raises GatewayError."""
        if (self._pieces or self._decoder is not None) and (piece := self._unpacked()):
            return piece
        if self._fault is not None:
            raise told(self._fault, self.host) from self._fault
        return b""

    async def _wait(self) -> None:
        waiter = self._waiter = self._loop.create_future()
        await waiter

    def _unpacked(self) -> bytes:
        decoder = self._decoder
        if decoder is None:
            return self._all()
        try:
            piece = decoder.step(b"" if decoder.is_pending else self._all())
        except zlib.error:
            self._damaged()
            return b""
        if not piece and self.is_complete and not decoder.is_whole:
            self._damaged()
        return piece

    def _damaged(self) -> None:
        source = self._source
        self._decoder = None
        self._pieces.clear()
        self.fail(BrokenOff())
        if source is not None:
            source.abort()

    def _all(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.size = 0
        if self.is_full and self._source is not None:
            self._source.resume()
        return piece
