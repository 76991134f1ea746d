"""Tool loops run to their end by the vendors' SDKs, in all four client formats over providers of all four: parallel calls, results in
another order, and the loops that SDKs run by themselves (Anthropic's tool runner, Google's automatic function calling)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest
from google.genai import types

from tests.live.answers import MESSAGES, Call, Said
from tests.live.answers_more import GEMINI, told
from tests.live.asking import Heard
from tests.live.conftest import Json, Stage
from tests.live.test_formats import CALLS, PROVIDER, STOP, STREAMED, WAYS, ask, results, tools, user
from tests.serving import Answer, Seen, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRES = pytest.mark.parametrize("wire", list(PROVIDER))
LISBON = Call("call_lisbon", "get_weather", {"city": "Lisboa ☀"})
OSLO = Call("call_oslo", "get_weather", {"city": 'Oslo "N" \\ ☁'})
WEATHER = {"Lisboa ☀": "25°", 'Oslo "N" \\ ☁': "-3°"}


def get_weather(city: str) -> str:
    """The weather.

    Args:
        city: Name of the city.
    """
    return WEATHER[city]


def answered_backwards(client: str, heard: Heard) -> list[Json]:
    """What a program adds whose second tool was ready first: each result names its call, so the order says nothing."""
    late_first = [(call_id, get_weather(**arguments)) for call_id, _, arguments in reversed(heard.calls)]
    if client == "openai":
        return [heard.message, *({"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in late_first)]
    if client == "anthropic":
        blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in late_first]
        return [{"role": "assistant", "content": heard.message.content}, {"role": "user", "content": blocks}]
    if client == "responses":
        said = [item.model_dump(exclude_none=True) for item in heard.message.output]
        return [*said, *({"type": "function_call_output", "call_id": call_id, "output": text} for call_id, text in late_first)]
    # Without ids only the order says whose result it is; with them, they are kept.
    named = all(call_id for call_id, _, _ in heard.calls)
    rows = late_first if named else late_first[::-1]
    parts = [
        {"functionResponse": {"name": "get_weather", "response": {"output": text}, **({"id": one} if named else {})}} for one, text in rows
    ]
    return [heard.message, {"role": "user", "parts": parts}]


def paired(body: Json, wire: str) -> list[tuple[Any, str]]:
    """(arguments of the call, its result) as they reached the provider, in the order of the calls."""
    if wire != GEMINI:
        told_results = dict(results(body, wire))
        return [(LISBON.arguments, told_results[LISBON.id]), (OSLO.arguments, told_results[OSLO.id])]
    parts = [part for turn in body["contents"] for part in turn["parts"]]
    calls = [part["functionCall"]["args"] for part in parts if "functionCall" in part]
    return list(zip(calls, (text for _, text in results(body, wire)), strict=True))


@WAYS
# C-09 C-13 C-50 P-56
async def test_parallel_calls_answered_in_another_order(stage: Stage, client: str, wire: str) -> None:
    await stage.account(PROVIDER[wire])
    turn, offered = user(client, "Weather in both?"), tools(client)
    for streamed in (False, True):
        stage.upstream.answer(told(Said(calls=(LISBON, OSLO)), wire, streamed), told(Said("Mixed."), wire, streamed))
        first = await stage.ask(client, ask(client, turn, tools=offered), streamed=streamed)
        assert [(name, arguments) for _, name, arguments in first.calls] == [(call.name, call.arguments) for call in (LISBON, OSLO)]
        assert (first.text, first.finish) == ("", CALLS[client])
        second = await stage.ask(client, ask(client, turn, *answered_backwards(client, first), tools=offered), streamed=streamed)
        assert (second.text, second.finish) == ("Mixed.", STOP[client])
        assert paired(stage.upstream.seen[-1].body, wire) == [(LISBON.arguments, "25°"), (OSLO.arguments, "-3°")]


# ---------------------------------------------------------------- Loops that the SDKs run


@WIRES
@STREAMED
# C-09 C-25 C-26
async def test_googles_automatic_function_calling(stage: Stage, wire: str, streamed: bool) -> None:
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Let me look.", calls=(LISBON, OSLO)), wire, streamed), told(Said("Mixed."), wire, streamed))
    asked: Any = {"model": "asked-model", "contents": "Weather in both?", "config": types.GenerateContentConfig(tools=[get_weather])}
    models = stage.clients.genai.aio.models
    if streamed:
        texts = [chunk.text or "" async for chunk in await models.generate_content_stream(**asked)]
        assert "".join(texts) == "Let me look.Mixed."
    else:
        response = await models.generate_content(**asked)
        assert response.text == "Mixed."
    assert len(stage.upstream.seen) == 2
    # The SDK wraps what the function gave into {"result": …}; a format whose results are text gets that object as JSON.
    form = "%s" if wire == GEMINI else '{"result":"%s"}'
    assert paired(stage.upstream.seen[-1].body, wire) == [(LISBON.arguments, form % "25°"), (OSLO.arguments, form % "-3°")]


def no_thread(seen: Seen) -> Answer | None:
    """What Anthropic says to a request that it cannot thread."""
    if "thread" not in seen.body:
        return None
    details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    error = {"type": "invalid_request_error", "message": "Threads are not supported here.", "details": details}
    return whole({"type": "error", "error": error}, 400)


async def run_tools(stage: Stage, streamed: bool) -> tuple[str, list[str]]:
    """The last message of Anthropic's tool runner, and the cities that it looked up."""
    looked_up: list[str] = []

    def look(city: str) -> str:
        looked_up.append(city)
        return get_weather(city)

    look.__name__, look.__doc__ = "get_weather", get_weather.__doc__
    asked: Any = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "Weather in both?"}]}
    runner: Any = stage.clients.anthropic_sync.beta.messages.tool_runner(**asked, tools=[anthropic.beta_tool(look)], stream=streamed)

    def drive() -> str:
        text = ""
        for turn in runner:
            message = turn.get_final_message() if streamed else turn
            text = "".join(block.text for block in message.content if block.type == "text")
        return text

    return await asyncio.to_thread(drive), looked_up


@WIRES
@STREAMED
# C-09 C-24
async def test_anthropics_tool_runner(stage: Stage, wire: str, streamed: bool) -> None:
    """clients.md finding 5: it asks for a thread first, and goes on by itself, with the whole history, when there is none."""
    await stage.account(PROVIDER[wire])
    answers = [told(Said(calls=(LISBON, OSLO)), wire, streamed), told(Said("Mixed."), wire, streamed)]
    stage.upstream.answer(lambda seen: no_thread(seen) or answers.pop(0))
    text, looked_up = await run_tools(stage, streamed)
    assert (text, looked_up) == ("Mixed.", [LISBON.arguments["city"], OSLO.arguments["city"]])
    bodies = [seen.body for seen in stage.upstream.seen if "thread" not in seen.body]
    assert len(bodies) == 2 and not answers
    assert paired(bodies[-1], wire) == [(LISBON.arguments, "25°"), (OSLO.arguments, "-3°")]
    assert [json.loads(sent).get("thread", {}).get("type") for sent in stage.clients.sent] == ["create", None, None]
    # Only Anthropic's own format can ask the provider; elsewhere the gateway knows the answer.
    assert len(stage.upstream.seen) == (3 if wire == MESSAGES else 2)


@STREAMED
async def test_a_thread_at_a_provider_that_keeps_it(stage: Stage, streamed: bool) -> None:
    """clients.md finding 5: the wish passes as it is, and so does a turn that holds nothing but the results."""
    await stage.account(PROVIDER[MESSAGES])
    stage.upstream.answer(told(Said(calls=(LISBON,)), MESSAGES, streamed), told(Said("Sunny."), MESSAGES, streamed))
    assert await run_tools(stage, streamed) == ("Sunny.", ["Lisboa ☀"])
    first, second = (seen.body for seen in stage.upstream.seen)
    assert first["thread"] == {"type": "create"}
    assert second["thread"] == {"type": "continue", "previous_message_id": "msg_01A"}
    assert [block["type"] for turn in second["messages"] for block in turn["content"]] == ["tool_result"]
    assert "message-threads-2026-08-12" in stage.upstream.seen[0].headers["anthropic-beta"]


async def test_a_thread_that_another_account_keeps(stage: Stage) -> None:
    """clients.md finding 5: what Anthropic says of a thread it does not know reaches the SDK, which then tells everything."""
    await stage.account(PROVIDER[MESSAGES])
    lost = {"type": "not_found_error", "message": "No usable thread state was found.", "details": {"error_code": "thread_not_found"}}
    answers = [told(Said(calls=(LISBON,)), MESSAGES, False), told(Said("Sunny."), MESSAGES, False)]

    def forgetful(seen: Seen) -> Answer:
        unknown = seen.body.get("thread", {}).get("type") == "continue"
        return whole({"type": "error", "error": lost}, 404) if unknown else answers.pop(0)

    stage.upstream.answer(forgetful)
    assert await run_tools(stage, False) == ("Sunny.", ["Lisboa ☀"])
    assert [seen.body["thread"]["type"] for seen in stage.upstream.seen] == ["create", "continue", "create"]


@WIRES
# C-09 C-23
async def test_the_stream_helper_of_responses(stage: Stage, wire: str) -> None:
    """`responses.stream()` keeps a snapshot of its own and stumbles over any event that does not fit it."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Let me look.", calls=(LISBON, OSLO)), wire, True), told(Said("Mixed."), wire, True))
    turns: list[Any] = [{"role": "user", "content": "Weather in both?"}]
    asked: Any = {"model": "asked-model", "tools": tools("responses"), "store": False}
    async with stage.clients.openai.responses.stream(input=turns, **asked) as stream:
        events = [event async for event in stream]
        first = await stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == first.output_text == "Let me look."
    calls = [item for item in first.output if item.type == "function_call"]
    ends = [event.arguments for event in events if event.type == "response.function_call_arguments.done"]
    assert [json.loads(text) for text in ends] == [json.loads(call.arguments) for call in calls] == [LISBON.arguments, OSLO.arguments]
    turns += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in first.output]
    turns += [
        {"type": "function_call_output", "call_id": call.call_id, "output": get_weather(**json.loads(call.arguments))} for call in calls
    ]
    async with stage.clients.openai.responses.stream(input=turns, **asked) as stream:
        assert (await stream.get_final_response()).output_text == "Mixed."
    assert paired(stage.upstream.seen[-1].body, wire) == [(LISBON.arguments, "25°"), (OSLO.arguments, "-3°")]


@WIRES
# C-09 C-49
async def test_the_stream_helper_of_chat(stage: Stage, wire: str) -> None:
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Let me look.", calls=(LISBON, OSLO)), wire, True), told(Said("Mixed."), wire, True))
    turns: list[Any] = [{"role": "user", "content": "Weather in both?"}]
    asked: Any = {"model": "asked-model", "tools": tools("openai")}
    async with stage.clients.openai.chat.completions.stream(messages=turns, **asked) as stream:
        kinds = [event.type async for event in stream]
        message = (await stream.get_final_completion()).choices[0].message
    assert {"content.delta", "content.done", "tool_calls.function.arguments.done"} <= set(kinds)
    assert message.content == "Let me look."
    turns.append(message)
    asked_for = [(call.id, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    turns += [{"role": "tool", "tool_call_id": call_id, "content": get_weather(**arguments)} for call_id, arguments in asked_for]
    async with stage.clients.openai.chat.completions.stream(messages=turns, **asked) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content == "Mixed."
    assert paired(stage.upstream.seen[-1].body, wire) == [(LISBON.arguments, "25°"), (OSLO.arguments, "-3°")]


@WIRES
# C-09
async def test_a_chat_of_googles_sdk(stage: Stage, wire: str) -> None:
    """`chats` keeps the history, curates it, and sends all of it with every message."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(*(told(said, wire, True) for said in (Said(calls=(LISBON,)), Said("Sunny."), Said("You are welcome."))))
    chat = stage.clients.genai.aio.chats.create(model="asked-model", config=types.GenerateContentConfig(tools=[get_weather]))
    said = ["".join([part.text async for part in await chat.send_message_stream(text) if part.text]) for text in ("Weather?", "Thanks")]
    assert said == ["Sunny.", "You are welcome."]
    sent = json.dumps(stage.upstream.seen[-1].body, ensure_ascii=False)
    places = [sent.index(words) for words in ("Weather?", "25°", "Sunny.", "Thanks")]
    assert places == sorted(places)
