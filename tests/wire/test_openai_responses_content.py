"""Content parts of messages and tool outputs."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ForeignPart, MediaPart, Part, RefusalPart, TextPart
from omni_connector.errors import GatewayError
from omni_connector.wire.openai_responses_content import parse_content


def image(**fields: str) -> MediaPart:
    return MediaPart("image", **fields)  # type: ignore[arg-type]


EXPLICIT = {"mode": "explicit", "ttl": "12h"}


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"type": "input_text", "text": "a"}, TextPart("a")),
        (
            {"type": "input_text", "text": "", "prompt_cache_breakpoint": EXPLICIT},
            TextPart("", {"type": "ephemeral", "ttl": "1h"}),
        ),
        (
            {"type": "input_text", "text": "", "prompt_cache_breakpoint": {"mode": "new"}},
            TextPart("", extra={"prompt_cache_breakpoint": {"mode": "new"}}),
        ),
        ({"type": "output_text", "text": "a", "annotations": [], "logprobs": [], "odd": 1}, TextPart("a", extra={"odd": 1})),
        (
            {"type": "output_text", "text": "a", "annotations": [{"type": "url_citation", "url": "u"}]},
            TextPart("a", citations=({"type": "url_citation", "url_citation": {"url": "u"}},)),
        ),
        ({"type": "refusal", "refusal": "No."}, RefusalPart("No.")),
        (
            {"type": "input_image", "image_url": "https://a.example/x.png", "detail": "low"},
            image(url="https://a.example/x.png", detail="low"),
        ),
        ({"type": "input_image", "image_url": "data:image/png;base64,AAAA"}, image(media_type="image/png", data="AAAA")),
        ({"type": "input_image", "image_url": {"url": "https://a.example/x.png"}}, image(url="https://a.example/x.png")),
        ({"type": "input_image", "image_url": None, "file_id": "file-1", "detail": "auto"}, image(file_id="file-1", detail="auto")),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
            MediaPart("document", "application/pdf", "JVBE", name="a.pdf"),
        ),
        ({"type": "input_file", "filename": "A.PDF", "file_data": "JVBE"}, MediaPart("document", "application/pdf", "JVBE", name="A.PDF")),
        ({"type": "input_file", "file_url": "https://a.example/x"}, MediaPart("document", url="https://a.example/x")),
        ({"type": "input_file", "file_id": "file-1", "detail": "high"}, MediaPart("document", file_id="file-1", detail="high")),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "mp3"}}, MediaPart("audio", "audio/mpeg", "AA")),
        (
            {"type": "computer_screenshot", "image_url": "x"},
            ForeignPart(
                "openai-responses", {"type": "computer_screenshot", "content_part": {"type": "computer_screenshot", "image_url": "x"}}
            ),
        ),
        ("bare", TextPart("bare")),
    ],
)
def test_parts(value: Any, part: Part) -> None:
    assert parse_content([value], "c") == (part,)


def test_strings_and_nothing() -> None:
    assert parse_content("a", "c") == (TextPart("a"),)
    assert parse_content(None, "c") == ()


@pytest.mark.parametrize(
    ("value", "param"),
    [
        (3, "c"),
        ([3], "c[0]"),
        ([{}], "c[0].type"),
        ([{"type": "input_text"}], "c[0].text"),
        ([{"type": "input_image"}], "c[0].image_url"),
        ([{"type": "input_image", "image_url": 1}], "c[0].image_url"),
        ([{"type": "input_image", "image_url": "data:x"}], "c[0].image_url"),
        ([{"type": "input_file"}], "c[0].file_data"),
        ([{"type": "input_audio"}], "c[0].input_audio"),
    ],
)
def test_wrong_parts_are_named(value: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_content(value, "c")
    assert caught.value.param == param


@pytest.mark.parametrize("kind", ["input_text", "output_text", "text"])
def test_plain_text_is_read_in_short_and_means_the_same(kind: str) -> None:
    for text in ("hi", ""):
        assert parse_content([{"type": kind, "text": text}], "p") == parse_content([{"type": kind, "text": text, "annotations": None}], "p")
