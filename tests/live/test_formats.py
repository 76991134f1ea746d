"""All four client formats with upstreams of all four, over the wire: words, tools, pictures, JSON, errors, names and books."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector import providers
from omni_connector.snapshot import Account
from tests.live.answers import CHAT, MESSAGES, Call, Said, Tokens
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.asking import Heard
from tests.live.conftest import Json, Stage
from tests.serving import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRE = {"openai": CHAT, "anthropic": MESSAGES, "responses": RESPONSES, "gemini": GEMINI}
PROVIDER = {CHAT: "custom-openai", MESSAGES: "custom-anthropic", RESPONSES: "custom-responses", GEMINI: "custom-gemini"}
WAYS = pytest.mark.parametrize(("client", "wire"), [(client, wire) for client in WIRE for wire in PROVIDER])
STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA: Json = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
LISBON = Call("call_lisbon", "get_weather", {"city": "Lisboa ☀"})
STOP = {"openai": "stop", "anthropic": "end_turn", "responses": "completed", "gemini": "STOP"}
CALLS = {**STOP, "openai": "tool_calls", "anthropic": "tool_use"}
UPSTREAM_PATH = {CHAT: "/v1/chat/completions", MESSAGES: "/v1/messages", RESPONSES: "/v1/responses"}


def ask(client: str, *turns: Json, **more: Any) -> Json:
    """A question in the client's format; `turns` are its own messages, items or contents."""
    field = {"responses": "input", "gemini": "contents"}.get(client, "messages")
    limit = {"openai": {"max_tokens": 300}, "anthropic": {"max_tokens": 300}}.get(client, {})
    return {"model": "asked-model", field: list(turns), **limit, **more}


def user(client: str, text: str, image: bool = False) -> Json:
    url = f"data:image/png;base64,{PNG}"
    if client == "gemini":
        return {"role": "user", "parts": [{"text": text}, *([{"inlineData": {"mimeType": "image/png", "data": PNG}}] if image else [])]}
    pictures: dict[str, Json] = {
        "openai": {"type": "image_url", "image_url": {"url": url}},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        "responses": {"type": "input_image", "image_url": url},
    }
    words = {"type": "input_text" if client == "responses" else "text", "text": text}
    return {"role": "user", "content": [words, *([pictures[client]] if image else [])]}


def tools(client: str) -> list[Json]:
    plain = {"name": "get_weather", "description": "The weather."}
    forms: dict[str, Json] = {
        "openai": {"type": "function", "function": {**plain, "parameters": SCHEMA}},
        "anthropic": {**plain, "input_schema": SCHEMA},
        "responses": {"type": "function", **plain, "parameters": SCHEMA, "strict": False},
        "gemini": {"functionDeclarations": [{**plain, "parametersJsonSchema": SCHEMA}]},
    }
    return [forms[client]]


def answered(client: str, heard: Heard, text: str) -> list[Json]:
    """The turns that a program adds: what it heard, then the tool's result."""
    call_id, name, _ = heard.calls[0]
    if client == "openai":
        return [heard.message, {"role": "tool", "tool_call_id": call_id, "content": text}]
    if client == "anthropic":
        result = {"type": "tool_result", "tool_use_id": call_id, "content": text}
        return [{"role": "assistant", "content": heard.message.content}, {"role": "user", "content": [result]}]
    if client == "responses":
        said = [item.model_dump(exclude_none=True) for item in heard.message.output]
        return [*said, {"type": "function_call_output", "call_id": call_id, "output": text}]
    response = {"functionResponse": {"name": name, "response": {"output": text}}}
    return [heard.message, {"role": "user", "parts": [response]}]


def results(body: Json, wire: str) -> list[tuple[str, str]]:
    """(name or id of the call, result) as they reached the provider."""
    if wire == CHAT:
        return [(one["tool_call_id"], one["content"]) for one in body["messages"] if one["role"] == "tool"]
    if wire == RESPONSES:
        return [(one["call_id"], one["output"]) for one in body["input"] if one.get("type") == "function_call_output"]
    if wire == GEMINI:
        found = [part["functionResponse"] for turn in body["contents"] for part in turn["parts"] if "functionResponse" in part]
        return [(one["name"], next(iter(one["response"].values()))) for one in found]
    blocks = [block for turn in body["messages"] if isinstance(turn["content"], list) for block in turn["content"]]
    return [
        (block["tool_use_id"], block["content"] if isinstance(block["content"], str) else block["content"][0]["text"])
        for block in blocks
        if block["type"] == "tool_result"
    ]


def respelled(text: str) -> str:
    """google-genai writes bytes in the URL's alphabet of base64, which its API reads as well; here in the usual one."""
    return text.replace("-", "+").replace("_", "/")


# ---------------------------------------------------------------- Words


@WAYS
@STREAMED
# O-13 O-17 O-22 C-04 C-21 C-24 C-25 C-26 C-35 C-36 P-01 P-40 P-42 P-45 P-46 P-56
async def test_words_names_and_books(stage: Stage, client: str, wire: str, streamed: bool) -> None:
    account = await stage.account(PROVIDER[wire])
    text = 'Guten Tag, 世界 🌍!\n"Quoted" \\ and </tags>.'
    stage.upstream.answer(told(Said(text, tokens=Tokens(fresh=40, cached=100, output=17)), wire, streamed))
    asked = ask(client, user(client, "Greet me."))
    if client == "openai" and streamed:
        asked["stream_options"] = {"include_usage": True}
    heard = await stage.ask(client, asked, streamed=streamed)

    assert (heard.text, heard.finish) == (text, STOP[client])
    # Google's answers name the model that served, and pass untouched.
    assert heard.model == ("test-model-2026-01-31" if client == "gemini" and wire == GEMINI else "asked-model")
    assert (heard.input, heard.cached, heard.output) == (140, 100, 17)
    seen, sent = stage.upstream.seen[-1], json.loads(stage.clients.sent[-1])
    verb = "streamGenerateContent" if streamed else "generateContent"
    assert seen.path == UPSTREAM_PATH.get(wire, f"/v1/models/test-model:{verb}")
    if WIRE[client] == wire:
        if wire == GEMINI:
            assert seen.raw == stage.clients.sent[-1]
        else:
            assert seen.body == {**sent, "model": "test-model"}
    assert stage.rig.key not in str(seen)
    credential = {MESSAGES: "x-api-key", GEMINI: "x-goog-api-key"}.get(wire, "authorization")
    assert [name for name in seen.headers if name in ("authorization", "x-api-key", "x-goog-api-key")] == [credential]

    head = heard.headers
    assert (head["x-omni-provider"], head["x-omni-account"], head["x-omni-model"]) == (PROVIDER[wire], "main", "test-model")
    assert head["x-omni-attempts"] == "1"
    row = await stage.row()
    assert row["id"] == head["x-omni-request-id"]
    assert (row["outcome"], row["http_status"], row["stream"], row["protocol"]) == ("ok", 200, streamed, WIRE[client])
    assert (row["model_requested"], row["model"], row["account"]) == ("asked-model", "test-model", {"id": account["id"], "label": "main"})
    assert [row["usage"][name] for name in ("input", "cache_read", "output", "source")] == [40, 100, 17, "reported"]


# ---------------------------------------------------------------- Tools


@WAYS
@STREAMED
# C-50
async def test_a_tool_call_and_its_result(stage: Stage, client: str, wire: str, streamed: bool) -> None:
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("Let me look.", calls=(LISBON,)), wire, streamed), told(Said("Sunny."), wire, streamed))
    turn, offered = user(client, "Weather?"), tools(client)
    first = await stage.ask(client, ask(client, turn, tools=offered), streamed=streamed)
    assert (first.text, first.finish) == ("Let me look.", CALLS[client])
    ((call_id, name, arguments),) = first.calls
    assert (name, arguments) == ("get_weather", {"city": "Lisboa ☀"})

    second = await stage.ask(client, ask(client, turn, *answered(client, first, "25°"), tools=offered), streamed=streamed)
    assert (second.text, second.finish) == ("Sunny.", STOP[client])
    ((of, result),) = results(stage.upstream.seen[-1].body, wire)
    assert result == "25°"
    if wire == GEMINI:
        assert of == "get_weather"
    elif client != "gemini":
        assert of == call_id


PROOFS = {RESPONSES: "gAAAAABencrypted==", MESSAGES: "EqQBsignature==", GEMINI: "EqQCtIdE+/AABA=="}
"""What each provider seals its thoughts with; it has to come back to it letter by letter."""


@pytest.mark.parametrize(("client", "wire"), [(client, wire) for client in WIRE for wire in PROOFS])
@STREAMED
# P-43 P-44 J-02
async def test_thoughts_come_home(stage: Stage, client: str, wire: str, streamed: bool) -> None:
    """In a tool loop the provider gets its own sealed thoughts back, whatever format the client speaks."""
    await stage.account(PROVIDER[wire], models=["gemini-3-flash" if wire == GEMINI else "test-model"], model_map={})
    first = Said(thoughts="Hm, Lisbon.", signature=PROOFS[wire], calls=(LISBON,))
    stage.upstream.answer(told(first, wire, streamed), told(Said("Sunny."), wire, streamed))
    turn, model = user(client, "Weather?"), "gemini-3-flash" if wire == GEMINI else "test-model"
    more = {"tools": tools(client), **({"include": ["reasoning.encrypted_content"], "store": False} if client == "responses" else {})}
    heard = await stage.ask(client, ask(client, turn, **more) | {"model": model}, streamed=streamed)
    assert heard.thoughts == "Hm, Lisbon."
    await stage.ask(client, ask(client, turn, *answered(client, heard, "25°"), **more) | {"model": model}, streamed=streamed)
    sent = json.loads(stage.upstream.seen[-1].raw)
    if wire == GEMINI and client == "anthropic":
        return  # an Anthropic tool_use block has no place for a call's proof (docs/wire-formats.md)
    told_again = respelled(json.dumps(sent)) if client == "gemini" and wire == GEMINI else json.dumps(sent)
    assert told_again.count(json.dumps(PROOFS[wire])) == 1


# ---------------------------------------------------------------- Pictures and structured answers


@WAYS
async def test_a_picture(stage: Stage, client: str, wire: str) -> None:
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("A dot."), wire, False))
    heard = await stage.ask(client, ask(client, user(client, "What is it?", image=True)))
    assert heard.text == "A dot."
    seen = stage.upstream.seen[-1].raw.decode()
    assert PNG in (respelled(seen) if client == "gemini" and wire == GEMINI else seen)
    assert {CHAT: '"image_url"', MESSAGES: '"base64"', RESPONSES: '"input_image"', GEMINI: '"inlineData"'}[wire] in seen
    assert "image/png" in seen


WISHES: dict[str, Json] = {
    "openai": {"response_format": {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}},
    "anthropic": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "responses": {"text": {"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}},
    "gemini": {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}},
}


@WAYS
async def test_an_answer_to_a_schema(stage: Stage, client: str, wire: str) -> None:
    await stage.account(PROVIDER[wire], options={"features_add": ["json_schema"]})
    stage.upstream.answer(told(Said('{"city":"Porto"}'), wire, False))
    heard = await stage.ask(client, ask(client, user(client, "Which?"), **WISHES[client]))
    assert json.loads(heard.text) == {"city": "Porto"}
    body = stage.upstream.seen[-1].body
    places: dict[str, Any] = {
        CHAT: lambda: body["response_format"]["json_schema"]["schema"],
        MESSAGES: lambda: body["output_config"]["format"]["schema"],
        RESPONSES: lambda: body["text"]["format"]["schema"],
        GEMINI: lambda: body["generationConfig"]["responseJsonSchema"],
    }
    assert places[wire]()["properties"] == SCHEMA["properties"]


# ---------------------------------------------------------------- Errors


@pytest.mark.parametrize("client", WIRE)
# C-39 C-42 C-46
async def test_a_mistake_is_told_in_the_clients_format(stage: Stage, client: str) -> None:
    await stage.account("custom-openai")
    paths = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "responses": "/v1/responses"}
    got = await stage.clients.http.post(
        stage.rig.url + paths.get(client, "/v1beta/models/m:generateContent"), json={"model": "m"}, headers=stage.rig.bearer
    )
    assert got.status_code == 400 and not stage.upstream.seen
    error = got.json()["error"]
    shapes = {"openai": ("type", "invalid_request_error"), "responses": ("type", "invalid_request_error")}
    shapes |= {"anthropic": ("type", "invalid_request_error"), "gemini": ("status", "INVALID_ARGUMENT")}
    name, word = shapes[client]
    assert error[name] == word and error["message"]
    assert (got.json().get("type") == "error") == (client == "anthropic")


@WAYS
# C-47 O-20 P-55
async def test_a_stream_that_breaks_off(stage: Stage, client: str, wire: str) -> None:
    """The client hears the format's own error, never a proper end; the row says what happened."""
    await stage.account(PROVIDER[wire])
    whole_answer = told(Said("one two three four five six"), wire, True)
    raw = b"".join(piece for piece in whole_answer.pieces if isinstance(piece, bytes))
    begun = raw[: raw.index(b"three") + 5]
    begun = raw[: raw.index(b"\r\n\r\n" if wire == GEMINI else b"\n\n", len(begun))] + (b"\r\n\r\n" if wire == GEMINI else b"\n\n")
    stage.upstream.answer(Answer(200, whole_answer.headers, [begun, 0.05], cut=True))
    address = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "responses": "/v1/responses"}.get(client)
    asked = {**ask(client, user(client, "Count.")), "stream": True}
    if client == "gemini":
        address = f"/v1beta/models/{asked.pop('model')}:streamGenerateContent?alt=sse"
        del asked["stream"]
    got = await stage.clients.http.post(f"{stage.rig.url}{address}", json=asked, headers=stage.rig.bearer)
    assert got.status_code == 200 and b"three" in got.content
    assert b"error" in got.content and b"broke off" in got.content
    assert not any(end in got.content for end in (b"[DONE]", b"message_stop", b"response.completed", b'"STOP"'))
    row = await stage.row()
    assert (row["outcome"], row["http_status"]) == ("cut", 200)
    assert row["usage"]["output"] > 0


# ---------------------------------------------------------------- Gemini's addresses


@pytest.mark.parametrize("prefix", ["/v1", "/v1beta", "/custom-openai/v1", "/custom-openai/v1beta"])
# C-25 C-26 C-29
async def test_geminis_addresses(stage: Stage, prefix: str) -> None:
    await stage.account("custom-openai")
    said = Said("one two three", calls=(LISBON,))
    stage.upstream.answer(*(told(said, CHAT, streamed) for streamed in (False, True, True)))
    base, asked = f"{stage.rig.url}{prefix}/models/asked-model", ask("gemini", user("gemini", "hi"))
    del asked["model"]
    http, key = stage.clients.http, {"x-goog-api-key": stage.rig.key}

    def words(chunks: list[Json]) -> str:
        return "".join(part.get("text", "") for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"])

    one = await http.post(f"{base}:generateContent", json=asked, headers=key)
    assert (one.status_code, words([one.json()]), one.headers["content-type"]) == (200, said.text, "application/json")
    events = await http.post(f"{base}:streamGenerateContent?alt=sse&key={stage.rig.key}", json=asked)
    assert events.headers["content-type"].startswith("text/event-stream")
    blocks = events.text.split("\r\n\r\n")
    assert blocks.pop() == "" and words([json.loads(block.removeprefix("data: ")) for block in blocks]) == said.text
    array = await http.post(f"{base}:streamGenerateContent", json=asked, headers=key)
    assert array.headers["content-type"] == "application/json"
    assert words(array.json()) == said.text and len(array.json()) > 2

    counted = await http.post(f"{base}:countTokens", json=asked, headers=key)
    assert counted.status_code == 200 and counted.json()["totalTokens"] > 0
    assert counted.headers["x-omni-usage"] == "estimated"
    unknown = await http.post(f"{base}:makeCoffee", json=asked, headers=key)
    assert unknown.status_code == 404 and "makeCoffee" in unknown.text


async def test_an_array_from_the_same_format(stage: Stage) -> None:
    """The upstream is always asked for events; the client gets the array it asked for."""
    await stage.account("custom-gemini")
    stage.upstream.answer(told(Said("one two three"), GEMINI, True))
    asked = {"contents": [user("gemini", "hi")]}
    got = await stage.clients.http.post(
        f"{stage.rig.url}/v1beta/models/asked-model:streamGenerateContent", json=asked, headers=stage.rig.bearer
    )
    parts = [part["text"] for chunk in got.json() for part in chunk["candidates"][0]["content"]["parts"]]
    assert "".join(parts) == "one two three"
    assert stage.upstream.seen[-1].path.endswith(":streamGenerateContent")


# ---------------------------------------------------------------- Lists, hellos, upgrades


# C-27 C-108
async def test_the_list_of_models_speaks_the_askers_language(stage: Stage) -> None:
    await stage.account("custom-openai")
    shapes: list[tuple[str, Json, Any]] = [
        ("/v1/models", {}, lambda body: [one["id"] for one in body["data"] if one["object"] == "model"]),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, lambda body: [one["id"] for one in body["data"] if one["type"] == "model"]),
        ("/v1/models", {"x-goog-api-client": "x"}, lambda body: [one["name"].removeprefix("models/") for one in body["models"]]),
        ("/v1beta/models", {}, lambda body: [one["name"].removeprefix("models/") for one in body["models"]]),
    ]
    for path, headers, ids in shapes:
        got = await stage.clients.http.get(stage.rig.url + path, headers={**stage.rig.bearer, **headers})
        assert got.status_code == 200 and "asked-model" in ids(got.json()), (path, headers)


async def test_hello_and_upgrade(stage: Stage) -> None:
    """Claude Code's greeting needs no key, Codex's WebSocket is turned down with 426 (clients.md finding 7)."""
    hello = await stage.clients.http.head(f"{stage.rig.url}/api/hello")
    assert (hello.status_code, hello.content) == (200, b"")
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": key}
    got = await stage.clients.http.get(f"{stage.rig.url}/v1/responses", headers={**stage.rig.bearer, **upgrade})
    assert got.status_code == 426 and got.json()["error"]["code"] == "upgrade_required"


# ---------------------------------------------------------------- Which format an account is asked in


async def test_an_openai_account_speaks_responses_only_at_openai() -> None:
    account = providers.complete(Account("acc_1", "openai", "main"))
    assert account.wire == CHAT
    assert providers.facing(account, RESPONSES).wire == RESPONSES
    elsewhere = providers.complete(Account("acc_1", "openai", "main", base_url="https://proxy.example/v1"))
    assert providers.facing(elsewhere, RESPONSES).wire == CHAT
    assert providers.facing(account, GEMINI).wire == CHAT
