"""Sums and the request log as a client of the admin API reads them, and the prompt log of real calls. C-59, C-60, C-80, C-81, P-06, R-52"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.serving import Rig, whole

CHAT = {
    "id": "x",
    "object": "chat.completion",
    "model": "test-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "a marmot"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with Rig(tmp_path / "home") as found:
        found.upstream.answer(whole(CHAT))
        await found.account()
        yield found


async def ask(rig: Rig, text: str) -> None:
    body = {"model": "test-model", "messages": [{"role": "user", "content": text}]}
    async with aiohttp.ClientSession() as session, session.post(f"{rig.url}/v1/chat/completions", headers=rig.bearer, json=body) as answer:
        assert answer.status == 200
        await answer.read()


async def read(rig: Rig, path: str) -> tuple[int, str, str]:
    headers = {"authorization": f"Bearer {rig.gateway.admin_key}"}
    async with aiohttp.ClientSession() as session, session.get(rig.url + path, headers=headers) as answer:
        return answer.status, answer.headers["content-type"], await answer.text()


async def test_sums_and_rows_as_files(rig: Rig) -> None:
    await ask(rig, "a question")
    await rig.rows()
    for path in ("/api/usage?group=hour&format=csv", "/api/usage/openai?group=client&format=csv", "/v1/router/usage?format=csv"):
        status, kind, text = await read(rig, path)
        assert (status, kind) == (200, "text/csv; charset=utf-8")
        (line,) = csv.DictReader(io.StringIO(text))
        assert (line["requests"], line["input"], line["output"]) == ("1", "3", "2")
    _, _, text = await read(rig, "/api/usage/groq")
    assert json.loads(text)["total"]["requests"] == 0
    _, _, text = await read(rig, "/api/requests?format=csv&status=ok&model=test-model&account=main")
    (line,) = csv.DictReader(io.StringIO(text))
    assert (line["account"], line["model"], line["key"]) == ("main", "test-model", "test")
    _, kind, text = await read(rig, "/api/requests?format=jsonl")
    assert (kind, json.loads(text)["account"]["label"]) == ("application/x-ndjson", "main")
    for wrong in ("/api/requests?format=xml", "/api/usage?format=xml", "/api/requests?format=csv&limit=0"):
        assert (await read(rig, wrong))[0] == 400
    assert (await read(rig, "/api/usage/nobody"))[0] == 404


async def test_prompts_are_written_from_the_moment_that_it_is_wanted_and_no_longer(rig: Rig) -> None:
    def logged() -> str:
        return "".join(file.read_text() for file in sorted((rig.home / "logs").rglob("*")) if file.is_file())

    await ask(rig, "a first secret question")
    await rig.gateway.admin.set_config({"prompt_log_mode": "file"})
    await ask(rig, "a second question")
    await rig.gateway.admin.set_config({"prompt_log_mode": "none"})
    await ask(rig, "a third question")
    await rig.gateway.prompts.close()
    entry = json.loads((rig.home / "logs/prompts/prompts.jsonl").read_text())
    assert "a second question" in entry["request"]
    assert "a marmot" in entry["answer"]
    assert (entry["status"], entry["key"]) == (200, "test")
    assert rig.key not in logged()
    assert "first secret" not in logged()
    assert "third" not in logged()


async def test_requests_are_followed_as_they_are_settled(rig: Rig) -> None:  # P-06
    headers = {"authorization": f"Bearer {rig.gateway.admin_key}"}

    async def event(answer: aiohttp.ClientResponse) -> tuple[str, dict[str, object]]:
        lines = [(await answer.content.readline()).decode().rstrip("\n") for _ in range(4)]
        assert (lines[1], lines[3]) == ("event: request", "")
        return lines[0].removeprefix("id: "), json.loads(lines[2].removeprefix("data: "))

    await ask(rig, "before")
    await rig.rows()
    async with aiohttp.ClientSession(headers=headers) as session:
        for wrong in ("?status=open", "?lines=x", "?format=csv"):
            assert (await session.get(f"{rig.url}/api/requests/tail{wrong}")).status == 400
        async with session.get(f"{rig.url}/api/requests/tail?lines=5&model=test-model") as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            _, first = await event(answer)
            await ask(rig, "meanwhile")
            place, second = await event(answer)
            assert first["id"] != second["id"]
            assert second["state"] == "settled"
        await ask(rig, "while nobody listened")
        await rig.rows()
        async with session.get(f"{rig.url}/api/requests/tail", headers={"last-event-id": place}) as answer:
            seen = {(await event(answer))[1]["id"] for _ in range(3)}
            assert len(seen) == 3
            rig.gateway.live.close()
            assert await answer.content.read() == b"", "it ends when the server goes down"
    async with aiohttp.ClientSession() as session:
        assert (await session.get(f"{rig.url}/api/requests/tail")).status == 401
