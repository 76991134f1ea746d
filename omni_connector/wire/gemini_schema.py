"""Schemas between JSON Schema and Gemini's own form (an OpenAPI subset with upper-case types).

Gemini takes JSON Schema as it is (`parametersJsonSchema`, `responseJsonSchema`), so `reduce_schema` is only for targets that
know nothing but `parameters` and `responseSchema`. What it cannot keep it tells in the description. It never sees arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.wire.fields import integer
from omni_connector.wire.gemini_words import TYPE_NUMBERS, camel, dumps, word_of

# ---------------------------------------------------------------- From Gemini

_INT64 = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
"""Proto-JSON writes 64-bit integers as text."""
_ONE = ("items", "additionalProperties", "not")
_MANY = ("anyOf", "oneOf", "allOf", "prefixItems")
_NAMED = ("properties", "$defs", "definitions", "patternProperties")


def to_json_schema(schema: Json) -> Json:
    """Gemini's `Schema` → JSON Schema: types in lower case, `nullable` as a type, `propertyOrdering` as the order itself.
    What is JSON Schema already stays as it is. Raises RecursionError for what is nested too deeply."""
    node = camel(schema)
    out: Json = {}
    for key, value in node.items():
        name = {"defs": "$defs", "ref": "$ref"}.get(key, key)
        if value is None or key in ("nullable", "propertyOrdering") or (key == "format" and value == "enum"):
            continue
        out[name] = _translated(name, value)
    _order(out, node.get("propertyOrdering"))
    if node.get("nullable") is True:
        _allow_null(out)
    return {key: value for key, value in out.items() if value is not None}


def _translated(name: str, value: Any) -> Any:
    if name == "type":
        return [_type(item) for item in value] if isinstance(value, list) else _type(value)
    if name == "$ref" and isinstance(value, str):
        return value.replace("#/defs/", "#/$defs/")
    if name in _INT64 and isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
    if name in _ONE and isinstance(value, dict):
        return to_json_schema(value)
    if name in _MANY and isinstance(value, list):
        return [to_json_schema(item) if isinstance(item, dict) else item for item in value]
    if name in _NAMED and isinstance(value, dict):
        return {key: to_json_schema(item) if isinstance(item, dict) else item for key, item in value.items()}
    return value


def _type(value: Any) -> Any:
    word = word_of(value, TYPE_NUMBERS)
    return None if word is None or word == TYPE_NUMBERS[0] else word.lower()


def _order(out: Json, ordering: Any) -> None:
    properties = out.get("properties")
    if not isinstance(ordering, list) or not isinstance(properties, dict):
        return
    first = [name for name in ordering if isinstance(name, str) and name in properties]
    out["properties"] = {name: properties[name] for name in dict.fromkeys([*first, *properties])}


def _allow_null(out: Json) -> None:
    kind = out.get("type")
    if isinstance(kind, str) and kind != "null":
        out["type"] = [kind, "null"]
    if isinstance(out.get("enum"), list) and None not in out["enum"]:
        out["enum"] = [*out["enum"], None]
    branches = out.get("anyOf")
    if isinstance(branches, list) and {"type": "null"} not in branches and kind is None:
        out["anyOf"] = [*branches, {"type": "null"}]


# ---------------------------------------------------------------- To Gemini

_KEPT = ("title", "minimum", "maximum")
_TOLD = ("minLength", "maxLength", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "pattern", "minItems", "maxItems", "uniqueItems",
         "minProperties", "maxProperties", "format", "default", "examples")  # fmt: skip
"""Keywords that targets without JSON Schema refuse: they become words of the description (upstreams.md §3)."""
_MOST_NODES = 5000
"""References are written out where they stand, so a small schema can become a huge one: beyond this many, stubs."""

_TYPES: Mapping[str, str] = {name.lower(): name for name in TYPE_NUMBERS[1:]}


def reduce_schema(schema: Json) -> Json:
    """JSON Schema → the `Schema` form. The same input always gives the same output. Raises RecursionError for what is
    nested too deeply."""
    return _Reducer(schema).node(schema, ())


class _Reducer:
    def __init__(self, root: Json) -> None:
        self._root = root
        self._nodes = 0

    def node(self, schema: Any, path: tuple[str, ...]) -> Json:
        """`path` holds the references that are being written out: one inside itself ends there."""
        self._nodes += 1
        if not isinstance(schema, dict):
            # true: anything. Gemini demands a type, and an object is the least wrong.
            return {"type": "OBJECT"}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._reference(schema, reference, path)
        if self._nodes > _MOST_NODES:
            return {"type": "OBJECT", "description": "(cut: the schema is too large)"}
        merged = self._merged(schema, path)
        out: Json = {}
        notes = self._shape(merged, out, path)
        notes += [f"{key}: {dumps(merged[key]).decode()}" for key in _TOLD if merged.get(key) is not None]
        out |= {key: merged[key] for key in _KEPT if merged.get(key) is not None}
        said = merged.get("description")
        words = [said] if isinstance(said, str) and said else []
        if notes:
            words.append(f"({'; '.join(notes)})")
        if words:
            out["description"] = " ".join(words)
        return out

    # ------------------------------------------------------------ References and compounds

    def _reference(self, schema: Json, reference: str, path: tuple[str, ...]) -> Json:
        name = reference.rpartition("/")[2] or "the whole"
        target = self._find(reference)
        if reference in path or target is None or self._nodes > _MOST_NODES:
            word = "unknown" if target is None else "again"
            return {"type": "OBJECT", "description": f"({word}: {name})"}
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return self.node({**target, **beside} if beside else target, (*path, reference))

    def _find(self, reference: str) -> Json | None:
        """A local JSON pointer's target (RFC 6901)."""
        if not reference.startswith("#"):
            return None
        found: Any = self._root
        for step in reference[1:].split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                number = int(key) if key.isascii() and key.isdigit() and len(key) < 9 else -1
                found = found[number] if 0 <= number < len(found) else None
            else:
                found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else None

    def _merged(self, schema: Json, path: tuple[str, ...]) -> Json:
        """The schema with the branches of `allOf` in it; what it says itself wins."""
        branches = schema.get("allOf")
        if not isinstance(branches, list):
            return schema
        out: Json = {}
        for branch in [*branches, {key: value for key, value in schema.items() if key != "allOf"}]:
            target = self._find(branch["$ref"]) if isinstance(branch, dict) and isinstance(branch.get("$ref"), str) else branch
            if not isinstance(target, dict):
                continue
            if isinstance(target.get("allOf"), list) and target is not schema and len(path) < 32:
                target = self._merged(target, (*path, ""))
            properties = {**_object(out.get("properties")), **_object(target.get("properties"))}
            required = [*_list(out.get("required")), *_list(target.get("required"))]
            out |= target
            if properties:
                out["properties"] = properties
            if required:
                out["required"] = required
        out.pop("allOf", None)
        return out

    # ------------------------------------------------------------ Type, values, members

    def _shape(self, schema: Json, out: Json, path: tuple[str, ...]) -> list[str]:
        """Fills type, nullable, enum, members; gives what is left for the description."""
        notes: list[str] = []
        kinds = [kind for kind in _list(schema.get("type")) or [schema.get("type")] if isinstance(kind, str)]
        nullable = "null" in [kind.lower() for kind in kinds] or schema.get("nullable") is True
        kinds = [kind for kind in kinds if kind.lower() != "null"]
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(values, list):
            nullable = nullable or None in values
            notes += self._enum([value for value in values if value is not None], kinds, out)
        if isinstance(branches, list) and branches:
            nullable = self._branches(branches, out, path) or nullable
        if kinds:
            out.setdefault("type", _TYPES.get(kinds[0].lower(), "STRING"))
            if len(kinds) > 1:
                notes.append(f"or {', '.join(kind.lower() for kind in kinds[1:])}")
        self._members(schema, out, path, notes)
        if nullable:
            out["nullable"] = True
        if "anyOf" not in out:
            out.setdefault("type", "OBJECT" if "properties" in out else "STRING" if "enum" in out or nullable else "OBJECT")
        if out.get("type") == "ARRAY":
            out["items"] = self.node(schema["items"], path) if isinstance(schema.get("items"), dict) else {"type": "STRING"}
        return notes

    def _enum(self, values: list[Any], kinds: list[str], out: Json) -> list[str]:
        """Only texts can be listed; other values are told, so that an argument keeps its type."""
        if values and all(isinstance(value, str) for value in values):
            out["type"], out["enum"] = "STRING", values
            return []
        if not kinds and values:
            out["type"] = _type_of(values[0])
        return [f"one of: {', '.join(dumps(value).decode() for value in values)}"] if values else []

    def _branches(self, branches: list[Any], out: Json, path: tuple[str, ...]) -> bool:
        """Fills `anyOf`, or what its only branch says; True when null is one of them."""
        real = [branch for branch in branches if not (isinstance(branch, dict) and branch.get("type") == "null")]
        nodes = [self.node(branch, path) for branch in real]
        if len(nodes) == 1:
            out |= nodes[0]
        elif nodes:
            out["anyOf"] = nodes
        return len(real) < len(branches)

    def _members(self, schema: Json, out: Json, path: tuple[str, ...], notes: list[str]) -> None:
        properties = schema.get("properties")
        if isinstance(properties, dict) and properties:
            out.setdefault("type", "OBJECT")
            out["properties"] = {**_object(out.get("properties")), **{name: self.node(value, path) for name, value in properties.items()}}
            required = [name for name in _list(schema.get("required")) if isinstance(name, str) and name in properties]
            if required:
                out["required"] = list(dict.fromkeys(required))
        others = schema.get("additionalProperties")
        if isinstance(others, dict) and others:
            notes.append(f"other properties: {dumps(others).decode()}")


def _type_of(value: Any) -> str:
    if isinstance(value, bool):
        return "BOOLEAN"
    if isinstance(value, int | float):
        return "NUMBER" if integer(value) is None else "INTEGER"
    return "STRING" if isinstance(value, str) else "ARRAY" if isinstance(value, list) else "OBJECT"


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
