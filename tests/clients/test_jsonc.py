import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.clients import jsonc

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(OBJECTS, st.sampled_from([None, 1, 2, "\t"]), st.lists(st.text(max_size=3), min_size=1, max_size=3), VALUES)
def test_a_value_is_set_and_nothing_else_changes(said: dict[str, Any], indent: Any, path: list[str], value: Any) -> None:
    text = json.dumps(said, indent=indent, ensure_ascii=False)
    expected = json.loads(text)
    at: Any = expected
    for name in path[:-1]:
        if not isinstance(at, dict):
            break
        if at.get(name) is None:
            at[name] = {}
        at = at[name]
    if not isinstance(at, dict):
        with pytest.raises(ValueError, match="is not an object"):
            jsonc.edit(text, {tuple(path): value})
        return
    at[path[-1]] = value
    after = jsonc.edit(text, {tuple(path): value})
    assert json.loads(after) == expected
    assert jsonc.edit(after, {tuple(path): value}) == after


@given(OBJECTS.filter(bool), st.sampled_from([None, 2]), st.data())
def test_a_member_is_removed(said: dict[str, Any], indent: Any, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(said)))
    after = jsonc.edit(json.dumps(said, indent=indent), {}, [(name,)])
    assert json.loads(after) == {key: value for key, value in said.items() if key != name}


@given(OBJECTS, st.lists(st.tuples(st.lists(st.text(max_size=3), min_size=1, max_size=3), VALUES), max_size=3), st.integers(0, 9))
def test_what_was_set_is_taken_out_again(said: dict[str, Any], values: list[tuple[list[str], Any]], later: int) -> None:
    before = json.dumps(said, indent=2)
    try:
        after = jsonc.edit(before, {tuple(path): value for path, value in values})
    except ValueError:
        return
    told = jsonc.taken_out(before, after, jsonc.edit(after, {("a later one",): later}))
    assert told is not None
    assert json.loads(told) == {**said, "a later one": later}


def test_what_was_changed_again_is_not_taken_out() -> None:
    assert jsonc.taken_out('{"a": 1}', '{"a": 2}', '{"a": 3}') is None


def test_comments_commas_and_order_stay() -> None:
    text = '// head\n{\n    "b": 1, /* b */\n    "a": {"x": [1, 2,],}, // a\n}\n// tail'
    assert jsonc.loads(text) == {"b": 1, "a": {"x": [1, 2]}}
    after = jsonc.edit(text, {("c", "d"): "e", ("b",): 2})
    assert after == (
        '// head\n{\n    "b": 2, /* b */\n    "a": {"x": [1, 2,],}, // a\n'
        '    "c": {\n        "d": "e"\n    },\n}\n// tail'
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", " \n", "\ufeff"])
def test_an_empty_file_is_an_empty_object(text: str) -> None:
    assert jsonc.loads(text) == {}
    assert jsonc.edit(text, {("a",): 1}) == '{\n  "a": 1\n}\n'


def test_windows_lines_stay_windows_lines() -> None:
    assert jsonc.edit('{\r\n  "a": 1\r\n}\r\n', {("b", "c"): 2}) == '{\r\n  "a": 1,\r\n  "b": {\r\n    "c": 2\r\n  }\r\n}\r\n'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n"a": 1\n"b": 2}', "line 3"),
        ('{"a": }', "line 1"),
        ('{"a": 1', "ends too early"),
        ('{"a": "x\ny"}', "line 1"),
        ("{} x", "line 1"),
        ("{'a': 1}", "line 1"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": "\\x"}', "line 1"),
        ("[" * 200, "nested"),
    ],
)
def test_what_is_broken_is_named_by_its_line(text: str, where: str) -> None:
    with pytest.raises(ValueError, match=where):
        jsonc.edit(text, {("a",): 1})
