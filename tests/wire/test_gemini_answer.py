"""Events → a Gemini client's stream: grammar, order, failure, the array form."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from omni_connector.chat import (
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Finish,
    Finished,
    ForeignPart,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    ToolCallPart,
    Usage,
    UsageSeen,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.gemini_answer import ArrayRenderer, ResponseRenderer
from omni_connector.wire.gemini_signatures import SEALED_HEAD, open_signature
from tests.wire.gemini_reading import NAMES, ORIGIN, check_chunks, check_stream, chunks_of, folded, parse, stream, transcript

CLAUDE = Opaque("anthropic.signature", "abc", Origin("anthropic", "claude"))


def answer(*parts: object, finish: Finish = Finish.STOP) -> ChatResponse:
    return ChatResponse("r1", "served", 0, (Choice(tuple(parts), finish),), Usage(5, 2, None, 9, 4))  # type: ignore[arg-type]


def said(response: ChatResponse) -> list[dict[str, object]]:
    chunks = check_stream(stream(response))
    return [part for chunk in chunks[:-1] for part in chunk["candidates"][0]["content"]["parts"]]


def test_a_stream() -> None:
    # C-08, C-26, P-46
    data = stream(answer(ReasoningPart("hm"), TextPart("Häfen\u2028"), ToolCallPart("c1", "tide", '{"a":1}'), finish=Finish.TOOL_CALLS))
    tail = '],"modelVersion":"asked","responseId":"r1"}'
    usage = (
        '"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":5,"thoughtsTokenCount":4,"cachedContentTokenCount":2,'
        '"totalTokenCount":16}'
    )
    assert data.decode().split("\r\n\r\n") == [
        'data: {"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}' + tail,
        'data: {"candidates":[{"content":{"parts":[{"text":"Häfen\u2028"}],"role":"model"},"index":0}' + tail,
        'data: {"candidates":[{"content":{"parts":[{"functionCall":{"id":"c1","name":"tide","args":{"a":1}}}],"role":"model"},"index":0}'
        + tail,
        'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],' + usage + tail[1:],
        "",
    ]


def test_signatures_own_ones_bare_others_sealed() -> None:
    own = Opaque("gemini.thought_signature", "eA==", ORIGIN)
    parts = said(
        answer(
            ReasoningPart("a", (own,)),
            ReasoningPart("b", (CLAUDE,)),
            ReasoningPart("", (CLAUDE,)),
            TextPart("t"),
            ReasoningPart("", (own,)),
            ToolCallPart("c", "f", "{}", opaque=(own,)),
            ToolCallPart("d", "f", "{}", opaque=(CLAUDE, own)),
        )
    )
    signatures = [str(part["thoughtSignature"]) for part in parts if "thoughtSignature" in part]
    assert [open_signature(text) for text in signatures] == [
        (replace(own, origin=None),), (CLAUDE,), (CLAUDE,), (replace(own, origin=None),), (replace(own, origin=None),), (CLAUDE, own),
    ]  # fmt: skip
    assert signatures[1].startswith(SEALED_HEAD)
    assert [part.get("thought") for part in parts if part.get("text") == ""] == [True, True, True, None]


def test_thoughts_without_a_proof_carry_whose_they_are() -> None:
    renderer = ResponseRenderer("asked", origin=Origin("deepseek", "reasoner"))
    data = b"".join(renderer.feed(event) for event in unfold(answer(ReasoningPart("hm"), TextPart("x"))))
    proof = check_stream(data)[1]["candidates"][0]["content"]["parts"][0]
    assert open_signature(proof["thoughtSignature"]) == (Opaque("none", "", Origin("deepseek", "reasoner")),)


def test_calls_told_in_turns_come_whole_and_in_order() -> None:
    renderer = ResponseRenderer("asked")
    events = [
        Started("", ""),
        PartStart(0, "tool_call", "a", "first"),
        PartStart(1, "tool_call", "b", "second", custom=True),
        Delta(1, "free "),
        Delta(0, '{"x"'),
        Delta(1, "text"),
        PartEnd(1),
        Delta(0, ":1}"),
        OpaqueDelta(0, CLAUDE),
        PartEnd(0),
        PartStart(2, "tool_call", "gemini_call_0_x", "torn"),
        Delta(2, '{"x": '),
        Finished(Finish.TOOL_CALLS),
        Ended(),
    ]
    pieces = [renderer.feed(event) for event in events]
    assert not any(pieces[:9])
    calls = [chunk["candidates"][0]["content"]["parts"][0].get("functionCall") for chunk in check_stream(b"".join(pieces))[:-1]]
    assert calls == [
        {"id": "a", "name": "first", "args": {"x": 1}},
        {"id": "b", "name": "second", "args": {"input": "free text"}},
        {"name": "torn", "args": {"_raw_arguments": '{"x": '}},
    ]
    assert renderer.feed(Delta(0, "x")) == renderer.fail(GatewayError(Kind.INTERNAL, "x")) == b""


@pytest.mark.parametrize(
    ("finish", "raw", "word"),
    [
        (Finish.LENGTH, "length", "MAX_TOKENS"),
        (Finish.FILTER, "content_filter", "SAFETY"),
        (Finish.FILTER, "RECITATION", "RECITATION"),
        (Finish.OTHER, "MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL"),
        (Finish.OTHER, "weird", "OTHER"),
        (Finish.REFUSAL, "refusal", "SAFETY"),
        (Finish.STOP_SEQUENCE, "stop_sequence", "STOP"),
    ],
)
def test_finish_words(finish: Finish, raw: str, word: str) -> None:
    response = ChatResponse("r", "m", 0, (Choice((RefusalPart("No."),), finish, raw_finish=raw),))
    chunks = check_stream(stream(response))
    assert chunks[-1]["candidates"][0]["finishReason"] == word
    assert chunks[0]["candidates"][0]["content"]["parts"] == [{"text": "No."}]
    assert "usageMetadata" not in chunks[-1]


def test_sources_and_probabilities_of_other_formats() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://example.com/a", "title": "A"}}
    logprobs = {"content": [{"token": "x", "logprob": -1}]}
    choice = Choice((TextPart("x", citations=(note,)),), Finish.STOP, extra={"logprobs": logprobs, "native_finish_reason": "stop"})
    (candidate,) = check_stream(stream(ChatResponse("r", "m", 0, (choice,))))[-1]["candidates"]
    assert candidate["groundingMetadata"] == {"groundingChunks": [{"web": {"uri": "https://example.com/a", "title": "A"}}]}
    assert candidate["logprobsResult"]["chosenCandidates"] == [{"token": "x", "logProbability": -1}]
    assert "native_finish_reason" not in candidate


def test_several_candidates_end_together() -> None:
    response = ChatResponse("r", "m", 0, (Choice((TextPart("a"),), Finish.STOP), Choice((TextPart("b"),), Finish.LENGTH)))
    chunks = check_stream(stream(response))
    assert [candidate["index"] for chunk in chunks for candidate in chunk["candidates"]] == [0, 1, 0, 1]


def test_parts_of_other_formats_are_left_out() -> None:
    assert said(answer(ForeignPart("anthropic-messages", {"type": "server_tool_use"}), TextPart(""), TextPart("x"))) == [{"text": "x"}]


@pytest.mark.parametrize("name", NAMES)
def test_own_answers_told_again(name: str) -> None:
    renderer, events = ResponseRenderer("asked"), parse([transcript(name)])
    data = b"".join(renderer.feed(event) for event in events)
    check_stream(data, failed=name == "broken_off")
    if name == "broken_off":
        return
    first, again = folded(events).response(), folded(parse([data])).response()
    assert [choice.parts for choice in again.choices] == [choice.parts for choice in first.choices]
    assert [(choice.finish, choice.raw_finish, choice.extra) for choice in again.choices] == [
        (choice.finish, choice.raw_finish, choice.extra) for choice in first.choices
    ]


def test_a_failure_is_told_twice_and_never_as_a_clean_end() -> None:
    renderer = ResponseRenderer("asked")
    events = list(unfold(answer(TextPart("half"), ToolCallPart("c", "f", "{}"))))
    data = b"".join(renderer.feed(event) for event in [*events[:5], UsageSeen(Usage(1, output=2))])
    data += renderer.fail(GatewayError(Kind.UPSTREAM_OVERLOADED, "It broke."))
    *_, error, last = check_stream(data, failed=True)
    assert (error["error"]["code"], error["error"]["status"]) == (503, "UNAVAILABLE")
    assert last["candidates"][0]["finishMessage"] == "It broke."
    assert last["usageMetadata"]["totalTokenCount"] == 3
    assert renderer.fail(GatewayError(Kind.INTERNAL, "x")) == b""
    assert chunks_of(ResponseRenderer("asked").fail(GatewayError(Kind.NO_ACCOUNT, "None.")))[0]["error"]["message"] == "None."


def test_the_array_form_is_told_element_by_element() -> None:
    response = answer(TextPart("a"), ToolCallPart("c", "f", "{}"))
    data = stream(response, array=True)
    assert check_chunks(json.loads(data)) == chunks_of(stream(response))
    renderer = ArrayRenderer("asked")
    pieces = [renderer.feed(event) for event in unfold(response)]
    assert pieces[2].startswith(b'[{"candidates"')
    assert all(piece.startswith(b",\r\n{") for piece in pieces[3:] if piece)
    assert pieces[-1].endswith(b"}]")
    failing = ArrayRenderer("asked")
    whole = failing.feed(Started("", "")) + failing.fail(GatewayError(Kind.INTERNAL, "x"))
    assert check_chunks(json.loads(whole), failed=True)
