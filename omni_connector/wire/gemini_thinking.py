"""How much to think, in Gemini's two ways: tokens (`thinkingBudget`, 2.5) or a level (`thinkingLevel`, 3 and later).

Never both (upstreams.md §3). Ranges per model are what peers found; a wish outside is moved to the nearest and named.
"""

from __future__ import annotations

from collections.abc import Set

from omni_connector.chat import EFFORT_BUDGET, Json, Thinking, effort_of
from omni_connector.wire.gemini_words import generation

_LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")
_LEVEL_OF = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}


def render_thinking(thinking: Thinking | None, model: str, features: Set[str], own: bool, dropped: dict[str, None]) -> Json:
    """`thinkingConfig`, {} for none. Thoughts are asked for whenever thinking is, unless the caller does not want to see them."""
    if thinking is None:
        return {}
    way = way_of(model, features)
    if own:
        return _own(thinking, way)
    off = thinking.enabled is False or thinking.effort == "none" or thinking.budget == 0
    wanted = bool(thinking.enabled or thinking.adaptive or thinking.budget or thinking.effort)
    if not off and not wanted:
        return {"includeThoughts": True} if way and thinking.show not in (None, "omitted") else {}
    if way is None:
        if not off:
            dropped["thinking"] = None
        return {}
    if thinking.effort is not None and thinking.effort != "none" and thinking.effort not in EFFORT_BUDGET:
        dropped[f"reasoning effort {thinking.effort[:20]}"] = None
        thinking = Thinking(thinking.enabled, None, thinking.budget, thinking.adaptive, thinking.show)
    config = _level(thinking, off, model, dropped) if way == "level" else _budget(thinking, off, model, dropped)
    return config if off or thinking.show == "omitted" else {**config, "includeThoughts": True}


def way_of(model: str, features: Set[str]) -> str | None:
    """ "level" or "budget"; None: nothing is known of how this model is told."""
    if "thinking_level" in features:
        return "level"
    if "thinking_budget" in features:
        return "budget"
    version = generation(model)
    if version is None or version < (2, 5):
        return None
    return "level" if version >= (3, 0) else "budget"


def _own(thinking: Thinking, way: str | None) -> Json:
    """A request of this format says it in its own words; of a level and a budget only the one that the model takes goes."""
    config: Json = {}
    budget = -1 if thinking.adaptive and thinking.budget is None else thinking.budget
    if thinking.effort is not None and not (budget is not None and way == "budget"):
        config["thinkingLevel"] = thinking.effort.upper()
    elif budget is not None:
        config["thinkingBudget"] = budget
    if thinking.show is not None:
        config["includeThoughts"] = thinking.show != "omitted"
    return config


def _level(thinking: Thinking, off: bool, model: str, dropped: dict[str, None]) -> Json:
    pro = "pro" in model
    if off:
        lowest = "LOW" if pro else "MINIMAL"
        dropped[f"thinking off (as {lowest})"] = None
        return {"thinkingLevel": lowest}
    effort = thinking.effort or (effort_of(thinking.budget) if thinking.budget else None)
    if effort is None:
        return {}
    level = _LEVEL_OF[effort]
    if pro and (level == "MINIMAL" or (level == "MEDIUM" and generation(model) == (3, 0))):
        level = _LEVELS[_LEVELS.index(level) + 1]
        dropped[f"reasoning effort {effort} (as {level})"] = None
    return {"thinkingLevel": level}


def _budget(thinking: Thinking, off: bool, model: str, dropped: dict[str, None]) -> Json:
    low, high = (128, 32768) if "pro" in model else (512, 24576) if "lite" in model else (1, 24576)
    if off:
        if "pro" not in model:
            return {"thinkingBudget": 0}
        dropped[f"thinking off (as {low} tokens)"] = None
        return {"thinkingBudget": low}
    wanted = thinking.budget or (EFFORT_BUDGET[thinking.effort] if thinking.effort else None)
    if wanted is None:
        return {"thinkingBudget": -1}
    budget = max(low, min(wanted, high))
    if thinking.budget and budget != wanted:
        dropped[f"thinking budget {wanted} (as {budget})"] = None
    return {"thinkingBudget": budget}
