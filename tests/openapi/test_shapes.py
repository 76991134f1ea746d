from __future__ import annotations

import pytest

from omni_connector.openapi.shapes import COMPONENTS, schema


def test_a_shape_reads_like_what_it_describes() -> None:
    assert schema({"id": "text", "until?": "time?", "all": ["Key"], "of": "map:text", "is": "=a|b"}) == {
        "type": "object",
        "required": ["id", "all", "of", "is"],
        "properties": {
            "id": {"type": "string"},
            "until": {"anyOf": [{"type": "integer", "description": "Milliseconds UTC."}, {"type": "null"}]},
            "all": {"type": "array", "items": {"$ref": "#/components/schemas/Key"}},
            "of": {"type": "object", "additionalProperties": {"type": "string"}},
            "is": {"type": "string", "enum": ["a", "b"]},
        },
    }
    with pytest.raises(KeyError):
        schema("txt")


def test_every_component_is_a_shape() -> None:
    assert all(schema(shape) for shape in COMPONENTS.values())
