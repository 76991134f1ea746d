"""Answers of Kiro as events, split at every byte. P-22"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Message,
    Opaque,
    Origin,
    ReasoningPart,
    Started,
    TextPart,
    Thinking,
    Tool,
    ToolCallPart,
    fold,
)
from omni_connector.errors import Kind
from omni_connector.wire.kiro_stream import ResponseParser
from omni_connector.wire.kiro_words import to_wire_name
from tests.event_frames import event, exception, frame
from tests.kiro_server import frames
from tests.live.answers import Call, Said

ORIGIN = Origin("kiro", "claude-sonnet-4.5")
LONG = "mcp__" + "x" * 80
CUSTOM = Tool("custom", "run", "runs")
ASKED = ChatRequest("openai-chat", "m", (Message("user", (TextPart("Hi"),)),), tools=(CUSTOM, Tool("function", LONG, "d")))


def text(words: str) -> bytes:
    return event("assistantResponseEvent", {"content": words})


def use(call_id: str = "t1", name: str = "f", **more: Any) -> bytes:
    return event("toolUseEvent", {**({"toolUseId": call_id} if call_id else {}), **({"name": name} if name else {}), **more})


def stop(reason: str) -> bytes:
    return event("metadataEvent", {"stopReason": reason})


def events(*data: bytes, request: ChatRequest | None = ASKED) -> list[Event]:
    parser = ResponseParser(ORIGIN, request)
    return [found for piece in data for found in parser.feed(piece)] + parser.close()


def choice(*data: bytes, request: ChatRequest | None = ASKED) -> Choice:
    told = events(*data, request=request)
    assert isinstance(told[-1], Ended)
    (only,) = fold(told).choices
    return only


def arguments(*data: bytes) -> list[tuple[str, str, str]]:
    return [(part.id, part.name, part.arguments) for part in choice(*data).parts if isinstance(part, ToolCallPart)]


SAID = Said("Hello, wörld.", thoughts="Hm.", signature="c2ln", calls=(Call("t1", "f", {"city": "Köln", "n": [1, 2]}), Call("t2", "g", {})))


def test_an_answer() -> None:
    data = b"".join(frames(SAID, "TOOL_USE"))
    told = events(data)
    response: ChatResponse = fold(told)
    assert isinstance(told[0], Started) and response.model == ""
    assert response.choices == (
        Choice(
            (
                ReasoningPart("Hm.", (Opaque("kiro.signature", "c2ln", ORIGIN),)),
                TextPart("Hello, wörld."),
                ToolCallPart("t1", "f", json.dumps({"city": "Köln", "n": [1, 2]})),
                ToolCallPart("t2", "g", "{}"),
            ),
            Finish.TOOL_CALLS,
            raw_finish="TOOL_USE",
        ),
    )
    assert response.usage is not None and response.usage.raw["metering"]["usage"] == 0.25
    assert response.usage.raw["usage_source"] == "counted" and response.usage.input and response.usage.output


def test_at_every_split() -> None:
    data = b"".join(frames(SAID, "TOOL_USE"))
    wanted = events(data)
    assert events(*[bytes([byte]) for byte in data]) == wanted
    for place in range(0, len(data), 7):
        assert events(data[:place], data[place:]) == wanted


@given(
    st.lists(st.integers(0, 10**6), max_size=8), st.text(max_size=30), st.dictionaries(st.text(max_size=5), st.text(max_size=9), max_size=3)
)
def test_whatever_is_said_arrives(places: list[int], words: str, given_arguments: dict[str, str]) -> None:
    data = b"".join(frames(Said(words, calls=(Call("t", "f", given_arguments),))))
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    found = choice(*[data[start:end] for start, end in pairwise(edges)])
    assert "".join(part.text for part in found.parts if isinstance(part, TextPart)) == words
    assert [json.loads(part.arguments) for part in found.parts if isinstance(part, ToolCallPart)] == [given_arguments]


@pytest.mark.parametrize(
    ("data", "finish"),
    [
        ([text("a")], Finish.STOP),
        ([text("a"), stop("END_TURN")], Finish.STOP),
        ([text("a"), stop("MAX_TOKENS")], Finish.LENGTH),
        ([text("a"), stop("CONTENT_FILTERED")], Finish.FILTER),
        ([text("a"), stop("MODEL_CONTEXT_WINDOW_EXCEEDED")], Finish.CONTEXT),
        ([text("a"), stop("NEW_WORD")], Finish.OTHER),
        ([text("a"), event("messageStopEvent", {"stop_reason": "MAX_TOKENS"})], Finish.LENGTH),
        ([stop("END_TURN")], Finish.STOP),
        ([use(stop=True)], Finish.TOOL_CALLS),
        ([use(stop=True), stop("END_TURN")], Finish.TOOL_CALLS),
        ([use(stop=True), stop("MAX_TOKENS")], Finish.LENGTH),
        ([use(input='{"a"', stop=True), stop("TOOL_USE")], Finish.LENGTH),
        ([use(input='{"a"')], Finish.LENGTH),
        ([use(input='{"a": 1}')], Finish.TOOL_CALLS),
        ([use(input="[1]", stop=True)], Finish.LENGTH),
    ],
)
def test_why_it_ended(data: list[bytes], finish: Finish) -> None:
    assert choice(*data).finish is finish


def test_calls_in_pieces() -> None:
    assert arguments(use(input='{"a"'), use(input=": 1}"), use(stop=True)) == [("t1", "f", '{"a": 1}')]
    assert arguments(use(input={"a": 1}, stop=True)) == [("t1", "f", '{"a":1}')]
    assert arguments(use(), use("", "", input='{"a"'), use("", "", input=": 1}", stop=True)) == [("t1", "f", '{"a": 1}')]
    turns = [use("t1", input='{"a":'), use("t2", "g", input="{}"), use("t1", input="1}", stop=True), use("t2", "g", stop=True)]
    assert arguments(*turns) == [("t1", "f", '{"a":1}'), ("t2", "g", "{}")]
    assert arguments(use(stop=True), use(input="late", stop=True)) == [("t1", "f", "{}")], "what is over is over"
    assert arguments(use("", "f", stop=True))[0][0].startswith("call_")
    assert arguments(text("a"), use("t9", "", input="{}")) == [], "a piece of nothing"


def test_names_and_free_text_come_back() -> None:
    assert arguments(use(name=to_wire_name(LONG), stop=True)) == [("t1", LONG, "{}")]
    (part,) = choice(use(name="run", input='{"input": '), use(name="run", input='"ls"}', stop=True)).parts
    assert isinstance(part, ToolCallPart) and part.custom and part.arguments == "ls"


def test_thoughts_inside_the_text_where_they_were_asked_for() -> None:
    thinking = ChatRequest("openai-chat", "m", (), thinking=Thinking(True, "high"))
    data = [text("<thin"), text("king>Hm."), text("</thinking>\n\nHello")]
    assert choice(*data, request=thinking).parts == (ReasoningPart("Hm."), TextPart("Hello"))
    assert choice(*data).parts == (TextPart("<thinking>Hm.</thinking>\n\nHello"),)
    assert [type(part) for part in choice(text("<thi"), use(stop=True), request=thinking).parts] == [TextPart, ToolCallPart]


def test_thoughts_of_their_own() -> None:
    data = [
        event("reasoningContentEvent", {"text": "one"}),
        event("reasoningContentEvent", {"signature": "s1"}),
        event("reasoningContentEvent", {"text": "two"}),
        event("reasoningContentEvent", {"redactedContent": "r"}),
    ]
    assert choice(*data, text("x")).parts == (
        ReasoningPart("one", (Opaque("kiro.signature", "s1", ORIGIN),)),
        ReasoningPart("two", (Opaque("kiro.redacted", "r", ORIGIN),)),
        TextPart("x"),
    )


def test_the_model_and_payloads_inside_their_name() -> None:
    wrapped = event("assistantResponseEvent", {"assistantResponseEvent": {"content": "a", "modelId": "claude-x"}})
    told = events(wrapped)
    assert isinstance(told[0], Started) and told[0].model == "claude-x" and Delta(0, "a") in told


@pytest.mark.parametrize(
    ("frames", "kind"),
    [
        (exception("ThrottlingException", {"message": "slow"}), Kind.ACCOUNT_RATE_LIMITED),
        (frame({":message-type": "error", ":error-code": "InternalServerException"}), Kind.UPSTREAM_OVERLOADED),
        (event("invalidStateEvent", {"reason": "INVALID_TASK_ASSIST_PLAN", "message": "no"}), Kind.UPSTREAM_FAILED),
        (event("assistantResponseEvent", [1]), Kind.UPSTREAM_FAILED),
        (b"HTTP/1.1 200 OK..", Kind.UPSTREAM_FAILED),
    ],
)
def test_failures_end_it(frames: bytes, kind: Kind) -> None:
    told = events(text("Hel"), frames, text("lo"))
    assert isinstance(told[-1], Failed) and told[-1].error.kind is kind and Delta(0, "Hel") in told and Delta(0, "lo") not in told


def test_what_is_cut_does_not_end() -> None:
    whole = text("Hello")
    for data in ([whole, whole[:-1]], [whole[:20]], [], [event("meteringEvent", {"usage": 1})], [event("followupPromptEvent", {})]):
        assert not any(isinstance(one, Ended) for one in events(*data))


def test_as_one_piece() -> None:
    data = b"".join(frames(SAID, "TOOL_USE"))
    assert ResponseParser(ORIGIN, ASKED).whole(data) == events(data)
    for body in ({"__type": "x#ThrottlingException", "message": "slow"}, b'{"__type":"ThrottlingException"}'):
        (failed,) = ResponseParser(ORIGIN).whole(body)
        assert isinstance(failed, Failed) and failed.error.kind is Kind.ACCOUNT_RATE_LIMITED and failed.error.upstream_status is None
