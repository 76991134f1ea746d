"""A provider named by the path or by a header, with the vendors' SDKs of all four formats."""

from __future__ import annotations

from itertools import product
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors

from tests.live.answers import CHAT, Said
from tests.live.answers_more import told
from tests.live.asking import Clients
from tests.live.conftest import Stage
from tests.live.test_client_api import VECTORS, embedded
from tests.live.test_formats import PROVIDER, WIRE, ask, user
from tests.live.test_sdk_shapes import COUNTS
from tests.serving import whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRES = pytest.mark.parametrize("wire", list(PROVIDER))
OLD_NAMES = {
    "custom-openai": "openai-custom",
    "custom-anthropic": "claude-custom",
    "custom-responses": "openaiResponses-custom",
    "custom-gemini": "gemini-custom",
}
"""Other names of the same providers, as older programs write them."""
HOW = ("path", "header", "older name")


def pinned_to(stage: Stage, provider: str, how: str) -> Clients:
    rig, name = stage.rig, OLD_NAMES[provider] if how == "older name" else provider
    return Clients(rig.url, rig.key, {"Model-Provider": name}) if how == "header" else Clients(f"{rig.url}/{name}", rig.key)


@WIRES
# C-29 C-30 C-31 C-32
async def test_a_provider_named_by_path_or_header(stage: Stage, wire: str) -> None:
    for other in PROVIDER.values():
        await stage.account(other, other, priority=1 if other == PROVIDER[wire] else 9)
    for how in HOW:
        clients = pinned_to(stage, PROVIDER[wire], how)
        for client, model, streamed in product(WIRE, ("auto", "asked-model"), (False, True)):
            stage.upstream.answer(told(Said("Here."), wire, streamed))
            heard = await clients.ask(client, {**ask(client, user(client, "hi")), "model": model}, streamed=streamed)
            assert heard.text == "Here."
            served = heard.headers["x-omni-provider"], heard.headers["x-omni-account"], stage.upstream.seen[-1].headers
            assert served[:2] == (PROVIDER[wire], PROVIDER[wire]), (how, client, model)
            assert "model-provider" not in served[2]
        await clients.close()


@pytest.mark.parametrize("how", HOW)
# C-29 C-31
async def test_counters_lists_and_vectors_of_a_named_provider(stage: Stage, how: str) -> None:
    for provider in PROVIDER.values():
        await stage.account(provider, provider, models=[f"only-{provider}", "test-model"], priority=9 if "anthropic" in provider else 1)
    clients = pinned_to(stage, "custom-gemini", how)
    for way, count in COUNTS.items():
        stage.upstream.seen.clear()
        stage.upstream.answer(whole({"totalTokens": 12, "input_tokens": 99}))
        told_count: Any = await count(clients)
        assert 12 in (getattr(told_count, "total_tokens", 0), getattr(told_count, "input_tokens", 0)), way
        assert [seen.path for seen in stage.upstream.seen] == ["/v1/models/test-model:countTokens"]
    stage.upstream.answer(embedded)
    assert (await clients.openai.embeddings.create(model="asked-model", input="one")).data[0].embedding == VECTORS[0]
    vectors = await clients.genai.aio.models.embed_content(model="asked-model", contents="one")
    assert vectors.embeddings and vectors.embeddings[0].values == VECTORS[0]
    assert all("mbedContent" in seen.path for seen in stage.upstream.seen[-2:])
    listed = {one.id async for one in clients.openai.models.list()}
    assert "only-custom-gemini" in listed and "only-custom-openai" not in listed
    await clients.close()


# C-29 C-31
async def test_a_provider_that_does_not_exist(stage: Stage) -> None:
    await stage.account(PROVIDER[CHAT])
    clients = Clients(f"{stage.rig.url}/nobody", stage.rig.key)
    for client in WIRE:
        with pytest.raises((openai.NotFoundError, anthropic.NotFoundError, errors.ClientError), match="no provider 'nobody'"):
            await clients.ask(client, ask(client, user(client, "hi")))
    for count in COUNTS.values():
        with pytest.raises((openai.NotFoundError, anthropic.NotFoundError, errors.ClientError), match="no provider 'nobody'"):
            await count(clients)
    with pytest.raises(openai.NotFoundError, match="no provider 'nobody'"):
        await clients.openai.models.list()
    assert not stage.upstream.seen
    await clients.close()


async def test_kept_answers_below_a_providers_path(stage: Stage) -> None:
    await stage.account(PROVIDER[CHAT])
    clients = Clients(f"{stage.rig.url}/custom-openai", stage.rig.key)
    stage.upstream.answer(told(Said("first answer"), CHAT, False))
    first = await clients.openai.responses.create(model="asked-model", input="first words")
    await clients.openai.responses.create(model="asked-model", input="more", previous_response_id=first.id)
    assert "first answer" in stage.upstream.seen[-1].raw.decode()
    assert (await clients.openai.responses.retrieve(first.id)).output_text == "first answer"
    await clients.close()
