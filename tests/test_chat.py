"""The canonical conversation: streamed and whole are one thing, opaque values come back, usage adds up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    EFFORT_BUDGET,
    ENVELOPE,
    LEVELS,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    Fold,
    ForeignPart,
    MediaPart,
    Message,
    Opaque,
    Origin,
    OutputFormat,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    Usage,
    UsageSeen,
    effort_of,
    fold,
    needs,
    seal,
    unfold,
    unseal,
)
from omni_connector.errors import GatewayError, Kind

TEXT = st.text(max_size=20)
COUNT = st.none() | st.integers(0, 10**6)
EXTRA = st.dictionaries(st.sampled_from(["a", "b"]), st.integers() | TEXT, max_size=2)
OPAQUE = st.builds(Opaque, kind=TEXT, value=TEXT, origin=st.builds(Origin, TEXT, TEXT))
PARTS = st.one_of(
    st.builds(TextPart, TEXT, citations=st.lists(EXTRA, max_size=2).map(tuple), extra=EXTRA),
    st.builds(ReasoningPart, TEXT, st.lists(OPAQUE, max_size=2).map(tuple), EXTRA),
    st.builds(ToolCallPart, TEXT, TEXT, TEXT, st.booleans(), st.lists(OPAQUE, max_size=2).map(tuple), extra=EXTRA),
    st.builds(RefusalPart, TEXT),
    st.builds(ForeignPart, TEXT, EXTRA),
)
USAGE = st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT, EXTRA, COUNT, COUNT)
CHOICES = st.builds(Choice, st.lists(PARTS, max_size=4).map(tuple), st.sampled_from(Finish), st.none() | TEXT, st.none() | TEXT, EXTRA)
RESPONSES = st.builds(ChatResponse, TEXT, TEXT, st.integers(0), st.lists(CHOICES, max_size=3).map(tuple), st.none() | USAGE, EXTRA)


# ---------------------------------------------------------------- Streamed and whole


@given(RESPONSES)
def test_fold_undoes_unfold(response: ChatResponse) -> None:
    assert fold(unfold(response)) == response


@given(RESPONSES, st.integers(1, 4))
def test_how_a_text_is_cut_into_deltas_does_not_matter(response: ChatResponse, size: int) -> None:
    whole = Fold()
    for event in unfold(response):
        if not isinstance(event, Delta):
            whole.feed(event)
            continue
        for start in range(0, len(event.text), size):
            whole.feed(Delta(event.index, event.text[start : start + size]))
    assert whole.response() == response
    assert whole.ended


def test_parts_of_two_calls_may_come_in_turns() -> None:
    events = [
        Started("r", "m"),
        PartStart(0, "tool_call", "c0", "f"),
        PartStart(1, "tool_call", "c1", "g"),
        Delta(0, '{"a"'),
        Delta(1, "{}"),
        Delta(0, ":1}"),
        Finished(Finish.TOOL_CALLS),
        Ended(),
    ]
    (choice,) = fold(events).choices
    assert choice.parts == (ToolCallPart("c0", "f", '{"a":1}'), ToolCallPart("c1", "g", "{}"))


def test_a_torn_stream_folds_to_what_came_and_a_failed_one_raises() -> None:
    torn = Fold()
    for event in (Started("r", "m"), PartStart(0, "text"), Delta(0, "half")):
        torn.feed(event)
    assert not torn.ended
    assert torn.response().choices == (Choice((TextPart("half"),), Finish.OTHER),)
    with pytest.raises(GatewayError):
        fold([Started("r", "m"), Failed(GatewayError(Kind.UPSTREAM_OVERLOADED, "busy"))])


def test_an_answer_cannot_hold_what_only_a_request_can() -> None:
    response = ChatResponse("r", "m", 0, (Choice((ToolResultPart("c", ()),), Finish.STOP),))
    with pytest.raises(TypeError):
        list(unfold(response))


# ---------------------------------------------------------------- Opaque values


@given(st.builds(Opaque, kind=st.text(), value=st.text(), origin=st.builds(Origin, st.text(), st.text())))
def test_what_is_sealed_comes_back(opaque: Opaque) -> None:
    text = seal(opaque)
    assert text.startswith(ENVELOPE)
    assert text.isascii()
    assert not set(text) & set('"\\/+=\n '), "it must survive JSON, headers and addresses unescaped"
    assert unseal(text) == opaque


@given(st.text() | st.text().map(ENVELOPE.__add__) | st.binary().map(lambda raw: ENVELOPE + raw.decode("latin-1")))
def test_a_foreign_or_broken_envelope_is_none(text: str) -> None:
    found = unseal(text)
    assert found is None or seal(found).rstrip("=") == text.rstrip("=") or unseal(seal(found)) == found


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_an_envelope_that_was_cut_off_is_not_half_read(cut: int) -> None:
    text = seal(Opaque("anthropic.signature", "EqQBCgIYAhIM" * 3, Origin("anthropic", "claude-x")))
    assert unseal(text[:-cut]) is None


def test_a_bare_value_keeps_its_place_without_an_origin() -> None:
    assert unseal(seal(Opaque("k", "v"))) == Opaque("k", "v", Origin("", ""))


# ---------------------------------------------------------------- Usage


@given(USAGE, USAGE, USAGE)
def test_merging_usage_is_associative_and_keeps_what_is_not_mentioned(a: Usage, b: Usage, c: Usage) -> None:
    assert a.merged(b).merged(c) == a.merged(b.merged(c))
    assert a.merged(Usage()) == a == Usage().merged(a)
    assert a.merged(b).input == (a.input if b.input is None else b.input)


def test_the_sums_of_usage_count_nothing_twice() -> None:
    usage = Usage(input=10, cache_read=5, cache_write=3, output=7, reasoning=4, cache_write_1h=2)
    assert (usage.prompt, usage.total) == (18, 25)
    assert (Usage().prompt, Usage().total) == (0, 0)


def test_usage_in_the_first_event_and_later_ones_adds_up_to_the_last_word() -> None:
    events = [Started("r", "m", usage=Usage(input=9, output=1)), UsageSeen(Usage(output=30)), Finished(Finish.STOP), Ended()]
    assert fold(events).usage == Usage(input=9, output=30)


# ---------------------------------------------------------------- Needs


def asking(*parts: Any, **more: Any) -> ChatRequest:
    return ChatRequest("openai-chat", "m", (Message("user", (TextPart("hi"),)), Message("user", parts)), **more)


@pytest.mark.parametrize(
    ("request_", "wanted"),
    [
        (asking(TextPart("x")), {}),
        (asking(MediaPart("image", url="https://x.invalid/a.png")), {"vision": "messages[1]"}),
        (asking(MediaPart("document", data="JVBERi0=")), {"documents": "messages[1]"}),
        (asking(MediaPart("audio", data="UklGRg==")), {"audio": "messages[1]"}),
        (asking(ToolResultPart("c", (MediaPart("image", data="x"),))), {"vision": "messages[1]"}),
        (asking(tools=(Tool("function", "f"),)), {"tools": "tools"}),
        (asking(output=OutputFormat("json_schema")), {"json": "response_format"}),
        (asking(output=OutputFormat("text")), {}),
    ],
)
def test_needs_name_the_field_that_asks(request_: ChatRequest, wanted: dict[str, str]) -> None:  # O-19
    assert needs(request_) == wanted


def test_levels_of_thinking_and_budgets_map_back() -> None:
    # P-49, P-50
    assert LEVELS == ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    assert [effort_of(EFFORT_BUDGET[level]) for level in LEVELS] == list(LEVELS)
    assert [effort_of(tokens) for tokens in (1, 513, 31999, 10**9)] == ["minimal", "low", "xhigh", "max"]
