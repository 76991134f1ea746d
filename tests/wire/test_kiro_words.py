"""Names and ids in Kiro's letters. P-22"""

from __future__ import annotations

import re

import pytest

from omni_connector.wire.kiro_words import loads, thinking_prompt, to_input, to_wire_id, to_wire_name

LONG = "mcp__" + "a" * 80


@pytest.mark.parametrize("name", ["get_weather", "A-b", "x" * 64])
def test_good_names_stay(name: str) -> None:
    assert to_wire_name(name) == name


def test_other_names_become_good_ones_each_another() -> None:
    odd = [LONG, LONG + "b", "a.b", "a:b", "größe", "9lives", "", "_x", "a b"]
    made = [to_wire_name(name) for name in odd]
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", name) for name in made)
    assert len(set(made)) == len(odd) and made == [to_wire_name(name) for name in odd]


def test_ids() -> None:
    assert to_wire_id("tooluse_Ab-1") == "tooluse_Ab-1"
    made = [
        to_wire_id("tooluse_Ab-1", 1),
        to_wire_id("functions.f:0"),
        to_wire_id("functions.f:0", 1),
        to_wire_id(""),
        to_wire_id("x" * 65),
    ]
    assert len(set(made)) == 5 and all(re.fullmatch(r"call_[0-9a-f]{24}", one) for one in made)


def test_arguments_lose_nothing() -> None:
    assert to_input('{"a": 1}', False) == {"a": 1}
    assert to_input(" ", False) == {} and to_input("ls", True) == {"input": "ls"}
    assert to_input('{"cut', False) == {"_raw_arguments": '{"cut'} and to_input("[1]", False) == {"_raw_arguments": "[1]"}


def test_odd_json() -> None:
    assert loads(b"\xff") is None and loads("{") is None and loads(b"[" * 100_000) is None
    assert "<max_thinking_length>1024<" in thinking_prompt(1024)
