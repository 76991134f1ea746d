"""Connections on a line: their timer, their ends, and who waits for whom. What is said on them: tests/test_speaking.py."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypercorn.protocol.http_stream import HTTPStream

from omni_connector.connections import SAYS, Inbox
from omni_connector.listeners import Place, listen
from omni_connector.serving import Door, HypercornServer, settings_of_http
from tests.live.processes import Line
from tests.test_speaking import app

Message = dict[str, Any]


class Room:
    """A listener with an app that the test writes."""

    def __init__(self) -> None:
        self.config = settings_of_http()
        self.app: Any = app
        self.told: list[Message] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        await self.app(scope, receive, send)

    async def open(self) -> Door:
        self.door = Door(Place("both", "127.0.0.1", 0), self, lambda app: HypercornServer(app, self.config))  # type: ignore[arg-type]
        await self.door.open(listen("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.door.port}"
        return self.door


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room()
    yield room
    room.go.set()
    await room.door.end(0.1)


async def start(send: Callable[[Message], Any]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_one_timer_for_all_requests_of_a_connection(room: Room) -> None:
    room.config.keep_alive_timeout = 0.4
    await room.open()
    async with Line.open(room.url) as line:
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() < began + 0.6:  # longer than the silence that ends it
            assert (await line.ask("GET", "/a")).status == 200
            await asyncio.sleep(0.05)
        assert await line.closed(within=2)


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
    async with asyncio.timeout(2):
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
            if not door._server._connections:
                break
            line.writer.write(b"x" * 65536)
            await asyncio.sleep(0.01)
        assert not door._server._connections


async def test_an_inbox_lets_nobody_wait_for_an_app_that_has_ended() -> None:
    inbox = Inbox(1)
    await inbox.put({"type": "http.request", "body": b"1"})
    waiting = asyncio.ensure_future(inbox.put({"type": "http.request", "body": b"2"}))
    await asyncio.sleep(0)
    assert not waiting.done()
    await inbox.put({"type": "http.disconnect"})
    await waiting
    assert [(await inbox.get())["type"] for _ in range(3)] == ["http.request", "http.disconnect", "http.disconnect"]


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
            assert not [one for one in gc.get_objects() if isinstance(one, HTTPStream)]
        finally:
            gc.enable()


async def test_who_wants_to_know_the_end_is_told_of_it_once() -> None:
    """Never from within the message: it may come from the very task that is to be told."""
    told: list[str] = []
    for late in (False, True):
        inbox = Inbox(1)
        if not late:
            inbox.on_end(lambda: told.append("gone"))
        await inbox.put({"type": "http.request", "body": b"1"})
        await inbox.put({"type": "http.disconnect"})
        await inbox.put({"type": "http.disconnect"})
        if late:
            inbox.on_end(lambda: told.append("gone"))
        assert not told
        await asyncio.sleep(0)
        assert told == ["gone"]
        told.clear()
        await asyncio.sleep(0)
        assert not told
    inbox = Inbox(1)
    inbox.on_end(lambda: told.append("gone"))
    await inbox.put({"type": "http.disconnect"})
    inbox.on_end(None)
    await asyncio.sleep(0)
    assert not told, "nobody wants to know it any more"
