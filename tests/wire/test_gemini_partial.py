"""Arguments that come in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.gemini_partial import PartialArguments


def collect(*pieces: Any) -> dict[str, Any]:
    arguments = PartialArguments(False)
    for piece in pieces:
        arguments.add([piece])
    return arguments.value


def test_paths_values_and_growing_texts() -> None:
    assert collect(
        {"jsonPath": "$.a.b[1].c", "stringValue": "one ", "willContinue": True},
        {"jsonPath": "$.a.b[0]", "numberValue": 1.5},
        {"json_path": "$.a.b[1].c", "string_value": "two"},
        {"jsonPath": "$.a.b[1].c", "stringValue": "new"},
        {"jsonPath": "$['it\\'s']", "boolValue": False},
        {"jsonPath": '$.a["x y"]', "nullValue": "NULL_VALUE"},
    ) == {"a": {"b": [1.5, {"c": "new"}], "x y": None}, "it's": False}


@pytest.mark.parametrize(
    "piece",
    [
        3,
        {},
        {"jsonPath": "$", "stringValue": "x"},
        {"jsonPath": "$.a"},
        {"jsonPath": "$[0]", "numberValue": 1},
        {"jsonPath": "$.a[", "numberValue": 1},
        {"jsonPath": "$.a[999999].b", "numberValue": 1},
    ],
)
def test_nonsense_is_left_out(piece: Any) -> None:
    assert collect(piece) in ({}, {"a": []})


@given(
    st.lists(
        st.fixed_dictionaries(
            {"jsonPath": st.text("$.ab[]01'", max_size=8), "stringValue": st.text(max_size=2), "willContinue": st.booleans()}
        )
    )
)
def test_any_pieces(pieces: list[Any]) -> None:
    assert isinstance(collect(*pieces), dict)
