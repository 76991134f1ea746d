"""doctor: the server, or its port."""

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from omni_connector import __version__
from omni_connector.doctor.server import listening
from omni_connector.settings import Settings


@dataclass(frozen=True)
class Running:
    pid: int
    url: str


async def test_a_port_of_somebody_else_and_a_stale_note(omni_home: Path) -> None:
    omni_home.mkdir()
    (omni_home / "server.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(port=taken.getsockname()[1])
        found = await listening(omni_home, {}, settings, None)
    assert [(f.what, f.level) for f in found] == [("server", "warn"), ("port", "fail")]


@pytest.mark.parametrize(
    ("status", "body", "level"),
    [
        (200, f'{{"version":"{__version__}"}}', "ok"),
        (200, '{"version":"0.0.1"}', "warn"),
        (401, "{}", "fail"),
        (500, "{}", "fail"),
    ],
)
async def test_the_server_s_health(omni_home: Path, status: int, body: str, level: str) -> None:
    omni_home.mkdir()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    found = await listening(omni_home, {"OMNI_ADMIN_KEY": "k"}, Settings(), Running(os.getpid(), url))
    server.close()
    await server.wait_closed()
    assert [(f.what, f.level) for f in found] == [("server", level)]


async def test_a_server_that_does_not_answer(omni_home: Path) -> None:
    found = await listening(omni_home, {"OMNI_ADMIN_KEY": "k"}, Settings(), Running(os.getpid(), "http://127.0.0.1:1"))
    assert (found[0].level, "does not answer" in found[0].message) == ("fail", True)
