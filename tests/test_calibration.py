"""The factor between what is estimated and what is reported: learned, bounded, kept, and cheap to ask."""

from __future__ import annotations

import random
import timeit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector import catalog
from omni_connector.calibration import ALLOWANCE, EVERY_MS, FLOOR, LEAST_RAW, MEMORY, SANE, STRANGER, Calibration, Learned
from omni_connector.chat import Usage
from omni_connector.record import Record

MODEL = "claude-sonnet-4-5-20250929"


def taught(*ratios: float, model: str = MODEL) -> Calibration:
    calibration = Calibration(catalog.family)
    for ratio in ratios:
        calibration.learn(model, 10_000, round(10_000 * ratio))
    return calibration


def test_a_stranger_is_taken_as_estimated_and_bounded_widely() -> None:
    calibration = Calibration(catalog.family)
    assert calibration.likely("who", 1_000) == 1_000
    assert calibration.upper("who", 1_000) == 1_600 + ALLOWANCE and calibration.upper("who", 0) == ALLOWANCE


def test_a_family_is_learned_whatever_its_models_are_called() -> None:
    calibration = taught(*[1.3] * 100)
    for name in (MODEL, "anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"):
        assert calibration.likely(name, 1_000) == pytest.approx(1_300, abs=15)
    assert calibration.likely("gpt-5", 1_000) == 1_000
    assert 1_300 < calibration.upper(MODEL, 1_000) - ALLOWANCE < 1_600


def test_a_new_tokenizer_behind_the_old_name_is_learned_too() -> None:
    calibration = taught(*[0.8] * 5_000, *[1.2] * (3 * MEMORY))
    assert calibration.likely(MODEL, 1_000) == pytest.approx(1_200, rel=0.03)


def test_the_bound_holds_for_what_scatters() -> None:
    dice = random.Random(7)
    ratios = [min(1.6, max(0.5, dice.gauss(1.05, 0.12))) for _ in range(4_000)]
    calibration = taught(*ratios[:300])
    broken = sum(round(2_000 * ratio) > calibration.upper(MODEL, 2_000) for ratio in ratios[300:])
    assert broken == 0
    assert calibration.upper(MODEL, 100_000) < 100_000 * 1.7 + ALLOWANCE, "and is of use"


def test_the_bound_is_never_nearer_than_its_floor() -> None:
    assert taught(*[0.5] * 2_000).upper(MODEL, 10_000) == round(10_000 * FLOOR) + ALLOWANCE
    assert taught(1.0, 1.0).upper(MODEL, 10_000) == round(10_000 * STRANGER) + ALLOWANCE, "two answers are no experience"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**9)), max_size=60), st.integers(0, 10**7))
def test_nothing_that_is_reported_breaks_it(seen: list[tuple[int, int]], raw: int) -> None:
    calibration = Calibration(catalog.family)
    for estimated, reported in seen:
        calibration.learn(MODEL, estimated, reported)
    likely, upper = calibration.likely(MODEL, raw), calibration.upper(MODEL, raw)
    assert raw * SANE[0] - 1 <= likely <= raw * SANE[1] + 1 and upper >= raw * FLOOR


def test_one_strange_answer_moves_little() -> None:
    calibration = taught(*[1.0] * 50, 5.9)
    assert calibration.likely(MODEL, 1_000) < 1_030


def row(**fields: object) -> Record:
    record = Record("req_1", 1, "prc_1", "anthropic-messages", "/v1/messages", "")
    record.model, record.est_input, record.usage = MODEL, 1_000, Usage(input=500, cache_read=1_000, output=10)
    record.outcome, record.usage_source = "ok", "reported"
    for name, value in fields.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize(
    "fields",
    [
        {"usage_source": "counted"},
        {"usage_source": "estimated"},
        {"outcome": "client_left"},
        {"continued": True},
        {"est_input": LEAST_RAW - 1},
        {"est_input": 0},
        {"usage": Usage(input=1_500, output=1, web_searches=2)},
        {"usage": Usage(input=400_000, output=1)},
        {"model": None},
    ],
)
def test_rows_that_teach_nothing(fields: dict[str, object]) -> None:
    calibration = Calibration(catalog.family)
    calibration.hear(row(**fields))
    assert calibration.known() == []


def test_what_is_learned_is_written_now_and_then_and_read_again() -> None:
    calibration = Calibration(catalog.family)
    calibration.hear(row())
    known = calibration.known()
    assert [one.family for one in known] == ["claude-sonnet-4.5"] and known[0].mean > 1, "cached tokens are part of a prompt"
    assert calibration.take(EVERY_MS) == known and calibration.take(9 * EVERY_MS) == []
    calibration.give_back(known)
    assert calibration.take(EVERY_MS + 1) == [] and calibration.take(EVERY_MS + 1, last=True) == known
    fresh = Calibration(catalog.family)
    fresh.load([*known, Learned("nonsense", 5, -3.0, 0.1), Learned("endless", 5, float("nan"), 0.1)])
    assert fresh.known() == known and fresh.take(99 * EVERY_MS) == []


def test_asking_costs_next_to_nothing() -> None:
    calibration = taught(*[1.2] * 20)
    best = min(timeit.repeat(lambda: calibration.upper(MODEL, 5_000), number=20_000, repeat=5)) / 20_000
    assert best < 20e-6, "about a microsecond; the bound leaves room for a busy machine"
