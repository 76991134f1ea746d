"""Thoughts and their proofs through the live server: exact to whoever minted them, dropped for everybody else, never forged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live.answers import CHAT, MESSAGES, Call, Said, dense
from tests.live.asking import Heard
from tests.live.conftest import Json, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: dict[str, Json] = {
    "openai": {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    "anthropic": {"name": "get_weather", "input_schema": SCHEMA},
}
LOOK = Call("toolu_01", "get_weather", {"city": "Oslo"})
THOUGHTS = 'They ask for Oslo, "Norway" … ☁\n\nSo I look.'
SIGNATURE = "EqQBCgIYAhIkM2Q5/+abc=="
REDACTED = "EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIw=="
THINKING: dict[str, Json] = {
    "openai": {"reasoning_effort": "medium"},
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 8192}},
}


def ask(client: str, turns: list[Json], **more: Any) -> Json:
    return {"model": "asked-model", "max_tokens": 20000, "messages": turns, "tools": [TOOL[client]], **THINKING[client], **more}


QUESTION: Json = {"role": "user", "content": "Weather in Oslo?"}


def with_result(client: str, heard: Heard) -> list[Json]:
    """The history as a program keeps it: the SDK's own objects, then the tool's result."""
    if client == "openai":
        return [QUESTION, heard.message, {"role": "tool", "tool_call_id": LOOK.id, "content": "snow"}]
    result = {"type": "tool_result", "tool_use_id": LOOK.id, "content": "snow"}
    return [QUESTION, {"role": "assistant", "content": heard.message.content}, {"role": "user", "content": [result]}]


async def think(stage: Stage, client: str, wire: str, said: Said, streamed: bool) -> Heard:
    stage.upstream.answer(said.answer(wire, streamed), Said("It snows.").answer(wire, streamed))
    return await stage.ask(client, ask(client, [QUESTION]), streamed=streamed)


CLAUDE = Said("Let me see.", thoughts=THOUGHTS, signature=SIGNATURE, redacted=REDACTED, calls=(LOOK,))
BLOCK: Json = {"type": "thinking", "thinking": THOUGHTS, "signature": SIGNATURE}
BLACK: Json = {"type": "redacted_thinking", "data": REDACTED}


@STREAMED
# P-42
async def test_anthropic_to_anthropic_byte_for_byte(stage: Stage, streamed: bool) -> None:
    await stage.account("anthropic")
    heard = await think(stage, "anthropic", MESSAGES, CLAUDE, streamed)
    assert [block.to_dict() for block in heard.message.content[:2]] == [BLOCK, BLACK]
    assert stage.upstream.seen[-1].body["thinking"] == THINKING["anthropic"]["thinking"]
    await stage.ask("anthropic", ask("anthropic", with_result("anthropic", heard)), streamed=streamed)
    for proof in (dense({"thinking": THOUGHTS})[1:-1], SIGNATURE, REDACTED):
        assert proof.encode() in stage.upstream.seen[-1].raw
    assert stage.upstream.seen[-1].body["messages"][1]["content"][:2] == [BLOCK, BLACK]


@STREAMED
# P-40
async def test_an_openai_client_carries_claudes_signature(stage: Stage, streamed: bool) -> None:
    """What it gets as reasoning_details and sends back unread becomes the exact blocks again, before words and calls."""
    await stage.account("anthropic")
    heard = await think(stage, "openai", MESSAGES, CLAUDE, streamed)
    assert (heard.thoughts, heard.text) == (THOUGHTS, "Let me see.")
    assert stage.upstream.seen[-1].body["thinking"] == {"type": "enabled", "budget_tokens": 8192}
    assert SIGNATURE not in str(heard.message.reasoning_details)  # sealed: nobody takes it for a value of this format
    await stage.ask("openai", ask("openai", with_result("openai", heard)), streamed=streamed)
    seen = stage.upstream.seen[-1].body
    assert seen["messages"][1]["content"] == [
        BLOCK,
        BLACK,
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "toolu_01", "name": "get_weather", "input": {"city": "Oslo"}},
    ]
    assert seen["thinking"]["type"] == "enabled"
    assert not (await stage.row())["dropped"]


@STREAMED
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_claudes_thoughts_do_not_reach_another_provider(stage: Stage, client: str, streamed: bool) -> None:
    claude = await stage.account("anthropic")
    heard = await think(stage, client, MESSAGES, CLAUDE, streamed)
    await stage.rig.gateway.admin.remove_account(claude["id"])
    await stage.account("openai")
    stage.upstream.answer(Said("It snows.").answer(CHAT, streamed))
    after = await stage.ask(client, ask(client, with_result(client, heard)), streamed=streamed)
    assert after.text == "It snows."
    raw = stage.upstream.seen[-1].raw.decode()
    for secret in (SIGNATURE, REDACTED, "omni1.", "They ask for Oslo", "reasoning_details", "redacted"):
        assert secret not in raw
    assert stage.upstream.seen[-1].body["messages"][1]["content"] == "Let me see."
    assert "reasoning" in after.headers["x-omni-dropped"]


@STREAMED
async def test_nor_another_model_of_claudes_house(stage: Stage, streamed: bool) -> None:
    """A signature is good for the model that gave it; for another one the block is left out, not imitated."""
    claude = await stage.account("anthropic")
    heard = await think(stage, "openai", MESSAGES, CLAUDE, streamed)
    await stage.rig.gateway.admin.remove_account(claude["id"])
    await stage.account("anthropic", models=["another-model"], model_map={"asked-model": "another-model"})
    after = await stage.ask("openai", ask("openai", with_result("openai", heard)), streamed=streamed)
    seen = stage.upstream.seen[-1].body
    assert [block["type"] for block in seen["messages"][1]["content"]] == ["text", "tool_use"]
    assert "thinking" not in seen  # an open tool loop without its thought: the API would refuse to think on
    assert "thinking" in after.headers["x-omni-dropped"]


DEEP = Said("Let me see.", thoughts=THOUGHTS, calls=(LOOK,))


@STREAMED
async def test_an_anthropic_client_hears_a_chat_model_think(stage: Stage, streamed: bool) -> None:
    """DeepSeek gives thoughts without proof and wants them back within a tool loop."""
    deepseek = await stage.account("deepseek")
    heard = await think(stage, "anthropic", CHAT, DEEP, streamed)
    assert heard.thoughts == THOUGHTS
    signature = heard.message.content[0].signature
    assert signature.startswith("omni1.")  # plainly ours: the SDK demands one, and none of the vendor's is invented
    assert stage.upstream.seen[-1].body["thinking"] == {"type": "enabled"}

    await stage.ask("anthropic", ask("anthropic", with_result("anthropic", heard)), streamed=streamed)
    turn = stage.upstream.seen[-1].body["messages"][1]
    assert (turn["reasoning_content"], turn["content"]) == (THOUGHTS, "Let me see.")
    assert "omni1." not in stage.upstream.seen[-1].raw.decode()

    await stage.rig.gateway.admin.remove_account(deepseek["id"])
    await stage.account("anthropic")
    stage.upstream.answer(Said("It snows.").answer(MESSAGES, streamed))
    after = await stage.ask("anthropic", ask("anthropic", with_result("anthropic", heard)), streamed=streamed)
    assert after.text == "It snows."
    raw = stage.upstream.seen[-1].raw.decode()
    assert "omni1." not in raw and "They ask for Oslo" not in raw
    assert "thinking" in after.headers["x-omni-dropped"]


DETAIL: Json = {"type": "reasoning.text", "text": THOUGHTS, "signature": SIGNATURE, "format": "anthropic-claude-v1", "index": 0}
ROUTED = Said("Let me see.", thoughts=THOUGHTS, details=(DETAIL,), calls=(LOOK,))


@STREAMED
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_openrouters_details_come_back_whole(stage: Stage, client: str, streamed: bool) -> None:
    openrouter = await stage.account("openrouter")
    heard = await think(stage, client, CHAT, ROUTED, streamed)
    await stage.ask(client, ask(client, with_result(client, heard)), streamed=streamed)
    assert stage.upstream.seen[-1].body["messages"][1]["reasoning_details"] == [DETAIL]

    await stage.rig.gateway.admin.remove_account(openrouter["id"])
    await stage.account("anthropic")
    stage.upstream.answer(Said("It snows.").answer(MESSAGES, streamed))
    await stage.ask(client, ask(client, with_result(client, heard)), streamed=streamed)
    raw = stage.upstream.seen[-1].raw.decode()
    assert SIGNATURE not in raw and "omni1." not in raw
    assert json.loads(raw)["messages"][1]["content"][0] == {"type": "text", "text": "Let me see."}


async def test_a_history_of_two_houses(stage: Stage) -> None:
    """Claude's own bare block stays exact in a history that also holds another model's sealed thought."""
    deepseek = await stage.account("deepseek")
    heard = await think(stage, "anthropic", CHAT, DEEP, False)
    await stage.rig.gateway.admin.remove_account(deepseek["id"])
    await stage.account("anthropic")
    stage.upstream.answer(Said("It snows.").answer(MESSAGES, False))
    own = {"role": "assistant", "content": [BLOCK, BLACK, {"type": "text", "text": "Snow."}]}
    turns = [*with_result("anthropic", heard), own, {"role": "user", "content": "Thanks"}]
    await stage.ask("anthropic", ask("anthropic", turns))
    told = stage.upstream.seen[-1].body["messages"]
    assert told[3]["content"] == own["content"]
    assert [block["type"] for block in told[1]["content"]] == ["text", "tool_use"]
    assert stage.upstream.seen[-1].headers["x-api-key"]


# P-42
async def test_effort_and_display_in_each_others_words(stage: Stage) -> None:
    """An Anthropic client's budget is an effort for OpenAI; "no thoughts" is not turned into some."""
    await stage.account("openai")
    stage.upstream.answer(Said("ok").answer(CHAT, False))
    await stage.ask("anthropic", ask("anthropic", [QUESTION]))
    assert stage.upstream.seen[-1].body["reasoning_effort"] == "medium"
    await stage.ask("anthropic", ask("anthropic", [QUESTION], thinking={"type": "disabled"}))
    assert "reasoning_effort" not in stage.upstream.seen[-1].body
