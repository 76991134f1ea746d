"""Corners of one format told in the other, with the vendors' own SDKs against the live server."""

from __future__ import annotations

import json

import openai
import pytest

from tests.live.answers import CHAT, MESSAGES, Said
from tests.live.conftest import Stage
from tests.live.test_sdk_directions import LISBON, MEDIA, STREAMED, WEATHER, user

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_old_functions_are_answered_in_their_own_dialect(stage: Stage) -> None:
    await stage.account("anthropic")
    stage.upstream.answer(Said(calls=(LISBON,)).answer(MESSAGES, False))
    function = {"name": "get_weather", "parameters": WEATHER}
    heard = await stage.ask("openai", {**user("Weather?"), "functions": [function], "function_call": {"name": "get_weather"}})
    assert (heard.message.function_call.name, heard.finish) == ("get_weather", "function_call")
    assert json.loads(heard.message.function_call.arguments) == {"city": "Lisboa ☀"}
    body = stage.upstream.seen[-1].body
    assert body["tools"] == [{"name": "get_weather", "input_schema": WEATHER}]
    assert body["tool_choice"]["name"] == "get_weather" and body["tool_choice"]["disable_parallel_tool_use"] is True


async def test_json_without_a_schema_and_several_instructions(stage: Stage) -> None:
    await stage.account("anthropic")
    stage.upstream.answer(Said("{}").answer(MESSAGES, False))
    turns = [{"role": "system", "content": "A."}, {"role": "developer", "content": "B."}, {"role": "user", "content": "go"}]
    heard = await stage.ask("openai", {"model": "asked-model", "messages": turns, "response_format": {"type": "json_object"}})
    system = [block["text"] for block in stage.upstream.seen[-1].body["system"]]
    assert system[:2] == ["A.", "B."] and "JSON" in system[2]
    assert stage.upstream.seen[-1].body["max_tokens"] > 0
    assert "json_object" in heard.headers["x-omni-dropped"]


async def test_what_would_change_the_meaning_is_refused(stage: Stage) -> None:
    """Two answers cannot be had from Anthropic: a 400 that names the field, and nobody cools."""
    account = await stage.account("anthropic")
    with pytest.raises(openai.BadRequestError) as caught:
        await stage.ask("openai", {**user("hi"), "n": 2})
    assert (caught.value.param, caught.value.type) == ("n", "invalid_request_error")
    assert not stage.upstream.seen
    assert (await stage.rig.gateway.admin.account(account["id"]))["status"] == "ready"
    spare = await stage.account("openai", "spare")
    stage.upstream.answer(Said("one of two").answer(CHAT, False))
    heard = await stage.ask("openai", {**user("hi"), "n": 2})
    assert heard.headers["x-omni-account"] == spare["label"]


async def test_a_tool_that_failed_and_one_that_drew(stage: Stage) -> None:
    """OpenAI's tool messages hold no pictures and no error mark: the picture follows, the mark is named as dropped."""
    await stage.account("openai")
    stage.upstream.answer(Said("I see.").answer(CHAT, False))
    calls = [{"type": "tool_use", "id": f"toolu_{n}", "name": "draw", "input": {}} for n in (1, 2)]
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [MEDIA["image"]["anthropic"]]},
        {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no ink", "is_error": True},
    ]
    turns = [{"role": "user", "content": "Draw"}, {"role": "assistant", "content": calls}, {"role": "user", "content": results}]
    tools = [{"name": "draw", "input_schema": {"type": "object", "properties": {}}}]
    heard = await stage.ask("anthropic", {"model": "asked-model", "max_tokens": 50, "messages": turns, "tools": tools})
    told = stage.upstream.seen[-1].body["messages"]
    assert [one["role"] for one in told] == ["user", "assistant", "tool", "tool", "user"]
    assert [one["tool_call_id"] for one in told[2:4]] == ["toolu_1", "toolu_2"] and "no ink" in told[3]["content"]
    assert MEDIA["image"]["openai"] in told[4]["content"]
    assert "is_error" in heard.headers["x-omni-dropped"]


@STREAMED
async def test_cache_markers_and_a_beginning_put_into_the_mouth(stage: Stage, streamed: bool) -> None:
    await stage.account("openai")
    stage.upstream.answer(Said("rest").answer(CHAT, streamed))
    marked = {"type": "text", "text": "Long rules.", "cache_control": {"type": "ephemeral"}}
    turns = [{"role": "user", "content": "Begin"}, {"role": "assistant", "content": "The"}]
    body = {"model": "asked-model", "max_tokens": 50, "system": [marked], "messages": turns}
    heard = await stage.ask("anthropic", body, streamed=streamed)
    assert stage.upstream.seen[-1].body["messages"] == [{"role": "system", "content": "Long rules."}, *turns]
    assert heard.headers["x-omni-dropped"] == "cache_control"
