"""Pictures in an answer, from each format that has them into each other one."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatResponse, Choice, Finish, ForeignPart, TextPart, unfold
from omni_connector.wire import FORMATS
from omni_connector.wire.pictures import Picture, pictures_of
from tests.wire import gemini_reading, openai_chat_reading, openai_responses_reading

PNG = "iVBORw0KGgoAAAA="
PICTURE = Picture("image/png", PNG)
BLOCKS: dict[str, dict[str, Any]] = {
    "gemini-generate": {"inlineData": {"mimeType": "image/png", "data": PNG}},
    "openai-responses": {"type": "image_generation_call", "id": "ig_1", "status": "completed", "output_format": "png", "result": PNG},
    "openai-chat": {"images": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}, "index": 0}]},
}
READERS: dict[str, Any] = {
    "gemini-generate": gemini_reading,
    "openai-responses": openai_responses_reading,
    "openai-chat": openai_chat_reading,
}


@pytest.mark.parametrize("source", BLOCKS)
def test_the_picture_in_a_block(source: str) -> None:
    assert pictures_of(source, BLOCKS[source]) == [PICTURE]


@pytest.mark.parametrize(
    ("wire", "block"),
    [
        ("gemini-generate", {"inlineData": {"mimeType": "audio/L16", "data": "AA=="}}),
        ("gemini-generate", {"inlineData": 3}),
        ("gemini-generate", {"executableCode": {"code": "1"}}),
        ("openai-responses", {"type": "image_generation_call", "result": None}),
        ("openai-responses", {"type": "web_search_call", "result": PNG}),
        ("openai-chat", {"images": [{"image_url": {"url": "https://example.com/a.png"}}, 3, {"image_url": {"url": "data:broken"}}]}),
        ("openai-chat", {"audio": {"data": "AA=="}}),
        ("anthropic-messages", {"type": "server_tool_use"}),
    ],
)
def test_what_holds_none(wire: str, block: dict[str, Any]) -> None:
    assert pictures_of(wire, block) == []


@pytest.mark.parametrize("source", BLOCKS)
@pytest.mark.parametrize("target", READERS)
def test_every_format_tells_it_streamed_and_whole(source: str, target: str) -> None:
    """C-23: two pictures between the words, in order."""
    picture = ForeignPart(source, BLOCKS[source])
    response = ChatResponse("x", "m", 0, (Choice((TextPart("A"), picture, TextPart("B"), picture), Finish.STOP),))
    whole = FORMATS[target].render_response(response, "m")
    renderer = FORMATS[target].ResponseRenderer("m")
    streamed = b"".join(renderer.feed(event) for event in unfold(response))
    parser = FORMATS[target].ResponseParser(None)
    events = [*parser.feed(streamed), *parser.close()]
    READERS[target].check_stream(streamed)
    for told in (events, FORMATS[target].ResponseParser(None).whole(whole)):
        blocks = [event.value for event in told if getattr(event, "kind", "") == "foreign"]
        assert [picture for block in blocks for picture in pictures_of(target, block)] == [PICTURE, PICTURE]


def test_pictures_of_a_chat_answer_are_numbered() -> None:
    """The vendor's SDK puts deltas together by their `index`."""
    picture = ForeignPart("gemini-generate", BLOCKS["gemini-generate"])
    response = ChatResponse("x", "m", 0, (Choice((picture, picture), Finish.STOP),))
    whole = FORMATS["openai-chat"].render_response(response, "m")
    assert [one["index"] for one in whole["choices"][0]["message"]["images"]] == [0, 1]
    renderer = FORMATS["openai-chat"].ResponseRenderer("m")
    streamed = b"".join(renderer.feed(event) for event in unfold(response))
    assert streamed.count(b'"index":0}]') == streamed.count(b'"index":1}]') == 1
