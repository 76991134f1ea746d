"""What people are told."""

from __future__ import annotations

from typing import get_args

from omni_connector import providers
from omni_connector.onboarding import words
from omni_connector.providers import SignIn
from omni_connector.store.flows import State


def test_every_end_of_a_sign_in_has_its_words() -> None:
    assert words.ENDED.keys() == set(get_args(State)) - {"waiting"}


def test_how_to_paste_names_the_page_that_fails() -> None:  # P-25
    profile = SignIn(pasted_redirect="https://x.invalid/code")
    assert "http://localhost:1455/auth/callback" in words.manual(profile, "browser", "http://localhost:1455/auth/callback")
    assert "code that the page shows" in words.manual(profile, "browser", "https://x.invalid/code")
    assert "type the code" in words.manual(profile, "device", "")


def test_a_taken_port_is_named_with_the_way_out() -> None:
    said = words.port_problem((1455, 1457), providers.get("openai"))
    assert "1455 and 1457" in said
    assert "paste" in said
