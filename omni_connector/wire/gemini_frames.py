"""The bytes of a Gemini stream → JSON texts, one a chunk, however the bytes are cut.

With `alt=sse` each is a server-sent event; without, the stream is one JSON array told element by element (upstreams.md §3).
Errors come bare: alone, wrapped in an array, or as an object behind the last event without any framing (recorded at Vertex).
"""

from __future__ import annotations

import re

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse

_BLANK = b" \t\r\n\xef\xbb\xbf"
_STRAY = re.compile(rb"(?<=[\r\n])[{\[]")
_OUTSIDE = re.compile(rb'["{}]')
_INSIDE = re.compile(rb'["\\]')


class Frames:
    """Push bytes, get JSON texts. Raises GatewayError (UPSTREAM_FAILED) for a chunk beyond sse.MAX_EVENT."""

    __slots__ = ("_between", "_decoder", "_elements", "_fresh_line")

    def __init__(self) -> None:
        self._decoder: sse.Decoder | None = None
        self._elements: _Elements | None = None
        self._fresh_line = False
        self._between = True
        """Nothing of an event has come yet that is not told."""

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._between and chunk[:6] == b"data: " and chunk.find(b"\n") == len(chunk) - 3 and chunk[-4:] == b"\r\n\r\n":
            # Nearly every chunk of bytes is one event.
            return [chunk[6:-4]]
        if self._elements is not None:
            return self._elements.feed(chunk)
        if self._decoder is None:
            chunk = chunk.lstrip(_BLANK)
            if not chunk:
                return []
            if chunk[:1] in (b"{", b"["):
                return self._bare(chunk)
            self._decoder = sse.Decoder()
        if self._fresh_line and chunk[:1] in (b"{", b"["):
            return self._leave_events(b"", chunk)
        if b"\n{" in chunk or b"\n[" in chunk or b"\r{" in chunk:
            stray = _STRAY.search(chunk)
            if stray is not None:
                return self._leave_events(chunk[: stray.start()], chunk[stray.start() :])
        if chunk:
            self._fresh_line = chunk.endswith((b"\n", b"\r"))
            self._between = chunk.endswith((b"\n\n", b"\r\n\r\n"))
        return [event.data for event in self._decoder.feed(chunk)]

    def close(self) -> list[bytes]:
        """End of input: a last event without its blank line counts; half an element does not."""
        return [event.data for event in self._decoder.close()] if self._decoder is not None and self._elements is None else []

    def _bare(self, chunk: bytes) -> list[bytes]:
        self._between = False
        self._elements = _Elements()
        return self._elements.feed(chunk)

    def _leave_events(self, before: bytes, after: bytes) -> list[bytes]:
        if self._decoder is None:
            return self._bare(after)
        events = [*self._decoder.feed(before), *self._decoder.close()]
        return [*(event.data for event in events), *self._bare(after)]


class _Elements:
    """Cuts the outermost objects out of a JSON text. Brackets and commas between them do not matter."""

    __slots__ = ("_at", "_buffer", "_depth", "_in_text", "_start")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0
        self._start = 0
        self._depth = 0
        self._in_text = False

    def feed(self, chunk: bytes) -> list[bytes]:
        self._buffer += chunk
        found: list[bytes] = []
        while True:
            mark = (_INSIDE if self._in_text else _OUTSIDE).search(self._buffer, self._at)
            if mark is None:
                # A backslash may have told to skip a byte that is still to come.
                self._at = max(self._at, len(self._buffer))
                break
            self._at = mark.end()
            match mark[0]:
                case b'"':
                    self._in_text = not self._in_text
                case b"\\":
                    self._at += 1
                case b"{":
                    if self._depth == 0:
                        self._start = mark.start()
                    self._depth += 1
                case _ if self._depth > 0:
                    self._depth -= 1
                    if self._depth == 0:
                        found.append(bytes(self._buffer[self._start : self._at]))
                        self._start = self._at
                case _:
                    pass
        self._forget()
        return found

    def _forget(self) -> None:
        """Drops what is told already, and what stands between elements."""
        keep = self._start if self._depth else min(self._at, len(self._buffer))
        del self._buffer[:keep]
        self._at -= keep
        self._start = 0
        if len(self._buffer) > sse.MAX_EVENT:
            raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent an event of more than {sse.MAX_EVENT >> 20} MB.")
