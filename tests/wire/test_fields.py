from __future__ import annotations

import math
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.fields import Fields, integer


@pytest.mark.parametrize(
    ("reader", "value", "words"),
    [
        ("string", 1, "a string, not a number"),
        ("boolean", "true", "a boolean, not a string"),
        ("integer", True, "an integer, not a boolean"),
        ("integer", 1.5, "an integer, not a number"),
        ("integer", math.inf, "an integer, not a number"),
        ("number", [], "a number, not a list"),
        ("number", math.nan, "a finite number"),
        ("object", "x", "an object, not a string"),
        ("items", {}, "a list, not an object"),
        ("inner", None, "an object, not null"),
    ],
)
def test_a_wrong_type_names_field_reason_and_fix(reader: str, value: Any, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        getattr(Fields({"f": value}, "messages[2]"), reader)("f")
    assert caught.value.kind is Kind.BAD_REQUEST
    assert caught.value.param == "messages[2].f"
    assert "`messages[2].f` must be" in caught.value.message
    assert words in caught.value.message


def test_what_is_taken_is_not_left() -> None:
    fields = Fields({"a": 1, "b": "x", "c": None, "d": 2.0, "e": [1]}, "")
    assert (fields.integer("a"), fields.integer("d"), fields.string("missing"), fields.string("c")) == (1, 2, None, None)
    assert fields.rest() == {"b": "x", "e": [1]}
    assert not fields.spent()
    fields.take("b")
    fields.take("e")
    assert fields.spent()
    assert fields.path("b") == "b"


@pytest.mark.parametrize("value", [None, 3, "x", []])
def test_a_body_must_be_an_object(value: Any) -> None:
    with pytest.raises(GatewayError, match="must be a JSON object"):
        Fields(value, "")


def test_required_gives_an_example() -> None:
    with pytest.raises(GatewayError, match=r'`tools\[0\].name` is missing or empty. Add it, for example "x"'):
        Fields({"name": ""}, "tools[0]").required("name", '"x"')


def test_integer() -> None:
    assert [integer(value) for value in (3, 3.0, True, "3", None, 10**40, 3.2)] == [3, 3, None, None, None, 10**40, None]
