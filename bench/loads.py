"""The loads of a comparison, and what one of them costs one program.

Bounded by time, not by count, so slow programs and quick ones are measured equally long. CPU is user + system time of the program's
processes. The upstream, which answers in every format, is in the process of the clients: what it sends and what they hear has one clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import median

from bench import codec_answers, wires
from bench.codec_requests import ANTHROPIC, CHAT, GEMINI, RESPONSES
from bench.peer_programs import Program
from bench.processes import cpu_s, memory_mb
from bench.wires import CHUNKS, DONE, HEAD, LAST, Client, Upstream, chunked

PACE, HOLD, FORMAT = "please pace", "please hold", "in its format"
"""Last words of a request whose answer comes a chunk at a time, of one that takes minutes for it, and of one whose answer is in the
format of the path."""
TICK_S, HELD_TICK_S = 0.010, 1.0
STAMP = re.compile(rb"@(\d{16})@")
OPENED, COLD, CALM_S = 1024, 3, 20.0
"""Connections at most; requests of each connection before the clock runs; how long a program may go on with a load that was broken off."""
LIMIT_S = 30.0
"""After which paced streams that still run are broken off: they are late beyond any use."""

Figures = dict[str, float]
"""Name of a figure → value: cpu_us (of a request; of a stream of 100 chunks), per_s, p50_ms, p99_ms, first_ms, late_ms, memory_mb."""

# ---------------------------------------------------------------- Upstream

WIRES = (("messages", ANTHROPIC), ("responses", RESPONSES), ("enerateContent", GEMINI))
_CHUNKED = HEAD % (b"200 OK", b"text/event-stream", b"transfer-encoding: chunked")
BURST = _CHUNKED + b"".join(map(chunked, [*CHUNKS, DONE])) + LAST
_BEFORE, _, _AFTER = wires.chunk({"content": "@STAMP@ "}).partition(b"@STAMP@")


class Mock(Upstream):
    """Answers whole, with 100 chunks at once, or with one every 10 ms, or every second, that tells when it was sent."""

    _next: asyncio.TimerHandle | None = None
    _tick = TICK_S

    def answer(self, path: bytes, body: bytes) -> None:
        stream = b"streamGenerateContent" in path or wires.streamed(body)
        words = body[-300:]
        if FORMAT.encode() in words:
            self.transport.write(formatted(path.decode("latin-1"), stream))
        elif not stream:
            super().answer(path, body)
        elif PACE.encode() in words or HOLD.encode() in words:
            self._tick = TICK_S if PACE.encode() in words else HELD_TICK_S
            self.transport.write(_CHUNKED + chunked(CHUNKS[0]))
            self._pace(1, asyncio.get_running_loop().time() + self._tick)
        else:
            self.transport.write(BURST)

    def _pace(self, number: int, due: float) -> None:
        if number == len(CHUNKS) - 1:
            self.transport.write(chunked(CHUNKS[-1]) + chunked(DONE) + LAST)
            return
        self.transport.write(chunked(_BEFORE + b"@%016d@" % (time.perf_counter() * 1e6) + _AFTER))
        self._next = asyncio.get_running_loop().call_at(due, self._pace, number + 1, due + self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._next is not None:
            self._next.cancel()


def formatted(path: str, stream: bool) -> bytes:
    """The bytes of an answer in the format that the path is of."""
    return _formatted(next((name for mark, name in WIRES if mark in path), CHAT), stream)


@cache
def _formatted(wire: str, stream: bool) -> bytes:
    if stream:
        return _CHUNKED + b"".join(map(chunked, codec_answers.stream(wire, "text", 100).chunks)) + LAST
    body = codec_answers.whole(wire)
    return HEAD % (b"200 OK", b"application/json", b"content-length: %d" % len(body)) + body


# ---------------------------------------------------------------- Driving


def check(answer: bytes, mark: bytes) -> None:
    """Raises RuntimeError when it is not the answer that was expected."""
    if answer[9:12] != b"200" or mark not in answer:
        raise RuntimeError(f"odd answer: {answer[:200].decode('utf-8', 'replace')} … {answer[-200:].decode('utf-8', 'replace')}")


class Crowd:
    """The connections of a load; those that the server closed are opened anew."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: deque[Client] = deque()
        self.all: list[Client] = []

    async def ask(self, data: bytes) -> tuple[bytes, Client]:
        client = self.idle.pop() if self.idle else None
        while client is not None and client.gone:
            client = self.idle.pop() if self.idle else None
        if client is None:
            client = await Client.open(self.port)
            self.all.append(client)
        answer = await client.ask(data)
        self.idle.append(client)
        return answer, client

    def close(self) -> None:
        for client in self.all:
            client.transport.close()


async def at_once(program: Program, data: bytes, mark: bytes, seconds: float, connections: int) -> Figures:
    """As many requests as go through, `connections` at a time."""
    crowd, times = Crowd(program.port), list[float]()

    async def work(until: float, least: int) -> None:
        while least > 0 or time.perf_counter() < until:
            least -= 1
            began = time.perf_counter()
            answer, _ = await crowd.ask(data)
            times.append(time.perf_counter() - began)
            check(answer, mark)

    try:
        await asyncio.gather(*(work(0, COLD) for _ in range(connections)))
        times.clear()
        pids, began = program.pids, time.perf_counter()
        before = cpu_s(pids)
        await asyncio.gather(*(work(began + seconds, 1) for _ in range(connections)))
        took, used = time.perf_counter() - began, cpu_s(pids) - before
    finally:
        crowd.close()
    cpu = {"cpu_us": used / len(times) * 1e6} if pids else {}  # going direct has no process between
    return {**cpu, "per_s": len(times) / took, "count": len(times), **spread(times)}


async def at_rate(program: Program, data: bytes, mark: bytes, seconds: float, rate: float) -> Figures:
    """Requests that come at equal intervals, whether those before are answered or not. Times count from when each was due."""
    crowd, times, running = Crowd(program.port), list[float](), set[asyncio.Task[None]]()

    async def one(due: float) -> None:
        answer, _ = await crowd.ask(data)
        times.append(time.perf_counter() - due)
        check(answer, mark)

    try:
        for _ in range(COLD):
            check((await crowd.ask(data))[0], mark)
        began = time.perf_counter()
        for number in range(max(20, int(seconds * rate))):
            due = began + number / rate
            if due > time.perf_counter():
                await asyncio.sleep(due - time.perf_counter())
            while len(running) >= OPENED:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(one(due))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        crowd.close()
    return spread(times)


async def paced(program: Program, data: bytes, mark: bytes, streams: int, passes: int) -> Figures:
    """So many streams open at the same time, begun over one second, each client `passes` of them one after the other."""
    clients = [await Client.open(program.port) for _ in range(streams)]
    lateness, firsts, whole = list[float](), list[float](), list[float]()

    async def work(number: int, client: Client) -> None:
        await asyncio.sleep(number / streams)
        for _ in range(passes):
            client.heard, client.heard_at = [], []
            began = time.perf_counter()
            answer = await client.ask(data)
            whole.append(time.perf_counter() - began)
            firsts.append(client.first_at - began)
            check(answer, mark)
            lateness.extend(late(client))

    try:
        check(await clients[0].ask(data), mark)
        pids, began = program.pids, time.perf_counter()
        before = cpu_s(pids)
        tasks = [asyncio.create_task(work(number, client)) for number, client in enumerate(clients)]
        _, slow = await asyncio.wait(tasks, timeout=LIMIT_S + passes)
        took, used, memory = time.perf_counter() - began, cpu_s(pids) - before, memory_mb(pids)
        for task in slow:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=bool(slow))
        for client in clients if slow else ():
            lateness.extend(late(client))
    finally:
        for client in clients:
            client.transport.close()
    if slow:
        await calm(program)
    heard = len(lateness) / (len(CHUNKS) - 2)
    p99 = quantile(sorted(lateness), 0.99) if lateness else LIMIT_S
    first = median(firsts) if firsts else LIMIT_S
    told = {"per_s": heard / took, "late_ms": p99 * 1e3, "first_ms": first * 1e3, "broken_off": len(slow)}
    return {"cpu_us": used / max(heard, 0.01) * 1e6, "memory_mb": memory, **told} if pids else told


async def held(program: Program, data: bytes, streams: int, seconds: float) -> Figures:
    """Memory with so many streams open at the same time, of each of which a chunk comes a second."""
    clients = [await Client.open(program.port) for _ in range(streams)]
    answers = list[asyncio.Future[bytes]]()
    try:
        for client in clients:
            answers.append(client.ask(data))
            await asyncio.sleep(HELD_TICK_S / streams)
        await asyncio.sleep(2 * HELD_TICK_S + seconds)
        silent = sum(not client.first_at for client in clients)
        if silent or any(answer.done() for answer in answers):
            raise RuntimeError(f"of {streams} streams, {silent} have not begun, {sum(answer.done() for answer in answers)} have ended")
        return {"memory_mb": memory_mb(program.pids)} if program.pids else {}
    finally:
        for client, answer in zip(clients, answers, strict=False):
            answer.cancel()
            client.transport.close()
        await calm(program)


def late(client: Client) -> list[float]:
    """Seconds from when each chunk was sent to when it was heard."""
    found: list[float] = []
    for piece, at in zip(client.heard or (), client.heard_at, strict=True):
        found.extend(at - int(stamp) / 1e6 for stamp in STAMP.findall(piece))
    return found


async def calm(program: Program) -> None:
    """Waits until it has done with what was broken off."""
    until = time.monotonic() + CALM_S
    while time.monotonic() < until:
        before = cpu_s(program.pids)
        await asyncio.sleep(0.5)
        if cpu_s(program.pids) - before < 0.05:
            return


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread(times: list[float]) -> Figures:
    ordered = sorted(times)
    return {"p50_ms": quantile(ordered, 0.5) * 1e3, "p99_ms": quantile(ordered, 0.99) * 1e3}


# ---------------------------------------------------------------- Loads


@dataclass(frozen=True, slots=True)
class Turn:
    """One program's turn in one round: what it was measured at before in this round, and the seconds it gets."""

    program: Program
    direct: Program
    seconds: float
    so_far: Mapping[str, Figures]


def _at_once(size: int, stream: bool, connections: int) -> Callable[[Turn], Awaitable[Figures]]:
    async def drive(turn: Turn) -> Figures:
        program = turn.program
        return await at_once(program, program.request(size, stream), program.mark(stream), turn.seconds, connections)

    return drive


def _paced(streams: int) -> Callable[[Turn], Awaitable[Figures]]:
    async def drive(turn: Turn) -> Figures:
        program = turn.program
        return await paced(program, program.request(2_000, True, PACE), program.mark(True), streams, max(1, round(turn.seconds / 1.2)))

    return drive


async def _held(turn: Turn) -> Figures:
    return await held(turn.program, turn.program.request(2_000, True, HOLD), 500, turn.seconds)


async def _half(turn: Turn) -> Figures:
    """What is added to going direct at the same rate, half of what went through in `whole`."""
    rate = turn.so_far["whole"]["per_s"] / 2
    program, direct = turn.program, turn.direct
    if program is direct:
        return {"rate": rate}
    without = await at_rate(direct, direct.request(2_000, False), direct.mark(False), turn.seconds, rate)
    through = await at_rate(program, program.request(2_000, False), program.mark(False), turn.seconds, rate)
    return {"rate": rate, **{f"added_{name}": through[name] - without[name] for name in through}}


@dataclass(frozen=True, slots=True)
class Load:
    title: str
    drive: Callable[[Turn], Awaitable[Figures]]


LOADS: Mapping[str, Load] = {
    "whole": Load("2 KB, answered whole", _at_once(2_000, False, 20)),
    "half": Load("the same at half of that rate", _half),
    "burst": Load("100 chunks at once", _at_once(2_000, True, 20)),
    "paced20": Load("100 chunks, 10 ms apart, 20 streams", _paced(20)),
    "paced200": Load("100 chunks, 10 ms apart, 200 streams", _paced(200)),
    "open500": Load("500 streams that stay open", _held),
    "200k": Load("body of 200 KB", _at_once(200_000, False, 8)),
    "2m": Load("body of 2 MB", _at_once(2_000_000, False, 2)),
}
"""In this order: `half` goes by what `whole` said."""
