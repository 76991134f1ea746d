"""Outgoing bodies, compared as a whole: what an upstream really gets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    Json,
    MediaPart,
    Message,
    Opaque,
    Origin,
    OutputFormat,
    Part,
    ReasoningPart,
    RefusalPart,
    Sampling,
    Target,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.openai_chat import NAME, parse_request, render_request
from omni_connector.wire.openai_chat_words import DETAIL, EXTRA_CONTENT
from tests.wire.openai_chat_reading import ORIGIN, request

FOREIGN = "anthropic-messages"
CACHE = {"type": "ephemeral"}


def target(*features: str, origin: Origin = ORIGIN, max_output: int | None = None) -> Target:
    return Target(origin, frozenset(features), max_output)


def foreign(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(FOREIGN, "claude", messages or (user("Hi"),), **more)


def user(*parts: Part | str) -> Message:
    return Message("user", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def body(asked: ChatRequest, *features: str) -> Json:
    return render_request(asked, "m", target(*features)).body


def said(asked: ChatRequest, *features: str) -> list[Json]:
    messages: list[Json] = body(asked, *features)["messages"]
    return messages


# ---------------------------------------------------------------- Whole bodies


def test_a_rich_request_of_another_format() -> None:  # C-09…C-13
    asked = foreign(
        Message("system", (TextPart("You are terse.", CACHE), TextPart("Use tools."))),
        user("Look:", MediaPart("image", "image/png", "AAAA"), MediaPart("document", "application/pdf", "JVBE", name="a.pdf")),
        assistant(
            ReasoningPart("Hm", (Opaque("anthropic.signature", "s", Origin("anthropic", "c")),)),
            TextPart("Wait."),
            ToolCallPart("t1", "f", '{"a": 1}'),
        ),
        user(ToolResultPart("t1", (TextPart("one"), TextPart("two")), is_error=True), "And now?"),
        tools=(
            Tool("function", "f", "does f", {"type": "object", "properties": {}}),
            Tool("custom", "run", "runs", format={"type": "grammar", "grammar": {"syntax": "lark"}}),
            Tool("foreign", "web_search", wire=FOREIGN, raw={"type": "web_search_20250305"}),
        ),
        tool_choice=ToolChoice("required"),
        parallel_tools=False,
        output=OutputFormat("json_schema", schema={"type": "object"}, strict=True),
        thinking=Thinking(True, budget=4000),
        sampling=Sampling(temperature=0.5, top_k=5),
        max_tokens=64_000,
        stop=("A", "B"),
        stream=True,
        user="ann",
        metadata={"user_id": "x"},
        extra={"context_management": {}},
    )
    features = ("max_completion_tokens", "stream_options", "reasoning_effort", "parallel_tools", "json_schema", "json_object", "documents")
    rendered = render_request(asked, "served", target(*features, max_output=16_000))
    assert rendered.body == {
        "model": "served",
        "messages": [
            {"role": "system", "content": "You are terse.\n\nUse tools."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
                ],
            },
            {
                "role": "assistant",
                "content": "Wait.",
                "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "one\n\ntwo"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "does f", "parameters": {"type": "object", "properties": {}}}},
            {
                "type": "function",
                "function": {
                    "name": "run",
                    "description": 'runs\n\nThe `input` must follow this format: {"type":"grammar","grammar":{"syntax":"lark"}}',
                    "parameters": {
                        "type": "object",
                        "properties": {"input": {"type": "string", "description": "The whole free-text input of the tool."}},
                        "required": ["input"],
                        "additionalProperties": False,
                    },
                },
            },
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True}},
        "reasoning_effort": "medium",
        "temperature": 0.5,
        "max_completion_tokens": 16_000,
        "stop": ["A", "B"],
        "user": "ann",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert rendered.dropped == (
        "cache_control",
        "messages[].reasoning_signature",
        "messages[].reasoning",
        "messages[].is_error",
        "tools[2] (web_search)",
        "top_k",
        "max_tokens (lowered from 64000)",
        "metadata",
        "context_management",
    )
    assert list(rendered.body) == list(render_request(asked, "served", target(*features, max_output=16_000)).body), "always the same order"


def test_the_own_format_comes_out_as_it_came_in() -> None:
    given = {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "a", "cache_control": CACHE}, {"type": "text", "text": "b", "x": 1}]},
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x", "detail": "low", "y": 2}}],
                "name": "ann",
            },
            {
                "role": "assistant",
                "content": "c",
                "refusal": "no",
                "name": "bot",
                "annotations": [{"type": "url_citation"}],
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{ }"}, "extra_content": {"google": {"s": "t"}}},
                    {"id": "2", "type": "custom", "custom": {"name": "run", "input": "ls"}},
                ],
                "audio": {"id": "a"},
            },
            {
                "role": "tool",
                "tool_call_id": "1",
                "content": [{"type": "text", "text": "r"}, {"type": "image_url", "image_url": {"url": "https://b.example"}}],
            },
            {"role": "tool", "tool_call_id": "2", "content": "", "name": "run"},
            {
                "role": "user",
                "content": [
                    {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
                    {"type": "video_url", "video_url": {}},
                ],
            },
        ],
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {}, "strict": False, "z": 3}, "cache_control": CACHE, "w": 4},
            {"type": "custom", "custom": {"name": "run", "format": {"type": "text"}}},
            {"type": "web_search", "web_search": {"count": 5}},
        ],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "reasoning_effort": "none",
        "temperature": 0,
        "top_k": 4,
        "min_p": 0.1,
        "logit_bias": {"1": 2},
        "logprobs": True,
        "top_logprobs": 2,
        "n": 2,
        "max_tokens": 9,
        "stop": ["x"],
        "user": "u",
        "verbosity": "low",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "metadata": {"a": "b"},
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "store": True,
        "prediction": {"type": "content"},
    }
    rendered = render_request(parse_request(given), "m", target())
    assert rendered.body == given
    assert rendered.dropped == ()


# ---------------------------------------------------------------- Messages


def test_roles() -> None:
    asked = request(messages=[{"role": "developer", "content": "x"}, {"role": "user", "content": "y"}])
    assert said(asked)[0]["role"] == "system"
    assert said(asked, "developer_role")[0]["role"] == "developer"


def test_images_of_tool_results_follow_in_a_user_message() -> None:
    result = ToolResultPart("t1", (TextPart("shot"), MediaPart("image", "image/png", "AAAA")))
    asked = foreign(user("x"), assistant(ToolCallPart("t1", "see", "{}")), user(result))
    assert said(asked, "vision")[2:] == [
        {"role": "tool", "tool_call_id": "t1", "content": "shot\n\n[image 1 of tool call t1] follows in the next user message"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "[image 1 of tool call t1]"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    assert said(asked, "json_object") == said(asked, "vision"), "an absent word means unknown"
    blind = render_request(asked, "m", target("no_vision"))
    assert blind.body["messages"][2]["content"] == "shot\n\n[image left out: this model cannot see it]"
    assert "messages[].tool_result.image" in blind.dropped


def test_documents_as_words() -> None:
    text = MediaPart("document", "text/plain", text="inside", name="a.txt")
    data = MediaPart("document", "text/plain", "aW5zaWRl")
    assert said(foreign(user(text, data)))[0]["content"] == [
        {"type": "text", "text": '<document name="a.txt">\ninside\n</document>'},
        {"type": "text", "text": "inside"},
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (user(ForeignPart(FOREIGN, {"type": "search_result", "content": []})), "'search_result' block"),
        (assistant(ForeignPart(FOREIGN, {"type": "compaction", "content": "x"})), "'compaction' block"),
        (user(MediaPart("document", file_id="file_1")), "another provider's account"),
        (user(MediaPart("document", "application/pdf", url="https://a.example/a.pdf")), "does not fetch"),
        (user(MediaPart("audio", "audio/wav", url="https://a.example/a.wav")), "audio by URL"),
        (assistant(MediaPart("image", "image/png", "AAAA")), "by the assistant"),
    ],
)
def test_content_that_cannot_be_said_is_refused(message: Message, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        render_request(foreign(user("x"), message), "m", target())
    assert caught.value.kind is Kind.BAD_REQUEST
    assert (caught.value.param or "").startswith("messages[1]")


def test_a_foreign_refusal_keeps_its_words() -> None:
    assert said(foreign(user("x"), assistant(RefusalPart("I will not."))))[1] == {"role": "assistant", "content": "I will not."}


def test_cache_markers_go_where_they_are_known() -> None:
    asked = foreign(
        user(TextPart("a", CACHE)), assistant(ToolCallPart("t", "f", "")), user(ToolResultPart("t", (TextPart("r"),), cache=CACHE))
    )
    marked = said(asked, "cache_control")
    assert marked[0]["content"] == [{"type": "text", "text": "a", "cache_control": CACHE}]
    assert marked[1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert marked[2]["content"] == [{"type": "text", "text": "r", "cache_control": CACHE}]
    assert said(asked)[0]["content"] == "a"


def test_short_call_ids() -> None:
    asked = foreign(user("x"), assistant(ToolCallPart("toolu_01ABC", "f", "{}")), user(ToolResultPart("toolu_01ABC", (TextPart("r"),))))
    messages = said(asked, "short_call_ids")
    call_id = messages[1]["tool_calls"][0]["id"]
    assert messages[2]["tool_call_id"] == call_id
    assert len(call_id) == 9
    assert call_id.isalnum()


# ---------------------------------------------------------------- Reasoning


def thinking_history(*opaque: Opaque) -> tuple[Message, ...]:
    """A finished turn, then a tool loop under way."""
    return (
        user("first"),
        assistant(ReasoningPart("old", opaque), TextPart("answer")),
        user("second"),
        assistant(ReasoningPart("new", opaque), ToolCallPart("t", "f", "{}")),
        user(ToolResultPart("t", (TextPart("r"),)), "(a reminder)"),
        assistant(ToolCallPart("u", "f", "{}")),
        user(ToolResultPart("u", (TextPart("r"),))),
    )


def reasoning_of(messages: list[Json]) -> list[Any]:
    return [message.get("reasoning_content") for message in messages if message["role"] == "assistant"]


def test_a_tool_loop_keeps_its_thoughts_where_that_is_demanded() -> None:
    asked = foreign(*thinking_history(Opaque("anthropic.signature", "s", Origin("anthropic", "c"))))
    demanding = ("reasoning_content", "reasoning_replay_in_tool_loop")
    assert reasoning_of(said(asked, *demanding)) == [None, "new", ""]
    assert reasoning_of(said(replace(asked, thinking=Thinking(False)), *demanding)) == [None, "new", None]
    assert reasoning_of(said(asked, "reasoning_content", "reasoning_replay_always")) == [None, "new", ""]
    assert reasoning_of(said(asked, "reasoning_content")) == [None, None, None]
    assert reasoning_of(said(asked)) == [None, None, None]
    assert "messages[].reasoning" in render_request(asked, "m", target()).dropped


def test_a_chat_clients_replay_goes_back_in_its_own_words() -> None:
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "reasoning": "Hm"},
        {"role": "assistant", "content": "z", "reasoning": "Hm", "reasoning_content": "Hm"},
        {"role": "assistant", "content": "w", "reasoning_content": "Hm"},
    ]
    assert said(request(messages=messages)) == messages
    assert reasoning_of(said(request(messages=messages), "reasoning_content")) == [None, None, None]
    # Who calls it `reasoning` refuses the other name.
    replayed = said(request(messages=messages), "reasoning_field")
    assert [message.get("reasoning") for message in replayed] == [None, "Hm", "Hm", "Hm"]
    assert reasoning_of(replayed) == [None, None, None]


def test_opaque_values_go_only_to_their_minter() -> None:
    entry = '{"type":"reasoning.encrypted","data":"ZW5j","index":0}'
    mine, other = Opaque(DETAIL, entry, ORIGIN), Opaque(DETAIL, entry, Origin("openrouter", "other"))
    for opaque, expected in ((mine, [{"type": "reasoning.encrypted", "data": "ZW5j", "index": 0}]), (other, None)):
        asked = foreign(user("x"), assistant(ReasoningPart("Hm", (opaque,)), TextPart("y")))
        assert said(asked, "reasoning_details")[1].get("reasoning_details") == expected
    bare = request(
        messages=[
            {"role": "assistant", "content": "y", "reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "signature": "s"}]}
        ]
    )
    assert said(bare, "reasoning_details")[0] == {
        "role": "assistant",
        "content": "y",
        "reasoning": "Hm",
        "reasoning_details": [{"type": "reasoning.text", "signature": "s"}],
    }
    assert "reasoning_details" not in said(bare, "reasoning_content")[0]
    call = ToolCallPart("t", "f", "{}", opaque=(Opaque(EXTRA_CONTENT, '{"google":1}', ORIGIN), Opaque("gemini.signature", "s", ORIGIN)))
    rendered = render_request(foreign(user("x"), assistant(call)), "m", target())
    assert rendered.body["messages"][1]["tool_calls"][0]["extra_content"] == {"google": 1}
    assert rendered.dropped == ("messages[].tool_calls[].signature",)


@pytest.mark.parametrize(
    ("thinking", "features", "expected", "dropped"),
    [
        (Thinking(effort="high"), ["reasoning_effort"], {"reasoning_effort": "high"}, ()),
        (Thinking(True, budget=900), ["reasoning_effort"], {"reasoning_effort": "low"}, ()),
        (Thinking(True, budget=31_999), ["reasoning_effort"], {"reasoning_effort": "high"}, ()),
        (Thinking(True, adaptive=True), ["reasoning_effort"], {}, ()),
        (Thinking(False), ["reasoning_effort"], {}, ("thinking",)),
        (Thinking(effort="high"), [], {}, ("thinking",)),
        (Thinking(True, budget=900), ["reasoning_object"], {"reasoning": {"max_tokens": 900, "enabled": True}}, ()),
        (Thinking(effort="low", show="omitted"), ["reasoning_object"], {"reasoning": {"effort": "low", "exclude": True}}, ()),
        (Thinking(False), ["reasoning_object"], {"reasoning": {"enabled": False}}, ()),
        (Thinking(True, adaptive=True), ["reasoning_object"], {"reasoning": {"enabled": True}}, ()),
        (Thinking(True, budget=900), ["thinking_toggle"], {"thinking": {"type": "enabled"}}, ("thinking.budget_tokens",)),
        (Thinking(effort="none"), ["thinking_toggle", "reasoning_effort"], {"thinking": {"type": "disabled"}}, ()),
        (
            Thinking(effort="max"),
            ["thinking_toggle", "reasoning_effort"],
            {"thinking": {"type": "enabled"}, "reasoning_effort": "max"},
            (),
        ),
        (Thinking(effort="max"), ["thinking_toggle", "thinking_effort"], {"thinking": {"type": "enabled", "effort": "max"}}, ()),
        (Thinking(effort="medium"), ["thinking_toggle", "thinking_effort"], {"thinking": {"type": "enabled", "effort": "high"}}, ()),
        (Thinking(effort="low"), ["enable_thinking"], {"enable_thinking": True, "thinking_budget": 1024}, ()),
        (Thinking(False, budget=5), ["enable_thinking"], {"enable_thinking": False}, ()),
    ],
)
def test_thinking_in_every_dialect(thinking: Thinking, features: list[str], expected: Json, dropped: tuple[str, ...]) -> None:
    rendered = render_request(foreign(thinking=thinking), "m", target(*features))
    rendered.body.pop("model"), rendered.body.pop("messages")
    assert (rendered.body, rendered.dropped) == (expected, dropped)


def test_a_toggles_own_extras_come_back_only_with_it() -> None:
    asked = request(thinking={"type": "enabled", "clear_thinking": False})
    assert body(asked, "thinking_toggle")["thinking"] == {"type": "enabled", "clear_thinking": False}
    rendered = render_request(asked, "m", target())
    assert "thinking" not in rendered.body
    assert rendered.dropped == ("thinking",)


# ---------------------------------------------------------------- Other fields


def test_the_other_json_mode_stands_in() -> None:  # C-11
    asked = foreign(Message("system", (TextPart("s"),)), user("u"), output=OutputFormat("json_schema", "n", {"type": "object"}))
    rendered = render_request(asked, "m", target("json_object"))
    assert rendered.body["response_format"] == {"type": "json_object"}
    assert rendered.body["messages"][1] == {
        "role": "system",
        "content": 'Answer only with a JSON object that is valid under this JSON Schema:\n{"type":"object"}',
    }
    assert rendered.dropped == ("response_format.json_schema (as an instruction)",)
    other = body(foreign(output=OutputFormat("json_object")), "json_schema")
    assert other["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_small_rules() -> None:
    several = request(stop=["a", "b"], safety_identifier="s")
    assert render_request(several, "m", target("single_stop")).dropped == ("stop[1:2]",)
    assert body(several, "single_stop")["stop"] == ["a"]
    assert body(several)["user"] == "s"
    assert body(several, "safety_identifier")["safety_identifier"] == "s"
    thinking = foreign(thinking=Thinking(True), sampling=Sampling(temperature=1, seed=1))
    quiet = render_request(thinking, "m", target("no_sampling_with_thinking", "reasoning_object"))
    assert "temperature" not in quiet.body
    assert quiet.body["seed"] == 1
    assert quiet.dropped == ("temperature",)
    assert "stream_options" not in body(request(stream=True))
    assert body(request(stream=True), "stream_options")["stream_options"] == {"include_usage": True}
    assert "stream_options" not in body(request(), "stream_options")
    assert body(foreign(parallel_tools=True, tools=(Tool("function", "f"),))).keys() == {"model", "messages", "tools"}


def test_words_of_providers_rows() -> None:
    asked = request(
        stream=True, tools=[{"function": {"name": "f"}}], seed=3, logprobs=True, presence_penalty=1, temperature=1, n=1, user="u"
    )
    rendered = render_request(asked, "m", target("random_seed", "strict_fields"))
    assert (rendered.body["random_seed"], rendered.dropped) == (3, ("logprobs", "user"))
    assert "seed" not in rendered.body
    assert render_request(asked, "m", target("no_logprobs", "no_penalties", "no_sampling")).dropped == (
        "temperature",
        "presence_penalty",
        "logprobs",
    )
    assert "n" not in body(asked, "single_choice")
    with pytest.raises(GatewayError, match="one answer a request"):
        body(request(n=2), "single_choice")
    assert body(asked, "tool_stream")["tool_stream"] is True
    assert body(asked, "reasoning_split")["reasoning_split"] is True
    off = render_request(request(thinking={"type": "disabled"}), "m", target("thinking_toggle", "always_thinking"))
    assert ("thinking" not in off.body, off.dropped) == (True, ("thinking",))
    picture = foreign(user(MediaPart("image", "image/png", "AAAA")))
    with pytest.raises(GatewayError, match="do not see images"):
        body(picture, "no_vision")


def test_a_choice_among_tools_of_another_format() -> None:
    tools = (Tool("function", "f"), Tool("function", "g"), Tool("foreign", "web_search", wire=FOREIGN))
    narrowed = body(foreign(tools=tools, tool_choice=ToolChoice("required", allowed=("g",), raw={})))
    assert [tool["function"]["name"] for tool in narrowed["tools"]] == ["g"]
    with pytest.raises(GatewayError, match="only anthropic-messages providers run"):
        body(foreign(tools=tools, tool_choice=ToolChoice("named", "web_search")))
    custom = foreign(tools=(Tool("custom", "run"),), tool_choice=ToolChoice("named", "run"))
    assert body(custom)["tool_choice"] == {"type": "function", "function": {"name": "run"}}
    assert body(custom, "custom_tools")["tool_choice"] == {"type": "custom", "custom": {"name": "run"}}
    assert replace(custom, wire=NAME).wire == NAME
