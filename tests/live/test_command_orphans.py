"""A server that is killed while a command runs: its port, its folders and its programs are free again. (R-14)"""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.command.programs import gone, is_running
from tests.live.processes import CHAT, Line, Server, chat, soon

DEAF = """
import os, sys, time
print("pid", os.getpid(), [f for f in map(int, os.listdir("/proc/self/fd")) if f > 2 and os.path.exists(f"/proc/self/fd/{f}")], flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="who a process is, is read in /proc")
async def test_nothing_is_left_of_a_killed_servers_command(tmp_path: Path) -> None:
    script = tmp_path / "deaf.py"
    script.write_text(DEAF)
    server = Server(tmp_path / "home")
    server.spawn()
    try:
        await server.ready()
        options = {"command": {"argv": [sys.executable, str(script), "{system_file}"], "models": ["deaf"]}}
        await server.admin("POST", "/api/accounts", {"provider": "command", "label": "deaf", "options": options})
        key = (await server.admin("POST", "/api/keys", {"name": "k"}))["key"]
        async with Line.open(server.url) as line:
            asked = chat(model="deaf", stream=True)
            asked["messages"].insert(0, {"role": "system", "content": "for nobody else"})
            line.writer.write(line.request("POST", CHAT, asked, {"Authorization": f"Bearer {key}"}))
            assert (await line.start()).status == 200
            said = await line.until(b"]")
            pid = int(said.partition(b"pid ")[2].split()[0])
            server.kill()
        assert is_running(pid), "nobody was there to end it"
        port = urlsplit(server.url).port
        with contextlib.closing(socket.socket()) as probe:  # else requests would wait in the queue of a program that never answers
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            probe.listen()
        server.spawn()
        await server.ready()
        assert await gone(pid)
        await soon(lambda: not list((server.home / "commands").glob("run-*")))
    finally:
        server.kill()
