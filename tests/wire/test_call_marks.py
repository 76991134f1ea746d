"""What goes with a tool call comes back to that call, exactly, and to no other. (C-23)"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Finish,
    ForeignPart,
    Message,
    Opaque,
    OpaqueDelta,
    Origin,
    Part,
    PartEnd,
    PartStart,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    unfold,
)
from omni_connector.wire.call_marks import CallMarks, Mark, from_json, restore, to_json, wanted

ORIGIN = Origin("gemini", "gemini-3")
SIGNED = Opaque("gemini.thought_signature", "c2ln", ORIGIN)
PROOF = Opaque("anthropic.signature", "proof", ORIGIN)
BARE = Opaque("anthropic.signature", "from whom?")
CALL = ToolCallPart("call_1", "get_weather", '{"city":"Paris","days":1.0}', opaque=(SIGNED,))
NEXT = ToolCallPart("call_2", "get_weather", '{"city":"Rome"}', opaque=(SIGNED,))
THOUGHT = ReasoningPart("Look outside.", (PROOF,), {"item": {"id": "rs_1"}})


def heard(*parts: Part, origin: Origin | None = None, more: tuple[Choice, ...] = ()) -> dict[str, Mark]:
    marks = CallMarks(origin)
    marks.hear(unfold(ChatResponse("r", "m", 0, (Choice(parts, Finish.TOOL_CALLS), *more))))
    return marks.marks


def asked(*parts: Part) -> ChatRequest:
    result = Message("tool", (ToolResultPart("call_1", (TextPart("sun"),)),))
    return ChatRequest("openai-chat", "m", (Message("user", (TextPart("hi"),)), Message("assistant", parts), result))


def said(request: ChatRequest) -> tuple[Part, ...]:
    return request.messages[1].parts


def bare(part: ToolCallPart, **changes: Any) -> ToolCallPart:
    return replace(part, opaque=(), **changes)


def test_a_turn_comes_back_as_it_was() -> None:
    turn = (THOUGHT, TextPart("I look."), ReasoningPart("And then?", (PROOF,)), CALL, ReasoningPart("More", (PROOF,)), NEXT)
    marks = heard(*turn)
    assert marks["call_1"].opaque == marks["call_2"].opaque == (SIGNED,)
    assert marks["call_1"].thoughts == (THOUGHT, ReasoningPart("And then?", (PROOF,)))
    assert marks["call_2"].thoughts == (), "they are the first call's"
    without = asked(TextPart("I look."), bare(CALL), bare(NEXT))
    assert wanted(without) == ("call_1", "call_2")
    assert said(restore(without, marks)) == (*turn[:4], NEXT)
    assert said(restore(asked(bare(CALL), bare(NEXT)), marks)) == (THOUGHT, ReasoningPart("And then?", (PROOF,)), CALL, NEXT)
    again = restore(without, marks)
    assert (restore(again, marks), wanted(again)) == (again, ())


def test_what_is_there_stays() -> None:
    marks = heard(THOUGHT, CALL)
    own = ReasoningPart("The client's own")
    other = replace(CALL, opaque=(PROOF,))
    request = asked(own, other)
    assert wanted(request) == ()
    assert restore(request, marks) is request
    assert wanted(asked(own, bare(CALL))) == ("call_1",)
    assert said(restore(asked(own, bare(CALL)), marks)) == (own, CALL)
    assert wanted(asked(other)) == ("call_1",), "its thoughts are missing"
    assert said(restore(asked(other), marks)) == (THOUGHT, other)


def test_nothing_to_do_changes_nothing() -> None:
    marks = heard(THOUGHT, CALL)
    for request in (asked(TextPart("no call")), asked(bare(CALL, id="")), ChatRequest("openai-chat", "m", ())):
        assert restore(request, marks) is request
        assert wanted(request) == ()
    asks = asked(bare(CALL))
    assert restore(asks, {}) is asks
    assert restore(asks, {"call_9": marks["call_1"]}) is asks


@pytest.mark.parametrize(
    "changes",
    [{"arguments": '{"city":"Rome","days":1.0}'}, {"name": "get_time"}, {"arguments": '{"city":"Paris"'}, {"custom": True}],
)
def test_another_call_with_the_same_id_gets_nothing(changes: dict[str, Any]) -> None:
    """Some providers count their calls anew in each conversation."""
    request = asked(bare(CALL, **changes))
    assert restore(request, heard(THOUGHT, CALL)) is request


@pytest.mark.parametrize("text", ['{"days": 1, "city": "Paris"}', '{"city":"\\u0050aris","days":1.00}', ' {"city" :"Paris","days":1e0}\n'])
def test_arguments_that_a_client_wrote_anew_are_the_same(text: str) -> None:
    (_, call) = said(restore(asked(bare(CALL, arguments=text)), heard(THOUGHT, CALL)))
    assert call == replace(CALL, arguments=text)
    empty = replace(CALL, arguments="")
    assert said(restore(asked(bare(empty, arguments="{}")), heard(empty))) == (replace(empty, arguments="{}"),)


def test_only_values_of_a_known_origin_are_kept() -> None:
    assert heard(replace(CALL, opaque=(BARE,))) == {}
    marks = heard(ReasoningPart("Hm.", (BARE, PROOF)), ReasoningPart("", (BARE,)), replace(CALL, opaque=(BARE, SIGNED)))
    assert (marks["call_1"].thoughts, marks["call_1"].opaque) == ((ReasoningPart("Hm.", (PROOF,)),), (SIGNED,))
    redacted = ReasoningPart("", (PROOF,))
    assert heard(redacted, bare(CALL))["call_1"].thoughts == (redacted,)


def test_thoughts_without_a_proof_say_whose_they_are() -> None:
    (thought,) = heard(ReasoningPart("Hm."), bare(CALL), origin=ORIGIN)["call_1"].thoughts
    assert (thought.text, [opaque.origin for opaque in thought.opaque]) == ("Hm.", [ORIGIN])
    assert heard(ReasoningPart("Hm."), bare(CALL))["call_1"].thoughts == (ReasoningPart("Hm."),)


def test_calls_that_cannot_be_told_apart_have_no_mark() -> None:
    assert heard(THOUGHT, replace(CALL, id="")) == {}
    twice = heard(CALL, replace(NEXT, id="call_1", opaque=(PROOF,)))
    assert twice["call_1"].opaque == (SIGNED,)
    assert heard(TextPart("words"), ForeignPart("x", {}), bare(CALL)) == {}


def test_each_choice_has_a_turn_of_its_own() -> None:
    other = Choice((ReasoningPart("Other", (PROOF,)), replace(NEXT, opaque=())), Finish.TOOL_CALLS)
    marks = heard(TextPart("words"), THOUGHT, CALL, more=(other,))
    assert (marks["call_1"].thoughts, marks["call_1"].early) == ((THOUGHT,), 0)
    assert (marks["call_2"].thoughts, marks["call_2"].early) == ((ReasoningPart("Other", (PROOF,)),), 1)


def test_parts_that_overlap_are_told_apart() -> None:
    marks = CallMarks()
    marks.hear([PartStart(0, "tool_call", "a", "f"), PartStart(1, "tool_call", "b", "g"), Delta(0, "{"), Delta(1, "[]")])
    marks.hear([OpaqueDelta(1, PROOF), Delta(0, "}"), OpaqueDelta(0, SIGNED), PartEnd(1), Delta(9, "?"), OpaqueDelta(9, SIGNED)])
    found = marks.marks
    assert (found["a"].opaque, found["b"].opaque) == ((SIGNED,), (PROOF,))
    parts = (ToolCallPart("a", "f", "{ }"), ToolCallPart("b", "g", "[]"))
    assert [part.opaque for part in said(restore(asked(*parts), found)) if isinstance(part, ToolCallPart)] == [(SIGNED,), (PROOF,)]


ORIGINS = st.builds(Origin, st.text(), st.text())
OPAQUES = st.lists(st.builds(Opaque, st.text(), st.text(), ORIGINS), max_size=3).map(tuple)
THOUGHTS = st.lists(st.builds(ReasoningPart, st.text(), OPAQUES, st.dictionaries(st.text(), st.text() | st.integers(0, 9))), max_size=3)


@given(st.builds(Mark, OPAQUES, THOUGHTS.map(tuple), st.integers(0, 3), st.text()))
def test_a_mark_survives_being_kept(mark: Mark) -> None:
    assert from_json(msgspec.json.decode(msgspec.json.encode(to_json(mark)))) == mark


@given(THOUGHTS, OPAQUES, st.text(), st.text(min_size=1))
def test_whatever_a_call_had_comes_back(thoughts: list[ReasoningPart], opaque: tuple[Opaque, ...], arguments: str, name: str) -> None:
    call = ToolCallPart("c", name, arguments, opaque=opaque)
    kept = {call_id: from_json(to_json(mark)) for call_id, mark in heard(*thoughts, call).items()}
    expected = (*(part for part in thoughts if part.text or part.opaque), call)
    assert said(restore(asked(replace(call, opaque=())), kept)) == expected


@pytest.mark.parametrize("value", [{}, {"opaque": [["a"]], "thoughts": [], "early": 0, "call": ""}, {"opaque": None}])
def test_what_is_no_mark_is_said(value: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_json(value)
