"""granian where it is ours: our sockets, and what hyper leaves to an app. What it serves: tests/live/test_servers.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("granian")

from omni_connector.listeners import Place, listen
from omni_connector.servers import maker
from omni_connector.serving import Door, Face, settings_of_http
from tests.live.processes import Line
from tests.test_speaking import SAME, app, get


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    limits = settings_of_http()
    limits.keep_alive_timeout = 0.5
    door = Door(Place("both", "127.0.0.1", 0), Face(app, "both", lambda path: "both", lambda: ()), maker("granian", limits))
    await door.open(listen("127.0.0.1", 0))
    yield door
    await door.end(0.1)


@pytest.mark.parametrize("name", ["no host", "two hosts", "an unknown coding", "two codings in one", "not ASCII", "no version"])
async def test_what_is_refused_ends_the_connection(door: Door, name: str) -> None:
    async with Line.open(f"http://127.0.0.1:{door.port}") as line:
        line.writer.write(SAME[name] + get("/a"))
        async with asyncio.timeout(30):
            got = await line.reader.read()
    assert got.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 501 ")) and got.count(b"HTTP/1.1") == 1


async def test_silence_and_half_a_head_end(door: Door) -> None:
    url = f"http://127.0.0.1:{door.port}"
    async with Line.open(url) as silent, Line.open(url) as half:
        half.writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert await silent.closed(within=10) and await half.closed(within=10)


async def test_a_listener_that_is_given_up_takes_nobody_and_leaves_nothing(door: Door) -> None:
    url = f"http://127.0.0.1:{door.port}"
    async with Line.open(url) as idle:
        assert (await idle.ask("GET", "/a")).body == b"12345"
        await door.retire(5, 0.1)
        assert await idle.closed()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", door.port)
