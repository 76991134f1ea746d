"""Maps and conversions of the Responses format."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Json, Opaque, Origin, Usage, seal
from omni_connector.wire import openai_responses_words as words

CLAUDE = Origin("anthropic", "claude")
SIGNATURE = Opaque("anthropic.signature", "c2ln", CLAUDE)


@pytest.mark.parametrize(
    ("response", "calls", "found"),
    [
        ({"status": "completed"}, False, (Finish.STOP, "completed")),
        ({"status": "completed"}, True, (Finish.TOOL_CALLS, "completed")),
        ({}, False, (Finish.STOP, "completed")),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, True, (Finish.LENGTH, "max_output_tokens")),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, False, (Finish.FILTER, "content_filter")),
        ({"incomplete_details": {"reason": "max_messages"}}, False, (Finish.OTHER, "max_messages")),
        ({"status": "incomplete"}, False, (Finish.OTHER, "incomplete")),
        ({"status": "queued"}, False, (Finish.OTHER, "queued")),
    ],
)
def test_how_an_answer_ended(response: Json, calls: bool, found: tuple[Finish, str]) -> None:
    assert words.finish_of(response, calls) == found
    status, reason = words.status_of(*found)
    assert (status, reason) == (response.get("status", status), (response.get("incomplete_details") or {}).get("reason"))


def test_a_stream_that_is_over_has_ended_whatever_its_status_says() -> None:
    assert words.finish_of({"status": "in_progress"}, False, ended=True) == (Finish.STOP, "completed")


@pytest.mark.parametrize("finish", list(Finish))
def test_every_finish_has_a_status(finish: Finish) -> None:
    status, reason = words.status_of(finish, None)
    assert (status == "incomplete") == (reason is not None)
    assert status in {"completed", "incomplete"}


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        (
            {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
                "output_tokens": 20,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 120,
            },
            (30, 60, 10, 20, 5),
        ),
        ({"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}, (5, None, None, 2, None)),
        (
            {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 9}, "total_tokens": 16},
            (5, None, None, 11, 9),
        ),
        ({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 99}, "output_tokens": 2, "total_tokens": 7}, (0, 5, None, 2, None)),
    ],
)
def test_usage_becomes_exclusive(raw: Json, counts: tuple[int | None, ...]) -> None:
    usage = words.to_usage(raw)
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) == counts
    assert usage.raw == raw


@pytest.mark.parametrize("raw", [None, {}, [], "x", {"input_tokens": None}, {"input_tokens": "5"}])
def test_a_usage_that_says_nothing_is_none(raw: Any) -> None:
    assert words.to_usage(raw) is None


def test_usage_becomes_inclusive_again_and_is_always_there() -> None:
    block = words.from_usage(Usage(30, 60, 10, 20, 5, raw={"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 3}))
    assert block == {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    assert words.from_usage(None)["total_tokens"] == 0
    own = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4, "cost": 0.1, "input_tokens_details": {"odd": 1}}
    usage = words.to_usage(own)
    assert words.from_usage(usage)["cost"] == 0.1
    assert words.from_usage(usage)["input_tokens_details"] == {"odd": 1, "cached_tokens": 0, "cache_write_tokens": 0}


def test_billed_searches_are_counted() -> None:
    response = {"usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}, "tool_usage": {"web_search": {"num_requests": 3}}}
    usage = words.usage_of(response)
    assert usage is not None
    assert usage.web_searches == 3


@given(st.text(), st.text())
def test_ids_and_cipher_texts_survive_packing(item_id: str, encrypted: str) -> None:
    kept = "" if " " in item_id else item_id
    assert words.unpack(words.pack(item_id, encrypted)) == (kept, encrypted)


def test_opaque_values_survive_a_client() -> None:  # law 1: byte-exact, sealed, never forged
    own = Opaque(words.ENCRYPTED, "rs_1 gAAA", Origin("openai", "gpt"))
    assert words.close_encrypted([own], None) == ("rs_1", "gAAA")
    assert words.open_encrypted("gAAA", "rs_1") == ((Opaque(words.ENCRYPTED, "rs_1 gAAA"),), {})
    two = [SIGNATURE, Opaque("anthropic.redacted", "eA==", CLAUDE)]
    _, sealed = words.close_encrypted(two, None)
    assert sealed.startswith("omni1.")
    assert words.open_encrypted(sealed, "rs_2") == (tuple(two), {})
    _, nothing = words.close_encrypted([], CLAUDE)
    assert words.open_encrypted(nothing, "rs_3") == ((Opaque("none", "", CLAUDE),), {})
    for torn in (sealed[:-5], "omni1.", "omni1.!!"):
        assert all(opaque.origin != CLAUDE or opaque in two for opaque in words.open_encrypted(torn, "")[0])
        assert words.open_encrypted(torn, "")[0]


def test_what_belongs_to_a_call_travels_beside_it() -> None:
    gemini = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))
    sealed = words.seal_for_call("call 1", [gemini, SIGNATURE])
    assert words.open_encrypted(sealed, "") == ((), {"call 1": [gemini, SIGNATURE]})
    broken = seal(Opaque(words.FOR_CALL, "[1]", CLAUDE))
    assert words.open_encrypted(broken, "") == ((), {})


@pytest.mark.parametrize(
    ("note", "citation"),
    [
        ({"type": "url_citation", "url": "u", "start_index": 1}, {"type": "url_citation", "url_citation": {"url": "u", "start_index": 1}}),
        ({"type": "file_citation", "file_id": "f"}, {"type": "file_citation", "file_id": "f"}),
    ],
)
def test_citations(note: Json, citation: Json) -> None:
    assert words.to_citation(note) == citation
    assert words.from_citation(citation, 0, 9) == note


def test_citations_of_other_formats() -> None:
    web = {"type": "web_search_result_location", "url": "https://a.example", "title": "A"}
    assert words.from_citation(web, 2, 9) == {
        "type": "url_citation",
        "start_index": 2,
        "end_index": 9,
        "url": "https://a.example",
        "title": "A",
    }
    assert words.from_citation({"type": "char_location"}, 0, 1) is None


@pytest.mark.parametrize("mark", [{"mode": "explicit"}, {"mode": "explicit", "ttl": "30m"}, {"mode": "explicit", "ttl": "12h"}])
def test_cache_markers(mark: Json) -> None:
    cache = words.to_cache(mark)
    assert cache is not None
    assert cache["type"] == "ephemeral"
    assert words.from_cache(cache) == mark


@pytest.mark.parametrize("mark", [None, "x", {}, {"mode": "implicit"}, {"mode": "explicit", "ttl": []}, {"mode": "explicit", "more": 1}])
def test_other_cache_markers_are_not_understood(mark: Any) -> None:
    assert words.to_cache(mark) is None


def test_long_call_ids_are_hashed_alike() -> None:
    assert words.call_id("functions.read:0") == "functions.read:0"
    long = "toolu_" + "x" * 80
    assert words.call_id(long) == words.call_id(long) != words.call_id(long + "y")
    assert len(words.call_id(long)) <= words.MAX_CALL_ID


def test_grammars_nest_as_in_the_chat_format() -> None:
    flat = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}
    assert (words.to_grammar(flat), words.from_grammar(nested)) == (nested, flat)
    for form in (None, {"type": "text"}):
        assert words.to_grammar(form) == words.from_grammar(form) == form
