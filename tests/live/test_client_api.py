"""The rest of the client API over the wire, by the vendors' own SDKs: completions, embeddings, pictures and sounds, kept answers,
thinking levels, media by URL, token counters."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import openai
import pytest

from tests.live.answers import CHAT, MESSAGES, Call, Said, Tokens
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.live.conftest import Json, Stage
from tests.live.test_formats import PNG, PROVIDER, SCHEMA
from tests.serving import Answer, Seen, stream, whole

pytestmark = pytest.mark.asyncio(loop_scope="module")

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
VECTORS = [[0.5, -0.25, 1.0], [0.0, 2.5, -1.5]]
WEATHER = {"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}


def usage(row: Json) -> tuple[Any, ...]:
    return row["usage"]["input"], row["usage"]["output"], row["usage"]["source"]


# ---------------------------------------------------------------- Completions


@STREAMED
async def test_completions_pass_where_prompts_are_completed(stage: Stage, streamed: bool) -> None:  # P-41
    await stage.account("custom-openai")
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    choice = {"text": "there was", "index": 0, "logprobs": None, "finish_reason": "stop"}
    body = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice], "usage": counts}
    half = {**body, "choices": [{**choice, "finish_reason": None, "text": "there "}], "usage": None}
    rest = {**body, "choices": [{**choice, "text": "was"}]}
    stage.upstream.answer(stream(f"data: {json.dumps(half)}\n\ndata: {json.dumps(rest)}\n\ndata: [DONE]\n\n") if streamed else whole(body))
    asked: Any = {"model": "asked-model", "prompt": ["Once upon a time"], "max_tokens": 9, "extra_body": {"top_k": 3}}
    if streamed:
        chunks = [chunk async for chunk in await stage.clients.openai.completions.create(**asked, stream=True)]
        assert "".join(chunk.choices[0].text for chunk in chunks) == "there was"
    else:
        answer = await stage.clients.openai.completions.create(**asked)
        assert (answer.choices[0].text, answer.model) == ("there was", "asked-model")
    seen = stage.upstream.seen[-1]
    assert seen.path == "/v1/completions" and seen.body["prompt"] == ["Once upon a time"] and seen.body["top_k"] == 3
    assert usage(await stage.row()) == (5, 2, "reported")


@STREAMED
@pytest.mark.parametrize("wire", [MESSAGES, RESPONSES, GEMINI])
async def test_completions_by_a_model_that_only_converses(stage: Stage, wire: str, streamed: bool) -> None:  # P-41
    await stage.account(PROVIDER[wire])
    stage.upstream.answer(told(Said("there was"), wire, streamed))
    asked: Any = {"model": "asked-model", "prompt": "Once upon a time", "max_tokens": 9}
    if streamed:
        chunks = [chunk async for chunk in await stage.clients.openai.completions.create(**asked, stream=True)]
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == "there was"
        assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    else:
        answer = await stage.clients.openai.completions.create(**asked)
        assert (answer.object, answer.choices[0].text, answer.choices[0].finish_reason) == ("text_completion", "there was", "stop")
    assert "Once upon a time" in stage.upstream.seen[-1].raw.decode()
    assert usage(await stage.row()) == (21, 9, "reported")


# ---------------------------------------------------------------- Embeddings


def embedded(seen: Seen) -> Answer:
    """What the two families say: OpenAI in floats or base64 as asked, Gemini one or many."""
    if seen.path.endswith(":embedContent"):
        return whole({"embedding": {"values": VECTORS[0]}})
    if seen.path.endswith(":batchEmbedContents"):
        return whole({"embeddings": [{"values": vector} for vector in VECTORS[: len(seen.body["requests"])]]})
    count = len(seen.body["input"]) if isinstance(seen.body["input"], list) else 1
    packed = seen.body.get("encoding_format") == "base64"
    vectors: list[Any] = [base64.b64encode(struct.pack("<3f", *one)).decode() if packed else one for one in VECTORS[:count]]
    data = [{"object": "embedding", "index": number, "embedding": one} for number, one in enumerate(vectors)]
    return whole({"object": "list", "data": data, "model": "m", "usage": {"prompt_tokens": 4, "total_tokens": 4}})


@pytest.mark.parametrize("provider", ["custom-openai", "custom-responses", "custom-gemini"])
@pytest.mark.parametrize("text", ["one", ["one", "two"]], ids=["one", "two"])
async def test_embeddings_by_the_openai_sdk(stage: Stage, provider: str, text: Any) -> None:  # J-02
    await stage.account(provider)
    stage.upstream.answer(embedded)
    for packed in ({}, {"encoding_format": "float"}):
        answer = await stage.clients.openai.embeddings.create(model="asked-model", input=text, dimensions=3, **packed)  # type: ignore[call-overload]
        assert [one.embedding for one in answer.data] == VECTORS[: 1 if text == "one" else 2]
        assert answer.model == "asked-model"
    row = await stage.row()
    assert (row["model"], row["usage"]["output"]) == ("test-model", 0)
    assert row["usage"]["source"] == ("reported" if provider != "custom-gemini" else "estimated")


@pytest.mark.parametrize("provider", ["custom-openai", "custom-gemini"])
@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_embeddings_in_the_gemini_format(stage: Stage, provider: str, version: str) -> None:  # J-02
    await stage.account(provider)
    stage.upstream.answer(embedded)
    address, headers = f"{stage.rig.url}/{version}/models/asked-model", {"x-goog-api-key": stage.rig.key}
    content = {"parts": [{"text": "one"}]}
    single = await stage.clients.http.post(f"{address}:embedContent", json={"content": content}, headers=headers)
    assert single.json()["embedding"]["values"] == VECTORS[0], single.text
    requests = [{"model": "models/asked-model", "content": content, "outputDimensionality": 3}] * 2
    many = await stage.clients.http.post(f"{address}:batchEmbedContents", json={"requests": requests}, headers=headers)
    assert [one["values"] for one in many.json()["embeddings"]] == VECTORS
    assert "asked-model" not in stage.upstream.seen[-1].raw.decode(), "each request of a batch names the provider's model"


async def test_who_has_no_embeddings_is_passed_over_or_says_so(stage: Stage) -> None:  # J-02
    await stage.account("custom-anthropic", "first", priority=9)
    stage.upstream.answer(embedded)
    with pytest.raises(openai.BadRequestError, match="has no embeddings"):
        await stage.clients.openai.embeddings.create(model="asked-model", input="one")
    await stage.account("custom-openai", "second")
    raw = await stage.clients.openai.embeddings.with_raw_response.create(model="asked-model", input="one")
    assert raw.headers["x-omni-account"] == "second"


# ---------------------------------------------------------------- Pictures, sounds, verdicts: bytes that only pass


async def test_a_picture(stage: Stage) -> None:
    await stage.account("custom-openai")
    body = {"created": 1, "data": [{"b64_json": PNG}], "usage": {"input_tokens": 13, "output_tokens": 100, "total_tokens": 113}}
    stage.upstream.answer(whole(body))
    answer = await stage.clients.openai.images.generate(model="asked-model", prompt="a dot", extra_body={"style": "odd"})
    assert answer.data and answer.data[0].b64_json == PNG
    assert stage.upstream.seen[-1].body == {"model": "test-model", "prompt": "a dot", "style": "odd"}
    edited = await stage.clients.openai.images.edit(model="asked-model", prompt="two dots", image=base64.b64decode(PNG))
    assert edited.data
    seen = stage.upstream.seen[-1]
    assert seen.path == "/v1/images/edits" and base64.b64decode(PNG) in seen.raw
    assert b"test-model" in seen.raw and b"asked-model" not in seen.raw
    row = await stage.row()
    assert (usage(row), row["protocol"]) == ((13, 100, "reported"), "image")


async def test_sounds(stage: Stage) -> None:
    await stage.account("custom-openai")
    sound = bytes(range(256)) * 40
    stage.upstream.answer(Answer(200, {"content-type": "audio/mpeg"}, [sound[:5000], sound[5000:]]))
    spoken = await stage.clients.openai.audio.speech.create(model="asked-model", input="hello", voice="alloy")
    assert spoken.content == sound and spoken.response.headers["content-type"] == "audio/mpeg"
    assert usage(await stage.row()) == (None, None, "none"), "a sound has no tokens, and none are made up"
    stage.upstream.answer(whole({"text": "hello", "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}}))
    heard = await stage.clients.openai.audio.transcriptions.create(model="asked-model", file=("a.mp3", sound))
    assert heard.text == "hello" and sound in stage.upstream.seen[-1].raw
    assert usage(await stage.row()) == (14, 3, "reported")


async def test_verdicts_and_ranks(stage: Stage) -> None:
    await stage.account("custom-openai", models=["test-model", "omni-moderation-latest"])
    verdict = {"id": "modr-1", "model": "m", "results": []}
    stage.upstream.answer(whole(verdict))
    answer = await stage.clients.openai.moderations.create(input="I am nice.")
    assert answer.id == "modr-1" and stage.upstream.seen[-1].body["model"] == "omni-moderation-latest"
    ranked = {"results": [{"index": 1, "relevance_score": 0.9}], "usage": {"total_tokens": 12}}
    stage.upstream.answer(whole(ranked))
    asked = {"model": "asked-model", "query": "q", "documents": ["a", "b"], "top_n": 1}
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/rerank", json=asked, headers=stage.rig.bearer)
    assert got.json() == ranked and stage.upstream.seen[-1].body == {**asked, "model": "test-model"}


async def test_an_endpoint_that_a_provider_does_not_have_blames_nobody(stage: Stage) -> None:  # P-41
    """Completions go on as a conversation, others to the next account; nothing cools."""
    await stage.account("custom-openai", "first", priority=9)
    page = Answer(404, {"content-type": "text/html"}, [b"<html><title>404 Not Found</title></html>"])
    stage.upstream.answer(lambda seen: told(Said("there was"), CHAT, False) if seen.path.endswith("/chat/completions") else page)
    for tried in (2, 1):  # at first it is asked, later it is known
        raw = await stage.clients.openai.completions.with_raw_response.create(model="asked-model", prompt="Once")
        assert raw.parse().choices[0].text == "there was" and raw.headers["x-omni-attempts"] == str(tried)
    asked = {"model": "asked-model", "query": "q", "documents": ["a"]}
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/rerank", json=asked, headers=stage.rig.bearer)
    assert (got.status_code, "has no /rerank" in got.text) == (400, True), got.text
    ranked = {"results": []}
    await stage.account("custom-openai", "second", base_url=f"{stage.upstream.url}/second/v1")
    stage.upstream.answer(lambda seen: whole(ranked) if seen.path.startswith("/second") else page)
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/rerank", json=asked, headers=stage.rig.bearer)
    assert (got.json(), got.headers["x-omni-account"]) == (ranked, "second")
    states = {account["label"]: account["status"] for account in (await stage.rig.gateway.admin.accounts())["accounts"]}
    assert states == {"first": "ready", "second": "ready"}


async def test_a_refused_picture_is_an_error_of_the_same_class(stage: Stage) -> None:  # C-47
    await stage.account("custom-openai")
    words = {"message": "Your prompt is too long.", "type": "invalid_request_error", "param": "prompt", "code": None}
    stage.upstream.answer(whole({"error": words}, 400))
    with pytest.raises(openai.BadRequestError, match="too long"):
        await stage.clients.openai.images.generate(model="asked-model", prompt="x")


# ---------------------------------------------------------------- Kept answers


@STREAMED
@pytest.mark.parametrize("wire", [CHAT, MESSAGES, RESPONSES, GEMINI])
async def test_a_conversation_by_previous_response_id(stage: Stage, wire: str, streamed: bool) -> None:  # C-23
    """Whoever answers gets the whole conversation; and the answers can be asked for again by their ids."""
    await stage.account(PROVIDER[wire])
    create = stage.clients.openai.responses.create
    ids: list[str] = []
    for number, text in enumerate(("first words", "second words", "third words")):
        said = Said(f"answer {number}", tokens=Tokens(fresh=5 + number))
        stage.upstream.answer(told(said, wire, streamed) if wire != RESPONSES else renamed(told(said, wire, streamed), f"resp_{number}"))
        asked: Any = {"model": "asked-model", "input": text, "previous_response_id": ids[-1] if ids else None}
        if streamed:
            events = [event async for event in await create(**asked, stream=True)]
            assert events[-1].type == "response.completed"
            response = events[-1].response
        else:
            response = await create(**asked)
        assert response.output_text == f"answer {number}"
        assert wire == RESPONSES or response.previous_response_id == (ids[-1] if ids else None)
        ids.append(response.id)
    seen = stage.upstream.seen[-1].raw.decode()
    places = [seen.index(words) for words in ("first words", "answer 0", "second words", "answer 1", "third words")]
    assert places == sorted(places) and "previous_response_id" not in seen

    again = await stage.clients.openai.responses.retrieve(ids[1])
    assert (again.id, again.output_text, again.model) == (ids[1], "answer 1", "asked-model")
    assert again.previous_response_id == ids[0]
    items = await stage.clients.openai.responses.input_items.list(ids[1])
    assert [one.content[0].text for one in items.data] == ["second words"]  # type: ignore[union-attr]
    await stage.clients.openai.responses.delete(ids[1])
    with pytest.raises(openai.NotFoundError):
        await stage.clients.openai.responses.retrieve(ids[1])
    with pytest.raises(openai.BadRequestError) as lost:
        await create(model="asked-model", input="more", previous_response_id=ids[2])
    assert lost.value.code == "previous_response_not_found"


def renamed(answer: Answer, response_id: str) -> Answer:
    pieces = [piece.replace(b"resp_1", response_id.encode()) if isinstance(piece, bytes) else piece for piece in answer.pieces]
    return Answer(answer.status, answer.headers, pieces)


async def test_nobody_else_reads_a_kept_answer(stage: Stage) -> None:
    await stage.account(PROVIDER[CHAT])
    stage.upstream.answer(told(Said("private"), CHAT, False))
    mine = await stage.clients.openai.responses.create(model="asked-model", input="hi")
    unkept = await stage.clients.openai.responses.create(model="asked-model", input="hi", store=False)
    other = (await stage.rig.gateway.admin.create_key({"name": "other"}))["key"]
    address = f"{stage.rig.url}/v1/responses"
    got = await stage.clients.http.get(f"{address}/{mine.id}", headers={"authorization": f"Bearer {other}"})
    assert got.status_code == 404
    assert (await stage.clients.http.get(f"{address}/{mine.id}")).status_code == 401
    assert (await stage.clients.http.get(f"{address}/{unkept.id}", headers=stage.rig.bearer)).status_code == 404
    database = b"".join(file.read_bytes() for file in stage.rig.home.glob("omni.db*"))
    assert b"private" not in database


async def test_a_provider_that_keeps_answers_is_only_reminded(stage: Stage) -> None:  # C-23
    """The account that answered goes on with its own memory; another one is told everything."""
    await stage.account("openai-responses", "one")
    await stage.account("openai-responses", "two")
    numbers = iter(range(99))
    stage.upstream.answer(lambda seen: renamed(told(Said("an answer"), RESPONSES, False), f"resp_{next(numbers)}"))
    first = await stage.clients.openai.responses.with_raw_response.create(model="asked-model", input="first words")
    owner, response = first.headers["x-omni-account"], first.parse()
    more: Any = {"model": "asked-model", "input": "more", "previous_response_id": response.id}
    for _ in range(4):
        again = await stage.clients.openai.responses.with_raw_response.create(**more)
        assert again.headers["x-omni-account"] == owner
        assert stage.upstream.seen[-1].body == {**more, "model": "test-model"}
    elsewhere = "two" if owner == "one" else "one"
    pinned = await stage.clients.openai.responses.with_raw_response.create(**{**more, "model": f"{elsewhere}/asked-model"})
    assert pinned.headers["x-omni-account"] == elsewhere
    sent = stage.upstream.seen[-1].body
    assert "previous_response_id" not in sent
    assert [one.get("role") for one in sent["input"]] == ["user", "assistant", "user"]


async def test_a_provider_is_only_reminded_of_what_it_knows(stage: Stage) -> None:  # C-23
    """Not of an answer that it gave whole although a stream was asked for: the client has another id of that. And not for a client
    to whom the answer was never given."""
    account = await stage.account("openai-responses")
    known: set[str] = set()

    def provider(seen: Seen) -> Answer:
        previous = seen.body.get("previous_response_id")
        if previous and previous not in known:
            return whole({"error": {"message": "not found", "code": "previous_response_not_found", "type": "invalid_request_error"}}, 400)
        known.add(f"resp_{len(known)}")
        return renamed(told(Said("an answer"), RESPONSES, False), f"resp_{len(known) - 1}")

    stage.upstream.answer(provider)
    create = stage.clients.openai.responses.create
    streamed = [event async for event in await create(model="asked-model", input="first", stream=True)]
    response: Any = streamed[-1]
    more: Any = {"model": "asked-model", "input": "more", "previous_response_id": response.response.id}
    assert (await create(**more)).output_text == "an answer"
    assert [one.get("role") for one in stage.upstream.seen[-1].body["input"]] == ["user", "assistant", "user"]

    private = await create(model="asked-model", input="private")
    asked = len(stage.upstream.seen)
    other = (await stage.rig.gateway.admin.create_key({"name": "a stranger"}))["key"]
    stolen = {"model": "asked-model", "input": "What did I say?", "previous_response_id": private.id}
    got = await stage.clients.http.post(f"{stage.rig.url}/v1/responses", json=stolen, headers={"authorization": f"Bearer {other}"})
    assert (got.status_code, got.json()["error"]["code"]) == (400, "previous_response_not_found")
    assert len(stage.upstream.seen) == asked, "the provider knows the answer, but not whose it is"
    assert not (await stage.rig.gateway.admin.account(account["id"]))["cooldowns"]


# ---------------------------------------------------------------- What a client's format has no field for


@STREAMED
async def test_a_signed_call_comes_home_through_a_client_without_a_field_for_it(stage: Stage, streamed: bool) -> None:
    await stage.account(PROVIDER[GEMINI])
    signed = Said(calls=(Call("", "get_weather", {"city": "Lisboa ☀", "n": 1.50}),), signature="c2lnbmF0dXJl", thoughts="")
    stage.upstream.answer(told(signed, GEMINI, streamed))
    turns: list[Json] = [{"role": "user", "content": "Weather?"}]
    asked: Json = {"model": "asked-model", "max_tokens": 99, "messages": turns, "tools": [WEATHER]}
    heard = await stage.ask("anthropic", asked, streamed=streamed)
    call_id = heard.calls[0][0]
    assert "c2lnbmF0dXJl" not in heard.message.model_dump_json()
    turns += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call_id, "name": "get_weather", "input": heard.calls[0][2]}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "sunny"}]},
    ]
    stage.upstream.answer(told(Said("Sunny."), GEMINI, streamed))
    assert (await stage.ask("anthropic", asked, streamed=streamed)).text == "Sunny."
    parts = [part for turn in stage.upstream.seen[-1].body["contents"] for part in turn["parts"] if "functionCall" in part]
    assert [part["thoughtSignature"] for part in parts] == ["c2lnbmF0dXJl"]


async def test_thoughts_of_a_tool_loop_come_home_when_the_client_forgets_them(stage: Stage) -> None:
    """Anthropic refuses a call of a thinking turn without its thoughts; most programs of OpenAI's format send none back."""
    await stage.account(PROVIDER[MESSAGES])
    said = Said(thoughts="They want the weather.", signature="sig-1", calls=(Call("toolu_1", "get_weather", {"city": "Lisboa"}),))
    stage.upstream.answer(told(said, MESSAGES, False))
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    turns: list[Any] = [{"role": "user", "content": "Weather?"}]
    asked: Any = {"model": "asked-model", "messages": turns, "tools": tools, "reasoning_effort": "low", "max_tokens": 9999}
    first = await stage.clients.openai.chat.completions.create(**asked)
    call = first.choices[0].message.tool_calls[0].model_dump()  # type: ignore[index]
    turns += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
    ]
    stage.upstream.answer(told(Said("Sunny."), MESSAGES, False))
    await stage.clients.openai.chat.completions.create(**asked)
    blocks = stage.upstream.seen[-1].body["messages"][1]["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    assert (blocks[0]["thinking"], blocks[0]["signature"]) == ("They want the weather.", "sig-1")


# ---------------------------------------------------------------- Media by URL


async def test_a_picture_by_url_reaches_a_provider_that_wants_bytes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:  # C-10
    await stage.account(PROVIDER[GEMINI])
    picture = Answer(200, {"content-type": "image/png"}, [base64.b64decode(PNG)])
    stage.upstream.answer(lambda seen: picture if seen.path == "/dot.png" else told(Said("A dot."), GEMINI, False))
    place = {"type": "image_url", "image_url": {"url": f"{stage.upstream.url}/dot.png"}}
    asked: Json = {"model": "asked-model", "messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, place]}]}
    with pytest.raises(openai.BadRequestError, match="Send it as base64") as refused:
        await stage.ask("openai", asked)
    assert refused.value.param == "messages[0]" and not stage.upstream.seen, "a private address is not even asked"

    await stage.rig.gateway.admin.set_config({"fetch_private_media": True})
    try:
        assert (await stage.ask("openai", asked)).text == "A dot."
    finally:
        await stage.rig.gateway.admin.set_config({"fetch_private_media": False})
    parts = stage.upstream.seen[-1].body["contents"][0]["parts"]
    assert parts[1]["inlineData"] == {"mimeType": "image/png", "data": PNG}


# ---------------------------------------------------------------- Thinking levels


async def test_a_level_in_the_name_is_said_in_every_format(stage: Stage) -> None:  # P-08 P-49 P-51 P-52
    expected = {
        CHAT: lambda body: body["reasoning_effort"] == "high",
        RESPONSES: lambda body: body["reasoning"]["effort"] == "high",
        MESSAGES: lambda body: "thinking" in body or body.get("output_config", {}).get("effort") == "high",
        GEMINI: lambda body: "thinkingConfig" in body["generationConfig"],
    }
    for wire, holds in expected.items():
        await stage.account(PROVIDER[wire], "main")
        for client in (CHAT, MESSAGES):
            stage.upstream.answer(told(Said("Hm."), wire, False))
            path = {CHAT: "chat/completions", MESSAGES: "messages"}[client]
            asked = {"model": "main/high/asked-model", "max_tokens": 50_000, "messages": [{"role": "user", "content": "hi"}]}
            got = await stage.clients.http.post(f"{stage.rig.url}/v1/{path}", json=asked, headers=stage.rig.bearer)
            assert got.status_code == 200, got.text
            assert got.json()["model"] == "main/high/asked-model"
            body = stage.upstream.seen[-1].body
            assert holds(body), (client, wire, body)
        await stage.reset()


async def test_levels_are_listed_and_others_refused(stage: Stage) -> None:  # P-47 P-50 P-51 P-52
    await stage.account("openai", "main", models=["gpt-5.5", "gpt-4.1"])
    listed = {one.id async for one in await stage.clients.openai.models.list()}
    assert {"openai/low/gpt-5.5", "openai/high/gpt-5.5"} <= listed
    assert not any("gpt-4.1" in name and "/high/" in name for name in listed)
    for name in ("openai/ultra-high/gpt-5.5", "openai/high/gpt-4.1"):
        with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as refused:
            await stage.ask("openai", {"model": name, "messages": [{"role": "user", "content": "hi"}]})
        if name.endswith("4.1"):
            assert refused.value.status_code == 400


# ---------------------------------------------------------------- Counting


async def test_a_counter_of_the_account_is_asked(stage: Stage) -> None:  # P-43
    await stage.account("anthropic", "main", models=["test-model"])
    stage.upstream.answer(whole({"input_tokens": 4711}))
    turns: Any = [{"role": "user", "content": "count me"}]
    raw = await stage.clients.anthropic.messages.with_raw_response.count_tokens(model="asked-model", messages=turns)
    assert (await raw.parse()).input_tokens == 4711
    assert (raw.headers["x-omni-usage"], raw.headers["x-omni-account"]) == ("reported", "main")
    seen = stage.upstream.seen[-1]
    assert (seen.path, seen.body["model"]) == ("/v1/messages/count_tokens", "test-model")
    address = f"{stage.rig.url}/v1beta/models/asked-model:countTokens"
    body = {"contents": [{"role": "user", "parts": [{"text": "count me"}]}]}
    got = await stage.clients.http.post(address, json=body, headers={"x-goog-api-key": stage.rig.key})
    assert got.json()["totalTokens"] == 4711
    stage.upstream.answer(whole({"error": {"type": "api_error", "message": "no"}}, 500))
    told_so = await stage.clients.anthropic.messages.with_raw_response.count_tokens(model="asked-model", messages=turns)
    assert told_so.headers["x-omni-usage"] == "estimated" and 0 < (await told_so.parse()).input_tokens < 50


@pytest.mark.parametrize("path", ["/v1/messages/count_tokens", "/v1/responses/input_tokens", "/v1beta/models/m:countTokens"])
async def test_what_can_be_sent_can_be_counted(stage: Stage, path: str) -> None:  # P-43
    """The same limit, the same refusals."""
    words = "a" * (17 << 20)
    body = {"model": "m", "messages": [{"role": "user", "content": words}], "input": words, "contents": [{"parts": [{"text": words}]}]}
    got = await stage.clients.http.post(stage.rig.url + path, json=body, headers=stage.rig.bearer)
    assert got.status_code == 200 and got.headers["x-omni-usage"] == "estimated"
    packed = await stage.clients.http.post(stage.rig.url + path, content=b"x", headers={**stage.rig.bearer, "content-encoding": "gzip"})
    assert packed.status_code == 415 and "Compressed" in packed.text
    for headers, where in (({"model-provider": "nobody"}, ""), ({}, "/nobody")):
        lost = await stage.clients.http.post(f"{stage.rig.url}{where}{path}", json={}, headers={**stage.rig.bearer, **headers})
        assert lost.status_code == 404 and "nobody" in lost.text


# ---------------------------------------------------------------- What is said as it is, and lists


@pytest.mark.parametrize("limit", [None, 123_456])
@pytest.mark.parametrize("client", ["openai", "responses", "gemini"])
async def test_a_limit_is_the_clients_alone(stage: Stage, client: str, limit: int | None) -> None:
    await stage.account(PROVIDER[GEMINI])
    stage.upstream.answer(told(Said("Fine."), GEMINI, False))
    paths = {"openai": "/v1/chat/completions", "responses": "/v1/responses", "gemini": "/v1beta/models/asked-model:generateContent"}
    said: dict[str, Json] = {
        "openai": {"messages": [{"role": "user", "content": "hi"}], **({"max_tokens": limit} if limit else {})},
        "responses": {"input": "hi", **({"max_output_tokens": limit} if limit else {})},
        "gemini": {"contents": [{"parts": [{"text": "hi"}]}], **({"generationConfig": {"maxOutputTokens": limit}} if limit else {})},
    }
    asked = said[client] if client == "gemini" else {"model": "asked-model", **said[client]}
    got = await stage.clients.http.post(f"{stage.rig.url}{paths[client]}", json=asked, headers=stage.rig.bearer)
    assert got.status_code == 200, got.text
    assert stage.upstream.seen[-1].body.get("generationConfig", {}).get("maxOutputTokens") == limit


async def test_the_models_of_a_provider(stage: Stage) -> None:  # C-82 C-83
    await stage.account("openai", "main", models=["gpt-5.5", "text-embedding-3-small"])
    admin = {"authorization": f"Bearer {stage.rig.gateway.admin_key}"}
    for path in ("/api/provider-models", "/api/provider-models/openai"):
        got = await stage.clients.http.get(f"{stage.rig.url}{path}", headers=admin)
        assert got.status_code == 200 and {"gpt-5.5", "text-embedding-3-small"} <= set(re.findall(r'"id":\s*"([^"]+)"', got.text)), got.text
