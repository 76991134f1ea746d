"""Thinking in Gemini's two ways."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Thinking
from omni_connector.wire.gemini_thinking import render_thinking

FLASH3, PRO3, PRO31, FLASH25, PRO25 = "gemini-3-flash", "gemini-3-pro-preview", "gemini-3.1-pro", "gemini-2.5-flash", "gemini-2.5-pro"


def render(thinking: Thinking | None, model: str, *features: str, own: bool = False) -> tuple[dict[str, Any], list[str]]:
    dropped: dict[str, None] = {}
    return render_thinking(thinking, model, frozenset(features), own, dropped), list(dropped)


@pytest.mark.parametrize(
    ("thinking", "model", "config", "dropped"),
    [
        (Thinking(effort="low"), FLASH3, {"thinkingLevel": "LOW", "includeThoughts": True}, []),
        (Thinking(effort="xhigh"), FLASH3, {"thinkingLevel": "HIGH", "includeThoughts": True}, []),
        (Thinking(True, budget=2000, show="omitted"), FLASH3, {"thinkingLevel": "MEDIUM"}, []),
        (Thinking(effort="minimal"), PRO31, {"thinkingLevel": "LOW", "includeThoughts": True}, ["reasoning effort minimal (as LOW)"]),
        (Thinking(effort="medium"), PRO31, {"thinkingLevel": "MEDIUM", "includeThoughts": True}, []),
        (Thinking(effort="medium"), PRO3, {"thinkingLevel": "HIGH", "includeThoughts": True}, ["reasoning effort medium (as HIGH)"]),
        (Thinking(True, adaptive=True), FLASH3, {"includeThoughts": True}, []),
        (Thinking(False), FLASH3, {"thinkingLevel": "MINIMAL"}, ["thinking off (as MINIMAL)"]),
        (Thinking(effort="low"), FLASH25, {"thinkingBudget": 1024, "includeThoughts": True}, []),
        (Thinking(effort="max"), FLASH25, {"thinkingBudget": 24576, "includeThoughts": True}, []),
        (Thinking(True, budget=50), PRO25, {"thinkingBudget": 128, "includeThoughts": True}, ["thinking budget 50 (as 128)"]),
        (Thinking(True), FLASH25, {"thinkingBudget": -1, "includeThoughts": True}, []),
        (Thinking(effort="none"), FLASH25, {"thinkingBudget": 0}, []),
        (Thinking(False), PRO25, {"thinkingBudget": 128}, ["thinking off (as 128 tokens)"]),
        (Thinking(effort="enormous"), FLASH25, {"thinkingBudget": -1, "includeThoughts": True}, ["reasoning effort enormous"]),
        (Thinking(effort="high"), "gemini-2.0-flash", {}, ["thinking"]),
        (Thinking(False), "gemini-2.0-flash", {}, []),
        (None, FLASH3, {}, []),
    ],
)
def test_from_other_formats(thinking: Thinking | None, model: str, config: dict[str, Any], dropped: list[str]) -> None:
    # P-49, P-50
    found, named = render(thinking, model)
    assert (found, named) == (config, dropped)
    assert not {"thinkingLevel", "thinkingBudget"} <= found.keys()


def test_the_row_decides_for_models_whose_name_tells_nothing() -> None:
    assert render(Thinking(effort="low"), "custom", "thinking_level")[0]["thinkingLevel"] == "LOW"
    assert render(Thinking(effort="low"), FLASH3, "thinking_budget")[0]["thinkingBudget"] == 1024


@pytest.mark.parametrize(
    ("thinking", "model", "config"),
    [
        (Thinking(False, budget=0), FLASH3, {"thinkingBudget": 0}),
        (Thinking(True, adaptive=True, show="omitted"), FLASH25, {"thinkingBudget": -1, "includeThoughts": False}),
        (Thinking(True, "low", 512), FLASH25, {"thinkingBudget": 512}),
        (Thinking(True, "low", 512), FLASH3, {"thinkingLevel": "LOW"}),
        (Thinking(show="summarized"), "x", {"includeThoughts": True}),
    ],
)
def test_the_format_s_own_words_stay_but_never_both(thinking: Thinking, model: str, config: dict[str, Any]) -> None:
    assert render(thinking, model, own=True) == (config, [])
