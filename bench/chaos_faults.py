"""Providers that fail, each in one way, down to the byte: what `bench/chaos.py` puts in front of a healthy account.

Each is a bare TCP server that reads one request a connection and plays its fault. They speak the OpenAI chat format.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

MODEL = "chaos-model"
STATUSES = (500, 502, 503, 504, 520, 529)
BIG = 1 << 18
ENDLESS = 1 << 40
DRIP_S = 0.25
"""Between two bytes of a slow answer: less than any deadline for silence here."""
PAUSE_S = 0.5
"""A fault takes that long to show, so that many requests are on their way into it before the first one fails."""


@dataclass
class Visit:
    """One request that a fault got. `turn` counts them: the streams alone, or all."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stream: bool
    turn: int
    waited: list[float]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self, kind: str, status: int = 200, length: int | None = None, **headers: str) -> None:
        """Without a length the answer ends where the connection does, or where the chunks do."""
        size = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.send(f"HTTP/1.1 {status} Told\r\ncontent-type: {kind}\r\n{size}\r\nconnection: close\r\n{more}\r\n".encode())

    async def whole(self, body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> None:
        await self.head(kind, status, len(body), **headers)
        await self.send(body)

    async def chunk(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def hang(self) -> None:
        """Says nothing more until the other side gives up; notes how long that took."""
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.waited.append(time.monotonic() - began)

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Play = Callable[[Visit], Awaitable[None]]


def event(content: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def answer(text: str = "words") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
    return json.dumps({**body, "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}).encode()


def refusal(words: str, code: str = "server_error") -> bytes:
    return json.dumps({"error": {"message": words, "type": code, "code": code}}).encode()


# ---------------------------------------------------------------- The faults


async def reset_first(visit: Visit) -> None:
    visit.reset()


async def reset_midway(visit: Visit) -> None:
    if visit.stream:
        await visit.head("text/event-stream")
        await visit.chunk(event("the beginning "))
        await asyncio.sleep(0.05)  # else the reset overtakes what was said before it
    else:
        await visit.head("application/json", length=len(answer()))
        await visit.send(answer()[:40])
    visit.reset()


async def silent(visit: Visit) -> None:
    await visit.hang()


async def drip(visit: Visit) -> None:
    """A byte now and then: never silent, never done."""
    data = event("never complete") if visit.stream else answer()
    await visit.head("text/event-stream" if visit.stream else "application/json")
    for at in range(len(data)):
        await visit.chunk(data[at : at + 1])
        await asyncio.sleep(DRIP_S)


async def stall(visit: Visit) -> None:
    if visit.stream:
        await visit.head("text/event-stream")
        await visit.chunk(event("the beginning "))
    else:
        await visit.head("application/json", length=len(answer()))
        await visit.send(answer()[:40])
    await visit.hang()


async def malformed(visit: Visit) -> None:
    """Every other one says something first: then it is too late for another account."""
    if not visit.stream:
        await visit.whole(b"data: {what is this\n\n")
        return
    await visit.head("text/event-stream")
    await visit.chunk((event("the beginning ") if visit.turn % 2 else b"") + b"data: {what is this\n\n")
    await visit.chunk(b"")


async def truncated(visit: Visit) -> None:
    if not visit.stream:
        await visit.whole(answer()[:-30])
        return
    await visit.head("text/event-stream")
    await visit.chunk((event("the beginning ") if visit.turn % 2 else b"") + event("torn")[:-20])
    await visit.chunk(b"")


async def limited_seconds(visit: Visit) -> None:
    await visit.whole(refusal("Too many requests.", "rate_limit_exceeded"), 429, retry_after="60")


async def limited_date(visit: Visit) -> None:
    await visit.whole(refusal("Too many requests.", "rate_limit_exceeded"), 429, retry_after=formatdate(time.time() + 60, usegmt=True))


async def limited_body(visit: Visit) -> None:
    words = "Rate limit reached for requests per min (RPM): Limit 3. Please try again in 20s."
    await visit.whole(refusal(words, "rate_limit_exceeded"), 429)


async def limited_bare(visit: Visit) -> None:
    await visit.whole(refusal("Too many requests.", "rate_limit_exceeded"), 429)


async def storm(visit: Visit) -> None:
    await visit.whole(refusal("It is raining."), STATUSES[visit.turn % len(STATUSES)])


async def rejected(visit: Visit) -> None:
    await visit.whole(refusal("Incorrect API key provided.", "invalid_api_key"), 401)


async def wrong_kind(visit: Visit) -> None:
    await visit.whole(b"<!doctype html><title>Welcome</title><p>Please sign in to this network.", kind="text/html")


async def oversized(visit: Visit) -> None:
    """A terabyte, if one reads it; a stream: headers beyond all measure."""
    if visit.stream:
        await visit.head("text/event-stream", x_long="x" * BIG)
        return
    await visit.head("application/json", length=ENDLESS)
    while True:
        await visit.send(b"x" * BIG)


@dataclass(frozen=True)
class Fault:
    """`play` None: nobody listens there. `limit`: the setting that bounds its silence."""

    name: str
    play: Play | None
    limit: str = ""


FAULTS = (
    Fault("refused", None),
    Fault("reset-before-headers", reset_first),
    Fault("reset-mid-stream", reset_midway),
    Fault("silent-accept", silent, limit="first_byte"),
    Fault("slow-drip", drip),
    Fault("stalled-stream", stall, limit="idle"),
    Fault("malformed-sse", malformed),
    Fault("truncated-json", truncated),
    Fault("429-retry-after-seconds", limited_seconds),
    Fault("429-retry-after-date", limited_date),
    Fault("429-delay-in-body", limited_body),
    Fault("429-without-delay", limited_bare),
    Fault("5xx-storm", storm),
    Fault("401-storm", rejected),
    Fault("wrong-content-type", wrong_kind),
    Fault("oversized-answer", oversized),
)


@dataclass
class Playing:
    """A fault that can be reached. `waited`: how long (s) each stream was left silent before the gateway gave up."""

    fault: Fault
    url: str
    pause: float = PAUSE_S
    hits: int = 0
    streams: int = 0
    waited: list[float] = field(default_factory=list)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)


@contextlib.asynccontextmanager
async def play(fault: Fault, pause: float = PAUSE_S) -> AsyncIterator[Playing]:
    """The fault on a port of its own, as long as the block runs."""
    if fault.play is None:
        with socket.socket() as taken:  # bound and not listening: nobody else gets the port, and whoever connects is refused
            taken.bind(("127.0.0.1", 0))
            yield Playing(fault, f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        return
    playing = Playing(fault, "", pause)

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        playing.tasks.add(task)
        try:
            await _visit(playing, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway has heard enough, or the block ends
        finally:
            playing.tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0, backlog=1024)
    playing.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield playing
    finally:
        server.close()
        for task in list(playing.tasks):
            task.cancel()
        await asyncio.gather(*playing.tasks, return_exceptions=True)


async def _visit(playing: Playing, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    named: Mapping[bytes, bytes] = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    body = json.loads(await reader.readexactly(int(named.get(b"content-length", b"0"))) or b"{}")
    stream = bool(body.get("stream"))
    playing.hits += 1
    playing.streams += stream
    assert playing.fault.play is not None
    if not playing.fault.limit:
        await asyncio.sleep(playing.pause)
    await playing.fault.play(Visit(reader, writer, stream, playing.streams if stream else playing.hits, playing.waited if stream else []))
