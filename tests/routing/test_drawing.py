"""A thousand accounts are drawn from, and priority, home and failures still count."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from omni_connector.routing.candidates import Candidate
from omni_connector.routing.drawing import DRAWN, FRESH, MORE, MOST, Drawing
from omni_connector.snapshot import Account


def tier(count: int, priority: int = 0, *, first: int = 0) -> tuple[Candidate, ...]:
    return tuple(Candidate(Account(f"acc_{n}", "openai", f"a{n}", priority=priority), "gpt-5") for n in range(first, first + count))


@pytest.mark.parametrize("count", [0, 1, MOST])
def test_a_small_tier_is_weighed_whole(count: int) -> None:
    small = tier(count)
    assert Drawing().draw(small, "", Random(1)) is small


def test_everybody_is_drawn_as_often_and_the_home_always() -> None:
    many, drawing, rng = tier(200), Drawing(), Random(7)
    seen: Counter[str] = Counter()
    for _ in range(draws := 40_000):
        drawn = drawing.draw(many, "acc_17", rng)
        assert len(drawn) == len({one.account.id for one in drawn}) <= DRAWN + 1
        assert many[17] in drawn
        seen.update(one.account.id for one in drawn)
    expected = draws * DRAWN / 200
    assert all(abs(seen[f"acc_{n}"] - expected) < expected / 4 for n in range(200) if n != 17)


def test_who_stands_higher_is_drawn_first() -> None:
    mixed = (*tier(100), *tier(5, priority=3, first=100))
    drawn = Drawing().draw(mixed, "", Random(3))
    assert {one.account.id for one in mixed[100:]} <= {one.account.id for one in drawn}
    high = (*tier(100), *tier(80, priority=3, first=100))
    assert {one.account.priority for one in Drawing().draw(high, "", Random(3))} == {3}


def test_another_configuration_is_another_tier() -> None:
    drawing = Drawing()
    drawing.draw(tier(100), "", Random(1))
    fresh = tier(100, first=500)
    assert {one.account.id for one in drawing.draw(fresh, "", Random(1))} <= {one.account.id for one in fresh}


def test_some_of_those_drawn_are_new_each_time_and_each_stays_as_long() -> None:
    many, drawing, rng = tier(200), Drawing(), Random(5)
    before = drawing.draw(many, "", rng)
    for _ in range(200):
        drawn = drawing.draw(many, "", rng)
        assert len(drawn) == len({one.account.id for one in drawn}) == DRAWN
        assert drawn[: DRAWN - FRESH] == before[FRESH:]
        assert not {one.account.id for one in drawn[-FRESH:]} & {one.account.id for one in before}
        before = drawn
    assert len({one.account.id for one in drawing.draw(many, "", rng, MORE)}) == MORE
