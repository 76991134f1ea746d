"""`omni-connector limit …`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli


def test_set_list_remove(cli: Cli) -> None:
    assert "limit set installation" in cli("limit", "list").out
    told = cli("limit", "set", "installation", "--budget", "50", "--zone", "europe/berlin", "--json").json
    assert {name: told["budget"][name] for name in ("amount", "period", "zone")} == {
        "amount": "50",
        "period": "month",
        "zone": "Europe/Berlin",
    }
    assert "$50 a month (Europe/Berlin), soft; 600 requests a minute" in cli("limit", "set", "installation", "--soft", "--rpm", "600").out
    assert cli("limit", "set", "provider", "OpenAI", "--tpm", "200000").code == 0
    assert cli("limit", "set", "provider", "openai", "--max-in-flight", "4", "--json").json["tpm"] == 200_000, "what is not named stays"
    assert cli("limit", "set", "provider", "openai", "--max-in-flight", "none", "--json").json["max_in_flight"] is None
    cli("limit", "set", "model", "meta/llama", "--budget", "2", "--period", "day")
    lines = cli("limit", "list").out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["LIMIT OF", "installation", "provider openai", "model meta/llama"]
    assert "200,000" in lines[2]
    assert "$50 a month (Europe/Berlin), soft  $0.000000" in lines[1]
    gone = cli("limit", "set", "provider", "openai", "--tpm", "none")
    assert (gone.code, "limit remove provider openai" in gone.err) == (1, True)
    assert "is removed" in cli("limit", "remove", "provider", "openai").out
    assert "is removed" in cli("limit", "remove", "installation").out
    assert cli("limit", "remove", "model", "meta/lama").err.count("meta/llama") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("account", "work", "--rpm", "3"), "backend edit"),
        (("key", "ci", "--rpm", "3"), "key edit"),
        (("providr", "openai", "--rpm", "3"), "provider"),
        (("installation", "openai", "--rpm", "3"), "provider openai"),
        (("model", "--rpm", "3"), "Which model"),
        (("installation",), "--budget"),
        (("installation", "--zone", "UTC"), "needs --budget"),
        (("installation", "--rpm", "lots"), "--rpm"),
        (("installation", "--budget", "lots"), "budget.amount"),
    ],
)
def test_a_mistake_is_one_line_that_teaches(cli: Cli, words: tuple[str, ...], said: str) -> None:
    result = cli("limit", "set", *words)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert said in result.err
