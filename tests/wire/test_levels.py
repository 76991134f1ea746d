"""A level of the model's name in the body: the fields that change, and all that stays."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import LEVELS, ChatRequest, Message, Origin, Target, TextPart
from omni_connector.errors import GatewayError
from omni_connector.wire import FORMATS
from omni_connector.wire.levels import wish, with_level

CHAT, RESPONSES, CLAUDE, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"
HI = [{"role": "user", "content": "Hi"}]
NEW_CLAUDE = ("adaptive_thinking", "effort", "no_thinking_budget")


def target(*features: str, model: str = "m") -> Target:
    return Target(Origin("p", model), frozenset(features))


def leveled(wire: str, body: dict[str, Any], level: str, *features: str, model: str = "m") -> tuple[dict[str, Any], list[str]]:
    dropped: dict[str, None] = {}
    at = target(*features, model=model)
    done = with_level(wire, json.dumps(body).encode(), level, at, dropped)
    assert with_level(wire, done, level, at) == done
    return json.loads(done), list(dropped)


# P-49, P-50
@pytest.mark.parametrize(
    ("wire", "features", "model", "before", "level", "after"),
    [
        (CHAT, ("reasoning_effort",), "m", {"reasoning_effort": "low", "n": 1}, "high", {"reasoning_effort": "high", "n": 1}),
        (CHAT, (), "m", {"reasoning": {"effort": "low"}, "thinking_budget": 5}, "xhigh", {"reasoning_effort": "xhigh"}),
        (CHAT, ("reasoning_effort",), "m", {}, "none", {"reasoning_effort": "none"}),
        (
            CHAT, ("reasoning_object",), "m", {"reasoning": {"exclude": True, "max_tokens": 9}, "reasoning_effort": "low"}, "high",
            {"reasoning": {"effort": "high", "enabled": True, "exclude": True}},
        ),
        (
            CHAT, ("thinking_toggle",), "m", {"thinking": {"type": "disabled", "clear_thinking": False}}, "high",
            {"thinking": {"type": "enabled", "clear_thinking": False}},
        ),
        (CHAT, ("thinking_toggle",), "m", {"thinking": True}, "none", {"thinking": {"type": "disabled"}}),
        (CHAT, ("thinking_toggle", "thinking_effort"), "m", {}, "max", {"thinking": {"type": "enabled", "effort": "max"}}),
        (
            CHAT, ("thinking_toggle", "reasoning_effort"), "m", {"enable_thinking": False}, "low",
            {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        ),
        (CHAT, ("enable_thinking",), "m", {"enable_thinking": False}, "low", {"enable_thinking": True, "thinking_budget": 1024}),
        (CHAT, ("enable_thinking",), "m", {"thinking_budget": 7}, "none", {"enable_thinking": False}),
        (
            RESPONSES, (), "m", {"reasoning": {"summary": "auto", "effort": "low", "context": "auto"}}, "max",
            {"reasoning": {"summary": "auto", "effort": "max", "context": "auto"}},
        ),
        (RESPONSES, (), "m", {"reasoning": None}, "none", {"reasoning": {"effort": "none"}}),
        (
            CLAUDE, NEW_CLAUDE, "m", {"thinking": {"type": "disabled"}, "output_config": {"effort": "low", "format": {"a": 1}}}, "max",
            {"thinking": {"type": "adaptive"}, "output_config": {"format": {"a": 1}, "effort": "max"}},
        ),
        (
            CLAUDE, (), "m", {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}}, "high",
            {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 3000, "display": "omitted"}},
        ),
        (
            CLAUDE, NEW_CLAUDE, "m", {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "low"}}, "none",
            {"thinking": {"type": "disabled"}},
        ),
        (
            GEMINI, (), "gemini-3-flash",
            {"generationConfig": {"topP": 1, "thinkingConfig": {"thinkingBudget": 0, "includeThoughts": True}}}, "low",
            {"generationConfig": {"topP": 1, "thinkingConfig": {"includeThoughts": True, "thinkingLevel": "LOW"}}},
        ),
        (
            GEMINI, (), "gemini-2.5-pro", {"generation_config": {"top_p": 1, "thinking_config": {"thinking_level": "LOW"}}}, "high",
            {"generation_config": {"top_p": 1, "thinking_config": {"thinkingBudget": 24576}}},
        ),
        (
            GEMINI, (), "gemini-2.5-flash", {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}, "none",
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
        ),
        (GEMINI, (), "my-own", {}, "medium", {"generationConfig": {"thinkingConfig": {"thinkingLevel": "MEDIUM"}}}),
    ],
)  # fmt: skip
def test_each_format_s_own_fields(
    wire: str, features: tuple[str, ...], model: str, before: dict[str, Any], level: str, after: dict[str, Any]
) -> None:
    found, _ = leveled(wire, {"messages": HI, **before}, level, *features, model=model)
    assert found == {"messages": HI, **after}


SHOWING = ("exclude", "display", "includeThoughts", "summary")
FIELDS = ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "output_config", "generationConfig")
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": HI},
    RESPONSES: {"input": HI},
    CLAUDE: {"messages": HI, "max_tokens": 40_000},
    GEMINI: {"contents": [{"parts": [{"text": "Hi"}]}]},
}


def how_much(value: Any) -> Any:
    return {key: how_much(item) for key, item in value.items() if key not in SHOWING} if isinstance(value, dict) else value


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("wire", "features", "model"),
    [
        (CHAT, ("reasoning_effort",), "m"),
        (CHAT, ("reasoning_object",), "m"),
        (CHAT, ("thinking_toggle",), "m"),
        (CHAT, ("thinking_toggle", "thinking_effort"), "m"),
        (CHAT, ("enable_thinking",), "m"),
        (RESPONSES, ("reasoning_effort",), "m"),
        (CLAUDE, NEW_CLAUDE, "m"),
        (CLAUDE, ("effort",), "m"),
        (CLAUDE, (), "m"),
        (GEMINI, (), "gemini-3.1-pro"),
        (GEMINI, (), "gemini-3-flash"),
        (GEMINI, (), "gemini-2.5-flash"),
        (GEMINI, ("thinking_budget",), "m"),
    ],
)
def test_both_lanes_say_the_same(wire: str, features: tuple[str, ...], model: str, level: str) -> None:
    """Passing through, and translated from another format: the provider is told the same."""
    plain = ChatRequest("another", "asked", (Message("user", (TextPart("Hi"),)),), thinking=wish(level), max_tokens=40_000)
    at = target(*features, model=model)
    rendered = FORMATS[wire].render_request(plain, model, at).body
    passed, _ = leveled(wire, BODIES[wire], level, *features, model=model)
    translated = json.loads(with_level(wire, json.dumps(rendered).encode(), level, at))
    told = [{name: how_much(body[name]) for name in FIELDS if name in body} for body in (passed, translated)]
    told[1].get("generationConfig", {}).pop("maxOutputTokens", None)
    assert told[0] == told[1]
    if level != "none":  # which effort-only formats say for clients of their own only
        assert {name: how_much(rendered[name]) for name in told[1]}.keys() == told[1].keys()


@pytest.mark.parametrize(
    ("more", "level", "features", "gone", "dropped"),
    [
        ({"temperature": 0.2, "top_p": 0.99, "top_k": 3}, "high", (), {"temperature", "top_k"}, ["temperature", "top_k"]),
        ({"temperature": 1}, "high", (), set(), []),
        ({"temperature": 0.2}, "none", (), set(), []),
        ({"tool_choice": {"type": "any"}}, "high", (), {"thinking"}, ["thinking (a tool is forced)"]),
        ({"tool_choice": {"type": "auto"}}, "high", (), set(), []),
        ({"max_tokens": 1000}, "high", (), {"thinking"}, ["thinking (max_tokens is too small)"]),
    ],
)
def test_what_claude_refuses_beside_thinking_goes(
    more: dict[str, Any], level: str, features: tuple[str, ...], gone: set[str], dropped: list[str]
) -> None:
    before = {"messages": HI, "max_tokens": 9000, **more}
    after, named = leveled(CLAUDE, before, level, *features)
    assert (before.keys() | {"thinking"}) - after.keys() == gone
    assert named == dropped


def test_claude_cannot_begin_to_think_with_a_budget_inside_a_tool_loop() -> None:
    call, result = {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "tool_result", "tool_use_id": "t"}
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    for first, features, thinks in (([call], (), False), ([thought, call], (), True), ([call], NEW_CLAUDE, True)):
        loop = [*HI, {"role": "assistant", "content": first}, {"role": "user", "content": [result]}]
        after, named = leveled(CLAUDE, {"messages": loop, "max_tokens": 9000}, "high", *features)
        assert ("thinking" in after, named) == (thinks, [] if thinks else ["thinking (the open tool loop began without)"])


def test_thoughts_that_nobody_thinks_need_no_clearing() -> None:
    edits = [{"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}]
    body = {"messages": HI, "context_management": {"edits": edits}}
    after, named = leveled(CLAUDE, body, "none")
    assert (after["context_management"], named) == ({"edits": edits[1:]}, ["context_management (clear_thinking)"])
    assert "context_management" not in leveled(CLAUDE, {"messages": HI, "context_management": {"edits": edits[:1]}}, "none")[0]
    assert leveled(CLAUDE, body, "low")[0]["context_management"] == {"edits": edits}


def test_chat_hosts_that_refuse_sampling_while_they_think() -> None:
    after, named = leveled(CHAT, {"messages": HI, "temperature": 0.2}, "low", "reasoning_object", "no_sampling_with_thinking")
    assert ("temperature" in after, named) == (False, ["temperature"])
    assert "temperature" in leveled(CHAT, {"temperature": 0.2}, "none", "reasoning_object", "no_sampling_with_thinking")[0]


@pytest.mark.parametrize(  # P-50
    ("model", "config", "level", "told"),
    [
        ("gemini-3-flash", {}, "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gpt-oss-120b-medium", {}, "high", {"thinkingLevel": "HIGH"}),
        ("claude-sonnet-4-6", {}, "high", {"thinkingBudget": 24576}),
        ("claude-sonnet-4-6", {"maxOutputTokens": 4000}, "high", {"thinkingBudget": 3999}),
        ("claude-sonnet-4-6", {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}}, "minimal", None),
    ],
)
def test_inside_the_envelope_of_code_assist(model: str, config: dict[str, Any], level: str, told: Any) -> None:
    body = {"model": model, "project": "p", "request": {"contents": [], "generationConfig": config}}
    at = Target(Origin("antigravity", model), frozenset({"antigravity_envelope"}))
    after = json.loads(with_level("code-assist", json.dumps(body).encode(), level, at))
    assert after["request"]["generationConfig"].get("thinkingConfig") == told
    assert (after["model"], after["project"], after["request"]["contents"]) == (model, "p", [])


def test_what_cannot_be_said_is_named() -> None:
    assert leveled("openai-completions", {"prompt": "Hi"}, "high") == ({"prompt": "Hi"}, ["thinking level high"])
    assert leveled(CHAT, {}, "none", "always_thinking") == ({}, ["thinking"])
    assert leveled(GEMINI, {}, "none", model="gemini-2.5-pro")[1] == ["thinking off (as 128 tokens)"]
    for bad in (b"[]", b'{"\xff": 1}', b'{"temperature": "\xff", "max_tokens": 9000}', b'{"a": ' + b"[" * 9000):
        with pytest.raises(GatewayError):
            with_level(CLAUDE, bad, "high", target())


PLAIN = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6
)
TOUCHED = {*FIELDS, "generation_config", "context_management", "temperature", "top_p", "top_k", "max_tokens", "messages", "tool_choice"}


@given(
    st.dictionaries(st.text(max_size=5), JSON, max_size=4),
    st.dictionaries(st.sampled_from(sorted(TOUCHED)), JSON, max_size=4),
    st.sampled_from([CHAT, RESPONSES, CLAUDE, GEMINI]),
    st.sampled_from(LEVELS),
    st.sets(st.sampled_from([*NEW_CLAUDE, "reasoning_object", "thinking_toggle", "enable_thinking"])),
)
def test_everything_else_keeps_its_bytes(others: dict[str, Any], odd: dict[str, Any], wire: str, level: str, features: set[str]) -> None:
    raw = json.dumps({**others, **odd}, indent=1, ensure_ascii=False).encode()
    before = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    after = msgspec.json.decode(with_level(wire, raw, level, target(*features)), type=dict[str, msgspec.Raw])
    assert [(name, bytes(after[name])) for name in after if name in others] == [(name, bytes(before[name])) for name in others]
