"""The format as a whole: recorded exchanges, other formats on the far side, and properties of both directions."""

from __future__ import annotations

import base64
import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatResponse,
    Choice,
    Delta,
    Failed,
    Finish,
    ForeignPart,
    Opaque,
    Origin,
    ReasoningPart,
    Target,
    TextPart,
    ToolCallPart,
    Usage,
    fold,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import anthropic_messages, openai_chat
from omni_connector.wire import gemini_generate as wire
from omni_connector.wire.gemini_words import FINISH_NUMBERS, FINISH_REASON, camel, dumps, word_of
from tests.wire.gemini_reading import (
    NAMES,
    ORIGIN,
    array,
    check_stream,
    counts,
    cut,
    folded,
    openai_answer,
    parse,
    read,
    recordings,
    stream,
    transcript,
)

RECORDINGS = recordings()
recorded = pytest.mark.parametrize(
    "path",
    RECORDINGS or [pytest.param(None, marks=pytest.mark.skip("no recordings here"))],
    ids=lambda p: p and p.stem.removeprefix("gemini-"),
)

# ------------------------------------------------------------------------------------------------ recorded exchanges


def bytes_of(response: dict[str, Any]) -> bytes:
    return response["sse"].encode() if "sse" in response else base64.b64decode(response["raw_base64"])


def chunks_told(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a recorded answer, collected without our parser."""
    if "body" in response:
        return [response["body"]]
    text = bytes_of(response).decode()
    if text.startswith("["):
        return json.loads(text)
    return [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]


def told(chunks: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """What one candidate says: text, thoughts, names of calls with arguments, signatures, other parts, finish reason."""
    said: dict[str, Any] = {"text": "", "thoughts": "", "calls": [], "signatures": [], "others": [], "finish": None}
    for chunk in chunks:
        for position, candidate in enumerate(chunk.get("candidates") or []):
            if candidate.get("index", position) != number:
                continue
            said["finish"] = word_of(candidate.get("finishReason"), FINISH_NUMBERS) or said["finish"]
            for part in candidate.get("content", {}).get("parts", []):
                if "text" in part:
                    said["thoughts" if part.get("thought") else "text"] += part["text"]
                elif "functionCall" in part:
                    call = part["functionCall"]
                    said["calls"] += [(call["name"], call.get("args"))] if call.get("name") else []
                else:
                    said["others"].append(part)
                    continue
                if part.get("thoughtSignature"):
                    said["signatures"].append(part["thoughtSignature"])
    return said


def as_told(choice: Choice) -> dict[str, Any]:
    said: dict[str, Any] = {"text": "", "thoughts": "", "calls": [], "signatures": [], "others": [], "finish": choice.raw_finish}
    for part in choice.parts:
        match part:
            case TextPart(text):
                said["text"] += text
            case ReasoningPart(text):
                said["thoughts"] += text
            case ToolCallPart():
                said["calls"].append((part.name, json.loads(part.arguments)))
            case ForeignPart():
                said["others"].append(part.value)
        if isinstance(part, ReasoningPart | ToolCallPart):
            assert all((opaque.kind, opaque.origin) == ("gemini.thought_signature", ORIGIN) for opaque in part.opaque)
            said["signatures"] += [opaque.value for opaque in part.opaque]
    return said


def without_ids(events: Any) -> str:
    """Events by their text, without the ids that are made up by chance where an answer has none of its own."""
    return re.sub(r"gemini_call_(\d+)_[0-9a-f]{23}", r"gemini_call_\1", repr(events))


@recorded
def test_every_recorded_answer_is_understood(path: Path) -> None:
    record = json.loads(path.read_text())
    response = record["response"]
    if response["status"] != 200:
        error = wire.parse_error(response["status"], response["headers"], json.dumps(response["body"]).encode())
        assert error.message == response["body"]["error"]["message"]
        assert error.kind in (Kind.BAD_REQUEST, Kind.ACCOUNT_FORBIDDEN, Kind.ACCOUNT_RATE_LIMITED, Kind.UPSTREAM_MODEL_MISSING)
        return
    listener = wire.Listener()
    if "body" in response:
        events = wire.ResponseParser(ORIGIN).whole(response["body"])
        listener.whole(response["body"])
    else:
        data = bytes_of(response)
        events = parse([data])
        dice = random.Random(path.name)
        for _ in range(3):
            chunks = cut(data, [dice.randrange(len(data)) for _ in range(40)])
            assert without_ids(parse(chunks)) == without_ids(events)
        for chunk in chunks:
            listener.feed(chunk)
        listener.close()
    whole = folded(events)
    if "error" in path.stem.partition("test-data")[2]:
        assert whole.error is not None
        assert listener.error is not None
        assert not whole.ended
        return
    found, chunks_said = whole.response(), chunks_told(response)
    for number, choice in enumerate(found.choices):
        said, ours = told(chunks_said, number), as_told(choice)
        if not any(chunk.get("candidates") for chunk in chunks_said):
            said["finish"] = chunks_said[-1]["promptFeedback"].get("blockReason")
        for name, (theirs, mine) in enumerate(zip(said["calls"], ours["calls"], strict=True)):
            assert theirs[0] == mine[0], name
            assert theirs[1] in (None, mine[1])
        assert {**ours, "calls": []} == {**said, "calls": []}
    first = found.choices[0]
    assert counts(listener.usage) == counts(whole.usage)
    assert (listener.finish, listener.ended, listener.error) == (first.finish, True, None)
    if "stream-tool-call-arguments" not in path.stem:
        assert listener.output_chars == sum(len(event.text) for event in events if isinstance(event, Delta))
    last_usage = next((chunk["usageMetadata"] for chunk in reversed(chunks_said) if chunk.get("usageMetadata")), {})
    if "totalTokenCount" in last_usage:
        assert whole.usage is not None
        assert whole.usage.total == last_usage["totalTokenCount"]
    # Told again in the own format, streamed and whole, it is the same answer.
    renderer = wire.ResponseRenderer("asked")
    data = b"".join(renderer.feed(event) for event in events)
    check_stream(data)
    for again in (fold(parse([data])), fold(wire.ResponseParser(ORIGIN).whole(wire.render_response(found, "asked")))):
        assert without_ids([(choice.parts, choice.extra) for choice in again.choices]) == without_ids(
            [(choice.parts, choice.extra) for choice in found.choices]
        )
        assert [choice.finish for choice in again.choices] == [choice.finish for choice in found.choices]
        assert counts(again.usage) == counts(found.usage)


def normal(body: dict[str, Any], model: str) -> dict[str, Any]:
    """A recorded body in the one form that the module names for every variant."""
    out = {key: value for key, value in camel(body).items() if value not in (None, {}) and key != "model"}
    if "systemInstruction" in out:
        out["systemInstruction"] = {"parts": out["systemInstruction"]["parts"]}
    contents: list[dict[str, Any]] = []
    for content in out["contents"]:
        parts = [normal_part(part, model) for part in content["parts"]]
        if contents and contents[-1]["role"] == content.get("role", "user"):
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": content.get("role", "user"), "parts": parts})
    out["contents"] = contents
    for tool in out.get("tools", []):
        for function in tool.get("functionDeclarations", []):
            if "parameters_json_schema" in function:
                function["parametersJsonSchema"] = function.pop("parameters_json_schema")
            if not function.get("description"):
                function.pop("description", None)
    config = camel(out.get("generationConfig", {}))
    if "thinkingConfig" in config:
        config["thinkingConfig"] = camel(config["thinkingConfig"])
    if "topK" in config:
        config["topK"] = int(config["topK"])
    if "responseSchema" in config:
        config["responseJsonSchema"] = lower(config.pop("responseSchema"))
    if config:
        out["generationConfig"] = config
    return out


def normal_part(part: dict[str, Any], model: str) -> dict[str, Any]:
    out = {key: camel(value) if isinstance(value, dict) else value for key, value in camel(part).items() if value is not None}
    if out.get("thought") is False:
        del out["thought"]
    if "inlineData" in out:
        data = out["inlineData"]["data"].replace("-", "+").replace("_", "/")
        out["inlineData"]["data"] = data + "=" * (-len(data) % 4)
    return out


def lower(schema: Any) -> Any:
    """A recorded `responseSchema` as JSON Schema; the recorded ones use types and orders only."""
    if isinstance(schema, list):
        return [lower(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.lower() if key == "type" and isinstance(value, str) else lower(value)
        for key, value in schema.items()
        if key not in ("property_ordering", "propertyOrdering")
    }


@recorded
def test_a_recorded_request_for_the_same_origin_stays_as_it_was(path: Path) -> None:
    record = json.loads(path.read_text())
    body, model = record["request"]["body"], record["model"] or "m"
    if body is None:
        return
    try:
        request = wire.parse_request({**body, "model": model}, "stream" in record["wire"])
    except GatewayError as error:
        # What is refused here was refused there.
        assert (error.kind, record["response"]["status"]) == (Kind.BAD_REQUEST, 400)
        return
    rendered = wire.render_request(request, model, Target(ORIGIN))
    assert rendered.dropped == ()
    assert rendered.body == normal(body, model)


# ------------------------------------------------------------------------------------------------ other formats on the far side


def through(renderer: Any, parser: Any, response: ChatResponse) -> ChatResponse:
    data = b"".join(renderer.feed(event) for event in unfold(response))
    return fold([*parser.feed(data), *parser.close()])


def essence(response: ChatResponse) -> tuple[Any, ...]:
    """What every format can say: words, thoughts, calls, why it ended, what it cost."""
    parts = response.choices[0].parts
    usage = response.usage or Usage()
    return (
        "".join(part.text for part in parts if isinstance(part, TextPart)),
        "".join(part.text for part in parts if isinstance(part, ReasoningPart)),
        [(part.name, json.loads(part.arguments)) for part in parts if isinstance(part, ToolCallPart)],
        response.choices[0].finish,
        (usage.prompt, usage.cache_read, usage.output),
    )


@pytest.mark.parametrize("other", [openai_chat, anthropic_messages], ids=lambda module: module.NAME)
def test_a_gemini_answer_for_other_clients(other: Any) -> None:
    # C-07
    response = read([transcript("thought_call")])
    asked = replace(other.parse_request(ASKED[other.NAME]), include_usage=True)
    again = through(other.ResponseRenderer("asked", asked), other.ResponseParser(ORIGIN), response)
    assert essence(again) == essence(response)
    assert [part.id for part in again.choices[0].parts if isinstance(part, ToolCallPart)] == ["gemini_call_0_LiGhT0uSe_9", "k2"]


@pytest.mark.parametrize("other", [openai_chat, anthropic_messages], ids=lambda module: module.NAME)
def test_another_provider_s_answer_for_gemini_clients(other: Any) -> None:
    whole = openai_answer()
    _, *others = whole.choices[0].parts
    # Without the proof, which chat completions repeat the thought for.
    response = replace(whole, choices=(replace(whole.choices[0], parts=(ReasoningPart("hm"), *others)),))
    asked = replace(other.parse_request(ASKED[other.NAME]), include_usage=True)
    theirs = through(other.ResponseRenderer("m", asked), other.ResponseParser(Origin("x", "m")), response)
    ours = through(wire.ResponseRenderer("asked"), wire.ResponseParser(ORIGIN), theirs)
    assert essence(ours) == essence(theirs) == essence(response)


ASKED: dict[str, dict[str, Any]] = {
    "openai-chat": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True},
    "anthropic-messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
}


@pytest.mark.parametrize("other", [openai_chat, anthropic_messages], ids=lambda module: module.NAME)
def test_a_signature_comes_home_through_another_client(other: Any) -> None:
    """Gemini → client of another format → Gemini: byte-exact for the same origin, gone for another."""
    response = read([transcript("thought_call")])
    whole = other.render_response(response, "asked", other.parse_request(ASKED[other.NAME]))
    message = whole["choices"][0]["message"] if other is openai_chat else {"role": "assistant", "content": whole["content"]}
    request = other.parse_request({**ASKED[other.NAME], "messages": [*ASKED[other.NAME]["messages"], message]})

    def signature(origin: Origin) -> Any:
        body = wire.render_request(request, "gemini-2.5-flash", Target(origin)).body
        return next(part.get("thoughtSignature") for part in body["contents"][1]["parts"] if "functionCall" in part)

    # Anthropic's blocks have no place for a call's proof; a chat client's reasoning_details have.
    assert signature(ORIGIN) == ("EqQCtIdE+/AABA==" if other is openai_chat else None)
    assert signature(Origin("gemini", "gemini-2.5-flash")) is None


@pytest.mark.parametrize("other", [openai_chat, anthropic_messages], ids=lambda module: module.NAME)
def test_a_gemini_client_that_drops_ids_gets_whole_pairs_everywhere(other: Any) -> None:
    # C-13
    contents = [
        {"role": "user", "parts": [{"text": "Tides?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "tide", "args": {"n": n}}} for n in (1, 2)]},
        {"role": "user", "parts": [{"functionResponse": {"name": "tide", "response": {"output": text}}} for text in ("low", "high")]},
    ]
    tools = [{"functionDeclarations": [{"name": "tide", "parameters": {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}}}}]}]
    request = wire.parse_request({"model": "m", "contents": contents, "tools": tools})
    rendered = other.render_request(request, "m", Target(Origin("x", "m")))
    again = other.parse_request(rendered.body)
    assert rendered.dropped == ()
    back = wire.render_request(again, "gemini-2.5-flash", Target(ORIGIN)).body
    assert (back["contents"], back["tools"][0]["functionDeclarations"][0]["name"]) == (contents, "tide")
    assert back["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"]["properties"] == {"n": {"type": "integer"}}


# ------------------------------------------------------------------------------------------------ properties

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3)
SIGNED = WORDS.map(lambda value: (Opaque("gemini.thought_signature", value, ORIGIN),))
FOREIGN = st.just(ForeignPart(wire.NAME, {"executableCode": {"code": "1"}})) | WORDS.map(
    lambda data: ForeignPart(wire.NAME, {"inlineData": {"data": data}})
)
PARTS = st.one_of(
    WORDS.map(TextPart),
    st.builds(ReasoningPart, WORDS, SIGNED),
    st.builds(ReasoningPart, st.just(""), SIGNED),
    WORDS.map(ReasoningPart),
    st.builds(ToolCallPart, IDS, IDS, OBJECTS.map(lambda value: dumps(value).decode()), opaque=st.just(()) | SIGNED),
    FOREIGN,
)
COUNT = st.integers(0, 10**6)


def apart(parts: list[Any]) -> tuple[Any, ...]:
    """Neighbours that this format cannot tell apart, pieces of one text or thought, are made one."""
    out: list[Any] = []
    for part in parts:
        last = out[-1] if out else None
        open_words = isinstance(last, TextPart) or (isinstance(last, ReasoningPart) and not last.opaque)
        if open_words and type(part) is type(last) and part.text:
            out[-1] = replace(part, text=last.text + part.text)
        else:
            out.append(part)
    return tuple(out)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    finishes = [Finish.STOP, Finish.LENGTH, Finish.FILTER, Finish.OTHER]
    choices = []
    for _ in range(draw(st.integers(1, 2))):
        parts = apart(draw(st.lists(PARTS, max_size=5)))
        finish = draw(st.sampled_from(finishes))
        word = FINISH_REASON[finish]
        if finish is Finish.STOP and any(isinstance(part, ToolCallPart) for part in parts):
            finish = Finish.TOOL_CALLS
        choices.append(Choice(parts, finish, raw_finish=word))
    cached = draw(st.none() | COUNT)
    reasoning = draw(st.none() | COUNT)
    usage = Usage(draw(COUNT), cached, None, draw(COUNT) + (reasoning or 0), reasoning)
    return ChatResponse(draw(IDS), "asked", 0, tuple(choices), usage)


@given(responses(), st.lists(st.integers(0, 10**6), max_size=8), st.booleans())
def test_an_answer_survives_the_way_out_and_back(response: ChatResponse, places: list[int], as_array: bool) -> None:
    data = stream(response, array=as_array)
    if not as_array:
        check_stream(data)
    again = read(cut(data, places))
    assert replace(again, usage=counts(again.usage)) == response
    whole = fold(wire.ResponseParser(ORIGIN).whole(wire.render_response(response, "asked")))
    assert replace(whole, usage=counts(whole.usage)) == response


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = """contents parts role user model function text thought thoughtSignature thought_signature inlineData mimeType image/png data
    fileData fileUri functionCall function_call functionResponse name id args response output error parameters type OBJECT properties
    parametersJsonSchema functionDeclarations googleSearch mode ANY AUTO allowedFunctionNames thinkingBudget thinkingLevel LOW nullable enum
    b21uaTEu items anyOf $ref responseSchema responseMimeType application/json"""
NAMES_IN_USE = st.sampled_from(_NAMES.split())
LIKELY = st.recursive(
    NAMES_IN_USE | JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES_IN_USE, inner, max_size=5), max_leaves=12
)
_FIELDS = """model stream contents systemInstruction tools toolConfig generationConfig safetySettings cachedContent system_instruction"""
FIELDS = st.sampled_from(_FIELDS.split())
_PART = st.one_of(
    st.fixed_dictionaries({"text": st.text(max_size=3)}, optional={"thought": st.booleans(), "thoughtSignature": NAMES_IN_USE}),
    st.fixed_dictionaries(
        {"functionCall": st.fixed_dictionaries({"name": IDS}, optional={"id": IDS, "args": st.dictionaries(IDS, LIKELY)})}
    ),
    st.fixed_dictionaries(
        {"functionResponse": st.fixed_dictionaries({"name": IDS}, optional={"id": IDS, "response": LIKELY, "parts": LIKELY})}
    ),
    LIKELY,
)
CONTENTS = st.lists(
    st.fixed_dictionaries({"parts": st.lists(_PART, max_size=3)}, optional={"role": st.sampled_from(["user", "model", "function"])}),
    max_size=4,
)
_CONFIG = "temperature topK thinkingConfig responseSchema responseMimeType stopSequences"
CONFIG = st.dictionaries(st.sampled_from(_CONFIG.split()), LIKELY)


@example({"contents": [{"parts": [{"text": "0"}], "role": "model"}, {"parts": [{"text": "", "thoughtSignature": "x"}], "role": "model"}]})
@given(
    JSON
    | st.dictionaries(FIELDS, LIKELY)
    | st.fixed_dictionaries({"contents": CONTENTS}, optional={"tools": LIKELY, "systemInstruction": LIKELY, "generationConfig": CONFIG})
)
def test_any_json_is_parsed_or_refused_and_what_is_parsed_can_be_rendered(body: Any) -> None:
    try:
        request = wire.parse_request(body)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
        assert error.message
        return
    for model, features in (("gemini-2.5-pro", frozenset[str]()), ("gemini-3-flash", frozenset({"reduced_schema"}))):
        rendered = wire.render_request(request, model, Target(ORIGIN, features))
        assert rendered.body["contents"]
        if features:
            continue
        # Once in its one form, a body stays as it is.
        again = wire.render_request(wire.parse_request(rendered.body), model, Target(ORIGIN, features))
        assert json.dumps(again.body) == json.dumps(rendered.body)
    for other in (openai_chat, anthropic_messages):
        try:
            other.render_request(request, "m", Target(Origin("x", "m")))
        except GatewayError as error:
            assert error.kind is Kind.BAD_REQUEST


CANDIDATE = st.fixed_dictionaries(
    {"content": st.fixed_dictionaries({"parts": st.lists(_PART, max_size=3)}) | LIKELY},
    optional={"finishReason": st.sampled_from(["STOP", "MAX_TOKENS", "x", 2, None]) | LIKELY, "index": st.integers(-1, 2) | LIKELY},
)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.lists(CANDIDATE, max_size=2) | LIKELY,
        "usageMetadata": st.dictionaries(st.sampled_from(["promptTokenCount", "totalTokenCount", "candidatesTokenCount"]), COUNT) | LIKELY,
        "error": LIKELY,
        "promptFeedback": LIKELY,
        "responseId": LIKELY,
    },
)


@given(st.lists(LIKELY | CHUNKS, max_size=5), st.booleans())
def test_whatever_an_upstream_says_is_read_or_reported(bodies: list[Any], as_array: bool) -> None:
    bodies = [body for body in bodies if _is_json(body)]
    texts = [json.dumps(body).encode() for body in bodies]
    data = b"[" + b",".join(texts) + b"]" if as_array else b"".join(b"data: " + text + b"\r\n\r\n" for text in texts)
    events = parse([data])
    listener = wire.Listener()
    listener.feed(data)
    listener.close()
    failed = [event.error for event in events if isinstance(event, Failed)]
    assert (listener.error is None) == (not failed)
    for renderer in (wire.ResponseRenderer("asked"), wire.ArrayRenderer("asked")):
        for event in events:
            renderer.feed(event)
    assert isinstance(listener.usage, Usage | None)
    for body in bodies:
        wire.ResponseParser(ORIGIN).whole(body)
        wire.Listener().whole(body)
    wire.parse_error(400, {}, data)


@given(
    st.sampled_from([*(transcript(name) for name in NAMES), array()]),
    st.lists(st.tuples(st.integers(0, 10**4), st.binary(max_size=3)), max_size=6),
)
def test_any_bytes_are_read_or_reported(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    for place, put in changes:
        at = place % len(data)
        data = data[:at] + put + data[at + len(put) :]
    events = parse(cut(data, [place for place, _ in changes]))
    listener = wire.Listener()
    for chunk in cut(data, [place for place, _ in changes]):
        listener.feed(chunk)
    listener.close()
    assert isinstance(listener.usage, Usage | None)
    assert len([event for event in events if isinstance(event, Failed)]) <= 1


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
