"""Content blocks → parts."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ForeignPart, MediaPart, Opaque, Origin, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart, seal
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.anthropic_blocks import parse_content

CACHE = {"type": "ephemeral", "ttl": "1h"}
FOREIGN = Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5"))

# C-10, C-13
CASES: list[tuple[dict[str, Any], Part]] = [
    ({"type": "text", "text": "a", "cache_control": CACHE, "x": 1}, TextPart("a", CACHE, extra={"x": 1})),
    ({"type": "text", "text": "a", "citations": None}, TextPart("a")),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        MediaPart("image", "image/png", data="iVBO"),
    ),
    ({"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, MediaPart("image", url="https://x.test/a.png")),
    ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, MediaPart("image", file_id="file_1")),
    ({"type": "image", "source": {"type": "new"}}, ForeignPart("anthropic-messages", {"type": "image", "source": {"type": "new"}})),
    (
        {
            "type": "document",
            "title": "T",
            "citations": {"enabled": True},
            "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
        },
        MediaPart("document", "text/plain", text="hi", name="T", extra={"citations": {"enabled": True}}),
    ),
    (
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "p1"}, {"type": "text", "text": "p2"}]}},
        MediaPart(
            "document",
            text="p1\np2",
            extra={"source": {"type": "content", "content": [{"type": "text", "text": "p1"}, {"type": "text", "text": "p2"}]}},
        ),
    ),
    ({"type": "thinking", "thinking": "t", "signature": "S=="}, ReasoningPart("t", (Opaque("anthropic.signature", "S=="),))),
    ({"type": "thinking", "thinking": "t", "signature": ""}, ReasoningPart("t", (Opaque("anthropic.signature", ""),))),
    ({"type": "thinking", "thinking": "t"}, ReasoningPart("t")),
    ({"type": "thinking", "thinking": "t", "signature": seal(FOREIGN)}, ReasoningPart("t", (FOREIGN,))),
    ({"type": "redacted_thinking", "data": "D"}, ReasoningPart("", (Opaque("anthropic.redacted", "D"),))),
    (
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, "ü"]}, "caller": {"type": "direct"}},
        ToolCallPart("t1", "f", '{"a":[1,"ü"]}', extra={"caller": {"type": "direct"}}),
    ),
    ({"type": "tool_use", "id": "omni_Zi5yOjA", "name": "f", "input": {}}, ToolCallPart("f.r:0", "f", "{}")),
    ({"type": "tool_result", "tool_use_id": "t1"}, ToolResultPart("t1", ())),
    ({"type": "tool_result", "tool_use_id": "t1", "content": "ok", "is_error": False}, ToolResultPart("t1", (TextPart("ok"),))),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "is_error": True,
            "cache_control": CACHE,
            "content": [
                {"type": "image", "source": {"type": "url", "url": "u"}},
                {"type": "tool_reference", "tool_name": "g"},
            ],
        },
        ToolResultPart(
            "t1",
            (MediaPart("image", url="u"), ForeignPart("anthropic-messages", {"type": "tool_reference", "tool_name": "g"})),
            is_error=True,
            cache=CACHE,
        ),
    ),
    (
        {"type": "mcp_tool_use", "id": "m", "server_name": "s"},
        ForeignPart("anthropic-messages", {"type": "mcp_tool_use", "id": "m", "server_name": "s"}),
    ),
]


@pytest.mark.parametrize(("block", "part"), CASES, ids=lambda value: value.get("type") if isinstance(value, dict) else "")
def test_blocks(block: dict[str, Any], part: Part) -> None:
    assert parse_content([block], "messages.0.content") == (part,)


@pytest.mark.parametrize(
    ("block", "param"),
    [
        ("text", "messages.2.content.0"),
        ({}, "messages.2.content.0.type"),
        ({"type": "text"}, "messages.2.content.0.text"),
        ({"type": "text", "text": 5}, "messages.2.content.0.text"),
        ({"type": "text", "text": "a", "citations": [1]}, "messages.2.content.0.citations"),
        ({"type": "text", "text": "a", "cache_control": "yes"}, "messages.2.content.0.cache_control"),
        ({"type": "image"}, "messages.2.content.0.source"),
        ({"type": "image", "source": {"type": "base64", "data": "x"}}, "messages.2.content.0.source.media_type"),
        ({"type": "image", "source": {"type": "url"}}, "messages.2.content.0.source.url"),
        ({"type": "thinking", "signature": "s"}, "messages.2.content.0.thinking"),
        ({"type": "thinking", "thinking": "t", "signature": 1}, "messages.2.content.0.signature"),
        ({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}, "messages.2.content.0.input"),
        ({"type": "tool_use", "id": "a"}, "messages.2.content.0.name"),
        ({"type": "tool_result"}, "messages.2.content.0.tool_use_id"),
        ({"type": "tool_result", "tool_use_id": "a", "content": [3]}, "messages.2.content.0.content.0"),
    ],
)
def test_mistakes_name_the_field_the_reason_and_the_fix(block: Any, param: str) -> None:
    # C-39
    with pytest.raises(GatewayError) as caught:
        parse_content([block], "messages.2.content")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)
    assert caught.value.message.startswith(f"{param}: ")
    assert "Send" in caught.value.message or "Name" in caught.value.message


def test_content_is_text_or_a_list() -> None:
    assert parse_content("hi", "system") == (TextPart("hi"),)
    with pytest.raises(GatewayError, match=r"messages\.0\.content: must be a string or a list"):
        parse_content({"type": "text"}, "messages.0.content")


def test_plain_text_is_read_in_short_and_means_the_same() -> None:
    for text in ("hi", ""):
        assert parse_content([{"type": "text", "text": text}], "p") == parse_content(
            [{"type": "text", "text": text, "citations": None}], "p"
        )
    with pytest.raises(GatewayError):
        parse_content([{"type": "text", "text": 5}], "p")
