"""Several processes on one address: one that is killed breaks nobody else, a reload breaks nobody, an end waits for what runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from omni_connector.workers import SUPPORTED
from tests.live.processes import CHAT, Json, Line, Server, chat
from tests.live.test_start import DEMO, SLOW, bearer, key_of

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="needs fork")
CLIENTS = 6
BACK_S = 1.0


class Load:
    """Programs that ask all the time: half of them on one connection for as long as it lasts, half with a new one each time."""

    def __init__(self, server: Server, key: str) -> None:
        self._server = server
        self._key = key
        self.done = 0
        self.broken: list[str] = []
        self.waited = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self, clients: int = CLIENTS) -> AsyncIterator[None]:
        self._tasks = [asyncio.create_task(self._ask(number % 2 == 0)) for number in range(clients)]
        try:
            await asyncio.sleep(0.2)
            yield
            await asyncio.sleep(0.2)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, keeps: bool) -> None:
        while True:
            async with Line.open(self._server.url) as line:
                try:
                    while await self._once(line) and keeps:
                        pass
                except (OSError, asyncio.IncompleteReadError) as error:
                    self.broken.append(repr(error))

    async def _once(self, line: Line) -> bool:
        """One request; True when the connection may be used again."""
        began = time.monotonic()
        reply = await line.ask("POST", CHAT, chat(model="demo-chat"), bearer(self._key))
        self.waited = max(self.waited, time.monotonic() - began)
        if reply.status == 200 and reply.whole:
            self.done += 1
        else:
            self.broken.append(f"{reply.status} {reply.body[:200]!r}")
        return reply.headers.get("connection", "") != "close"


async def crew(server: Server) -> list[Json]:
    return list((await server.admin("GET", "/api/service-mode"))["workers"])


async def until_serving(server: Server, without: set[int], within: float, count: int = 2) -> float:
    """Seconds until `count` workers serve and none of `without` does."""
    began = time.monotonic()
    while True:
        workers = await crew(server)
        if [w["state"] for w in workers] == ["serving"] * count and not without & {w["pid"] for w in workers}:
            return time.monotonic() - began
        assert time.monotonic() - began < within, workers
        await asyncio.sleep(0.02)


@pytest.fixture
async def server(omni_home: Path) -> AsyncIterator[Server]:
    server = Server(omni_home, "--port", "0", "--workers", "2")
    server.spawn()
    try:
        await server.ready()
        await until_serving(server, set(), 20)
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.terminate()
            await server.ended(20)
        server.kill()


async def test_workers_live_and_die_without_others(server: Server) -> None:  # C-20
    told = await server.admin("GET", "/api/service-mode")
    assert (told["mode"], told["pid"], told["workers_wanted"]) == ("workers", server.pid, 2)
    assert told["answered_by"] in {w["pid"] for w in told["workers"]}
    system = await server.admin("GET", "/api/system")
    assert system["pid"] in system["pids"] and (system["mode"], system["workers"], system["supervisor"]) == ("workers", 2, server.pid)
    await server.admin("POST", "/api/accounts", DEMO)
    key = await key_of(server)
    await asyncio.sleep(0.5)  # both workers know the account and the key

    load = Load(server, key)
    async with load.running():
        victim = (await crew(server))[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        took = await until_serving(server, {victim}, 5)
    assert len(load.broken) <= CLIENTS, load.broken
    assert all("IncompleteRead" in words or "Connection" in words for words in load.broken), load.broken
    assert took < BACK_S * (1 if os.cpu_count() and os.getloadavg()[0] < 2 else 3)
    assert [w["restarts"] for w in await crew(server)] == [1, 0]

    load, before = Load(server, key), {w["pid"] for w in await crew(server)}
    async with load.running():
        assert (await server.admin("POST", "/api/service-mode", {"action": "reload"}))["accepted"]
        await until_serving(server, before, 15)
        before = {w["pid"] for w in await crew(server)}
        os.kill(server.pid, signal.SIGHUP)
        await until_serving(server, before, 15)
    assert not load.broken and load.done > 50, (load.done, load.broken)
    print(f"back {took:.2f} s after a kill; {load.done} requests during two reloads, the slowest took {load.waited:.2f} s")


async def test_what_streams_goes_on_through_a_reload_and_to_the_end(server: Server) -> None:
    await server.admin("POST", "/api/accounts", SLOW)
    key = await key_of(server)
    await asyncio.sleep(0.5)
    async with Line.open(server.url) as first:
        first.writer.write(first.request("POST", CHAT, chat(model="demo-chat", stream=True), bearer(key)))
        await first.start()
        await first.until(b"content")
        before = {w["pid"] for w in await crew(server)}
        os.kill(server.pid, signal.SIGHUP)
        assert (await first.rest(within=15)).endswith(b"data: [DONE]\n\n")
    await until_serving(server, before, 15)
    async with Line.open(server.url) as second:
        second.writer.write(second.request("POST", CHAT, chat(model="demo-chat", stream=True), bearer(key)))
        await second.start()
        await second.until(b"content")
        server.terminate()
        assert (await second.rest(within=15)).endswith(b"data: [DONE]\n\n")
    assert await server.ended(10) == 0
    assert not (server.home / "server.json").exists()


async def test_workers_do_not_outlive_their_supervisor(server: Server) -> None:
    pids = [w["pid"] for w in await crew(server)]
    server.kill()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() and "\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids):
        assert time.monotonic() < until, "a worker lives on alone"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_the_next_release_takes_over_without_refusing_anybody(omni_home: Path, workers: str) -> None:
    server = Server(omni_home, "--port", "0", "--workers", workers)
    server.spawn()
    pid = 0
    try:
        await server.ready()
        await until_serving(server, set(), 20, int(workers))
        await server.admin("POST", "/api/accounts", DEMO)
        load = Load(server, await key_of(server))
        # A request at a time: with never a quiet moment it would wait for drain_s.
        async with load.running(clients=1):
            os.kill(server.pid, signal.SIGUSR2)
            until = time.monotonic() + 30
            while (pid := json.loads((omni_home / "server.json").read_text())["pid"]) == server.pid:
                assert time.monotonic() < until, (omni_home / "logs" / "omni-connector.log").read_text()
                await asyncio.sleep(0.02)
        assert not load.broken and load.done > 10, (load.done, load.broken)
        told = await server.admin("GET", "/api/service-mode")
        assert (told["pid"], told["workers_wanted"]) == (pid, int(workers))
        server.terminate()  # the shell that stands for it passes that on
        await server.ended(20)
    finally:
        server.kill()
        if pid and pid != server.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
