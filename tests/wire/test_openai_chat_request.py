"""A client's body → ChatRequest: what is understood, and how clearly the rest is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    ForeignPart,
    MediaPart,
    Message,
    Opaque,
    Origin,
    OutputFormat,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    seal,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import views
from omni_connector.wire.openai_chat import NAME, parse_request, render_request
from omni_connector.wire.openai_chat_words import DETAIL, EXTRA_CONTENT, LEGACY
from tests.wire.openai_chat_reading import ORIGIN, request


def messages(*given: dict[str, Any]) -> tuple[Message, ...]:
    return parse_request({"model": "m", "messages": list(given)}).messages


def parts(content: Any, role: str = "user", **more: Any) -> tuple[Any, ...]:
    return messages({"role": role, "content": content, **more})[0].parts


# ---------------------------------------------------------------- Messages


def test_a_conversation() -> None:  # C-12, C-13
    found = messages(
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Really."}]},
        {"role": "user", "content": "Weather?", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "name": "f", "content": [{"type": "text", "text": "Sun"}]},
        {"role": "assistant", "content": "", "refusal": None},
    )
    assert found == (
        Message("system", (TextPart("Be brief."),)),
        Message("developer", (TextPart("Really."),)),
        Message("user", (TextPart("Weather?"),), "ann"),
        Message("assistant", (ToolCallPart("a", "f", '{"x": 1}'),)),
        Message("tool", (ToolResultPart("a", (TextPart("Sun"),), name="f"),)),
        Message("assistant", ()),
    )


def test_media() -> None:  # C-10
    assert parts([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]) == (
        MediaPart("image", "image/png", "AAAA", detail="low"),
    )
    assert parts([{"type": "image_url", "image_url": "https://a.example/x.png"}]) == (MediaPart("image", url="https://a.example/x.png"),)
    assert parts([{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}}]) == (
        MediaPart("document", "application/pdf", "JVBE", name="a.pdf"),
    )
    assert parts([{"type": "file", "file": {"file_id": "file-1"}}]) == (MediaPart("document", file_id="file-1"),)
    assert parts([{"type": "file", "file": {"file_data": "https://a.example/a.pdf"}}]) == (
        MediaPart("document", url="https://a.example/a.pdf"),
    )
    assert parts([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}]) == (MediaPart("audio", "audio/mpeg", "AAAA"),)
    assert parts([{"type": "input_audio", "input_audio": "AAAA"}]) == (MediaPart("audio", data="AAAA"),)
    video = {"type": "video_url", "video_url": {"url": "https://a.example/v.mp4"}}
    assert parts([video]) == (ForeignPart(NAME, video),)


def test_cache_markers_and_unknown_fields_stay() -> None:
    (text, image) = parts(
        [
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "mood": 1},
            {"type": "image_url", "image_url": {"url": "https://a.example/x", "max": 3}},
        ]
    )
    assert (text.cache, text.extra) == ({"type": "ephemeral"}, {"mood": 1})
    assert image.extra == {"image_url": {"max": 3}}
    (marked,) = parts("long", cache_control={"type": "ephemeral"})
    assert marked.cache == {"type": "ephemeral"}
    assert messages({"role": "assistant", "content": "a", "prefix": True, "audio": {"id": "x"}})[0].extra == {
        "prefix": True,
        "audio": {"id": "x"},
    }


def test_reasoning_in_the_history() -> None:
    assert parts("a", "assistant", reasoning_content="Hm") == (ReasoningPart("Hm"), TextPart("a"))
    assert parts("a", "assistant", reasoning="Hm") == (ReasoningPart("Hm", extra={"fields": ["reasoning"]}), TextPart("a"))
    entry = {"type": "reasoning.encrypted", "data": "ZW5j", "format": "x", "index": 0}
    (part,) = parts(None, "assistant", reasoning_details=[entry])
    assert part == ReasoningPart("", (Opaque(DETAIL, json.dumps(entry, separators=(",", ":"))),))
    mistral = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "a"}]
    assert parts(mistral, "assistant") == (ReasoningPart("Hm"), TextPart("a"))


def test_sealed_values_come_back_exactly() -> None:
    first = Opaque("anthropic.signature", "c2ln+/=", Origin("anthropic", "claude"))
    second = Opaque("anthropic.redacted", "eA==", Origin("anthropic", "claude"))
    third = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))
    details = [
        {"type": "reasoning.text", "text": "One", "signature": seal(first), "format": "omni-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": seal(second), "format": "omni-v1", "index": 1},
        {"type": "reasoning.encrypted", "data": seal(third), "format": "omni-v1", "index": 2, "id": "a"},
        {"type": "reasoning.encrypted", "data": "omni1.torn", "format": "omni-v1", "index": 1},
    ]
    calls = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": 1}}]
    found = parts(None, "assistant", reasoning_content="One", reasoning_details=details, tool_calls=calls)
    assert found == (
        ReasoningPart("One", (first,)),
        ReasoningPart("", (second,)),
        ToolCallPart("a", "f", "{}", opaque=(Opaque(EXTRA_CONTENT, '{"google":1}'), third)),
    )


def test_what_sdks_put_into_replayed_calls() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}, "parsed_arguments": {"x": 1}}}
    custom = {"id": "b", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    assert parts("", "assistant", tool_calls=[call, custom]) == (
        ToolCallPart("a", "f", '{"x":1}'),
        ToolCallPart("b", "run", "ls", custom=True),
    )
    assert parts([{"type": "refusal", "refusal": "No"}], "assistant") == (RefusalPart("No"),)


def test_the_old_function_dialect() -> None:
    asked = parse_request(
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "1"},
            ],
            "functions": [{"name": "f", "parameters": {"type": "object"}}],
            "function_call": {"name": "f"},
        }
    )
    call, result = asked.messages[1].parts[0], asked.messages[2].parts[0]
    assert isinstance(call, ToolCallPart)
    assert isinstance(result, ToolResultPart)
    assert call.id == result.call_id
    assert asked.tools == (Tool("function", "f", schema={"type": "object"}, raw={LEGACY: True}),)
    assert (asked.tool_choice, asked.parallel_tools) == (ToolChoice("named", "f"), False)


# ---------------------------------------------------------------- Top-level fields


def test_plain_fields() -> None:
    asked = request(
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        max_tokens=5,
        max_completion_tokens=7,
        stop="a",
        temperature=1,
        top_p=0.5,
        top_k=3,
        seed=2**70,
        n=2,
        logprobs=True,
        logit_bias={"5": -1},
        safety_identifier="ann",
        verbosity="low",
        service_tier="flex",
        prompt_cache_key="k",
        metadata={"a": "b"},
        store=False,
        modalities=["text"],
        parallel_tool_calls=None,
    )
    assert (asked.stream, asked.include_usage, asked.max_tokens, asked.stop, asked.user) == (True, True, 7, ("a",), "ann")
    assert (asked.verbosity, asked.service_tier, asked.cache_key, asked.metadata) == ("low", "flex", "k", {"a": "b"})
    sampling = asked.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed, sampling.n) == (1, 0.5, 3, 2**70, 2)
    assert asked.extra == {"stream_options": {"include_obfuscation": False}, "store": False, "modalities": ["text"]}
    assert request(stop=["a", "b"]).stop == ("a", "b")
    assert request(max_tokens=-1).max_tokens is None
    both = request(user="u", safety_identifier="s")
    assert (both.user, both.extra) == ("u", {"safety_identifier": "s"})


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_effort": "high"}, Thinking(effort="high")),
        ({"reasoning": {"effort": "low", "exclude": True}}, Thinking(effort="low", show="omitted")),
        ({"reasoning": {"max_tokens": 2000, "enabled": True}}, Thinking(True, budget=2000)),
        ({"thinking": {"type": "enabled", "effort": "max"}}, Thinking(True, "max")),
        ({"thinking": {"type": "disabled"}}, Thinking(False)),
        ({"enable_thinking": True, "thinking_budget": 50}, Thinking(True, budget=50)),
        ({"enable_thinking": False}, Thinking(False)),
        ({}, None),
    ],
)
def test_thinking_dialects(fields: dict[str, Any], thinking: Thinking | None) -> None:
    asked = request(**fields)
    assert asked.thinking == thinking
    assert asked.extra == {}


def test_what_a_dialect_says_beyond_that_is_kept() -> None:
    assert request(thinking={"type": "enabled", "clear_thinking": False}).extra == {"thinking": {"clear_thinking": False}}


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"type": "text"}, OutputFormat("text")),
        ({"type": "json_object"}, OutputFormat("json_object")),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}},
            OutputFormat("json_schema", "n", {"type": "object"}, True, "d"),
        ),
    ],
)
def test_structured_output(given: Any, output: OutputFormat) -> None:  # C-11
    assert request(response_format=given).output == output


def test_tools() -> None:
    flat = {"type": "function", "name": "g", "parameters": {"type": "object"}}
    asked = request(
        tools=[
            {"type": "function", "function": {"name": "f", "description": "d", "strict": True}, "cache_control": {"type": "ephemeral"}},
            flat,
            {"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}},
            {"type": "web_search", "web_search": {}},
        ]
    )
    assert asked.tools == (
        Tool("function", "f", "d", None, True, cache={"type": "ephemeral"}),
        Tool("function", "g", schema={"type": "object"}),
        Tool("custom", "run", format={"type": "text"}),
        Tool("foreign", "web_search", wire=NAME, raw={"type": "web_search", "web_search": {}}),
    )


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", "f")),
        ({"type": "function", "name": "f"}, ToolChoice("named", "f")),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("named", "f")),
    ],
)
def test_tool_choice(given: Any, choice: ToolChoice) -> None:
    assert request(tool_choice=given).tool_choice == choice


def test_allowed_tools() -> None:
    raw = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}}
    assert request(tool_choice=raw).tool_choice == ToolChoice("required", allowed=("f",), raw=raw)


# ---------------------------------------------------------------- Refusals


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0].file.file_data"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}]},
            "messages[0].content[0].input_audio.format",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": 1}}]}]},
            "messages[0].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "assistant", "reasoning_details": ["x"]}]}, "messages[0].reasoning_details[0]"),
        ({"model": 5}, "model"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"stop": 1}, "stop"),
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]}, "tools[0].function.parameters"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"metadata": "x"}, "metadata"),
        ({"logit_bias": []}, "logit_bias"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    given = body if "messages" in body or not body else {"messages": [{"role": "user", "content": "x"}], **body}
    with pytest.raises(GatewayError) as caught:
        parse_request(given)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert param in caught.value.message


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["", "data:", "data:,", "omni1.x"])
)
_PART_FIELDS = [
    "type",
    "role",
    "content",
    "text",
    "image_url",
    "url",
    "file",
    "file_data",
    "input_audio",
    "data",
    "format",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "custom",
    "input",
    "id",
    "tool_call_id",
    "reasoning_details",
    "signature",
    "extra_content",
    "cache_control",
    "annotations",
    "reasoning",
    "refusal",
    "function_call",
    "mode",
    "tools",
    "allowed_tools",
    "json_schema",
    "schema",
    "effort",
]
_MESSAGE_FIELDS = ["content", "tool_calls", "tool_call_id", "name", "reasoning_details", "reasoning", "function_call", "refusal"]
_BODY_FIELDS = [
    "model",
    "tools",
    "tool_choice",
    "functions",
    "function_call",
    "response_format",
    "reasoning",
    "thinking",
    "stop",
    "max_tokens",
    "stream",
    "stream_options",
    "temperature",
    "seed",
    "n",
    "user",
    "metadata",
    "logit_bias",
    "something",
]

_json = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_PART_FIELDS), inner, max_size=4),
    max_leaves=12,
)
_message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function"])},
    optional=dict.fromkeys(_MESSAGE_FIELDS, _json),
)
_body = st.fixed_dictionaries(
    {"messages": st.lists(_message, min_size=1, max_size=3)},
    optional=dict.fromkeys(_BODY_FIELDS, _json),
)


@given(_json | _body)
def test_arbitrary_json_is_parsed_or_refused_and_nothing_else(body: Any) -> None:
    try:
        asked = parse_request(body)
        rendered = render_request(asked, "m", Target(ORIGIN))
        views.encode(rendered.body)
    except GatewayError as error:
        assert error.kind is Kind.BAD_REQUEST
        assert error.message


def test_deep_nesting_is_refused_or_carried() -> None:
    deep: Any = {}
    for _ in range(3000):
        deep = {"a": deep}
    assert request(metadata=deep).metadata is deep
    with pytest.raises(GatewayError, match="nested too deeply"):
        parts(None, "assistant", tool_calls=[{"function": {"name": "f", "arguments": deep}}])


def test_the_usual_messages_are_read_in_short_and_mean_the_same() -> None:
    """null counts as absent, so a message with one is the same, but takes the long way."""
    called = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    usual = [
        *({"role": role, "content": text} for role in ("system", "developer", "user", "assistant") for text in ("hi", "")),
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "assistant", "content": "so", "tool_calls": [called, {**called, "id": ""}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "done"},
    ]
    odd_call = {**called, "cache_control": None, "function": {**called["function"], "strict": None}}
    for message in usual:
        odd = {**message, "cache_control": None}
        if "tool_calls" in odd:
            odd["tool_calls"] = [{**odd_call, "id": call["id"]} for call in message["tool_calls"]]
        assert messages(message) == messages(odd)
