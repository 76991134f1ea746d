"""ChatRequest → the body an Anthropic upstream gets: snapshots of outgoing bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    Message,
    Opaque,
    OutputFormat,
    ReasoningPart,
    Rendered,
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
from omni_connector.wire.anthropic_messages import parse_request, render_request
from tests.wire.anthropic_reading import ORIGIN

PLAIN = ChatRequest("openai-chat", "asked", (Message("user", (TextPart("Hi"),)),))
HI = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
F = Tool("function", "f", "does f", {"type": "object", "properties": {"a": {"type": "string"}}})


def render(request: ChatRequest = PLAIN, *features: str, most: int | None = None, **changes: Any) -> Rendered:
    return render_request(replace(request, **changes), "claude-x", Target(ORIGIN, frozenset(features), most))


def test_a_full_request_of_another_format() -> None:
    # C-07, C-09, C-11, C-12
    rendered = render(
        messages=(Message("system", (TextPart("S"),)), Message("user", (TextPart("Hi"),))),
        tools=(
            F,
            Tool("function", "bare"),
            Tool("custom", "patch", "Applies.", format={"type": "grammar", "syntax": "lark", "definition": "start: X"}),
            Tool("foreign", "", wire="openai-responses", raw={"type": "web_search"}),
        ),
        tool_choice=ToolChoice("required"),
        parallel_tools=False,
        output=OutputFormat("json_schema", "person", {"type": "object", "additionalProperties": False}, True),
        sampling=Sampling(temperature=1.7, top_k=5, seed=7, presence_penalty=0.0, n=1, logit_bias={"5": 1}),
        max_tokens=300,
        stop=("END", "\n"),
        stream=True,
        user="u-1",
        service_tier="flex",
        verbosity="low",
        cache_key="k",
        metadata={"team": "x"},
        extra={"store": True},
    )
    assert rendered.body == {
        "model": "claude-x",
        "max_tokens": 300,
        "system": [{"type": "text", "text": "S"}],
        "messages": HI,
        "tools": [
            {"name": "f", "description": "does f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
            {"name": "bare", "input_schema": {"type": "object", "properties": {}}},
            {
                "name": "patch",
                "description": "Applies.\n\nThe input must follow this grammar:\nstart: X",
                "input_schema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
            },
        ],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": False}}},
        "temperature": 1.0,
        "top_k": 5,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u-1"},
        "stream": True,
    }
    assert rendered.dropped == (
        "tools.patch.format (as description)",
        "tools.web_search",
        "seed",
        "logit_bias",
        "temperature (capped to 1.0)",
        "stop (blank sequences)",
        "metadata",
        "service_tier",
        "verbosity",
        "prompt_cache_key",
        "store",
    )


def test_max_tokens_is_always_said() -> None:
    assert render().body["max_tokens"] == 8192
    assert render(most=64000).body["max_tokens"] == 64000
    assert render(most=64000, max_tokens=5).body["max_tokens"] == 5
    lowered = render(most=64000, max_tokens=131072)
    assert (lowered.body["max_tokens"], lowered.dropped) == (64000, ("max_tokens (lowered to 64000)",))


def test_json_object_becomes_an_instruction_and_is_named() -> None:
    # C-11
    rendered = render(output=OutputFormat("json_object"))
    assert rendered.body["system"] == [{"type": "text", "text": "Answer with one JSON object only."}]
    assert rendered.dropped == ("response_format.type=json_object (as instruction)",)


BUDGET = {"type": "enabled", "budget_tokens": 8192}


@pytest.mark.parametrize(
    ("thinking", "features", "expected", "notes"),
    [
        (Thinking(effort="medium"), (), {"thinking": BUDGET}, ()),
        (Thinking(effort="high"), (), {"thinking": {"type": "enabled", "budget_tokens": 15000}}, ()),
        (Thinking(effort="minimal"), (), {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ()),
        (Thinking(effort="high"), ("adaptive_thinking",), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}, ()),
        (Thinking(effort="minimal"), ("adaptive_thinking",), {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, ()),
        (
            Thinking(effort="low"),
            ("effort",),
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low"}},
            (),
        ),
        (Thinking(budget=8192), ("adaptive_thinking",), {"thinking": BUDGET}, ()),
        (
            Thinking(budget=8192, show="auto"),
            ("adaptive_thinking", "no_thinking_budget"),
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "medium"}},
            (),
        ),
        (Thinking(budget=100), (), {"thinking": {"type": "enabled", "budget_tokens": 1024}}, ("thinking budget 100 (as 1024)",)),
        (Thinking(budget=50000), (), {"thinking": {"type": "enabled", "budget_tokens": 19999}}, ("thinking budget 50000 (as 19999)",)),
        (Thinking(effort="none"), ("adaptive_thinking",), {"thinking": {"type": "disabled"}}, ()),
        (Thinking(enabled=False), (), {"thinking": {"type": "disabled"}}, ()),
        (Thinking(effort="huge"), (), {}, ("reasoning effort huge",)),
        (None, ("adaptive_thinking",), {}, ()),
    ],
)
def test_thinking_of_other_formats(thinking: Thinking | None, features: tuple[str, ...], expected: Any, notes: Any) -> None:
    # P-08
    rendered = render(PLAIN, *features, thinking=thinking, max_tokens=20000)
    assert {key: rendered.body[key] for key in ("thinking", "output_config") if key in rendered.body} == expected
    assert rendered.dropped == notes


def test_thinking_excludes_a_forced_tool_and_free_sampling() -> None:
    forced = render(thinking=Thinking(effort="high"), tools=(F,), tool_choice=ToolChoice("named", "f"), sampling=Sampling(temperature=0.2))
    assert "thinking" not in forced.body
    assert forced.body["temperature"] == 0.2
    assert forced.dropped == ("thinking (a tool is forced)",)
    free = render(thinking=Thinking(effort="low"), sampling=Sampling(temperature=0.2, top_p=0.5, top_k=3))
    assert not free.body.keys() & {"temperature", "top_p", "top_k"}
    assert free.dropped == ("temperature", "top_p", "top_k")
    allowed = render(thinking=Thinking(effort="low"), sampling=Sampling(temperature=1, top_p=0.95))
    assert (allowed.body["temperature"], allowed.body["top_p"], allowed.dropped) == (1, 0.95, ())
    small = render(thinking=Thinking(effort="low"), max_tokens=1024)
    assert ("thinking" in small.body, small.dropped) == (False, ("thinking (max_tokens is too small)",))


def test_sampling_the_model_refuses() -> None:
    both = render(sampling=Sampling(temperature=0.5, top_p=0.9))
    assert (both.body["temperature"], "top_p" in both.body, both.dropped) == (0.5, False, ("top_p",))
    none = render(PLAIN, "no_sampling", sampling=Sampling(temperature=0.5, top_p=0.9))
    assert none.dropped == ("temperature", "top_p")


def test_an_open_tool_loop_without_its_thoughts_cannot_go_on_thinking() -> None:
    loop = (
        Message("user", (TextPart("Hi"),)),
        Message("assistant", (ReasoningPart("hm", (Opaque("openai.encrypted", "g", ORIGIN),)), ToolCallPart("c", "f", "{}"))),
        Message("tool", (ToolResultPart("c", (TextPart("r"),)),)),
    )
    rendered = render(messages=loop, tools=(F,), thinking=Thinking(effort="medium"))
    assert "thinking" not in rendered.body
    assert rendered.dropped == ("thinking(foreign)", "thinking (the open tool loop began without)")
    assert render(PLAIN, "adaptive_thinking", messages=loop, thinking=Thinking(effort="medium")).body["thinking"] == {"type": "adaptive"}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {}}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"]}, {"type": "object"}),
        (
            {"anyOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}}], "description": "d"},
            {"type": "object", "description": "d", "properties": {"a": {}, "b": {}}},
        ),
        (
            {"type": "object", "properties": {"c": {}}, "allOf": [{"properties": {"a": {}}, "required": ["a"]}]},
            {"type": "object", "properties": {"a": {}, "c": {}}, "required": ["a"]},
        ),
    ],
)
def test_schemas_get_an_object_at_their_root(schema: dict[str, Any], expected: dict[str, Any]) -> None:
    assert render(tools=(replace(F, schema=schema),)).body["tools"][0]["input_schema"] == expected


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("named", "f"), True, {"type": "tool", "name": "f", "disable_parallel_tool_use": False}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: Any) -> None:
    assert render(tools=(F,), tool_choice=choice, parallel_tools=parallel).body.get("tool_choice") == expected


def test_a_choice_among_some_tools_offers_only_those() -> None:
    rendered = render(tools=(F, Tool("function", "g")), tool_choice=ToolChoice("auto", allowed=("g",)))
    assert [tool["name"] for tool in rendered.body["tools"]] == ["g"]


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"sampling": Sampling(n=2)}, "n"),
        ({"tools": (F,), "tool_choice": ToolChoice("named", "missing")}, "tool_choice"),
    ],
)
def test_what_would_change_the_meaning_is_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        render(**changes)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_the_own_format_keeps_its_words() -> None:
    body = {
        "model": "asked",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi", "x_new": 1}], "x_turn": 2}],
        "tools": [
            {"type": "custom", "name": "f", "input_schema": {"anyOf": []}, "strict": True, "eager_input_streaming": True},
            {"type": "bash_20250124", "name": "bash"},
        ],
        "thinking": {"type": "adaptive", "display": "omitted", "x": 1},
        "output_config": {"effort": "max", "task_budget": {"tokens": 5}},
        "metadata": {"user_id": "u", "x": 1},
        "service_tier": "standard_only",
        "cache_control": {"type": "ephemeral"},
        "context_management": {"edits": []},
        "mcp_servers": [{"url": "u"}],
        "container": "c",
        "speed": "fast",
    }
    rendered = render(parse_request(body), "anything")
    assert rendered == Rendered({**body, "model": "claude-x"}, ())


def test_fields_of_this_format_are_extra_for_others_to_name() -> None:
    request = parse_request({"model": "m", "messages": HI, "context_management": {}, "mcp_servers": [], "container": "c"})
    assert tuple(request.extra) == ("context_management", "mcp_servers", "container")


def test_of_too_many_cache_markers_the_last_ones_stay() -> None:
    mark = {"type": "ephemeral"}
    cached = [TextPart(str(number), mark) for number in range(3)]
    turns = (
        Message("system", (TextPart("S", mark),)),
        Message("user", (TextPart("Hi"),)),
        Message("assistant", (ToolCallPart("c", "f", "{}"),)),
        Message("tool", (ToolResultPart("c", (cached[0], cached[1]), cache=mark),)),
        Message("user", (cached[2],)),
    )
    tool = replace(F, cache=mark)
    body, dropped = (rendered := render(messages=turns, tools=(tool,))).body, rendered.dropped
    assert dropped == ("cache_control",)
    assert "cache_control" not in body["tools"][0] and "cache_control" not in body["system"][0]
    result, said = body["messages"][-1]["content"]
    assert [block["cache_control"] for block in (*result["content"], result, said)] == [mark] * 4
    assert tool.cache == mark, "the request itself stays as it is, another provider may get it"
    four = render(messages=(*turns[:3], replace(turns[3], parts=(ToolResultPart("c", (cached[0],)),)), turns[4]), tools=(tool,))
    assert str(four.body).count("cache_control") == 4 and four.dropped == ()
    own = parse_request(
        {"max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": mark}] * 5}]}
    )
    assert str(render(own).body).count("cache_control") == 5, "the vendor's own client hears it from the vendor"
