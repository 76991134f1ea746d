"""The two ends of a measurement: an upstream and a client, bare asyncio protocols that cost far less than what stands between them.

server = await loop.create_server(Upstream, "127.0.0.1", 0)
client = await Client.open(port)
answer = await client.ask(request_bytes)
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Self, cast

import httptools

Json = dict[str, Any]
MODEL = "bench-model"
HOST = "127.0.0.1"
HEAD = b"HTTP/1.1 %s\r\ncontent-type: %s\r\n%s\r\n\r\n"
"""Of an answer: status, kind, and the header that tells its length."""
CHUNKED, UNTIL_CLOSED = -1, -2
"""In place of the length of a body that does not tell it."""
LAST = b"0\r\n\r\n"
"""The end of a chunked body."""

# ---------------------------------------------------------------- Answers in the Chat Completions format

_WORDS = {"index": 0, "message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop"}
_COUNTS = {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560}
_SAID: Json = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [_WORDS], "usage": _COUNTS}
WHOLE = json.dumps(_SAID).encode()
"""600 bytes."""
USAGE = {"prompt_tokens": 500, "completion_tokens": 98, "total_tokens": 598}


def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**body, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode() + b"\n\n"


CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": f"word{n} "}) for n in range(98)),
    chunk({}, "stop", usage=USAGE),
]
DONE = b"data: [DONE]\n\n"
STREAM = b"".join(CHUNKS) + DONE


def chunked(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


# ---------------------------------------------------------------- Upstream


class Upstream(asyncio.Protocol):
    """Answers every request at once, and keeps the connection. Those who want other answers override `answer`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []
        self._path = b""

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self._path = url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body, self._body = b"".join(self._body), []
        self.answer(self._path, body)

    def answer(self, path: bytes, body: bytes) -> None:
        """Chat Completions, whole or as a stream of 100 chunks in one piece."""
        del path
        if streamed(body):
            self.say(b"200 OK", b"text/event-stream", STREAM)
        else:
            self.say(b"200 OK", b"application/json", WHOLE)

    def say(self, status: bytes, kind: bytes, body: bytes) -> None:
        self.transport.write(HEAD % (status, kind, b"content-length: %d" % len(body)) + body)


def streamed(body: bytes) -> bool:
    """Whether a request asks for a stream, where its format says so in the body; looked for near the two ends."""
    return any(b'"stream":true' in part.replace(b" ", b"") for part in (body[:4096], body[-4096:]))


# ---------------------------------------------------------------- Client


class Client(asyncio.Protocol):
    """One connection that takes one request at a time. Understands Content-Length, chunked, and the end of the connection."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._body_at = 0
        self._length = CHUNKED
        self._done: asyncio.Future[bytes] | None = None
        self.first_at = 0.0
        """When the first byte of the body of the last answer came."""
        self.heard: list[bytes] | None = None
        """Where every piece is put as it comes, with the time in `heard_at`; None: nowhere."""
        self.heard_at: list[float] = []

    @classmethod
    async def open(cls, port: int) -> Self:
        return (await asyncio.get_running_loop().create_connection(cls, HOST, port))[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    @property
    def gone(self) -> bool:
        return self.transport.is_closing()

    def ask(self, data: bytes) -> asyncio.Future[bytes]:
        """Head and body of the answer as they came. Raises ConnectionError when the server hangs up before its end."""
        self._body_at, self._length, self.first_at = 0, CHUNKED, 0.0
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._done

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._body_at and not self._read_head():
            return
        if not self.first_at and len(self._buffer) > self._body_at:
            self.first_at = time.perf_counter()
        if self.heard is not None:
            self.heard.append(data)
            self.heard_at.append(time.perf_counter())
        if self._whole():
            self._end()

    def _whole(self) -> bool:
        if self._length >= 0:
            return len(self._buffer) - self._body_at >= self._length
        return self._length == CHUNKED and self._buffer.endswith(LAST)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        self._body_at = end + 4
        if b"transfer-encoding: chunked" in head:
            self._length = CHUNKED
        else:
            told = (line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
            self._length = int(next(told, UNTIL_CLOSED))
        return True

    def _end(self) -> None:
        answer, self._buffer = bytes(self._buffer), bytearray()
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is None or self._done.done():
            return
        if self._body_at and self._length == UNTIL_CLOSED:
            self._end()
        else:
            self._done.set_exception(ConnectionError("the server hung up"))


def post(port: int, path: str, body: bytes, headers: Json) -> bytes:
    """The bytes of a request."""
    told = {"host": f"localhost:{port}", "content-type": "application/json", **headers, "content-length": len(body)}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chat(content: str, *, stream: bool) -> bytes:
    """A Chat Completions request of the benches' model."""
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": content}], **({"stream": True} if stream else {})}).encode()
