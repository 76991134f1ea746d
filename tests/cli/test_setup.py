"""`omni-connector setup` without a server: the database is asked, and the files are real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni_connector.cli import prompts
from omni_connector.cli import setup as module
from tests.cli.conftest import Cli


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "user"
    home.mkdir()
    for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/zsh")
    return home


def test_a_client_from_the_list_and_back(cli: Cli, user: Path) -> None:  # P-57, P-10
    settings = user / ".claude/settings.json"
    settings.parent.mkdir()
    settings.write_text('{"theme": "dark"}')
    states = {one["name"]: one["state"] for one in cli("setup", "--json").json["clients"]}
    assert (states["claude-code"], states["cursor"]) == ("not set up", "by hand")
    shown = cli("setup", "claude-code", "--dry-run")
    assert '+{"theme": "dark", "env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:38471"' in shown.out
    assert settings.read_text() == '{"theme": "dark"}'
    assert cli("key", "list", "--json").json == {"keys": []}

    done = cli("setup", "claude-code", "--json")
    assert (done.code, done.json["applied"], done.json["proof"]["ok"]) == (0, True, None)
    assert "not running" in done.json["proof"]["words"]
    env = json.loads(settings.read_text())["env"]
    assert env["ANTHROPIC_AUTH_TOKEN"].startswith("omni-")
    assert env["ANTHROPIC_AUTH_TOKEN"] not in done.out
    assert [key["name"] for key in cli("key", "list", "--json").json["keys"]] == ["claude-code"]
    assert "points here" in cli("setup").out

    assert cli("setup", "claude-code", "--undo", "--dry-run", "--json").json["files"] == [{"path": str(settings), "action": "restore"}]
    undone = cli("setup", "claude-code", "--undo")
    assert f"restored {settings}" in undone.out
    assert settings.read_text() == '{"theme": "dark"}'
    assert cli("key", "list", "--json").json["keys"][0]["status"] == "revoked"
    assert cli("setup", "claude-code", "--undo").code == 1


def test_a_file_changed_since_shows_the_diff_and_stays(cli: Cli, user: Path) -> None:
    cli("setup", "codex")
    config = user / ".codex/config.toml"
    config.write_text(config.read_text() + "\n[later]\nx = 1\n")
    refused = cli("setup", "codex", "--undo")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "changed since" in refused.err
    assert "-[later]" in refused.out
    assert cli("setup", "codex", "--undo", "--yes").code == 0
    assert config.read_text() == "\n[later]\nx = 1\n"


def test_startup_files_only_with_yes(cli: Cli, user: Path) -> None:
    told = cli("setup", "openai-env")
    assert "left alone" in told.err
    assert not (user / ".zshrc").exists()
    cli("setup", "openai-env", "--yes")
    assert "omni-connector" in (user / ".zshrc").read_text()
    cli("setup", "openai-env", "--undo")
    assert not (user / ".zshrc").exists()


def test_on_a_terminal_it_asks(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True, False])
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(module.prompts, "confirm", lambda *_, **__: next(answers))
    assert "Nothing was written" in cli("setup", "codex").err
    assert not (user / ".codex").exists()
    assert cli("setup", "openai-env").code == 0
    assert not (user / ".zshrc").exists()


def test_another_place_key_and_model(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "omni-mine")
    url = ("--url", "http://gate.invalid:1/v1")
    assert cli("setup", "aider", *url, "--key-env", "MY_KEY", "--model", "gpt-5", "--no-test").code == 0
    text = (user / ".aider.conf.yml").read_text()
    for part in ('"openai/gpt-5"', '"http://gate.invalid:1/v1"', '"omni-mine"'):
        assert part in text
    assert "points elsewhere" in cli("setup").out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--dry-run",), "Name the client"),
        (("codx",), "Did you mean codex"),
        (("codex", "--key-env", "NOT_THERE"), "NOT_THERE is not set"),
        (("codex", "--url", "gate"), "url: give"),
        (("codex", "--model", "a b"), "model: "),
    ],
)
def test_a_mistake_is_one_line(cli: Cli, user: Path, options: tuple[str, ...], said: str) -> None:
    result = cli("setup", *options)
    assert result.code in (1, 2)
    assert said in result.err
    assert result.err.count("\n") == 1
    assert list(user.iterdir()) == []


def test_steps_are_printed_where_nothing_can_be_written(cli: Cli, user: Path) -> None:
    told = cli("setup", "other")
    assert "Base URL: http://127.0.0.1:38471/v1" in told.out
    assert "API key:  omni-" in told.out
    assert cli("setup", "cursor", "--json").json["key"]["key"].startswith("omni-")
