from omni_connector import providers
from tests.cli.conftest import Cli


def test_a_provider_is_edited_shown_and_switched(cli: Cli) -> None:  # J-03, J-22, J-23, R-17
    cli("backend", "add", "demo", "--label", "one")
    result = cli("provider", "edit", "demo", "--name", "Stage", "--map", "gpt-5=demo-chat", "--map", "x = demo-tools")
    assert result.code == 0, result.err
    assert cli("provider", "show", "demo", "--json").json["model_map"] == {"gpt-5": "demo-chat", "x": "demo-tools"}
    assert "Stage (" in cli("provider", "show", "demo").out
    assert cli("explain", "gpt-5", "--json").json["attempts"][0]["model"] == "demo-chat"

    result = cli("provider", "disable", "demo")
    assert (result.out, result.err.count("\n")) == ("Stage is switched off.\n", 1)
    assert "one" in result.err
    skipped = cli("explain", "gpt-5", "--json").json["skipped"]
    assert [skip["reason"] for skip in skipped] == ["provider demo is switched off"]
    assert "provider enable demo" in cli("doctor").out
    assert cli("provider", "enable", "demo").out == "Stage is switched on.\n"

    cli("provider", "edit", "demo", "--map", "none", "--name", "none")
    found = cli("provider", "show", "demo", "--json").json
    assert (found["model_map"], found["name"], found["enabled"]) == ({}, "", True)


def test_the_list(cli: Cli) -> None:  # J-22
    assert "backend add" in cli("provider", "list", "--used").out
    cli("backend", "add", "demo")
    cli("provider", "edit", "openai", "--base-url", "http://lan:9000/v1")
    assert len(cli("provider", "list").out.splitlines()) == len(providers.PROVIDERS) + 1
    assert [p["id"] for p in cli("provider", "list", "--used", "--json").json["providers"]] == ["openai", "demo"]
    assert "(instead of https://api.openai.com/v1)" in cli("provider", "show", "openai").out


def test_wrong_words(cli: Cli) -> None:
    for argv in (("edit", "openai"), ("edit", "openai", "--map", "x"), ("edit", "openai", "--base-url", "ftp://x"), ("edit",)):
        result = cli("provider", *argv)
        assert (result.code, result.err.count("\n")) == (2, 1), argv
    assert cli("provider", "disable", "opnai").code == 1
    assert "openai" in cli("provider", "disable", "opnai").err
