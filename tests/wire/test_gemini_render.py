"""ChatRequest → body: tools, configuration, what is dropped. Whole bodies as snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Message, OutputFormat, Sampling, Target, TextPart, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError
from omni_connector.wire import anthropic_messages, openai_chat
from omni_connector.wire.gemini_render import render_request
from omni_connector.wire.gemini_words import NAME, dumps
from tests.wire.gemini_reading import ORIGIN, ask

SCHEMA = {"type": "object", "properties": {"harbour": {"type": "string", "minLength": 1}}, "additionalProperties": False}
TIDE = Tool("function", "tide", "The tide.", SCHEMA)


def render(
    model: str = "gemini-2.5-flash", features: str = "", wire: str = "openai-chat", **fields: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ChatRequest(wire, "m", (Message("user", (TextPart("Hi"),)),), **fields)
    rendered = render_request(request, model, Target(ORIGIN, frozenset(features.split()), 8000))
    return rendered.body, rendered.dropped


def test_a_chat_completions_request_as_gemini_gets_it() -> None:
    # C-07, C-12
    request = openai_chat.parse_request(
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "tide", "arguments": '{"harbour":"Kiel"}'}}],
                },
                {"role": "tool", "tool_call_id": "call_1", "content": "low"},
            ],
            "tools": [{"type": "function", "function": {"name": "tide", "parameters": SCHEMA, "strict": True}}],
            "tool_choice": "auto",
            "parallel_tool_calls": False,
            "temperature": 0.5,
            "max_tokens": 100,
            "stop": "END",
            "reasoning_effort": "low",
            "logit_bias": {"1": 2},
            "user": "ann",
            "stream": True,
        }
    )
    rendered = render_request(request, "gemini-3-flash", Target(ORIGIN))
    assert dumps(rendered.body).decode() == (
        '{"systemInstruction":{"parts":[{"text":"Be kind."}]},"contents":[{"role":"user","parts":[{"text":"What is this?"},'
        '{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]},{"role":"model","parts":[{"functionCall":{"id":"call_1","name":"tide",'
        '"args":{"harbour":"Kiel"}},"thoughtSignature":"skip_thought_signature_validator"}]},{"role":"user","parts":[{"functionResponse":'
        '{"id":"call_1","name":"tide","response":{"output":"low"}}}]}],"tools":[{"functionDeclarations":[{"name":"tide",'
        '"parametersJsonSchema":{"type":"object","properties":{"harbour":{"type":"string","minLength":1}},"additionalProperties":false}}]}],'
        '"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}},"generationConfig":{"temperature":0.5,"maxOutputTokens":100,'
        '"stopSequences":["END"],"thinkingConfig":{"thinkingLevel":"LOW","includeThoughts":true}}}'
    )
    assert rendered.dropped == ("tools[].strict", "logit_bias", "parallel_tool_calls", "user")


def test_an_anthropic_request_as_gemini_gets_it() -> None:
    request = anthropic_messages.parse_request(
        {
            "model": "m",
            "max_tokens": 9000,
            "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "abc"},
                        {"type": "tool_use", "id": "toolu_1", "name": "tide", "input": {}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "low", "is_error": True},
                        {"type": "text", "text": "so?"},
                    ],
                },
            ],
            "tools": [{"name": "tide", "input_schema": SCHEMA}, {"type": "web_search_20250305", "name": "web_search"}],
            "tool_choice": {"type": "tool", "name": "tide"},
            "thinking": {"type": "enabled", "budget_tokens": 2048},
            "top_k": 5,
        }
    )
    rendered = render_request(request, "gemini-2.5-pro", Target(ORIGIN, max_output=8000))
    assert rendered.body == {
        "systemInstruction": {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "toolu_1", "name": "tide", "args": {}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"id": "toolu_1", "name": "tide", "response": {"error": "low"}}}, {"text": "so?"}],
            },
        ],
        "tools": [{"functionDeclarations": [{"name": "tide", "parametersJsonSchema": SCHEMA}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["tide"]}},
        "generationConfig": {"topK": 5, "maxOutputTokens": 8000, "thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": True}},
    }
    assert rendered.dropped == ("cache_control", "thoughts(foreign)", "tools[1] (web_search)", "max_tokens (lowered to 8000)")


def test_an_own_request_keeps_its_words() -> None:
    body = {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "a", "behavior": "BLOCKING", "parameters": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}}}}
                ]
            },
            {"googleSearch": {}},
        ],
        "toolConfig": {
            "functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["a"]},
            "includeServerSideToolInvocations": True,
        },
        "generationConfig": {
            "candidateCount": 2,
            "responseModalities": ["TEXT"],
            "responseMimeType": "text/x.enum",
            "responseSchema": {"enum": ["a"]},
            "thinkingConfig": {"thinkingBudget": 100, "new": 1},
        },
        "safetySettings": [{"category": 7, "threshold": 4}],
        "cachedContent": "cachedContents/1",
    }
    rendered = render_request(ask(**{key: value for key, value in body.items() if key != "contents"}), "gemini-2.5-pro", Target(ORIGIN))
    assert (rendered.body, rendered.dropped) == (body, ())


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("named", "tide"), {"mode": "ANY", "allowedFunctionNames": ["tide"]}),
        (ToolChoice("required", allowed=("tide",)), {"mode": "ANY", "allowedFunctionNames": ["tide"]}),
        (ToolChoice("auto", allowed=("tide",)), {"mode": "VALIDATED", "allowedFunctionNames": ["tide"]}),
        (None, None),
    ],
)
def test_tool_choice(choice: ToolChoice | None, config: dict[str, Any] | None) -> None:
    body, _ = render(tools=(TIDE,), tool_choice=choice)
    assert body.get("toolConfig", {}).get("functionCallingConfig") == config


def test_a_forced_tool_that_cannot_be_offered_is_refused() -> None:
    with pytest.raises(GatewayError, match="cannot be offered"):
        render(tools=(TIDE,), tool_choice=ToolChoice("named", "gone"))
    body, _ = render(tool_choice=ToolChoice("required"))
    assert "toolConfig" not in body


def test_schemas_verbatim_or_reduced() -> None:
    # C-11
    output = OutputFormat("json_schema", "answer", SCHEMA)
    body, _ = render(tools=(TIDE,), features="reduced_schema json_with_tools", output=output)
    reduced = {"type": "OBJECT", "properties": {"harbour": {"type": "STRING", "description": "(minLength: 1)"}}}
    assert body["tools"][0]["functionDeclarations"][0]["parameters"] == reduced
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": reduced}
    body, _ = render(output=output)
    assert body["generationConfig"] == {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    empty = Tool("function", "now", None, {"type": "object", "properties": {}})
    assert render(tools=(empty,), features="reduced_schema")[0]["tools"] == [{"functionDeclarations": [{"name": "now"}]}]
    assert render(output=OutputFormat("json_object"))[0]["generationConfig"] == {"responseMimeType": "application/json"}
    assert "generationConfig" not in render(output=OutputFormat("text"))[0]


def test_json_beside_functions_becomes_an_instruction_before_gemini_3() -> None:
    output = OutputFormat("json_schema", None, SCHEMA)
    body, dropped = render(tools=(TIDE,), output=output)
    assert "generationConfig" not in body
    assert '"harbour"' in body["systemInstruction"]["parts"][0]["text"]
    assert dropped == ("response_format (as an instruction)",)
    body, dropped = render("gemini-3-flash", tools=(TIDE,), output=output)
    assert (body["generationConfig"]["responseJsonSchema"], dropped) == (SCHEMA, ())


def test_free_text_tools_and_names_the_api_refuses() -> None:
    custom = Tool("custom", "7patch", "Edits.", format={"type": "grammar", "definition": "start: x"})
    body, _ = render(tools=(custom,))
    (function,) = body["tools"][0]["functionDeclarations"]
    assert function["name"].startswith("_7patch_")
    assert function["parametersJsonSchema"]["required"] == ["input"]
    assert "start: x" in function["description"]


def test_what_has_no_place_is_named() -> None:
    body, dropped = render(
        features="no_penalties no_logprobs",
        sampling=Sampling(min_p=0.1, presence_penalty=1, logprobs=True, n=2, seed=1),
        stop=tuple("abcdef"),
        verbosity="low",
        service_tier="flex",
        cache_key="k",
        metadata={"a": "b"},
        thinking=Thinking(effort="strange"),
        extra={"store": True},
    )
    assert body["generationConfig"] == {
        "seed": 1,
        "candidateCount": 2,
        "stopSequences": list("abcde"),
        "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True},
    }
    assert dropped == (
        "min_p", "presence_penalty", "logprobs", "stop (all but the first 5)", "reasoning effort strange", "verbosity", "service_tier",
        "prompt_cache_key", "metadata", "store",
    )  # fmt: skip


def test_the_same_request_gives_the_same_bytes() -> None:
    def once() -> bytes:
        return dumps(render("gemini-3-flash", tools=(TIDE,), output=OutputFormat("json_schema", schema=SCHEMA), wire=NAME)[0])

    assert once() == once()
