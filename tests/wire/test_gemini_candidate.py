"""The parts of a candidate: what opens, what grows, what is signed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from omni_connector.chat import ChatRequest, Choice, Finish, ForeignPart, Opaque, Part, ReasoningPart, TextPart, Tool, ToolCallPart, fold
from omni_connector.wire.gemini_calls import to_wire_name
from omni_connector.wire.gemini_generate import ResponseParser
from omni_connector.wire.gemini_signatures import SIGNATURE
from omni_connector.wire.gemini_words import NAME
from tests.wire.gemini_reading import ORIGIN, ask, check_events, read, transcript


def chunk(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}], "responseId": "r"}


def choice(*chunks: dict[str, Any], request: ChatRequest | None = None) -> Choice:
    """The same said as an array of chunks and as events; the last one ends it."""
    chunks = (*chunks, chunk(finishReason="STOP"))
    events = ResponseParser(ORIGIN, request).whole(list(chunks))
    check_events(events)
    streamed = read([b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in chunks], request)
    assert streamed == fold(events)
    (found,) = streamed.choices
    return found


def parts(*chunks: dict[str, Any], request: ChatRequest | None = None) -> tuple[Part, ...]:
    return choice(*chunks, request=request).parts


def signed(value: str) -> tuple[Opaque, ...]:
    return (Opaque(SIGNATURE, value, ORIGIN),)


def test_texts_and_thoughts_grow_until_something_else_comes() -> None:
    assert parts(
        chunk({"text": "a", "thought": True}, {"text": "b", "thought": True}),
        chunk({"text": "c"}, {"text": ""}),
        chunk({"text": "d"}, {"text": "e", "thought": True}),
    ) == (ReasoningPart("ab"), TextPart("cd"), ReasoningPart("e"))


def test_a_signature_ends_what_it_signs() -> None:
    assert parts(
        chunk({"text": "a", "thought": True}),
        chunk({"text": "", "thought": True, "thoughtSignature": "s1"}, {"text": "b", "thought": True}),
        chunk({"text": "c", "thoughtSignature": "s2"}, {"text": "", "thoughtSignature": "s3"}, {"text": "d"}),
        chunk({"text": "", "thoughtSignature": "s4"}),
    ) == (
        ReasoningPart("a", signed("s1")),
        ReasoningPart("b"),
        TextPart("c"),
        ReasoningPart("", signed("s2")),
        ReasoningPart("", signed("s3")),
        TextPart("d"),
        ReasoningPart("", signed("s4")),
    )


def test_calls_are_whole_and_get_ids_where_they_have_none() -> None:
    # C-09
    found = choice(
        chunk({"functionCall": {"name": "f", "args": {"b": 1, "a": [1.5, None]}}, "thought_signature": "s"}),
        chunk({"function_call": {"id": "k", "name": "f"}}),
    )
    assert found.parts == (ToolCallPart("gemini_call_0_r", "f", '{"b":1,"a":[1.5,null]}', opaque=signed("s")), ToolCallPart("k", "f", "{}"))
    assert (found.finish, found.raw_finish) == (Finish.TOOL_CALLS, "STOP")


def test_calls_in_pieces() -> None:
    response = read([transcript("partial_args")])
    log, now = response.choices[0].parts
    assert isinstance(log, ToolCallPart)
    assert json.loads(log.arguments) == {"entry": {"words": "calm sea", "waves": [None, {"height": 0.5}], "lamp lit": True, "ship": None}}
    assert (log.name, log.opaque) == ("log", signed("UGllY2Vz"))
    assert now == ToolCallPart("gemini_call_1_LiGhT0uSe_9", "now", "{}")
    assert parts(chunk({"functionCall": {"name": "f", "willContinue": True}}), chunk({"text": "x"})) == (
        ToolCallPart("gemini_call_0_r", "f", "{}"),
        TextPart("x"),
    )


def test_free_text_tools_and_changed_names_come_back() -> None:
    request = replace(ask(), tools=(Tool("custom", "patch"), Tool("function", "7zip")))
    assert parts(
        chunk({"functionCall": {"id": "a", "name": "patch", "args": {"input": "*** Begin"}}}),
        chunk({"functionCall": {"id": "b", "name": "patch", "args": {"other": 1}}}),
        chunk({"functionCall": {"id": "c", "name": to_wire_name("7zip"), "args": {"x": 1}}}),
        request=request,
    ) == (
        ToolCallPart("a", "patch", "*** Begin", custom=True),
        ToolCallPart("b", "patch", '{"other":1}', custom=True),
        ToolCallPart("c", "7zip", '{"x":1}'),
    )


def test_what_only_this_format_knows_stays_whole() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}, "thoughtSignature": "s"}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    assert parts(chunk({"text": "a"}, picture), chunk(code, {}, {"new": None}), chunk({"text": "b"})) == (
        TextPart("a"),
        ForeignPart(NAME, picture),
        ForeignPart(NAME, code),
        TextPart("b"),
    )


def test_what_is_told_beside_the_words() -> None:
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1}]}
    found = choice(
        chunk({"text": "a"}, logprobsResult=result, safetyRatings=[1]),
        chunk({"text": "b"}, logprobsResult=result, safetyRatings=[2], finishMessage="done", finishReason="MAX_TOKENS"),
    )
    assert found.extra == {
        "logprobsResult": {"chosenCandidates": result["chosenCandidates"] * 2},
        "logprobs": {"content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}] * 2, "refusal": None},
        "safetyRatings": [2],
        "finishMessage": "done",
    }
