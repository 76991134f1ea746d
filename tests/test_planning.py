"""The router with live state: wishes by header, prices, and conversations that stay where their beginning is cached."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector.gateway import Gateway
from omni_connector.planning import provider_named
from tests.live.answers import CHAT, Said, Tokens
from tests.relaying import Client, House

OK = Said("all is well", tokens=Tokens(fresh=9000)).answer(CHAT, False)


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


async def ask(house: House, headers: dict[str, str] | None = None, **more: Any) -> Client:
    call = house.call(**more)
    object.__setattr__(call, "headers", headers or {})
    client = Client()
    await house.gateway.relay.run(call, client)
    return client


def test_providers_by_any_of_their_names() -> None:  # C-31
    assert provider_named("OpenAI") == provider_named(" openai ") == "openai"
    assert provider_named("claude-custom") == "custom-anthropic" and provider_named("nobody") == ""


async def test_a_client_says_who_may_serve(house: House) -> None:  # O-19
    for label in ("a", "b", "c"):
        await house.account(label, OK)
    for headers, served in (({"x-omni-only": "b"}, "b"), ({"x-omni-ignore": "a, b"}, "c"), ({}, "a")):
        assert (await ask(house, headers)).headers["x-omni-account"] == served
    nobody = await ask(house, {"x-omni-only": "d"})
    assert nobody.status == 400 and "x-omni-only" in nobody.error["message"]
    wrong = await ask(house, {"x-omni-max-price": "cheap"})
    assert wrong.status == 400 and "x-omni-max-price" in wrong.error["message"]


async def test_a_client_says_what_it_may_cost(house: House) -> None:  # O-18
    await house.account("dear", OK, models=["gpt-5.5"], model_map={"test-model": "gpt-5.5"})
    await house.account("cheap", OK, models=["gpt-5-nano"], model_map={"test-model": "gpt-5-nano"}, priority=-1)
    assert (await ask(house)).headers["x-omni-account"] == "dear"
    assert (await ask(house, {"x-omni-sort": "price"})).headers["x-omni-account"] == "cheap"
    assert (await ask(house, {"x-omni-max-price": "0.001"})).headers["x-omni-account"] == "cheap"
    assert (await ask(house, {"x-omni-max-price": "0.0000001"})).status == 400


async def test_a_conversation_stays_where_it_was_answered(house: House) -> None:  # O-19
    for label in ("a", "b", "c", "d"):
        await house.account(label, OK, priority=0)
    homes = set()
    for number in range(4):
        words = {"messages": [{"role": "user", "content": f"conversation {number}"}]}
        served = {(await ask(house, **words)).headers["x-omni-account"] for _ in range(5)}
        assert len(served) == 1, "all turns at one account"
        homes |= served
    assert homes <= {"a", "b", "c", "d"}


async def test_a_preview_sends_nothing_and_shows_every_point(house: House) -> None:  # O-19
    await house.account("a", OK)
    kind, plan = await house.gateway.preview(house.call())
    assert kind == "model" and [one.account.label for one in plan.attempts] == ["a"]
    assert set(plan.scores[0].parts) >= {"priority", "quota", "latency", "price", "load", "affinity", "errors"}
    assert house.network.asked == []
