"""Both directions together: what we say must be readable by the vendor's SDK, by ourselves, and true to recorded answers."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Opaque,
    OpaqueDelta,
    Origin,
    Part,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    Target,
    TextPart,
    ToolCallPart,
    Usage,
    fold,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import views
from omni_connector.wire.openai_chat import (
    Listener,
    ResponseParser,
    ResponseRenderer,
    parse_error,
    parse_request,
    render_error,
    render_request,
    render_response,
)
from omni_connector.wire.openai_chat_words import DETAIL, EXTRA_CONTENT
from tests.wire.openai_chat_reading import (
    ORIGIN,
    check_events,
    check_stream,
    cut,
    folded,
    parse,
    recordings,
    request,
    stream,
    transcript,
)

CLAUDE = Origin("anthropic", "claude")
SIGNATURE = Opaque("anthropic.signature", "c2ln", CLAUDE)
NOTE = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 4}}

RICH = ChatResponse(
    "msg_01",
    "claude-x",
    1_760_000_000,
    (
        Choice(
            (
                ReasoningPart("Let me think.", (SIGNATURE,)),
                TextPart("Łódź ☀", citations=(NOTE,)),
                ToolCallPart("call_a", "sky", '{"town": "Łódź"}', opaque=(Opaque("gemini.signature", "eQ==", Origin("gemini", "g")),)),
                ToolCallPart("call_b", "run", "ls -l", custom=True),
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


ASK: Any = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}


# ---------------------------------------------------------------- For clients


def test_a_whole_answer() -> None:  # C-48, C-50
    body = render_response(RICH, "auto", request())
    message = body["choices"][0]["message"]
    assert (body["id"], body["object"], body["model"], body["created"]) == ("chatcmpl-msg_01", "chat.completion", "auto", 1_760_000_000)
    assert message["content"] == "Łódź ☀"
    assert message["reasoning_content"] == "Let me think."
    assert [call["type"] for call in message["tool_calls"]] == ["function", "custom"]
    assert body["usage"]["prompt_tokens"] == 35
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 5}
    only_call = ChatResponse("x", "m", 1, (Choice((ToolCallPart("a", "f", "{}"),), Finish.TOOL_CALLS),))
    silent = render_response(only_call, "auto", request())
    assert silent["choices"][0]["message"]["content"] is None
    assert silent["choices"][0]["finish_reason"] == "tool_calls"
    assert "usage" not in silent
    refused = ChatResponse("x", "m", 0, (Choice((RefusalPart("No."),), Finish.REFUSAL),))
    body = render_response(refused, "auto", request(), now=lambda: 5.9)
    assert body["created"] == 5
    assert body["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": "No."},
        "finish_reason": "content_filter",
    }


def test_the_order_of_a_stream() -> None:  # C-49
    with_usage = check_stream(stream(RICH, request(stream=True, stream_options={"include_usage": True})), usage=True)
    assert with_usage[0]["model"] == "asked-for"
    assert with_usage[-1]["usage"]["total_tokens"] == 65
    check_stream(stream(RICH, request(stream=True)))


def test_the_old_dialect_is_answered_in_it() -> None:
    asked = request(functions=[{"name": "sky"}])
    response = ChatResponse("x", "m", 1, (Choice((ToolCallPart("a", "sky", "{}"),), Finish.TOOL_CALLS),))
    choice = render_response(response, "m", asked)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "sky", "arguments": "{}"}
    assert choice["finish_reason"] == "function_call"
    assert "tool_calls" not in choice["message"]
    chunks = check_stream(stream(response, asked))
    calls = [chunk["choices"][0]["delta"]["function_call"] for chunk in chunks if "function_call" in chunk["choices"][0]["delta"]]
    assert calls == [{"name": "sky", "arguments": ""}, {"arguments": "{}"}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


@pytest.mark.parametrize("taken", range(8))
def test_a_failure_ends_a_stream_without_a_clean_end(taken: int) -> None:
    renderer = ResponseRenderer("m", request(stream=True))
    data = b"".join(renderer.feed(event) for event in list(unfold(RICH))[:taken])
    data += renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider broke off."))
    check_stream(data, failed=True)
    assert renderer.feed(Ended()) == b""
    failed = ResponseRenderer("m", request()).feed(Failed(GatewayError(Kind.UPSTREAM_OVERLOADED, "Busy.")))
    assert json.loads(failed.removeprefix(b"data: "))["error"]["type"] == "service_unavailable"


def test_a_choice_left_open_gets_a_finish_reason() -> None:
    renderer = ResponseRenderer("m", request(), now=lambda: 1)
    events = [Started("", "x"), PartStart(0, "text"), Delta(0, "Hi"), Ended()]
    chunks = check_stream(b"".join(renderer.feed(event) for event in events))
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_foreign_citations_become_url_citations() -> None:
    renderer = ResponseRenderer("m", request(), now=lambda: 1)
    events = [
        *(Started("", "x"), PartStart(0, "text"), Delta(0, "Hello ")),
        Annotation(0, "anthropic-messages", {"type": "web_search_result_location", "url": "https://a.example", "title": "A"}),
        Annotation(0, "anthropic-messages", {"type": "char_location", "cited_text": "x"}),
        Annotation(0, "openai-chat", {"type": "url_citation", "url_citation": {"url": "https://b.example"}}),
        *(PartEnd(0), Finished(Finish.STOP), Ended()),
    ]
    data = b"".join(renderer.feed(event) for event in events)
    # The vendor's SDK fails on a second list of them.
    assert data.count(b"annotations") == 1
    assert b"https://b.example" in data
    assert b'"url_citation":{"start_index":0,"end_index":6,"url":"https://a.example","title":"A"}' in data


def test_half_an_emoji_never_leaves_as_broken_json() -> None:
    renderer = ResponseRenderer("m\ud800", request(), now=lambda: 1)
    data = b"".join(renderer.feed(event) for event in [Started("\udc00", "x"), PartStart(0, "text"), Delta(0, "a\ud83d")])
    data.decode("utf-8")
    assert b"a\xef\xbf\xbd" in data


# ---------------------------------------------------------------- Replay


def replayed(message: dict[str, Any]) -> tuple[Part, ...]:
    """The parts a client's next request holds when it sends our answer back, JSON text and all."""
    body = {"messages": [{"role": "user", "content": "x"}, message]}
    return parse_request(json.loads(json.dumps(body))).messages[1].parts


def test_opaque_values_survive_a_client() -> None:
    native = Opaque(DETAIL, '{"type":"reasoning.encrypted","data":"ZW5j","format":"f","index":0}', ORIGIN)
    google = Opaque(EXTRA_CONTENT, '{"google":{"thought_signature":"s"}}', ORIGIN)
    redacted = Opaque("anthropic.redacted", "eA==", CLAUDE)
    parts = (
        ReasoningPart("One.", (SIGNATURE,)),
        ReasoningPart("", (redacted,)),
        ToolCallPart("a", "f", "{}", opaque=(Opaque("gemini.signature", "eQ==", Origin("gemini", "g")),)),
    )
    response = ChatResponse("x", "m", 1, (Choice(parts, Finish.TOOL_CALLS),))
    assert replayed(render_response(response, "m", request())["choices"][0]["message"]) == parts
    # Entries of this format travel in their own form, so their origin is the client's word.
    own = (ReasoningPart("", (native,)), ToolCallPart("a", "f", "{}", opaque=(google,)))
    response = ChatResponse("x", "m", 1, (Choice(own, Finish.TOOL_CALLS),))
    assert replayed(render_response(response, "m", request())["choices"][0]["message"]) == (
        ReasoningPart("", (Opaque(DETAIL, native.value),)),
        ToolCallPart("a", "f", "{}", opaque=(Opaque(EXTRA_CONTENT, google.value),)),
    )


def accumulated(data: bytes) -> dict[str, Any]:
    """The message an agent builds from a stream: texts joined, details appended, calls by index."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": "", "reasoning_details": [], "tool_calls": []}
    for chunk in check_stream(data):
        delta = chunk["choices"][0]["delta"]
        for name in ("content", "reasoning_content"):
            message[name] += delta.get(name) or ""
        message["reasoning_details"] += delta.get("reasoning_details", [])
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                message["tool_calls"].append(call)
            else:
                kind = "custom" if "custom" in call else "function"
                for name, text in call[kind].items():
                    message["tool_calls"][call["index"]][kind][name] += text
    return message


def test_opaque_values_survive_a_streaming_client() -> None:
    (choice,) = RICH.choices
    wanted = tuple(TextPart(part.text) if isinstance(part, TextPart) else part for part in choice.parts)
    assert replayed(accumulated(stream(RICH, request(stream=True)))) == wanted


# ---------------------------------------------------------------- The vendor's SDK


def test_the_sdk_reads_a_whole_answer() -> None:
    body = views.encode(render_response(RICH, "auto", request()))
    answer = sdk(200, body, "application/json").chat.completions.create(**ASK)
    message = answer.choices[0].message
    assert message.content == "Łódź ☀"
    assert message.tool_calls is not None
    assert [call.type for call in message.tool_calls] == ["function", "custom"]
    assert message.annotations is not None
    assert message.annotations[0].url_citation.title == "A"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (35, 30, 65)
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 7
    assert (answer.model, answer.choices[0].finish_reason) == ("auto", "tool_calls")


def test_the_sdk_reads_a_stream() -> None:  # C-08, C-49
    # The SDK's own accumulator cannot hold custom tool calls; `accumulated` above reads those.
    functions = tuple(part for part in RICH.choices[0].parts if not (isinstance(part, ToolCallPart) and part.custom))
    response = replace(RICH, choices=(Choice(functions, Finish.TOOL_CALLS),))
    data = stream(response, request(stream=True, stream_options={"include_usage": True}))
    client = sdk(200, data, "text/event-stream; charset=utf-8")
    with client.chat.completions.stream(**ASK, stream_options={"include_usage": True}) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    message = final.choices[0].message
    assert message.content == "Łódź ☀"
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"town": "Łódź"}'
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.usage is not None
    assert final.usage.total_tokens == 65
    assert "content.delta" in kinds
    assert "tool_calls.function.arguments.delta" in kinds


def test_the_sdk_raises_on_a_failure_in_the_stream() -> None:
    renderer = ResponseRenderer("m", request(stream=True))
    data = b"".join(renderer.feed(event) for event in list(unfold(RICH))[:5])
    data += renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider broke off."))
    with pytest.raises(openai.APIError, match="broke off"):
        list(sdk(200, data, "text/event-stream").chat.completions.create(**ASK, stream=True))


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
def test_the_sdk_knows_our_errors(kind: Kind, expected: type[openai.APIStatusError]) -> None:
    error = GatewayError(kind, "Because.", param="n")
    with pytest.raises(expected) as caught:
        sdk(error.status, views.encode(render_error(error)), "application/json").chat.completions.create(**ASK)
    assert "Because." in str(caught.value)
    assert (caught.value.param, caught.value.code) == ("n", render_error(error)["error"]["code"])


# ---------------------------------------------------------------- Round trips

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_arguments = st.dictionaries(_text, st.integers() | _text, max_size=3).map(json.dumps)
_call = st.builds(ToolCallPart, _name, _name, _arguments)
_custom_call = st.builds(ToolCallPart, _name, _name, _text, st.just(True))
_usage = st.builds(Usage, st.integers(0, 999), st.integers(0, 999), st.integers(0, 999), st.integers(500, 999), st.integers(0, 500))


@st.composite
def _choices(draw: st.DrawFn) -> Choice:
    """What a chat answer can say: at most one thought, text and refusal, then calls with different ids."""
    builders = (st.builds(ReasoningPart, _text), st.builds(TextPart, _text), st.builds(RefusalPart, _text))
    parts: list[Part] = [draw(builder) for builder in builders if draw(st.booleans())]
    calls = draw(st.lists(_call | _custom_call, max_size=3, unique_by=lambda call: call.id))
    reason = Finish.TOOL_CALLS if calls else draw(st.sampled_from([Finish.STOP, Finish.LENGTH, Finish.FILTER]))
    raw = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.FILTER: "content_filter", Finish.TOOL_CALLS: "tool_calls"}[reason]
    return Choice((*parts, *calls), reason, None, raw)


_responses = st.builds(
    ChatResponse,
    _name.map("chatcmpl-".__add__),
    st.just("asked-for"),
    st.integers(1, 2**31),
    st.lists(_choices(), min_size=1, max_size=2).map(tuple),
    st.none() | _usage,
)


def comparable(response: ChatResponse) -> ChatResponse:
    usage = response.usage
    bare = None if usage is None else Usage(usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning)
    return ChatResponse(response.id, response.model, response.created, response.choices, bare)


@settings(deadline=None)
@given(_responses, st.lists(st.integers(0, 5000), max_size=6))
def test_a_stream_says_exactly_what_the_answer_is(response: ChatResponse, places: list[int]) -> None:
    data = stream(response, request(stream=True, stream_options={"include_usage": True}))
    check_stream(data, usage=response.usage is not None)
    events = parse(cut(data, places))
    check_events(events)
    assert comparable(fold(events)) == response
    ear = Listener()
    for piece in cut(data, places):
        ear.feed(piece)
    assert (ear.ended, ear.finish) == (True, response.choices[0].finish)
    assert (None if ear.usage is None else ear.usage.total) == (None if response.usage is None else response.usage.total)


@settings(deadline=None)
@given(_responses)
def test_a_whole_answer_says_exactly_what_the_answer_is(response: ChatResponse) -> None:
    body = views.encode(render_response(response, "asked-for", request()))
    assert comparable(fold(ResponseParser(ORIGIN).whole(body))) == response


@settings(deadline=None)
@given(
    st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: b"data: " + data + b"\n\n"),
    st.lists(st.integers(0, 300), max_size=4),
)
def test_arbitrary_bytes_never_break_a_reader(data: bytes, places: list[int]) -> None:
    parse(cut(data, places))
    ear = Listener()
    for piece in cut(data, places):
        ear.feed(piece)
    ear.close()


_chunk_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_name, inner, max_size=3),
    max_leaves=6,
)
_DELTA = ["content", "reasoning", "reasoning_details", "tool_calls", "function_call", "refusal", "annotations", "images", "odd"]
_odd_call = st.fixed_dictionaries({}, optional=dict.fromkeys(["index", "id", "type", "function", "custom", "extra_content"], _chunk_json))
_odd_delta = st.fixed_dictionaries({}, optional={**dict.fromkeys(_DELTA, _chunk_json), "tool_calls": st.lists(_odd_call, max_size=2)})
_odd_choice = st.fixed_dictionaries(
    {"delta": _odd_delta | _chunk_json}, optional=dict.fromkeys(["index", "finish_reason", "logprobs", "error", "stop_reason"], _chunk_json)
)
_odd_chunk = st.fixed_dictionaries(
    {"choices": st.lists(_odd_choice, max_size=2) | _chunk_json},
    optional=dict.fromkeys(["id", "usage", "error", "created", "x_groq"], _chunk_json),
)


@given(st.lists(_odd_chunk, max_size=3))
def test_odd_chunks_never_break_a_reader_or_the_order(chunks: list[dict[str, Any]]) -> None:
    data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    events = parse([data])
    if not any(isinstance(event, Failed) for event in events):
        check_events(events)
        check_stream(_rendered(events, request(stream=True)))
    ear = Listener()
    ear.feed(data)
    assert (ear.error is None) or not ear.ended


def _rendered(events: list[Any], asked: ChatRequest) -> bytes:
    renderer = ResponseRenderer("m", asked, now=lambda: 1)
    # Media of hosts ride along as they came; they are no part of the grammar that is checked here.
    kept = [event for event in events if not (isinstance(event, PartStart) and event.kind == "foreign")]
    known = {event.index for event in kept if isinstance(event, PartStart)}
    return b"".join(renderer.feed(event) for event in kept if getattr(event, "index", None) in {None, *known})


@pytest.mark.parametrize("name", ["proper", "loose_host", "interleaved_calls", "reasoning_details", "emoji_cut"])
def test_transcripts_can_be_told_to_a_client(name: str) -> None:
    events = parse([transcript(name)])
    again = parse([_rendered(events, request(stream=True, stream_options={"include_usage": True}))])
    before, after = fold(events), fold(again)
    assert [type(part) for part in after.choices[0].parts] == [type(part) for part in before.choices[0].parts]
    assert after.choices[0].finish is before.choices[0].finish
    opaque = [event.opaque.value for event in events if isinstance(event, OpaqueDelta)]
    assert [event.opaque.value for event in again if isinstance(event, OpaqueDelta)] == opaque


# ---------------------------------------------------------------- Recorded exchanges

FEATURES = {
    "openrouter": {"reasoning_object", "reasoning_details"},
    "vercel-gateway": {"reasoning_object", "reasoning_details"},
    "deepseek": {"thinking_toggle", "reasoning_effort", "reasoning_content", "reasoning_replay_in_tool_loop"},
}
RECORDED = recordings()
needs_recordings = pytest.mark.skipif(not RECORDED, reason="no recorded exchanges beside this checkout")


def exchange(path: Path) -> tuple[dict[str, Any], Origin]:
    recorded = json.loads(path.read_text())
    return recorded, Origin(recorded["upstream"], recorded["model"] or "")


@needs_recordings
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem[13:60] + path.stem[-6:])
def test_recorded_answers(path: Path) -> None:  # C-08
    recorded, origin = exchange(path)
    answer = recorded["response"]
    if answer["status"] >= 400:
        error = parse_error(answer["status"], answer["headers"], answer.get("body"), now=1_754_667_600)
        assert error.upstream_status == answer["status"]
        assert error.message
        assert error.kind is not Kind.INTERNAL
        return
    ear = Listener()
    if "body" in answer:
        events = ResponseParser(origin).whole(answer["body"])
        ear.whole(answer["body"])
        said = [choice.get("message", {}) for choice in answer["body"]["choices"]] if "choices" in answer["body"] else []
    else:
        data = answer["sse"].encode()
        rng = random.Random(path.stem)
        pieces = cut(data, [rng.randrange(len(data)) for _ in range(20)])
        parser = ResponseParser(origin)
        events = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
        for piece in pieces:
            ear.feed(piece)
        ear.close()
        said = [joined(data)]
    found = folded(events)
    assert (ear.error is None) == (found.error is None)
    if found.error is not None:
        assert "error_in_stream" in recorded["features"]
        return
    check_events(events)
    response = found.response()
    assert ear.ended
    assert ear.finish is response.choices[0].finish
    assert (ear.usage and (ear.usage.prompt, ear.usage.output)) == (response.usage and (response.usage.prompt, response.usage.output))
    for choice, message in zip(response.choices, said, strict=False):
        assert spoken(choice) == (message.get("content") if isinstance(message.get("content"), str) else spoken(choice) or "")
        calls = [part for part in choice.parts if isinstance(part, ToolCallPart)]
        if isinstance(message.get("tool_calls"), list):
            assert len(calls) == len(message["tool_calls"])
        assert bool(calls) == bool(message.get("tool_calls") or message.get("function_call"))


def spoken(choice: Choice) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, TextPart))


def joined(data: bytes) -> dict[str, Any]:
    """Text and call names of choice 0, gathered in the plainest way."""
    text, calls = "", []
    for line in data.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line[6:]).get("choices") or ():
            if choice.get("index", 0) != 0:
                continue
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            calls += [call for call in delta.get("tool_calls") or () if call.get("id")]
    return {"content": text, "tool_calls": calls}


def normal(body: dict[str, Any]) -> dict[str, Any]:
    """The documented normalisations, done to a recorded body."""
    wanted = {key: value for key, value in body.items() if value is not None and (key, value) != ("stream", False)}
    wanted["messages"] = [normal_message(message) for message in body["messages"]]
    wanted.setdefault("model", "")
    if "max_completion_tokens" in wanted:
        wanted["max_tokens"] = wanted.pop("max_completion_tokens")
    if isinstance(wanted.get("stop"), str):
        wanted["stop"] = [wanted["stop"]]
    if "functions" in wanted:
        wanted["tools"] = [{"type": "function", "function": function} for function in wanted.pop("functions")]
        wanted["parallel_tool_calls"] = False
    return wanted


def normal_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list) and len(content) == 1 and content[0].keys() == {"type", "text"} and content[0]["type"] == "text":
        content = content[0]["text"]
    if message.get("tool_calls") and not content:
        content = None
    return {**message, "content": content}


@needs_recordings
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem[13:60] + path.stem[-6:])
def test_recorded_requests_go_out_as_they_came(path: Path) -> None:
    recorded, origin = exchange(path)
    body = recorded["request"]["body"]
    if not body or "messages" not in body:
        pytest.skip("no request was recorded")
    asked = parse_request(body)
    features = frozenset(FEATURES.get(recorded["upstream"], set()) | {"developer_role"})
    rendered = render_request(asked, asked.model, Target(origin, features))
    wanted = normal(body)
    if "thinking_toggle" in features and "reasoning_effort" in body:
        wanted["thinking"] = {"type": "enabled"}
    assert rendered.body == wanted
    assert rendered.dropped == ()
