import pytest

from omni_connector.secrets import key_checksum_ok
from tests.cli.conftest import Cli


def test_a_key_from_creation_to_revocation(cli: Cli) -> None:  # O-05, J-16, J-18
    created = cli("key", "create", "--name", "laptop", "--expires", "30d", "--rpm", "60", "--budget", "5", "--period", "week")
    key = created.out.strip()
    assert key_checksum_ok(key), "standard output is the key alone, for $(…)"
    assert "only now" in created.err
    shown = cli("key", "show", "laptop", "--json")
    budget = shown.json["budget"]
    figures = {"spent_usd": "0.000000", "held_usd": "0.000000", "resets_at": budget["resets_at"]}
    assert (shown.json["rpm"], budget) == (60, {"amount": "5", "period": "week", **figures})
    assert "$5 a week, $0.000000 spent, renewed 20" in cli("key", "show", "laptop").out
    rotated = cli("key", "rotate", "laptop", "--json").json
    assert rotated["key"] != key
    assert cli("key", "revoke", shown.json["id"], "--json").json["status"] == "revoked"
    for view in (cli("key", "list"), cli("key", "show", "laptop"), cli("key", "list", "--json")):
        assert "revoked" in view.out
        assert key not in view.out
        assert rotated["key"] not in view.out


def test_a_name_means_the_key_that_still_works(cli: Cli) -> None:
    first = cli("key", "create", "--name", "ci", "--json").json
    cli("key", "revoke", "ci")
    second = cli("key", "create", "--name", "ci", "--json").json
    assert cli("key", "show", "ci", "--json").json["id"] == second["id"] != first["id"]
    cli("key", "create", "--name", "ci")
    assert "2 keys have the name" in cli("key", "show", "ci").err
    assert cli("key", "show", second["hint"], "--json").json["id"] == second["id"]


def test_an_empty_list_teaches_the_next_step(cli: Cli) -> None:
    assert "key create" in cli("key", "list").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--expires", "yesterday"), "expires_at"),
        (("--expires", "2020-01-01"), "over already"),
        (("--period", "day"), "--budget"),
        (("--budget", "lots"), "budget.amount"),
        (("--rpm", "0"), "rpm"),
        (("--providers", "opnai"), "openai"),
    ],
)
def test_a_wrong_limit_is_one_line_and_makes_no_key(cli: Cli, options: tuple[str, ...], said: str) -> None:
    result = cli("key", "create", *options)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert said in result.err
    assert cli("key", "list", "--json").json == {"keys": []}


def test_a_key_is_edited_and_what_is_not_named_stays(cli: Cli) -> None:
    cli("key", "create", "--name", "ci", "--budget", "5", "--period", "week", "--rpm", "60")
    assert cli("key", "edit", "ci", "--zone", "Europe/Berlin", "--soft", "--tpm", "9000").code == 0
    shown = cli("key", "edit", "ci", "--budget", "7", "--rpm", "none", "--expires", "30d", "--json").json
    assert (shown["rpm"], shown["tpm"], shown["expires_at"] is None) == (None, 9000, False)
    said = {name: shown["budget"][name] for name in ("amount", "period", "zone", "mode")}
    assert said == {"amount": "7", "period": "week", "zone": "Europe/Berlin", "mode": "soft"}
    assert cli("key", "edit", "ci", "--budget", "none", "--json").json["budget"] is None
    assert cli("key", "edit", "ci").code == 2
