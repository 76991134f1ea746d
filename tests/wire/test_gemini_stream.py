"""Answers of an upstream → events: transcripts, cut anywhere, in both forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import (
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Opaque,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    Usage,
    UsageSeen,
    fold,
)
from omni_connector.errors import Kind
from omni_connector.wire.gemini_generate import NAME, ResponseParser
from tests.wire.gemini_reading import NAMES, ORIGIN, array, counts, folded, parse, read, transcript

SIGNATURE = (Opaque("gemini.thought_signature", "EqQCtIdE+/AABA==", ORIGIN),)


def test_thoughts_text_and_calls() -> None:
    # C-08, C-09
    response = read([transcript("thought_call")])
    assert (response.id, response.model) == ("LiGhT0uSe_9", "gemini-3-flash")
    assert counts(response.usage) == Usage(50, 40, None, 75, 31)
    assert response.choices == (
        Choice(
            (
                ReasoningPart("The keeper asks about two harbours."),
                TextPart("Moin — ich sehe nach. Zwei Häfen. 🌊"),
                ToolCallPart("gemini_call_0_LiGhT0uSe_9", "tide_table", '{"harbour":"Cuxhaven","days":2}', opaque=SIGNATURE),
                ToolCallPart("k2", "tide_table", "{}"),
            ),
            Finish.TOOL_CALLS,
            raw_finish="STOP",
        ),
    )
    assert read([array()]) == response


def test_sources_and_server_tools() -> None:
    response = read([transcript("sources")])
    (choice,) = response.choices
    code, result, text, proof = choice.parts
    assert isinstance(code, ForeignPart)
    assert isinstance(result, ForeignPart)
    assert (code.wire, set(code.value), set(result.value)) == (NAME, {"executableCode"}, {"codeExecutionResult"})
    note = {"type": "grounding", "url": "https://example.com/lights", "title": "Lights", "cited_text": "Built in 1884"}
    assert text == TextPart("Built in 1884.", citations=(note,))
    assert proof == ReasoningPart("", (Opaque("gemini.thought_signature", "QmVhY29u", ORIGIN),))
    assert choice.extra["groundingMetadata"]["webSearchQueries"] == ["old lighthouse"]
    assert counts(response.usage) == Usage(320, None, None, 15, 9)


def test_a_blocked_prompt_is_an_answer_without_words() -> None:
    response = read([transcript("blocked")])
    assert response.choices == (
        Choice((), Finish.FILTER, raw_finish="PROHIBITED_CONTENT", extra={"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
    )
    assert response.usage is not None


def test_an_error_behind_the_last_event_fails_the_answer() -> None:
    events = parse([transcript("broken_off")])
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind, events[-1].error.message) == (
        Kind.UPSTREAM_OVERLOADED,
        "The model is overloaded. Please try again later.",
    )
    assert Delta(0, "The storm ") in events


@pytest.mark.parametrize("name", NAMES)
def test_cut_at_every_byte(name: str) -> None:
    data = transcript(name)
    # By their text: errors are compared by identity.
    whole = repr(parse([data]))
    assert repr(parse([data[place : place + 1] for place in range(len(data))])) == whole
    for place in range(0, len(data), 5):
        assert repr(parse([data[:place], data[place:]])) == whole


def test_an_array_cut_at_every_byte() -> None:
    data = array()
    whole = parse([data])
    assert parse([data[place : place + 1] for place in range(len(data))]) == whole
    for place in range(0, len(data), 5):
        assert parse([data[:place], data[place:]]) == whole


def test_text_is_told_at_once_and_the_end_only_at_the_end() -> None:
    parser = ResponseParser(ORIGIN)
    first, *others = transcript("thought_call").split(b"\r\n\r\n")[:-1]
    assert Delta(0, "The keeper asks ") in parser.feed(first + b"\r\n\r\n")
    rest = [event for other in others for event in parser.feed(other + b"\r\n\r\n")]
    assert not [event for event in rest if isinstance(event, Finished | Ended)]
    assert [type(event).__name__ for event in parser.close()] == ["Finished", "Ended"]
    assert parser.close() == []


def test_a_cut_stream_has_no_end() -> None:
    data = transcript("thought_call")
    events = parse([data[: data.index(b'"finishReason"')].rpartition(b"data:")[0]])
    assert not any(isinstance(event, Finished | Ended) for event in events)
    assert parse([b""]) == []


def test_every_candidate_must_finish() -> None:
    def stream(*reasons: Any) -> list[bytes]:
        candidates = [{"index": n, "content": {"parts": [{"text": "x"}]}, "finishReason": reason} for n, reason in enumerate(reasons)]
        return [b"data: " + json.dumps({"candidates": candidates}).encode() + b"\n\n"]

    response = read(stream("STOP", "MAX_TOKENS"))
    assert [(choice.parts, choice.finish) for choice in response.choices] == [
        ((TextPart("x"),), Finish.STOP),
        ((TextPart("x"),), Finish.LENGTH),
    ]
    assert not folded(parse(stream("STOP", None))).ended


@pytest.mark.parametrize(
    ("reason", "finish", "raw"),
    [
        ("STOP", Finish.STOP, "STOP"),
        ("MAX_TOKENS", Finish.LENGTH, "MAX_TOKENS"),
        ("SAFETY", Finish.FILTER, "SAFETY"),
        ("MALFORMED_FUNCTION_CALL", Finish.OTHER, "MALFORMED_FUNCTION_CALL"),
        (2, Finish.LENGTH, "MAX_TOKENS"),
        (77, Finish.OTHER, "77"),
        (None, Finish.STOP, None),
    ],
)
def test_every_finish_reason(reason: Any, finish: Finish, raw: str | None) -> None:
    body = {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": reason}], "createTime": "2026-02-17T11:12:40.135001Z"}
    response = fold(ResponseParser(ORIGIN).whole(body))
    assert (response.choices[0].finish, response.choices[0].raw_finish, response.created) == (finish, raw, 1771326760)


def test_usage_is_told_when_it_changes_and_the_last_counts() -> None:
    seen = [event.usage for event in parse([transcript("thought_call")]) if isinstance(event, UsageSeen)]
    assert [usage.output for usage in seen] == [12, 31, 37, 43, 75]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}, Kind.ACCOUNT_RATE_LIMITED),
        ([{"error": {"message": "x", "status": "UNAVAILABLE"}}], Kind.UPSTREAM_OVERLOADED),
        ({}, Kind.UPSTREAM_FAILED),
        ([], Kind.UPSTREAM_FAILED),
        (b"<html>", Kind.UPSTREAM_FAILED),
        ({"candidates": []}, Kind.UPSTREAM_FAILED),
    ],
)
def test_whole_answers_that_are_none(body: Any, kind: Kind) -> None:
    (*_, last) = ResponseParser(ORIGIN).whole(body)
    assert isinstance(last, Failed)
    assert last.error.kind is kind


def test_broken_json_is_reported_and_keep_alives_are_not() -> None:
    assert parse([b"data: [DONE]\n\ndata: ping\n\n"]) == []
    (failed,) = parse([b'data: {"candidates": [\n\n'])
    assert isinstance(failed, Failed)


def test_the_wrapper_of_code_assist_is_opened() -> None:
    body = {"response": {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}]}, "traceId": "t"}
    assert fold(ResponseParser(ORIGIN).whole(body)).choices[0].parts == (TextPart("x"),)
