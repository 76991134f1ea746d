from collections.abc import Callable
from typing import Any

import pytest

from omni_connector.cli import prompts
from tests.cli.conftest import Cli


def test_chains_are_set_listed_and_removed(cli: Cli) -> None:
    assert "chain set" in cli("chain", "list").out
    cli("backend", "add", "demo", "--label", "one")
    result = cli("chain", "set", "careful", "one, two", "one::demo-chat")
    assert result.out == "careful = one,two → one::demo-chat\n"
    assert "'two'" in result.err
    assert result.err.count("\n") == 1
    assert cli("chain", "list").out.splitlines()[1].split("  ") == ["careful", "one,two → one::demo-chat"]
    assert cli("chain", "list", "--json").json == {"chains": {"careful": [["one", "two"], ["one::demo-chat"]]}}
    assert cli("explain", "careful", "--json").json["kind"] == "chain"
    assert cli("chain", "remove", "careful").code == 0
    assert cli("chain", "remove", "careful").code == 1


def test_wrong_chains(cli: Cli) -> None:
    for argv in (("set", "x"), ("set", "x", ","), ("set", "a/b", "one"), ("set",), ("remove",), ()):
        result = cli("chain", *argv)
        assert (result.code, result.err.count("\n")) == (2, 1), argv
    assert "chain list" in cli("chain").err, "nobody can be asked here"


class Person:
    """Answers the questions of the manager in order: for a choice the beginning of what is shown, for others the text."""

    def __init__(self, *answers: Any) -> None:
        self.answers = iter(answers)
        self.seen: list[str] = []

    def select(self, question: str, choices: Any, instruction: str = "") -> str:
        wanted = next(self.answers)
        self.seen.append(question)
        return str(next(value for value, shown in choices if shown.startswith(wanted)))

    def text(self, question: str, default: str = "") -> str:
        answer = next(self.answers)
        return default if answer is None else str(answer)

    def confirm(self, question: str, default: bool = True) -> bool:
        return bool(next(self.answers))


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Person]:
    def sit(*answers: Any) -> Person:
        person = Person(*answers)
        for name in ("select", "text", "confirm"):
            monkeypatch.setattr(prompts, name, getattr(person, name))
        monkeypatch.setattr(prompts, "terminal", lambda: True)
        return person

    return sit


def chains(cli: Cli) -> Any:
    return cli("chain", "list", "--json").json["chains"]


def test_the_manager_creates_edits_reorders_and_deletes(cli: Cli, at_a_terminal: Any) -> None:
    cli("backend", "add", "demo", "--label", "one")
    person = at_a_terminal("+", "careful", "one, two", "Add a tier", "three", "Add a tier", "four", "Move tier 3 up", "Back", "Done")
    assert cli("chain").code == 0
    assert next(person.answers, None) is None
    assert chains(cli) == {"careful": [["one", "two"], ["four"], ["three"]]}

    at_a_terminal("careful", "Change the members of tier 1", "one", "Remove tier 3", "Change the members of tier 2", "", "Back", "Done")
    assert cli("chain").code == 0
    assert chains(cli) == {"careful": [["one"], ["four"]]}

    at_a_terminal("careful", "Remove the whole", False, "Remove the whole", True, "Done")
    assert cli("chain").code == 0
    assert chains(cli) == {}


def test_the_manager_says_what_is_wrong_and_goes_on(cli: Cli, at_a_terminal: Any) -> None:
    cli("chain", "set", "there", "one")
    at_a_terminal("+", "there", "+", "", "+", "a/b", "one", "+", "empty", "", "Done")
    result = cli("chain")
    assert result.code == 0
    assert "already" in result.err
    assert "without blanks" in result.err
    assert chains(cli) == {"there": [["one"]]}
