"""What Code Assist and Antigravity's variant are sent, read by the strict mock. R-39, R-53, P-18, P-21"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    Message,
    Opaque,
    Origin,
    ReasoningPart,
    Target,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from omni_connector.wire import FORMATS
from omni_connector.wire.code_assist_request import render_request
from omni_connector.wire.gemini_signatures import SIGNATURE
from tests.code_assist_server import PROJECT, SKIP, CodeAssist
from tests.serving import whole

Json = dict[str, Any]
GEMINI, CLAUDE = "gemini-3-flash", "claude-sonnet-4-6"
WORDS = frozenset({"antigravity_envelope", "reduced_schema"})
SCHEMA = {
    "type": "object",
    "properties": {"unit": {"type": "string", "enum": ["C", "F"]}, "where": {"$ref": "#/$defs/place"}},
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string", "default": "Berlin"}}}},
    "required": ["where"],
}
WEATHER = Tool("function", "get_weather", "The weather.", SCHEMA)
PING = Tool("function", "ping", "Anything there?", {"type": "object", "properties": {}})
HI = Message("user", (TextPart("Hi"),))


def plain(model: str = GEMINI, **more: Any) -> Target:
    return Target(Origin("gemini-cli", model), project=PROJECT, **more)


def variant(model: str = GEMINI, *words: str) -> Target:
    return Target(Origin("antigravity", model), WORDS | set(words), project=PROJECT)


def chat(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest("openai-chat", "asked", messages or (HI,), **more)


def taken(body: Json, *, antigravity: bool) -> Json:
    """The body, once the strict reader took it."""
    google = CodeAssist(variant=antigravity, says=[whole({"candidates": []})])
    google._check(body)
    return body


# ---------------------------------------------------------------- Envelopes


def test_the_plain_envelope() -> None:
    body = taken(render_request(chat(), "gemini-3.5-flash", plain()).body, antigravity=False)
    assert list(body) == ["model", "project", "user_prompt_id", "request"]
    assert body["model"] == "gemini-3-flash"
    assert re.fullmatch(r"[0-9a-f-]{36}", body["request"]["session_id"])
    assert body["request"]["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert "project" not in render_request(chat(), GEMINI, replace(plain(), project="")).body


def test_the_variant_s_envelope_says_who_we_are() -> None:
    body = taken(render_request(chat(), GEMINI, variant()).body, antigravity=True)
    assert (body["userAgent"], body["requestType"]) == ("omni-connector", "agent")
    assert re.fullmatch(r"agent-[0-9a-f-]{36}", body["requestId"])
    assert re.fullmatch(r"-\d{1,19}", body["request"]["sessionId"]) and int(body["request"]["sessionId"]) >= -(2**63)
    assert "enabledCreditTypes" not in body, "what is paid for is never asked for by itself"
    assert render_request(chat(), "gemini-3.1-flash-image", variant()).body["requestType"] == "image_gen"


@pytest.mark.parametrize("aim", [plain(), variant()], ids=["plain", "variant"])
def test_a_conversation_keeps_its_session_and_every_request_its_own_id(aim: Target) -> None:
    first = render_request(chat(), GEMINI, aim).body
    later = render_request(chat(HI, Message("assistant", (TextPart("Ho"),)), HI), GEMINI, aim).body
    session = "sessionId" if "sessionId" in first["request"] else "session_id"
    number = "requestId" if "requestId" in first else "user_prompt_id"
    assert first["request"][session] == later["request"][session] and first[number] != later[number]
    other = render_request(chat(Message("user", (TextPart("Else"),))), GEMINI, aim).body
    assert other["request"][session] != first["request"][session]


@pytest.mark.parametrize("aim", [plain(max_output=64), replace(variant(), max_output=64), replace(variant(CLAUDE), max_output=64)])
def test_the_limit_of_an_answer_goes_as_it_is(aim: Target) -> None:
    said = render_request(chat(max_tokens=99_999), aim.origin.model, aim)
    assert said.body["request"]["generationConfig"]["maxOutputTokens"] == 99_999 and said.dropped == ()
    assert "generationConfig" not in render_request(chat(), aim.origin.model, aim).body["request"]
    rendered = render_request(chat(max_tokens=5), GEMINI, variant(GEMINI, "no_max_tokens"))
    assert "generationConfig" not in rendered.body["request"] and rendered.dropped == ("max_tokens",)
    claude = render_request(chat(max_tokens=5), CLAUDE, variant(CLAUDE, "no_max_tokens"))
    assert claude.body["request"]["generationConfig"] == {"maxOutputTokens": 5}


def test_a_gemini_client_s_own_words_but_none_that_are_refused() -> None:
    own = {
        "contents": [{"role": "model", "parts": [{"text": "Ho"}]}, {"role": "user", "parts": [{"text": "Hi"}]}],
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "labels": {"a": "b"},
        "serviceTier": "flex",
    }
    request = FORMATS["gemini-generate"].parse_request(own)
    said = render_request(request, GEMINI, plain())
    assert said.body["request"]["safetySettings"] == own["safetySettings"] and said.body["request"]["labels"] == {"a": "b"}
    assert said.dropped == ("serviceTier",)
    other = render_request(request, GEMINI, variant())
    taken(other.body, antigravity=True)
    assert "safetySettings" in other.dropped and other.body["request"]["contents"][0]["role"] == "user"


# ---------------------------------------------------------------- Tools, thoughts, signatures


def test_tools_in_json_schema_where_it_is_known() -> None:
    body = taken(render_request(chat(tools=(WEATHER,)), GEMINI, plain()).body, antigravity=False)
    assert body["request"]["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == SCHEMA


@pytest.mark.parametrize("model", [GEMINI, CLAUDE])
@pytest.mark.parametrize("choice", [None, ToolChoice("required"), ToolChoice("named", "get_weather"), ToolChoice("none")])
def test_tools_as_the_variant_takes_them(model: str, choice: ToolChoice | None) -> None:
    said = render_request(chat(tools=(WEATHER, PING), tool_choice=choice), model, variant(model))
    inner = taken(said.body, antigravity=True)["request"]
    functions = inner["tools"][0]["functionDeclarations"]
    assert functions[0]["parameters"]["properties"]["where"]["type"] == "OBJECT"
    calling = inner.get("toolConfig", {}).get("functionCallingConfig", {})
    if model == GEMINI:
        assert calling.get("mode") == (None if choice is None else "NONE" if choice.mode == "none" else "ANY")
    else:
        assert calling["mode"] == ("NONE" if choice is not None and choice.mode == "none" else "VALIDATED")
        assert any("tool_choice" in name for name in said.dropped) == (choice is not None and choice.mode != "none")


@pytest.mark.parametrize(
    ("model", "thinking", "limit", "wanted"),
    [
        (GEMINI, Thinking(effort="low"), None, {"thinkingLevel": "LOW", "includeThoughts": True}),
        (CLAUDE, Thinking(effort="medium"), None, {"thinkingBudget": 8192, "includeThoughts": True}),
        (CLAUDE, Thinking(True, budget=5000), 4000, {"thinkingBudget": 3999, "includeThoughts": True}),
        (CLAUDE, Thinking(True, budget=5000), 1024, None),
        (CLAUDE, Thinking(True, adaptive=True), None, {"thinkingBudget": 8192, "includeThoughts": True}),
        (CLAUDE, Thinking(False), None, None),
    ],
)
def test_thinking_of_the_variant(model: str, thinking: Thinking, limit: int | None, wanted: Json | None) -> None:
    body = taken(render_request(chat(thinking=thinking, max_tokens=limit), model, variant(model)).body, antigravity=True)
    assert body["request"].get("generationConfig", {}).get("thinkingConfig") == wanted


@pytest.mark.parametrize("model", [GEMINI, "gemini-pro-agent", CLAUDE])
def test_signatures_go_back_to_the_model_that_made_them_and_to_no_other(model: str) -> None:
    def loop(origin: Origin) -> tuple[Message, ...]:
        proof = (Opaque(SIGNATURE, "c2ln", origin),)
        call = ToolCallPart("call_1", "get_weather", '{"where":{}}', opaque=proof)
        answer = ToolResultPart("call_1", (TextPart("sunny"),))
        return HI, Message("assistant", (ReasoningPart("Hm.", proof), call)), Message("tool", (answer,))

    own = taken(render_request(chat(*loop(Origin("antigravity", model)), tools=(WEATHER,)), model, variant(model)).body, antigravity=True)
    thought, call = own["request"]["contents"][1]["parts"]
    assert thought == {"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"} and call["thoughtSignature"] == "c2ln"
    said = render_request(chat(*loop(Origin("antigravity", "other")), tools=(WEATHER,)), model, variant(model))
    (call,) = taken(said.body, antigravity=True)["request"]["contents"][1]["parts"]
    assert call.get("thoughtSignature") == (None if model == CLAUDE else SKIP)
    assert "thoughts(foreign)" in said.dropped
