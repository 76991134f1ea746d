"""HTTP/1.1 as it is read: httptools (llhttp) finds heads and bodies, and what it lets pass but could be read in two ways is refused here.

Stricter than h11, which was here before: a bare LF, a folded header, a second equal Content-Length and control characters in a value are
refused (RFC 9112 §2.2, §5.2, §6.3 let a server do so). Pure: bytes in, events out; `speaking` and `connections` do the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import httptools

from omni_connector.values import dataclass

Headers = list[tuple[bytes, bytes]]

TARGET = re.compile(rb"[\x21-\x7e]+")
VERSIONS = ("1.1", "1.0")
BAD, TOO_LONG, UNKNOWN_CODING = 400, 431, 501
FRAMING = (b"content-length", b"transfer-encoding")


def fault(version: str, target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """The status that refuses a head which llhttp lets pass, 0 for none. Names of headers are in lower case."""
    hosts = codings = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked":
                return UNKNOWN_CODING
    if codings > 1:
        return UNKNOWN_CODING
    if version not in VERSIONS or hosts > 1 or (hosts == 0 and version == "1.1") or not TARGET.fullmatch(target):
        return BAD
    return 0


def size(target: bytes, headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Bytes of a head, about."""
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers)


def refusal(error: httptools.HttpParserError) -> int:
    """The status for what llhttp does not read: it refuses a second coding itself."""
    return UNKNOWN_CODING if "`Transfer-Encoding` header value" in str(error) else BAD


# ---------------------------------------------------------------- What is read


@dataclass(slots=True)
class Asked:
    """The head of a request. `keep`: the client wants to ask again; `expects`: it waits for "100 Continue"."""

    method: str
    target: bytes
    version: str
    headers: Headers
    keep: bool
    expects: bool = False
    upgrade: bytes = b""


Piece = tuple[bytes, bool]
"""Of a body, and whether more of it comes."""


class Parser:
    """Bytes → heads, pieces of bodies, and at the end perhaps the status with which the rest is refused."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes that a head (or what stands between the pieces of a body) may have."""
        self._limit = limit
        self._said: list[Asked | Piece | int] = []
        self._body: list[bytes] = []
        self._headers: Headers = []
        self._target = b""
        self._keep = True
        self._in_head = self._replaying = self._is_over = False
        self._idle_bytes = self._fed = 0
        self.is_between = True
        """Between two requests: here a client may leave."""
        self.rest = b""
        """What came after a head that asks for a WebSocket."""
        self._llhttp = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> list[Asked | Piece | int]:
        said: list[Asked | Piece | int] = []
        self._said = said
        if self._is_over:
            return said
        self._fed = self._idle_bytes + len(data)
        try:
            self._read(data)
        except httptools.HttpParserError as error:
            self._fail(refusal(error))
        if self._body:
            self._piece(True)
        if said:
            self._idle_bytes = 0
        else:
            self._idle_bytes = self._fed
            if self._fed > self._limit:
                self._fail(TOO_LONG)
        return said

    def _read(self, data: bytes) -> None:
        while True:
            try:
                self._llhttp.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            if self._is_over:
                return
            asked = cast(Asked, self._said[-1])
            if is_websocket(asked):
                self._is_over = True
                self.rest = data
                return
            # llhttp believes that another protocol begins here. We speak no other, so what follows is the body, and then the next request.
            framing = [b"%s: %s\r\n" % header for header in asked.headers if header[0] in FRAMING]
            self._replaying = True
            self._llhttp = httptools.HttpRequestParser(self)
            self._llhttp.feed_data(b"POST / HTTP/1.1\r\nHost: a\r\n%s\r\n" % b"".join(framing))

    def _piece(self, more: bool) -> None:
        self._said.append((b"".join(self._body), more))
        self._body = []

    def _fail(self, status: int) -> None:
        if self._is_over:
            return
        if self._body:
            self._piece(True)
        self._said.append(status)
        self._is_over = True

    # ------------------------------------------------------------ called by llhttp

    def on_message_begin(self) -> None:
        self._in_head = True
        self.is_between = False
        if not self._replaying:
            self._target = b""
            self._headers = []

    def on_url(self, target: bytes) -> None:
        if not self._replaying:
            self._target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and not self._replaying:  # else it is a trailer: nobody wants them
            self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._replaying or self._is_over:
            return
        http = self._llhttp
        version = http.get_http_version()
        is_long = self._fed > self._limit and size(self._target, self._headers) > self._limit
        status = TOO_LONG if is_long else fault(version, self._target, self._headers)
        if status:
            self._fail(status)
            return
        method = http.get_method().decode("ascii")
        self._keep = version == "1.1" and method != "CONNECT" and http.should_keep_alive()
        asked = Asked(method, self._target, version, self._headers, self._keep)
        for name, value in self._headers:
            if name == b"expect":
                asked.expects = version == "1.1" and b"100-continue" in value.lower()
            elif name == b"upgrade" and http.should_upgrade():
                asked.upgrade = value.lower()
        self._said.append(asked)

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._is_over:
            return
        if self._llhttp.should_upgrade() and not self._replaying and self._keeps_protocol:
            return  # its body, if it has one, is still to come: `_read`
        self._piece(False)
        self._replaying = False
        self.is_between = True
        self._is_over = not self._keep

    @property
    def _keeps_protocol(self) -> bool:
        """CONNECT is answered like any other method, and ends the connection, as its body is none of HTTP's."""
        return isinstance(self._said[-1], Asked) and self._said[-1].method != "CONNECT"


def is_websocket(asked: Asked) -> bool:
    return asked.upgrade == b"websocket" and asked.method == "GET"
