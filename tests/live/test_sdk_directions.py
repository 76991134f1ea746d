"""The vendors' own SDKs against the live server, in all four directions: what left for the provider, and what came back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.live.answers import CHAT, MESSAGES, Call, Said, Tokens, chat_chunk
from tests.live.conftest import Json, Stage
from tests.serving import stream

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRE = {"openai": CHAT, "anthropic": MESSAGES}
DIRECTIONS = pytest.mark.parametrize("way", [f"{client}>{provider}" for client in WIRE for provider in WIRE])
"""Client SDK > provider."""
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = "JVBERi0xLjQKJSBzbWFsbAolJUVPRgo="
PHOTO = "https://pictures.example.com/cat.jpg"
WEATHER: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}


def sides(way: str) -> tuple[str, str]:
    client, _, provider = way.partition(">")
    return client, provider


def user(content: Any) -> Json:
    return {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": content}]}


def function(name: str, schema: Json) -> dict[str, Json]:
    """One tool in both formats, by client."""
    return {
        "openai": {"type": "function", "function": {"name": name, "description": f"does {name}", "parameters": schema}},
        "anthropic": {"name": name, "description": f"does {name}", "input_schema": schema},
    }


def counted(client: str, body: Json, streamed: bool) -> Json:
    """OpenAI's SDK tells usage in a stream only when it asks for it."""
    return {**body, "stream_options": {"include_usage": True}} if client == "openai" and streamed else body


def left(stage: Stage, way: str, translated: Json) -> None:
    """What reached the provider last: the client's own bytes but for the model (and the wish for usage), or exactly `translated`."""
    client, provider = sides(way)
    seen, sent = stage.upstream.seen[-1], json.loads(stage.clients.sent[-1])
    if client == provider:
        usage = {"stream_options": {"include_usage": True}} if provider == "openai" and sent.get("stream") else {}
        expected = {**sent, "model": "test-model", **usage}
        assert seen.raw == json.dumps(expected, separators=(",", ":"), ensure_ascii=False).encode()
        return
    for name in ("stream", "stream_options"):
        if name in seen.body:
            translated = {**translated, name: seen.body[name]}
    assert seen.body == {"model": "test-model", **translated}
    assert seen.body.get("stream") == sent.get("stream")
    assert seen.body.get("stream_options") == ({"include_usage": True} if sent.get("stream") and provider == "openai" else None)


# ---------------------------------------------------------------- Words

TEXT = 'Guten Tag, 世界 🌍!\n\n"Quoted" \\ and </tags>, tab\tend.'
CONVERSATION: list[Json] = [
    {"role": "user", "content": "Who wrote Faust?"},
    {"role": "assistant", "content": "Goethe."},
    {"role": "user", "content": "Greet me as he would, 🌍."},
]
TALK: dict[str, Json] = {
    "openai": {
        "messages": [{"role": "system", "content": "Be brief."}, *CONVERSATION],
        "max_tokens": 300,
        "stop": ["END", "FIN"],
        "temperature": 0.25,
    },
    "anthropic": {
        "messages": CONVERSATION,
        "system": "Be brief.",
        "max_tokens": 300,
        "stop_sequences": ["END", "FIN"],
        "extra_body": {"temperature": 0.25},  # this SDK has no argument for it any more
    },
}
TALK_LEFT: dict[str, Json] = {
    "openai": {
        "messages": [{"role": "system", "content": "Be brief."}, *CONVERSATION],
        "max_completion_tokens": 300,
        "stop": ["END", "FIN"],
        "temperature": 0.25,
    },
    "anthropic": {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": one["role"], "content": [{"type": "text", "text": one["content"]}]} for one in CONVERSATION],
        "max_tokens": 300,
        "stop_sequences": ["END", "FIN"],
        "temperature": 0.25,
    },
}


@DIRECTIONS
@STREAMED
@pytest.mark.parametrize("sync", [False, True], ids=["async", "sync"])
# O-13 O-14 O-17 O-22 C-21 C-24 C-35 C-36 J-01 R-05 P-40 P-42 P-56
async def test_a_conversation(stage: Stage, way: str, streamed: bool, sync: bool) -> None:
    client, provider = sides(way)
    account = await stage.account(provider)
    stage.upstream.answer(Said(TEXT, tokens=Tokens(fresh=40, cached=100, output=17)).answer(WIRE[provider], streamed))
    asked = counted(client, {"model": "asked-model", **TALK[client]}, streamed)

    heard = await stage.ask(client, asked, streamed=streamed, sync=sync)

    assert heard.text == TEXT
    assert heard.model == "asked-model"
    assert heard.finish == {"openai": "stop", "anthropic": "end_turn"}[client]
    assert (heard.input, heard.cached, heard.output) == (140, 100, 17)
    assert heard.id.startswith({"openai": "chatcmpl-", "anthropic": "msg_"}[client])

    left(stage, way, TALK_LEFT[provider])
    seen = stage.upstream.seen[-1]
    assert seen.path == {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[provider]
    credential = ("authorization", "Bearer sk-main-key-0123456789") if provider == "openai" else ("x-api-key", "sk-main-key-0123456789")
    assert {name: value for name, value in seen.headers.items() if name in ("authorization", "x-api-key")} == dict([credential])
    assert stage.rig.key not in str(seen)
    assert not [name for name in seen.headers if name.startswith(("x-stainless", "cookie", "openai-", "x-forwarded"))]

    head = heard.headers
    assert (head["x-omni-provider"], head["x-omni-account"], head["x-omni-model"]) == (provider, "main", "test-model")
    assert head["x-omni-attempts"] == "1" and "main only" in head["x-omni-route"]
    assert "x-omni-dropped" not in head
    assert head.get("x-omni-cost") == (None if streamed else "unknown")

    row = await stage.row()
    assert row["id"] == head["x-omni-request-id"]
    assert (row["outcome"], row["flag"], row["http_status"], row["stream"]) == ("ok", None, 200, streamed)
    assert (row["model_requested"], row["model"], row["account"]) == ("asked-model", "test-model", {"id": account["id"], "label": "main"})
    assert {name: row["usage"][name] for name in ("input", "cache_read", "output", "source")} == {
        "input": 40,
        "cache_read": 100,
        "output": 17,
        "source": "reported",
    }
    assert [(one["account"], one["status"], one["kind"]) for one in row["attempts"]] == [("main", 200, None)]
    assert row["protocol"] == WIRE[client] and row["client"].endswith("/Python")


# C-48 C-49
@pytest.mark.parametrize("provider", WIRE)
async def test_the_shape_of_a_chat_stream(stage: Stage, provider: str) -> None:
    """Role first, then words, then the finish reason, [DONE]; no usage chunk for a client that did not ask for one."""
    await stage.account(provider)
    stage.upstream.answer(Said("one two three").answer(WIRE[provider], True))
    body = {"model": "asked-model", "stream": True, "messages": [{"role": "user", "content": "count"}]}
    answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json=body, headers=stage.rig.bearer)
    blocks = answer.text.split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(block.removeprefix("data: ")) for block in blocks[:-2]]
    assert {(chunk["object"], chunk["model"]) for chunk in chunks} == {("chat.completion.chunk", "asked-model")}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    deltas = [chunk["choices"][0] for chunk in chunks]
    assert "".join(one["delta"].get("content") or "" for one in deltas) == "one two three"
    assert [one["finish_reason"] for one in deltas] == [None] * (len(deltas) - 1) + ["stop"]
    assert not any(chunk.get("usage") for chunk in chunks)
    assert (await stage.row())["usage"]["source"] == "reported"  # asked for all the same


async def test_a_host_that_spells_its_name_in_three_ways(stage: Stage) -> None:
    """Azure opens with an empty name and filter results, xAI writes its usage chunk with blanks; a `model` further inside stays."""
    await stage.account("openai")
    first = 'data: {"choices":[],"id":"","model":"","usage":null,"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    words = chat_chunk({"content": "hi", "tool": {"model": "inner"}})
    usage = 'data: {"model": "test-model-2026-01-31", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 1}}\n\n'
    stage.upstream.answer(stream(first + words + chat_chunk({}, "stop") + usage + "data: [DONE]\n\n"))
    for asked in ({}, {"stream_options": {"include_usage": True}}):
        body = {"model": "asked-model", "stream": True, "messages": [{"role": "user", "content": "hi"}], **asked}
        answer = await stage.clients.http.post(f"{stage.rig.url}/v1/chat/completions", json=body, headers=stage.rig.bearer)
        told = [json.loads(block.removeprefix("data: ")) for block in answer.text.split("\n\n")[:-2]]
        assert [chunk["model"] for chunk in told] == ["asked-model"] * (4 if asked else 3)
        assert told[0]["prompt_filter_results"] == [{"prompt_index": 0}]
        assert told[1]["choices"][0]["delta"]["tool"] == {"model": "inner"}


# C-18 J-04
async def test_five_at_once(stage: Stage) -> None:
    await stage.account("openai", "one")
    await stage.account("anthropic", "two")
    stage.upstream.answer(lambda seen: Said(str(seen.body["messages"])).answer(MESSAGES if "messages" in seen.path else CHAT, False))
    told = await asyncio.gather(*(stage.ask("openai", user(f"number {n}")) for n in range(5)))
    assert all(f"number {n}" in heard.text for n, heard in enumerate(told))


# O-13 O-15 O-16 O-17 J-10 P-47
@pytest.mark.parametrize(
    "name", ["auto", "anthropic", "claude", "test-model", "anthropic/test-model", "anthropic:test-model", "main/test-model"]
)
@STREAMED
async def test_names_of_a_model(stage: Stage, name: str, streamed: bool) -> None:
    """However a model is named, the provider gets its own id and the answer has the name that was asked for."""
    await stage.account("anthropic")
    stage.upstream.answer(Said("here").answer(MESSAGES, streamed))
    for client in WIRE:
        heard = await stage.ask(client, {**user("hi"), "model": name}, streamed=streamed)
        assert (heard.model, heard.headers["x-omni-model"]) == (name, "test-model")
        assert stage.upstream.seen[-1].body["model"] == "test-model"


# C-29 C-30 C-31 C-32
@pytest.mark.parametrize("client", WIRE)
async def test_a_provider_pinned_by_path_or_header(stage: Stage, client: str) -> None:
    await stage.account("openai", "first", priority=9)
    await stage.account("anthropic", "pinned")
    stage.upstream.answer(Said("pinned").answer(MESSAGES, False))
    path = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[client]
    for prefix, header in (("/anthropic", {}), ("", {"model-provider": "anthropic"})):
        for model in ("auto", "asked-model"):
            url = f"{stage.rig.url}{prefix}{path}"
            answer = await stage.clients.http.post(url, json={**user("hi"), "model": model}, headers={**stage.rig.bearer, **header})
            assert (answer.status_code, answer.headers["x-omni-account"], answer.json()["model"]) == (200, "pinned", model)
    assert {seen.path for seen in stage.upstream.seen} == {"/v1/messages"}
    wrong = await stage.clients.http.post(f"{stage.rig.url}/nobody{path}", json=user("hi"), headers=stage.rig.bearer)
    assert wrong.status_code == 404 and "nobody" in wrong.json()["error"]["message"]


# C-03 C-05 C-16 C-17 P-07 O-18
@pytest.mark.parametrize(("provider", "wire"), [("custom-openai", CHAT), ("custom-anthropic", MESSAGES), ("vllm", CHAT)])
async def test_servers_of_ones_own(stage: Stage, provider: str, wire: str) -> None:
    await stage.account(provider, api_key="", models=[])
    stage.upstream.answer(Said("from home").answer(wire, False))
    for client in WIRE:
        heard = await stage.ask(client, {**user("hi"), "model": f"{provider}/any-model:7b"})
        assert heard.text == "from home" and heard.model == f"{provider}/any-model:7b"
        assert stage.upstream.seen[-1].body["model"] == "any-model:7b"
        assert not {"authorization", "x-api-key"} & stage.upstream.seen[-1].headers.keys()


@pytest.mark.parametrize("client", WIRE)
async def test_what_it_cost(stage: Stage, client: str) -> None:
    """A million tokens read of a model whose list price everybody knows."""
    await stage.account("anthropic", models=["claude-haiku-4-5"], model_map={})
    stage.upstream.answer(Said("dear", tokens=Tokens(fresh=1_000_000, output=0)).answer(MESSAGES, False))
    heard = await stage.ask(client, {**user("hi"), "model": "claude-haiku-4-5"})
    assert float(heard.headers["x-omni-cost"]) == 1.0
    assert float((await stage.row())["cost"]["usd"]) == 1.0


# ---------------------------------------------------------------- Unknown fields


@pytest.mark.parametrize("client", WIRE)
async def test_unknown_fields_pass_to_the_same_format(stage: Stage, client: str) -> None:
    """CONTRACT §4: untouched but for `model`, also what nobody knows yet, also numbers no parser may round."""
    await stage.account(client)
    stage.upstream.answer(Said("ok").answer(WIRE[client], False))
    strange = b'{"a":[1.50, 12345678901234567890, "\\u00e9\xc3\xa9"]}'
    turns = b'[{"role":"user","content":"hi","k":null}]'
    raw = b'{ "z_new": %s,\n "model" : "asked-model","max_tokens":5,"messages":%s }' % (strange, turns)
    path, headers = {"openai": ("/v1/chat/completions", {}), "anthropic": ("/v1/messages", {"anthropic-beta": "new-2026-01-01"})}[client]
    answer = await stage.clients.http.post(f"{stage.rig.url}{path}", content=raw, headers={**stage.rig.bearer, **headers, "cookie": "a=b"})
    assert answer.status_code == 200
    seen = stage.upstream.seen[-1]
    assert seen.raw == b'{"z_new":%s,"model":"test-model","max_tokens":5,"messages":%s}' % (strange, turns)
    assert seen.headers.get("anthropic-beta") == headers.get("anthropic-beta")
    assert "cookie" not in seen.headers


@pytest.mark.parametrize("way", ["openai>anthropic", "anthropic>openai"])
async def test_what_cannot_be_said_is_named(stage: Stage, way: str) -> None:
    client, provider = sides(way)
    await stage.account(provider)
    stage.upstream.answer(Said("ok").answer(WIRE[provider], False))
    wishes: Json = {"openai": {"seed": 7, "logit_bias": {"5": 1}}, "anthropic": {"extra_body": {"top_k": 5}}}[client]
    heard = await stage.ask(client, {**user("hi"), **wishes})
    dropped = heard.headers["x-omni-dropped"]
    assert dropped.split(", ") == (await stage.row())["dropped"]
    assert ("seed" in dropped and "logit_bias" in dropped) if client == "openai" else dropped == "top_k"
    assert not {"seed", "logit_bias", "top_k"} & stage.upstream.seen[-1].body.keys()


# ---------------------------------------------------------------- Tools

CITY = function("get_weather", WEATHER)
CLOCK = function("get_time", {"type": "object", "properties": {}})
LISBON = Call("call_lisbon", "get_weather", {"city": "Lisboa ☀"})
NOON = Call("call_noon", "get_time", {})


def result(client: str, message: Any, results: list[tuple[str, str]]) -> list[Json]:
    """The turns a program adds after tool calls: the SDK's own message object, then its results."""
    if client == "openai":
        return [message, *({"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in results)]
    blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in results]
    return [{"role": "assistant", "content": message.content}, {"role": "user", "content": blocks}]


TOOL_TURNS_LEFT: dict[str, list[Json]] = {
    "openai": [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "call_lisbon", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Lisboa ☀"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_lisbon", "content": "sunny, 25°"},
    ],
    "anthropic": [
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "call_lisbon", "name": "get_weather", "input": {"city": "Lisboa ☀"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_lisbon", "content": [{"type": "text", "text": "sunny, 25°"}]}],
        },
    ],
}


@DIRECTIONS
@STREAMED
async def test_a_tool_call_and_its_result(stage: Stage, way: str, streamed: bool) -> None:
    client, provider = sides(way)
    await stage.account(provider)
    call, rest = Said("Let me look.", calls=(LISBON,)), Said("It is sunny.")
    stage.upstream.answer(call.answer(WIRE[provider], streamed), rest.answer(WIRE[provider], streamed))
    asked = {**user("Weather?"), "tools": [CITY[client]]}

    first = await stage.ask(client, asked, streamed=streamed)
    assert first.calls == [("call_lisbon", "get_weather", {"city": "Lisboa ☀"})]
    assert (first.text, first.finish) == ("Let me look.", {"openai": "tool_calls", "anthropic": "tool_use"}[client])

    turns = [*asked["messages"], *result(client, first.message, [("call_lisbon", "sunny, 25°")])]
    second = await stage.ask(client, {**asked, "messages": turns}, streamed=streamed)
    assert second.text == "It is sunny."
    limit = {"openai": "max_completion_tokens", "anthropic": "max_tokens"}[provider]
    left(stage, way, {limit: 300, "tools": [CITY[provider]], "messages": TOOL_TURNS_LEFT[provider]})


@DIRECTIONS
@STREAMED
# C-50
async def test_parallel_calls(stage: Stage, way: str, streamed: bool) -> None:
    """Arguments of two calls told in turns arrive whole, in order, and nothing is said beside them."""
    client, provider = sides(way)
    await stage.account(provider)
    long = Call("call_lisbon", "get_weather", {"city": 'São "Paulo" \\ 🌧', "days": list(range(20))})
    stage.upstream.answer(Said(calls=(long, NOON)).answer(WIRE[provider], streamed), Said("done").answer(WIRE[provider], streamed))
    asked = {**user("Both?"), "tools": [CITY[client], CLOCK[client]]}
    heard = await stage.ask(client, asked, streamed=streamed)
    assert heard.calls == [(call.id, call.name, call.arguments) for call in (long, NOON)]
    assert heard.text == "" and heard.finish == {"openai": "tool_calls", "anthropic": "tool_use"}[client]
    if client == "openai" and not streamed:
        assert heard.message.content is None

    turns = [*asked["messages"], *result(client, heard.message, [("call_lisbon", "rain"), ("call_noon", "12:00")])]
    await stage.ask(client, {**asked, "messages": turns}, streamed=streamed)
    told = stage.upstream.seen[-1].body["messages"]
    if provider == "openai":
        assert [(one["role"], one.get("tool_call_id")) for one in told[-2:]] == [("tool", "call_lisbon"), ("tool", "call_noon")]
        assert [json.loads(one["function"]["arguments"]) for one in told[-3]["tool_calls"]] == [long.arguments, {}]
    else:
        assert [block["tool_use_id"] for block in told[-1]["content"]] == ["call_lisbon", "call_noon"]
        assert [block["input"] for block in told[-2]["content"]] == [long.arguments, {}]


FORCED: dict[str, dict[str, Json]] = {
    "named": {
        "openai": {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}},
        "anthropic": {"tool_choice": {"type": "tool", "name": "get_weather"}},
    },
    "any": {"openai": {"tool_choice": "required"}, "anthropic": {"tool_choice": {"type": "any"}}},
    "none": {"openai": {"tool_choice": "none"}, "anthropic": {"tool_choice": {"type": "none"}}},
    "one at a time": {
        "openai": {"tool_choice": "auto", "parallel_tool_calls": False},
        "anthropic": {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    },
}


@DIRECTIONS
@pytest.mark.parametrize("force", FORCED)
async def test_forced_tools(stage: Stage, way: str, force: str) -> None:
    client, provider = sides(way)
    await stage.account(provider)
    stage.upstream.answer(Said(calls=(LISBON,)).answer(WIRE[provider], False))
    heard = await stage.ask(client, {**user("Weather?"), "tools": [CITY[client]], **FORCED[force][client]})
    assert heard.calls
    asked_for = {name: stage.upstream.seen[-1].body.get(name) for name in FORCED[force][provider]}
    assert asked_for == FORCED[force][provider]


# ---------------------------------------------------------------- Media

MEDIA: dict[str, dict[str, Json]] = {
    "image": {
        "openai": {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    },
    "image by address": {
        "openai": {"type": "image_url", "image_url": {"url": PHOTO}},
        "anthropic": {"type": "image", "source": {"type": "url", "url": PHOTO}},
    },
    "document": {
        "openai": {"type": "file", "file": {"filename": "note.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        "anthropic": {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "note.pdf",
        },
    },
}


@DIRECTIONS
@pytest.mark.parametrize("kind", MEDIA)
async def test_pictures_and_papers(stage: Stage, way: str, kind: str) -> None:
    client, provider = sides(way)
    await stage.account(provider)
    stage.upstream.answer(Said("I see.").answer(WIRE[provider], False))
    question = {"type": "text", "text": "What is this?"}
    heard = await stage.ask(client, user([question, MEDIA[kind][client]]))
    assert heard.text == "I see."
    limit = {"openai": "max_completion_tokens", "anthropic": "max_tokens"}[provider]
    left(stage, way, {limit: 300, "messages": [{"role": "user", "content": [question, MEDIA[kind][provider]]}]})


# ---------------------------------------------------------------- Structured output

SHAPE: dict[str, Json] = {
    "openai": {
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": WEATHER}},
    },
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": WEATHER}}},
}


@DIRECTIONS
@STREAMED
async def test_structured_output(stage: Stage, way: str, streamed: bool) -> None:
    client, provider = sides(way)
    await stage.account(provider)
    stage.upstream.answer(Said('{"city":"Köln"}').answer(WIRE[provider], streamed))
    heard = await stage.ask(client, {**user("Where?"), **SHAPE[client]}, streamed=streamed)
    assert json.loads(heard.text) == {"city": "Köln"}
    body = stage.upstream.seen[-1].body
    assert {name: body.get(name) for name in SHAPE[provider]} == SHAPE[provider]


# ---------------------------------------------------------------- How an answer ends, and what it took

ENDS: dict[str, list[tuple[str, str, str]]] = {
    "openai": [
        ("stop", "stop", "end_turn"),
        ("length", "length", "max_tokens"),
        ("content_filter", "content_filter", "refusal"),
    ],
    "anthropic": [
        ("end_turn", "stop", "end_turn"),
        ("max_tokens", "length", "max_tokens"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("pause_turn", "stop", "pause_turn"),
        ("refusal", "content_filter", "refusal"),
        ("model_context_window_exceeded", "length", "model_context_window_exceeded"),
    ],
}
"""Provider → (its word, what an OpenAI client reads, what an Anthropic client reads)."""


@STREAMED
@pytest.mark.parametrize("client", WIRE)
@pytest.mark.parametrize(
    ("provider", "word", "to_openai", "to_anthropic"), [(provider, *end) for provider in ENDS for end in ENDS[provider]]
)
async def test_how_it_ended(stage: Stage, client: str, provider: str, word: str, to_openai: str, to_anthropic: str, streamed: bool) -> None:
    await stage.account(provider)
    sequence = "END" if word == "stop_sequence" else None
    stage.upstream.answer(Said("so far", finish=word, stop_sequence=sequence).answer(WIRE[provider], streamed))
    heard = await stage.ask(client, user("go on"), streamed=streamed)
    assert heard.finish == {"openai": to_openai, "anthropic": to_anthropic}[client]
    assert heard.text == "so far"
    if client == "anthropic":
        assert heard.message.stop_sequence == sequence
    assert (await stage.row())["outcome"] == "ok"


@STREAMED
@pytest.mark.parametrize("client", WIRE)
async def test_a_refusal_in_words(stage: Stage, client: str, streamed: bool) -> None:
    await stage.account("openai")
    stage.upstream.answer(Said(refusal="I will not do that.").answer(CHAT, streamed))
    heard = await stage.ask(client, user("…"), streamed=streamed)
    if client == "openai":
        assert (heard.message.refusal, heard.text, heard.finish) == ("I will not do that.", "", "stop")
    else:
        assert (heard.text, heard.finish) == ("I will not do that.", "refusal")


@DIRECTIONS
@STREAMED
async def test_every_count(stage: Stage, way: str, streamed: bool) -> None:
    """Cached tokens are inside OpenAI's prompt count and outside Anthropic's; reasoning is inside both outputs."""
    client, provider = sides(way)
    await stage.account(provider)
    tokens = Tokens(fresh=40, cached=1000, written=0 if provider == "openai" else 300, output=90, reasoning=64)
    stage.upstream.answer(Said("thought through", tokens=tokens).answer(WIRE[provider], streamed))
    heard = await stage.ask(client, counted(client, user("think"), streamed), streamed=streamed)
    assert (heard.input, heard.cached, heard.output, heard.reasoning) == (1040 + tokens.written, 1000, 90, 64)
    if client == "anthropic":
        assert heard.message.usage.input_tokens == 40
        assert (heard.message.usage.cache_creation_input_tokens or 0) == tokens.written
    used = (await stage.row())["usage"]
    assert (used["input"], used["cache_read"], used["cache_write"] or 0) == (40, 1000, tokens.written)
    assert (used["output"], used["reasoning"], used["source"]) == (90, 64, "reported")


@DIRECTIONS
@STREAMED
async def test_a_whole_answer_where_a_stream_was_asked_for(stage: Stage, way: str, streamed: bool) -> None:
    """Some servers ignore `stream`; the client gets what it asked for all the same."""
    client, provider = sides(way)
    await stage.account(provider)
    stage.upstream.answer(Said("all at once", calls=(LISBON,)).answer(WIRE[provider], False))
    heard = await stage.ask(client, user("hi"), streamed=streamed)
    assert (heard.text, heard.model) == ("all at once", "asked-model")
    assert heard.calls == [("call_lisbon", "get_weather", {"city": "Lisboa ☀"})]
