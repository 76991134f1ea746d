"""`backend login` on the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("login",), 2, "provider"),
        (("login", "opnai"), 1, "openai"),
        (("login", "openai"), 2, "not connected by signing in"),
        (("login", "demo"), 2, "not connected by signing in"),
        (("login", "gemini-cli", "--option", "x"), 2, "--option"),
        (("login", "gemini-cli", "--client-id", "x", "--client-secret-env", "NOT_SET"), 2, "NOT_SET"),
        (("login", "gemini-cli"), 2, "ONEAPI_GEMINI_OAUTH_CLIENT_ID"),
        (("login", "gemini-cli", "--client-id", "x"), 1, "--yes"),
        (("login", "gemini-cli", "--client-id", "x", "--way", "pigeon"), 2, "way"),
        (("login", "--finish", "flw_nowhere"), 1, "flw_nowhere"),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, argv: tuple[str, ...], code: int, said: str) -> None:
    result = cli("backend", *argv)
    assert (result.code, result.out) == (code, "")
    assert said in result.err.splitlines()[-1]


def test_a_connector_is_switched_on_by_a_decision_only(cli: Cli) -> None:
    off = cli("backend", "login", "gemini-cli", "--client-id", "x")
    assert "config set connectors gemini-cli" in off.err
    begun = cli("backend", "login", "gemini-cli", "--client-id", "x", "--headless", "--yes", "--json")
    assert begun.json["status"] == "waiting"
    assert "may suspend an account" in begun.err
    assert "gemini-cli" in cli("config", "get", "connectors").out
    assert cli("backend", "login", "gemini-cli", "--client-id", "x", "--headless", "--json").json["provider"] == "gemini-cli"
