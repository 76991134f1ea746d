"""What the ChatGPT backends want beyond the format: against the strict mock's rules and against recorded traffic. P-20"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import ChatRequest, Origin, Target, ToolCallPart, fold
from omni_connector.wire import anthropic_messages, openai_chat
from omni_connector.wire.openai_responses import Listener, ResponseParser, parse_request, render_request
from omni_connector.wire.openai_responses_codex import LONGEST_NAME, NAMESPACE, fit, real_names, short, with_short_names, without_secrets
from tests.codex_server import Codex

Json = dict[str, Any]
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
MINE = Origin("codex", "gpt-5.5")
WORDS = frozenset({"codex_backend", "custom_tools", "encrypted_reasoning", "reasoning_effort", "developer_role"})
LONG = "get_" + "weather_" * 12
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}}


def rendered(request: ChatRequest, *more: str) -> tuple[Json, tuple[str, ...]]:
    found = render_request(request, "gpt-5.5", Target(MINE, WORDS | frozenset(more)))
    Codex(plan="namespaced_tools" in more)._check(found.body)  # what the backend refuses
    return found.body, found.dropped


def own(*more: str, **fields: Any) -> tuple[Json, tuple[str, ...]]:
    return rendered(parse_request({"model": "m", "input": "Hi", **fields}), *more)


def recordings() -> list[Json]:
    found = sorted(RECORDINGS.glob("openai-responses--codex--*.json")) if RECORDINGS.is_dir() else []
    return [json.loads(file.read_text()) for file in found]


# ---------------------------------------------------------------- Recorded traffic


def test_recorded_requests_are_said_as_they_were() -> None:
    bodies = [one["request"]["body"] for one in recordings() if one["request"]["body"]]
    if not bodies:
        pytest.skip("the recordings do not stand beside this checkout")
    for body in bodies:
        said, dropped = rendered(parse_request({**body, "model": "m"}))
        assert dropped == ()
        assert said["include"][-1] == "reasoning.encrypted_content"
        again, _ = rendered(parse_request(said))
        assert again == said  # what it takes is not changed a second time
        for name in body.keys() - {"model", "include", "input", "tools"}:
            assert said[name] == body[name], name


def test_recorded_answers_without_output_are_told_whole() -> None:
    streams = [one["response"]["sse"] for one in recordings() if "response.completed" in (one["response"].get("sse") or "")]
    if not streams:
        pytest.skip("the recordings do not stand beside this checkout")
    for stream in streams:
        events = [json.loads(line[5:]) for line in stream.splitlines() if line.startswith("data:")]
        items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        for cut in (7, len(stream)):
            parser, ear = ResponseParser(MINE), Listener()
            ear.keeping = True
            raw = stream.encode()
            told = [event for at in range(0, len(raw), cut) for event in parser.feed(raw[at : at + cut])] + parser.close()
            ear.feed(raw)
            (choice,) = fold(told).choices
            calls = [part.name for part in choice.parts if isinstance(part, ToolCallPart)]
            assert calls == [item["name"] for item in items if item["type"] in ("function_call", "custom_tool_call")]
            assert choice.parts and (ear.final is None or ear.final["output"] == items or not ear.final["output"])


def test_what_the_codex_program_sends_is_not_changed() -> None:  # clients.md, finding 6
    run = {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}}
    space = {"type": "namespace", "name": NAMESPACE, "tools": [run, FUNCTION]}
    call = {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls", "namespace": NAMESPACE}
    sent: Json = {
        "model": "gpt-5.5",
        "instructions": "Be Codex.",
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [space]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"},
            call,
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "low", "summary": "auto"},
        "prompt_cache_key": "thread-1",
        "client_metadata": {"x": "y"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "stream": True,
    }
    for more in ((), ("namespaced_tools",)):
        found = render_request(parse_request(sent), "gpt-5.5", Target(MINE, WORDS | frozenset(more)))
        assert (found.body, found.dropped) == (sent, ())


# ---------------------------------------------------------------- Fields


def test_every_field_that_it_refuses_is_left_out_and_named() -> None:
    given: Json = {"max_output_tokens": 99, "temperature": 1, "top_p": 1, "truncation": "auto", "user": "u", "metadata": {"a": "b"}}
    given |= {"previous_response_id": "r", "background": False, "max_tool_calls": 3, "prompt_cache_retention": "24h", "store": True}
    given |= {"service_tier": "flex", "context_management": [], "safety_identifier": "s", "prompt": {"id": "p"}, "conversation": "c"}
    body, dropped = own(**given)
    assert body.keys() == {"model", "instructions", "input", "include", "store", "stream"}
    assert set(dropped) == given.keys() - {"store"}
    assert own(service_tier="priority")[0]["service_tier"] == "priority"


def test_chat_and_messages_say_it_too() -> None:
    chat = openai_chat.parse_request(
        {
            "model": "m",
            "messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}, {"role": "system", "content": "c"}],
            "max_tokens": 5,
            "parallel_tool_calls": True,
            "seed": 1,
        }
    )
    body, dropped = rendered(chat)
    assert body["instructions"] == "a" and [item["role"] for item in body["input"]] == ["user", "developer"]
    assert "max_output_tokens" in dropped
    messages: Json = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text", "text": "b"}]}]}
    messages["messages"][0]["content"][0]["cache_control"] = {"type": "ephemeral"}
    assert "cache_control" in rendered(anthropic_messages.parse_request(messages))[1]


def test_tools_under_their_present_names() -> None:
    body, _ = own(tools=[{"type": "web_search_preview", "search_context_size": "low"}], tool_choice={"type": "web_search_preview"})
    assert body["tools"] == [{"type": "web_search", "search_context_size": "low"}] and body["tool_choice"] == {"type": "web_search"}
    assert "parallel_tool_calls" not in own(parallel_tool_calls=True)[0]
    assert own(parallel_tool_calls=True, tools=[FUNCTION])[0]["parallel_tool_calls"] is True


def test_what_the_client_gave_is_not_touched() -> None:
    raw: Json = {"tools": [{"type": "web_search_preview"}], "input": [{"type": "function_call", "name": "f"}], "tool_choice": "auto"}
    body, before = dict(raw), json.dumps(raw)
    fit(body, WORDS | {"namespaced_tools"}, {})
    assert json.dumps(raw) == before and body["tools"] == [{"type": "web_search"}]


# ---------------------------------------------------------------- Namespaces


def test_tools_that_stand_alone_go_into_the_namespace() -> None:  # upstreams.md §6B
    custom = {"type": "custom", "name": "run"}
    other = {"type": "namespace", "name": "mcp__x", "tools": [FUNCTION]}
    calls = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
    ]
    body, _ = own("namespaced_tools", tools=[{"type": "web_search"}, {**FUNCTION, "name": "g"}, other, custom])
    space, *rest = body["tools"]
    assert (space["type"], space["name"], [tool["name"] for tool in space["tools"]]) == ("namespace", NAMESPACE, ["g", "run"])
    assert [tool["type"] for tool in rest] == ["web_search", "namespace"]
    known = {"type": "namespace", "name": NAMESPACE, "description": "Mine.", "tools": [FUNCTION]}
    (joined,) = own("namespaced_tools", tools=[known, custom])[0]["tools"]
    assert (joined["description"], [tool["name"] for tool in joined["tools"]]) == ("Mine.", ["f", "run"])
    body, _ = own("namespaced_tools", tools=[FUNCTION], input=calls)
    assert body["input"][0]["namespace"] == NAMESPACE and "namespace" not in body["input"][1]


# ---------------------------------------------------------------- Long names


def test_a_long_name_goes_out_short_and_comes_back() -> None:
    request = openai_chat.parse_request(
        {
            "model": "m",
            "tools": [{"type": "function", "function": {"name": LONG, "parameters": {"type": "object"}}}],
            "tool_choice": {"type": "function", "function": {"name": LONG}},
            "messages": [
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": LONG, "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "ok"},
            ],
        }
    )
    body, _ = rendered(request)
    said = body["tools"][0]["name"]
    assert len(said) == LONGEST_NAME and (body["tool_choice"]["name"], body["input"][1]["name"]) == (said, said)
    assert rendered(request)[0] == body
    item = {"type": "function_call", "call_id": "c1", "name": said, "arguments": "{}"}
    for space in ({}, {"namespace": NAMESPACE}):
        (choice,) = fold(ResponseParser(MINE, request).whole({"output": [{**item, **space}]})).choices
        assert [part.name for part in choice.parts if isinstance(part, ToolCallPart)] == [LONG]
    plain = render_request(request, "m", Target(MINE, WORDS - {"codex_backend"}))
    assert plain.body["tools"][0]["name"] == LONG


@given(st.sets(st.text("abcdef_", min_size=60, max_size=90), min_size=2, max_size=8))
def test_short_names_fit_and_stay_apart(names: set[str]) -> None:
    found = {name: short(name) for name in names}
    assert all(len(said) <= LONGEST_NAME for said in found.values()) and len(set(found.values())) == len(names)
    assert all(said == name for name, said in found.items() if len(name) <= LONGEST_NAME)


def test_short_names_change_nothing_where_there_are_none() -> None:
    request = parse_request({"model": "m", "input": "Hi", "tools": [FUNCTION]})
    assert with_short_names(request) is request and real_names(request.tools) == {}


# ---------------------------------------------------------------- Thoughts of somebody else


def test_thoughts_that_cannot_be_read_are_left_out_and_named() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]}
    request = parse_request({"model": "m", "input": [thought, answer]})
    assert rendered(request)[0]["input"][0]["encrypted_content"] == "gAAA"
    body, dropped = rendered(without_secrets(request))
    assert [item["type"] for item in body["input"]] == ["message"] and dropped == ("messages[].reasoning",)
