"""Tools as Kiro takes them. P-22"""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import ChatRequest, Tool, ToolChoice
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.kiro_tools import reduce_schema, render_tools

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F, G = Tool("function", "f", "does", SCHEMA), Tool("function", "g", "does too", SCHEMA)


def offered(*tools: Tool, features: frozenset[str] = frozenset(), **more: Any) -> tuple[Any, dict[str, None]]:
    dropped: dict[str, None] = {}
    return render_tools(ChatRequest("openai-chat", "m", (), tools=tools, **more), features, dropped), dropped


def test_a_function() -> None:
    found, dropped = offered(F)
    assert found.told == ({"toolSpecification": {"name": "f", "description": "does", "inputSchema": {"json": SCHEMA}}},)
    assert not found.manual and not dropped


@pytest.mark.parametrize("description", [None, "", "  "])
def test_a_description_is_never_empty(description: str | None) -> None:
    found, _ = offered(Tool("function", "f", description))
    assert found.told[0]["toolSpecification"] == {
        "name": "f",
        "description": "Tool f",
        "inputSchema": {"json": {"type": "object", "properties": {}}},
    }


def test_a_long_description_moves_into_the_instructions() -> None:
    for text in ("x" * 10_241, "ü" * 5_121):
        found, dropped = offered(Tool("function", "f", text), G)
        assert len(found.told[0]["toolSpecification"]["description"]) < 100 and "`f`" in found.told[0]["toolSpecification"]["description"]
        assert found.manual == (f"The tool `f`:\n{text}",) and list(dropped) == ["tools.f.description (moved into the instructions)"]
    found, dropped = offered(Tool("function", "f", "ü" * 5_120))
    assert not found.manual and not dropped


def test_free_text_tools_and_those_of_others() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: WORD"}}
    found, dropped = offered(Tool("custom", "run", "runs", format=grammar), Tool("foreign", "web_search", wire="openai-responses"))
    (tool,) = [one["toolSpecification"] for one in found.told]
    assert tool["inputSchema"]["json"]["required"] == ["input"] and "start: WORD" in tool["description"]
    assert list(dropped) == ["tools.web_search"]


def test_which_may_be_used() -> None:
    assert offered(F, G, tool_choice=ToolChoice("none"))[0].told == ()
    found, dropped = offered(F, G, tool_choice=ToolChoice("auto", allowed=("g",)))
    assert [one["toolSpecification"]["name"] for one in found.told] == ["g"] and not dropped
    for choice in (ToolChoice("required"), ToolChoice("named", "g")):
        found, dropped = offered(F, G, tool_choice=choice, parallel_tools=False)
        assert len(found.told) == 2 and set(dropped) == {"tool_choice (the model may answer in words)", "parallel_tool_calls"}
    with pytest.raises(GatewayError) as caught:
        offered(F, tool_choice=ToolChoice("named", "other"))
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "tool_choice")


def test_what_else_is_named() -> None:
    _, dropped = offered(Tool("function", "f", "d", SCHEMA, strict=True, cache={"type": "ephemeral"}))
    assert set(dropped) == {"tools[].strict", "cache_control"}


def test_schemas_lose_what_is_refused_and_nothing_else() -> None:
    inner = {"type": "object", "additionalProperties": False, "required": []}
    given = {
        "type": "object",
        "properties": {"additionalProperties": inner, "required": {"type": "array", "items": inner}},
        "additionalProperties": {"type": "string"},
        "required": [],
        "$defs": {"x": inner},
        "anyOf": [inner, True],
        "enum": [inner],
    }
    plain = {"type": "object"}
    assert reduce_schema(given) == {
        "type": "object",
        "properties": {"additionalProperties": plain, "required": {"type": "array", "items": plain}},
        "$defs": {"x": plain},
        "anyOf": [plain, True],
        "enum": [inner],
    }
    assert offered(Tool("function", "f", "d", given))[0].told[0]["toolSpecification"]["inputSchema"]["json"] == given
