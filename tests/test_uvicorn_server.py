"""uvicorn's connections where they are ours: they read as Hypercorn's do. What they serve: tests/live/test_servers.py."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("uvicorn")

import tests.test_connections as both
from omni_connector.listeners import Place, listen
from omni_connector.servers import maker
from omni_connector.serving import Door, Face, settings_of_http
from omni_connector.uvicorn_server import Cycle, Spoken, UvicornServer
from tests.live.processes import Line
from tests.test_connections import Room
from tests.test_speaking import SAME, STRICTER, Wire, app, get, post, turns


@pytest.fixture
async def url() -> AsyncIterator[str]:
    limits = settings_of_http()
    limits.keep_alive_timeout = 0.5
    door = Door(Place("both", "127.0.0.1", 0), Face(app, "both", lambda path: "both", lambda: ()), maker("uvicorn", limits))
    await door.open(listen("127.0.0.1", 0))
    yield f"http://127.0.0.1:{door.port}"
    await door.end(0.1)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    room = Room("uvicorn")
    yield room
    room.go.set()
    await room.door.end(0.1)


# What both servers promise an app
test_a_piece_of_a_body_on_the_shorter_way = both.test_a_piece_of_a_body_on_the_shorter_way
test_only_a_body_whose_length_nobody_knows_has_a_shorter_way = both.test_only_a_body_whose_length_nobody_knows_has_a_shorter_way
test_answers_without_a_body_have_no_shorter_way = both.test_answers_without_a_body_have_no_shorter_way
test_the_shorter_way_is_closed_where_a_client_does_not_read = both.test_the_shorter_way_is_closed_where_a_client_does_not_read
test_who_wants_to_know_the_end_is_told_of_it_once = both.test_who_wants_to_know_the_end_is_told_of_it_once
test_the_end_is_told_to_who_does_not_listen = both.test_the_end_is_told_to_who_does_not_listen


async def said(url: str, sent: bytes) -> bytes:
    """All answers, until the server hangs up."""
    async with Line.open(url) as line:
        line.writer.write(sent)
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                return await line.reader.read()
    return b""


@pytest.mark.parametrize("name", STRICTER)
async def test_what_hypercorn_refuses_is_refused(url: str, name: str) -> None:
    sent, status = STRICTER[name]
    got = await said(url, sent + get("/a"))
    assert got.startswith(b"HTTP/1.1 %d " % status) and got.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("name", ["no host", "two hosts", "an unknown coding", "a bad chunk", "not ASCII", "no version"])
async def test_what_uvicorn_would_let_pass_is_refused(url: str, name: str) -> None:
    got = await said(url, SAME[name] + get("/a"))
    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")) and got.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "name", ["upgrade with a body", "upgrade with chunks", "a body and the next", "good, then bad", "early, but all is there"]
)
async def test_requests_in_a_row_end_where_they_end(url: str, name: str) -> None:
    for sent in ([SAME[name]], [SAME[name][:90], SAME[name][90:]]):
        async with Line.open(url) as line:
            for piece in sent:
                line.writer.write(piece)
                await asyncio.sleep(0.05)
            line.writer.write_eof()
            got = await line.reader.read()
        assert got.count(b"HTTP/1.1 ") == {"a body and the next": 3}.get(name, 2), got


async def test_a_client_that_closed_its_half_gets_its_answer(url: str) -> None:
    async with Line.open(url) as line:
        line.writer.write(post("/a"))
        line.writer.write_eof()
        assert (await line.reply()).body == b"12345"
        assert await line.closed()


async def test_silence_and_half_a_head_end(url: str) -> None:
    async with Line.open(url) as silent, Line.open(url) as half:
        half.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert await silent.closed(within=10) and await half.closed(within=10)


async def test_an_app_that_breaks_says_so_and_hangs_up(url: str) -> None:
    assert (await said(url, get("/boom"))).startswith(b"HTTP/1.1 500 ")
    broken: Any = await said(url, get("/late"))
    assert broken.startswith(b"HTTP/1.1 200 ") and broken.endswith(b"12345")


async def test_last_words_are_the_last(caplog: pytest.LogCaptureFixture) -> None:
    """An app breaks in the middle of a body, and then its client does too; or its client does, and the app still asks for the body."""

    async def listens(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/boom":
            raise ValueError("on purpose")
        await receive()

    server = maker("uvicorn", settings_of_http())(listens)
    assert isinstance(server, UvicornServer)
    for path, errors in (("/boom", 1), ("/a", 0)):
        line = Spoken(server._config, server._state)
        wire = Wire(line)
        line.data_received(get(path, "Content-Length: 5", "Expect: 100-continue", method="POST"))
        if path == "/boom":
            await turns()
        line.eof_received()
        await turns()
        assert wire.said.count(b"HTTP/1.1") == 1 and wire.said.startswith((b"HTTP/1.1 500 ", b"HTTP/1.1 400 "))
        assert len(caplog.records) == errors
        caplog.clear()
        wire.close()
        await turns()
        assert not server._state.connections


async def test_nothing_is_left_of_an_answer_but_the_last_one(room: Room) -> None:
    """Which uvicorn keeps for as long as its connection lives; the ways to it are cut, so nothing keeps the others."""
    scopes: list[Any] = []

    async def streams(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        scope["extensions"]["omni.end"](lambda: scope)
        scope["extensions"]["omni.say"](b"one")
        await send({"type": "http.response.body", "body": b"two", "more_body": False})

    room.app = streams
    await room.open()
    async with Line.open(room.url) as line:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                assert (await line.ask("GET", "/")).body == b"onetwo"
            assert [scope["extensions"] for scope in scopes] == [{}, {}, {}]
            scopes.clear()
            assert len([one for one in gc.get_objects() if isinstance(one, Cycle)]) == 1
            line.writer.close()
            await room.door._server.empty()
            assert not [one for one in gc.get_objects() if isinstance(one, Cycle | Spoken)]
        finally:
            gc.enable()
