"""Connections on a line: their timer, their ends, and who waits for whom. What is said on them: tests/test_speaking.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from h2.connection import H2Connection

from omni_connector.connections import SAYS, TELLS_END, Connection, Exchange, Hall
from omni_connector.listeners import Place, listen
from omni_connector.servers import maker
from omni_connector.serving import Door, HypercornServer, settings_of_http
from tests.live.processes import Line, soon
from tests.test_speaking import Wire, app, get, turns
from tests.tls import make_pair

Message = dict[str, Any]


class Room:
    """A listener with an app that the test writes."""

    def __init__(self, server: str = "hypercorn") -> None:
        self.server = server
        self.config = settings_of_http()
        self.app: Any = app
        self.told: list[Message] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await self.app(scope, receive, send)

    async def open(self, cert: Path | None = None, key: Path | None = None) -> Door:
        place = Place("both", "127.0.0.1", 0, str(cert or ""), str(key or ""))
        self.door = Door(place, self, maker(self.server, self.config))  # type: ignore[arg-type]
        await self.door.open(listen("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.port}"
        return self.door


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    room.go.set()
    await room.door.end(0.1)


def hall_of(door: Door) -> Hall:
    server = door._server
    assert isinstance(server, HypercornServer)
    return server._hall


async def start(send: Callable[[Message], Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_one_timer_for_all_requests_of_a_connection(room: Room) -> None:
    room.config.keep_alive_timeout = 0.8
    await room.open()
    async with Line.open(room.url) as line:
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 1:  # longer than the silence that ends it
            assert (await line.ask("GET", "/a")).status == 200
            await asyncio.sleep(0.05)
        assert await line.closed()


async def test_an_app_hears_at_once_that_its_client_has_gone(room: Room) -> None:
    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (message := await receive())["type"] != "http.disconnect":
            pass
        room.told += [message, await receive()]  # as often as it asks
        room.go.set()

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("GET", "/"))
        await line.start()
        await line.until(b"x")
    async with asyncio.timeout(30):
        await room.go.wait()
    assert [message["type"] for message in room.told] == ["http.disconnect"] * 2


async def test_a_client_that_closed_its_half_gets_its_answer(room: Room) -> None:
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("GET", "/a"))
        line.writer.write_eof()
        assert (await line.reply()).body == b"12345"
        assert await line.closed()


async def test_who_is_not_read_from_is_not_read_ahead(room: Room) -> None:
    """A body waits in the client until the app asks for it; and an answer in the app until the client reads."""
    sent = 0

    async def slow(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        nonlocal sent
        await room.go.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        room.told.append({"size": size})
        await start(send)
        for _ in range(400):
            await send({"type": "http.response.body", "body": b"y" * 65536, "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    room.app = slow
    await room.open()
    async with Line.open(room.url) as line:
        body = b"x" * (32 << 20)
        line.writer.write(line.request("POST", "/", body))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await line.writer.drain()
        room.go.set()
        await line.start()
        assert room.told == [{"size": len(body)}]
        await asyncio.sleep(0.3)
        assert sent < 300
        assert len(await line.rest(within=20)) == 400 * 65536


async def test_an_answer_before_the_end_of_a_body_ends_the_connection(room: Room) -> None:
    """And the app is not held up by a body that nobody takes."""
    room.app = app
    door = await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("POST", "/early", b"x" * 3000, {"Content-Length": "100000000"}))
        assert (await line.reply()).status == 200
        for _ in range(200):
            if not hall_of(door).connections:
                break
            line.writer.write(b"x" * 65536)
            await asyncio.sleep(0.01)
        assert not hall_of(door).connections


async def test_a_piece_of_a_body_on_the_shorter_way(room: Room) -> None:
    """As ASGI's way says it, as long as nobody has to wait."""
    refused: list[bool] = []

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        say = scope["extensions"][SAYS]
        refused.append(say(b"too early"))
        await start(send)
        assert say(b"one") and say(b"two" * 5) and not say(b"")
        await send({"type": "http.response.body", "body": b"three", "more_body": True})
        assert say(b"four")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        refused.append(say(b"too late"))
        room.told.append({"say": say})

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        for _ in range(2):
            answer = await line.ask("GET", "/")
            assert answer.body == b"one" + b"two" * 5 + b"threefour"
        assert refused == [False] * 4
        assert not room.told[0]["say"](b"of an answer that is over")


async def test_only_a_body_whose_length_nobody_knows_has_a_shorter_way(room: Room) -> None:
    async def sized(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        assert not scope["extensions"][SAYS](b"ok")
        await send({"type": "http.response.body", "body": b"ok", "more_body": False})

    room.app = sized
    await room.open()
    async with Line.open(room.url) as line:
        assert (await line.ask("GET", "/")).body == b"ok"


async def test_the_shorter_way_is_closed_where_a_client_does_not_read(room: Room) -> None:
    said = 0

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        nonlocal said
        await start(send)
        while scope["extensions"][SAYS](b"y" * 65536) and said < 1000:
            said += 1
            await asyncio.sleep(0)
        room.go.set()
        await send({"type": "http.response.body", "body": b"end", "more_body": False})

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("GET", "/"))
        async with asyncio.timeout(10):
            await room.go.wait()
        assert 0 < said < 1000
        await line.start()
        assert (await line.rest(within=20)).endswith(b"end")


async def test_nothing_is_left_of_an_answer(room: Room) -> None:
    """The way to its end leads through its scope, which must not lead back: rings wait for the collector, which looks seldom."""

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await start(send)
        scope["extensions"][SAYS](b"one")
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await line.ask("GET", "/")).body == b"onetwo"
            assert not [one for one in gc.get_objects() if isinstance(one, Exchange)]
        finally:
            gc.enable()


async def test_who_wants_to_know_the_end_is_told_of_it_once(room: Room) -> None:
    """Never from within what is said: that may be the very task that is to be told. A client that closed its half counts as gone."""
    told: list[str] = []

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        on_end = scope["extensions"][TELLS_END]
        while (await receive())["more_body"]:
            pass
        if scope["path"] == "/none":
            on_end(lambda: told.append("who does not want to know it"))
            on_end(None)
        elif scope["path"] == "/early":
            on_end(lambda: told.append("gone"))
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        await asyncio.sleep(0)
        if scope["path"] == "/late":
            on_end(lambda: told.append("gone"))
            assert not told
            await asyncio.sleep(0)
        room.told.append({"told": list(told)})
        room.go.set()
        await send({"type": "http.response.body", "body": b"y", "more_body": False})

    room.app = streams
    await room.open()
    for path, expected in (("/early", ["gone"]), ("/late", ["gone"]), ("/none", [])):
        for half in (False, True):
            room.go.clear()
            async with Line.open(room.url) as line:
                line.writer.write(line.request("POST", path, b"z" * 300_000))  # more than is read ahead of an app
                await line.start()
                await line.until(b"x")
                if half:
                    line.writer.write_eof()
                    assert await line.rest() == b"y" and await line.closed()
            async with asyncio.timeout(30):
                await room.go.wait()
            assert room.told.pop()["told"] == expected, (path, half)
            await asyncio.sleep(0)
            assert told == expected
            told.clear()


async def test_the_end_is_told_to_who_does_not_listen(room: Room) -> None:
    """The body was taken, and nobody waits in `receive`."""

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        while (await receive())["more_body"]:
            pass
        scope["extensions"][TELLS_END](room.go.set)
        await start(send)
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await room.go.wait()
        assert not scope["extensions"][SAYS](b"to nobody")

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("POST", "/", b"z" * 300_000))
        await line.start()
        await line.until(b"x")
    async with asyncio.timeout(30):
        await room.go.wait()


async def test_answers_without_a_body_have_no_shorter_way(room: Room) -> None:
    said: list[bool] = []

    async def streams(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await start(send)
        said.append(scope["extensions"][SAYS](b"one"))
        body = b"two" if said[-1] else b"onetwo"
        await send({"type": "http.response.body", "body": body, "more_body": False})

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("HEAD", "/"))
        await line.start()
        assert said.pop() is False
        assert (await line.ask("GET", "/")).body == b"onetwo"
    async with Line.open(room.url) as line:
        line.writer.write(line.request("GET", "/").replace(b"HTTP/1.1", b"HTTP/1.0"))
        reply = await line.start()
        rest = await line.reader.read()
        assert rest == (b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" if "transfer-encoding" in reply.headers else b"onetwo")


async def test_requests_in_a_row_are_answered_one_after_the_other(room: Room) -> None:
    """And each app starts without what the one before it noted for itself."""
    noted: ContextVar[str] = ContextVar("noted", default="nothing")

    async def notes(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        room.told.append({"path": scope["path"], "noted": noted.get()})
        noted.set(scope["path"])
        await receive()
        await room.go.wait()
        await start(send)
        await send({"type": "http.response.body", "body": scope["path"].encode(), "more_body": False})
        await asyncio.sleep(0.05)

    room.app = notes
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(b"".join(line.request("POST", f"/{name}", b"hello") for name in "abc"))
        await asyncio.sleep(0.05)
        assert [one["path"] for one in room.told] == ["/a"]
        line.writer.write(line.request("POST", "/d", b"hello"))
        line.writer.write_eof()
        room.go.set()
        assert [(await line.reply()).body for _ in range(4)] == [b"/a", b"/b", b"/c", b"/d"]
        assert [one["noted"] for one in room.told] == ["nothing"] * 4
        assert await line.closed()


async def test_who_asks_ahead_and_does_not_read_is_not_answered_ahead(room: Room) -> None:
    async def large(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        room.told.append(scope)
        await start(send)
        await send({"type": "http.response.body", "body": b"y" * (8 << 20), "more_body": False})

    room.app = large
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("GET", "/") * 20)
        await asyncio.sleep(0.3)
        assert 0 < len(room.told) < 5
        for _ in range(20):
            assert len((await line.reply()).body) == 8 << 20


async def test_who_asks_ahead_for_nothing_but_heads_is_not_answered_ahead_either() -> None:
    """An answer without a body waits like any other until the client reads."""
    asked: list[str] = []

    async def empty(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        asked.append(scope["path"])
        await app(scope, receive, send)

    connection = Connection(Hall(empty, settings_of_http()))
    wire = Wire(connection)
    connection.pause_writing()
    connection.data_received(get("/a", method="HEAD") + get("/204") + get("/304"))
    await turns()
    assert asked == ["/a"]
    connection.resume_writing()
    await turns()
    assert asked == ["/a", "/204", "/304"]
    wire.close()
    await turns()


@pytest.mark.parametrize("path", ["/early", "/early/close", "/boom/early"])
async def test_who_is_sending_still_reads_the_answer(room: Room, path: str) -> None:
    """Cut off at once, it would be told of the cut alone."""

    async def early(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        if "boom" in scope["path"]:
            raise ValueError("on purpose")
        closes = [(b"connection", b"close")] if "close" in scope["path"] else []
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"4"), *closes]})
        await send({"type": "http.response.body", "body": b"none", "more_body": False})

    room.app = early
    await room.open()
    async with Line.open(room.url) as line:
        line.writer.write(line.request("POST", path, b"x" * (8 << 20), {"Content-Length": "100000000"}))
        await line.writer.drain()
        assert (await line.reply()).status == (500 if "boom" in path else 404)


async def test_who_is_not_read_from_can_still_leave() -> None:
    """TLS closes only when both sides have said so, and nobody hears it where nobody reads."""

    class Tls(Wire):
        was_reading = False

        def can_write_eof(self) -> bool:
            return False

        def close(self) -> None:
            self.was_reading = self._reading.is_set()
            super().close()

    connection = Connection(Hall(app, settings_of_http()))
    wire = Tls(connection)
    connection.data_received(get("/early", "Content-Length: 100000000", method="POST", body=b"x" * 300_000))
    assert not wire._reading.is_set()
    await turns()
    assert wire.is_closing() and wire.was_reading


async def test_what_is_said_after_the_end_is_not_kept() -> None:
    """TLS brings what comes until the other side has closed too."""
    hall = Hall(app, settings_of_http())
    connection = Connection(hall)
    wire = Wire(connection)
    connection.data_received(get("/early", "Content-Length: 100000000", method="POST", body=b"x"))
    await turns()
    assert wire.closed
    for _ in range(100):
        connection.data_received(b"x" * 65536)
    assert not connection._later
    wire.close()
    await turns()
    assert not hall.connections


async def test_a_listener_ends_although_a_client_does_not_read(room: Room) -> None:
    async def endless(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await start(send)
        while True:
            await send({"type": "http.response.body", "body": b"y" * 65536, "more_body": True})

    room.app = endless
    door = await room.open()
    async with Line.open(room.url, limit=1024) as line:
        line.writer.write(line.request("GET", "/"))
        await soon(lambda: any(not one.writable.is_set() for one in hall_of(door).connections))
        await door.end(0)
        assert not hall_of(door).connections
        line.writer.transport.abort()


class Stuck(Wire):
    """Whose client does not read: what was written keeps it from closing."""

    def close(self) -> None:
        self.closed = self._is_closing = True

    def abort(self) -> None:
        self._is_closing = False
        super().close()


@pytest.mark.parametrize("path", ["/a", "/close"])
async def test_a_connection_ends_although_its_client_does_not_read(path: str) -> None:
    hall = Hall(app, settings_of_http())
    hall.config.keep_alive_timeout = 0.01
    connection = Connection(hall)
    wire = Stuck(connection)
    connection.data_received(get(path))
    async with asyncio.timeout(10):
        await hall.left.wait()
    assert wire.said.endswith(b"12345") and not hall.connections


async def test_the_end_is_told_also_in_the_middle_of_the_next_head() -> None:
    told: list[str] = []

    async def listens(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await receive()
        told.append((await receive())["type"])

    connection = Connection(Hall(listens, settings_of_http()))
    wire = Wire(connection)
    connection.data_received(get("/a") + b"GET")
    await turns()
    connection.eof_received()
    await turns()
    assert told == ["http.disconnect"]
    wire.close()
    await turns()


async def test_an_end_before_an_app_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task is not lost before its first step: it says that it has ended."""
    monkeypatch.setattr("omni_connector.connections.CUT_S", 0.01)
    hall = Hall(app, settings_of_http())
    connection = Connection(hall)
    wire = Wire(connection)
    connection.data_received(get("/a", "Content-Length: 5", method="POST"))
    connection.abort()
    async with asyncio.timeout(10):
        await hall.left.wait()
    assert wire.said.startswith(b"HTTP/1.1 500 ") and wire.is_closing() and not hall.connections


async def test_an_app_that_answers_a_refused_request_says_it_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The client is told of the fault in its body; it is none of the app's that it answers all the same."""
    hall = Hall(app, settings_of_http())
    connection = Connection(hall)
    wire = Wire(connection)
    connection.data_received(get("/a", "Transfer-Encoding: chunked", method="POST"))
    await turns()
    connection.data_received(b"zz\r\n")
    await turns()
    assert wire.said.startswith(b"HTTP/1.1 400 ") and wire.said.count(b"HTTP/1.1") == 1 and not caplog.records
    wire.close()
    await turns()
    assert not hall.connections


# ---------------------------------------------------------------- What is Hypercorn's


async def test_a_websocket_is_hypercorns(room: Room) -> None:
    """Also behind a request."""

    async def echo(scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        if scope["type"] == "http":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"] * 2})

    room.app = echo
    door = await room.open()
    async with Line.open(room.url) as line:
        asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZQ=="}
        head = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        frame = b"\x81\x82\0\0\0\0hi"
        line.writer.write(line.request("GET", "/a") + f"GET /socket HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode())
        assert (await line.reply()).body == b"12345"
        assert (await line.start()).status == 101
        for _ in range(2):
            line.writer.write(frame)
            assert await line.reader.readexactly(6) == b"\x81\x04hihi"
    async with asyncio.timeout(30):
        await door._server.empty()


@pytest.mark.parametrize("version", ["h2", "http/1.1", ""])
async def test_tls(room: Room, tmp_path: Path, version: str) -> None:
    """HTTP/2 where ALPN chose it; it too ends when the listener does."""
    cert, key = make_pair(tmp_path / "tls", 1)
    door = await room.open(cert, key)
    assert door.certificate is not None
    door.certificate.context.set_alpn_protocols(["h2", "http/1.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if version:
        context.set_alpn_protocols([version])
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=context)
    if version == "h2":
        client = H2Connection()
        client.initiate_connection()
        headers = [(":method", "GET"), (":path", "/a"), (":scheme", "https"), (":authority", "a")]
        client.send_headers(1, headers, end_stream=True)
        writer.write(client.data_to_send())
        body = b""
        while b"12345" not in body:
            piece = await reader.read(65536)
            assert piece, "the server hung up"
            for event in client.receive_data(piece):
                body += getattr(event, "data", b"") or b""
    else:
        line = Line(reader, writer, "localhost")
        for _ in range(2):
            assert (await line.ask("POST", "/chunks", b"x" * 300_000)).body == b"onetwo"
        line.writer.write(get("/", "Host: b"))
        assert (await line.reply()).status == 400
        assert await line.closed()
    await door.end(1)
    assert not hall_of(door).connections
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
