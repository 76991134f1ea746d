from tests.cli.conftest import Cli


def test_a_setting_can_be_read_changed_and_forgotten(cli: Cli) -> None:
    assert cli("config", "get", "strategy").out == "auto\n"
    assert cli("config", "strategy", "cost").out == "strategy = cost\n"
    assert cli("config", "get", "OMNI_STRATEGY", "--json").json["source"] == "database"
    assert cli("config", "set", "strategy", "default").out == "strategy = auto\n"
    assert cli("config", "default-model", "demo", "--json").json["value"] == "demo"


def test_the_environment_comes_first_and_that_is_said(cli: Cli, monkeypatch: object) -> None:
    monkeypatch.setenv("OMNI_STRATEGY", "lru")  # type: ignore[attr-defined]
    result = cli("config", "set", "strategy", "cost")
    assert result.out == "strategy = lru\n"
    assert "OMNI_STRATEGY" in result.err


def test_a_wrong_name_or_value_names_what_is_right(cli: Cli) -> None:
    for argv, said, code in (
        (("set", "stratgy", "cost"), "'strategy'", 2),
        (("set", "strategy", "luck"), "round-robin", 2),
        (("get", "stratgy"), "'strategy'", 1),
        (("alias", "x"), "--remove", 2),
    ):
        result = cli("config", *argv)
        assert (result.code, result.err.count("\n")) == (code, 1)
        assert said in result.err


def test_aliases_and_the_list(cli: Cli) -> None:
    assert cli("config", "alias", "fast", "groq/llama", "demo").out == "fast → groq/llama → demo\n"
    listed = cli("config", "list")
    assert "OMNI_STRATEGY" in listed.out
    assert "groq/llama → demo" in listed.out
    assert cli("config", "alias", "fast", "--remove").code == 0
    assert cli("config", "list", "--json").json["aliases"] == {}
