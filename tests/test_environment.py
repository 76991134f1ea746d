from __future__ import annotations

from pathlib import Path

import pytest

from omni_connector import environment


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://localhost:38471/v1", True),
        ("127.0.0.1:38471", True),
        ("http://[::1]:38471", True),
        ("http://omni.localhost:38471/v1", True),
        ("http://0.0.0.0:38471", True),
        ("http://localhost:11434/v1", False),
        ("https://api.openai.com/v1", False),
        ("https://api.openai.com:38471/v1", False),
        ("http://localhost:notaport", False),
    ],
)
def test_an_address_that_leads_back_to_us_is_known(url: str, ours: bool) -> None:
    assert environment.is_ours(url, 38471) is ours


def test_a_client_that_is_set_up_for_us_makes_no_circle() -> None:  # C-56
    """People export the address of this very server for their tools; their own key goes to its provider all the same."""
    (found,) = environment.keys({"OPENAI_API_KEY": "sk-1", "OPENAI_BASE_URL": "http://localhost:38471/v1"}, 38471)
    assert (found.base_url, found.secret) == ("", "sk-1")
    assert "OPENAI_BASE_URL is this server's own address" in found.problem
    assert "sk-1" not in repr(found)


def test_labels_and_marks() -> None:
    assert [environment.is_environments(label) for label in ("env", "env-groq", "environment", "work")] == [True, True, False, False]
    assert environment.mark("a") != environment.mark("b") and "secret" not in environment.mark("secret")


def test_a_provider_key_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n")
    (found,) = environment.keys({"OPENAI_API_KEY_FILE": str(tmp_path / "key")}, 38471)
    assert (found.provider, found.secret) == ("openai", "sk-file")
