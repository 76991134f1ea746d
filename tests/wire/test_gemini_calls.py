"""Arguments, results, ids and names of calls."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.gemini_calls import from_response, is_made_up, make_id, to_args, to_arguments, to_response, to_wire_name

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(codec="utf-8"))


@given(st.dictionaries(TEXT, JSON, max_size=4) | st.fixed_dictionaries({"_raw_arguments": TEXT | st.just("{}")}))
def test_arguments_survive(args: dict[str, object]) -> None:
    assert to_args(to_arguments(args)) == args


@given(TEXT | st.sampled_from(["", "[1]", '{"a": 1', "null"]))
def test_what_is_no_object_survives_too(text: str) -> None:
    assert to_arguments(to_args(text)) == (text if text.strip() else "{}")


def test_exact_numbers_and_free_text() -> None:
    assert to_arguments(to_args('{"n":123456789012345678901234567890}')) == '{"n":123456789012345678901234567890}'
    assert to_args("free *text*", custom=True) == {"input": "free *text*"}


@given(
    st.dictionaries(TEXT, JSON, max_size=3)
    | st.fixed_dictionaries({"output": JSON | st.just('{"a":1}')})
    | st.fixed_dictionaries({"error": JSON})
)
def test_responses_survive(response: dict[str, object]) -> None:
    assert to_response(*from_response(response)) == response


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"output": "sunny"}, "sunny", False),
        ({"output": '{"a":1}'}, '{"output":"{\\"a\\":1}"}', False),
        ({"error": "no such city"}, "no such city", True),
        ({"result": 4}, '{"result":4}', False),
        ({}, "{}", False),
    ],
)
def test_responses_as_other_formats_read_them(response: dict[str, object], text: str, is_error: bool) -> None:
    assert from_response(response) == (text, is_error)


def test_ids_that_are_made_up_are_stable_short_and_known() -> None:
    assert make_id(3, "get weather!") == "gemini_call_3_get_weather_"
    assert is_made_up(make_id(0, "x"))
    assert not is_made_up("call_1")
    assert len(make_id(999, "x" * 99)) <= 40


@given(st.text(min_size=1))
def test_names_always_fit_and_stay_different(name: str) -> None:
    wire = to_wire_name(name)
    assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}", wire)
    assert to_wire_name(wire) == wire
    assert to_wire_name(name + "!") != wire


def test_good_names_stay() -> None:
    assert to_wire_name("mcp__files.read:v1-x") == "mcp__files.read:v1-x"
    assert to_wire_name("7zip").startswith("_7zip_")
