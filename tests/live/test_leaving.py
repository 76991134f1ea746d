"""Clients that leave: the upstream hears of it, the row is closed with what was used, and nothing stays behind.

Two ways to look: real connections that break at three places of a request, and a cancellation put at every single place
where a request waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from omni_connector import secrets
from omni_connector.admin import now_ms
from omni_connector.call import Call, Headers
from omni_connector.relay import Relay
from tests.live.processes import BUSY_S, CHAT, MESSAGES, Json, Line, chat, message, resident_mb, soon
from tests.serving import Answer, Rig, stream, whole
from tests.stepping import CancelAt, run

ROUNDS = 200

CHAT_WHOLE: Json = {
    "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}  # fmt: skip


def chunk(delta: Json, finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "test-model", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n"


BEGUN = chunk({"role": "assistant", "content": ""}) + chunk({"content": "twelve chars"})
FINISHED = BEGUN + chunk({}, "stop") + "data: [DONE]\n\n"

SILENT = Answer(200, {"content-type": "text/event-stream"}, [], hang=True)
HALF_STREAM = stream(BEGUN, hang=True)
HALF_WHOLE = Answer(200, {"content-type": "application/json"}, [b'{"id": "chatcmpl-1", '], hang=True)


@pytest.fixture
async def rig(omni_home: Path) -> AsyncIterator[Rig]:
    async with Rig(omni_home) as rig:
        await rig.account("openai")
        yield rig


# ---------------------------------------------------------------- Connections that break


async def leave(rig: Rig, path: str, body: Json, seen: bytes, together: int = 1) -> None:
    """Sends a request, waits until `seen` came back (b"": until the upstream has it, and those of all who leave `together`), hangs up."""
    asked = len(rig.upstream.seen) + together
    async with Line.open(rig.url) as line:
        line.writer.write(line.request("POST", path, body, rig.bearer))
        if seen:
            assert (await line.start()).status == 200
            await line.until(seen)
        else:
            await soon(lambda: len(rig.upstream.seen) >= asked and rig.upstream.open > 0)


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("answer", "streamed", "seen", "output"),
    [
        pytest.param(HALF_STREAM, True, b"twelve chars", 3, id="in mid-stream"),
        pytest.param(SILENT, True, b"", 0, id="before the first byte"),
        pytest.param(HALF_WHOLE, False, b"", 0, id="during a whole answer"),
    ],
)
async def test_the_upstream_hears_of_it_and_the_row_is_closed(
    rig: Rig, path: str, answer: Answer, streamed: bool, seen: bytes, output: int
) -> None:
    rig.upstream.answer(answer)
    make = chat if path == CHAT else message
    await leave(rig, path, make(stream=streamed), seen)
    await soon(lambda: rig.upstream.disconnects == 1 and rig.upstream.open == 0)
    (row,) = await rig.rows()
    assert (row["outcome"], row["flag"], row["http_status"]) == ("client_left", "CLIENT_LEFT", 499)
    assert row["usage"]["output"] == output
    assert row["usage"]["input"] > 0, "the prompt was sent, so it is counted"
    assert row["usage"]["source"] == ("counted" if output else "estimated")
    assert row["account"]["label"] == "main"
    assert [attempt["kind"] for attempt in row["attempts"]] == [None]
    assert not rig.gateway.pool.cooldowns(row["account"]["id"]), "a client that leaves says nothing about the account"


async def test_leaving_before_the_body_is_complete_costs_nothing(rig: Rig) -> None:
    rig.upstream.answer(whole(CHAT_WHOLE))
    async with Line.open(rig.url) as line:
        line.writer.write(line.request("POST", CHAT, chat(), rig.bearer)[:-4])
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.05)
    assert await rig.rows() == []
    assert rig.upstream.seen == []


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "seen"), [(HALF_STREAM, b"twelve chars"), (SILENT, b"")], ids=["mid-stream", "first byte"])
async def test_two_hundred_that_leave_leave_nothing_behind(rig: Rig, answer: Answer, seen: bytes) -> None:
    rig.upstream.answer(answer)
    body = chat("word " * 2000, stream=True)

    async def leave_together(number: int) -> None:
        await asyncio.gather(*(leave(rig, CHAT, body, seen, number) for _ in range(number)))
        await soon(lambda: rig.upstream.open == 0 and rig.gateway.relay.active == 0)
        rig.upstream.seen.clear()

    async def standing() -> tuple[int, int, float]:
        await soon(lambda: not rig.occupied)
        await asyncio.sleep(0.2)
        gc.collect()
        return rig.occupied, len(asyncio.all_tasks()), resident_mb() if Path("/proc/self/status").exists() else 0.0

    for _ in range(10):  # warm-up: code paths, buffers, threads of the database
        await leave_together(5)
    before = await standing()
    for _ in range(ROUNDS // 5):
        await leave_together(5)
    await soon(lambda: len(asyncio.all_tasks()) <= before[1] + 1)
    after = await standing()
    assert after[0] == before[0] == 0
    assert after[1] <= before[1] + 1, asyncio.all_tasks()
    assert after[2] < before[2] + 6, f"{before[2]:.1f} → {after[2]:.1f} MB"
    assert all(rig.gateway.pool.live(account.id).in_flight == 0 for account in rig.gateway.snapshot.accounts)
    assert rig.upstream.disconnects == ROUNDS + 50
    usage = (await rig.gateway.admin.usage({"group": "account"}))["total"]
    assert (usage["requests"], usage["failed"]) == (ROUNDS + 50, 0)


# ---------------------------------------------------------------- A cancellation at every place


class SlowSink:
    """A client that takes a moment for everything, so that each write is a place to wait at."""

    def __init__(self) -> None:
        self.started = False
        self.status = 0
        self.body = b""
        self.ended = False

    async def start(self, status: int, headers: Headers) -> None:
        self.started, self.status = True, status
        await asyncio.sleep(0)

    def say(self, data: bytes) -> bool:
        return False

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        await asyncio.sleep(0)
        self.body += data
        self.ended = True

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self.started, self.status = True, status
        await asyncio.sleep(0)
        self.body = body
        self.ended = True


def call_of(rig: Rig, wire: str, body: Json) -> Call:
    key = next(iter(rig.gateway.snapshot.keys.values()))
    return Call(secrets.new_id("req"), wire, "/v1/x", json.dumps(body).encode(), {}, key, "test", now_ms())


def busy(relay: Relay) -> None:
    """Prices that take a moment to load, as they do in the first second of a process."""

    async def loading() -> None:
        await asyncio.sleep(0)

    relay._doors = replace(relay._doors, prices_loaded=loading)


SCENES: dict[str, tuple[str, Json, list[Answer]]] = {
    "whole": ("openai-chat", chat(), [whole(CHAT_WHOLE)]),
    "whole, translated": ("anthropic-messages", message(), [whole(CHAT_WHOLE)]),
    "stream": ("openai-chat", chat(stream=True), [stream(FINISHED)]),
    "stream, translated": ("anthropic-messages", message(stream=True), [stream(FINISHED)]),
    "whole where a stream was asked for": ("openai-chat", chat(stream=True), [whole(CHAT_WHOLE)]),
    "second account": ("openai-chat", chat(), [whole({"error": {"message": "down"}}, 500), whole(CHAT_WHOLE)]),
    "all accounts fail": ("openai-chat", chat(), [whole({"error": {"message": "down"}}, 500)]),
    "stream breaks": ("openai-chat", chat(stream=True), [stream(BEGUN, cut=True)]),
    "stream breaks, translated": ("anthropic-messages", message(stream=True), [stream(BEGUN, cut=True)]),
    "refused at once": ("openai-chat", chat(model="no-such-model"), [whole(CHAT_WHOLE)]),
    "bad request": ("anthropic-messages", {"model": "test-model"}, [whole(CHAT_WHOLE)]),
}


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "done"])
@pytest.mark.parametrize("scene", SCENES)
async def test_cancelled_anywhere_the_row_is_closed_once(rig: Rig, scene: str, late: bool) -> None:
    await rig.account("openai", "second")
    busy(rig.gateway.relay)
    wire, body, answers = SCENES[scene]
    outcomes: list[str] = []
    for step in range(200):
        for account in rig.gateway.snapshot.accounts:
            await rig.gateway.admin.clear_cooldown(account.id)
        rig.upstream.answer(*answers)
        call, sink = call_of(rig, wire, body), SlowSink()
        work = CancelAt(rig.gateway.relay.run(call, sink), step, late=late)
        task = asyncio.create_task(run(work))
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(BUSY_S):
                await task
        row = await closed_row(rig, call.id)
        outcomes.append(row["outcome"])
        await soon(lambda: not any(rig.gateway.pool.live(account.id).in_flight for account in rig.gateway.snapshot.accounts))
        await soon(lambda: (rig.gateway.relay.active, rig.gateway.relay.retrying) == (0, 0))
        assert await rig.gateway.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds WHERE open").scalar()) == 0, step
        if sink.ended and task.done() and not task.cancelled():
            assert row["outcome"] != "client_left", step
        if row["outcome"] == "client_left":
            assert (row["flag"], row["http_status"]) == ("CLIENT_LEFT", 499), step
        if not work.reached:
            break
    else:
        raise AssertionError("the request never ends")
    assert step > 2
    await soon(lambda: rig.upstream.open == 0)
    await soon(lambda: not rig.occupied)
    assert "client_left" in outcomes
    everything = (await rig.gateway.admin.requests({"limit": "500"}))["requests"]
    assert len(everything) == len(outcomes) == step + 1


async def closed_row(rig: Rig, request_id: str) -> Json:
    """The row, which must be closed soon."""
    row: Json = {}
    end = time.monotonic() + BUSY_S
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            row = await rig.gateway.admin.request(request_id)
            if row["state"] == "settled":
                return row
        await asyncio.sleep(0.005)
    raise AssertionError(f"the row stays open: {row}")
