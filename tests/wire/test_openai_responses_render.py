"""Bodies for a Responses upstream: whole, as snapshots, and field by field."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Json, OutputFormat, Sampling, Target, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import anthropic_messages, openai_chat
from omni_connector.wire.openai_responses_render import render_request
from omni_connector.wire.openai_responses_request import parse_request
from tests.wire.openai_responses_reading import ORIGIN

OPENAI = "reasoning_effort encrypted_reasoning safety_identifier"
HI = ({"role": "user", "content": "Hi"},)


def body_of(request: ChatRequest, features: str = OPENAI, max_output: int | None = None) -> tuple[Json, tuple[str, ...]]:
    rendered = render_request(request, "gpt-5.5", Target(ORIGIN, frozenset(features.split()), max_output))
    return rendered.body, rendered.dropped


def chat(features: str = OPENAI, max_output: int | None = None, **fields: Any) -> tuple[Json, tuple[str, ...]]:
    return body_of(openai_chat.parse_request({"messages": list(HI), **fields}), features, max_output)


def own(features: str = "", **fields: Any) -> tuple[Json, tuple[str, ...]]:
    return body_of(parse_request({"input": "Hi", **fields}), features)


def test_a_chat_request_as_a_whole() -> None:  # C-09…C-13
    messages = [
        {"role": "system", "content": "Be a pilot."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Depth?"}, {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}],
        },
        {
            "role": "assistant",
            "content": "A moment.",
            "tool_calls": [{"id": "c1", "function": {"name": "depth", "arguments": '{"n": 1.0}'}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "7 m"},
    ]
    body, dropped = chat(
        messages=messages,
        tools=[
            {"type": "function", "function": {"name": "depth", "description": "d", "parameters": {"type": "object"}}},
            {
                "type": "custom",
                "custom": {"name": "run", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}},
            },
        ],
        tool_choice={"type": "custom", "custom": {"name": "run"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "out", "schema": {"type": "object"}, "strict": True}},
        reasoning_effort="high",
        verbosity="low",
        max_completion_tokens=500,
        temperature=0.2,
        user="u1",
        service_tier="flex",
        prompt_cache_key="k",
        metadata={"a": "b"},
        stream=True,
        stop=["END"],
        seed=7,
        logit_bias={"1": 2},
        frequency_penalty=0,
    )
    assert body == {
        "model": "gpt-5.5",
        "instructions": "Be a pilot.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Depth?"}, {"type": "input_image", "image_url": "https://a.example/x.png"}],
            },
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A moment."}]},
            {"type": "function_call", "call_id": "c1", "name": "depth", "arguments": '{"n": 1.0}'},
            {"type": "function_call_output", "call_id": "c1", "output": "7 m"},
        ],
        "tools": [
            {"type": "function", "name": "depth", "description": "d", "parameters": {"type": "object"}, "strict": False},
            {"type": "custom", "name": "run", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}},
        ],
        "tool_choice": {"type": "custom", "name": "run"},
        "parallel_tool_calls": False,
        "text": {"format": {"type": "json_schema", "name": "out", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "high"},
        "temperature": 0.2,
        "max_output_tokens": 500,
        "safety_identifier": "u1",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "metadata": {"a": "b"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }
    assert dropped == ("seed", "logit_bias", "stop")


def test_an_anthropic_request_as_a_whole() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "Depth?", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "tool_use", "id": "toolu_1", "name": "depth", "input": {"n": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "7 m"}, {"type": "text", "text": "So?"}]},
    ]
    request = anthropic_messages.parse_request(
        {
            "max_tokens": 1,
            "system": [{"type": "text", "text": "Be a pilot."}],
            "messages": messages,
            "tools": [{"name": "depth", "input_schema": {"type": "object"}}, {"type": "web_search_20250305", "name": "web_search"}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "thinking": {"type": "enabled", "budget_tokens": 6000},
            "metadata": {"user_id": "u1"},
            "top_k": 5,
            "context_management": {"edits": []},
        }
    )
    body, dropped = body_of(request)
    assert body == {
        "model": "gpt-5.5",
        "instructions": "Be a pilot.",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Depth?"}]},
            {"type": "function_call", "call_id": "toolu_1", "name": "depth", "arguments": '{"n":1}'},
            {"type": "function_call_output", "call_id": "toolu_1", "output": "7 m"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "So?"}]},
        ],
        "tools": [{"type": "function", "name": "depth", "parameters": {"type": "object"}, "strict": False}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "max_output_tokens": 16,
        "safety_identifier": "u1",
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert dropped == (
        "tools[1] (web_search)",
        "cache_control",
        "messages[].reasoning",
        "top_k",
        "max_tokens (raised from 1)",
        "context_management",
    )


EXEC = {"type": "custom", "name": "exec"}
CODEX: Json = {
    "model": "gpt-6.1-sol",
    "instructions": "You are a coding agent.",
    "input": [
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "namespace", "name": "functions", "tools": [EXEC, {"type": "function", "name": "wait", "parameters": {}}]}],
        },
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}], "id": "msg_u"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls", "namespace": "functions", "status": "completed"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "text": {"verbosity": "low"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "prompt_cache_key": "thread-1",
    "stream": True,
    "store": False,
    "include": ["reasoning.encrypted_content"],
}


def test_a_codex_request_for_its_own_format_stays_as_it_was() -> None:  # clients.md, finding 6
    body, dropped = body_of(parse_request(CODEX), "")
    assert (body, dropped) == ({**CODEX, "model": "gpt-5.5"}, ())


def test_a_codex_request_for_a_host_without_namespaces_and_free_text() -> None:
    body, dropped = body_of(parse_request(CODEX), "flat_tools no_custom_tools")
    assert [tool["name"] for tool in body["tools"]] == ["exec", "wait"]
    assert [tool["type"] for tool in body["tools"]] == ["function", "function"]
    assert [item["type"] for item in body["input"]] == ["message", "message", "reasoning", "function_call", "function_call_output"]
    assert body["input"][3] == {
        "type": "function_call",
        "call_id": "c1",
        "name": "exec",
        "arguments": '{"input": "ls"}',
        "status": "completed",
    }
    assert dropped == ()


def test_the_chatgpt_backend_has_rules_of_its_own() -> None:  # upstreams.md §6A
    body, dropped = chat(
        OPENAI + " codex_backend", temperature=1, max_tokens=99, user="u", metadata={}, service_tier="flex", parallel_tool_calls=True
    )
    assert body == {
        "model": "gpt-5.5",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "instructions": "",
        "stream": True,
    }
    assert dropped == ("max_output_tokens", "metadata", "safety_identifier", "temperature", "service_tier")
    body, dropped = own("codex_backend", previous_response_id="resp_1", store=True, include=["x"], tools=[EXEC], parallel_tool_calls=True)
    assert (body["include"], body["store"], body["parallel_tool_calls"]) == (["x", "reasoning.encrypted_content"], False, True)
    assert dropped == ("previous_response_id",)


def test_fields_of_the_own_format_come_back() -> None:
    fields: Json = {
        "include": ["file_search_call.results"],
        "store": True,
        "previous_response_id": "resp_1",
        "truncation": "auto",
        "background": False,
        "text": {"format": {"type": "grammar", "definition": "x"}, "verbosity": "high", "odd": 1},
        "reasoning": {"effort": "low", "summary": "concise", "context": "all_turns"},
        "tools": [{"type": "mcp", "server_label": "docs"}, {"type": "function", "name": "f", "parameters": None, "strict": None}],
        "tool_choice": {"type": "mcp", "server_label": "docs", "name": "search"},
        "top_logprobs": 2,
        "user": "u",
        "safety_identifier": "s",
        "max_output_tokens": 3,
        "brand_new": [1],
    }
    body, dropped = own(**fields)
    expected = {**fields, "tools": [fields["tools"][0], {"type": "function", "name": "f", "parameters": None}]}
    assert {key: body[key] for key in expected} == expected
    assert dropped == ()


@pytest.mark.parametrize(
    ("thinking", "features", "reasoning", "dropped"),
    [
        (Thinking(effort="xhigh"), OPENAI, {"effort": "xhigh"}, ()),
        (Thinking(effort="low"), "", None, ("thinking",)),
        (Thinking(enabled=True, adaptive=True), OPENAI, {"summary": "auto"}, ()),
        (Thinking(enabled=True, adaptive=True), "", None, ()),
        (Thinking(enabled=True, budget=1024, show="omitted"), OPENAI, {"effort": "low"}, ()),
        (Thinking(enabled=True, budget=64000), OPENAI, {"effort": "high", "summary": "auto"}, ()),
        (Thinking(enabled=False), OPENAI, None, ("thinking",)),
        (Thinking(effort="medium", show="detailed"), OPENAI, {"effort": "medium", "summary": "detailed"}, ()),
    ],
)
def test_thinking_of_other_formats(thinking: Thinking, features: str, reasoning: Any, dropped: tuple[str, ...]) -> None:
    messages = openai_chat.parse_request({"messages": list(HI)}).messages
    body, found = body_of(ChatRequest("anthropic-messages", "m", messages, thinking=thinking), features)
    assert (body.get("reasoning"), found) == (reasoning, dropped)


def test_none_is_an_effort_for_the_vendors_own_clients() -> None:
    assert chat(reasoning_effort="none")[0]["reasoning"] == {"effort": "none"}
    assert chat("", reasoning_effort="none")[1] == ("thinking",)


def test_limits() -> None:
    assert chat(max_tokens=9000, max_output=4000)[0]["max_output_tokens"] == 4000
    assert chat(max_tokens=9000, max_output=4000)[1] == ("max_tokens (lowered from 9000)",)
    assert "max_output_tokens" not in chat(max_output=4000)[0]


@pytest.mark.parametrize("n", [1, None])
def test_one_answer_a_request(n: int | None) -> None:
    chat(n=n)
    with pytest.raises(GatewayError) as caught:
        chat(n=2)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "n")


def test_log_probabilities() -> None:
    body, dropped = chat("", logprobs=True, top_logprobs=3)
    assert (body["include"], body["top_logprobs"], dropped) == (["message.output_text.logprobs"], 3, ())
    body, dropped = chat("no_logprobs", logprobs=True, top_logprobs=3)
    assert ("include" in body, dropped) == (False, ("top_logprobs",))


def test_sampling_that_is_refused() -> None:
    body, dropped = own("no_sampling", temperature=0.5, top_p=0.5)
    assert ("temperature" in body, dropped) == (False, ("temperature", "top_p"))
    _, dropped = body_of(ChatRequest("gemini-generate", "m", (), sampling=Sampling(top_k=3, min_p=0.1, seed=0, presence_penalty=0.5)), "")
    assert dropped == ("top_k", "min_p", "presence_penalty")


def test_output_formats() -> None:
    messages = openai_chat.parse_request({"messages": list(HI)}).messages
    schema = ChatRequest("anthropic-messages", "m", messages, output=OutputFormat("json_schema", schema={"type": "object"}))
    assert body_of(schema)[0]["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}}
    assert chat(response_format={"type": "json_object"})[0]["text"] == {"format": {"type": "json_object"}}
    assert "text" not in chat(response_format={"type": "text"})[0]
    assert own(text={"format": {"type": "text"}})[0]["text"] == {"format": {"type": "text"}}


def test_tools_of_other_formats() -> None:
    messages = openai_chat.parse_request({"messages": list(HI)}).messages
    tools = (
        Tool("function", "f", cache={"type": "ephemeral"}, extra={"odd": 1}),
        Tool("foreign", "bash", wire="anthropic-messages", raw={"type": "bash_20250124"}),
    )
    allowed = ToolChoice("auto", allowed=("f",))
    body, dropped = body_of(ChatRequest("anthropic-messages", "m", messages, tools=tools, tool_choice=allowed))
    assert body["tools"] == [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    assert body["tool_choice"] == {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}
    assert dropped == ("cache_control", "tools[].odd", "tools[1] (bash)")
    with pytest.raises(GatewayError, match="bash"):
        body_of(ChatRequest("anthropic-messages", "m", messages, tools=tools, tool_choice=ToolChoice("named", "bash")))
    only = ChatRequest("anthropic-messages", "m", messages, tools=tools[1:], tool_choice=ToolChoice("required"), parallel_tools=False)
    body, dropped = body_of(only)
    assert body.keys().isdisjoint({"tools", "tool_choice", "parallel_tool_calls"})
    assert dropped == ("tools[0] (bash)", "tool_choice")


def test_equal_requests_give_equal_bytes() -> None:
    first, second = chat(reasoning_effort="low", user="u"), chat(user="u", reasoning_effort="low")
    assert list(first[0]) == list(second[0])
