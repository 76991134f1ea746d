"""The smallest value that a JSON schema accepts, for the demo provider's tool calls and structured answers.

Covers what tool schemas use: type, enum, const, properties, required, items, minItems, min/max, minLength/maxLength, common
formats, anyOf/oneOf/allOf, local $ref. It does not search: `pattern`, `not` and contradictory schemas may be missed.
"""

from __future__ import annotations

from typing import Any, TypeGuard

FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}
MAX_DEPTH = 24
MAX_ITEMS = 50


def instance(schema: Any) -> Any:
    """A small value for a schema (parsed JSON). Anything that is not a schema counts as {}: the empty object. Never raises."""
    return _instance(schema, schema, 0)


def _instance(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {} if depth == 0 else None
    schema = _merged(schema, root)
    for name in ("const", "default"):
        if name in schema:
            return schema[name]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            count = min(_whole(schema.get("minItems")), MAX_ITEMS)
            return [_instance(schema.get("items"), root, depth + 1) for _ in range(count)]
        case "string":
            return _string(schema)
        case "integer" | "number" as kind:
            return _number(schema, kind)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return {} if depth == 0 else "demo"


def _merged(schema: dict[str, Any], root: Any) -> dict[str, Any]:
    """The schema with its reference followed and its first alternative (all of allOf) laid over it."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            break
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        schema = {**_resolve(reference, root), **rest}
    layers = [layer for name in ("anyOf", "oneOf") for layer in _list(schema.get(name))[:1]] + _list(schema.get("allOf"))
    merged = {name: value for name, value in schema.items() if name not in ("anyOf", "oneOf", "allOf")}
    for layer in layers:
        if not isinstance(layer, dict):
            continue
        layer = {**_resolve(layer["$ref"], root), **layer} if isinstance(layer.get("$ref"), str) else layer
        properties = {**_dict(merged.get("properties")), **_dict(layer.get("properties"))}
        required = [*_list(merged.get("required")), *_list(layer.get("required"))]
        merged = {**merged, **layer, "properties": properties, "required": required}
        if not properties:
            del merged["properties"]
    return merged


def _resolve(reference: str, root: Any) -> dict[str, Any]:
    """ "#/$defs/Name" → that part of the root; {} when it leads nowhere."""
    value = root
    for name in reference.removeprefix("#").strip("/").split("/"):
        if name:
            value = value.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(value, dict) else None
    return _dict(value)


def _type(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else ""


def _object(schema: dict[str, Any], root: Any, depth: int) -> dict[str, Any]:
    properties = _dict(schema.get("properties"))
    names = dict.fromkeys(name for name in _list(schema.get("required")) if isinstance(name, str))
    return {name: _instance(properties.get(name, {}), root, depth + 1) for name in names}


def _string(schema: dict[str, Any]) -> str:
    text = FORMATS.get(str(schema.get("format")), "demo")
    shortest = min(_whole(schema.get("minLength")), 1_000)
    longest = schema.get("maxLength")
    text = text.ljust(shortest, "x")
    return text[:longest] if isinstance(longest, int) and longest >= 0 else text


def _number(schema: dict[str, Any], kind: str) -> int | float:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    high, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    value: int | float = 1
    if _is_number(above) and value <= above:
        value = above + 1
    if _is_number(low) and value < low:
        value = low
    if _is_number(high) and value > high:
        value = high
    if _is_number(below) and value >= below:
        value = below - 1
    return int(value) if kind == "integer" else value


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
