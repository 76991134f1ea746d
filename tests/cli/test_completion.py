from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("shell", "said"), [("bash", "complete -o nosort -F"), ("zsh", "#compdef omni-connector"), ("fish", "complete --no-files")]
)
def test_each_shell_gets_its_lines(cli: Cli, shell: str, said: str) -> None:
    result = cli("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert said in result.out and "_OMNI_CONNECTOR_COMPLETE" in result.out
    if found := shutil.which(shell):
        assert subprocess.run([found, "-n"], input=result.out, text=True, check=False, timeout=60).returncode == 0


def test_the_short_name_is_completed_too(cli: Cli) -> None:  # O-08
    assert "complete -o nosort -F _pn_completion pn" in cli("completion", "bash", "--name", "pn").out


@pytest.mark.parametrize(
    ("typed", "place", "found"),
    [
        ("omni-connector jo", 1, ["jobs"]),
        ("omni-connector jobs ", 2, ["cancel", "list", "run"]),
        ("omni-connector account ena", 2, ["enable"]),
        ("omni-connector usage --group d", 3, ["day"]),
        ("omni-connector nosuch x", 2, []),
    ],
)
def test_what_is_typed_is_completed(cli: Cli, monkeypatch: pytest.MonkeyPatch, typed: str, place: int, found: list[str]) -> None:
    monkeypatch.setenv("_OMNI_CONNECTOR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(place))
    with pytest.raises(SystemExit) as ended:
        cli()
    assert ended.value.code == 0


def test_completions_are_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    from click.shell_completion import BashComplete

    from omni_connector.cli.shell import root

    complete = BashComplete(root, {}, "omni-connector", "_OMNI_CONNECTOR_COMPLETE")
    for args, typed, found in (
        (["jobs"], "", ["cancel", "list", "run"]),
        (["account"], "ena", ["enable"]),
        (["usage", "--group"], "d", ["day"]),
        ([], "comp", ["completion"]),
    ):
        assert [one.value for one in complete.get_completions(args, typed)] == found
    assert capsys.readouterr().err == ""
