"""Conversions both directions share."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Opaque, Origin, Usage, seal
from omni_connector.wire.anthropic_words import (
    SIGNATURE,
    dumps,
    from_usage,
    from_wire_id,
    join_sealed,
    loads_object,
    open_opaque,
    to_arguments,
    to_input,
    to_usage,
    to_wire_id,
)

# C-13: a call and its result keep meeting, whoever made the id.


@given(st.text(min_size=1), st.text(min_size=1))
def test_wire_ids_are_allowed_reversible_and_distinct(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", to_wire_id(one))
    assert from_wire_id(to_wire_id(one)) == one
    assert (to_wire_id(one) == to_wire_id(other)) == (one == other)


@pytest.mark.parametrize("good", ["toolu_01A", "call-7", "omni_", "omni_abc", "omni_dG9vbHVfMDE"])
def test_good_ids_stay_even_those_that_look_like_ours(good: str) -> None:
    assert to_wire_id(good) == good
    assert from_wire_id(good) == good


@given(st.text())
def test_arguments_survive_being_an_object(text: str) -> None:
    back = to_arguments(to_input(text))
    if text.strip() and loads_object(text) is None:
        assert back == text
    else:
        assert loads_object(back) == (loads_object(text) or {})


@pytest.mark.parametrize("text", ["[1]", '"x"', "{broken", '{"a":1e999}', "NaN", '{"_raw_arguments":"[1]"} x'])
def test_what_is_no_object_is_kept_as_text(text: str) -> None:
    assert to_input(text) == {"_raw_arguments": text}


def test_a_tool_that_really_has_such_a_field_keeps_it() -> None:
    assert to_input(to_arguments({"_raw_arguments": "{}"})) == {"_raw_arguments": "{}"}
    assert to_input(to_arguments({"_raw_arguments": "x", "more": 1})) == {"_raw_arguments": "x", "more": 1}


def test_half_an_emoji_is_written_as_an_escape() -> None:
    assert dumps({"text": "\ud83c"}) == b'{"text":"\\ud83c"}'
    assert loads_object('{"text":"\\ud83c"}') == {"text": "\ud83c"}


def test_usage_counts_are_exclusive_and_compaction_is_billed() -> None:
    raw = {
        "input_tokens": 181,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": None,
        "output_tokens": 8,
        "output_tokens_details": {"thinking_tokens": 5},
        "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 83, "cache_read_input_tokens": 55096},
            {"type": "message", "input_tokens": 181, "output_tokens": 8},
        ],
    }
    usage = to_usage(raw)
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) == (281, 55096, 0, 91, 5)
    told = from_usage(usage)
    assert (told["input_tokens"], told["output_tokens"], told["iterations"]) == (181, 8, raw["iterations"])


def test_what_costs_more_is_counted_apart() -> None:
    raw = {
        "input_tokens": 3,
        "cache_creation_input_tokens": 100,
        "output_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }
    usage = to_usage(raw)
    assert usage is not None
    assert (usage.cache_write, usage.cache_write_1h, usage.web_searches) == (100, 40, 2)
    told = from_usage(usage)
    assert (told["cache_creation"], told["server_tool_use"]) == (raw["cache_creation"], raw["server_tool_use"])
    # Counts that another format stated are said in this one's words.
    told = from_usage(Usage(input=3, cache_write=100, output=9, cache_write_1h=40, web_searches=2, raw={"prompt_tokens": 103}))
    assert told["cache_creation"] == raw["cache_creation"]
    assert told["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}
    for odd in ({"cache_creation": 5, "server_tool_use": []}, {"cache_creation": {"ephemeral_1h_input_tokens": -1}}):
        usage = to_usage(odd)
        assert usage is not None and (usage.cache_write_1h, usage.web_searches) == (None, None)


def test_usage_of_another_format_lends_no_raw_fields() -> None:
    told = from_usage(Usage(input=1, output=2, raw={"prompt_tokens": 1, "service_tier": "default"}))
    assert told == {"input_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 2}
    assert to_usage(None) is None
    assert to_usage({"input_tokens": True, "output_tokens": -1}) == Usage(raw={"input_tokens": True, "output_tokens": -1})


def test_signatures_are_opened_by_their_first_bytes() -> None:
    foreign = [Opaque("openai.encrypted", "gAAA", Origin("openai", "gpt-5.5")), Opaque("x", "y", Origin("z", "w"))]
    assert open_opaque(join_sealed([seal(one) for one in foreign]), SIGNATURE) == tuple(foreign)
    assert open_opaque("Eq0B", SIGNATURE) == (Opaque(SIGNATURE, "Eq0B"),)
    (torn,) = open_opaque(seal(foreign[0])[:-6], SIGNATURE)
    assert torn.origin == Origin("", "")
