"""Servers that answer on their ports."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from omni_connector import providers
from omni_connector.local_logins.servers import SERVERS, servers
from omni_connector.providers import Provider


def test_their_ports_are_the_known_ones() -> None:
    ports = {name: providers.get(name).base_url.rpartition(":")[2] for name in SERVERS}
    assert ports == {"ollama": "11434/v1", "lmstudio": "1234/v1", "llamacpp": "8080/v1", "vllm": "8000/v1"}


async def test_those_that_answer_are_shown_with_their_models() -> None:
    answers: dict[str, Sequence[str]] = {"ollama": ("qwen3:4b", "gemma3"), "vllm": ()}

    async def ask(row: Provider) -> Sequence[str] | None:
        return answers.get(row.id)

    found = await servers(ask)
    assert [(one.id, one.kind, one.models, one.importable) for one in found] == [
        ("ollama", "server", ("qwen3:4b", "gemma3"), True),
        ("vllm", "server", (), True),
    ]
    assert [one.draft.auth for one in found if one.draft is not None] == ["none", "none"]


async def test_all_are_asked_at_once() -> None:
    asked: list[str] = []
    everybody = asyncio.Event()

    async def ask(row: Provider) -> Sequence[str] | None:
        asked.append(row.id)
        if len(asked) == len(SERVERS):
            everybody.set()
        await everybody.wait()
        return None

    async with asyncio.timeout(30):
        assert await servers(ask) == []
