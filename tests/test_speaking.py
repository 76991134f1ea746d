"""Connections read by httptools beside Hypercorn's own, which are read by h11: the same bytes in, the same told to the app, the same bytes
out."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.utils import wrap_app

from omni_connector.connections import Connection, Hall
from omni_connector.serving import settings_of_http
from omni_connector.speaking import Clock

Message = dict[str, Any]
TURNS = 30
"""Of the event loop, within which an app of ours has answered."""


async def app(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
    """Answers as the path says."""
    how = scope["path"].strip("/").split("/")[-1]
    body = b""
    while how != "early":
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message["more_body"]:
            break
    if how == "boom":
        raise ValueError("on purpose")
    headers = [(b"content-type", b"text/plain"), *((b"content-length", b"5") for _ in range(how not in ("chunks", "empty")))]
    headers += {"close": [(b"connection", b"close")], "both": [(b"transfer-encoding", b"chunked")], "break": [(b"x", b"a\r\nb: c")]}.get(
        how, []
    )
    status = int(how) if how.isdecimal() else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    pieces = {"chunks": [b"one", b"", b"two"], "empty": [b""], "long": [b"123456"], "short": [b"123"]}.get(how, [b"12345"])
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if how == "late":
        raise ValueError("on purpose")
    await send({"type": "http.response.body", "body": b"", "more_body": False})


class Socket:
    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 2


class Wire(asyncio.Transport):
    """A transport without a socket: what is written is kept, what is received waits while nobody reads."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"socket": Socket()})
        self.said = b""
        self.closed = self._is_closing = False
        self._reading = asyncio.Event()
        self._reading.set()
        self._protocol = protocol
        protocol.connection_made(self)

    async def receive(self, data: bytes) -> None:
        await self._reading.wait()
        if self._is_closing:
            return
        if data:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        self.said += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self.closed = self._is_closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)
            self._reading.set()

    abort = close

    def pause_reading(self) -> None:
        self._reading.clear()

    def resume_reading(self) -> None:
        self._reading.set()

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol


class Stage:
    """A protocol without a socket. `heard`: of each request what the app was told; `said`: every byte of the answers."""

    def __init__(self) -> None:
        self.heard: list[list[Any]] = []
        self.said = b""
        self.closed = False
        self.config = settings_of_http()
        self.config.errorlog = None

    async def app(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        names = ("type", "method", "raw_path", "query_string", "path", "http_version", "client", "server", "scheme", "root_path", "state")
        seen = [scope[name] for name in names]
        heard = [*seen, [tuple(header) for header in scope["headers"]], b"", "more"]
        self.heard.append(heard)

        async def listened() -> Message:
            message: Message = await receive()
            heard[-2] += message.get("body", b"")
            heard[-1] = "gone" if message["type"] == "http.disconnect" else "more" if message["more_body"] else "whole"
            return message

        await app(scope, listened, send)

    def seen(self, said: bytes, closed: bool) -> tuple[list[list[Any]], bytes, bool]:
        return [list(heard) for heard in self.heard], re.sub(rb"date: [^\r]+", b"date: now", said), closed


async def turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def ours(*pieces: bytes) -> tuple[list[list[Any]], bytes, bool]:
    stage = Stage()
    hall = Hall(stage.app, stage.config)
    wire = Wire(Connection(hall))
    feeding = []
    for piece in pieces:
        feeding.append(asyncio.ensure_future(wire.receive(piece)))
        await turns()
        if wire.closed:
            wire.close()
            await turns()
            break
    found = stage.seen(wire.said, wire.closed)
    wire.close()
    await asyncio.gather(*feeding)
    await turns()
    assert not hall.connections
    return found


async def theirs(*pieces: bytes) -> tuple[list[list[Any]], bytes, bool]:
    """As Hypercorn's `TCPServer` plays it."""
    stage = Stage()

    async def send(event: Event) -> None:
        if isinstance(event, RawData) and not stage.closed:
            stage.said += event.data
        stage.closed = stage.closed or isinstance(event, Closed)

    async with TaskGroup(asyncio.get_running_loop()) as crew:
        given: Any = (stage.config, WorkerContext(None), crew, {}, False, ("127.0.0.1", 1), ("127.0.0.1", 2), send)
        protocol = H11Protocol(wrap_app(stage.app, 0, "asgi"), *given)  # type: ignore[arg-type]
        for piece in pieces:
            feeding = asyncio.ensure_future(protocol.handle(RawData(piece)))
            await turns()
            if stage.closed or not piece:
                await protocol.handle(Closed())
                await turns()
                stage.closed = True
                break
        found = stage.seen(stage.said, stage.closed)
        await protocol.handle(Closed())
        await feeding
    return found


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1", body: bytes = b"") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *headers, "", ""]).encode("latin-1") + body


def post(path: str, *headers: str, body: bytes = b"hello", version: str = "1.1") -> bytes:
    return get(path, *headers, f"Content-Length: {len(body)}", method="POST", version=version, body=body)


def chunked(path: str, *lines: str, version: str = "1.1") -> bytes:
    return get(path, "Transfer-Encoding: chunked", method="POST", version=version, body="\r\n".join([*lines, ""]).encode())


SAME: dict[str, bytes] = {
    "whole": get("/a?b=c"),
    "escapes": get("/%61/%2f/..//x%zz?%20"),
    "absolute": get("http://localhost/a?b"),
    "marks": get("/a\"<>`{}|^\\~#f?x"),
    "star": get("*", method="OPTIONS"),
    "in chunks": get("/chunks"),
    "nothing, in chunks": get("/empty"),
    "no content": get("/204"),
    "not modified": get("/304"),
    "a strange status": get("/299"),
    "head": get("/a", method="HEAD"),
    "head of chunks": get("/chunks", method="HEAD"),
    "old": get("/a", version="1.0"),
    "old, in chunks": get("/chunks", version="1.0"),
    "old head of chunks": get("/chunks", version="1.0", method="HEAD"),
    "old, kept": get("/a", "Connection: keep-alive", version="1.0"),
    "old without a host": b"GET /a HTTP/1.0\r\n\r\n",
    "the client closes": get("/a", "Connection: close"),
    "the client closes, among others": get("/a", "Connection: foo, Close"),
    "the app closes": get("/close") + get("/a"),
    "both framings": get("/both"),
    "values": get("/a", "X-Empty:", "X-Space: \t b \t", "X-Obs: \xff\xe9", "x-two: 1", "X-Two: 2"),
    "a body": post("/a"),
    "an empty body": post("/a", body=b""),
    "a body and the next": post("/a") + post("/chunks") + get("/204"),
    "a body of chunks": chunked("/a", "3;x=y", "abc", "1", "d", "0", ""),
    "trailers": chunked("/a", "3", "abc", "0", "X-Trailer: a", "X-Other: b", "") + get("/b"),
    "old chunks": chunked("/a", "1", "x", "0", "", version="1.0"),
    "expects": post("/a", "Expect: 100-continue"),
    "expects, old": post("/a", "Expect: 100-continue", version="1.0"),
    "expects something": post("/a", "Expect: more"),
    "early": get("/early", "Content-Length: 10", method="POST", body=b"12345"),
    "early, but all is there": post("/early") + get("/a"),
    "broken app": get("/boom"),
    "broken app, later": get("/late"),
    "too long": get("/long"),
    "too short": get("/short"),
    "upgrade": get("/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk") + get("/b"),
    "upgrade with a body": post("/a", "Connection: Upgrade", "Upgrade: h2c", body=get("/smuggled")) + get("/b"),
    "upgrade with chunks": get(
        "/a", "Connection: Upgrade", "Upgrade: x", "Transfer-Encoding: chunked", method="POST", body=b"1\r\nx\r\n0\r\n\r\n" + get("/b")
    ),
    "upgrade that is none": get("/a", "Upgrade: h2c") + get("/b"),
    "websocket": get("/a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 8"),
    "websocket by POST": post("/a", "Connection: Upgrade", "Upgrade: websocket") + get("/b"),
    # Refused
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": get("/", "Host: b"),
    "two hosts, old": get("/", "Host: b", version="1.0"),
    "two lengths": get("/", "Content-Length: 5", "Content-Length: 6", method="POST", body=b"abcdef"),
    "a list of lengths": get("/", "Content-Length: 5, 6", method="POST", body=b"abcdef"),
    "no length": get("/", "Content-Length:", method="POST", body=b"abcdef"),
    "a signed length": get("/", "Content-Length: +5", method="POST", body=b"abcdef"),
    "an unknown coding": get("/", "Transfer-Encoding: xchunked", method="POST", body=b"0\r\n\r\n"),
    "two codings in one": get("/", "Transfer-Encoding: gzip, chunked", method="POST", body=b"0\r\n\r\n"),
    "a bad chunk": chunked("/a", "zz", "abc", "0", ""),
    "a negative chunk": chunked("/a", "-2", "abc", "0", ""),
    "a hexadecimal mark": chunked("/a", "0x3", "abc", "0", ""),
    "a chunk that is longer": chunked("/a", "3", "abcd", "0", ""),
    "space before the colon": get("/", "X : a"),
    "no colon": get("/", "abc"),
    "NUL": get("/", "X: a\0b"),
    "space in the path": get("/a b"),
    "not ASCII": b"GET /\xfc HTTP/1.1\r\nHost: a\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a tab": b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "good, then bad": get("/a") + get("/", "Host: b") + get("/b"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
async def test_the_same_as_h11(name: str) -> None:
    """However the bytes arrive."""
    sent = SAME[name]
    expected = await theirs(sent)
    assert await ours(sent) == expected
    for at in range(1, len(sent)):
        split = (sent[:at], sent[at:])
        assert await ours(*split) == (await theirs(*split) if "early" in name else expected), sent[:at]
    bytewise = [bytes([byte]) for byte in sent]
    assert await ours(*bytewise) == (await theirs(*bytewise) if "early" in name else expected)


@pytest.mark.parametrize("name", SAME)
async def test_the_same_when_the_client_stops_in_the_middle(name: str) -> None:
    sent = SAME[name]
    for at in range(1, len(sent), 3):
        assert await ours(sent[:at], b"") == await theirs(sent[:at], b""), sent[:at]


STRICTER: dict[str, tuple[bytes, int]] = {
    "both lengths": (get("/", "Content-Length: 6", "Transfer-Encoding: chunked", method="POST", body=b"0\r\n\r\nX"), 400),
    "both lengths, the other order": (get("/", "Transfer-Encoding: chunked", "Content-Length: 6", method="POST", body=b"0\r\n\r\nX"), 400),
    "two codings": (get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: identity", method="POST", body=b"0\r\n\r\n"), 501),
    "the same length twice": (get("/", "Content-Length: 1", "Content-Length: 1", method="POST", body=b"x"), 400),
    "a length in a trailer": (chunked("/", "0", "Content-Length: 5", ""), 400),
    "a folded header": (get("/", "X: a", " b"), 400),
    "a folded coding": (get("/", "Transfer-Encoding:", " chunked", method="POST", body=b"0\r\n\r\n"), 400),
    "a bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "a bare LF between headers": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "a chunk behind a bare LF": (get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\nabc\r\n0\r\n\r\n"), 400),
    "a chunk before a bare LF": (get("/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\n0\r\n\r\n"), 400),
    "a chunk's extension before a bare LF": (get("/", "Transfer-Encoding: chunked", method="POST", body=b"3;\nabc\r\n0\r\n\r\n"), 400),
    "a space after a chunk's size": (get("/", "Transfer-Encoding: chunked", method="POST", body=b"3 \r\nabc\r\n0\r\n\r\n"), 400),
    "a control character": (get("/", "X: a\x01b"), 400),
    "version 2 in words": (get("/", version="2.0"), 400),
    "version 0.9": (get("/", version="0.9"), 400),
    "a method of our own": (get("/", method="BREW"), 400),
    "HTTP/2 by itself": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
}


@pytest.mark.parametrize("name", STRICTER)
async def test_stricter_than_h11(name: str) -> None:
    sent, status = STRICTER[name]
    expected = None
    for at in range(1, len(sent)):
        heard, said, closed = await ours(sent[:at], sent[at:])
        assert said.startswith(b"HTTP/1.1 %d \r\n" % status) and said.count(b"HTTP/1.1") == 1 and closed, (sent[:at], said)
        assert not any(request[-1] == "whole" for request in heard)
        assert expected in (None, said)
        expected = said


async def test_the_same_upload_in_a_hundred_pieces() -> None:
    sent = chunked("/a", *[line for size in range(1, 100) for line in (f"{size:x}", "x" * size)], "0", "")
    pieces = [sent[at : at + 97] for at in range(0, len(sent), 97)]
    assert await ours(*pieces) == await theirs(*pieces)
    heard, said, _ = await ours(*pieces)
    assert len(heard[0][-2]) == 4950 and said.endswith(b"12345")


async def test_a_header_of_the_answer_is_one_header() -> None:
    _, said, closed = await ours(get("/break"))
    assert said.startswith(b"HTTP/1.1 500 ") and b"b: c" not in said and closed


async def test_what_is_said_after_the_last_request_is_not_read() -> None:
    heard, said, closed = await ours(get("/a", "Connection: close") + get("/b"))
    assert (len(heard), said.count(b"HTTP/1.1"), closed) == (1, 1, True)
    heard, said, closed = await ours(get("a:1", "Content-Length: 30", method="CONNECT") + get("/b"))
    assert (len(heard), said.count(b"HTTP/1.1"), closed) == (1, 1, True)


def test_the_date_is_that_of_now() -> None:
    assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", Clock().date())
