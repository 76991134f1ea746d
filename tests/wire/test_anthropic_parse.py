"""A client's request → ChatRequest."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Message, OutputFormat, Sampling, TextPart, Thinking, Tool, ToolChoice, ToolResultPart
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.anthropic_messages import parse_request, render_error

HELLO = [{"role": "user", "content": "Hello"}]


def parse(**fields: Any) -> ChatRequest:
    return parse_request({"model": "m", "max_tokens": 100, "messages": HELLO, **fields})


def test_claude_code_dialect() -> None:
    # P-42, P-56, C-15: clients.md, finding 15
    request = parse_request(
        {
            "model": "claude-opus-5-5",
            "max_tokens": 64000,
            "stream": True,
            "system": [
                {"type": "text", "text": "x-anthropic-billing-header: v"},
                {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
            ],
            "messages": [
                *HELLO,
                {"role": "system", "content": "Today is Monday."},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"p": "a"}}]},
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "…"}, {"type": "text", "text": "go"}],
                },
            ],
            "tools": [
                {"name": "Read", "description": "d", "input_schema": {"$schema": "s", "type": "object"}, "defer_loading": True},
                {"type": "web_search_20260318", "name": "web_search"},
                {
                    "type": "custom",
                    "name": "Bash",
                    "input_schema": {"type": "object"},
                    "strict": True,
                    "cache_control": {"type": "ephemeral"},
                },
            ],
            "thinking": {"type": "adaptive", "display": "omitted"},
            "output_config": {"effort": "high", "task_budget": 9},
            "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            "metadata": {"user_id": '{"device":"d"}'},
            "temperature": 1,
        }
    )
    assert [message.role for message in request.messages] == ["system", "user", "system", "assistant", "user"]
    assert request.messages[0].parts[1] == TextPart("Be brief.", {"type": "ephemeral"})
    assert request.messages[2] == Message("system", (TextPart("Today is Monday."),))
    assert [type(part) for part in request.messages[4].parts] == [ToolResultPart, TextPart]
    assert request.tools[0] == Tool("function", "Read", "d", {"$schema": "s", "type": "object"}, extra={"defer_loading": True})
    assert request.tools[1] == Tool(
        "foreign", "web_search", wire="anthropic-messages", raw={"type": "web_search_20260318", "name": "web_search"}
    )
    assert (request.tools[2].kind, request.tools[2].strict, request.tools[2].cache) == ("function", True, {"type": "ephemeral"})
    assert request.thinking == Thinking(True, "high", None, True, "omitted")
    assert request.user == '{"device":"d"}'
    assert request.stream
    assert request.extra.keys() == {"context_management", "output_config"}
    assert request.extra["output_config"] == {"task_budget": 9}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, (ToolChoice("auto"), None)),
        ({"type": "any", "disable_parallel_tool_use": True}, (ToolChoice("required"), False)),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, (ToolChoice("named", "f"), True)),
        ({"type": "none"}, (ToolChoice("none"), None)),
        (None, (None, None)),
    ],
)
def test_tool_choice(choice: Any, expected: Any) -> None:
    request = parse(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tools) == expected


@pytest.mark.parametrize(
    ("fields", "thinking", "kept"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Thinking(True, budget=2048), False),
        ({"thinking": {"type": "disabled"}}, Thinking(False), False),
        ({"thinking": {"type": "between_tools"}}, Thinking(True, adaptive=True), True),
        ({"thinking": {"type": "enabled", "effort": "max"}}, Thinking(True), True),
        ({"output_config": {"effort": "low"}}, Thinking(effort="low"), False),
        ({"thinking": None}, None, False),
    ],
)
def test_thinking(fields: dict[str, Any], thinking: Thinking | None, kept: bool) -> None:
    request = parse(**fields)
    assert request.thinking == thinking
    assert ("thinking" in request.extra) == kept


def test_output_and_sampling() -> None:
    # C-11, C-12
    schema = {"type": "object"}
    assert parse(output_config={"format": {"type": "json_schema", "schema": schema}}).output == OutputFormat("json_schema", schema=schema)
    assert parse(output_format={"type": "json_schema", "schema": schema}).output == OutputFormat("json_schema", schema=schema)
    assert parse(output_config={"format": {"type": "new"}}).extra["output_config"] == {"format": {"type": "new"}}
    request = parse(temperature=0.5, top_p=0.9, top_k=4, stop_sequences=["END"], max_tokens=5.0, service_tier="auto")
    assert request.sampling == Sampling(0.5, 0.9, 4)
    assert (request.stop, request.max_tokens, request.service_tier) == (("END",), 5, "auto")


def test_threads_are_refused_in_the_words_sdks_understand() -> None:
    with pytest.raises(GatewayError) as caught:
        parse(thread={"type": "create"})
    body = render_error(caught.value)
    assert caught.value.status == 400
    assert body["error"]["type"] == "invalid_request_error"
    assert body["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["x"]}, "messages.0"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [*HELLO, {"role": "user", "content": 7}]}, "messages.1.content"),
        ({"model": 7}, "model"),
        ({"system": 7}, "system"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"tools": {}}, "tools"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [{"name": "f", "input_schema": True}]}, "tools.0.input_schema"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        ({"metadata": {"user_id": 1}}, "metadata.user_id"),
        ({"output_config": []}, "output_config"),
    ],
)
def test_mistakes_name_the_field(fields: dict[str, Any], param: str) -> None:
    # C-39
    with pytest.raises(GatewayError) as caught:
        parse(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert caught.value.message.startswith(f"{param}: ")
