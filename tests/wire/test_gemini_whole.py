"""Whole answers in Gemini's form."""

from __future__ import annotations

from omni_connector.chat import ChatResponse, Choice, Finish, ForeignPart, Opaque, ReasoningPart, TextPart, ToolCallPart, Usage, fold
from omni_connector.wire.gemini_generate import ResponseParser, render_response
from tests.wire.gemini_reading import ORIGIN, counts, read, transcript

SIGNATURE = Opaque("gemini.thought_signature", "eA==", ORIGIN)


def test_an_answer() -> None:
    parts = (
        ReasoningPart("hm", (SIGNATURE,)),
        TextPart("a"),
        TextPart("b"),
        ReasoningPart("", (SIGNATURE,)),
        TextPart("c"),
        ToolCallPart("k", "f", '{"x":1}'),
    )
    response = ChatResponse("r1", "served", 0, (Choice(parts, Finish.TOOL_CALLS),), Usage(3, output=4))
    assert render_response(response, "asked") == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True, "thoughtSignature": "eA=="},
                        {"text": "ab", "thoughtSignature": "eA=="},
                        {"text": "c"},
                        {"functionCall": {"id": "k", "name": "f", "args": {"x": 1}}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "modelVersion": "asked",
        "responseId": "r1",
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 7},
    }


def test_whole_and_streamed_are_the_same_answer() -> None:
    for name in ("thought_call", "sources", "partial_args", "blocked"):
        response = read([transcript(name)])
        again = fold(ResponseParser(ORIGIN).whole(render_response(response, "asked")))
        assert [(choice.parts, choice.finish, choice.extra) for choice in again.choices] == [
            (choice.parts, choice.finish, choice.extra) for choice in response.choices
        ]
        assert counts(again.usage) == counts(response.usage)


def test_a_blocked_prompt_has_no_candidates() -> None:
    body = render_response(read([transcript("blocked")]), "asked")
    assert "candidates" not in body
    assert body["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}


def test_an_answer_of_nothing() -> None:
    (candidate,) = render_response(ChatResponse("", "", 0, (Choice((), Finish.LENGTH),)), "asked")["candidates"]
    assert candidate == {"content": {"parts": [], "role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}


def test_a_part_with_a_strange_text_stays_apart() -> None:
    strange = ForeignPart("gemini-generate", {"text": 1.5})
    for parts in ((TextPart("a"), strange, TextPart("b")), (strange, TextPart("b"))):
        (candidate,) = render_response(ChatResponse("r", "m", 0, (Choice(parts, Finish.STOP),)), "asked")["candidates"]
        assert [part["text"] for part in candidate["content"]["parts"]] == [getattr(part, "text", 1.5) for part in parts]
