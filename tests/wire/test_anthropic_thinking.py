"""Thinking in Anthropic's two ways; whole requests are in test_anthropic_render."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Thinking
from omni_connector.wire.anthropic_thinking import refused_sampling, render_thinking

NEW = frozenset({"adaptive_thinking", "effort", "no_thinking_budget"})


@pytest.mark.parametrize(
    ("thinking", "features", "block", "effort", "dropped"),
    [
        (Thinking(True, "high"), NEW, {"type": "adaptive"}, "high", []),
        (Thinking(True, "minimal"), NEW, {"type": "adaptive"}, "low", []),
        (Thinking(True, budget=9000), NEW, {"type": "adaptive"}, "high", []),
        (Thinking(True, "low"), frozenset(), {"type": "enabled", "budget_tokens": 1024}, None, []),
        (Thinking(True, "max", show="auto"), frozenset(), {"type": "enabled", "budget_tokens": 15000, "display": "summarized"}, None, []),
        (Thinking(True, "high"), frozenset({"effort"}), {"type": "enabled", "budget_tokens": 15000}, "high", []),
        (Thinking(True, "huge"), frozenset(), {"type": "enabled", "budget_tokens": 8192}, None, ["reasoning effort huge"]),
        (Thinking(False, "none"), NEW, {"type": "disabled"}, None, []),
        (Thinking(show="auto"), NEW, None, None, []),
    ],
)
def test_a_wish_of_another_format(thinking: Thinking, features: frozenset[str], block: Any, effort: str | None, dropped: list[str]) -> None:
    # P-49, P-50
    named: dict[str, None] = {}
    assert render_thinking(thinking, features, 20_000, named) == (block, effort)
    assert list(named) == dropped


def test_sampling_beside_thinking() -> None:
    chosen = {"temperature": 1, "top_p": 0.9, "top_k": 5}
    assert refused_sampling(chosen, frozenset(), thinks=True, own=True) == ["top_p", "top_k"]
    assert refused_sampling(chosen, frozenset(), thinks=False, own=True) == []
    assert refused_sampling(chosen, frozenset(), thinks=False, own=False) == ["top_p"]
    assert refused_sampling(chosen, frozenset({"no_sampling"}), thinks=False, own=True) == ["temperature", "top_p", "top_k"]
