"""What HTTP/1.1 says: one answer as bytes, written as h11 writes. Pure: what is read is `http1`'s, the socket is `connections`'."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from time import time

from omni_connector.http1 import FRAMING, Asked, Headers

BODILESS = (204, 304)
"""Statuses whose answers have no body, whatever their headers say (RFC 9112 §6.3)."""
CLOSE = (b"connection", b"close")
LAST_CHUNK = b"0\r\n\r\n"
WITHOUT_WORDS = ((b"content-length", b"0"), CLOSE)
"""The headers of an answer that is a status and the end of the connection."""


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


class Answer:
    """One answer, piece by piece. `keep`: the connection may go on after it; `chunked`: nobody knows how long its body will be."""

    __slots__ = ("_asked", "_is_last", "_is_silent", "_left", "begun", "chunked", "done", "keep")

    def __init__(self, asked: Asked | None = None, is_last: bool = False) -> None:
        """`asked`: None for what is no request. `is_last`: no more than this one is answered here."""
        self._asked = asked
        self._is_last = is_last
        self._is_silent = False
        self._left: int | None = 0
        """Bytes that are still to come; None: nobody knows."""
        self.begun = self.done = self.chunked = False
        self.keep = asked is None or asked.keep

    def head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """As h11 does: a body without a length goes in chunks, to HTTP/1.0 until the connection ends. Raises ValueError for a
        header that would be more than one, or none."""
        method, version, keep = (self._asked.method, self._asked.version, self._asked.keep) if self._asked else ("", "1.1", True)
        given = [(bytes(name).strip(), bytes(value).strip()) for name, value in headers]
        if self._is_last:
            given.append(CLOSE)
        length, is_coded, options = _framing(given)
        added = [(b"date", CLOCK.date())]
        dropped: tuple[bytes, ...] = ()
        left, chunked = length, False
        if status in BODILESS:
            left = 0
        elif is_coded or length is None:
            left, dropped = None, FRAMING
            if version == "1.1":
                chunked = method != "HEAD"
                added.append((b"Transfer-Encoding", b"chunked"))
            elif method != "HEAD":
                keep = False
        if not keep:
            dropped = (*dropped, b"connection")
            options = sorted({*options, b"close"} - {b"keep-alive"})
            added += [(b"Connection", option) for option in options]
        if dropped:
            given = [header for header in given if header[0].lower() not in dropped]
        lines = [b"%s: %s" % header for header in (*given, *added)]
        head = b"HTTP/1.1 %d \r\n%s\r\n\r\n" % (status, b"\r\n".join(lines))
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2 or b"\0" in head or b"\n:" in head:
            raise ValueError("a header of the answer has a line break in it, or no name")
        self._is_silent = method == "HEAD" or status in BODILESS
        self._left, self.chunked = 0 if method == "HEAD" else left, chunked
        self.keep = self.keep and b"close" not in options
        self.begun = True
        return head

    def piece(self, data: bytes) -> bytes:
        """Some of the body. Raises RuntimeError for more than the head promised."""
        if not data or self._is_silent:
            return b""
        if self.chunked:
            return b"%x\r\n%s\r\n" % (len(data), data)
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                raise RuntimeError("the answer is longer than its Content-Length")
        return data

    def end(self) -> bytes:
        """Of the body. Raises RuntimeError for less than the head promised."""
        if self._left:
            raise RuntimeError("the answer is shorter than its Content-Length")
        self.done = True
        return LAST_CHUNK if self.chunked else b""


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
