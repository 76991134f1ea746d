import io
import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from omni_connector.cli import prompts
from tests.cli.conftest import Cli

KEY = "sk-proj-abcdefghijklmnopqrstuvwx1234"


def test_demo_from_adding_to_removing(cli: Cli) -> None:
    added = cli("backend", "add", "demo", "--json")
    assert (added.code, added.json["label"], added.json["demo"], added.json["test"]["ok"]) == (0, "demo", True, True)
    assert "demo-chat" in cli("backend", "list").out
    assert cli("account", "show", "demo", "--json").json["id"] == added.json["id"]
    assert cli("backend", "disable", "demo", "--json").json["status"] == "disabled"
    assert "ready" in cli("backend", "enable", "demo").out
    assert cli("backend", "edit", "demo", "--label", "play", "--priority", "3", "--json").json["priority"] == 3
    assert cli("backend", "clear-cooldown", "play").code == 0
    tested = cli("backend", "test", "play", "--json")
    assert (tested.code, tested.json["ok"]) == (0, True)
    assert cli("backend", "test", "--all", "--json").json["results"][0]["label"] == "play"
    assert cli("backend", "remove", "play", "--json").json["removed"] is True
    assert "backend add" in cli("backend", "list").out


def test_a_label_is_unique_and_an_unknown_one_names_near_ones(cli: Cli) -> None:
    cli("backend", "add", "--provider", "demo", "--label", "work")
    taken = cli("backend", "add", "demo", "--label", "work")
    assert (taken.code, taken.err.count("\n")) == (1, 1)
    assert "'work'" in taken.err
    assert "did you mean 'work'" in cli("backend", "show", "wrok").err


def test_a_key_reaches_the_vault_and_no_output(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    results = [
        cli("backend", "add", "openai", "--key-env", "MY_KEY", "--label", "a", "--no-discover"),
        cli("backend", "add", "openai", "--api-key", KEY, "--label", "b", "--no-discover", "--json"),
        cli("backend", "list"),
        cli("backend", "show", "a"),
        cli("backend", "show", "a", "--json"),
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"  {KEY}\nmore\n"))
    results.append(cli("backend", "edit", "b", "--key-stdin", "--no-discover"))
    for result in results:
        assert result.code == 0
        assert KEY not in result.out + result.err
    assert cli("backend", "show", "b", "--json").json["key_hint"].endswith("1234")


def test_an_edit_keeps_the_options_it_does_not_name(cli: Cli) -> None:
    cli("backend", "add", "demo", "--option", 'demo={"latency_ms": 1}')
    edited = cli("backend", "edit", "demo", "--option", "note=x", "--json")
    assert edited.json["options"] == {"demo": {"latency_ms": 1}, "note": "x"}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("add",), "provider"),
        (("add", "openai"), "--key-env"),
        (("add", "opnai"), "openai"),
        (("add", "openai", "--provider", "groq"), "twice"),
        (("add", "custom-openai", "--api-key", "x"), "--base-url"),
        (("add", "demo", "--weight", "0"), "weight"),
        (("edit", "demo"), "Nothing to change"),
        (("test",), "--all"),
    ],
)
def test_what_is_missing_is_named_and_nobody_is_asked(cli: Cli, argv: tuple[str, ...], said: str) -> None:
    result = cli("backend", *argv)
    assert (result.code, result.out) == (2, "")
    assert said in result.err.splitlines()[-1]


def test_a_failed_test_is_exit_1(cli: Cli) -> None:
    cli("backend", "add", "custom-openai", "--base-url", "http://127.0.0.1:1/v1", "--label", "down", "--no-discover")
    one, every = cli("backend", "test", "down", "--json"), cli("backend", "test", "--all")
    assert (one.code, one.json["ok"], every.code) == (1, False, 1)
    assert "FAILED" in every.out


def test_an_account_that_is_out_is_asked_when_the_server_runs(cli: Cli, omni_home: Path) -> None:
    added = cli("backend", "add", "demo", "--label", "my play", "--json").json
    well = cli("account", "probe", "my play", "--json")
    assert (well.code, well.json["job"]) == (0, None)
    assert cli("backend", "probe", "my play").out == "Nothing keeps my play out that could be asked about.\n"
    money = {"amount": "0.00", "currency": "CNY", "usable": False, "items": [{"amount": "0.00", "currency": "CNY"}]}
    with closing(sqlite3.connect(omni_home / "omni.db")) as db, db:
        db.execute("UPDATE accounts SET state = 'needs_login', balance = ?", [json.dumps(money)])
    told = cli("backend", "probe", "my play")
    assert told.out == "my play is asked as soon as the server runs. Start it: omni-connector\n"
    assert told.err == "What came of it: omni-connector backend show 'my play'\n"
    again = cli("backend", "probe", "my play", "--json")
    assert (again.json["job"]["kind"], again.json["job"]["key"], again.err) == ("probe", added["id"], "")
    assert "0.00 CNY (not usable)" in cli("backend", "show", "my play").out
    assert "did you mean 'my play'" in cli("backend", "probe", "my-play").err


def test_removing_asks_on_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_connector.cli import prompts

    cli("backend", "add", "demo")
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "confirm", lambda *_, **__: False)
    assert cli("backend", "remove", "demo").code == 130
    assert cli("backend", "remove", "demo", "--yes").code == 0


def test_models_are_picked_on_a_terminal_and_by_an_option(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("backend", "add", "demo", "--label", "one")
    known = cli("backend", "models", "one").out.split()
    assert known, "nobody can be asked here: what it has is listed, and nothing hangs"
    assert cli("backend", "models", "one", "--set", known[0], "--json").json == {"account": "one", "models": [known[0]]}
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "several", lambda question, choices: [name for name, _ in choices][:2])
    assert cli("backend", "models", "one").out.split() == known[:2]
    assert cli("backend", "models", "one", "--set", "").out.split() == known
