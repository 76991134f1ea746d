"""Server-sent events, bytes in and bytes out (WHATWG HTML, §9.2 "Server-sent events").

A decoder of our own because the usual line splitters tear JSON: U+2028 and U+0085 are text here, only LF, CRLF and CR
end a line. It is also kinder than the standard in one way that providers need: a last event without its blank line counts.
"""

from __future__ import annotations

from omni_connector.errors import GatewayError, Kind
from omni_connector.values import dataclass

MAX_EVENT = 64 * 1024 * 1024
"""Bytes one event may have; an upstream that never ends a line must not eat the memory."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    event: str
    """The `event:` field, "" when absent."""
    data: bytes


class Decoder:
    """Push bytes, get complete events; the input may be split anywhere.

    Raises GatewayError (UPSTREAM_FAILED) for an event larger than MAX_EVENT.
    """

    __slots__ = ("_after_cr", "_buffer", "_data", "_event", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._event = ""
        self._size = 0
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        if self._after_cr and chunk:
            # A CR ended the last chunk: the LF of a CRLF split between chunks must not end a second line.
            self._after_cr = False
            if chunk[:1] == b"\n":
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return self._lines(chunk)

    def close(self) -> list[ServerEvent]:
        """End of input: an unfinished last event counts when it holds data."""
        events = self._lines(b"\n") if self._buffer else []
        last = self._dispatch()
        return [*events, last] if last is not None else events

    def _lines(self, text: bytes) -> list[ServerEvent]:
        if b"\n" not in text:
            self._buffer += text
            self._check_size()
            return []
        if self._buffer:
            text = bytes(self._buffer) + text
            self._buffer.clear()
        *lines, rest = text.split(b"\n")
        if rest:
            self._buffer += rest
        events: list[ServerEvent] = []
        for line in lines:
            if line[:6] == b"data: ":
                self._data.append(line[6:])
                self._size += len(line) - 6
                continue
            if line:
                self._field(line)
                continue
            event = self._dispatch()
            if event is not None:
                events.append(event)
        self._check_size()
        return events

    def _check_size(self) -> None:
        if self._size + len(self._buffer) > MAX_EVENT:
            raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent an event of more than {MAX_EVENT >> 20} MB.")

    def _field(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
            self._size += len(line) - 5
        elif line.startswith(b"event:"):
            self._event = line[6:].strip().decode("utf-8", "replace")
        elif line == b"data":
            self._data.append(b"")

    def _dispatch(self) -> ServerEvent | None:
        event, self._event = self._event, ""
        if not self._data:
            return None
        data = b"\n".join(self._data) if len(self._data) > 1 else self._data[0]
        self._data = []
        self._size = 0
        return ServerEvent(event, data)


def encode(data: bytes, event: str = "") -> bytes:
    """One event. `data` is a single line (JSON has no raw line breaks)."""
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"
