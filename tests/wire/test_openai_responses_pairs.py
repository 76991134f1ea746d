"""The same conversation in this format and the others: requests, answers, Codex and the proofs that travel."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Message,
    Origin,
    Part,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    fold,
)
from omni_connector.wire import anthropic_messages, openai_chat, views
from omni_connector.wire import openai_responses as wire
from tests.wire.openai_responses_reading import NAMES, ORIGIN, check_stream, parse, tell, transcript

CLAUDE = Origin("anthropic", "claude")

_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
_name = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
_arguments = st.dictionaries(_text, st.integers(-(2**53), 2**53) | _text, max_size=3).map(lambda value: views.encode(value).decode())


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """What all formats can say: instructions, words, calls and their results."""
    messages = [Message("system", (TextPart(draw(_text)),))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(1, 3))):
        messages.append(Message("user", (TextPart(draw(_text)),)))
        words: list[Part] = [TextPart(draw(_text))] if draw(st.booleans()) else []
        calls = [ToolCallPart(f"call_{turn}_{n}", draw(_name), draw(_arguments)) for n in range(draw(st.integers(0 if words else 1, 2)))]
        messages.append(Message("assistant", (*words, *calls)))
        messages += [Message("tool", (ToolResultPart(call.id, (TextPart(draw(_text)),)),)) for call in calls]
    return (*messages, Message("user", (TextPart(draw(_text)),)))


def said(messages: Iterable[Message]) -> list[Any]:
    """A conversation without its turns: who said, called or answered what, in order."""
    out: list[Any] = []
    for message in messages:
        for part in message.parts:
            match part:
                case TextPart(text):
                    out.append((message.role, text))
                case ToolCallPart():
                    out.append(("call", part.id, part.name, json.loads(part.arguments)))
                case ToolResultPart():
                    out.append(("result", part.call_id, "".join(piece.text for piece in part.parts if isinstance(piece, TextPart))))
                case _:
                    raise AssertionError(part)
    return out


OTHERS = pytest.mark.parametrize("other", [openai_chat, anthropic_messages], ids=lambda module: module.NAME)


@OTHERS
@settings(deadline=None, max_examples=60)
@given(conversations())
def test_a_conversation_is_the_same_in_every_format(other: ModuleType, messages: tuple[Message, ...]) -> None:
    here = wire.render_request(ChatRequest(other.NAME, "m", messages), "m", Target(ORIGIN))
    assert here.dropped == ()
    assert said(wire.parse_request(json.loads(json.dumps(here.body))).messages) == said(messages)
    # And from here into the other format.
    asked = wire.parse_request(here.body)
    there = other.render_request(asked, "m", Target(CLAUDE, frozenset({"developer_role"})))
    assert [name for name in there.dropped if name != "store"] == []
    assert said(other.parse_request(json.loads(json.dumps(there.body))).messages) == said(messages)


CODEX_TOOLS = [
    {
        "type": "namespace",
        "name": "functions",
        "tools": [{"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}}],
    },
    {"type": "namespace", "name": "hub", "tools": [{"type": "function", "name": "find", "parameters": {"type": "object"}}]},
]
CODEX = {
    "model": "gpt-6.1-sol",
    "stream": True,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "input": [
        {"type": "additional_tools", "role": "developer", "tools": CODEX_TOOLS},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
        {"type": "custom_tool_call", "call_id": "c0", "name": "exec", "input": "pwd"},
        {"type": "custom_tool_call_output", "call_id": "c0", "output": [{"type": "input_text", "text": "/tmp"}]},
    ],
}


def test_codex_gets_its_free_text_calls_from_a_chat_provider() -> None:  # clients.md, finding 6
    asked = wire.parse_request(CODEX)
    sent = openai_chat.render_request(asked, "m", Target(Origin("groq", "llama")))
    assert [tool["function"]["name"] for tool in sent.body["tools"]] == ["exec", "hub__find"]
    assert sent.body["messages"][1]["tool_calls"][0]["function"] == {"name": "exec", "arguments": '{"input": "pwd"}'}
    assert sent.body["messages"][2]["content"] == "/tmp"
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "exec", "arguments": '{"input": "ls -l"}'}},
        {"id": "c2", "type": "function", "function": {"name": "hub__find", "arguments": "{}"}},
    ]
    answer = {"id": "x", "choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}
    _check_codex(asked, openai_chat.ResponseParser(Origin("groq", "llama"), asked).whole(answer))


def test_codex_gets_them_from_an_anthropic_provider_with_its_signature() -> None:
    asked = wire.parse_request(CODEX)
    sent = anthropic_messages.render_request(asked, "claude", Target(CLAUDE))
    assert [tool["name"] for tool in sent.body["tools"]] == ["exec", "hub__find"]
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "tool_use", "id": "c1", "name": "exec", "input": {"input": "ls -l"}},
        {"type": "tool_use", "id": "c2", "name": "hub__find", "input": {}},
    ]
    answer = {
        "id": "msg_1",
        "model": "claude",
        "content": content,
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    output = _check_codex(asked, anthropic_messages.ResponseParser(CLAUDE, asked).whole(answer))
    # Codex replays what it got; the signature returns to its minter and to nobody else.
    results = [{"type": "function_call_output", "call_id": "c2", "output": "x"}]
    replay = {**CODEX, "input": [*CODEX["input"], *output, {**results[0], "type": "custom_tool_call_output", "call_id": "c1"}, *results]}  # type: ignore[misc]
    body = json.dumps(replay).encode()
    assert b'"omni1.' in body
    again = wire.parse_request(json.loads(body))
    turns = anthropic_messages.render_request(again, "claude", Target(CLAUDE)).body["messages"]
    assert turns[-2]["content"][0] == {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    items = wire.render_request(again, "gpt-5.5", Target(ORIGIN))
    assert not [item for item in items.body["input"] if item["type"] == "reasoning"]
    assert items.dropped == ("messages[].reasoning",)


def _check_codex(asked: ChatRequest, events: list[Any]) -> list[dict[str, Any]]:
    output: list[dict[str, Any]] = check_stream(tell(events, asked, CLAUDE))["output"]
    calls = [item for item in output if item["type"] != "reasoning"]
    assert [(item["type"], item["name"], item["namespace"]) for item in calls] == [
        ("custom_tool_call", "exec", "functions"),
        ("function_call", "find", "hub"),
    ]
    assert calls[0]["input"] == "ls -l"
    return output


@OTHERS
def test_encrypted_thoughts_return_through_clients_of_other_formats(other: ModuleType) -> None:  # law 1
    body = json.loads(transcript("proper").split(b"data: ")[-1])["response"]
    found = fold(wire.ResponseParser(ORIGIN).whole(body))
    asked = ChatRequest(other.NAME, "m", (Message("user", (TextPart("Hi"),)),))
    told = other.render_response(found, "m", asked)
    message = told["choices"][0]["message"] if other is openai_chat else {"role": "assistant", "content": told["content"]}
    replay = {"max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}, message, {"role": "user", "content": "So?"}]}
    again = other.parse_request(json.loads(json.dumps(replay)))
    items = wire.render_request(again, "gpt-5.5", Target(ORIGIN)).body["input"]
    (thought,) = [item for item in items if item["type"] == "reasoning"]
    assert (thought["id"], thought["encrypted_content"]) == ("rs_0a2", "gAAAAABfinal")
    elsewhere = wire.render_request(again, "gpt-5", Target(Origin("openai", "gpt-5"))).body["input"]
    assert not [item for item in elsewhere if item["type"] == "reasoning"]


@pytest.mark.parametrize("name", NAMES)
@OTHERS
def test_answers_told_to_other_clients(other: ModuleType, name: str) -> None:
    events = parse([transcript(name)])
    asked = other.parse_request({"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stream": True})
    renderer = other.ResponseRenderer("m", asked)
    data = b"".join(renderer.feed(event) for event in events)
    parser = other.ResponseParser(ORIGIN)
    again = fold([*parser.feed(data), *parser.close()])
    first = fold(events)

    def words(response: ChatResponse) -> str:
        return "".join(part.text for part in response.choices[0].parts if isinstance(part, TextPart | RefusalPart))

    assert words(again) == words(first)
    calls = [part.id for part in first.choices[0].parts if isinstance(part, ToolCallPart)]
    assert [part.id for part in again.choices[0].parts if isinstance(part, ToolCallPart)] == calls
    assert again.choices[0].finish is first.choices[0].finish
