"""kill -9 and start again: who is out, where conversations are at home and how far probes got goes on where it was.

And two processes on one database: what one learns of an account counts for the other within half a second.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.live.processes import CHAT, Json, Line, Server, chat, running
from tests.live.test_crash import look
from tests.serving import Answer, FakeUpstream, Seen, whole

REFUSALS = {"limited": 429, "missing": 404, "rejected": 401}
"""Account → how it fails: a stated, a guessed and a terminal cooldown follow."""
HOMES = ("home-1", "home-2", "home-3")
TALKS = 8
WITHIN_S = 0.5
ROUNDS = 3
HOME_WITHIN_S = 1.0
"""A home is on disk this long after the answer, however the server ends."""


class World:
    """An upstream that knows each account by its credential. `seen`: account → requests; `told`: conversation → accounts, in turn."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.upstream = upstream
        self.seen: Counter[str] = Counter()
        self.told: dict[str, list[str]] = {}
        self.ids: dict[str, str] = {}
        self.key = ""
        upstream.answer(self.answer)

    def answer(self, seen: Seen) -> Answer:
        account = seen.headers["authorization"].removeprefix("Bearer sk-0123456789abcdef-")
        self.seen[account] += 1
        if status := REFUSALS.get(account):
            code = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}[status]
            refusal = whole({"error": {"message": "No.", "type": code, "code": code}}, status)
            refusal.headers |= {"retry-after": "600"} if status == 429 else {}
            return refusal
        if talk := re.search(rb"conversation \d+", seen.raw):
            self.told.setdefault(talk[0].decode(), []).append(account)
        choice = {"index": 0, "message": {"role": "assistant", "content": "some words"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100_000, "completion_tokens": 2, "total_tokens": 100_002}
        return whole({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage})

    async def connect(self, server: Server) -> None:
        """Every model of a failing account is served by a healthy one too, so that nobody need be tried in a panic."""
        for label in (*REFUSALS, *HOMES):
            models = [f"{label}-model"] if label in REFUSALS else ["home-model", *(f"{name}-model" for name in REFUSALS)]
            body = {"provider": "openai", "label": label, "api_key": f"sk-0123456789abcdef-{label}", "base_url": f"{self.upstream.url}/v1"}
            added = await server.admin("POST", "/api/accounts", {**body, "models": models, "discover": False})
            self.ids[label] = added["id"]
        self.key = (await server.admin("POST", "/api/keys", {"name": "world"}))["key"]

    async def ask(self, server: Server, model: str, text: str = "hello", **headers: str) -> int:
        async with Line.open(server.url) as line:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            reply = await line.ask("POST", CHAT, chat(text, model), {"Authorization": f"Bearer {self.key}", **named})
        return reply.status

    async def talk(self, server: Server, *, settle: bool = False) -> None:
        """The next turn of every conversation. `settle`: each is sent to one of the homes in turn, else the router decides."""
        for number in range(TALKS):
            told = {"x_omni_only": HOMES[number % len(HOMES)]} if settle else {}
            assert await self.ask(server, "home-model", f"conversation {number}", **told) == 200

    async def fail(self, server: Server, label: str) -> None:
        assert await self.ask(server, f"{label}-model", x_omni_only=label, x_omni_wait="0") >= 429

    async def cooldowns(self, server: Server, label: str) -> list[Json]:
        return list((await server.admin("GET", f"/api/accounts/{self.ids[label]}"))["cooldowns"])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    upstream = FakeUpstream()
    made = World(upstream)
    await upstream.start()
    yield made
    await upstream.stop()


def rows(home: Path, query: str) -> list[dict[str, Any]]:
    with closing(look(home)) as conn:
        return [dict(row) for row in conn.execute(query)]


def probe(home: Path) -> dict[str, Any]:
    """The probe job of the rejected account."""
    query = "SELECT jobs.*, json_extract(payload, '$.step') AS step FROM jobs JOIN accounts ON key = accounts.id"
    found = rows(home, f"{query} WHERE kind = 'probe' AND label = 'rejected'")
    return found[0] if found else {}


async def until(holds: Callable[[], bool], what: str, server: Server, within: float = 25) -> None:
    """Lets due jobs run until it holds, as an outside cron would."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"waited in vain for {what}"
        await server.admin("POST", "/api/jobs/tick")
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_what_was_learned_outlives_a_kill(omni_home: Path, world: World) -> None:  # R-09, J-05
    server = Server(omni_home, OMNI_PROBE_FIRST_S="1", OMNI_PROBE_MAX_S="2")
    server.spawn()
    try:
        await server.ready()
        await world.connect(server)
        for label in REFUSALS:
            await world.fail(server, label)
        await world.talk(server, settle=True)
        await world.talk(server)
        settled = {talk: accounts[-1] for talk, accounts in world.told.items()}
        assert len(settled) == TALKS and all(len(set(accounts)) == 1 for accounts in world.told.values()), world.told
        assert set(settled.values()) == set(HOMES), "all live in one place, which proves nothing"

        def far_enough() -> bool:
            return (probe(omni_home).get("step") or 0) >= 2 and len(rows(omni_home, "SELECT * FROM homes")) >= TALKS

        await until(far_enough, "two probes, and the homes on disk", server)
        held = {label: await world.cooldowns(server, label) for label in REFUSALS}
        assert [held[label][0]["source"] for label in REFUSALS] == ["stated", "guessed", "terminal"]
        server.kill()
        before, stored = probe(omni_home), rows(omni_home, "SELECT * FROM cooldowns ORDER BY account_id, scope")

        server.spawn()
        await server.ready()
        after = probe(omni_home)
        assert (after["key"], after["due_at"]) == (world.ids["rejected"], before["due_at"]) or after["step"] > before["step"]
        assert rows(omni_home, "SELECT * FROM cooldowns ORDER BY account_id, scope") == stored
        assert {label: await world.cooldowns(server, label) for label in REFUSALS} == held
        asked = Counter({label: world.seen[label] for label in REFUSALS})
        for label in REFUSALS:
            assert await world.ask(server, f"{label}-model") == 200
        assert Counter({label: world.seen[label] for label in REFUSALS}) == asked, "who is out was asked after the restart"
        await world.talk(server)
        assert {talk: accounts[-1] for talk, accounts in world.told.items()} == settled
        await until(lambda: probe(omni_home)["step"] > before["step"], "the next probe", server)
        assert world.seen["rejected"] == asked["rejected"], "a refused credential was sent a request"
    finally:
        server.kill()


@pytest.mark.slow
async def test_a_kill_right_after_the_answers_scatters_no_conversation(omni_home: Path, world: World) -> None:  # O-19
    server = Server(omni_home, OMNI_PROBE_MAX_S="0")
    server.spawn()
    try:
        await server.ready()
        await world.connect(server)
        for turn in range(2):
            await world.talk(server, settle=not turn)
            ended = time.monotonic()
            while len(rows(omni_home, "SELECT * FROM homes")) < TALKS:
                assert time.monotonic() - ended < HOME_WITHIN_S
                await asyncio.sleep(0.01)
            print(f"homes on disk {(time.monotonic() - ended) * 1000:.0f} ms after the last answer")
            server.kill()
            server.spawn()
            await server.ready()
        await world.talk(server)
        assert [len(set(accounts)) for accounts in world.told.values()] == [1] * TALKS, world.told
        assert {accounts[0] for accounts in world.told.values()} == set(HOMES)
    finally:
        server.kill()


@pytest.mark.slow
async def test_two_processes_respect_each_others_cooldowns(omni_home: Path, world: World, tmp_path: Path) -> None:
    async with running(omni_home, OMNI_PROBE_MAX_S="0") as first:
        other = tmp_path / "other"
        other.mkdir(mode=0o700)
        shutil.copy(omni_home / "master.key", other)
        async with running(other, OMNI_PROBE_MAX_S="0", OMNI_DATABASE_URL=f"sqlite:///{omni_home / 'omni.db'}") as second:
            await world.connect(first)
            while len((await second.admin("GET", "/api/accounts"))["accounts"]) < len(world.ids):
                pass
            took = []
            for _ in range(ROUNDS):
                for label in ("limited", "missing"):
                    await first.admin("POST", f"/api/accounts/{world.ids[label]}/clear-cooldown")
                    await _seen(world, second, label, out=False)
                    await world.fail(first, label)
                    took.append(await _seen(world, second, label, out=True))
                    before = world.seen[label]
                    assert await world.ask(second, f"{label}-model") == 200
                    assert world.seen[label] == before, f"{label} was asked by the second process"
    assert max(took) < WITHIN_S, took
    print(
        f"a cooldown of one process reached the other within {max(took) * 1000:.0f} ms, median {sorted(took)[len(took) // 2] * 1000:.0f} ms"
    )


async def _seen(world: World, server: Server, label: str, *, out: bool) -> float:
    """Seconds until this process takes the account for out, or for back."""
    began = time.monotonic()
    while bool(await world.cooldowns(server, label)) != out:
        assert time.monotonic() - began < 5, f"{label} is still {'in' if out else 'out'} there"
    return time.monotonic() - began
