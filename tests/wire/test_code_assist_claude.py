from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.code_assist_claude import fit_calling, fit_schema, fit_thinking, fit_tools, without_placeholder
from omni_connector.wire.code_assist_words import PLACEHOLDER
from omni_connector.wire.gemini_schema import reduce_schema
from tests.code_assist_server import _nodes


@pytest.mark.parametrize(
    ("config", "left", "dropped"),
    [
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, {"thinkingBudget": 24576}, ()),
        ({"thinkingConfig": {"thinkingBudget": 1024}, "maxOutputTokens": 1025}, {"thinkingBudget": 1024}, ()),
        ({"thinkingConfig": {"thinkingBudget": 1024}, "maxOutputTokens": 1024}, None, ("thinking (less than 1024 tokens)",)),
        (
            {"thinkingConfig": {"thinkingBudget": 2000}, "maxOutputTokens": 1500},
            {"thinkingBudget": 1499},
            ("thinking budget 2000 (as 1499)",),
        ),
        ({"thinkingConfig": {"includeThoughts": True}}, None, ()),
        ({"thinkingConfig": {"thinkingBudget": 0}}, None, ()),
        ({"temperature": 1}, None, ()),
    ],
)
def test_budgets(config: dict[str, Any], left: Any, dropped: tuple[str, ...]) -> None:
    named: dict[str, None] = {}
    fit_thinking(config, named)
    assert (config.get("thinkingConfig"), tuple(named)) == (left, dropped)


def test_other_tools_and_modes_stay() -> None:
    assert fit_tools([{"googleSearch": {}}]) == [{"googleSearch": {}}]
    calling = {"functionCallingConfig": {"mode": "NONE"}, "retrievalConfig": {}}
    assert fit_calling(calling, {}) == calling
    allowed = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}
    assert fit_calling(allowed, {})["functionCallingConfig"] == {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}


def test_an_enumeration_is_told_in_words() -> None:
    schema = {"type": "STRING", "description": "The unit.", "enum": ["C", "F"]}
    assert fit_schema(schema) == {"type": "STRING", "description": 'The unit. (one of: "C", "F")'}


NAMES = st.sampled_from(["a", "b", "enum", "required"])
SCHEMAS = st.recursive(
    st.fixed_dictionaries({"type": st.sampled_from(["string", "object", "integer"])}, optional={"enum": st.just(["x"])}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=2, max_size=3)}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(NAMES, inner)}, optional={"required": st.just(["a"])}
        ),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_every_object_of_any_schema_requires_something(schema: dict[str, Any]) -> None:
    fitted = fit_schema(reduce_schema(schema))
    for node in _nodes(fitted):
        assert not isinstance(node.get("enum"), list)
        if node.get("type") == "OBJECT":
            assert node["required"] and set(node["required"]) <= node["properties"].keys()
    assert fit_schema(fitted) == fitted


def test_the_placeholder_never_reaches_the_client() -> None:
    args = {PLACEHOLDER: True, "a": [{PLACEHOLDER: True, "b": 1}], "c": {PLACEHOLDER: False}}
    assert without_placeholder(args) == {"a": [{"b": 1}], "c": {}}
    assert without_placeholder("x") == "x"
