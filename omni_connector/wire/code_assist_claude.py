"""What Claude models behind Antigravity's variant want otherwise than Gemini models there (upstreams.md §5; not documented).

Functions are only called with mode VALIDATED; every object of a schema needs a required property; enumerations are refused; a
budget of thinking must be at least 1024 and smaller than the answer's limit.
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import EFFORT_BUDGET, Json
from omni_connector.wire.code_assist_words import PLACEHOLDER
from omni_connector.wire.gemini_words import dumps

LEAST_BUDGET = 1024
_DYNAMIC = -1
_NOTHING: Json = {"type": "BOOLEAN", "description": "Always true: nothing has to be said here."}


def fit_thinking(config: Json, dropped: dict[str, None]) -> None:
    """`thinkingConfig` in this `generationConfig`, made to fit beside `maxOutputTokens` or taken out. "As much as you like" is
    said as a medium effort, since there is no word for it."""
    thinking = config.get("thinkingConfig")
    if not isinstance(thinking, dict):
        return
    level, budget, limit = thinking.get("thinkingLevel"), thinking.get("thinkingBudget"), config.get("maxOutputTokens")
    if isinstance(level, str):
        budget = EFFORT_BUDGET.get(level.lower(), EFFORT_BUDGET["medium"])
    if budget == _DYNAMIC:
        budget = EFFORT_BUDGET["medium"]
    wanted = budget
    if isinstance(budget, int) and isinstance(limit, int):
        budget = min(budget, limit - 1)
    if not isinstance(budget, int) or budget < LEAST_BUDGET:
        del config["thinkingConfig"]
        if wanted:
            dropped[f"thinking (less than {LEAST_BUDGET} tokens)"] = None
        return
    if budget != wanted:
        dropped[f"thinking budget {wanted} (as {budget})"] = None
    rest = {key: value for key, value in thinking.items() if key not in ("thinkingLevel", "thinkingBudget")}
    config["thinkingConfig"] = {**rest, "thinkingBudget": budget}


def fit_tools(tools: list[Json]) -> list[Json]:
    """Functions with `parameters` that are taken. A function without any gets an object with nothing to say."""
    out: list[Json] = []
    for tool in tools:
        functions = tool.get("functionDeclarations")
        if isinstance(functions, list):
            tool = {**tool, "functionDeclarations": [_function(function) for function in functions]}
        out.append(tool)
    return out


def _function(function: Json) -> Json:
    schema = function.get("parameters")
    return {**function, "parameters": fit_schema(schema if isinstance(schema, dict) else {"type": "OBJECT"})}


def fit_schema(schema: Json) -> Json:
    """A schema in Gemini's form without enumerations, each of whose objects requires something."""
    out = {key: value for key, value in schema.items() if key not in ("enum", "properties", "items", "anyOf")}
    values = schema.get("enum")
    if isinstance(values, list) and values:
        told = f"one of: {', '.join(dumps(value).decode() for value in values)}"
        out["description"] = " ".join(filter(None, (_text(schema.get("description")), f"({told})")))
    if isinstance(schema.get("items"), dict):
        out["items"] = fit_schema(schema["items"])
    if isinstance(schema.get("anyOf"), list):
        out["anyOf"] = [fit_schema(branch) if isinstance(branch, dict) else branch for branch in schema["anyOf"]]
    properties = schema.get("properties")
    if isinstance(properties, dict):
        out["properties"] = {name: fit_schema(value) if isinstance(value, dict) else value for name, value in properties.items()}
    if _text(schema.get("type")).upper() == "OBJECT" and not schema.get("required"):
        out["properties"] = {**out.get("properties", {}), PLACEHOLDER: _NOTHING}
        out["required"] = [PLACEHOLDER]
    return out


def fit_calling(config: Json, dropped: dict[str, None]) -> Json:
    """`toolConfig` with mode VALIDATED; only that no function is to be called is still said."""
    calling = config.get("functionCallingConfig")
    calling = calling if isinstance(calling, dict) else {}
    mode = calling.get("mode")
    if mode == "NONE":
        return config
    if mode == "ANY":
        dropped["tool_choice (as VALIDATED: the model may answer in words)"] = None
    return {**config, "functionCallingConfig": {**calling, "mode": "VALIDATED"}}


def without_placeholder(args: Any) -> Any:
    """Arguments as the client's own schema knows them."""
    if isinstance(args, dict):
        return {key: without_placeholder(value) for key, value in args.items() if key != PLACEHOLDER}
    return [without_placeholder(item) for item in args] if isinstance(args, list) else args


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
