"""What the vendors' SDKs offer beside a plain question, over providers of all four formats: answers to a schema, how much to think,
counts of tokens, lists of models, embeddings, pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from google.genai import types
from pydantic import BaseModel, Field

from tests.live.answers import CHAT, MESSAGES, Said
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.asking import Clients
from tests.live.conftest import Json, Stage
from tests.live.test_client_api import VECTORS, embedded
from tests.live.test_formats import PNG, PROVIDER, STREAMED, WIRE, ask, user
from tests.serving import whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

WIRES = pytest.mark.parametrize("wire", list(PROVIDER))

# ---------------------------------------------------------------- Answers to a schema


class City(BaseModel):
    name: str = Field(description="Its own name for itself")
    sky: Literal["sun", "rain"]


class Report(BaseModel):
    """The weather in several places."""

    cities: list[City]
    note: str | None


REPORT = Report(cities=[City(name="São Paulo", sky="rain")], note=None)
Parse = Callable[[Clients], Awaitable[Any]]


async def chat_parse(clients: Clients) -> Any:
    told = await clients.openai.chat.completions.parse(
        model="asked-model", messages=[{"role": "user", "content": "Report."}], response_format=Report
    )
    return told.choices[0].message.parsed


async def chat_stream(clients: Clients) -> Any:
    async with clients.openai.chat.completions.stream(
        model="asked-model", messages=[{"role": "user", "content": "Report."}], response_format=Report
    ) as stream:
        return (await stream.get_final_completion()).choices[0].message.parsed


async def responses_parse(clients: Clients) -> Any:
    return (await clients.openai.responses.parse(model="asked-model", input="Report.", text_format=Report)).output_parsed


async def responses_stream(clients: Clients) -> Any:
    async with clients.openai.responses.stream(model="asked-model", input="Report.", text_format=Report) as stream:
        return (await stream.get_final_response()).output_parsed


async def messages_parse(clients: Clients) -> Any:
    asked: Any = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "Report."}]}
    return (await clients.anthropic.messages.parse(**asked, output_format=Report)).parsed_output


async def messages_stream(clients: Clients) -> Any:
    asked: Any = {"model": "asked-model", "max_tokens": 300, "messages": [{"role": "user", "content": "Report."}]}
    async with clients.anthropic.messages.stream(**asked, output_format=Report) as stream:
        return (await stream.get_final_message()).parsed_output


async def gemini_pydantic(clients: Clients) -> Any:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Report)
    return (await clients.genai.aio.models.generate_content(model="asked-model", contents="Report.", config=config)).parsed


async def gemini_json_schema(clients: Clients) -> Any:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=Report.model_json_schema())
    return (await clients.genai.aio.models.generate_content(model="asked-model", contents="Report.", config=config)).parsed


async def gemini_stream(clients: Clients) -> Any:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Report)
    chunks = await clients.genai.aio.models.generate_content_stream(model="asked-model", contents="Report.", config=config)
    return Report.model_validate_json("".join([chunk.text or "" async for chunk in chunks]))


PARSES: dict[str, tuple[Parse, bool]] = {
    "chat.completions.parse": (chat_parse, False),
    "chat.completions.stream": (chat_stream, True),
    "responses.parse": (responses_parse, False),
    "responses.stream": (responses_stream, True),
    "messages.parse": (messages_parse, False),
    "messages.stream": (messages_stream, True),
    "response_schema": (gemini_pydantic, False),
    "response_json_schema": (gemini_json_schema, False),
    "response_schema streamed": (gemini_stream, True),
}


def schema_at(wire: str, body: Json) -> Json:
    if wire == GEMINI:
        config = body["generationConfig"]
        return dict(config.get("responseJsonSchema") or config.get("response_json_schema") or config["responseSchema"])
    places: dict[str, Callable[[], Any]] = {
        CHAT: lambda: body["response_format"]["json_schema"]["schema"],
        MESSAGES: lambda: body["output_config"]["format"]["schema"],
        RESPONSES: lambda: body["text"]["format"]["schema"],
    }
    return dict(places[wire]())


@WIRES
# C-11
async def test_an_answer_becomes_the_programs_own_object(stage: Stage, wire: str) -> None:
    await stage.account(PROVIDER[wire], options={"features_add": ["json_schema"]})
    for way, (parse, streamed) in PARSES.items():
        stage.upstream.answer(told(Said(REPORT.model_dump_json()), wire, streamed))
        parsed = await parse(stage.clients)
        assert (parsed if isinstance(parsed, Report) else Report.model_validate(parsed)) == REPORT, way
        schema = schema_at(wire, stage.upstream.seen[-1].body)
        assert list(schema["properties"]) == ["cities", "note"], way
        for words in ('"name"', "Its own name for itself", '"sky"', '"sun"', '"rain"'):
            assert words in json.dumps(schema), way


# ---------------------------------------------------------------- How much to think

VENDOR = {CHAT: "openai", RESPONSES: "openai-responses", MESSAGES: "anthropic", GEMINI: "gemini"}
"""Providers whose models are known, and with them the words that they take."""
MODEL = {CHAT: "gpt-5.5", RESPONSES: "gpt-5.5", MESSAGES: "claude-sonnet-4-5", GEMINI: "gemini-2.5-flash"}
WISHES: dict[str, dict[str, Json]] = {
    "high": {
        "openai": {"reasoning_effort": "high", "max_tokens": 20_000},
        "responses": {"reasoning": {"effort": "high", "summary": "auto"}, "max_output_tokens": 20_000},
        "anthropic": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}, "max_tokens": 20_000},
        "gemini": {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}, "maxOutputTokens": 20_000}},
    },
    "8192 tokens": {
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 8192}, "max_tokens": 20_000},
        "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": True}, "maxOutputTokens": 20_000}},
    },
    "off": {
        "openai": {"reasoning_effort": "none"},
        "responses": {"reasoning": {"effort": "none"}},
        "anthropic": {"thinking": {"type": "disabled"}},
        "gemini": {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
    },
}
REACHES: dict[str, dict[str, Callable[[Json], bool]]] = {
    "high": {
        CHAT: lambda body: body["reasoning_effort"] == "high",
        RESPONSES: lambda body: body["reasoning"]["effort"] == "high",
        MESSAGES: lambda body: body["thinking"]["type"] == "enabled" and 8192 < body["thinking"]["budget_tokens"] < body["max_tokens"],
        GEMINI: lambda body: body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 24576, "includeThoughts": True},
    },
    "8192 tokens": {
        CHAT: lambda body: body["reasoning_effort"] == "medium",
        RESPONSES: lambda body: body["reasoning"]["effort"] == "medium",
        MESSAGES: lambda body: body["thinking"]["budget_tokens"] == 8192,
        GEMINI: lambda body: body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 8192, "includeThoughts": True},
    },
    "off": {
        CHAT: lambda body: "reasoning_effort" not in body,  # many models of this format refuse the word: it is named as dropped
        RESPONSES: lambda body: body.get("reasoning", {}).get("effort", "none") == "none",
        MESSAGES: lambda body: body["thinking"] == {"type": "disabled"},
        GEMINI: lambda body: body["generationConfig"]["thinkingConfig"] == {"thinkingBudget": 0},
    },
}


@WIRES
@pytest.mark.parametrize("wish", WISHES)
# P-08 P-49
async def test_how_much_to_think(stage: Stage, wire: str, wish: str) -> None:
    """Each SDK's own field becomes the provider's own field; what cannot be said is named, never silently lost."""
    await stage.account(VENDOR[wire], models=[MODEL[wire]], model_map={"asked-model": MODEL[wire]})
    stage.upstream.answer(told(Said("Sunny.", thoughts="Hm.", signature="" if wire == CHAT else "EqQBsigned"), wire, False))
    for client, wished in WISHES[wish].items():
        heard = await stage.ask(client, ask(client, user(client, "Weather?"), **wished))
        body = stage.upstream.seen[-1].body
        assert (heard.thoughts, heard.text) == ("Hm.", "Sunny."), client
        if WIRE[client] == wire:
            assert body == {**json.loads(stage.clients.sent[-1]), **({"model": MODEL[wire]} if "model" in body else {})}
            continue
        assert REACHES[wish][wire](body), (client, body)
        silent = wish == "off" and (wire == CHAT or (wire == RESPONSES and "reasoning" not in body))
        assert heard.headers.get("x-omni-dropped") == ("thinking" if silent else None), client


# ---------------------------------------------------------------- Counts


COUNTS: dict[str, Parse] = {
    "messages.count_tokens": lambda clients: clients.anthropic.messages.count_tokens(
        model="asked-model", messages=[{"role": "user", "content": "Count me."}]
    ),
    "responses.input_tokens.count": lambda clients: clients.openai.responses.input_tokens.count(model="asked-model", input="Count me."),
    "/v1 count_tokens": lambda clients: clients.genai.aio.models.count_tokens(model="asked-model", contents="Count me."),
    "/v1beta count_tokens": lambda clients: clients.genai_beta.aio.models.count_tokens(model="asked-model", contents="Count me."),
}


@WIRES
# P-43
async def test_counts_of_tokens(stage: Stage, wire: str) -> None:
    """By the provider's own counter where it has one, else by ours."""
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(lambda seen: whole({"totalTokens": 4711} if seen.path.endswith(":countTokens") else {"input_tokens": 4711}))
    for way, ask_for_count in COUNTS.items():
        told_count = await ask_for_count(stage.clients)
        count = told_count.total_tokens if way.startswith("/v1") else told_count.input_tokens
        if wire not in (MESSAGES, GEMINI):
            assert 0 < count < 40 and not stage.upstream.seen, way
            continue
        assert count == 4711, way
        assert stage.upstream.seen[-1].path.endswith(("/count_tokens", ":countTokens"))
        assert "Count me." in stage.upstream.seen[-1].raw.decode()


# ---------------------------------------------------------------- Lists of models


# C-22 C-27 P-17 P-39 P-44
async def test_lists_of_models(stage: Stage) -> None:
    """clients.md finding 1: every SDK reads what one path gives; a wrong shape is, to Google's, an empty list and no error."""
    for wire, provider in PROVIDER.items():
        await stage.account(provider, f"of-{wire}", models=[f"model-of/{wire}:v1.5"], model_map={})
    expected = {f"model-of/{wire}:v1.5" for wire in PROVIDER} | {"auto"}
    clients = stage.clients
    assert expected <= {one.id async for one in clients.openai.models.list()}
    assert expected <= {one.id async for one in clients.anthropic.models.list(limit=1000)}
    assert expected <= {one.id async for one in clients.anthropic.beta.models.list(limit=1)}
    for google in (clients.genai, clients.genai_beta):
        names = {one.name async for one in await google.aio.models.list()}
        assert {f"models/{name}" for name in expected} <= names
    for name in expected:
        assert (await clients.openai.models.retrieve(name)).id == name
        assert (await clients.anthropic.models.retrieve(name)).id == name
        assert (await clients.genai.aio.models.get(model=name)).name == f"models/{name}"
        assert (await clients.genai_beta.aio.models.get(model=f"models/{name}")).name == f"models/{name}"
    pinned = Clients(f"{stage.rig.url}/custom-gemini", stage.rig.key)
    below = {one.id async for one in pinned.openai.models.list()}
    await pinned.close()
    assert f"model-of/{GEMINI}:v1.5" in below and f"model-of/{CHAT}:v1.5" not in below


# P-47
async def test_names_of_models_in_googles_addresses(stage: Stage) -> None:
    """Google's SDK puts the name into the path, with slashes and colons as they are."""
    await stage.account(PROVIDER[CHAT], options={"features_add": ["reasoning_effort"]})
    for name in ("custom-openai/test-model", "custom-openai:test-model", "main/test-model", "auto", "main/high/test-model"):
        for google, model in ((stage.clients.genai, name), (stage.clients.genai_beta, f"models/{name}")):
            stage.upstream.answer(told(Said("hi"), CHAT, False), told(Said("hi"), CHAT, True))
            response = await google.aio.models.generate_content(model=model, contents="hi")
            assert (response.text, response.model_version) == ("hi", name)
            chunks = [chunk async for chunk in await google.aio.models.generate_content_stream(model=model, contents="hi")]
            assert {chunk.model_version for chunk in chunks} == {name}
            assert stage.upstream.seen[-1].body["model"] == "test-model"


# ---------------------------------------------------------------- Embeddings and pictures


@pytest.mark.parametrize("provider", ["custom-openai", "custom-responses", "custom-gemini"])
# J-02
async def test_embeddings_by_googles_sdk(stage: Stage, provider: str) -> None:
    await stage.account(provider)
    stage.upstream.answer(embedded)
    config = types.EmbedContentConfig(output_dimensionality=3, task_type="RETRIEVAL_DOCUMENT")
    for google in (stage.clients.genai, stage.clients.genai_beta):
        for contents in (["one"], ["one", "two"]):
            asked: Any = {"model": "asked-model", "contents": contents, "config": config}
            answer = await google.aio.models.embed_content(**asked)
            assert [one.values for one in answer.embeddings or ()] == VECTORS[: len(contents)]
            assert "asked-model" not in stage.upstream.seen[-1].raw.decode()


@WIRES
@STREAMED
# C-10
async def test_bytes_and_addresses_of_googles_sdk(stage: Stage, wire: str, streamed: bool) -> None:
    """It writes bytes in the URL's alphabet of base64, which the other formats do not take."""
    await stage.account(PROVIDER[wire], options={"features_add": ["vision", "documents"]})
    stage.upstream.answer(told(Said("A dot."), wire, streamed))
    picture = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    contents: Any = ["What is it?", picture]
    models = stage.clients.genai.aio.models
    if streamed:
        chunks = [chunk async for chunk in await models.generate_content_stream(model="asked-model", contents=contents)]
        assert "".join(chunk.text or "" for chunk in chunks) == "A dot."
    else:
        assert (await models.generate_content(model="asked-model", contents=contents)).text == "A dot."
    left = stage.upstream.seen[-1].raw.decode()
    assert "+" in PNG and (PNG if wire != GEMINI else PNG.replace("+", "-")) in left
