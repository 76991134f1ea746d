"""The format as a whole: recorded exchanges, the vendor's SDK as reader of what we write, and properties of both directions."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatResponse,
    Choice,
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
from omni_connector.wire import anthropic_messages as wire
from omni_connector.wire.anthropic_words import CITATIONS, STOP_REASON, dumps
from tests.wire.anthropic_reading import ORIGIN, check_stream, cut, parse, read, transcript

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("OMNI_RECORDINGS") or ROOT.parent / "shared" / "recordings")
RECORDINGS = sorted(FOLDER.glob("anthropic-messages--*.json")) if FOLDER.is_dir() else []
recorded = pytest.mark.parametrize(
    "path",
    RECORDINGS or [pytest.param(None, marks=pytest.mark.skip("no recordings here"))],
    ids=lambda p: p and p.stem.removeprefix("anthropic-messages--"),
)

# ------------------------------------------------------------------------------------------------ recorded exchanges


def told(record: dict[str, Any]) -> dict[str, Any]:
    """What a recorded answer says, collected without our parser: blocks, stop reason, last counts."""
    response = record["response"]
    if "sse" not in response:
        return response["body"]
    message: dict[str, Any] = {}
    texts: dict[int, str] = {}
    for line in response["sse"].splitlines():
        if not line.startswith("data:"):
            continue
        event = json.loads(line[5:])
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append(event["content_block"])
            case "content_block_delta":
                delta, block = event["delta"], message["content"][event["index"]]
                for key in ("text", "thinking", "signature", "content"):
                    if key in delta:
                        block[key] = (block.get(key) or "") + delta[key]
                if "citation" in delta:
                    block["citations"] = [*(block.get("citations") or []), delta["citation"]]
                texts[event["index"]] = texts.get(event["index"], "") + delta.get("partial_json", "")
            case "message_delta":
                message |= event["delta"]
                message["usage"] = {**message["usage"], **event["usage"]}
    for index, text in texts.items():
        if text:
            message["content"][index]["input"] = cut_off(text)
    return message


def cut_off(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {"_raw_arguments": text}


def as_block(part: Any) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text, **({"citations": list(part.citations)} if part.citations else {})}
        case ReasoningPart(text, (opaque,)) if opaque.kind == "anthropic.redacted":
            return {"type": "redacted_thinking", "data": opaque.value}
        case ReasoningPart(text, (opaque,)):
            return {"type": "thinking", "thinking": text, "signature": opaque.value}
        case ToolCallPart():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": cut_off(part.arguments), **part.extra}
        case ForeignPart():
            return part.value
    raise AssertionError(part)


def billed(usage: dict[str, Any], name: str) -> int:
    compactions = [step for step in usage.get("iterations") or [] if step["type"] == "compaction"]
    return (usage.get(name) or 0) + sum(step.get(name) or 0 for step in compactions)


@recorded
def test_every_recorded_answer_is_understood(path: Path) -> None:
    record = json.loads(path.read_text())
    response = record["response"]
    if response["status"] != 200:
        error = wire.parse_error(response["status"], response["headers"], json.dumps(response["body"]).encode())
        assert error.message == response["body"]["error"]["message"]
        assert error.kind in (Kind.BAD_REQUEST, Kind.ACCOUNT_REJECTED, Kind.UPSTREAM_MODEL_MISSING, Kind.UPSTREAM_OVERLOADED)
        return
    listener = wire.Listener()
    if "sse" in response:
        data = response["sse"].encode()
        events = parse([data])
        dice = random.Random(path.name)
        for _ in range(3):
            chunks = cut(data, [dice.randrange(len(data)) for _ in range(40)])
            assert parse(chunks) == events
        for chunk in chunks:
            listener.feed(chunk)
    else:
        events = wire.ResponseParser(ORIGIN).whole(response["body"])
        listener.whole(response["body"])
    found = fold(events)
    said = told(record)
    usage, (choice,) = found.usage, found.choices
    assert usage is not None
    assert (found.id, found.model, choice.raw_finish, choice.stop_sequence) == tuple(
        said[key] for key in ("id", "model", "stop_reason", "stop_sequence")
    )
    expected = [{key: value for key, value in block.items() if not (key == "citations" and not value)} for block in said["content"]]
    assert [as_block(part) for part in choice.parts] == expected
    assert usage.input == billed(said["usage"], "input_tokens")
    assert usage.output == billed(said["usage"], "output_tokens")
    assert usage.cache_read == billed(said["usage"], "cache_read_input_tokens")
    assert usage.cache_write == billed(said["usage"], "cache_creation_input_tokens")
    assert (listener.usage, listener.finish, listener.ended, listener.error) == (usage, choice.finish, True, None)
    # Told again in the own format, streamed and whole, it is the same answer.
    again = wire.ResponseRenderer("asked")
    check_stream(b"".join(again.feed(event) for event in events))
    whole = wire.render_response(found, "asked")
    assert [block for block in expected if block.get("text") != ""] == whole["content"]
    assert (whole["stop_reason"], whole["usage"]["input_tokens"]) == (said["stop_reason"], said["usage"]["input_tokens"])


def as_blocks(content: Any) -> list[dict[str, Any]]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    out = []
    for block in blocks:
        kept = {key: value for key, value in block.items() if not (key == "citations" and not value)}
        if kept["type"] == "tool_result":
            kept = {key: value for key, value in kept.items() if not (key == "is_error" and not value)}
            kept["content"] = as_blocks(kept["content"])
        out.append(kept)
    return out


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded body in the one form that the module names for every variant."""
    out = {key: value for key, value in body.items() if value is not None and not (key in ("stream", "tools") and not value)}
    out.setdefault("model", "m")
    if "output_format" in out:
        out["output_config"] = {"format": out.pop("output_format")}
    if "system" in out:
        out["system"] = as_blocks(out["system"])
    turns: list[dict[str, Any]] = []
    for message in out["messages"]:
        blocks = as_blocks(message["content"])
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda block: turn["role"] == "user" and block["type"] != "tool_result")
    out["messages"] = turns
    return out


@recorded
def test_a_recorded_request_for_the_same_origin_stays_as_it_was(path: Path) -> None:
    record = json.loads(path.read_text())
    body = record["request"]["body"]
    if body is None:
        return
    try:
        request = wire.parse_request(body)
    except GatewayError as error:
        # What is refused here was refused there.
        assert (error.kind, record["response"]["status"]) == (Kind.BAD_REQUEST, 400)
        return
    rendered = wire.render_request(request, body.get("model") or "m", Target(ORIGIN, frozenset({"mid_system"})))
    expected = normal(body)
    if body.get("temperature", 0) > 1:
        expected["temperature"] = 1.0
    assert rendered.dropped == (("temperature (capped to 1.0)",) if body.get("temperature", 0) > 1 else ())
    assert rendered.body == expected


# ------------------------------------------------------------------------------------------------ the vendor's SDK reads us


def sdk(status: int, content: bytes, kind: str) -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=content, headers={"content-type": kind})

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://localhost", max_retries=0, http_client=client)


ASK: dict[str, Any] = {"model": "asked", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}


def openai_answer() -> ChatResponse:
    return ChatResponse(
        "chatcmpl-7",
        "gpt-5.5",
        0,
        (
            Choice(
                (
                    ReasoningPart("hm", (Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5")),)),
                    TextPart("Grüße 🌊\u2028"),
                    ToolCallPart("call_1", "tide", '{"harbour": "Cuxhaven", "n": [1, 2.5]}'),
                    ToolCallPart("functions.now:1", "now", "{}"),
                ),
                Finish.TOOL_CALLS,
                raw_finish="tool_calls",
            ),
        ),
        Usage(input=20, cache_read=80, output=9, reasoning=4),
    )


@pytest.mark.parametrize("streamed", [False, True])
def test_the_vendors_sdk_reads_our_answers(streamed: bool) -> None:
    # P-42, C-24, C-108, J-16
    response = openai_answer()
    if streamed:
        renderer = wire.ResponseRenderer("asked")
        pieces = [wire.KEEPALIVE + renderer.feed(event) for event in unfold(response)]
        with sdk(200, b"".join(pieces), "text/event-stream").messages.stream(**ASK) as stream:
            message = stream.get_final_message()
    else:
        message = sdk(200, dumps(wire.render_response(response, "asked")), "application/json").messages.create(**ASK)
    thought, text, tide, now = message.content
    assert (message.model, message.stop_reason, message.id) == ("asked", "tool_use", "msg_chatcmpl-7")
    assert thought.type == "thinking"
    assert thought.thinking == "hm"
    assert thought.signature.startswith("omni1.")
    assert (text.type, getattr(text, "text", None)) == ("text", "Grüße 🌊\u2028")
    assert tide.type == "tool_use"
    assert (tide.id, tide.name, tide.input) == ("call_1", "tide", {"harbour": "Cuxhaven", "n": [1, 2.5]})
    assert now.type == "tool_use"
    assert (now.name, now.input) == ("now", {})
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (20, 80, 9)
    # What the SDK sends back is the same conversation.
    echoed = {**ASK, "messages": [*ASK["messages"], {"role": "assistant", "content": [block.model_dump() for block in message.content]}]}
    parts = wire.parse_request(echoed).messages[1].parts
    assert [getattr(part, "id", None) for part in parts] == [None, None, "call_1", "functions.now:1"]
    assert parts[0] == response.choices[0].parts[0]


def test_the_vendors_sdk_reads_a_transcript_told_again() -> None:
    renderer = wire.ResponseRenderer("asked")
    data = b"".join(renderer.feed(event) for event in parse([transcript("thinking_tool")]))
    with sdk(200, data, "text/event-stream").messages.stream(**ASK) as stream:
        again = stream.get_final_message()
    with sdk(200, transcript("thinking_tool"), "text/event-stream").messages.stream(**ASK) as stream:
        first = stream.get_final_message()
    assert again.content == first.content
    assert again.usage == first.usage


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        (Kind.BAD_REQUEST, anthropic.BadRequestError),
        (Kind.UNAUTHENTICATED, anthropic.AuthenticationError),
        (Kind.FORBIDDEN, anthropic.PermissionDeniedError),
        (Kind.MODEL_NOT_FOUND, anthropic.NotFoundError),
        (Kind.ACCOUNT_RATE_LIMITED, anthropic.RateLimitError),
        (Kind.NO_ACCOUNT, anthropic.APIStatusError),
        (Kind.INTERNAL, anthropic.InternalServerError),
    ],
)
def test_the_vendors_sdk_raises_our_errors(kind: Kind, raised: type[anthropic.APIStatusError]) -> None:
    # C-39…C-45, C-47
    error = GatewayError(kind, "Words for a person.")
    with pytest.raises(raised) as caught:
        sdk(error.status, dumps(wire.render_error(error)), "application/json").messages.create(**ASK)
    assert "Words for a person." in caught.value.message


def test_the_vendors_sdk_raises_an_error_in_mid_stream() -> None:
    renderer = wire.ResponseRenderer("asked")
    events = list(unfold(openai_answer()))
    data = b"".join(renderer.feed(event) for event in events[:4]) + renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "It broke."))
    with pytest.raises(anthropic.APIError, match="It broke"), sdk(200, data, "text/event-stream").messages.stream(**ASK) as stream:
        stream.get_final_message()


# ------------------------------------------------------------------------------------------------ properties

WORDS = st.text(min_size=1, max_size=12).filter(lambda text: text.isprintable() or "\u2028" in text)
IDS = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS.filter(lambda name: name != "_raw_arguments"), VALUES, max_size=3)


def opaque(kind: str) -> st.SearchStrategy[tuple[Opaque, ...]]:
    return WORDS.map(lambda value: (Opaque(kind, value, ORIGIN),))


CITATION = st.sampled_from(sorted(CITATIONS)).map(lambda kind: {"type": kind, "cited_text": "x"})
PARTS = st.one_of(
    st.builds(TextPart, WORDS, citations=st.lists(CITATION, max_size=2).map(tuple)),
    st.builds(ReasoningPart, st.just("") | WORDS, opaque("anthropic.signature")),
    st.builds(ReasoningPart, st.just(""), opaque("anthropic.redacted")),
    st.builds(ToolCallPart, IDS, WORDS, OBJECTS.map(lambda value: dumps(value).decode())),
    st.builds(
        lambda name, value: ForeignPart(wire.NAME, {"type": "server_tool_use", "id": "s", "name": name, "input": value}), WORDS, OBJECTS
    ),
    st.builds(lambda text: ForeignPart(wire.NAME, {"type": "compaction", "content": text}), WORDS),
    st.just(ForeignPart(wire.NAME, {"type": "brand_new", "content": [1]})),
)
COUNT = st.integers(0, 10**6)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    finish = draw(st.sampled_from(sorted(set(Finish) - {Finish.OTHER, Finish.FILTER})))
    usage = Usage(draw(COUNT), draw(COUNT), draw(COUNT), draw(COUNT), draw(st.none() | COUNT))
    choice = Choice(tuple(draw(st.lists(PARTS, max_size=4))), finish, draw(st.none() | WORDS), STOP_REASON[finish])
    return ChatResponse("msg_" + draw(IDS), "asked", 0, (choice,), usage)


def without_raw(response: ChatResponse) -> ChatResponse:
    usage = response.usage
    assert usage is not None
    return ChatResponse(
        response.id,
        response.model,
        0,
        response.choices,
        Usage(usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning),
    )


@given(responses(), st.lists(st.integers(0, 10**6), max_size=8))
def test_an_answer_survives_the_way_out_and_back(response: ChatResponse, places: list[int]) -> None:
    renderer = wire.ResponseRenderer("asked")
    data = b"".join(renderer.feed(event) for event in unfold(response))
    check_stream(data)
    assert without_raw(read(cut(data, places))) == response
    assert without_raw(fold(wire.ResponseParser(ORIGIN).whole(wire.render_response(response, "asked")))) == response


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = """type text image document tool_use tool_result thinking redacted_thinking source base64 url role user assistant system
    content signature data id name input tool_use_id media_type file_id citations cache_control omni1.x auto any tool enabled adaptive"""
NAMES = st.sampled_from(_NAMES.split())
LIKELY = st.recursive(NAMES | JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12)
_FIELDS = """model messages system tools tool_choice thinking output_config output_format temperature top_k max_tokens stop_sequences
    stream metadata service_tier thread betas"""
FIELDS = st.sampled_from(_FIELDS.split())
MESSAGES = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": LIKELY}), max_size=3)


@given(
    JSON | st.dictionaries(FIELDS, LIKELY) | st.fixed_dictionaries({"messages": MESSAGES}, optional={"tools": LIKELY, "thinking": LIKELY})
)
def test_any_json_is_parsed_or_refused_and_what_is_parsed_can_be_rendered(body: Any) -> None:
    try:
        request = wire.parse_request(body)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
        assert error.message
        return
    for features in (frozenset[str](), frozenset({"adaptive_thinking", "mid_system"})):
        try:
            rendered = wire.render_request(request, "m", Target(ORIGIN, features))
        except GatewayError as error:
            assert error.kind is Kind.BAD_REQUEST
            continue
        assert rendered.body["messages"]
        # Once in its one form, a body stays as it is.
        again = wire.render_request(wire.parse_request(rendered.body), "m", Target(ORIGIN, features))
        assert json.dumps(again.body) == json.dumps(rendered.body)


EVENT_TYPES = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error"]
)
EVENTS = st.fixed_dictionaries(
    {"type": EVENT_TYPES, "index": st.integers(0, 2)},
    optional={"message": LIKELY, "content_block": LIKELY, "delta": LIKELY, "usage": LIKELY, "error": LIKELY},
)


@given(st.lists(LIKELY | EVENTS, max_size=6))
def test_whatever_an_upstream_says_is_read_or_reported(bodies: list[Any]) -> None:
    data = b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies if _is_json(body))
    events = parse([data])
    listener = wire.Listener()
    listener.feed(data)
    failed = [event.error for event in events if isinstance(event, Failed)]
    assert (listener.error is None) == (not failed)
    renderer = wire.ResponseRenderer("asked")
    for event in events:
        renderer.feed(event)
    for body in bodies:
        wire.ResponseParser(ORIGIN).whole(body)
        wire.Listener().whole(body)
    wire.parse_error(400, {}, data)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
