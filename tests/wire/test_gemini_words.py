"""Names, spellings, numbers, usage."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Finish, Usage
from omni_connector.wire.gemini_words import (
    FINISH_NUMBERS,
    FINISH_REASON,
    MODE_NUMBERS,
    camel,
    dumps,
    finish_of,
    from_usage,
    generation,
    is_third,
    loads,
    path,
    to_usage,
    word_of,
)


def test_the_path_depends_on_model_and_streaming_and_holds_one_segment() -> None:
    assert path("models/gemini-2.5-pro", False) == "/models/gemini-2.5-pro:generateContent"
    assert path("google/gemini:x?y#z", True) == "/models/google%2Fgemini%3Ax%3Fy%23z:streamGenerateContent?alt=sse"


def test_both_spellings_are_one() -> None:
    assert camel({"function_call": {"my_arg": 1}, "_responseJsonSchema": 2, "topP": 3}) == {
        "functionCall": {"my_arg": 1},
        "responseJsonSchema": 2,
        "topP": 3,
    }
    assert camel({"inlineData": None, "inline_data": 1}) == {"inlineData": 1}
    assert camel({"inlineData": 1, "inline_data": 2}) == {"inlineData": 1}


def test_enums_come_as_words_or_numbers() -> None:
    assert [word_of(value, MODE_NUMBERS) for value in ("ANY", 2, 2.0, 99, None, True, "", [])] == [
        "ANY", "ANY", "ANY", "99", None, None, None, None,
    ]  # fmt: skip
    assert FINISH_NUMBERS[2] == "MAX_TOKENS"


def test_every_finish_has_a_word_and_calls_are_told_from_stop() -> None:
    assert set(FINISH_REASON) == set(Finish)
    assert finish_of("STOP", True) is Finish.TOOL_CALLS
    assert finish_of(None, False) is Finish.STOP
    assert finish_of("MAX_TOKENS", True) is Finish.LENGTH
    assert {finish_of(word, False) for word in ("SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII")} == {Finish.FILTER}
    assert {finish_of(word, True) for word in ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "NEW")} == {Finish.OTHER}


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("gemini-2.5-pro-preview-06-05", (2, 5)),
        ("models/gemini-3-flash-preview", (3, 0)),
        ("google/gemini-3.1-pro", (3, 1)),
        ("gemini-2-5-flash", (2, 5)),
        ("gemini-flash-lite-latest", (3, 0)),
        ("gemma-3-27b", None),
    ],
)
def test_generations(model: str, version: tuple[int, int] | None) -> None:
    assert generation(model) == version
    assert is_third(model) == (version is not None and version[0] >= 3)


@pytest.mark.parametrize(
    ("block", "usage"),
    [
        # Cached tokens are inside the prompt, thoughts outside the candidates.
        (
            {"promptTokenCount": 90, "cachedContentTokenCount": 40, "candidatesTokenCount": 6, "thoughtsTokenCount": 31},
            Usage(50, 40, None, 37, 31),
        ),
        (
            {"promptTokenCount": 75, "candidatesTokenCount": 4, "toolUsePromptTokenCount": 573, "totalTokenCount": 652},
            Usage(648, None, None, 4),
        ),
        ({"promptTokenCount": 12, "thoughtsTokenCount": 84, "totalTokenCount": 96}, Usage(12, None, None, 84, 84)),
        ({"prompt_token_count": 5, "total_token_count": 9}, Usage(5, None, None, 4)),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, Usage(5)),
        ({"promptTokenCount": 3, "cachedContentTokenCount": 9, "candidatesTokenCount": 0}, Usage(0, 3, None, 0)),
        ({"trafficType": "ON_DEMAND"}, None),
        ({"promptTokenCount": "many"}, None),
        (None, None),
    ],
)
def test_usage_in(block: Any, usage: Usage | None) -> None:
    found = to_usage(block)
    if usage is None:
        assert found is None
        return
    assert found is not None
    assert (found.input, found.cache_read, found.cache_write, found.output, found.reasoning) == (
        usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning,
    )  # fmt: skip
    assert found.raw == block


def test_usage_out() -> None:
    assert from_usage(Usage(20, 80, 5, 9, 4, {"prompt_tokens": 1})) == {
        "promptTokenCount": 105,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 80,
        "totalTokenCount": 114,
    }
    assert from_usage(Usage()) == {"promptTokenCount": 0, "totalTokenCount": 0}
    own = {"promptTokenCount": 75, "candidatesTokenCount": 4, "toolUsePromptTokenCount": 573, "totalTokenCount": 652, "serviceTier": "x"}
    again = to_usage(own)
    assert again is not None
    assert from_usage(again) == own


def test_json() -> None:
    assert loads(b'{"a":"\\ud83c"}') == {"a": "\ud83c"}
    assert dumps({"a": "\ud83c"}) == '{"a":"\ufffd"}'.encode()
    assert loads(b"{") is loads("[" * 100_000) is loads(b"1e999") is None
