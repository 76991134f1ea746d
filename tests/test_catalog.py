from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import catalog
from omni_connector.providers.provider import FEATURES


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("anthropic/claude-sonnet-4-5-20250929", "claude-sonnet-4.5"),
        ("claude-sonnet-4.5:beta", "claude-sonnet-4.5"),
        ("claude-3-5-haiku-latest", "claude-3.5-haiku"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4-0613", "gpt-4"),
        ("accounts/fireworks/models/glm-5p2", "glm-5.2"),
        ("qwen3-235b-a22b-thinking-2507", "qwen3-235b-a22b-thinking"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("deepseek/deepseek-r1:free", "deepseek-r1"),
        ("GPT-5-Mini", "gpt-5-mini"),
        ("", ""),
    ],
)
def test_family(name: str, family: str) -> None:
    assert catalog.family(name) == family


@given(st.text(max_size=60))
def test_family_takes_anything(name: str) -> None:
    assert bool(catalog.family(name)) == bool(name.strip())


@given(
    st.from_regex(r"[a-z]{2,6}(-[a-z]{2,5}|-[1-9]|[.][1-9]){0,3}", fullmatch=True),
    st.sampled_from(["-20250514", "-2025-05-14", "-0613", "-latest", ":free"]),
)
def test_a_date_or_a_tag_does_not_make_another_family(name: str, tail: str) -> None:
    one = catalog.family(name)
    assert catalog.family(name + tail) == catalog.family(f"vendor/{name}") == catalog.family(one) == one


def test_near_puts_the_likely_name_first() -> None:  # O-17: an unknown name gets near ones
    known = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "deepseek-chat"]
    assert catalog.near("gpt4o", known)[0] == "gpt-4o"
    assert catalog.near("claude-sonnet-4.5", known)[:2] == ["claude-sonnet-4-5", "claude-sonnet-4-5-20250929"]
    assert catalog.near("deepsek-chat", known) == ["deepseek-chat"]
    assert catalog.near("zzz", known) == []


def test_lookup_knows_what_the_price_data_knows() -> None:
    found = catalog.lookup("openai", "gpt-4o-2024-08-06")
    assert found is not None
    assert (found.family, found.context_window, str(found.input_usd_per_mtok.normalize())) == ("gpt-4o", 128_000, "2.5")  # type: ignore[union-attr]
    assert found.max_output is None


def test_lookup_adds_what_only_the_tables_know() -> None:
    claude = catalog.lookup("anthropic", "claude-sonnet-4-5")
    assert claude is not None
    assert claude.max_output == 64_000
    kimi = catalog.lookup("subscription", "kimi-k2.6")
    assert kimi is not None
    assert (kimi.context_window, kimi.input_usd_per_mtok) == (262_144, None)


@pytest.mark.parametrize("price_id", [None, "openai", "local", "no-such-provider"])
def test_lookup_of_the_unknown_is_none(price_id: str | None) -> None:
    assert catalog.lookup(price_id, "my-own-model") is None


def test_profiles_use_the_one_vocabulary() -> None:
    for _, words in catalog.PROFILES:
        assert words <= FEATURES.keys()
    assert catalog.profile("claude-opus-5") == {"adaptive_thinking", "effort", "no_thinking_budget", "no_sampling"}
    assert catalog.profile("claude-sonnet-4-6-20260101") == {"adaptive_thinking", "effort", "no_sampling_with_thinking"}
    assert catalog.profile("claude-haiku-4-5") == {"no_sampling_with_thinking"}
    assert catalog.profile("o3-mini") == catalog.profile("gpt-5.1") == {"no_sampling"}
    assert catalog.profile("gpt-4o") == catalog.profile("octopus") == frozenset()
