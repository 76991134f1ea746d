"""Every format with every other: arbitrary conversations there, arbitrary answers back, whole and streamed. C-07, C-23"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Finish,
    Json,
    Message,
    Opaque,
    Origin,
    ReasoningPart,
    Target,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    fold,
    unfold,
)
from omni_connector.lanes import Gathered, PassThrough, Translated
from omni_connector.wire import TWO_WAY, passing, views
from tests.wire.arbitrary import (
    ASKED,
    CHAT,
    GEMINI,
    MESSAGES,
    NAMES,
    ORIGIN,
    PLACES,
    RESPONSES,
    WORDS,
    answers,
    asked,
    conversations,
    cut,
    proofs,
    requests,
    said,
    told,
)

MANY = int(os.environ.get("MANY_EXAMPLES") or 0)
FEW = settings(deadline=None, derandomize=not MANY, max_examples=MANY or 9, phases=(Phase.generate, Phase.shrink))
PAIRS = [(here, there) for here in TWO_WAY for there in TWO_WAY]
each_pair = pytest.mark.parametrize(("here", "there"), PAIRS, ids=[f"{here}-{there}" for here, there in PAIRS])
OTHERS = [(here, there) for here, there in PAIRS if here != there]
other_pair = pytest.mark.parametrize(("here", "there"), OTHERS, ids=[f"{here}-{there}" for here, there in OTHERS])

FEATURES = frozenset(
    {"top_k", "min_p", "parallel_tools", "json_schema", "json_object", "strict_tools", "json_with_tools", "developer_role", "cache_control"}
)
MODEL = {GEMINI: "gemini-3-pro"}
TEXTUAL = {CHAT, RESPONSES}
"""Formats in which arguments are text, kept to the letter."""


def rendered(request: ChatRequest, there: str) -> tuple[Json, tuple[str, ...]]:
    """The body for an upstream as it arrives there, and the names of what was left out."""
    made = TWO_WAY[there].render_request(request, MODEL.get(there, "m"), Target(ORIGIN, FEATURES))
    return json.loads(views.encode(made.body)), made.dropped


def parsed(body: Json, wire: str) -> ChatRequest:
    request: ChatRequest = TWO_WAY[wire].parse_request(body)
    return request


def clients(request: ChatRequest, here: str) -> ChatRequest:
    """The request as a client of this format would have sent it: as much of it as the format can say."""
    return parsed(rendered(replace(request, wire=here), here)[0], here)


# ---------------------------------------------------------------- Requests


@each_pair
@FEW
@given(conversations())
def test_a_conversation_is_the_same_everywhere(here: str, there: str, messages: tuple[Message, ...]) -> None:
    first = clients(ChatRequest(here, "m", messages), here)
    body, dropped = rendered(first, there)
    exact = {here, there} <= TEXTUAL
    assert said(parsed(body, there).messages, exact=exact) == said(first.messages, exact=exact)
    failed = any(isinstance(part, ToolResultPart) and part.is_error for message in first.messages for part in message.parts)
    assert set(dropped) == ({"messages[].is_error"} if failed and there in TEXTUAL and here != there else set())
    # What the client said is all that its format can say of it.
    assert said(first.messages, exact=here in TEXTUAL) == said(messages, exact=here in TEXTUAL)


@each_pair
@FEW
@given(st.lists(WORDS.filter(str.strip), min_size=3, max_size=3))
def test_words_arrive_to_the_letter(here: str, there: str, words: list[str]) -> None:
    call = Message("assistant", (ToolCallPart("c1", "f", "{}"),))
    result = Message("tool", (ToolResultPart("c1", (TextPart(words[2]),), name="f"),))
    messages = (Message("system", (TextPart(words[0]),)), Message("user", (TextPart(words[1]),)), call, result)
    again = parsed(rendered(clients(ChatRequest(here, "m", messages), here), there)[0], there)
    parts = [part for message in again.messages for part in message.parts]
    parts = [piece for part in parts for piece in (part.parts if isinstance(part, ToolResultPart) else (part,))]
    assert [part.text for part in parts if isinstance(part, TextPart)] == words


NAMED = {
    "parallel_tools": "parallel_tool_calls",
    "output": "response_format",
    "max_tokens": "max_tokens",
    "tool_choice": "tool_choice",
    "stop": "stop",
    "user": "user",
}
"""Field of a request → how its loss is named, where not by the field's own name."""


def settings_of(request: ChatRequest) -> Json:
    """What a request says beside the conversation. What is the default anyway counts as not said."""
    found: Json = {**asdict(request.sampling), **{name: getattr(request, name) for name in NAMED}, "stream": request.stream}
    output, choice = request.output, request.tool_choice
    found["output"] = output and (output.kind, output.schema)
    found["tool_choice"] = choice and (choice.mode, choice.name)
    found["parallel_tools"] = request.parallel_tools is not False or (choice is not None and choice.mode == "none")
    defaults: Json = {"tool_choice": ("auto", None), "presence_penalty": 0.0}
    return {name: None if value == defaults.get(name) else value for name, value in found.items()}


def tools_of(tools: tuple[Tool, ...]) -> list[Any]:
    return [(tool.name, tool.description, tool.schema, bool(tool.strict)) for tool in tools]


@each_pair
@FEW
@given(requests())
def test_every_setting_arrives_or_is_named(here: str, there: str, request: ChatRequest) -> None:
    first = clients(request, here)
    body, dropped = rendered(first, there)
    again = parsed(body, there)
    before, after = settings_of(first), settings_of(again)
    lost = {name for name in before if before[name] != after[name] and name != "stream"}
    assert all(any(NAMED.get(name, name) in word for word in dropped) for name in lost), (lost, dropped)
    if there != GEMINI:  # there it stands in the address
        assert after["stream"] == before["stream"]
    told_apart = 4 - any("strict" in word for word in dropped)
    assert [one[:told_apart] for one in tools_of(again.tools)] == [one[:told_apart] for one in tools_of(first.tools)]


# ---------------------------------------------------------------- Answers


def streamed(response: ChatResponse, wire: str) -> bytes:
    """What a provider of this format would have sent."""
    renderer = TWO_WAY[wire].ResponseRenderer("asked", asked(wire))
    return b"".join(renderer.feed(event) for event in unfold(response))


def read(wire: str, pieces: list[bytes]) -> ChatResponse:
    parser = TWO_WAY[wire].ResponseParser(ORIGIN)
    return fold([event for piece in pieces for event in parser.feed(piece)] + parser.close())


def read_whole(wire: str, body: bytes) -> ChatResponse:
    return fold(TWO_WAY[wire].ResponseParser(ORIGIN).whole(json.loads(body)))


@each_pair
@FEW
@given(data=st.data())
def test_an_answer_is_the_same_for_every_client_whole_and_streamed(here: str, there: str, data: st.DataObject) -> None:
    answer = data.draw(answers(here))
    meant = told(answer)
    pieces = cut(streamed(answer, here), data.draw(PLACES))
    assert told(read(here, pieces)) == meant
    request = asked(there)
    way = Translated(here, there, "asked", replace(request, stream=True), ORIGIN)
    sent = b"".join([*(way.feed(piece) for piece in pieces), way.close()])
    assert way.complete and told(read(there, [sent])) == meant
    body = views.encode(TWO_WAY[here].render_response(answer, "asked", asked(here)))
    whole = Translated(here, there, "asked", request, ORIGIN)
    assert told(read_whole(there, whole.whole(body))) == meant
    gathered = Gathered(here, there, "asked", request, ORIGIN)
    assert b"".join([*(gathered.feed(piece) for piece in pieces), gathered.close()]) == b""
    assert told(read_whole(there, gathered.whole_answer())) == meant
    told_late = Translated(here, there, "asked", replace(request, stream=True), ORIGIN)
    assert told(read(there, [told_late.stream_whole(body)])) == meant
    readings = [one.reading(1) for one in (way, whole, gathered, told_late)]
    assert all(
        (one.usage.prompt, one.usage.output, one.finish) == (readings[0].usage.prompt, readings[0].usage.output, readings[0].finish)
        for one in readings
    )


@pytest.mark.parametrize("wire", TWO_WAY)
@settings(deadline=None, derandomize=not MANY, max_examples=MANY // 20 or 2, phases=(Phase.generate, Phase.shrink))
@given(data=st.data())
def test_a_stream_split_at_every_byte(wire: str, data: st.DataObject) -> None:
    answer = data.draw(answers(wire))
    raw = streamed(answer, wire)
    for place in range(len(raw)):
        assert told(read(wire, [raw[:place], raw[place:]])) == told(answer)
    assert told(read(wire, [raw[place : place + 1] for place in range(len(raw))])) == told(answer)


# ---------------------------------------------------------------- Proofs


def replayed(answer: ChatResponse, here: str) -> ChatRequest:
    """The next turn of a client that keeps its history: what it was told, as it was told, and a result for the call."""
    body = json.loads(views.encode(TWO_WAY[here].render_response(answer, "asked", asked(here), origin=ORIGIN)))
    more: list[Json]
    result: Json
    match here:
        case "openai-responses":
            more = [*body["output"], {"type": "function_call_output", "call_id": "call_1", "output": "x"}]
            return parsed({"input": [{"role": "user", "content": "hi"}, *more]}, here)
        case "gemini-generate":
            result = {"functionResponse": {"id": "call_1", "name": "f", "response": {"output": "x"}}}
            more = [body["candidates"][0]["content"], {"role": "user", "parts": [result]}]
            return parsed({"contents": [*ASKED[here]["contents"], *more]}, here)
        case "openai-chat":
            more = [body["choices"][0]["message"], {"role": "tool", "tool_call_id": "call_1", "content": "x"}]
        case _:
            result = {"type": "tool_result", "tool_use_id": "call_1", "content": "x"}
            more = [{"role": "assistant", "content": body["content"]}, {"role": "user", "content": [result]}]
    return parsed({"max_tokens": 99, "messages": [*ASKED[here]["messages"], *more]}, here)


@each_pair
@FEW
@given(data=st.data())
def test_a_proof_returns_to_its_minter_through_every_client_and_goes_to_nobody_else(here: str, there: str, data: st.DataObject) -> None:
    """`there`: who thought. P-41"""
    proof = data.draw(proofs(there))
    thought = ReasoningPart(data.draw(WORDS.filter(bool)), proof)
    # A Messages client has no field for what belongs to a call (see call_marks).
    call = ToolCallPart("call_1", "f", "{}", opaque=data.draw(proofs(there)) if there == GEMINI and here != MESSAGES else ())
    answer = ChatResponse("id-1", "asked", 1, (Choice((thought, call), Finish.TOOL_CALLS),))
    request = replayed(answer, here)
    words = FEATURES | {"reasoning_details"}
    made = TWO_WAY[there].render_request(request, MODEL.get(there, "m"), Target(ORIGIN, words))
    body, dropped = json.loads(views.encode(made.body)), made.dropped
    back = parsed(body, there)
    held = [part for message in back.messages for part in message.parts if isinstance(part, ReasoningPart | ToolCallPart) and part.opaque]
    assert [_bare(one) for part in held for one in part.opaque] == [_bare(one) for one in (*proof, *call.opaque)]
    assert there == CHAT or [part.text for part in held if isinstance(part, ReasoningPart)] == [thought.text]
    assert dropped == ()
    elsewhere = TWO_WAY[there].render_request(request, MODEL.get(there, "m"), Target(Origin("other", "model-1"), FEATURES))
    assert here == there or elsewhere.dropped != ()
    told_there = views.encode(elsewhere.body).decode()
    assert here == there or not any(_bare(one) in told_there for one in (*proof, *call.opaque))
    assert here == there or "omni1." not in told_there


def _bare(opaque: Opaque) -> str:
    """The value itself, where it stands in an entry or behind an id."""
    return str(json.loads(opaque.value)["data"]) if opaque.value.startswith("{") else opaque.value.rpartition(" ")[2]


# ---------------------------------------------------------------- What nobody here knows


ODD = st.sampled_from(["1.10", "1e40", '{"a" : [ 1.0, null ]}', '"\\u00e9 \\\\"', "[]", "-0", '{"model":"x"}', "12345678901234567890123"])


@pytest.mark.parametrize("wire", TWO_WAY)
@FEW
@given(odd=st.dictionaries(NAMES.map(lambda name: f"x_{name}"), ODD, max_size=4), ask_usage=st.booleans())
def test_unknown_fields_pass_untouched_in_a_request(wire: str, odd: dict[str, str], ask_usage: bool) -> None:
    known = {name: json.dumps(value, indent=1) for name, value in ASKED[wire].items()}
    fields = {**odd, **known}
    raw = ("{" + ",".join(f'"{name}" : {text}' for name, text in fields.items()) + "}").encode()
    sent = passing.request_body(wire, raw, model="theirs", ask_usage=ask_usage and wire == CHAT)
    found = {name: bytes(value).decode() for name, value in msgspec.json.decode(sent, type=dict[str, msgspec.Raw]).items()}
    changed = {"model"} if wire != GEMINI else set[str]()
    changed |= {"stream_options"} if ask_usage and wire == CHAT else set()
    assert {name: text for name, text in found.items() if name not in changed} == {n: t for n, t in fields.items() if n not in changed}
    assert wire == GEMINI or found["model"] == '"theirs"'


@pytest.mark.parametrize("wire", TWO_WAY)
@FEW
@given(data=st.data())
def test_unknown_fields_and_events_pass_untouched_in_an_answer(wire: str, data: st.DataObject) -> None:
    blank = b"\r\n\r\n" if wire == GEMINI else b"\n\n"
    blocks = streamed(data.draw(answers(wire)), wire).split(blank)[:-1]
    odd = data.draw(ODD).encode()
    known = [block.replace(b"data: {", b'data: {"x_odd" : ' + odd + b" , ", 1) for block in blocks]
    strange = b"event: brand.new" + blank[: len(blank) // 2] + b'data: {"type":"brand.new","x":' + odd + b"}"
    place = data.draw(st.integers(1, max(1, len(known) - 1)))
    raw = b"".join(block + blank for block in [*known[:place], strange, *known[place:]])
    way = PassThrough(wire, model="asked", hide_usage=False)
    assert b"".join([*(way.feed(piece) for piece in cut(raw, data.draw(PLACES))), way.close()]) == raw
    assert way.complete
