from __future__ import annotations

from omni_connector.openapi.operation import TEXT, fields, row


def test_a_row_and_a_body() -> None:
    made = row("POST /api/x/{id}", "Do it.", "object", 201, refusals=(409,))
    assert (made.method, made.path, made.answers, made.refusals) == ("POST", "/api/x/{id}", {201: "object"}, (409,))
    assert fields("a", a=TEXT, b=TEXT) == {
        "type": "object", "properties": {"a": TEXT, "b": TEXT}, "additionalProperties": False, "required": ["a"],
    }  # fmt: skip
    assert "required" not in fields(a=TEXT)
