"""What real clients insist on: one test at least for each of the twenty points of clients.md §1, named beside it, over providers of all
four formats. Points 13 to 20 are in test_insisting_more.py, 1 in test_sdk_shapes.py, 5 in test_sdk_loops.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import httpx2
import openai
import pytest

from omni_connector import gateway
from omni_connector.underway import Deadlines
from tests.live.answers import CHAT, MESSAGES, Call, Said
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.conftest import Json, Stage
from tests.live.test_client_api import embedded
from tests.live.test_formats import LISBON, PROVIDER, SCHEMA, WIRE, ask, tools, user
from tests.live.test_sdk_failures import torso
from tests.serving import Answer, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRES = pytest.mark.parametrize("wire", list(PROVIDER))
CLIENTS = pytest.mark.parametrize("client", list(WIRE))
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
PATH = {"openai": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages"}


def address(client: str, body: Json, *, stream: bool = False) -> tuple[str, Json]:
    """Path and body as a program without an SDK writes them. `body` has the model, for Gemini too."""
    if client != "gemini":
        return PATH[client], {**body, **({"stream": True} if stream else {})}
    rest = {name: value for name, value in body.items() if name != "model"}
    return f"/v1beta/models/{body['model']}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}", rest


async def post(stage: Stage, client: str, body: Json, *, stream: bool = False, **headers: str) -> httpx2.Response:
    path, rest = address(client, body, stream=stream)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await stage.clients.http.post(stage.rig.url + path, json=rest, headers={**stage.rig.bearer, **named})


def blocks(text: str) -> list[tuple[str, Any]]:
    """(event name or "", data) of a stream; data as JSON where it is."""
    out = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            data = fields["data"]
            out.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return out


def words(stage: Stage) -> str:
    """The body that reached the provider last."""
    return json.dumps(stage.upstream.seen[-1].body, ensure_ascii=False)


# ---------------------------------------------------------------- 2, 3, 4: addresses, keys, versions


@WIRES
async def test_both_addresses_of_googles_sdk(stage: Stage, wire: str) -> None:  # clients.md finding 2; C-25 C-26
    """Below /v1 as the newest SDKs ask and below /v1beta: whole, streamed, counted, embedded. Lists: test_sdk_shapes.py."""
    await stage.account(PROVIDER[wire])
    for google, prefix in ((stage.clients.genai, "/v1/"), (stage.clients.genai_beta, "/v1beta/")):
        asked: list[str] = []
        stage.clients.http.event_hooks["request"].append(lambda request, asked=asked: _note(asked, request))
        stage.upstream.answer(told(Said("hi"), wire, False), told(Said("hi"), wire, True), whole({"totalTokens": 3, "input_tokens": 3}))
        assert (await google.aio.models.generate_content(model="asked-model", contents="hi")).text == "hi"
        chunks = await google.aio.models.generate_content_stream(model="asked-model", contents="hi")
        assert "".join([chunk.text or "" async for chunk in chunks]) == "hi"
        assert ((await google.aio.models.count_tokens(model="asked-model", contents="hi")).total_tokens or 0) > 0
        if wire in (CHAT, GEMINI):
            stage.upstream.answer(embedded)
            assert (await google.aio.models.embed_content(model="asked-model", contents="one")).embeddings
        assert asked and all(path.startswith(prefix) for path in asked)
        stage.clients.http.event_hooks["request"].pop()


async def _note(asked: list[str], request: httpx2.Request) -> None:
    asked.append(request.url.path)


KEYS: dict[str, Callable[[str], Json]] = {
    "Bearer": lambda key: {"headers": {"authorization": f"Bearer {key}"}},
    "bare": lambda key: {"headers": {"authorization": key}},
    "x-api-key": lambda key: {"headers": {"x-api-key": key}},
    "x-goog-api-key": lambda key: {"headers": {"x-goog-api-key": key}},
    "?key=": lambda key: {"params": {"key": key}},
}


@pytest.mark.parametrize("kind", KEYS)
async def test_every_kind_of_key_on_every_route(stage: Stage, kind: str) -> None:  # clients.md finding 3; C-35…C-38 P-53
    await stage.account(PROVIDER[CHAT])
    stage.upstream.answer(lambda seen: embedded(seen) if "input" in seen.body else told(Said("hi"), CHAT, False))
    content = {"content": {"parts": [{"text": "x"}]}}
    bodies: list[tuple[str, Json | None]] = [(PATH[client], ask(client, user(client, "hi"))) for client in PATH]
    gemini = {"contents": [user("gemini", "hi")]}
    bodies += [
        (f"{version}/models/asked-model:{verb}", gemini)
        for version, verb in product(("/v1", "/v1beta"), ("generateContent", "countTokens"))
    ]
    bodies += [(f"{version}/models/asked-model:embedContent", content) for version in ("/v1", "/v1beta")]
    bodies += [("/v1/embeddings", {"model": "asked-model", "input": "x"}), ("/v1/completions", {"model": "asked-model", "prompt": "x"})]
    bodies += [("/v1/messages/count_tokens", ask("anthropic", user("anthropic", "hi"))), ("/v1/responses/input_tokens", {"input": "x"})]
    bodies += [(path, None) for path in ("/v1/models", "/v1beta/models", "/v1/models/asked-model", "/v1beta/models/asked-model")]
    for path, body in bodies:
        for key, status in ((stage.rig.key, 200), ("omni-nobody", 401)):
            sent = KEYS[kind](key)
            got = await stage.clients.http.request("GET" if body is None else "POST", stage.rig.url + path, json=body, **sent)
            assert got.status_code == status, (path, got.text)
    assert stage.rig.key not in str(stage.upstream.seen)


@pytest.mark.parametrize("version", ["2026-10-21", "2023-06-01", "2031-12-31"])
async def test_no_version_is_turned_away_and_each_is_passed_on(stage: Stage, version: str) -> None:  # clients.md finding 4
    account = await stage.account(PROVIDER[MESSAGES])
    stage.upstream.answer(told(Said("hi"), MESSAGES, False))
    assert (await post(stage, "anthropic", ask("anthropic", user("anthropic", "hi")), anthropic_version=version)).status_code == 200
    assert stage.upstream.seen[-1].headers["anthropic-version"] == version
    await stage.rig.gateway.admin.remove_account(account["id"])
    await stage.account(PROVIDER[CHAT])
    stage.upstream.answer(told(Said("hi"), CHAT, False))
    assert (await post(stage, "anthropic", ask("anthropic", user("anthropic", "hi")), anthropic_version=version)).status_code == 200


# ---------------------------------------------------------------- 6, 7: Codex

CODEX_TOOLS: list[Json] = [
    {
        "type": "namespace",
        "name": "functions",
        "tools": [
            {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
            {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False},
        ],
    },
]
SCRIPT = 'const r = await tools.exec_command({"cmd": "printf \\"ok\\n\\""});'


@WIRES
@STREAMED
async def test_tools_that_codex_sends_as_an_item(stage: Stage, wire: str, streamed: bool) -> None:  # clients.md finding 6
    """No `tools`, but an input item; a free-text call back, and its result as a list of parts."""
    await stage.account(PROVIDER[wire])
    script = Call("call_1", "exec", {"input": SCRIPT})
    stage.upstream.answer(codex_call(script, streamed) if wire == RESPONSES else told(Said(calls=(script,)), wire, streamed))
    tools_item = {"type": "additional_tools", "role": "developer", "tools": CODEX_TOOLS}
    items: list[Json] = [tools_item, {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]}]
    asked: Json = {"model": "asked-model", "input": items, "store": False, "include": ["reasoning.encrypted_content"], "stream": streamed}
    asked |= {"prompt_cache_key": "k", "client_metadata": {"a": "b"}, "text": {"verbosity": "low"}, "parallel_tool_calls": False}
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/responses", json=asked, headers=stage.rig.bearer)
    output = said_by_items(got.text) if streamed else got.json()["output"]
    (call,) = [item for item in output if item["type"].endswith("_call")]
    assert (call["type"], call["name"], call["input"]) == ("custom_tool_call", "exec", SCRIPT)
    seen = words(stage)
    assert "exec" in seen and "get_weather" in seen
    assert ("additional_tools" in seen) == (wire == RESPONSES)

    stage.upstream.answer(told(Said("Done."), wire, streamed))
    result = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": [{"type": "input_text", "text": "it-ran"}]}
    again = {**asked, "input": [*items, {key: call[key] for key in ("type", "call_id", "name", "input")}, result]}
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/responses", json=again, headers=stage.rig.bearer)
    assert "Done." in got.text and got.status_code == 200
    told_before = [text for text in strings(stage.upstream.seen[-1].body) if SCRIPT in (text, as_argument(text))]
    assert "it-ran" in words(stage) and len(told_before) == 1


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


def as_argument(text: str) -> Any:
    """The one argument that stands for a free text where tools have none; None for other texts."""
    value = json.loads(text) if text.startswith("{") else None
    return value.get("input") if isinstance(value, dict) else None


def codex_call(call: Call, streamed: bool) -> Answer:
    """What OpenAI answers to it."""
    text = call.arguments["input"]
    item = {"id": "ctc_1", "type": "custom_tool_call", "status": "completed", "call_id": call.id, "name": call.name, "input": text}
    head: Json = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item]}
    head["usage"] = {"input_tokens": 5, "output_tokens": 5, "total_tokens": 10}
    if not streamed:
        return whole(head)
    events: list[Json] = [
        {"type": "response.created", "response": {**head, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "input": "", "status": "in_progress"}},
        {"type": "response.custom_tool_call_input.delta", "output_index": 0, "item_id": "ctc_1", "delta": text},
        {"type": "response.custom_tool_call_input.done", "output_index": 0, "item_id": "ctc_1", "input": text},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": head},
    ]
    text = "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
    return Answer(200, {"content-type": "text/event-stream"}, [text.encode()])


def said_by_items(text: str) -> list[Json]:
    """Codex takes words and calls from `response.output_item.done` alone."""
    return [data["item"] for _, data in blocks(text) if data["type"] == "response.output_item.done"]


@pytest.mark.parametrize("path", ["/v1/responses", "/custom-openai/v1/responses"])
async def test_a_websocket_is_turned_down_with_426(stage: Stage, path: str) -> None:  # clients.md finding 7
    nonce = {"sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "openai-beta": "responses_websockets=2026-02-06", **nonce}
    for keys in (stage.rig.bearer, {}):
        got = await stage.clients.http.get(stage.rig.url + path, headers={**keys, **upgrade})
        assert (got.status_code, got.json()["error"]["code"]) == (426, "upgrade_required")


async def test_the_sdks_own_websocket_hears_426(stage: Stage) -> None:  # clients.md finding 7
    exceptions = pytest.importorskip("websockets.exceptions")
    client = openai.AsyncOpenAI(base_url=f"{stage.rig.url}/v1", api_key=stage.rig.key, max_retries=0, http_client=stage.clients.http)
    with pytest.raises(exceptions.InvalidStatus, match="426"):
        async with client.responses.connect():
            raise AssertionError("connected")


# ---------------------------------------------------------------- 8 … 12: streams


SIGNS = {"openai": ": keepalive\n", "responses": ": keepalive\n", "anthropic": 'event: ping\ndata: {"type": "ping"}\n\n', "gemini": ""}
"""What a client gets while the provider is silent."""


@CLIENTS
@WIRES
async def test_a_quiet_stream(stage: Stage, client: str, wire: str, monkeypatch: pytest.MonkeyPatch) -> None:  # clients.md finding 8
    """Google's clients fail at a comment; the others get one, or a ping, between the events, and read on."""
    monkeypatch.setattr(gateway, "Deadlines", lambda **stored: Deadlines(**{**stored, "keepalive": 0.01}))
    await stage.account(PROVIDER[wire])
    begun = torso(wire, hang=True)
    stage.upstream.answer(begun)
    got, sign = "", SIGNS[client]
    path, body = address(client, ask(client, user(client, "hi")), stream=True)
    async with stage.clients.http.stream("POST", stage.rig.url + path, json=body, headers=stage.rig.bearer) as response:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30) as limit:
                async for text in response.aiter_text():
                    got += text
                    if sign and got.count(sign) >= 3:
                        break
                    if not sign and "three" in got:  # time for some signs
                        limit.reschedule(asyncio.get_running_loop().time() + 0.1)
    assert "three" in got and ((sign * 3 in got) if sign else got.endswith("\r\n\r\n"))
    assert ":" not in {line[:1] for line in (got.replace(sign, "") if sign else got).split("\n")}
    rest = told(Said("one two three four five six"), wire, True).pieces
    raw = b"".join(piece for piece in rest if isinstance(piece, bytes))
    first = next(piece for piece in begun.pieces if isinstance(piece, bytes))
    stage.upstream.answer(Answer(200, {"content-type": "text/event-stream"}, [first, 0.05, raw[len(first) :]]))
    assert (await stage.ask(client, counted(client), streamed=True)).text == "one two three four five six"


def counted(client: str) -> Json:
    return {**ask(client, user(client, "hi")), **({"stream_options": {"include_usage": True}} if client == "openai" else {})}


LAST: dict[str, bytes] = {
    CHAT: b"data: [DONE]\n\n",
    MESSAGES: b"event: message_stop\n",
    RESPONSES: b"event: response.completed\n",
    GEMINI: b'data: {"candidates":[{"content":{"parts":[{"text":"six"}]',
}
"""How the last event of a stream begins."""


def end_of(client: str, text: str) -> str:
    """ "well", "badly" or "" for a stream that just stops."""
    told_events = blocks(text)
    name, data = told_events[-1]
    if client == "openai":
        return "well" if data == "[DONE]" else "badly" if "error" in data else ""
    if client == "anthropic":
        return {"message_stop": "well", "error": "badly"}.get(name, "")
    if client == "responses":
        return {"response.completed": "well", "response.failed": "badly"}.get(data["type"], "")
    finish = [one["finishReason"] for _, chunk in told_events for one in chunk.get("candidates", ()) if one.get("finishReason")]
    assert len(finish) == 1, text
    return "badly" if any("error" in chunk for _, chunk in told_events) else "well"


@CLIENTS
@WIRES
async def test_a_provider_that_forgets_the_end(stage: Stage, client: str, wire: str) -> None:  # clients.md finding 9; C-49
    """Where all was said but the last event, the end is made up; where the reason is missing, it is an error, with Gemini's finish."""
    await stage.account(PROVIDER[wire])
    raw = b"".join(piece for piece in told(Said("one two three four five six"), wire, True).pieces if isinstance(piece, bytes))
    for forgotten in (0, 1):
        at = raw.rindex(LAST[wire]) if wire != GEMINI else raw.rindex(b"data: ")
        if forgotten and wire in (CHAT, MESSAGES):
            at = raw.rindex(b'data: {"id"' if wire == CHAT else b"event: message_delta")
            if wire == CHAT:  # the usage chunk, then the finish reason
                at = raw.rindex(b"data: ", 0, at)
        stage.upstream.answer(Answer(200, {"content-type": "text/event-stream"}, [raw[:at], 0.02]))
        got = await post(stage, client, counted(client), stream=True)
        assert "one two" in got.text
        well = wire in (CHAT, MESSAGES) and not forgotten
        assert end_of(client, got.text) == ("well" if well else "badly"), got.text[-600:]
        assert (await stage.row())["outcome"] == ("ok" if well else "cut")


RICH = Said("Let me look.", thoughts="Hm.", signature="EqQBsigned", calls=(LISBON,))


async def rich_stream(stage: Stage, client: str, wire: str) -> list[tuple[str, Any]]:
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(RICH, wire, True))
    got = await post(stage, client, {**counted(client), "tools": tools(client)}, stream=True)
    assert (got.status_code, got.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    return blocks(got.text)


@WIRES
async def test_what_an_anthropic_stream_must_have(stage: Stage, wire: str) -> None:  # clients.md finding 10
    told_events = await rich_stream(stage, "anthropic", wire)
    assert all(name == data["type"] for name, data in told_events), "every event has its `event:` line"
    kinds = [name for name, _ in told_events if name not in ("ping", "content_block_delta")]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds[1:-2] == ["content_block_start", "content_block_stop"] * 3
    assert [data["index"] for name, data in told_events if name == "content_block_start"] == [0, 1, 2]
    start, end = told_events[0][1]["message"], told_events[-2][1]
    assert start["usage"].keys() >= {"input_tokens", "output_tokens"} and start["stop_reason"] is None and start["content"] == []
    assert end["usage"]["output_tokens"] == 9 and end["delta"]["stop_reason"] == "tool_use"


@WIRES
async def test_what_a_stream_of_responses_must_have(stage: Stage, wire: str) -> None:  # clients.md finding 11
    told_events = await rich_stream(stage, "responses", wire)
    data = [one for _, one in told_events]
    added = {one["item"]["id"]: one["output_index"] for one in data if one["type"] == "response.output_item.added"}
    done = {one["item"]["id"]: one["output_index"] for one in data if one["type"] == "response.output_item.done"}
    assert added == done
    deltas = [one for one in data if one["type"] in ("response.output_text.delta", "response.function_call_arguments.delta")]
    assert deltas and all(added[one["item_id"]] == one["output_index"] for one in deltas)
    items = [one["item"] for one in data if one["type"] == "response.output_item.done"]
    message, call = (next(item for item in items if item["type"] == kind) for kind in ("message", "function_call"))
    assert message["content"][0]["text"] == "Let me look." and json.loads(call["arguments"]) == LISBON.arguments
    assert data[-1]["type"] == "response.completed" and data[-1]["response"]["usage"]["total_tokens"] == 30
    assert [item["id"] for item in data[-1]["response"]["output"]] == list(done)


@WIRES
async def test_what_a_chat_stream_must_have(stage: Stage, wire: str) -> None:  # clients.md finding 12; C-49
    told_events = [data for _, data in await rich_stream(stage, "openai", wire)]
    assert told_events.pop() == "[DONE]"
    usage = told_events.pop()
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 30)
    assert not any(chunk.get("usage") for chunk in told_events)
    choices = [chunk["choices"][0] for chunk in told_events]
    assert {choice["index"] for choice in choices} == {0} and choices[0]["delta"]["role"] == "assistant"
    assert [choice["finish_reason"] for choice in choices] == [None] * (len(choices) - 1) + ["tool_calls"]
    assert all("index" in call for choice in choices for call in choice["delta"].get("tool_calls") or ())
