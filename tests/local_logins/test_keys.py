"""Keys in the environment."""

from __future__ import annotations

import pytest

from omni_connector import providers
from omni_connector.local_logins.findings import Machine
from omni_connector.local_logins.keys import keys


def test_every_name_that_a_row_lists() -> None:
    for row in providers.PROVIDERS.values():
        for name in row.env:
            found = [one for one in keys(Machine(None, {name: "key-0123456789"})) if one.provider == row.id]
            assert [(one.id, one.kind, one.importable) for one in found] == [(f"env:{name}", "key", True)]
            assert found[0].draft is not None
            assert found[0].draft.secret == "key-0123456789"
            assert "0123456789" not in str(found[0].as_json())


def test_one_key_under_two_names_is_one() -> None:
    env = {"GEMINI_API_KEY": "AIza-1", "GOOGLE_API_KEY": "AIza-1"}
    assert [one.id for one in keys(Machine(None, env))] == ["env:GEMINI_API_KEY"]
    assert len(list(keys(Machine(None, {**env, "GOOGLE_API_KEY": "AIza-2"})))) == 2


@pytest.mark.parametrize("value", ["omni-abc", "omniadm-abc", "two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_of_a_provider(value: str) -> None:
    found = list(keys(Machine(None, {"OPENAI_API_KEY": value})))
    assert [one.importable for one in found] == [False]
    assert value not in found[0].why_not


def test_an_empty_one_is_none() -> None:
    assert list(keys(Machine(None, {"OPENAI_API_KEY": "  "}))) == []
