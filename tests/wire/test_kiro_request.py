"""Requests as Kiro takes them: the strict reader of the mock takes whatever any conversation becomes. P-22"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from omni_connector.chat import ChatRequest, Message, Origin, OutputFormat, Sampling, Target, TextPart, Thinking, Tool, ToolChoice
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.kiro import render_request
from tests.kiro_server import ARN, check
from tests.wire import arbitrary

MODEL = "claude-sonnet-4.5"
ORIGIN = Origin("kiro", MODEL)
FEATURES = frozenset({"reduced_schema", "thinking_tags"})
HI = Message("user", (TextPart("Hi"),))
SYSTEM = Message("system", (TextPart("Be brief."),))
F = Tool("function", "f", "does", {"type": "object", "properties": {}})


def rendered(*messages: Message, features: frozenset[str] = FEATURES, project: str = "", **more: Any) -> tuple[dict[str, Any], list[str]]:
    found = render_request(ChatRequest("openai-chat", "m", messages or (HI,), **more), MODEL, Target(ORIGIN, features, project=project))
    check(found.body)
    return found.body, list(found.dropped)


def test_the_smallest() -> None:
    body, dropped = rendered(SYSTEM, HI, project=ARN)
    state = body["conversationState"]
    assert (state["chatTriggerType"], state["agentTaskType"], state["history"]) == ("MANUAL", "vibe", [])
    assert state["currentMessage"] == {"userInputMessage": {"content": "Be brief.\n\nHi", "modelId": MODEL, "origin": "AI_EDITOR"}}
    assert body["profileArn"] == ARN and "inferenceConfig" not in body and not dropped
    assert "profileArn" not in rendered()[0]


def test_settings() -> None:
    body, dropped = rendered(max_tokens=100, sampling=Sampling(temperature=0.5, top_p=0.9, n=1), stop=("END",), user="me", extra={"x": 1})
    assert body["inferenceConfig"] == {"maxTokens": 100, "temperature": 0.5} and dropped == ["top_p", "stop", "user", "x"]
    assert "inferenceConfig" not in rendered()[0]
    with pytest.raises(GatewayError) as caught:
        rendered(sampling=Sampling(n=2))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "n")


def test_a_conversation_has_one_name() -> None:
    first, _ = rendered(SYSTEM, HI)
    later, _ = rendered(SYSTEM, HI, Message("assistant", (TextPart("Hello"),)), Message("user", (TextPart("And?"),)))
    other, _ = rendered(HI)
    names = [body["conversationState"]["conversationId"] for body in (first, later, other)]
    assert names[0] == names[1] != names[2]
    assert "Be brief." in later["conversationState"]["history"][0]["userInputMessage"]["content"]
    assert "Be brief." not in json.dumps(later["conversationState"]["currentMessage"])


def test_thoughts_are_asked_for_in_words() -> None:
    for thinking, tokens in (
        (Thinking(True, "high"), 24_576),
        (Thinking(True, budget=2000), 2000),
        (Thinking(adaptive=True), 8192),
        (Thinking(effort="minimal"), 512),
    ):
        body, dropped = rendered(SYSTEM, HI, thinking=thinking)
        content = body["conversationState"]["currentMessage"]["userInputMessage"]["content"]
        assert content.startswith("<thinking_mode>enabled</thinking_mode>") and f">{tokens}<" in content and not dropped
        assert rendered(HI, thinking=thinking, features=frozenset())[1] == ["thinking"]
    for thinking in (Thinking(False), Thinking(effort="none"), Thinking(True, budget=0)):
        body, dropped = rendered(thinking=thinking)
        assert body["conversationState"]["currentMessage"]["userInputMessage"]["content"] == "Hi" and not dropped


def test_json_is_asked_for_in_words() -> None:
    body, dropped = rendered(output=OutputFormat("json_schema", "n", {"type": "object"}))
    assert '{"type":"object"}' in json.dumps(body).replace('\\"', '"') and dropped == ["response_format (as an instruction)"]
    assert rendered(output=OutputFormat("json_object"))[1] == dropped and not rendered(output=OutputFormat("text"))[1]


def test_tools_stand_in_the_last_message() -> None:
    body, _ = rendered(SYSTEM, HI, tools=(F, replace(F, name="g", description="x" * 20_000)))
    message = body["conversationState"]["currentMessage"]["userInputMessage"]
    assert [tool["toolSpecification"]["name"] for tool in message["userInputMessageContext"]["tools"]] == ["f", "g"]
    assert message["content"].endswith("Hi") and "The tool `g`:\n" + "x" * 20_000 in message["content"]
    assert "userInputMessageContext" not in rendered(tools=(F,), tool_choice=ToolChoice("none"))[0]["conversationState"]["currentMessage"]


def test_the_other_quota() -> None:
    body, _ = rendered(HI, Message("assistant", (TextPart("a"),)), HI, features=frozenset({"cli_origin"}))
    state = body["conversationState"]
    said = [turn["userInputMessage"]["origin"] for turn in (*state["history"], state["currentMessage"]) if "userInputMessage" in turn]
    assert said == ["CLI", "CLI"]


def test_what_is_nested_too_deeply() -> None:
    schema: Any = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(GatewayError, match="nested"):
        rendered(tools=(Tool("function", "f", "d", schema),))


@settings(max_examples=40)
@given(arbitrary.requests())
def test_whatever_is_asked_is_taken(request: ChatRequest) -> None:
    found = render_request(request, MODEL, Target(ORIGIN, FEATURES))
    check(json.loads(json.dumps(found.body)))
    assert all(isinstance(name, str) and name for name in found.dropped)
