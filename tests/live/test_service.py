"""A real server under a service manager that this test plays: when it is told what, and that one server follows another."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from omni_connector.updating import process
from tests.live.processes import Line, Server


async def told(manager: socket.socket, word: str) -> str:
    """The first message with that word; signs of life are between."""
    while True:
        text = (await asyncio.to_thread(manager.recv, 4096)).decode()
        if word in text:
            return text


@pytest.mark.slow
async def test_what_a_manager_is_told(omni_home: Path, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        server = Server(omni_home, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="3000000")
        server.spawn()
        try:
            assert "STATUS=" in await told(manager, "READY=1")
            # Ready means that requests are answered: the note is there, and so is the server.
            await server.ready()
            assert json.loads((omni_home / "server.json").read_text())["managed"] is True
            await told(manager, "WATCHDOG=1")
            os.kill(server.pid, signal.SIGUSR2)
            next_pid = int((await told(manager, "MAINPID=")).partition("=")[2])
            assert await server.ended() == 0, "systemd follows the successor: nobody stays behind"
            found = process.running(omni_home)
            assert found is not None and found.pid == next_pid
            async with Line.open(server.url) as line:
                assert (await line.ask("GET", "/health")).status == 200
            os.kill(next_pid, signal.SIGTERM)
            await told(manager, "STOPPING=1")
        finally:
            server.kill()
            left = process.running(omni_home)
            if left is not None:
                os.kill(left.pid, signal.SIGKILL)
