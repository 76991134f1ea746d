"""Canonical messages → items, for requests of this format and of others."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
    Json,
    MediaPart,
    Message,
    Opaque,
    Origin,
    Part,
    ReasoningPart,
    RefusalPart,
    Target,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import GatewayError
from omni_connector.wire.openai_responses_history import History
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, NAME

ORIGIN = Origin("openai", "gpt-5.5")


def rendered(
    *messages: Message, wire: str = "openai-chat", features: str = "", placed: Any = None
) -> tuple[str | None, list[Json], list[str]]:
    dropped: dict[str, None] = {}
    target = Target(ORIGIN, frozenset(features.split()))
    history = History(ChatRequest(wire, "m", messages), target, dropped, placed or {})
    items = history.render()
    return history.instructions, items, list(dropped)


def say(role: Any, *parts: Part, **fields: Any) -> Message:
    return Message(role, parts, **fields)


HI = say("user", TextPart("Hi"))
HI_ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}


def assistant(*parts: Part, wire: str = "openai-chat", features: str = "") -> tuple[list[Json], list[str]]:
    _, items, dropped = rendered(HI, say("assistant", *parts), wire=wire, features=features)
    return items[1:], dropped


def test_leading_system_messages_become_instructions() -> None:
    system = say("system", TextPart("One."), TextPart("Two.", {"type": "ephemeral"}))
    instructions, items, dropped = rendered(system, say("system", TextPart("Three.")), HI, say("system", TextPart("Late.")))
    assert instructions == "One.\n\nTwo.\n\nThree."
    assert items == [HI_ITEM, {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Late."}]}]
    assert dropped == ["cache_control"]


def test_a_developers_message_stays_one() -> None:
    instructions, items, _ = rendered(say("developer", TextPart("One.")), HI)
    assert instructions is None
    assert [item["role"] for item in items] == ["developer", "user"]


def test_instructions_alone_are_what_is_asked() -> None:
    assert rendered(say("system", TextPart("One.")))[:2] == (
        None,
        [{"type": "message", "role": "system", "content": [{"type": "input_text", "text": "One."}]}],
    )


def test_the_own_formats_instructions_stay_apart_from_system_items() -> None:
    marked = say("system", TextPart("Item."), extra={ITEM: {"id": "msg_1"}})
    assert rendered(say("system", TextPart("One.")), marked, HI, wire=NAME)[0] == "One."
    instructions, items, _ = rendered(marked, HI, wire=NAME)
    assert instructions is None
    assert items[0] == {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Item."}], "id": "msg_1"}
    assert rendered(marked, HI, wire=NAME, features="codex_backend")[1][0]["role"] == "developer"


def test_an_assistants_turn_keeps_its_order() -> None:
    items, dropped = assistant(
        TextPart("a"), TextPart("b"), ToolCallPart("c1", "f", ""), RefusalPart("No."), ToolCallPart("c2", "exec", "ls", custom=True)
    )
    assert items == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "custom_tool_call", "call_id": "c2", "name": "exec", "input": "ls"},
    ]
    assert dropped == []


def test_the_own_formats_items_come_back_as_they_were() -> None:
    items, dropped = assistant(
        ReasoningPart("One.\n\nTwo.", (Opaque(ENCRYPTED, "rs_1 gAAA"),), {ITEM: {"id": "rs_1", "summary": ["One.", "Two."]}}),
        TextPart("a", extra={ITEM: {"id": "msg_1", "status": "completed"}}),
        RefusalPart("No.", {ITEM: {"id": "msg_2"}}),
        ToolCallPart("c1", "hub__f", "{}", extra={ITEM: {"id": "fc_1", "namespace": "hub", "name": "f"}}),
        ForeignPart(NAME, {"type": "web_search_call", "id": "ws_1"}),
        wire=NAME,
    )
    summary = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
    assert items == [
        {"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}], "id": "msg_1", "status": "completed"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "id": "msg_2"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1", "namespace": "hub"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    assert dropped == []
    flat, _ = assistant(
        ToolCallPart("c", "hub__f", "{}", extra={ITEM: {"namespace": "hub", "name": "f"}}), wire=NAME, features="flat_tools"
    )
    assert flat == [{"type": "function_call", "call_id": "c", "name": "hub__f", "arguments": "{}"}]


MINE = Opaque(ENCRYPTED, "rs_1 gAAA", ORIGIN)


@pytest.mark.parametrize(
    ("part", "wire", "kept"),
    [
        (ReasoningPart("Hm.", (MINE,)), "openai-chat", True),
        (ReasoningPart("Hm.", (MINE,)), NAME, True),
        (ReasoningPart("Hm.", (Opaque(ENCRYPTED, "rs_1 gAAA"),)), NAME, True),
        (ReasoningPart("Hm.", (Opaque(ENCRYPTED, "rs_1 gAAA"),)), "openai-chat", False),
        (ReasoningPart("Hm.", (Opaque(ENCRYPTED, "rs_1 gAAA", Origin("openai", "gpt-5")),)), NAME, False),
        (ReasoningPart("Hm.", (Opaque("anthropic.signature", "c2ln", ORIGIN),)), NAME, False),
        (ReasoningPart("Hm.", (Opaque("none", "", ORIGIN),)), NAME, False),
        (ReasoningPart("Hm."), "openai-chat", False),
    ],
)
def test_thoughts_go_only_to_their_minter(part: ReasoningPart, wire: str, kept: bool) -> None:  # law 1
    items, dropped = assistant(part, ToolCallPart("c", "f", "{}"), wire=wire)
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm."}],
        "encrypted_content": "gAAA",
    }
    assert [item for item in items if item["type"] == "reasoning"] == ([thought] if kept else [])
    assert dropped == ([] if kept else ["messages[].reasoning"])


def test_the_clients_own_word_about_its_thoughts() -> None:
    items, dropped = assistant(ReasoningPart("Raw.", extra={ITEM: {"id": "rs_1", "content": ["Raw."], "summary": ["S."]}}), wire=NAME)
    assert items == [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "S."}],
            "content": [{"type": "reasoning_text", "text": "Raw."}],
            "id": "rs_1",
        }
    ]
    assert dropped == []


def test_thoughts_that_nothing_follows_go() -> None:
    items, dropped = assistant(TextPart("a"), ReasoningPart("Hm.", (MINE,)))
    assert [item["type"] for item in items] == ["message"]
    assert dropped == ["messages[].reasoning"]


def test_tool_results_come_first() -> None:
    image = MediaPart("image", "image/png", "AAAA")
    turn = say(
        "user", TextPart("And?"), ToolResultPart("c1", (TextPart("ok"),), is_error=True), ToolResultPart("c2", (image, TextPart("x")))
    )
    _, items, dropped = rendered(HI, say("assistant", ToolCallPart("c1", "exec", "ls", custom=True)), turn)
    assert items[2:] == [
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "ok"},
        {
            "type": "function_call_output",
            "call_id": "c2",
            "output": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, {"type": "input_text", "text": "x"}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "And?"}]},
    ]
    assert dropped == ["messages[].is_error"]


def test_a_tools_picture_is_left_out_where_nobody_sees_it() -> None:
    result = say("tool", ToolResultPart("c1", (MediaPart("image", "image/png", "AAAA"),)))
    _, items, dropped = rendered(HI, result, features="no_vision")
    assert items[1]["output"] == "[image left out: this model cannot see it]"
    assert dropped == ["messages[].tool_result.image"]
    with pytest.raises(GatewayError, match="do not see images"):
        rendered(say("user", MediaPart("image", url="https://a.example/x.png")), features="no_vision")


def test_without_free_text_tools_their_calls_are_functions() -> None:
    _, items, _ = rendered(
        HI, say("assistant", ToolCallPart("c", "exec", "ls", custom=True)), say("tool", ToolResultPart("c", ())), features="no_custom_tools"
    )
    assert items[1:] == [
        {"type": "function_call", "call_id": "c", "name": "exec", "arguments": '{"input": "ls"}'},
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]


@pytest.mark.parametrize(
    ("part", "piece"),
    [
        (MediaPart("image", url="https://a.example/x.png", detail="low"), {"image_url": "https://a.example/x.png", "detail": "low"}),
        (MediaPart("image", data="/9j/AA"), {"image_url": "data:image/jpeg;base64,/9j/AA"}),
        (
            MediaPart("document", "application/pdf", "JVBE"),
            {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        ),
        (MediaPart("document", url="https://a.example/x", name="x.pdf"), {"file_url": "https://a.example/x", "filename": "x.pdf"}),
        (MediaPart("document", text="Words.", name="w"), {"text": '<document name="w">\nWords.\n</document>'}),
        (MediaPart("audio", "audio/mpeg", "AA"), {"input_audio": {"data": "AA", "format": "mp3"}}),
    ],
)
def test_media(part: MediaPart, piece: Json) -> None:
    _, ((item),), dropped = rendered(say("user", part))
    (content,) = item["content"]
    assert {key: value for key, value in content.items() if key != "type"} == piece
    assert dropped == []


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (MediaPart("image", file_id="file-1"), "another provider's account"),
        (MediaPart("audio", url="https://a.example/x"), "audio by URL"),
        (ForeignPart("anthropic-messages", {"type": "search_result", "content": []}), "search_result"),
        (ToolCallPart("c", "f", "{}"), "cannot stand"),
    ],
)
def test_what_cannot_be_said_is_refused(part: Part, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        rendered(say("user", part))
    assert caught.value.param == "messages[0].content[0]"


def test_an_own_file_goes_back_by_its_id() -> None:
    _, items, _ = rendered(say("user", MediaPart("document", file_id="file-1", extra={"odd": 1})), wire=NAME)
    assert items[0]["content"] == [{"type": "input_file", "file_id": "file-1", "odd": 1}]


def test_what_another_formats_provider_ran_is_left_out() -> None:
    items, dropped = assistant(
        ForeignPart("anthropic-messages", {"type": "server_tool_use"}),
        MediaPart("image", url="https://a.example/x.png"),
        TextPart("a", citations=({"type": "char_location"},), extra={"odd": 1}),
        ToolCallPart("c", "f", "{}", opaque=(Opaque("gemini.signature", "x", ORIGIN),), cache={"type": "ephemeral"}),
    )
    assert [item["type"] for item in items] == ["message", "function_call"]
    assert dropped == [
        "server_tool_use",
        "image of the assistant",
        "messages[].citations",
        "messages[].content[].odd",
        "messages[].tool_calls[].signature",
        "cache_control",
    ]


def test_cache_markers_go_where_they_are_known() -> None:
    marked = say("user", TextPart("Hi", {"type": "ephemeral", "ttl": "1h"}))
    assert rendered(marked)[2] == ["cache_control"]
    mark = {"mode": "explicit", "ttl": "12h"}
    for wire, features in ((NAME, ""), ("openai-chat", "cache_breakpoints")):
        _, items, dropped = rendered(marked, wire=wire, features=features)
        assert (items[0]["content"][0]["prompt_cache_breakpoint"], dropped) == (mark, [])


def test_items_stand_where_they_stood() -> None:
    tools = [{"type": "additional_tools"}]
    _, items, _ = rendered(HI, HI, wire=NAME, placed={0: tools, 1: tools, 2: tools})
    assert [item["type"] for item in items] == ["additional_tools", "message", "additional_tools", "message", "additional_tools"]


def test_unknown_content_parts_go_back() -> None:
    part = ForeignPart(NAME, {"type": "new", "content_part": {"type": "new", "x": 1}})
    assert rendered(say("user", part), wire=NAME)[1][0]["content"] == [{"type": "new", "x": 1}]
    assert assistant(TextPart("a"), part, wire=NAME)[0][0]["content"][1] == {"type": "new", "x": 1}


def test_names_and_unknown_fields_of_others_are_named() -> None:
    _, items, dropped = rendered(say("user", TextPart("Hi"), name="Ann", extra={"odd": 1}), say("assistant", TextPart("a"), extra={"x": 1}))
    assert items[0] == HI_ITEM
    assert dropped == ["messages[].name", "messages[].odd", "messages[].x"]
