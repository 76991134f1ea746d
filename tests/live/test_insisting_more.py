"""What real clients insist on, points 13 to 20 of clients.md §1: see test_insisting.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product

import pytest

from tests.live.answers import CHAT, MESSAGES, Said
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.conftest import Json, Stage
from tests.live.test_formats import PROVIDER, SCHEMA, WIRE, ask, results, user
from tests.live.test_insisting import WIRES, post, words
from tests.serving import Answer, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")


# ---------------------------------------------------------------- 13, 19, 20: failures


def odd_refusal(wire: str) -> Answer:
    """A 400 whose type says that the server is to blame, as compatible hosts write it."""
    error: Json = {"message": "tools: 200 are too many", "type": "server_error", "code": 400}
    return whole({"error": {**error, "status": "FAILED"} if wire == GEMINI else error}, 400)


@WIRES
async def test_a_400_is_called_the_callers(stage: Stage, wire: str) -> None:  # clients.md finding 13; C-39
    """With another type three clients repeat the request four to eight times."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(odd_refusal(wire))
    for client, stream in product(WIRE, (False, True)):
        got = await post(stage, client, ask(client, user(client, "hi")), stream=stream)
        error = got.json()["error"]
        assert got.status_code == 400 and "are too many" in error["message"], (client, got.text)
        assert error.get("type", error.get("status")) == ("INVALID_ARGUMENT" if client == "gemini" else "invalid_request_error")
    assert len(stage.upstream.seen) == 8


@WIRES
async def test_when_to_come_back(stage: Stage, wire: str) -> None:  # clients.md finding 19; C-43 P-55
    """`Retry-After` in whole seconds, of the provider's limit and of the key's own; never a wait where waiting is no use."""
    account = await stage.account(PROVIDER[wire])
    key = (await stage.rig.gateway.admin.create_key({"name": f"seldom {wire}", "rpm": 1}))["key"]
    limit = {"error": {"message": "Slow down", "type": "rate_limit_error", "code": 429, "status": "RESOURCE_EXHAUSTED"}}
    for client in WIRE:
        await stage.rig.gateway.admin.clear_cooldown(account["id"])
        stage.upstream.answer(whole(limit, 429, retry_after="17"))
        got = await post(stage, client, ask(client, user(client, "hi")))
        assert got.status_code == 503 and 10 <= int(got.headers["retry-after"]) <= 17, client
        for body in ({**ask(client, user(client, "hi")), "model": "tset-model"}, {"model": "asked-model"}):
            assert "retry-after" not in (await post(stage, client, body)).headers, client
    await stage.rig.gateway.admin.clear_cooldown(account["id"])
    stage.upstream.answer(told(Said("once"), wire, False))
    assert (await post(stage, "openai", ask("openai", user("openai", "hi")), authorization=f"Bearer {key}")).status_code == 200
    for client in WIRE:
        got = await post(stage, client, ask(client, user(client, "hi")), authorization=f"Bearer {key}")
        assert got.status_code == 429 and 1 <= int(got.headers["retry-after"]) <= 60, client


EMPTY: dict[str, Callable[[], Answer]] = {
    "an error with status 200": lambda: whole({"error": {"message": "Upstream idle", "code": 502, "type": "server_error"}}),
    "nothing": lambda: Answer(200, {"content-type": "application/json"}, []),
    "a web page": lambda: Answer(200, {"content-type": "text/html"}, [b"<html><title>Sign in</title></html>"]),
    "an empty object": lambda: whole({}),
}


@WIRES
async def test_no_failure_looks_like_an_empty_answer(stage: Stage, wire: str) -> None:  # clients.md finding 20; C-45
    """Programs end with exit code 0 and no text when they are given an empty answer: it has to be an error."""
    account = await stage.account(PROVIDER[wire])
    for number, ((what, answer), client) in enumerate(product(EMPTY.items(), WIRE)):
        stream = (number + number // len(WIRE)) % 2 == 1  # each way of asking meets each failure in half of the formats
        await stage.rig.gateway.admin.clear_cooldown(account["id"])
        stage.upstream.answer(answer())
        got = await post(stage, client, ask(client, user(client, "hi")), stream=stream)
        assert got.status_code in (502, 503) and got.json()["error"]["message"], (what, client, stream, got.text)


# ---------------------------------------------------------------- 14, 15: Claude Code

NOTE = "<system-reminder>Be brief.</system-reminder>"
CLAUDE_CODE: Json = {
    "model": "asked-model",
    "max_tokens": 32_000,
    "stream": True,
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.329; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "What is here?", "cache_control": {"type": "ephemeral"}}]},
        {"role": "system", "content": NOTE},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "main.py",
                    "is_error": False,
                    "cache_control": {"type": "ephemeral"},
                },
            ],
        },
        {"role": "system", "content": "The date is now known."},
    ],
    "tools": [
        {"name": "Bash", "description": "Run.", "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMA}},
        {"name": "Later", "description": "Deferred.", "input_schema": SCHEMA, "defer_loading": True},
    ],
    "metadata": {"user_id": '{"device_id":"d","session_id":"s"}'},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "a_field_of_tomorrow": {"deep": [1.50]},
}
BETAS = "claude-code-20250219,thinking-token-count-2026-05-13,advanced-tool-use-2025-11-20,never-heard-of-2031-01-01"


@WIRES
@pytest.mark.parametrize("thinking", [CLAUDE_CODE["thinking"], {"type": "enabled", "budget_tokens": 31_999, "display": "omitted"}, None])
async def test_what_claude_code_sends(stage: Stage, wire: str, thinking: Json | None) -> None:  # clients.md finding 14, finding 15; P-56
    """Unknown betas, fields of tomorrow, `role: "system"` among the messages, `?beta=true`: never a 400, nothing of the words lost."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("main.py"), wire, True))
    body = {name: value for name, value in {**CLAUDE_CODE, "thinking": thinking}.items() if value is not None}
    headers = {
        **stage.rig.bearer,
        "anthropic-version": "2023-06-01",
        "anthropic-beta": BETAS,
        "x-app": "cli",
        "x-claude-code-session-id": "s",
    }
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/messages?beta=true", json=body, headers=headers)
    assert got.status_code == 200 and got.text.rstrip().endswith('"message_stop"}'), got.text
    seen = words(stage)
    for text in ("You are Claude Code.", "What is here?", NOTE, "main.py", "The date is now known.", "Bash", "Later"):
        assert text in seen
    places = [seen.index(text) for text in ("What is here?", NOTE, "main.py", "The date is now known.")]
    assert wire == GEMINI or places == sorted(places)
    if wire == MESSAGES:
        assert stage.upstream.seen[-1].body == {**body, "model": "test-model"}
        assert stage.upstream.seen[-1].headers["anthropic-beta"] == BETAS
    counted_body = {name: body[name] for name in ("model", "messages", "system", "tools")}
    for turns in (body["messages"], list[Json]()):
        address_of_count = f"{stage.rig.url}/v1/messages/count_tokens?beta=true"
        stage.upstream.answer(whole({"input_tokens": 7, "totalTokens": 7}))
        count = await stage.clients.http.post(address_of_count, json={**counted_body, "messages": turns}, headers=headers)
        assert count.status_code == 200 and count.json()["input_tokens"] > 0


# ---------------------------------------------------------------- 16, 17: Gemini's spellings and ids

MIXED: dict[str, Json] = {
    "camelCase": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 99, "responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    },
    "snake_case": {
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "generation_config": {"max_output_tokens": 99, "response_mime_type": "application/json", "response_json_schema": SCHEMA},
        "tools": [{"function_declarations": [{"name": "get_weather", "parameters_json_schema": SCHEMA}]}],
        "tool_config": {"function_calling_config": {"mode": "AUTO"}},
    },
    "as google-genai mixes them": {
        "systemInstruction": {"parts": [{"text": "Be brief."}], "role": "user"},
        "generationConfig": {"maxOutputTokens": 99, "responseMimeType": "application/json", "response_json_schema": SCHEMA},
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parameters_json_schema": SCHEMA}]}],
    },
    "upper-case types": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 99},
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "get_weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}
                ]
            }
        ],
    },
    "numbers for words": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 99},
        "tools": [{"functionDeclarations": [{"name": "get_weather", "parameters": {"type": 6, "properties": {"city": {"type": 1}}}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": 1}},
        "safetySettings": [{"category": 7, "threshold": 4}],
    },
}


@WIRES
@pytest.mark.parametrize("spelling", MIXED)
async def test_every_spelling_of_a_gemini_body(stage: Stage, wire: str, spelling: str) -> None:  # clients.md finding 16; C-14
    await stage.account(PROVIDER[wire], options={"features_add": ["json_schema"]})
    contents: list[Json] = [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": [{"function_call": {"name": "get_weather", "args": {"city": "Oslo"}}, "thoughtSignature": "c2ln"}]},
        {"role": "user", "parts": [{"function_response": {"name": "get_weather", "response": {"output": "-3°"}}}]},
    ]
    body = {"contents": contents, **MIXED[spelling]}
    path, key = "/v1beta/models/asked-model:", {"x-goog-api-key": stage.rig.key}
    for verb, streamed in (("generateContent", False), ("streamGenerateContent?alt=sse", True), ("streamGenerateContent", True)):
        stage.upstream.answer(told(Said("Cold."), wire, streamed))
        got = await stage.clients.http.post(f"{stage.rig.url}{path}{verb}", json=body, headers=key)
        assert got.status_code == 200 and "Cold." in got.text
        if verb == "streamGenerateContent":
            assert isinstance(got.json(), list), "without alt=sse a stream is one JSON array"
        seen = stage.upstream.seen[-1].body
        if wire == GEMINI:
            assert seen == body
            continue
        for text in ("Be brief.", "get_weather", "Oslo", "-3°", "city"):
            assert text in words(stage)
        assert 99 in (seen.get("max_tokens"), seen.get("max_output_tokens"), seen.get("max_completion_tokens"))
        assert schema_types(seen["tools"][0]) == ("object", "string")
        wants_schema = any(name in str(body) for name in ("responseJsonSchema", "response_json_schema"))
        assert ('"json_schema"' in words(stage)) == wants_schema


def schema_types(tool: Json) -> tuple[str, str]:
    """Types of the arguments and of the city in a tool of any format but Gemini's."""
    schema = tool.get("input_schema") or tool.get("parameters") or tool["function"]["parameters"]
    return schema["type"], schema["properties"]["city"]["type"]


@WIRES
async def test_numbers_asked_for_in_the_address(stage: Stage, wire: str) -> None:  # clients.md finding 16
    """google-generativeai asks for enums as numbers and reads words as well."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Cold."), wire, False))
    body, key = {"contents": [user("gemini", "hi")]}, {"x-goog-api-key": stage.rig.key}
    for query in ("?$alt=json;enum-encoding=int", "?alt=json"):
        got = await stage.clients.http.post(f"{stage.rig.url}/v1beta/models/asked-model:generateContent{query}", json=body, headers=key)
        assert got.status_code == 200 and got.json()["candidates"][0]["finishReason"] in ("STOP", 1)


@pytest.mark.parametrize("wire", [CHAT, MESSAGES, RESPONSES])
async def test_calls_without_ids_get_some(stage: Stage, wire: str) -> None:  # clients.md finding 17
    """By order and name: two calls of one tool and one of another, their results in the order that Google's SDKs send."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Cold."), wire, False))
    calls = [("get_weather", {"city": "Oslo"}), ("get_time", {"zone": "CET"}), ("get_weather", {"city": "Rom"})]
    answers = [("get_weather", "oslo-cold"), ("get_time", "noon"), ("get_weather", "rom-warm")]
    turns: list[Json] = [
        user("gemini", "Weather?"),
        {"role": "model", "parts": [{"functionCall": {"name": name, "args": args}} for name, args in calls]},
        {"role": "user", "parts": [{"functionResponse": {"name": name, "response": {"output": text}}} for name, text in answers]},
    ]
    got = await post(stage, "gemini", ask("gemini", *turns, *turns[1:]))
    assert got.status_code == 200, got.text
    body = stage.upstream.seen[-1].body
    made = calls_and_results(body, wire)
    assert [(args, text) for args, text in made] == [(args, text) for (_, args), (_, text) in zip(calls, answers, strict=True)] * 2


def calls_and_results(body: Json, wire: str) -> list[tuple[Json, str]]:
    """Arguments of each call and the result that names its id, in the order of the calls; ids must not repeat."""
    calls: list[tuple[str, Json]]
    if wire == CHAT:
        told_calls = [call for turn in body["messages"] for call in turn.get("tool_calls") or ()]
        calls = [(call["id"], json.loads(call["function"]["arguments"])) for call in told_calls]
    elif wire == RESPONSES:
        calls = [(item["call_id"], json.loads(item["arguments"])) for item in body["input"] if item.get("type") == "function_call"]
    else:
        parts = [block for turn in body["messages"] if isinstance(turn["content"], list) for block in turn["content"]]
        calls = [(block["id"], block["input"]) for block in parts if block["type"] == "tool_use"]
    assert len({call_id for call_id, _ in calls}) == len(calls), "every call has an id of its own"
    answers = dict(results(body, wire))
    return [(args, answers[call_id]) for call_id, args in calls]


# ---------------------------------------------------------------- 18: names that clients choose

CHOSEN = {
    "anthropic": ["claude-opus-5-5", "claude-haiku-5-5", "claude-sonnet-5-5", "claude-fable-5-2"],
    "gemini": ["gemini-3.5-flash-lite", "gemini-3.1-pro-preview", "models/gemini-3.8-flash"],
    "responses": ["gpt-6.1-sol"],
    "openai": ["gpt-4o-mini", "some/model:free"],
}


@WIRES
async def test_names_that_the_client_chose(stage: Stage, wire: str) -> None:  # clients.md finding 18; R-05
    """Titles, classifiers and aliases ask for models by names of their own: an alias serves them, or the default for all of them."""
    await stage.account(PROVIDER[wire])
    admin = stage.rig.gateway.admin
    stage.upstream.answer(told(Said("hi"), wire, False))
    for client, (name, *_) in CHOSEN.items():
        body, plain = {**ask(client, user(client, "hi")), "model": name}, name.removeprefix("models/")
        got = await post(stage, client, body)
        assert got.status_code == 404 and plain in got.text
        await admin.set_alias(plain, {"targets": [f"{PROVIDER[wire]}/asked-model"]})
        assert (await post(stage, client, body)).status_code == 200
        await admin.remove_alias(plain)
    await admin.set_config({"spoof_unknown_models": True})
    try:
        for client, name in ((client, name) for client, names in CHOSEN.items() for name in names):
            heard = await stage.ask(client, {**ask(client, user(client, "hi")), "model": name})
            assert heard.text == "hi"
            assert heard.model == name.removeprefix("models/") or (client, wire) == ("gemini", GEMINI)
            assert stage.upstream.seen[-1].body.get("model", "test-model") == "test-model"
    finally:
        await admin.set_config({"spoof_unknown_models": False})
