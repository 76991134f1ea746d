"""Tools of a request → `toolSpecification`s (upstreams.md §9: names ≤ 64, descriptions never empty and ≤ 10240 bytes).

Feature words: "reduced_schema" (the schema without `additionalProperties` and empty `required`, for which peers saw 400).
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from omni_connector.chat import ChatRequest, Json, Tool
from omni_connector.errors import bad_request
from omni_connector.values import dataclass
from omni_connector.wire.kiro_words import CUSTOM_INPUT, LONGEST_DESCRIPTION, dumps, to_wire_name

_SCHEMAS_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_SCHEMA_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_INNER = ("items", "not", "if", "then", "else", "contains", "propertyNames")


@dataclass(frozen=True, slots=True)
class Offered:
    """`told`: what stands in the request; `manual`: descriptions that are too long for it, to be told with the instructions."""

    told: tuple[Json, ...] = ()
    manual: tuple[str, ...] = ()


def render_tools(request: ChatRequest, features: Set[str], dropped: dict[str, None]) -> Offered:
    """Those that may be used. Raises GatewayError (BAD_REQUEST) when the one that must be used cannot be offered."""
    choice = request.tool_choice
    allowed = choice.allowed if choice is not None else ()
    forced = choice.name if choice is not None and choice.mode == "named" else None
    tools = [tool for tool in request.tools if tool.kind != "foreign" and (not allowed or tool.name in allowed)]
    for tool in request.tools:
        if tool.kind == "foreign":
            dropped[f"tools.{tool.name or tool.raw.get('type', 'foreign')}"] = None
    if forced is not None and all(tool.name != forced for tool in tools):
        fix = "Force one of the functions in `tools`, or choose another model."
        raise bad_request(f"`tool_choice`: the tool {forced[:60]!r} cannot be offered to this provider. {fix}", "tool_choice")
    if choice is not None and choice.mode == "none":
        return Offered()
    if choice is not None and choice.mode in ("required", "named"):
        dropped["tool_choice (the model may answer in words)"] = None
    if tools and request.parallel_tools is False:
        dropped["parallel_tool_calls"] = None
    manual: list[str] = []
    told = tuple(_specification(tool, features, manual, dropped) for tool in tools)
    return Offered(told, tuple(manual))


def _specification(tool: Tool, features: Set[str], manual: list[str], dropped: dict[str, None]) -> Json:
    name, description = to_wire_name(tool.name), (tool.description or "").strip()
    schema = tool.schema or {"type": "object", "properties": {}}
    if tool.kind == "custom":
        schema = {"type": "object", "properties": {CUSTOM_INPUT: {"type": "string"}}, "required": [CUSTOM_INPUT]}
        if tool.format is not None and tool.format.get("type") != "text":
            description = f"{description}\n\nThe `{CUSTOM_INPUT}` must follow this format: {dumps(tool.format)}".strip()
    if len(description.encode()) > LONGEST_DESCRIPTION:
        manual.append(f"The tool `{name}`:\n{description}")
        description = f"The instructions describe this tool under `{name}`."
        dropped[f"tools.{tool.name}.description (moved into the instructions)"] = None
    if tool.strict:
        dropped["tools[].strict"] = None
    if tool.cache is not None:
        dropped["cache_control"] = None
    shown = reduce_schema(schema) if "reduced_schema" in features else schema
    return {"toolSpecification": {"name": name, "description": description or f"Tool {name}", "inputSchema": {"json": shown}}}


def reduce_schema(schema: Any) -> Any:
    """The schema without what is refused; names of properties are left alone, whatever they are."""
    if not isinstance(schema, dict):
        return schema
    out: Json = {}
    for key, value in schema.items():
        if key == "additionalProperties" or (key == "required" and value == []):
            continue
        if key in _SCHEMAS_BY_NAME and isinstance(value, dict):
            value = {name: reduce_schema(inner) for name, inner in value.items()}
        elif key in _SCHEMA_LISTS and isinstance(value, list):
            value = [reduce_schema(inner) for inner in value]
        elif key in _INNER:
            value = reduce_schema(value)
        out[key] = value
    return out
