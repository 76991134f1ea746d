"""What a call to a provider costs here alone: CPU per exchange of our own client, beside aiohttp's.

python -m bench.clients [--seconds 2] [--rounds 5]

The server is a process of its own; what is counted is user and system time of the one that asks. Both ask in turn, a round each, and
the median of the rounds is told.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import statistics
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import aiohttp
import uvloop

from bench.wires import CHUNKS, DONE, LAST, Upstream, chat, chunked
from omni_connector import upstream

Ask = Callable[[str, bytes], Awaitable[int]]
"""URL and body → bytes of the answer."""
HEADERS = {"authorization": "Bearer sk-bench", "content-type": "application/json", "user-agent": "bench", "accept-encoding": "identity"}
WHOLE, BURST, PACED = "whole, 2 KB", "100 chunks in one piece", "100 chunks, one by one"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PIECES = [chunked(data) for data in (*CHUNKS, DONE)] + [LAST]
PACE_S = 0.001


class Server(Upstream):
    """Says where its path tells it to: whole, burst or paced."""

    def answer(self, path: bytes, body: bytes) -> None:
        if path == b"/burst":
            self.transport.write(HEAD + b"".join(PIECES))
        elif path == b"/paced":
            self.transport.write(HEAD)
            self._next(iter(PIECES))
        else:
            self.say(b"200 OK", b"application/json", b"x" * 2048)

    def _next(self, pieces: object) -> None:
        piece = next(pieces, None)  # type: ignore[call-overload]
        if piece is not None and not self.transport.is_closing():
            self.transport.write(piece)
            asyncio.get_running_loop().call_later(PACE_S, self._next, pieces)


def serve(port: Connection) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def ours(client: upstream.Upstream) -> Ask:
    async def ask(url: str, body: bytes) -> int:
        exchange = await client.send(upstream.UpstreamRequest("POST", url, HEADERS, body))
        size = 0
        while piece := await exchange.read():
            size += len(piece)
        exchange.close()
        return size

    return ask


def theirs(session: aiohttp.ClientSession) -> Ask:
    async def ask(url: str, body: bytes) -> int:
        response = await session.request("POST", url, data=body, headers=HEADERS, allow_redirects=False)
        size = 0
        while piece := await response.content.readany():
            size += len(piece)
        response.release()
        return size

    return ask


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def cost(ask: Ask, url: str, seconds: float, at_once: int) -> float:
    """Microseconds of CPU per exchange, with `at_once` of them under way."""
    loop = asyncio.get_running_loop()
    body = chat("word " * 50, stream=False)
    done = 0
    until = loop.time() + seconds

    async def one() -> None:
        nonlocal done
        while loop.time() < until:
            await ask(url, body)
            done += 1

    before = cpu()
    await asyncio.gather(*(one() for _ in range(at_once)))
    return (cpu() - before) / done * 1e6


async def measure(port: int, seconds: float, rounds: int) -> None:
    client = upstream.Upstream()
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300, keepalive_timeout=4.5)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for name, path, at_once in ((WHOLE, "whole", 1), (WHOLE, "whole", 20), (BURST, "burst", 1), (PACED, "paced", 20)):
            told: dict[str, list[float]] = {"ours": [], "aiohttp": []}
            for _ in range(rounds):
                for who, ask in (("ours", ours(client)), ("aiohttp", theirs(session))):
                    told[who].append(await cost(ask, f"http://127.0.0.1:{port}/{path}", seconds, at_once))
            own, other = (statistics.median(told[who]) for who in told)
            print(f"{name}, {at_once} at once: {own:.0f} µs, aiohttp {other:.0f} µs ({own / other:.2f})", flush=True)
    await client.close()


def main() -> None:
    given = argparse.ArgumentParser(description="CPU per exchange of our own client and of aiohttp's.")
    given.add_argument("--seconds", type=float, default=2.0)
    given.add_argument("--rounds", type=int, default=5)
    asked = given.parse_args()
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(measure(here.recv(), asked.seconds, asked.rounds))
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
