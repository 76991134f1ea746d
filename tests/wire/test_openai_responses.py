"""Both directions together: what we say must be readable by the vendor's SDK and by ourselves, whatever comes in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatResponse,
    Choice,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Opaque,
    Origin,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    Usage,
    fold,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import anthropic_messages, openai_chat, views
from omni_connector.wire import openai_responses as wire
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, NAME
from tests.wire.openai_responses_reading import (
    ORIGIN,
    check_stream,
    cut,
    folded,
    parse,
    read,
    request,
    stream,
    tell,
    transcript,
    without_logprobs,
)

CLAUDE = Origin("anthropic", "claude")
SIGNATURE = Opaque("anthropic.signature", "c2ln", CLAUDE)
GEMINI = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))

# ---------------------------------------------------------------- The vendor's SDK

RICH = ChatResponse(
    "msg_01",
    "claude-x",
    1_760_000_000,
    (
        Choice(
            (
                ReasoningPart("Let me think.", (SIGNATURE,)),
                TextPart("Grüße 🌊\u2028"),
                ToolCallPart("call_a", "sky", '{"town": "Łódź", "n": [1, 2.50]}', opaque=(GEMINI,)),
                ToolCallPart("call_b", "run", "ls -l\n", custom=True),
            ),
            Finish.TOOL_CALLS,
        ),
    ),
    Usage(10, 20, 5, 30, 7),
)


def sdk(status: int, body: bytes, content_type: str) -> openai.OpenAI:
    """The vendor's client, reading `body` from a transport without a network."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, headers={"content-type": content_type}, content=body))
    return openai.OpenAI(
        api_key="omni-x", base_url="http://127.0.0.1/v1", http_client=httpx2.Client(transport=transport, trust_env=False), max_retries=0
    )


ASK: Any = {"model": "auto", "input": "Hi"}


@pytest.mark.parametrize("streamed", [False, True])
def test_the_sdk_reads_our_answers(streamed: bool) -> None:  # C-23, C-108, O-13
    if streamed:
        data = stream(RICH, request(), CLAUDE).replace(b"\n\n", b"\n\n" + wire.KEEPALIVE)
        with sdk(200, data, "text/event-stream; charset=utf-8").responses.stream(**ASK) as events:
            kinds = [event.type for event in events]
            answer: Any = events.get_final_response()
        assert kinds[0] == "response.created"
        assert {"response.output_text.delta", "response.function_call_arguments.delta", "response.completed"} <= set(kinds)
    else:
        body = views.encode(wire.render_response(RICH, "asked-for", request()))
        answer = sdk(200, body, "application/json").responses.create(**ASK)
    assert (answer.id, answer.model, answer.status, answer.output_text) == ("resp_msg_01", "asked-for", "completed", "Grüße 🌊\u2028")
    thought, message, sky, companion, run = answer.output
    assert (thought.type, thought.summary[0].text) == ("reasoning", "Let me think.")
    assert (message.role, message.status, companion.type) == ("assistant", "completed", "reasoning")
    assert (sky.call_id, sky.name, json.loads(sky.arguments)) == ("call_a", "sky", {"town": "Łódź", "n": [1, 2.5]})
    assert (run.type, run.name, run.input) == ("custom_tool_call", "run", "ls -l\n")
    usage = answer.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (35, 30, 65)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (20, 7)
    # What the SDK sends back is the same conversation, with what its minters want back.
    echoed = {"input": [{"role": "user", "content": "Hi"}, *(item.model_dump(exclude_none=True) for item in answer.output)]}
    replayed = wire.parse_request(json.loads(json.dumps(echoed))).messages[1].parts
    assert [_bare(part) for part in replayed] == list(RICH.choices[0].parts)


def _bare(part: Any) -> Part:
    """A part without what its item says."""
    bare: Part = replace(part, extra={key: value for key, value in part.extra.items() if key != ITEM})
    return bare


@pytest.mark.parametrize("name", ["proper", "hosted"])
def test_the_sdk_reads_transcripts_told_again(name: str) -> None:
    with sdk(200, transcript(name), "text/event-stream").responses.stream(**ASK) as events:
        first = events.get_final_response()
    with sdk(200, tell(parse([transcript(name)])), "text/event-stream").responses.stream(**ASK) as events:
        again = events.get_final_response()
    assert without_logprobs(again.to_dict()["output"]) == without_logprobs(first.to_dict()["output"])
    assert again.output_text == first.output_text


def test_the_sdk_sees_a_failure_in_the_stream() -> None:
    renderer = wire.ResponseRenderer("m", request(stream=True))
    data = b"".join(renderer.feed(event) for event in list(unfold(RICH))[:5])
    data += renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider broke off."))
    events = list(sdk(200, data, "text/event-stream").responses.create(**ASK, stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.message == "The provider broke off."


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.BAD_REQUEST, openai.BadRequestError),
        (Kind.UNAUTHENTICATED, openai.AuthenticationError),
        (Kind.MODEL_NOT_FOUND, openai.NotFoundError),
        (Kind.RATE_LIMITED, openai.RateLimitError),
        (Kind.NO_ACCOUNT, openai.InternalServerError),
    ],
)
def test_the_sdk_knows_our_errors(kind: Kind, expected: type[openai.APIStatusError]) -> None:  # C-47
    error = GatewayError(kind, "Because.", param="input")
    with pytest.raises(expected) as caught:
        sdk(error.status, views.encode(wire.render_error(error)), "application/json").responses.create(**ASK)
    assert "Because." in str(caught.value)
    assert caught.value.param == "input"


def test_the_sdk_parses_structured_answers() -> None:  # C-11
    from pydantic import BaseModel

    class Tide(BaseModel):
        metres: float

    response = ChatResponse("x", "m", 1, (Choice((TextPart('{"metres": 3.5}'),), Finish.STOP),))
    body = views.encode(wire.render_response(response, "m"))
    parsed = sdk(200, body, "application/json").responses.parse(**ASK, text_format=Tide)
    assert parsed.output_parsed == Tide(metres=3.5)


# ---------------------------------------------------------------- Properties

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
_name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_arguments = st.dictionaries(_text, st.integers(-(2**53), 2**53) | _text, max_size=3).map(lambda value: views.encode(value).decode())
_call = st.builds(ToolCallPart, _name, _name, _arguments)
_custom_call = st.builds(ToolCallPart, _name, _name, _text, st.just(True))
_thought = st.builds(lambda text, value: ReasoningPart(text, (Opaque(ENCRYPTED, value, ORIGIN),)), st.just("") | _text, _text)
_foreign = st.builds(lambda text: ForeignPart(NAME, {"type": "web_search_call", "query": text}), _text)
_parts = st.lists(_call | _custom_call | _thought | _foreign | st.builds(TextPart, _text) | st.builds(RefusalPart, _text), max_size=5)
_usage = st.builds(Usage, st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.integers(500, 999), st.integers(0, 500))


def _with_id(part: Part, number: int) -> Part:
    if isinstance(part, ReasoningPart):
        proof = replace(part.opaque[0], value=f"rs_{number} {part.opaque[0].value}")
        return replace(part, opaque=(proof,), extra={ITEM: {"id": f"rs_{number}"}})
    return ForeignPart(NAME, {**part.value, "id": f"ws_{number}"}) if isinstance(part, ForeignPart) else part


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    parts = tuple(_with_id(part, number) for number, part in enumerate(draw(_parts)))
    calls = any(isinstance(part, ToolCallPart) for part in parts)
    finish, raw = draw(
        st.sampled_from(
            [
                (Finish.TOOL_CALLS if calls else Finish.STOP, "completed"),
                (Finish.LENGTH, "max_output_tokens"),
                (Finish.FILTER, "content_filter"),
                (Finish.OTHER, "steered"),
            ]
        )
    )
    return ChatResponse(
        "resp_" + draw(_name), "asked-for", draw(st.integers(1, 2**31)), (Choice(parts, finish, None, raw),), draw(st.none() | _usage)
    )


def comparable(response: ChatResponse) -> Any:
    usage = response.usage
    counts = None if usage is None else (usage.prompt, usage.cache_read or 0, usage.output, usage.reasoning or 0)
    (choice,) = response.choices or (Choice((), Finish.STOP, raw_finish="completed"),)
    parts = [part if isinstance(part, ForeignPart) else _bare(part) for part in choice.parts]
    return response.id, response.model, response.created, parts, choice.finish, choice.raw_finish, counts or (0, 0, 0, 0)


@settings(deadline=None)
@given(responses(), st.lists(st.integers(0, 10**6), max_size=8))
def test_an_answer_survives_the_way_out_and_back(response: ChatResponse, places: list[int]) -> None:
    data = stream(response)
    check_stream(data)
    assert comparable(read(cut(data, places))) == comparable(response)
    assert comparable(fold(wire.ResponseParser(ORIGIN).whole(wire.render_response(response, "asked-for")))) == comparable(response)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_NAMES = """type role content text input_text output_text refusal input_image image_url input_file file_data file_id input_audio format data
    message reasoning summary encrypted_content id status function_call custom_tool_call function_call_output custom_tool_call_output
    call_id name namespace arguments input output additional_tools item_reference web_search_call tools function custom user assistant
    system developer omni1.x allowed_tools mode auto required json_schema schema effort parameters strict mcp prompt_cache_breakpoint"""
NAMES_OF_FIELDS = st.sampled_from(_NAMES.split())
LIKELY = st.recursive(
    NAMES_OF_FIELDS | JSON, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES_OF_FIELDS, inner, max_size=5), max_leaves=12
)
_TYPES = st.sampled_from(
    ["message", "reasoning", "function_call", "custom_tool_call", "function_call_output", "additional_tools", "web_search_call", "new"]
)
_ROLES = st.sampled_from(["user", "assistant", "system", "developer"])
_CONTENT = LIKELY | st.lists(
    st.fixed_dictionaries({"type": st.sampled_from(["input_text", "output_text", "refusal", "new"]), "text": _text})
)
ITEMS = st.lists(
    st.fixed_dictionaries({"role": _ROLES, "content": _CONTENT}, optional={"type": st.just("message"), "id": LIKELY})
    | st.fixed_dictionaries(
        {"type": _TYPES},
        optional={
            **dict.fromkeys(["output", "tools", "summary", "encrypted_content", "input", "id"], LIKELY),
            "name": _name,
            "call_id": _name,
        },
    ),
    max_size=4,
)
_FIELDS = st.sampled_from(
    ["model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "include", "metadata", "store", "temperature", "user"]
)


@given(
    JSON
    | st.dictionaries(_FIELDS, LIKELY)
    | st.fixed_dictionaries({"input": ITEMS}, optional={"tools": LIKELY, "tool_choice": LIKELY, "reasoning": LIKELY, "text": LIKELY})
)
def test_any_json_is_parsed_or_refused_and_what_is_parsed_can_be_rendered(body: Any) -> None:
    try:
        asked = wire.parse_request(body)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
        assert error.message
        return
    rendered = wire.render_request(asked, "m", Target(ORIGIN))
    # Once in its one form, a body stays as it is.
    again = wire.render_request(wire.parse_request(rendered.body), "m", Target(ORIGIN))
    assert json.dumps(again.body) == json.dumps(rendered.body)
    for module, features in ((wire, "flat_tools no_custom_tools codex_backend"), (openai_chat, ""), (anthropic_messages, "")):
        try:
            module.render_request(asked, "m", Target(CLAUDE, frozenset(features.split())))
        except GatewayError as error:
            assert error.kind is Kind.BAD_REQUEST
    wire.render_response(ChatResponse("", "", 0, ()), "m", asked)


_KINDS = st.sampled_from(
    [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_text.delta",
        "response.output_text.done",
        "response.output_text.annotation.added",
        "response.refusal.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
        "brand.new",
    ]
)
_ITEM = st.fixed_dictionaries(
    {"type": _TYPES | LIKELY},
    optional={
        **dict.fromkeys(["id", "content", "summary", "arguments", "encrypted_content", "call_id"], LIKELY),
        "name": _name,
        "input": _text,
    },
)
EVENTS = st.fixed_dictionaries(
    {"type": _KINDS},
    optional={
        "output_index": st.integers(0, 2) | JSON,
        "content_index": st.integers(0, 1) | JSON,
        "summary_index": st.integers(0, 1) | JSON,
        "item_id": st.sampled_from(["a", "b"]) | JSON,
        "delta": _text | JSON,
        "text": _text | JSON,
        "arguments": _text | JSON,
        "annotation": LIKELY,
        "item": _ITEM | LIKELY,
        "response": LIKELY | st.fixed_dictionaries({"output": st.lists(_ITEM, max_size=2)}, optional={"usage": LIKELY, "error": LIKELY}),
    },
)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


@given(st.lists(EVENTS | LIKELY, max_size=6).filter(_is_json))
def test_whatever_an_upstream_says_is_read_or_reported(told: list[Any]) -> None:
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in told)
    events = parse([data], request(tools=[{"type": "custom", "name": "a"}]))
    ear = wire.Listener()
    ear.feed(data)
    ear.close()
    found = folded(events)
    assert (ear.error is None) == (found.error is None)
    assert ear.ended == found.ended
    if found.ended:
        (finished,) = [event for event in events if isinstance(event, Finished)]
        assert ear.finish is finished.reason
        assert ear.usage == found.usage
    if not any(isinstance(event, Failed) for event in events) and found.ended:
        check_stream(tell(event for event in events if not _is_foreign(event)))
    for event in told:
        wire.ResponseParser(ORIGIN).whole(event)
        wire.Listener().whole(event)


def _is_foreign(event: Any) -> bool:
    """Items of provider-run tools go as they came, whatever is in them, so they are no part of the grammar."""
    return getattr(event, "kind", "") == "foreign"


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=4))
def test_any_bytes_never_break_a_reader(data: bytes, places: list[int]) -> None:
    parse(cut(data, places))
    ear = wire.Listener()
    for piece in cut(data, places):
        ear.feed(piece)
    ear.close()
    wire.parse_error(400, {}, data)
