"""Tools, namespaces and the tool choice."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.chat import Json, Tool, ToolChoice
from omni_connector.errors import GatewayError
from omni_connector.wire.openai_responses_tools import Names, Tools, book, choice_body, declared, names_of, parse_choice, stand_in

EXEC = {"type": "custom", "name": "exec", "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"}}
WAIT = {"type": "function", "name": "wait", "parameters": {"type": "object"}, "strict": False}
FUNCTIONS = {"type": "namespace", "name": "functions", "description": "All.", "tools": [EXEC, WAIT]}
GITHUB = {"type": "namespace", "name": "git.hub", "tools": [{"type": "function", "name": "search"}]}
ITEM = {"type": "additional_tools", "role": "developer", "id": "at_1", "tools": [FUNCTIONS, GITHUB, {"type": "web_search"}]}


def tools(*values: Any) -> Tools:
    found = Tools()
    found.declare(list(values))
    return found


def test_functions_and_free_text_tools() -> None:
    wanted = {"type": "function", "name": "f", "description": "d", "parameters": {"a": 1}, "strict": True, "defer_loading": True}
    function, custom = tools(wanted, EXEC).found
    assert function == Tool("function", "f", "d", {"a": 1}, True, extra={"defer_loading": True})
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}
    assert custom == Tool("custom", "exec", format=nested)
    assert declared([function, custom]) == ([wanted, EXEC], {})


def test_the_chat_formats_nesting_is_understood() -> None:
    (tool,) = tools({"type": "function", "function": {"name": "f", "parameters": {}}}).found
    assert (tool.kind, tool.name, tool.schema) == ("function", "f", {})


@pytest.mark.parametrize("kind", ["web_search", "file_search", "code_interpreter", "mcp", "local_shell", "apply_patch", "tool_search"])
def test_provider_run_tools_are_kept_whole(kind: str) -> None:
    raw = {"type": kind, "server_label": "x", "container": {"type": "auto"}}
    (tool,) = tools(raw).found
    assert (tool.kind, tool.name, tool.wire, tool.raw) == ("foreign", kind, "openai-responses", raw)
    assert declared([tool]) == ([raw], {})


def test_namespaces_become_flat_names_and_come_back() -> None:  # clients.md, finding 6
    found = tools(FUNCTIONS, GITHUB)
    assert [tool.name for tool in found.found] == ["exec", "wait", "git_hub__search"]
    assert names_of(found.found) == {
        "exec": ("functions", "exec"),
        "wait": ("functions", "wait"),
        "git_hub__search": ("git.hub", "search"),
    }
    assert declared(found.found) == ([FUNCTIONS, GITHUB], {})
    flat, _ = declared(found.found, whole=False)
    assert [tool["name"] for tool in flat] == ["exec", "wait", "git_hub__search"]


def test_tools_that_come_as_an_item_go_back_as_one() -> None:
    found = Tools()
    found.declare([WAIT])
    found.declare_item(ITEM, "input[0]", 2)
    assert [tool.name for tool in found.found] == ["wait", "exec", names(found)["functions", "wait"], "git_hub__search", "web_search"]
    assert declared(found.found) == ([WAIT], {2: [ITEM]})
    assert all(book(tool) for tool in found.found[1:])


def names(found: Tools) -> dict[tuple[str, str], str]:
    return {said: flat for flat, said in names_of(found.found).items()}


def test_a_tool_that_is_declared_again_is_one_tool() -> None:
    found = Tools()
    found.declare_item(ITEM, "input[0]", 0)
    later = {"type": "namespace", "name": "functions", "tools": [{**WAIT, "description": "new"}, {"type": "function", "name": "stop"}]}
    found.declare_item({"type": "additional_tools", "role": "developer", "tools": [later]}, "input[4]", 3)
    assert [tool.name for tool in found.found] == ["exec", "wait", "git_hub__search", "web_search", "stop"]
    assert found.found[1].description == "new"
    field, items = declared(found.found)
    assert (field, list(items)) == ([], [0, 3])


def test_names_stay_different_and_legal() -> None:
    known = Names()
    flat = [known.add(*one) for one in [("", "a__b"), ("a", "b"), ("functions", "a__b"), ("x" * 50, "y" * 50), ("mcp__s__", "t")]]
    assert len(set(flat)) == 5
    assert flat[0] == "a__b"
    assert flat[4] == "mcp__s__t"
    assert all(len(name) <= 64 for name in flat)
    assert [known.add("a", "b"), known.flat("a", "b"), known.flat("", "b")] == [flat[1]] * 3
    assert known.flat("", "unknown") == "unknown"
    assert known.flat("elsewhere", "t") == "mcp__s__t"


def test_a_stand_in_tells_the_grammar() -> None:
    (tool,) = tools(EXEC).found
    body = stand_in(tool)
    assert body["parameters"]["required"] == ["input"]
    assert body["strict"] is False
    assert "start: X" in body["description"]
    assert "description" not in stand_in(Tool("custom", "plain", format={"type": "text"}))


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, None),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "wait"}, ToolChoice("named", "wait")),
        ({"type": "custom", "name": "exec"}, ToolChoice("named", "exec")),
        ({"type": "function", "name": "search"}, ToolChoice("named", "git_hub__search")),
        ({"type": "web_search"}, ToolChoice("named", "web_search")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "exec"}, {"type": "web_search"}]},
            ToolChoice("required", allowed=("exec", "web_search")),
        ),
    ],
)
def test_the_choice(value: Any, choice: ToolChoice | None) -> None:
    found = tools(FUNCTIONS, GITHUB, {"type": "web_search"})
    assert parse_choice(value, found.names) == choice
    if choice is not None:
        assert choice_body(choice, found.found) == value


def test_a_choice_is_said_in_other_names_where_the_tools_are() -> None:
    found = tools(FUNCTIONS, GITHUB)
    assert choice_body(ToolChoice("named", "git_hub__search"), found.found, whole=False) == {"type": "function", "name": "git_hub__search"}
    assert choice_body(ToolChoice("named", "exec"), found.found, custom=False) == {"type": "function", "name": "exec"}
    assert choice_body(ToolChoice("named", "gone"), found.found) == {"type": "function", "name": "gone"}


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ("any", "tool_choice"),
        (3, "tool_choice"),
        ({}, "tool_choice.type"),
        ({"type": "function"}, "tool_choice.name"),
        ({"type": "allowed_tools", "mode": "none"}, "tool_choice.mode"),
        ({"type": "allowed_tools", "tools": [1]}, "tool_choice.tools[0]"),
    ],
)
def test_wrong_choices_are_named(value: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse_choice(value, Names())
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({}, "tools"),
        ([1], "tools[0]"),
        ([{"type": "function"}], "tools[0].name"),
        ([{"type": "namespace", "tools": []}], "tools[0].name"),
        ([{"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "c", "format": 1}]}], "tools[0].tools[0].format"),
    ],
)
def test_wrong_tools_are_named(value: Any, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        Tools().declare(value)
    assert caught.value.param == param


def test_tools_of_other_formats_have_no_bookkeeping() -> None:
    legacy = Tool("function", "f", raw={"legacy": True})
    hosted = Tool("foreign", "google_search", wire="gemini-generate", raw={"googleSearch": {}}, extra={"at": 3})
    assert (book(legacy), book(hosted)) == ({}, {})
    body: Json = {"type": "function", "name": "f", "parameters": None}
    assert declared([legacy, hosted]) == ([body], {})
