"""How much to think, in the words of Anthropic's Messages: a budget of tokens (models up to 4.5) or adaptive with an effort.

Feature words of the target: "adaptive_thinking", "effort", "no_thinking_budget", "no_sampling" (see `anthropic_render`).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from omni_connector.chat import EFFORT_BUDGET, Json, Thinking, effort_of
from omni_connector.wire.anthropic_words import MIN_BUDGET


def render_thinking(thinking: Thinking, features: Set[str], max_tokens: int, dropped: dict[str, None]) -> tuple[Json | None, str | None]:
    """A wish that was not said in this format → `thinking` and `output_config.effort`, None for what is not said."""
    if thinking.enabled is False or thinking.effort == "none" or thinking.budget == 0:
        return {"type": "disabled"}, None
    effort = thinking.effort
    if effort is not None and effort not in EFFORT_BUDGET:
        dropped[f"reasoning effort {effort}"] = None
        effort = None
    if not (thinking.enabled or thinking.adaptive or thinking.budget or effort):
        return None, None
    keeps_budget = thinking.budget is not None and effort is None and "no_thinking_budget" not in features
    if "adaptive_thinking" in features and not keeps_budget:
        effort = effort or (None if thinking.budget is None else effort_of(thinking.budget))
        block: Json = {"type": "adaptive"}
        effort = "low" if effort == "minimal" else effort
    else:
        block = _budget(thinking, effort, max_tokens, dropped)
        effort = effort if "effort" in features else None
    if block and thinking.show is not None:
        block["display"] = "omitted" if thinking.show == "omitted" else "summarized"
    return block or None, effort


def _budget(thinking: Thinking, effort: str | None, max_tokens: int, dropped: dict[str, None]) -> Json:
    """`budget_tokens` within [1024, max_tokens). A budget made from an effort leaves a quarter for the answer."""
    most = max_tokens - 1
    if most < MIN_BUDGET:
        dropped["thinking (max_tokens is too small)"] = None
        return {}
    if thinking.budget is not None:
        budget = max(MIN_BUDGET, min(thinking.budget, most))
        if budget != thinking.budget:
            dropped[f"thinking budget {thinking.budget} (as {budget})"] = None
    else:
        wanted = EFFORT_BUDGET[effort or "medium"]
        budget = max(MIN_BUDGET, min(wanted, (most + 1) * 3 // 4))
    return {"type": "enabled", "budget_tokens": budget}


def refused_sampling(chosen: Mapping[str, Any], features: Set[str], *, thinks: bool, own: bool) -> list[str]:
    """Which of the chosen `temperature`, `top_p`, `top_k` the API refuses: with thinking only temperature 1 and top_p of at
    least 0.95 are allowed; current models take temperature or top_p, not both (upstreams.md §2)."""
    if "no_sampling" in features:
        return list(chosen)
    if thinks:
        allowed = {"temperature": chosen.get("temperature") == 1, "top_p": chosen.get("top_p", 0) >= 0.95}
        return [name for name in chosen if not allowed.get(name, False)]
    return ["top_p"] if "temperature" in chosen and "top_p" in chosen and not own else []
