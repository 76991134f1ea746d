"""The router from the outside: what a client asks by name, what the owner changes meanwhile, and what is told when all are out."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.processes import CHAT, ROOT, Line, Reply, Server, chat, running

Json = dict[str, Any]
POLICIES = ("auto", "performance", "cost", "round-robin", "fill-first", "lru")


def demo(**how: Any) -> Json:
    return {"demo": {"latency_ms": 1, "chunk_ms": 0, "tokens": 3, **how}}


class House:
    """A server process with demo accounts, asked over HTTP and by its command line."""

    def __init__(self, server: Server, key: str) -> None:
        self.server = server
        self.auth = {"Authorization": f"Bearer {key}"}

    async def account(self, label: str, **more: Any) -> str:
        body = {"provider": "demo", "label": label, "options": demo(), **more}
        return str((await self.server.admin("POST", "/api/accounts", body))["id"])

    async def ask(self, model: str, text: str = "hello", path: str = CHAT, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with Line.open(self.server.url) as line:
            return await line.ask("POST", path, chat(text, model), self.auth | named)

    async def cli(self, *words: str) -> str:
        """What the command prints; no terminal, and it must succeed."""
        env = {**os.environ, "OMNI_HOME": str(self.server.home), "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "omni_connector", *words]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(90):
            out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()


@pytest.fixture
async def house(omni_home: Path) -> AsyncIterator[House]:
    async with running(omni_home) as server:
        yield House(server, (await server.admin("POST", "/api/keys", {"name": "client"}))["key"])


def served(reply: Reply) -> tuple[int, str | None, Any]:
    return reply.status, reply.headers.get("x-omni-account"), reply.json.get("model")


async def test_strategy_alias_and_chain_are_reached_by_a_chat_completion(house: House) -> None:  # C-101, C-104
    for label in ("free", "plan"):
        await house.account(label)
    await house.account("limited", options=demo(behaviour="429", retry_after=100))
    await house.account("broken", options=demo(behaviour="500"))
    await house.server.admin("PUT", "/api/chains/careful", {"tiers": [["limited"], ["broken", "gone"], ["plan::demo-chat"], ["free"]]})
    await house.server.admin("PUT", "/api/chains/dead", {"tiers": [["limited"], ["broken"]]})
    await house.server.admin("PUT", "/api/aliases/fast", {"targets": ["nobody/here", "free"]})
    await house.server.admin("PUT", "/api/aliases/night", {"targets": ["careful"]})

    first = await house.ask("careful")
    assert served(first) == (200, "plan", "careful"), "every tier is exhausted before the next, and the client sees one model"
    assert first.headers["x-omni-attempts"] == "3" and "chain careful" in first.headers["x-omni-route"]
    assert served(await house.ask("fast")) == (200, "free", "fast")
    assert served(await house.ask("night")) == (200, "plan", "night")
    assert served(await house.ask("auto", x_omni_only="free, plan", x_omni_sort="fill-first")) == (200, "free", "auto")

    dead = await house.ask("dead", x_omni_wait="0")
    assert dead.status == 503 and "'dead'" in dead.json["error"]["message"]
    assert 1 <= int(dead.headers["retry-after"]) <= 100
    assert {(one["account"], one["skipped"]) for one in dead.json["error"]["provider_failures"]} == {("limited", True), ("broken", False)}


async def test_changes_count_at_once_and_what_runs_goes_on(house: House) -> None:  # P-04
    for label in "abc":
        await house.account(label)
    slow = await house.account("slow", options=demo(latency_ms=20, chunk_ms=60, tokens=60))
    async with Line.open(house.server.url) as line:
        line.writer.write(line.request("POST", CHAT, chat("go on", "slow", stream=True), house.auth))
        assert (await line.start()).headers["x-omni-account"] == "slow"
        await line.until(b"delta")
        await house.cli("config", "strategy", "round-robin")
        turns = [(await house.ask("demo", x_omni_ignore="slow")).headers["x-omni-account"] for _ in range(6)]
        assert sorted(turns[:3]) == ["a", "b", "c"] and turns[3:] == turns[:3]
        assert json.loads(await house.cli("config", "strategy", "fill-first", "--json"))["value"] == "fill-first"
        assert [(await house.ask("demo")).headers["x-omni-account"] for _ in range(3)] == ["a", "a", "a"]
        await house.cli("chain", "set", "own", "c", "a,b")
        assert (await house.ask("own")).headers["x-omni-account"] == "c"
        await house.cli("chain", "set", "own", "b,a", "c")
        assert (await house.ask("own")).headers["x-omni-account"] == "a"
        await house.cli("chain", "remove", "own")
        assert (await house.ask("own")).status == 404
        await house.server.admin("POST", f"/api/accounts/{slow}/disable")
        assert (await house.ask("slow")).status == 503
        await house.server.admin("DELETE", "/v1/router/config/backend/slow")
        assert (await house.ask("slow")).status == 404
        assert (await line.rest()).rstrip().endswith(b"data: [DONE]"), "it goes on as it began"


def worth(attempt: Json) -> tuple[Any, ...]:
    """Equal for candidates between which dice decide."""
    return attempt["tier"], attempt["score"]["total"] if attempt["score"] else attempt["reason"]


@pytest.mark.slow
async def test_what_explain_says_is_what_happens(house: House) -> None:  # O-19, O-15, O-16, O-17
    for number, label in enumerate("abcd"):
        await house.account(label, options=demo(latency_ms=1 + 15 * number), priority=number % 2)
    await house.server.admin("PUT", "/api/aliases/fast", {"targets": ["c", "demo"]})
    await house.server.admin("PUT", "/api/chains/own", {"tiers": [["b", "d"], ["a"]]})
    names = ("auto", "demo", "demo-chat", "fast", "own", "d/demo-chat", "demo:demo-tool", "cost-priority", "intelligence-priority")
    wishes: tuple[dict[str, str], ...] = ({}, {"x-omni-ignore": "d"}, {"x-omni-sort": "latency"}, {"Model-Provider": "demo"})
    for policy in POLICIES:
        await house.server.admin("POST", f"/v1/router/config/strategy/{policy}")
        for number in range(36):
            name, headers = names[number % len(names)], wishes[number // len(names)]
            body = chat(f"question {number} of {policy}", name)
            if name == "d/demo-chat" and "x-omni-ignore" in headers:
                continue
            async with Line.open(house.server.url) as line:
                told = await house.server.admin("POST", "/v1/router/explain", {"body": body, "headers": headers})
                reply = await line.ask("POST", CHAT, body, house.auth | headers)
            first = worth(told["attempts"][0])
            tied = [(one["account"], one["model"]) for one in told["attempts"] if worth(one) == first]
            assert (reply.headers["x-omni-account"], reply.headers["x-omni-model"]) in tied, (policy, name, headers, told["attempts"])
            assert reply.headers["x-omni-attempts"] == "1"
