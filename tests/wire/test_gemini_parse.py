"""A client's request → ChatRequest, but for its contents."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Message, OutputFormat, Sampling, TextPart, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_parse import parse_request
from omni_connector.wire.gemini_words import NAME
from tests.wire.gemini_reading import ask

SCHEMA = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "propertyOrdering": ["a"]}
JSON_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def test_everything_in_one_request() -> None:
    # C-12, C-14
    request = parse_request(
        {
            "model": "models/gemini-3-flash",
            "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
            "system_instruction": {"parts": [{"text": "Be kind."}]},
            "safetySettings": [{"category": 7, "threshold": 4}],
            "cached_content": "cachedContents/1",
            "labels": {"team_name": "x"},
            "generationConfig": {
                "temperature": 0.5,
                "topP": 0.9,
                "top_k": 40.0,
                "maxOutputTokens": 99,
                "stopSequences": ["END"],
                "candidateCount": 2,
                "seed": 7,
                "presencePenalty": 0.1,
                "frequency_penalty": 0.2,
                "responseLogprobs": True,
                "logprobs": 3,
                "responseModalities": ["TEXT"],
                "responseMimeType": "application/json",
                "response_json_schema": JSON_SCHEMA,
                "thinkingConfig": {"thinking_budget": 2048, "includeThoughts": True, "new": 1},
            },
        },
        stream=True,
    )
    assert (request.wire, request.model, request.stream, request.include_usage) == (NAME, "gemini-3-flash", True, True)
    assert request.messages == (Message("system", (TextPart("Be kind."),)), Message("user", (TextPart("Hi"),)))
    assert request.sampling == Sampling(0.5, 0.9, 40, None, 7, 0.1, 0.2, None, True, 3, 2)
    assert (request.max_tokens, request.stop) == (99, ("END",))
    assert request.output == OutputFormat("json_schema", schema=JSON_SCHEMA)
    assert request.thinking == Thinking(True, None, 2048, False, "summarized")
    assert request.extra == {
        "safetySettings": [{"category": 7, "threshold": 4}],
        "cachedContent": "cachedContents/1",
        "labels": {"team_name": "x"},
        "generationConfig": {"thinkingConfig": {"new": 1}, "responseModalities": ["TEXT"]},
    }


def test_the_caller_may_put_streaming_into_the_body() -> None:
    assert ask(stream=True).stream
    assert not ask().stream


def test_tools_in_every_spelling() -> None:
    request = ask(
        tools=[
            {
                "functionDeclarations": [
                    {"name": "a", "description": "A", "parameters_json_schema": JSON_SCHEMA, "behavior": "BLOCKING"},
                    {"name": "b", "parameters": SCHEMA},
                ],
                "googleSearch": {},
            },
            {"function_declarations": [{"name": "c", "description": "", "parameters": {"type": 6, "properties": {"x": {"type": 1}}}}]},
            {"code_execution": {}},
        ]
    )
    assert request.tools == (
        Tool("function", "a", "A", JSON_SCHEMA, extra={"behavior": "BLOCKING"}),
        Tool("function", "b", None, JSON_SCHEMA, raw={"parameters": SCHEMA}),
        Tool("foreign", "googleSearch", wire=NAME, raw={"googleSearch": {}}),
        Tool(
            "function",
            "c",
            None,
            {"type": "object", "properties": {"x": {"type": "string"}}},
            raw={"parameters": {"type": 6, "properties": {"x": {"type": 1}}}},
        ),
        Tool("foreign", "codeExecution", wire=NAME, raw={"codeExecution": {}}),
    )


@pytest.mark.parametrize(
    ("config", "choice", "extra"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto"), {}),
        ({"mode": "any", "allowedFunctionNames": ["a", "b"]}, ToolChoice("required", allowed=("a", "b")), {}),
        ({"mode": 2, "allowed_function_names": ["a"]}, ToolChoice("named", "a"), {}),
        ({"mode": "ANY"}, ToolChoice("required"), {}),
        ({"mode": "NONE"}, ToolChoice("none"), {}),
        ({"mode": "VALIDATED"}, ToolChoice("auto"), {"functionCallingConfig": {"mode": "VALIDATED"}}),
        ({"mode": 0}, None, {}),
        ({"streamFunctionCallArguments": True}, None, {"functionCallingConfig": {"streamFunctionCallArguments": True}}),
    ],
)
def test_tool_choice(config: dict[str, Any], choice: ToolChoice | None, extra: dict[str, Any]) -> None:
    request = ask(tool_config={"function_calling_config": config, "includeServerSideToolInvocations": True})
    assert request.tool_choice == choice
    assert request.extra == {"toolConfig": {"includeServerSideToolInvocations": True, **extra}}


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({"thinkingBudget": 0}, Thinking(False, budget=0)),
        ({"thinkingBudget": -1}, Thinking(True, adaptive=True)),
        ({"thinkingLevel": "LOW", "includeThoughts": False}, Thinking(True, "low", show="omitted")),
        ({"include_thoughts": True}, Thinking(show="summarized")),
        ({}, None),
    ],
)
def test_thinking(config: dict[str, Any], thinking: Thinking | None) -> None:
    assert ask(generationConfig={"thinkingConfig": config}).thinking == thinking


@pytest.mark.parametrize(
    ("config", "output", "extra"),
    [
        ({"responseMimeType": "application/json"}, OutputFormat("json_object"), {}),
        ({"responseMimeType": "application/json", "responseSchema": SCHEMA}, OutputFormat("json_schema", schema=JSON_SCHEMA), {}),
        ({"responseMimeType": "text/plain"}, OutputFormat("text"), {}),
        ({"responseMimeType": "text/x.enum", "responseSchema": {"enum": ["a"]}}, None, None),
    ],
)
def test_output(config: dict[str, Any], output: OutputFormat | None, extra: dict[str, Any] | None) -> None:
    request = ask(generationConfig=config)
    assert request.output == output
    assert request.extra.get("generationConfig", {}) == (config if extra is None else extra)


def test_null_counts_as_absent() -> None:
    assert ask(safetySettings=None, systemInstruction=None, toolConfig=None, generationConfig=None, tools=None) == ask()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"generationConfig": 3}, "generationConfig"),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generation_config": {"top_k": 1.5}}, "generationConfig.topK"),
        ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": "x"}}}, "generationConfig.thinkingConfig.thinkingBudget"),
        ({"tools": 3}, "tools"),
        ({"tools": [3]}, "tools[0]"),
        ({"tools": [{"functionDeclarations": {}}]}, "tools[0].functionDeclarations"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "SOMETIMES"}}}, "toolConfig.functionCallingConfig.mode"),
        ({"toolConfig": {"functionCallingConfig": {"mode": []}}}, "toolConfig.functionCallingConfig.mode"),
        ({"stream": "yes"}, "stream"),
        ({"contents": [{"parts": [{"text": ""}]}]}, "contents"),
    ],
)
def test_mistakes_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        ask(**fields)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_a_body_without_end_is_refused() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"items": deep}
    with pytest.raises(GatewayError, match="nested too deeply"):
        ask(tools=[{"functionDeclarations": [{"name": "f", "parameters": deep}]}])
    with pytest.raises(GatewayError, match="JSON object"):
        parse_request([])  # type: ignore[arg-type]
