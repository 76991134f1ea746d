"""Usage: the same five counts out of blocks that disagree, and a block of this format again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Usage
from omni_connector.wire.openai_chat_words import FINISH_REASON, finish_of, from_usage, split_data_url, to_usage, unwrap_custom, wrap_custom


def block(prompt: Any = None, completion: Any = None, total: Any = None, reasoning: Any = None, more: Any = None, **details: Any) -> Any:
    named = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **(more or {})}
    raw: dict[str, Any] = {key: value for key, value in named.items() if value is not None}
    if details:
        raw["prompt_tokens_details"] = details
    if reasoning is not None:
        raw["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return raw


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        (block(9, 3, 12), (9, None, None, 3, None)),
        (block(9, 3, cached_tokens=4), (5, 4, None, 3, None)),
        (block(9, 3, cached_tokens=4, cache_write_tokens=2), (3, 4, 2, 3, None)),
        (block(9, 3, reasoning=2), (9, None, None, 3, 2)),
        # DeepSeek, Kimi, and proxies with Anthropic's names.
        (block(434, 5, more={"prompt_cache_hit_tokens": 384, "prompt_cache_miss_tokens": 50}), (50, 384, None, 5, None)),
        (block(9, 3, more={"cached_tokens": 4}, cached_tokens=0), (5, 4, None, 3, None)),
        (block(9, 3, more={"cache_read_input_tokens": 4, "cache_creation_input_tokens": 1}), (4, 4, 1, 3, None)),
        # xAI: reasoning beside completion; Vercel: likewise and not in the total; Google: not named at all.
        (block(493, 35, 582, reasoning=54), (493, None, None, 89, 54)),
        (block(40, 14, 54, reasoning=43), (40, None, None, 57, 43)),
        (block(66, 6, 100), (66, None, None, 34, None)),
        # Mistral: audio beside the prompt. Some proxies: cached tokens beside it.
        (block(11, 15, 401, audio_tokens=375, cached_tokens=9), (377, 9, None, 15, None)),
        (block(10, 5, 115, cached_tokens=100), (10, 100, None, 5, None)),
        # A cached count beyond the prompt cannot be true.
        (block(347, 18, 365, cached_tokens=403), (0, 347, None, 18, None)),
        (block(36, None, 60), (36, None, None, 24, None)),
        (block(9.0, "x", more={"prompt_tokens_details": None}), (9, None, None, None, None)),
    ],
)
def test_usage_becomes_exclusive(raw: Any, counts: tuple[Any, ...]) -> None:
    assert to_usage(raw) == Usage(*counts, raw=raw)


@pytest.mark.parametrize("raw", [None, {}, [], "x", {"prompt_tokens": -1}, {"prompt_tokens": True}])
def test_no_usage(raw: Any) -> None:
    assert to_usage(raw) is None


_counts = st.integers(0, 10**9)


@given(_counts, st.none() | _counts, st.none() | _counts, _counts, st.none() | st.integers(0, 100))
def test_usage_survives_a_client(fresh: int, read: int | None, written: int | None, output: int, reasoning: int | None) -> None:
    usage = Usage(fresh, read, written, output + (reasoning or 0), reasoning)
    again = to_usage(from_usage(usage))
    assert again is not None
    assert (again.input, again.cache_read or 0, again.cache_write or 0) == (fresh, read or 0, written or 0)
    assert (again.output, again.reasoning or 0) == (usage.output, reasoning or 0)


def test_what_else_the_provider_said_stays() -> None:
    raw = block(10, 5, 15, cached_tokens=4, audio_tokens=1, more={"cost": 0.5})
    usage = to_usage(raw)
    assert usage is not None
    assert from_usage(usage) == {**raw, "completion_tokens_details": {"reasoning_tokens": 0}}
    assert from_usage(Usage(1, 2, 3, 4, raw={"input_tokens": 1})) == {
        "prompt_tokens": 6,
        "completion_tokens": 4,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_every_finish_has_a_word() -> None:
    assert FINISH_REASON.keys() == set(Finish)
    assert finish_of("STOP", calls=False) is Finish.STOP
    assert finish_of("length", calls=True) is Finish.LENGTH


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("data:image/png;base64,AAAA", ("image/png", "AAAA")),
        ("data:image/PNG;name=a.png;base64,AAAA", ("image/png", "AAAA")),
        ("data:;base64,/9j/4AAQ", ("image/jpeg", "/9j/4AAQ")),
        ("data:text/plain,a%20b", ("text/plain", "YSBi")),
        ("data:image/png;base64", None),
    ],
)
def test_data_urls(url: str, expected: tuple[str, str] | None) -> None:
    assert split_data_url(url) == expected


@given(st.text())
def test_a_custom_tools_text_survives(text: str) -> None:
    assert unwrap_custom(wrap_custom(text)) == text
    assert unwrap_custom("not json") == "not json"
