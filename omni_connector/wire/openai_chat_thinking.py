"""How much to think, in the four dialects of chat completions: `reasoning_effort` (OpenAI), `reasoning` (OpenRouter),
`thinking` (Kimi, GLM, DeepSeek), `enable_thinking` with `thinking_budget` (Qwen). The target's features choose.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from omni_connector.chat import EFFORT_BUDGET, Json, Thinking
from omni_connector.wire.openai_chat_words import common_effort

OBJECTS: Mapping[str, frozenset[str]] = {
    "reasoning": frozenset({"effort", "max_tokens", "enabled"}),
    "thinking": frozenset({"type", "effort", "budget_tokens"}),
}
"""Fields of these dialects that are objects → the keys that say how much; they may hold others (`exclude`, `clear_thinking`)."""
FIELDS = ("reasoning_effort", *OBJECTS, "enable_thinking", "thinking_budget")

_INSIDE: Mapping[str, str] = {"minimal": "low", "medium": "high", "xhigh": "max"}
"""Efforts that `thinking.effort` does not have → the nearest that it has, upwards (upstreams.md §10b: low, high, max)."""
_NOT_WHILE_THINKING = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"})


def render_thinking(thinking: Thinking, features: Set[str], own: bool, rest: dict[str, Json], dropped: dict[str, None]) -> Json:
    """The fields of the body that say it. `rest`: what else a client of this format had in its `reasoning` and `thinking`;
    it goes along where that object is sent, and is named as dropped elsewhere."""
    off = thinking.enabled is False or thinking.effort == "none"
    body: Json = {}
    if off and "always_thinking" in features:
        dropped["thinking"] = None
    elif "reasoning_object" in features:
        body["reasoning"] = {**_reasoning_object(thinking), **rest.pop("reasoning", {})}
    elif "thinking_toggle" in features:
        body = _toggle(thinking, off, features, rest.pop("thinking", {}), dropped)
    elif "enable_thinking" in features:
        body["enable_thinking"] = not off
        budget = thinking.budget or EFFORT_BUDGET.get(thinking.effort or "")
        if budget is not None and not off:
            body["thinking_budget"] = budget
    else:
        body = _effort(thinking, off, features, own, dropped)
    for name, left in rest.items():
        # Half an object would be worse than none.
        if left:
            dropped[name] = None
    return body


def _toggle(thinking: Thinking, off: bool, features: Set[str], rest: Json, dropped: dict[str, None]) -> Json:
    toggle: Json = {"type": "disabled" if off else "enabled"}
    body: Json = {"thinking": toggle}
    effort = None if off else thinking.effort
    if effort is not None and "thinking_effort" in features:
        toggle["effort"] = _INSIDE.get(effort, effort)
    elif effort is not None and "reasoning_effort" in features:
        body["reasoning_effort"] = effort
    elif effort is not None:
        dropped["reasoning_effort"] = None
    if thinking.budget is not None:
        dropped["thinking.budget_tokens"] = None
    toggle.update(rest)
    return body


def _effort(thinking: Thinking, off: bool, features: Set[str], own: bool, dropped: dict[str, None]) -> Json:
    """`reasoning_effort`. Off is said only by a client of this format: many models refuse "none"."""
    effort = thinking.effort
    if effort is None and thinking.budget is not None and not off:
        effort = common_effort(thinking.budget)
    if effort is not None and (own or ("reasoning_effort" in features and not off)):
        return {"reasoning_effort": effort}
    if effort is not None or off or not thinking.adaptive:
        dropped["thinking"] = None
    return {}


def _reasoning_object(thinking: Thinking) -> Json:
    """OpenRouter: `effort` or `max_tokens`, not both; `enabled` alone means the model's default."""
    body: Json = {}
    if thinking.effort is not None:
        body["effort"] = thinking.effort
    elif thinking.budget is not None:
        body["max_tokens"] = thinking.budget
    if thinking.enabled is not None or not body:
        body["enabled"] = thinking.enabled is not False
    if thinking.show == "omitted":
        body["exclude"] = True
    return body


def refused_while_thinking(thinking: Thinking | None, features: Set[str]) -> Set[str]:
    """Fields of sampling that this target refuses together with this wish."""
    if thinking is None or "no_sampling_with_thinking" not in features:
        return frozenset()
    return frozenset() if thinking.enabled is False or thinking.effort == "none" else _NOT_WHILE_THINKING
