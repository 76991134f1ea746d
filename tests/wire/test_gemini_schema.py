"""Schemas between Gemini's form and JSON Schema."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.gemini_schema import reduce_schema, to_json_schema

HARBOUR = {
    "type": "OBJECT",
    "properties": {
        "name": {"type": "STRING", "description": "as on the chart", "nullable": True},
        "type": {"type": 1, "format": "enum", "enum": ["sea", "river"]},
        "berths": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1", "max_items": 9},
        "depth": {"any_of": [{"type": "NUMBER"}, {"type": "STRING"}], "nullable": True},
    },
    "required": ["name"],
    "property_ordering": ["type", "name"],
}


def test_from_gemini() -> None:
    found = to_json_schema(HARBOUR)
    assert found == {
        "type": "object",
        "properties": {
            "type": {"type": "string", "enum": ["sea", "river"]},
            "name": {"type": ["string", "null"], "description": "as on the chart"},
            "berths": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1, "maxItems": 9},
            "depth": {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "null"}]},
        },
        "required": ["name"],
    }
    assert list(found["properties"]) == ["type", "name", "berths", "depth"]
    assert to_json_schema(found) == found, "JSON Schema stays as it is"


def test_numbers_for_types_and_references() -> None:
    assert to_json_schema({"type": 6, "properties": {"a": {"ref": "#/defs/A"}}, "defs": {"A": {"type": 0, "title": "x"}}}) == {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"title": "x"}},
    }
    assert to_json_schema({"type": "STRING", "enum": ["a"], "nullable": True}) == {"type": ["string", "null"], "enum": ["a", None]}


def test_reduced_inlines_and_tells_what_it_cannot_keep() -> None:
    schema = {
        "$schema": "x",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "a": {"$ref": "#/$defs/A", "description": "mine"},
            "b": {"type": ["integer", "null"], "minimum": 1, "multipleOf": 2, "description": "even"},
            "c": {"const": "fixed"},
            "d": {"enum": [1, 2]},
            "e": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "number"}]},
            "f": {"oneOf": [{"type": "array"}, {"type": "null"}]},
            "g": {"allOf": [{"$ref": "#/$defs/A"}, {"properties": {"z": {"type": "boolean"}}, "required": ["z"]}]},
            "h": {"type": "object", "additionalProperties": {"type": "string"}},
            "i": True,
        },
        "required": ["a", "gone", "a"],
        "$defs": {"A": {"type": "object", "properties": {"x": {"type": "string", "default": "q"}}, "required": ["x"]}},
    }
    assert reduce_schema(schema) == {
        "type": "OBJECT",
        "properties": {
            "a": {
                "type": "OBJECT",
                "properties": {"x": {"type": "STRING", "description": '(default: "q")'}},
                "required": ["x"],
                "description": "mine",
            },
            "b": {"type": "INTEGER", "nullable": True, "minimum": 1, "description": "even (multipleOf: 2)"},
            "c": {"type": "STRING", "enum": ["fixed"]},
            "d": {"type": "INTEGER", "description": "(one of: 1, 2)"},
            "e": {"anyOf": [{"type": "STRING", "description": "(maxLength: 3)"}, {"type": "NUMBER"}]},
            "f": {"type": "ARRAY", "items": {"type": "STRING"}, "nullable": True},
            "g": {
                "type": "OBJECT",
                "properties": {"x": {"type": "STRING", "description": '(default: "q")'}, "z": {"type": "BOOLEAN"}},
                "required": ["x", "z"],
            },
            "h": {"type": "OBJECT", "description": '(other properties: {"type":"string"})'},
            "i": {"type": "OBJECT"},
        },
        "required": ["a"],
    }


def test_recursion_ends() -> None:
    tree: dict[str, Any] = {"$ref": "#/$defs/T", "$defs": {"T": {"type": "object", "properties": {"sub": {"$ref": "#/$defs/T"}}}}}
    assert reduce_schema(tree) == {
        "type": "OBJECT",
        "properties": {"sub": {"type": "OBJECT", "description": "(again: T)"}},
    }
    assert reduce_schema({"properties": {"a": {"$ref": "#"}}})["properties"]["a"]["properties"]["a"] == {
        "type": "OBJECT",
        "description": "(again: #)",
    }
    assert reduce_schema({"$ref": "#/$defs/none"}) == {"type": "OBJECT", "description": "(unknown: none)"}
    loop = {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "allOf": [{"$ref": "#/$defs/A"}]}
    assert reduce_schema(loop)["type"] == "OBJECT"


def test_a_small_schema_cannot_become_a_huge_one() -> None:
    defs = {f"L{n}": {"properties": {side: {"$ref": f"#/$defs/L{n + 1}"} for side in "abcd"}} for n in range(30)}
    assert len(repr(reduce_schema({"$ref": "#/$defs/L0", "$defs": {**defs, "L30": {"type": "string"}}}))) < 3_000_000


_WORDS = """type properties items anyOf oneOf allOf enum const required nullable $ref $defs additionalProperties description
    propertyOrdering minItems object string array null OBJECT a #/$defs/a #"""
WORDS = st.sampled_from(_WORDS.split())
ANY = st.recursive(
    WORDS | st.none() | st.booleans() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=15,
)


@given(st.dictionaries(WORDS, ANY, max_size=6))
def test_any_object_is_translated(schema: dict[str, Any]) -> None:
    once = to_json_schema(schema)
    assert isinstance(once, dict)
    reduced = reduce_schema(schema)
    assert reduced == reduce_schema(schema)
    assert "type" in reduced or "anyOf" in reduced


@pytest.mark.parametrize("schema", [{"nullable": True, "anyOf": [{"type": "STRING"}]}, {"type": ["string", "null"]}])
def test_null_goes_round(schema: dict[str, Any]) -> None:
    assert reduce_schema(to_json_schema(schema)) == {"type": "STRING", "nullable": True}
