"""Single values of untrusted files."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.admin import bodies
from omni_connector.transfer.shapes import LONGEST_LABEL, Draft, identity, key, label, options, text, tokens

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("../../etc/passwd", ".. .. etc passwd"),
        ("a\r\nset-cookie: x", "a set-cookie: x"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("C:\\users\\me", "C: users me"),
        ("x" * 500, "x" * LONGEST_LABEL),
        ("\u2028\x85 \t", ""),
        (None, ""),
        (7, ""),
        (["a"], ""),
    ],
)
def test_a_label_is_made_fit(given: Any, expected: str) -> None:
    assert label(given) == expected


@given(st.text(max_size=300))
def test_every_label_that_is_left_may_be_one(given: str) -> None:
    found = label(given)
    assert not found or bodies.label(found) == found
    assert label(found) == found


@given(ANY)
def test_wrong_types_count_as_absent(value: Any) -> None:
    said = {"a": value, "access_token": value, "refresh_token": value, "scope": value, "email": value}
    assert isinstance(text(said, "a"), str)
    assert key(said, "a").isascii()
    found = tokens(said, value)
    assert found is None or found.access_token or found.refresh_token
    assert set(identity(said)) <= {"email"}


def test_the_first_name_that_holds_something() -> None:
    assert text({"a": " ", "b": "x\n", "c": 1, "d": " y "}, "a", "b", "c", "d") == "x"
    assert text({"a": "x" * 201}, "a") == ""
    assert key({"a": "has blank", "b": "ok"}, "a") == ""


def test_without_an_access_token_the_refresh_token_is_due() -> None:
    found = tokens({"refresh_token": "r"}, 1_800_000_000)
    assert found is not None
    assert (found.access_token, found.expires_at) == ("", 1)
    assert tokens({"access_token": "a"}, 1_800_000_000).expires_at == 1_800_000_000_000  # type: ignore[union-attr]
    assert tokens({"access_token": "line\nbreak"}) is None


def test_a_draft_hides_what_is_secret() -> None:
    draft = Draft("openai", "x", secret="sk-secret", fields={"headers": {"x": "hidden"}}, tokens=tokens({"access_token": "ya29"}))
    for word in ("sk-secret", "hidden", "ya29"):
        assert word not in repr(draft)
    assert options(a="", b=None) == {}
    assert Draft("x", fields={"options": {"identity": 5}}).identity == {}
