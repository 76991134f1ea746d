"""A client's Responses request (C-23), field by field."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Message, OutputFormat, Sampling, TextPart, Thinking, ToolChoice, needs
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import parse_request as parse_any
from omni_connector.wire.openai_responses_request import parse_request


def asked(**fields: Any) -> ChatRequest:
    return parse_request({"model": "m", "input": "Hi", **fields})


def test_the_smallest_request() -> None:
    assert parse_request({"input": "Hi"}) == ChatRequest("openai-responses", "", (Message("user", (TextPart("Hi"),)),))


def test_plain_fields() -> None:
    found = asked(
        instructions="Be brief.",
        temperature=0.5,
        top_p=1,
        max_output_tokens=64,
        stream=True,
        parallel_tool_calls=False,
        user="u",
        service_tier="flex",
        prompt_cache_key="k",
        metadata={"a": "b"},
        tool_choice="required",
        seed=None,
    )
    assert found.messages[0] == Message("system", (TextPart("Be brief."),))
    assert (found.sampling, found.max_tokens, found.stream) == (Sampling(0.5, 1), 64, True)
    assert (found.parallel_tools, found.user, found.service_tier, found.cache_key) == (False, "u", "flex", "k")
    assert (found.metadata, found.tool_choice, found.extra) == ({"a": "b"}, ToolChoice("required"), {})


@pytest.mark.parametrize(
    ("text", "output", "verbosity", "extra"),
    [
        ({"format": {"type": "text"}, "verbosity": "low"}, OutputFormat("text"), "low", {}),
        ({"format": {"type": "json_object"}}, OutputFormat("json_object"), None, {}),
        (
            {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True, "description": "d"}},
            OutputFormat("json_schema", "n", {}, True, "d"),
            None,
            {},
        ),
        ({"format": {"type": "grammar", "definition": "x"}}, None, None, {"text": {"format": {"type": "grammar", "definition": "x"}}}),
        ({"odd": 1}, None, None, {"text": {"odd": 1}}),
    ],
)
def test_text(text: Any, output: OutputFormat | None, verbosity: str | None, extra: Any) -> None:
    found = asked(text=text)
    assert (found.output, found.verbosity, found.extra) == (output, verbosity, extra)


@pytest.mark.parametrize(
    ("reasoning", "thinking", "extra"),
    [
        ({"effort": "xhigh", "summary": "detailed"}, Thinking(effort="xhigh", show="detailed"), {}),
        ({"effort": None, "generate_summary": "concise"}, Thinking(show="concise"), {}),
        ({"effort": "low", "context": "all_turns"}, Thinking(effort="low"), {"reasoning": {"context": "all_turns"}}),
        ({}, None, {}),
    ],
)
def test_reasoning(reasoning: Any, thinking: Thinking | None, extra: Any) -> None:
    found = asked(reasoning=reasoning)
    assert (found.thinking, found.extra) == (thinking, extra)


def test_log_probabilities_are_asked_for_in_two_ways() -> None:
    assert asked(top_logprobs=3).sampling == Sampling(top_logprobs=3, logprobs=True)
    found = asked(include=["message.output_text.logprobs"])
    assert (found.sampling, found.extra) == (Sampling(logprobs=True), {"include": ["message.output_text.logprobs"]})
    assert asked(top_logprobs=0).sampling == Sampling(top_logprobs=0)


def test_what_only_this_format_knows_rides_along() -> None:
    fields = {
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"},
        "truncation": "auto",
        "background": True,
        "max_tool_calls": 3,
        "stream_options": {"include_obfuscation": False},
        "context_management": [{"type": "compaction"}],
        "brand_new": 1,
    }
    assert asked(**fields).extra == fields


def test_two_names_for_the_user() -> None:
    assert asked(safety_identifier="s").user == "s"
    both = asked(user="u", safety_identifier="s")
    assert (both.user, both.extra) == ("u", {"safety_identifier": "s"})


def test_a_choice_that_cannot_be_held_also_stays_as_it_came() -> None:
    choice = {"type": "mcp", "server_label": "docs", "name": "search"}
    found = asked(tools=[{"type": "mcp", "server_label": "docs"}], tool_choice=choice)
    assert (found.tool_choice, found.extra) == (ToolChoice("named", "mcp"), {"tool_choice": choice})


@pytest.mark.parametrize("field", ["previous_response_id", "prompt", "conversation"])
def test_input_may_be_missing_where_the_provider_keeps_it(field: str) -> None:
    assert parse_request({field: "x"}).messages == ()


def test_what_a_request_needs() -> None:
    image = {"type": "input_image", "image_url": "https://a.example/x.png"}
    found = asked(input=[{"role": "user", "content": [image]}], tools=[{"type": "web_search"}], text={"format": {"type": "json_object"}})
    assert set(needs(found)) == {"vision", "tools", "json"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": 3}, "input"),
        ({"instructions": 3}, "instructions"),
        ({"model": 3}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"text": "json"}, "text"),
        ({"text": {"format": {}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "schema": 1}}}, "text.format.schema"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 3}}, "reasoning.effort"),
        ({"tools": {}}, "tools"),
        ({"metadata": []}, "metadata"),
        ({"top_logprobs": "3"}, "top_logprobs"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        asked(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt"])
def test_what_only_a_provider_remembers_is_not_translated(field: str) -> None:
    with pytest.raises(GatewayError) as refused:
        parse_any("openai-responses", {"model": "m", "input": "hi", field: "resp_1"}, "m", False)
    assert refused.value.param == field
    assert parse_any("openai-responses", {"model": "m", "input": "hi", field: None}, "m", False).messages
