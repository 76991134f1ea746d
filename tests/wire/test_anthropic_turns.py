"""Messages → turns: what the API demands of their order, and which opaque values go along."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    ForeignPart,
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
    seal,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.anthropic_turns import Turns
from tests.wire.anthropic_reading import ORIGIN

OTHER = Origin("openai", "gpt-5.5")


def turns(*messages: Message, wire: str = "openai-chat", features: tuple[str, ...] = ()) -> tuple[Turns, tuple[str, ...]]:
    dropped: dict[str, None] = {}
    made = Turns(ChatRequest(wire, "m", messages), Target(ORIGIN, frozenset(features)), dropped)
    return made, tuple(dropped)


def say(role: Any, *parts: Part | str) -> Message:
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def test_one_conversation_in_order() -> None:
    # C-07, C-09, C-12, C-13
    made, dropped = turns(
        say("system", "S1"),
        say("developer", "S2"),
        say("user", "Q"),
        say("assistant", ToolCallPart("call_1", "f", '{"a": 1}'), ToolCallPart("functions.g:1", "g", "patch", custom=True)),
        say("tool", ToolResultPart("call_1", (TextPart("one"),))),
        say("developer", "Hurry."),
        say("tool", ToolResultPart("functions.g:1", (MediaPart("image", data="iVBORw=="),), is_error=True)),
        say("user", "Next", " ", ""),
        say("assistant", RefusalPart("No.")),
    )
    assert made.system == [text("S1"), text("S2")]
    assert made.turns == [
        {"role": "user", "content": [text("Q")]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "omni_ZnVuY3Rpb25zLmc6MQ", "name": "g", "input": {"input": "patch"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [text("one")]},
                {
                    "type": "tool_result",
                    "tool_use_id": "omni_ZnVuY3Rpb25zLmc6MQ",
                    "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}],
                    "is_error": True,
                },
                text("<system>\nHurry.\n</system>"),
                text("Next"),
            ],
        },
        {"role": "assistant", "content": [text("No.")]},
    ]
    assert dropped == ("messages.role=system (as text of a user turn)",)


def test_instructions_in_mid_conversation_stay_where_the_model_knows_them() -> None:
    made, dropped = turns(say("user", "Q"), say("system", "S"), say("user", "Q2"), features=("mid_system",))
    assert [turn["role"] for turn in made.turns] == ["user", "system", "user"]
    assert not dropped
    # Between calls and their results nothing may stand, so there they become text after the results.
    made, _ = turns(
        say("user", "Q"),
        say("assistant", ToolCallPart("c", "f", "{}")),
        say("system", "S"),
        say("tool", ToolResultPart("c", (TextPart("r"),))),
        features=("mid_system",),
    )
    assert [turn["role"] for turn in made.turns] == ["user", "assistant", "user"]
    assert [block["type"] for block in made.turns[2]["content"]] == ["tool_result", "text"]


def test_conversations_that_the_api_would_refuse_are_mended_and_named() -> None:
    made, dropped = turns(say("system", "A"), say("system", "B"))
    assert (made.system, made.turns) == ([text("A")], [{"role": "user", "content": [text("B")]}])
    assert dropped == ("messages.role=system (the last one as user)",)
    made, dropped = turns(say("assistant", "Hello, I am Otto."), say("user", "Hi"))
    assert [turn["role"] for turn in made.turns] == ["user", "assistant", "user"]
    assert dropped == ("messages.0.role=assistant (a user turn was put before it)",)
    with pytest.raises(GatewayError) as caught:
        turns(say("user", " "))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "messages")


SIGNED = Opaque("anthropic.signature", "Eq0B+/==")


@pytest.mark.parametrize(
    ("opaque", "wire", "kept"),
    [
        (SIGNED, "anthropic-messages", True),
        (SIGNED, "openai-chat", False),
        (Opaque(SIGNED.kind, SIGNED.value, ORIGIN), "openai-chat", True),
        (Opaque(SIGNED.kind, SIGNED.value, ORIGIN), "anthropic-messages", True),
        (Opaque(SIGNED.kind, SIGNED.value, Origin("anthropic", "claude-other")), "anthropic-messages", False),
        (Opaque("openai.encrypted", "gAAA", OTHER), "anthropic-messages", False),
        (Opaque("openai.encrypted", "gAAA", ORIGIN), "anthropic-messages", False),
    ],
)
def test_thoughts_go_back_to_their_own_model_only(opaque: Opaque, wire: str, kept: bool) -> None:
    made, dropped = turns(say("user", "Q"), say("assistant", ReasoningPart("hm", (opaque,)), "A"), say("user", "Q2"), wire=wire)
    first = made.turns[1]["content"][0]
    if kept:
        assert first == {"type": "thinking", "thinking": "hm", "signature": SIGNED.value}
        assert not dropped
    else:
        assert first == text("A")
        assert dropped == ("thinking(foreign)",)
        assert made.foreign_thoughts


def test_redacted_and_unsigned_thoughts_of_the_own_format_stay() -> None:
    message = say("assistant", ReasoningPart("", (Opaque("anthropic.redacted", "D=="),)), ReasoningPart("no proof"), "A")
    made, dropped = turns(say("user", "Q"), message, wire="anthropic-messages")
    assert made.turns[1]["content"][:2] == [{"type": "redacted_thinking", "data": "D=="}, {"type": "thinking", "thinking": "no proof"}]
    assert not dropped
    made, dropped = turns(say("user", "Q"), message)
    assert made.turns[1]["content"] == [text("A")]
    assert dropped == ("thinking(foreign)",)


def test_a_turn_of_nothing_but_foreign_thoughts_goes_and_its_neighbours_join() -> None:
    made, _ = turns(say("user", "Q"), say("assistant", ReasoningPart("hm")), say("user", "Q2"))
    assert made.turns == [{"role": "user", "content": [text("Q"), text("Q2")]}]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (MediaPart("image", url="https://x.test/i.png"), {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png"}}),
        (
            MediaPart("document", "application/pdf", data="JVBERi0=", name="a.pdf"),
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, "title": "a.pdf"},
        ),
        (
            MediaPart("document", "text/markdown", data="SGFsbMO2"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Hallö"}},
        ),
        (MediaPart("document", text="T"), {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "T"}}),
        (TextPart("T", {"type": "ephemeral"}), {"type": "text", "text": "T", "cache_control": {"type": "ephemeral"}}),
    ],
)
def test_media_and_marks_of_other_formats(part: Part, block: dict[str, Any]) -> None:
    # C-10
    made, dropped = turns(say("user", part))
    assert made.turns[0]["content"] == [block]
    assert not dropped


@pytest.mark.parametrize(
    "part", [MediaPart("audio", data="x"), MediaPart("image", file_id="file-9"), MediaPart("document", "text/plain", data="/w==")]
)
def test_what_cannot_be_said_without_changing_the_meaning_is_refused(part: Part) -> None:
    with pytest.raises(GatewayError) as caught:
        turns(say("user", "Q", part))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "messages.0")


def test_what_is_left_out_is_named() -> None:
    _, dropped = turns(
        Message("user", (TextPart("Q", citations=({"type": "url_citation"},)), MediaPart("image", url="u", detail="high")), name="Ann"),
        say("assistant", MediaPart("image", data="x"), ForeignPart("gemini-generate", {"type": "executableCode"})),
    )
    assert dropped == ("messages.name", "citations", "image.detail", "image of the assistant", "executableCode")


def test_a_page_that_we_cited_does_not_go_to_the_vendor() -> None:
    page = {
        "type": "web_search_result_location",
        "url": "https://example.com",
        "title": "A",
        "cited_text": "",
        "encrypted_index": "vendors",
    }
    ours = {**page, "encrypted_index": seal(Opaque("foreign.page", ""))}
    made, dropped = turns(say("user", "Q"), say("assistant", TextPart("A", citations=(page, ours))))
    assert (made.turns[1]["content"], dropped) == ([{"type": "text", "text": "A", "citations": [page]}], ("citations",))


@pytest.mark.parametrize("wire", ["anthropic-messages", "openai-chat"])
def test_an_instruction_behind_nothing_is_one_of_the_leading_ones(wire: str) -> None:
    request = ChatRequest(wire, "m", (say("user", ""), say("system", "S"), say("user", "Q")))
    made = Turns(request, Target(ORIGIN, frozenset({"mid_system"})), {})
    assert (made.system, [turn["role"] for turn in made.turns]) == ([{"type": "text", "text": "S"}], ["user"])
