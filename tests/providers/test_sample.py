from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.providers.sample import instance

NODE = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"]}, {"a": "demo"}),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "items": {"type": "boolean"}}, []),
        ({"enum": ["x", "y"]}, "x"),
        ({"const": 3}, 3),
        ({"type": ["null", "number"], "minimum": 2.5}, 2.5),
        ({"type": "integer", "exclusiveMinimum": 9}, 10),
        ({"type": "integer", "maximum": -4}, -4),
        ({"type": "string", "minLength": 6}, "demoxx"),
        ({"type": "string", "maxLength": 2}, "de"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {"const": 2}}, "required": ["b"]}]},
            {"a": 1, "b": 2},
        ),
        ({"$ref": "#/$defs/X", "$defs": {"X": {"type": "string", "enum": ["ref"]}}}, "ref"),
        ({"required": ["x"], "properties": {"x": {}}}, {"x": "demo"}),
        ({}, {}),
        (None, {}),
    ],
)
def test_instance(schema: Any, value: Any) -> None:
    assert instance(schema) == value


def test_a_schema_that_contains_itself_ends() -> None:
    assert isinstance(instance(NODE), dict)
    assert instance({"$ref": "#"}) == {}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["object", "array", "string", "#", "#/a", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "required", "items", "anyOf", "allOf", "$ref", "enum", "minItems", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_nothing_makes_it_raise(schema: Any) -> None:
    instance(schema)
