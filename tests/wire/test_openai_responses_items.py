"""The flat list of items → turns."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import (
    ForeignPart,
    MediaPart,
    Message,
    Opaque,
    Origin,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    seal,
)
from omni_connector.errors import GatewayError
from omni_connector.wire.openai_responses_items import parse_items
from omni_connector.wire.openai_responses_tools import Tools
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, NAME, seal_for_call

CLAUDE = Origin("anthropic", "claude")


def items(*values: Any, instructions: str | None = None, tools: Tools | None = None) -> tuple[Message, ...]:
    return parse_items(list(values), instructions, tools or Tools())


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text, **fields}


def words(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), **fields}


def call(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}", **fields}


def output(call_id: str, value: Any = "ok", kind: str = "function_call_output", **fields: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": call_id, "output": value, **fields}


def said(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text}


def test_a_string_is_the_users_message() -> None:
    assert parse_items("Hi", "Be brief.", Tools()) == (Message("system", (TextPart("Be brief."),)), Message("user", (TextPart("Hi"),)))


def test_messages_with_and_without_type() -> None:
    found = items({"role": "user", "content": "a"}, user("b", id="msg_1", status="completed"), {"role": "developer", "content": "c"})
    assert found == (
        Message("user", (TextPart("a"),)),
        Message("user", (TextPart("b"),), extra={ITEM: {"id": "msg_1", "status": "completed"}}),
        Message("developer", (TextPart("c"),)),
    )


def test_instructions_and_a_leading_system_item_are_told_apart() -> None:
    system = {"role": "system", "content": "x"}
    assert items(system) == (Message("system", (TextPart("x"),), extra={ITEM: {}}),)
    assert items(system, instructions="x") == (Message("system", (TextPart("x"),)),) * 2


def test_what_the_assistant_did_in_a_row_is_one_message() -> None:
    found = items(
        user("x"),
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "gAAA"},
        words(said("Let me "), said("look."), id="msg_1", phase="commentary"),
        words({"type": "refusal", "refusal": "No."}),
        call("c1", id="fc_1", status="completed"),
        call("c2"),
        output("c1"),
        output("c2", [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://a.example/x.png"}]),
        words(said("Done.")),
    )
    assert [message.role for message in found] == ["user", "assistant", "tool", "tool", "assistant"]
    assert found[1].parts == (
        ReasoningPart("Hm.", (Opaque(ENCRYPTED, "rs_1 gAAA"),), {ITEM: {"id": "rs_1"}}),
        TextPart("Let me ", extra={ITEM: {"id": "msg_1", "phase": "commentary"}}),
        TextPart("look."),
        RefusalPart("No.", {ITEM: {}}),
        ToolCallPart("c1", "f", "{}", extra={ITEM: {"id": "fc_1", "status": "completed"}}),
        ToolCallPart("c2", "f", "{}"),
    )
    assert found[3].parts == (ToolResultPart("c2", (TextPart("a"), MediaPart("image", url="https://a.example/x.png"))),)
    assert found[4].parts == (TextPart("Done."),)


def test_thoughts_of_several_parts() -> None:
    summary = [{"type": "summary_text", "text": text} for text in ("One.", "Two.")]
    content = [{"type": "reasoning_text", "text": "Raw."}]
    (message,) = items(
        {"type": "reasoning", "summary": summary},
        {"type": "reasoning", "summary": [], "content": content},
        {"type": "reasoning", "summary": summary, "content": content},
        {"type": "reasoning", "id": "rs_4", "summary": [], "content": None},
    )
    assert message.parts == (
        ReasoningPart("One.\n\nTwo.", extra={ITEM: {"summary": ["One.", "Two."]}}),
        ReasoningPart("Raw.", extra={ITEM: {"content": ["Raw."]}}),
        ReasoningPart("Raw.", extra={ITEM: {"content": ["Raw."], "summary": ["One.", "Two."]}}),
        ReasoningPart("", extra={ITEM: {"id": "rs_4"}}),
    )


def test_sealed_values_are_opened() -> None:  # law 1
    signature = Opaque("anthropic.signature", "c2ln", CLAUDE)
    gemini = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))
    (message,) = items(
        {"type": "reasoning", "id": "rs_x", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": seal(signature)},
        call("c1"),
        {"type": "reasoning", "summary": [], "encrypted_content": seal_for_call("c1", [gemini])},
    )
    assert message.parts == (
        ReasoningPart("Hm.", (signature,), {ITEM: {"id": "rs_x"}}),
        ToolCallPart("c1", "f", "{}", opaque=(gemini,)),
    )


def test_free_text_calls_and_their_outputs() -> None:
    found = items(
        {"type": "custom_tool_call", "call_id": "c1", "name": "exec", "input": "ls\n"},
        output("c1", [{"type": "input_text", "text": "a"}], "custom_tool_call_output"),
    )
    assert found[0].parts == (ToolCallPart("c1", "exec", "ls\n", custom=True),)
    assert found[1].parts == (ToolResultPart("c1", (TextPart("a"),)),)
    # Its call is elsewhere (previous_response_id), so the item itself tells what it is.
    (alone,) = items(output("c9", "a", "custom_tool_call_output"))
    assert alone.parts == (ToolResultPart("c9", (TextPart("a"),), extra={ITEM: {"type": "custom_tool_call_output"}}),)


def test_calls_find_their_tool_by_namespace() -> None:
    tools = Tools()
    tools.declare([{"type": "namespace", "name": "hub", "tools": [{"type": "function", "name": "f"}]}])
    (message,) = items(call("c1", namespace="hub"), call("c2"), tools=tools)
    first, second = message.parts
    assert isinstance(first, ToolCallPart)
    assert isinstance(second, ToolCallPart)
    assert (first.name, first.extra) == ("hub__f", {ITEM: {"namespace": "hub", "name": "f"}})
    assert (second.name, second.extra) == ("hub__f", {ITEM: {"name": "f"}})


def test_tools_among_the_items() -> None:
    tools = Tools()
    item = {"type": "additional_tools", "role": "developer", "tools": [{"type": "custom", "name": "exec"}]}
    found = items(item, user("x"), tools=tools)
    assert found == (Message("user", (TextPart("x"),)),)
    assert [tool.name for tool in tools.found] == ["exec"]


@pytest.mark.parametrize("kind", ["web_search_call", "image_generation_call", "item_reference", "compaction", "mcp_call", "brand_new"])
def test_items_of_the_provider_are_kept_whole(kind: str) -> None:
    item = {"type": kind, "id": "x_1", "more": [1]}
    assert items(item) == (Message("assistant", (ForeignPart(NAME, item),)),)


@pytest.mark.parametrize("kind", ["local_shell_call_output", "mcp_approval_response", "computer_call_output", "apply_patch_call_output"])
def test_answers_of_the_client_to_them_too(kind: str) -> None:
    item = {"type": kind, "call_id": "x_1"}
    assert items(item) == (Message("tool", (ForeignPart(NAME, item),)),)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), ({"a": 1}, '{"a":1}'), ([1, 2], "[1,2]"), (7, "7"), (True, "true")],
)
def test_odd_outputs_become_text(value: Any, text: str) -> None:
    (message,) = items(output("c1", value))
    (result,) = message.parts
    assert isinstance(result, ToolResultPart)
    assert "".join(part.text for part in result.parts if isinstance(part, TextPart)) == text


def test_arguments_as_an_object_become_their_text() -> None:
    (message,) = items(call("c1", arguments={"a": 1}))
    assert message.parts == (ToolCallPart("c1", "f", '{"a":1}'),)


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (3, "input[0]"),
        ({}, "input[0].type"),
        ({"type": "message"}, "input[0].role"),
        ({"role": "tool", "content": "x"}, "input[0].role"),
        ({"role": "user"}, "input[0].content"),
        ({"role": "user", "content": [{"type": "input_image"}]}, "input[0].content[0].image_url"),
        ({"type": "function_call", "call_id": "c"}, "input[0].name"),
        ({"type": "function_call_output", "output": "x"}, "input[0].call_id"),
        ({"type": "reasoning", "summary": "x"}, "input[0].summary"),
        ({"type": "additional_tools", "tools": [{}]}, "input[0].tools[0].name"),
    ],
)
def test_wrong_items_are_named(value: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        items(value)
    assert caught.value.param == param


def test_input_of_another_type_is_named() -> None:
    with pytest.raises(GatewayError) as caught:
        parse_items(3, None, Tools())
    assert caught.value.param == "input"
