"""Slow and silent sides: every wait has an end, the client is told in its own format, and nothing piles up in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.live.processes import CHAT, MESSAGES, Json, Line, chat, message, resident_mb
from tests.serving import Answer, Rig, Seen, stream, whole

PATHS = (CHAT, MESSAGES)
MAKE = {CHAT: chat, MESSAGES: message}
TERMINAL = {CHAT: b"[DONE]", MESSAGES: b"message_stop"}


def chunk(delta: Json, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


BEGUN = chunk({"role": "assistant", "content": ""}) + chunk({"content": "twelve chars"})
END = chunk({}, "stop") + b"data: [DONE]\n\n"
EVENT_STREAM = {"content-type": "text/event-stream"}
CHAT_WHOLE: Json = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip


async def nothing(seen: Seen) -> Answer:
    """Takes the request and never answers."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def timed_out(path: str, body: bytes) -> bool:
    """Whether an error says, in the format of `path`, that the provider was too slow."""
    error = json.loads(body)["error"]
    return bool(error["type"] == ("upstream_timeout" if path == CHAT else "timeout_error"))


# ---------------------------------------------------------------- Upstreams that are silent


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("silence", ["no answer", "headers only", "comments only"])
async def test_first_byte_deadline(omni_home: Path, path: str, silence: str) -> None:
    comments: list[bytes | float] = [b": hold on\n\n", 0.05] * 100
    answers: dict[str, Any] = {
        "no answer": nothing,
        "headers only": Answer(200, EVENT_STREAM, [], hang=True),
        "comments only": Answer(200, EVENT_STREAM, comments, hang=True),
    }
    async with Rig(omni_home, OMNI_FIRST_BYTE_TIMEOUT_S="0.2", OMNI_IDLE_TIMEOUT_S="0.2", OMNI_TOTAL_TIMEOUT_S="1") as rig:
        await rig.account("openai")
        rig.upstream.answer(answers[silence])
        async with Line.open(rig.url) as line:
            began = time.monotonic()
            reply = await line.ask("POST", path, MAKE[path](stream=True), rig.bearer)
            assert time.monotonic() - began < 2.5
        (row,) = await rig.rows()
        assert (row["flag"], row["usage"]["output"] or 0) == ("TIMEOUT", 0)
        if silence == "comments only":  # a sign of life commits the stream after a while: then it is told inside
            assert reply.status in (200, 504)
        else:
            assert reply.status == 504
            assert timed_out(path, reply.body)
            assert row["outcome"] == "failed"
        await asyncio.sleep(0.05)
        assert rig.upstream.open == 0


async def test_a_silent_account_is_replaced(omni_home: Path) -> None:
    async with Rig(omni_home, OMNI_FIRST_BYTE_TIMEOUT_S="0.2") as rig:
        await rig.account("openai", "silent", priority=5)
        await rig.account("openai", "good")
        rig.upstream.answer(Answer(200, EVENT_STREAM, [], hang=True), stream(BEGUN + END))
        async with Line.open(rig.url) as line:
            reply = await line.ask("POST", CHAT, chat(stream=True), rig.bearer)
        assert (reply.status, reply.headers["x-omni-account"], reply.headers["x-omni-attempts"]) == (200, "good", "2")
        assert reply.body.endswith(b"[DONE]\n\n")
        (row,) = await rig.rows()
        assert [attempt["kind"] for attempt in row["attempts"]] == ["upstream_timeout", None]


@pytest.mark.parametrize("path", PATHS)
async def test_a_stall_in_mid_stream_is_told_inside(omni_home: Path, path: str) -> None:
    """Idle deadline: the format's own error event, no clean end, and the row is cut with what was delivered."""
    async with Rig(omni_home, OMNI_IDLE_TIMEOUT_S="0.2") as rig:
        await rig.account("openai")
        rig.upstream.answer(stream(BEGUN, hang=True))
        async with Line.open(rig.url) as line:
            began = time.monotonic()
            reply = await line.ask("POST", path, MAKE[path](stream=True), rig.bearer)
            assert time.monotonic() - began < 1.5
            assert reply.status == 200
            assert reply.whole
            assert (await line.ask("GET", "/health")).status == 200
        assert TERMINAL[path] not in reply.body
        *_, last = reply.body.strip().split(b"\n\n")
        name, _, data = last.rpartition(b"data: ")
        assert name == (b"" if path == CHAT else b"event: error\n")
        assert timed_out(path, data)
        (row,) = await rig.rows()
        assert (row["outcome"], row["flag"], row["http_status"]) == ("cut", "TIMEOUT", 200)
        assert (row["usage"]["output"], row["usage"]["source"]) == (3, "counted")
        assert row["error"]["kind"] == "upstream_timeout"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_total_deadline(omni_home: Path, path: str, streamed: bool) -> None:
    """An answer that drips on for ever ends at the total deadline."""
    drip: list[bytes | float] = [chunk({"content": "on "}), 0.02] if streamed else [b" ", 0.02]
    kind = EVENT_STREAM if streamed else {"content-type": "application/json"}
    async with Rig(omni_home, OMNI_TOTAL_TIMEOUT_S="1") as rig:
        await rig.account("openai")
        rig.upstream.answer(Answer(200, kind, drip * 500, hang=True))
        async with Line.open(rig.url) as line:
            began = time.monotonic()
            reply = await line.ask("POST", path, MAKE[path](stream=streamed), rig.bearer)
            assert 0.9 < time.monotonic() - began < 2
        assert reply.whole
        (row,) = await rig.rows()
        assert (row["outcome"], row["flag"]) == ("cut" if streamed else "failed", "TIMEOUT")
        if streamed:
            assert TERMINAL[path] not in reply.body
        else:
            assert reply.status == 504
            assert timed_out(path, reply.body)


# ---------------------------------------------------------------- Signs of life


@pytest.mark.parametrize("path", PATHS)
async def test_a_quiet_stream_is_kept_alive_between_events(omni_home: Path, path: str) -> None:
    """A comment line for OpenAI's format, a ping for Anthropic's; never inside an event that came in two halves; the SDKs read on."""
    middle = chunk({"content": " and more"})
    pieces: list[bytes | float] = [BEGUN, 1.2, middle[:30], 1.2, middle[30:], END]
    sign = b": keepalive\n" if path == CHAT else b'event: ping\ndata: {"type": "ping"}\n\n'
    async with Rig(omni_home, OMNI_KEEPALIVE_S="1") as rig:
        await rig.account("openai")
        rig.upstream.answer(Answer(200, EVENT_STREAM, pieces))
        async with Line.open(rig.url) as line:
            reading = asyncio.create_task(_text_by_sdk(rig, path))
            reply = await line.ask("POST", path, MAKE[path](stream=True), rig.bearer)
        assert reply.body.count(sign) == 2
        for block in reply.body.replace(sign, b"").strip().split(b"\n\n"):
            data = block.rpartition(b"data: ")[2]
            assert data == b"[DONE]" or json.loads(data)
        assert await reading == "twelve chars and more"
        assert [row["outcome"] for row in await rig.rows()] == ["ok", "ok"]


async def _text_by_sdk(rig: Rig, path: str) -> str:
    text = ""
    if path == CHAT:
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=rig.key, max_retries=0) as client:
            chunks = await client.chat.completions.create(model="test-model", messages=[{"role": "user", "content": "x"}], stream=True)
            async for chunk in chunks:
                text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return text
    async with anthropic.AsyncAnthropic(base_url=rig.url, api_key=rig.key, max_retries=0) as claude:
        asked = claude.messages.stream(model="test-model", max_tokens=50, messages=[{"role": "user", "content": "x"}])
        async with asked as answer:
            async for piece in answer.text_stream:
                text += piece
    return text


# ---------------------------------------------------------------- Attempts have bounds

DOWN = whole({"error": {"message": "down"}}, 500)


async def _down_slowly(seen: Seen) -> Answer:
    await asyncio.sleep(0.15)
    return DOWN


@pytest.mark.parametrize(
    ("env", "behaviour", "tries"),
    [
        pytest.param({"OMNI_MAX_ATTEMPTS": "3"}, DOWN, {3}, id="count"),
        pytest.param({"OMNI_ATTEMPTS_WINDOW_S": "0.2"}, _down_slowly, {3}, id="window"),
        pytest.param({"OMNI_RETRY_BUDGET": "0", "OMNI_RETRY_BUDGET_MIN": "0"}, DOWN, {1}, id="budget"),
    ],
)
async def test_attempts_are_bounded(omni_home: Path, env: dict[str, str], behaviour: Any, tries: set[int]) -> None:  # C-45, O-21
    async with Rig(omni_home, **env) as rig:
        for number in range(6):
            await rig.account("openai", f"account-{number}")
        rig.upstream.answer(behaviour)
        async with Line.open(rig.url) as line:
            reply = await line.ask("POST", CHAT, chat(), rig.bearer)
        assert reply.status == 503
        assert len(rig.upstream.seen) in tries
        told = reply.json["error"]["provider_failures"]
        assert len([failure for failure in told if not failure["skipped"]]) in tries
        (row,) = await rig.rows()
        assert len(row["attempts"]) in tries
        assert rig.gateway.relay.retrying == 0


# ---------------------------------------------------------------- Readers that are slow


class Endless(list[Any]):
    """The pieces of a stream without an end; `given` of them were asked for."""

    def __init__(self, piece: bytes) -> None:
        super().__init__()
        self.piece = piece
        self.given = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.given += 1
            yield self.piece


@contextlib.asynccontextmanager
async def not_reading(rig: Rig, path: str) -> Any:
    """A client that sends a request and reads nothing of the answer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client, ("127.0.0.1", int(rig.url.rpartition(":")[2])))
        body = json.dumps(MAKE[path](stream=True)).encode()
        key = f"Authorization: Bearer {rig.key}\r\n"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{key}Content-Length: {len(body)}\r\n\r\n"
        await loop.sock_sendall(client, head.encode() + body)
        yield client
    finally:
        client.close()


@pytest.mark.parametrize("path", PATHS)
async def test_a_slow_reader_holds_the_upstream_back(omni_home: Path, path: str) -> None:
    async with Rig(omni_home) as rig:
        await rig.account("openai")
        pieces = Endless(chunk({"content": "x" * 60_000}))
        rig.upstream.answer(Answer(200, EVENT_STREAM, pieces))
        async with not_reading(rig, path):
            await asyncio.sleep(0.4)
            given, memory = pieces.given, _memory()
            await asyncio.sleep(0.4)
            assert 0 < given < 400, "24 MB is more than all buffers on the way"
            assert pieces.given == given, "the upstream waits for the reader"
            assert _memory() < memory + 4
        async with asyncio.timeout(1):
            while rig.upstream.open:
                await asyncio.sleep(0.01)
        (row,) = await rig.rows()
        assert (row["outcome"], row["flag"]) == ("client_left", "CLIENT_LEFT")


async def test_a_reader_that_stops_for_good_ends_at_the_total_deadline(omni_home: Path) -> None:
    """It would otherwise hold its account's slot for as long as its connection stands; the account is not to blame."""
    async with Rig(omni_home, OMNI_TOTAL_TIMEOUT_S="1") as rig:
        account = await rig.account("openai")
        rig.upstream.answer(Answer(200, EVENT_STREAM, Endless(chunk({"content": "x" * 60_000}))))
        async with not_reading(rig, CHAT):
            async with asyncio.timeout(3):
                while not rig.upstream.seen or rig.upstream.open or rig.gateway.pool.live(account["id"]).in_flight:
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(3):
                while (await rig.gateway.admin.requests({}))["requests"][0]["state"] == "open":
                    await asyncio.sleep(0.01)
            assert not rig.gateway.pool.cooldowns(account["id"])
        (row,) = await rig.rows()
        assert (row["outcome"], row["flag"]) == ("cut", "CLIENT_LEFT")


def _memory() -> float:
    return resident_mb() if Path("/proc/self/status").exists() else 0.0
