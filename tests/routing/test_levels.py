"""Levels as part of a name."""

from __future__ import annotations

import pytest

from omni_connector.errors import Kind
from omni_connector.routing.levels import refusal, split, split_any, unknown


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("high/gpt-5.1", ("high", "gpt-5.1")),
        ("xhigh:gpt-5.1", ("xhigh", "gpt-5.1")),
        ("None/a/b:c", ("none", "a/b:c")),
        ("ultra/gpt-5", None),
        ("high/", None),
        ("high", None),
        ("/high/x", None),
        ("llama3:high", None),
    ],
)
def test_a_level_in_front(name: str, parts: tuple[str, str] | None) -> None:
    assert split(name) == parts


def test_any_word_in_front() -> None:
    assert split_any("ultra/gpt-5") == ("ultra", "gpt-5")
    assert split_any("qwen3/8b") is None


def test_the_refusal_names_what_is_supported() -> None:  # P-51
    error = refusal("max", [("gpt-5", ("low", "high")), ("gpt-4o", ()), ("gpt-5", ("low", "high"))])
    assert (error.kind, error.param) == (Kind.BAD_REQUEST, "model")
    assert error.message.endswith("'max' is not supported: gpt-5 takes low, high; gpt-4o has none: name it without a level.")
    assert unknown("gpt-5", frozenset()) is None
