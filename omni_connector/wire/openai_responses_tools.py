"""Tools of the Responses format ↔ canonical tools.

Codex gives its tools in namespaces, and with current models as an input item `additional_tools` (clients.md, finding 6).
Providers know neither, so every function and free-text tool is carried under one flat name (`Names`), and the bookkeeping
of a tool (`book`) remembers what it was called and where it stood: namespace, name, `at` (number of messages before its
item), `whole` (the namespace or item that holds it, with its first tool), `member` (the others of it).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from omni_connector.chat import Json, Tool, ToolChoice
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_words import CUSTOM_INPUT, dumps
from omni_connector.wire.openai_responses_words import NAME, from_grammar, to_grammar

_PLAIN = "functions"
"""The namespace of Codex's own tools; its name tells a model nothing."""
_MAX_NAME = 64
_ODD = re.compile(r"[^a-zA-Z0-9_-]")
_MODES = frozenset({"auto", "none", "required"})


# ---------------------------------------------------------------- Names


class Names:
    """(namespace, name) ↔ flat name, for one request. A flat name depends on the tool alone wherever possible, so that it
    stays the same from turn to turn: the name itself, behind its namespace where that says something."""

    def __init__(self) -> None:
        self._flat: dict[tuple[str, str], str] = {}
        self._known: dict[str, tuple[str, str]] = {}

    def add(self, namespace: str, name: str) -> str:
        key = (namespace, name)
        if key in self._flat:
            return self._flat[key]
        flat = name
        if namespace and namespace != _PLAIN:
            flat = _ODD.sub("_", namespace + ("" if namespace.endswith("__") else "__") + name)
        if flat in self._known or (namespace and len(flat) > _MAX_NAME):
            digest = hashlib.sha256(dumps([namespace, name]).encode()).hexdigest()[:8]
            flat = f"{_ODD.sub('_', name)[: _MAX_NAME - 9]}_{digest}"
        self._flat[key] = flat
        self._known.setdefault(flat, key)
        return flat

    def flat(self, namespace: str, name: str) -> str:
        """The flat name of a call or choice. Its namespace may be missing; an unknown tool keeps its name."""
        if (namespace, name) in self._flat:
            return self._flat[namespace, name]
        found = {flat for (_, known), flat in self._flat.items() if known == name}
        return found.pop() if len(found) == 1 else name


def names_of(tools: Iterable[Tool]) -> dict[str, tuple[str, str]]:
    """Flat name → (namespace, name) of the tools that have another name for their client."""
    found = {}
    for tool in tools:
        kept = book(tool)
        if "name" in kept:
            found[tool.name] = (str(kept.get("namespace", "")), str(kept["name"]))
    return found


def book(tool: Tool) -> Json:
    """The bookkeeping of a tool; {} for tools of other formats."""
    if tool.kind == "foreign":
        return tool.extra if tool.wire == NAME else {}
    return tool.raw if tool.raw.keys() <= {"namespace", "name", "at", "whole", "member"} else {}


# ---------------------------------------------------------------- From a client


class Tools:
    """Collects the tools of one request, from `tools` and from input items. A tool that is declared again replaces its
    earlier declaration; where it stood is kept."""

    def __init__(self) -> None:
        self.names = Names()
        self._tools: dict[str, Tool] = {}

    @property
    def found(self) -> tuple[Tool, ...]:
        return tuple(self._tools.values())

    @property
    def as_items(self) -> bool:
        """Whether some of them came as an input item."""
        return any("at" in book(tool) for tool in self._tools.values())

    def declare(self, value: Any) -> None:
        """The field `tools`."""
        if value is None:
            return
        if not isinstance(value, list):
            raise wrong("tools", value, "a list")
        for number, item in enumerate(value):
            self._tool(item, f"tools[{number}]", {}, "")

    def declare_item(self, item: Json, path: str, at: int) -> None:
        """An `additional_tools` item. Without a tool it says nothing and is left out."""
        listed = Fields(item, path).items("tools") or []
        self._members(listed, f"{path}.tools", {"whole": item, "at": at}, "")

    def _members(self, listed: list[Any], path: str, kept: Json, namespace: str) -> None:
        before = len(self._tools)
        for number, inner in enumerate(listed):
            first = len(self._tools) == before
            self._tool(inner, f"{path}[{number}]", kept if first else {"member": True}, namespace)

    def _tool(self, value: Any, at: str, kept: Json, namespace: str) -> None:
        fields = Fields(value, at)
        kind = fields.string("type") or "function"
        match kind:
            case "namespace":
                inner = fields.required("name", '"functions"')
                self._members(fields.items("tools") or [], f"{at}.tools", kept or {"whole": value}, inner)
            case "function" | "custom":
                self._own(kind == "custom", fields, kept, namespace)
            case _:
                self._keep(Tool("foreign", kind, wire=NAME, raw=value, extra=kept), f"{kind} {dumps(value)}")

    def _own(self, custom: bool, fields: Fields, kept: Json, namespace: str) -> None:
        nested = "custom" if custom else "function"
        if not fields.has("name") and fields.has(nested):
            # The chat format's nesting, which some clients keep.
            fields = fields.inner(nested)
        name = fields.required("name", '"get_weather"')
        flat = self.names.add(namespace, name)
        if namespace:
            kept = {**kept, "namespace": namespace}
        if flat != name or namespace:
            kept = {**kept, "name": name}
        description = fields.string("description")
        if custom:
            form = to_grammar(fields.object("format"))
            tool = Tool("custom", flat, description, format=form, raw=kept, extra=fields.rest())
        else:
            schema, strict = fields.object("parameters"), fields.boolean("strict")
            tool = Tool("function", flat, description, schema, strict, raw=kept, extra=fields.rest())
        self._keep(tool, flat)

    def _keep(self, tool: Tool, key: str) -> None:
        known = self._tools.get(key)
        self._tools[key] = tool if known is None or tool.kind == "foreign" else replace(tool, raw=known.raw)


def parse_choice(value: Any, names: Names) -> ToolChoice | None:
    """`tool_choice`; hosted tools are named by their type. Raises GatewayError (BAD_REQUEST)."""
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise bad_request(f"`tool_choice` is {value[:40]!r}. Use auto, none, required or name one tool.", "tool_choice")
        return ToolChoice(value)  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise wrong("tool_choice", value, "a string or an object")
    fields = Fields(value, "tool_choice")
    kind = fields.required("type", '"function"')
    if kind in _MODES:
        return ToolChoice(kind)  # type: ignore[arg-type]
    if kind != "allowed_tools":
        return ToolChoice("named", _chosen(value, "tool_choice", names))
    mode = fields.string("mode") or "auto"
    if mode not in {"auto", "required"}:
        raise bad_request(f"`tool_choice.mode` is {mode[:40]!r}. Use auto or required.", "tool_choice.mode")
    listed = enumerate(fields.items("tools") or ())
    allowed = tuple(_chosen(item, f"tool_choice.tools[{number}]", names) for number, item in listed)
    return ToolChoice("required" if mode == "required" else "auto", allowed=allowed)


def _chosen(value: Any, at: str, names: Names) -> str:
    fields = Fields(value, at)
    kind = fields.string("type") or "function"
    if kind not in {"function", "custom"}:
        return kind
    if not fields.has("name") and fields.has(kind):
        fields = fields.inner(kind)
    namespace = fields.string("namespace") or ""
    return names.flat(namespace, fields.required("name", '"get_weather"'))


# ---------------------------------------------------------------- For an upstream, or a client's echo


def declared(tools: Sequence[Tool], *, whole: bool = True) -> tuple[list[Json], dict[int, list[Json]]]:
    """Tools as they are said here → (the field `tools`, input items by the number of messages before them). `whole` False: every
    tool under its flat name, for hosts without namespaces. Tools of other formats are left out."""
    field: list[Json] = []
    items: dict[int, list[Json]] = {}
    for tool in tools:
        kept = book(tool) if whole else {}
        if "whole" in kept:
            if "at" in kept:
                items.setdefault(kept["at"], []).append(kept["whole"])
            else:
                field.append(kept["whole"])
        elif "member" not in kept and (tool.kind != "foreign" or tool.wire == NAME):
            field.append(tool_body(tool))
    return field, items


def tool_body(tool: Tool) -> Json:
    if tool.kind == "foreign":
        return tool.raw
    body: Json = {"type": tool.kind, "name": tool.name}
    if tool.description is not None:
        body["description"] = tool.description
    if tool.kind == "custom":
        form = from_grammar(tool.format)
        return {**body, **({} if form is None else {"format": form}), **tool.extra}
    body["parameters"] = tool.schema
    if tool.strict is not None:
        body["strict"] = tool.strict
    return {**body, **tool.extra}


def stand_in(tool: Tool) -> Json:
    """A free-text tool as a function with one string, its grammar told in words, for hosts that have none."""
    form = from_grammar(tool.format)
    words = [tool.description or ""]
    if form is not None and form.get("type") != "text":
        words.append(f"The `{CUSTOM_INPUT}` must follow this format:\n{form.get('definition') or dumps(form)}")
    schema = {"type": "object", "properties": {CUSTOM_INPUT: {"type": "string"}}, "required": [CUSTOM_INPUT], "additionalProperties": False}
    text = "\n\n".join(filter(None, words))
    return {"type": "function", "name": tool.name, **({"description": text} if text else {}), "parameters": schema, "strict": False}


def choice_body(choice: ToolChoice, tools: Sequence[Tool], *, whole: bool = True, custom: bool = True) -> Any:
    """`custom` False: free-text tools are functions there."""
    if choice.mode == "named":
        return _choose(choice.name or "", tools, whole, custom)
    if not choice.allowed:
        return choice.mode
    listed = [_choose(name, tools, whole, custom) for name in choice.allowed]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": listed}


def _choose(name: str, tools: Sequence[Tool], whole: bool, custom: bool) -> Json:
    tool = next((tool for tool in tools if tool.name == name), None)
    if tool is None:
        return {"type": "function", "name": name}
    if tool.kind == "foreign":
        return {"type": name}
    said = book(tool).get("name", name) if whole else name
    return {"type": "function" if tool.kind == "function" or not custom else "custom", "name": said}
