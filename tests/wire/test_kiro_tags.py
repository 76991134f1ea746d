"""Thoughts inside the text. P-22"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire.kiro_tags import ThinkTags


def read(*pieces: str) -> tuple[str, str]:
    """(thoughts, text)."""
    tags = ThinkTags()
    told = [piece for text in pieces for piece in tags.feed(text)] + tags.close()
    assert all(text for _, text in told)
    return tuple("".join(text for kind, text in told if kind == wanted) for wanted in ("reasoning", "text"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<thinking>Hm.</thinking>\n\nHello", ("Hm.", "Hello")),
        ("\n <thinking>\nHm.</thinking>Hello </thinking>", ("Hm.", "Hello </thinking>")),
        ("Hello <thinking>no</thinking>", ("", "Hello <thinking>no</thinking>")),
        ("<thinking>a < b </think> c</thinking>x", ("a < b </think> c", "x")),
        ("<thinking>cut", ("cut", "")),
        ("<thinking>cut</thin", ("cut</thin", "")),
        ("<think", ("", "<think")),
        ("<thinker>", ("", "<thinker>")),
        ("<thinking></thinking>\n\n", ("", "")),
        ("  Hello", ("", "  Hello")),
        ("", ("", "")),
    ],
)
def test_at_every_split(text: str, wanted: tuple[str, str]) -> None:
    assert read(text) == read(*text) == wanted
    assert all(read(text[:place], text[place:]) == wanted for place in range(len(text)))


@given(st.lists(st.sampled_from(["<thinking>", "</thinking>", "<", "/", "thinking>", "a", "\n", " "]), max_size=12))
def test_nothing_depends_on_the_split(words: list[str]) -> None:
    text = "".join(words)
    assert read(text) == read(*text) == read(*words)


def test_text_that_has_no_tag_is_told_at_once() -> None:
    tags = ThinkTags()
    assert tags.feed("H") == [("text", "H")] and tags.feed("<thinking>") == [("text", "<thinking>")]
    tags = ThinkTags()
    assert tags.feed("<thinking>Hm") == [("reasoning", "Hm")] and tags.feed("m</") == [("reasoning", "m")]
