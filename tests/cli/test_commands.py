import shlex
import sys
from pathlib import Path

import click
import pytest

from omni_connector import providers
from omni_connector.cli import prompts
from omni_connector.cli.commands import ask_command, command_of
from tests.cli.conftest import Cli

ROW = providers.get("command")


def test_a_command_is_added_edited_and_tested(cli: Cli, tmp_path: Path) -> None:
    script = tmp_path / "my tool.py"
    script.write_text("print('yes')")
    line = shlex.join([sys.executable, str(script), "-m", "{model}", "; rm -rf /"])
    added = cli("backend", "add", "command", "--command", line, "--models", "tiny", "--label", "tool", "--json")
    assert (added.code, added.json["auth"], added.json["models"], added.json["test"]["ok"]) == (0, "cli", ["tiny"], True)
    assert added.json["options"]["command"]["argv"] == [sys.executable, str(script), "-m", "{model}", "; rm -rf /"]
    edited = cli("backend", "edit", "tool", "--command", "no-such-program", "--no-discover", "--json")
    assert edited.json["options"]["command"] == {"argv": ["no-such-program"]}
    failed = cli("backend", "test", "tool")
    assert failed.code == 1
    assert "no program 'no-such-program'" in failed.out


def test_a_preset_needs_no_arguments(cli: Cli) -> None:
    added = cli("backend", "add", "command", "--preset", "codex-exec", "--no-discover", "--json")
    assert added.json["options"] == {"command": {"preset": "codex-exec"}}
    claude = cli("backend", "add", "claudeCode-custom", "--no-discover", "--json")
    assert (claude.json["provider"], claude.json["label"], claude.json["options"]) == ("claude-code", "claude-code", {})
    unnamed = cli("backend", "add", "--preset", "claude-code", "--label", "mine", "--no-discover", "--json")
    assert unnamed.json["provider"] == "claude-code", "a preset says whose it is"
    wrong = cli("backend", "add", "command", "--preset", "nope", "--no-discover")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "options.command.preset" in wrong.err


def test_another_program_for_the_same_command(cli: Cli) -> None:
    cli("backend", "add", "command", "--preset", "codex-exec", "--label", "cx", "--no-discover")
    failed = cli("backend", "edit", "cx", "--program", "/nowhere/codex", "--json").json
    assert failed["options"]["command"] == {"preset": "codex-exec", "program": "/nowhere/codex"}
    assert "--program" in cli("backend", "test", "cx").out, "what to do is said in the words of who reads it here"
    claude = cli("backend", "add", "claude-code", "--program", "/nowhere/claude", "--no-discover", "--json").json
    assert claude["options"] == {"command": {"program": "/nowhere/claude"}}


@pytest.mark.parametrize(("line", "words"), [("llm 'x", "quotation"), ("", "name a program"), ("  ", "name a program")])
def test_a_line_that_is_none_is_refused(line: str, words: str) -> None:
    with pytest.raises(click.UsageError, match=words):
        command_of(line, None)


def test_without_a_terminal_the_options_are_named(cli: Cli) -> None:
    refused = cli("backend", "add", "command")
    assert refused.code == 2
    assert "--preset" in refused.err
    assert "--command" in refused.err


@pytest.mark.parametrize(
    ("chosen", "typed", "command"),
    [
        ("codex-exec", "", {"preset": "codex-exec"}),
        ("generic", "llm -m {model}", {"argv": ["llm", "-m", "{model}"]}),
    ],
)
def test_the_questions(monkeypatch: pytest.MonkeyPatch, chosen: str, typed: str, command: dict[str, object]) -> None:
    monkeypatch.setattr(prompts, "select", lambda *_: chosen)
    monkeypatch.setattr(prompts, "text", lambda *_: typed)
    body: dict[str, object] = {}
    assert ask_command(body, ROW, True)
    assert body == {"options": {"command": command}}
    assert not ask_command({}, providers.get("claude-code"), True), "nothing is asked of who is known by name"


def test_the_one_argument_that_only_the_user_knows_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "select", lambda *_: "gcloud")
    monkeypatch.setattr(prompts, "text", lambda *_: "1234567")
    body: dict[str, dict[str, dict[str, list[str]]]] = {}
    ask_command(body, ROW, True)
    assert "1234567" in body["options"]["command"]["argv"]
    assert "ENDPOINT_ID" not in body["options"]["command"]["argv"]
