from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import catalog
from omni_connector.chat import LEVELS
from omni_connector.providers import PROVIDERS
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
    assert catalog.profile("claude-haiku-5-5") == catalog.profile("claude-opus-5")
    assert catalog.profile("moonshotai/Kimi-K3") == {"always_thinking", "reasoning_effort"}


@pytest.mark.parametrize(
    ("provider", "model", "levels"),
    [
        ("openai", "gpt-5-2025-08-07", "minimal low medium high"),
        ("openai", "gpt-5.1", "none low medium high"),
        ("openai", "gpt-5.1-codex-max", "low medium high xhigh"),
        ("openai", "gpt-5-codex", "low medium high"),
        ("openai", "gpt-5.5-pro", "medium high xhigh"),
        ("openai", "gpt-5.6-sol", "none low medium high xhigh max"),
        ("openai", "gpt-5-chat-latest", ""),
        ("openai", "o4-mini-2025-04-16", "low medium high"),
        ("openai", "gpt-4o", ""),
        ("openai", "gpt-9", None),
        ("anthropic", "claude-opus-4-8", "none low medium high xhigh max"),
        ("anthropic", "claude-sonnet-4-6", "none low medium high max"),
        ("anthropic", "claude-sonnet-4-5-20250929", "none low medium high xhigh"),
        ("anthropic", "claude-opus-5", "none low medium high xhigh max"),
        ("anthropic", "claude-opus-5-5", "low medium high xhigh max"),
        ("anthropic", "claude-fable-5-1", "low medium high xhigh max"),
        ("anthropic", "claude-3-haiku-20240307", ""),
        ("openrouter", "anthropic/claude-sonnet-4.6", "none low medium high max"),
        ("gemini", "gemini-2.5-pro", "minimal low medium high"),
        ("gemini", "models/gemini-2.5-flash", "none minimal low medium high"),
        ("gemini", "gemini-3-pro-preview", "low high"),
        ("gemini", "gemini-3.1-pro-preview", "low medium high"),
        ("gemini", "gemini-3-flash-preview", "minimal low medium high"),
        ("gemini", "gemini-3.7-flash", "low medium high"),
        ("gemini", "gemini-2.5-flash-image", ""),
        ("kimi", "kimi-k3", "low high max"),
        ("kimi-code", "kimi-k2.6", "none high"),
        ("kimi", "kimi-k2.7-code", ""),
        ("custom-openai", "kimi-k2.6", None),
        ("glm", "glm-5.2", "none high max"),
        ("glm", "glm-4.6", "none high"),
        ("deepseek", "deepseek-chat", "none low high max"),
        ("openrouter", "deepseek/deepseek-chat", None),
        ("openrouter", "deepseek/deepseek-r1:free", ""),
        ("qwen", "qwen-plus", "none low medium high"),
        ("qwen", "qwen3-235b-a22b-thinking-2507", "low medium high"),
        ("qwen", "qwen3-coder-plus", ""),
        ("groq", "qwen/qwen3-32b", None),
        ("groq", "openai/gpt-oss-120b", "low medium high"),
        ("xai", "grok-4.3", "none low medium high"),
        ("xai", "grok-4-0709", ""),
        ("ollama", "my-own", None),
    ],
)
def test_levels_of_thinking(provider: str, model: str, levels: str | None) -> None:
    # P-49, P-50
    assert catalog.levels(model, PROVIDERS[provider].features) == (None if levels is None else tuple(levels.split()))


def test_the_words_of_a_provider_change_the_levels() -> None:
    codex = frozenset({"codex_backend", "reasoning_effort"})
    assert catalog.levels("gpt-5.4", codex) == ("low", "medium", "high", "xhigh")
    assert catalog.levels("gpt-5.6-terra", codex) == ("low", "medium", "high", "xhigh", "max")
    assert catalog.levels("gpt-5.1", frozenset({"always_thinking"})) == ("low", "medium", "high")


def test_the_table_of_levels_uses_the_vocabularies() -> None:
    for _, needs, levels in catalog.THINKING:
        assert needs <= FEATURES.keys()
        assert [level for level in LEVELS if level in levels] == list(levels)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("claude-opus-5-5", "claude-sonnet-5-5"),
        ("claude-sonnet-5-5", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5", "anthropic/claude-haiku-4.5"),
        ("claude-haiku-4-5", "claude-3-haiku-20240307"),
        ("gpt-6.1-sol", "gpt-6.1-terra"),
        ("gpt-5.5", "gpt-5"),
        ("gpt-5", "gpt-5-mini"),
        ("gpt-5.4-mini", "gpt-5.4-nano"),
        ("gpt-4o", "gpt-4o-mini"),
        ("models/gemini-3.1-pro-preview", "gemini-3.8-flash"),
        ("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        ("kimi-k3", "kimi-k2-0905-preview"),
        ("accounts/fireworks/models/glm-5p2", "glm-4.7"),
        ("glm-4.7", "glm-4.5-air"),
        ("deepseek-v4-pro", "deepseek-v4-flash"),
        ("grok-4.7", "grok-4"),
        ("grok-4", "grok-4-fast-reasoning"),
        ("gpt-oss-120b", "gpt-oss-20b"),
        ("meta-llama/Llama-4-Maverick-17B", "meta-llama/llama-3.3-70b-instruct"),
    ],
)
def test_the_ranking_keeps_each_vendor_s_own_order(better: str, worse: str) -> None:
    first, second = catalog.rank(better), catalog.rank(worse)
    assert first is not None
    assert second is not None
    assert first < second


def test_what_the_ranking_does_not_know_has_no_rank() -> None:
    for name in ("my-own-model", "text-embedding-3-small", "gpt-6-cyber", ""):
        assert catalog.rank(name) is None
