"""Overlapping parts come out one after the other, with nothing lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Delta, PartEnd, PartStart
from omni_connector.wire.in_turn import InTurn, PartEvent


def in_turn(events: list[PartEvent]) -> list[PartEvent]:
    turns = InTurn()
    return [out for event in events for out in turns.feed(event)] + turns.close()


def test_a_later_part_waits() -> None:
    one, two = PartStart(0, "text"), PartStart(1, "tool_call", "b", "g")
    mixed = [one, Delta(0, "a"), two, Delta(1, "x"), Delta(0, "b"), PartEnd(1), PartEnd(0)]
    assert in_turn(mixed) == [one, Delta(0, "a"), Delta(0, "b"), PartEnd(0), two, Delta(1, "x"), PartEnd(1)]


def test_what_was_left_open_ends() -> None:
    one, two = PartStart(0, "text"), PartStart(1, "text")
    assert in_turn([one, two, Delta(1, "x")]) == [one, PartEnd(0), two, Delta(1, "x"), PartEnd(1)]


def test_words_of_an_unknown_part_are_left_out() -> None:
    one = PartStart(0, "text")
    assert in_turn([Delta(3, "?"), one, PartEnd(0), Delta(0, "late"), PartEnd(7)]) == [one, PartEnd(0)]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["start", "delta", "end"])), max_size=30))
def test_at_most_one_part_is_open(steps: list[tuple[int, str]]) -> None:
    started: set[int] = set()
    events: list[PartEvent] = []
    for index, step in steps:
        if step == "start" and index not in started:
            started.add(index)
            events.append(PartStart(index, "text"))
        elif step == "delta":
            events.append(Delta(index, "x"))
        elif step == "end":
            events.append(PartEnd(index))
    current: int | None = None
    seen = []
    for event in in_turn(events):
        if isinstance(event, PartStart):
            assert current is None
            current = event.index
            seen.append(current)
        assert event.index == current
        if isinstance(event, PartEnd):
            current = None
    assert current is None
    assert sorted(seen) == sorted(started)
