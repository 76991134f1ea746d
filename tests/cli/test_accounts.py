import asyncio
import os
from typing import Any

import click
import pytest

from omni_connector.cli import accounts, prompts
from omni_connector.cli.accounts import body_of, probe_one, wizard
from tests.cli.conftest import Cli

NOTHING: dict[str, Any] = {
    **dict.fromkeys(("label", "base_url", "prefix", "proxy_url", "priority", "weight", "models", "max_in_flight")),
    **dict.fromkeys(("budget", "period", "region", "api_key", "key_env")),
    "key_stdin": False,
    "model_map": (),
    "header": (),
    "option": (),
    "discover": True,
}


def test_only_what_was_said_is_in_the_body() -> None:
    assert body_of(NOTHING) == {}
    said = {
        **NOTHING,
        "models": "a, b",
        "max_in_flight": "none",
        "model_map": ("quick=gpt-5-mini",),
        "header": ("X-Team: a:b",),
        "option": ('endpoints={"models":"http://h/m"}', "note=plain text"),
        "region": "china",
        "budget": "2.50",
        "discover": False,
    }
    assert body_of(said) == {
        "models": ["a", "b"],
        "max_in_flight": None,
        "model_map": {"quick": "gpt-5-mini"},
        "headers": {"X-Team": "a:b"},
        "options": {"endpoints": {"models": "http://h/m"}, "note": "plain text", "region": "china"},
        "budget": {"amount": "2.50"},
        "discover": False,
    }
    assert body_of({**NOTHING, "models": "none", "budget": "none"}) == {"models": [], "budget": None}


def test_what_a_command_runs_is_said_in_one_line() -> None:
    assert accounts._command("command", {"argv": ["x"], "set": {"NAME": "sk-secret"}}) == 'x, {"set": ["NAME"]}'
    assert accounts._command("claude-code", {}) == "preset claude-code"
    assert accounts._command("command", {"preset": "codex-exec", "program": "/opt/codex"}) == "preset codex-exec (/opt/codex)"
    assert (
        accounts._command("command", {"argv": ["llm", ["-m", "{model}"], "a b"], "timeout_s": 5})
        == "llm -m '{model}' 'a b', {\"timeout_s\": 5}"
    )


def test_a_sign_in_is_shown_by_whose_it_is(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    added = cli("backend", "add", "claude-code", "--no-discover", "--json").json
    assert "opus, sonnet, haiku" in cli("backend", "list").out.replace("+1", ", haiku")
    assert "preset claude-code" in cli("backend", "show", "claude-code").out
    options = {"identity": {"subject": "u-1", "email": "me@example.com"}, "signed_in": "x"}
    accounts.show_account({**added, "auth": "oauth", "options": options, "access_until": 1_795_000_000_000})
    shown = capsys.readouterr().out
    assert "signed in as" in shown
    assert "me@example.com" in shown
    assert "renewed by itself" in shown
    assert "identity" not in shown


@pytest.mark.parametrize(
    ("said", "option"),
    [
        ({"model_map": ("quick",)}, "--map"),
        ({"header": ("nothing",)}, "--header"),
        ({"zone": "UTC"}, "--budget"),
        ({"period": "day"}, "--budget"),
        ({"key_env": "OMNI_TEST_NOT_SET"}, "OMNI_TEST_NOT_SET"),
        ({"api_key": "a", "key_stdin": True}, "one of"),
    ],
)
def test_a_wrong_option_is_named(said: dict[str, Any], option: str) -> None:
    with pytest.raises(click.UsageError, match=option):
        body_of({**NOTHING, **said})


def test_a_key_on_the_command_line_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    assert body_of({**NOTHING, "api_key": "sk-1"}) == {"api_key": "sk-1"}
    err = capsys.readouterr().err
    assert "--key-env" in err
    assert "sk-1" not in err


@pytest.mark.parametrize(
    ("body", "missing"), [({}, "provider"), ({"provider": "openai"}, "--key-env"), ({"provider": "custom-openai"}, "--base-url")]
)
def test_without_a_terminal_the_missing_option_is_named(body: dict[str, Any], missing: str) -> None:
    with pytest.raises(click.UsageError, match=missing):
        wizard({"provider": "", **body}, ask_for_missing=False)


def test_a_key_in_the_environment_is_pointed_out_but_never_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "GROQ_API_KEY", "gsk_1")
    with pytest.raises(click.UsageError, match="--key-env GROQ_API_KEY") as caught:
        wizard({"provider": "groq"}, ask_for_missing=False)
    assert "gsk_1" not in caught.value.message


class Person:
    """Answers the wizard's questions from a list; a question it does not expect fails the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[Any], tested: dict[str, Any]) -> None:
        self.answers, self.asked, self.operations = answers, [], []  # type: ignore[var-annotated]
        for name in ("select", "text", "secret", "confirm"):
            monkeypatch.setattr(prompts, name, self.answer)

        def ask(operation: str, body: dict[str, Any]) -> dict[str, Any]:
            self.operations.append((operation, dict(body)))
            return {"models": [], "latency_ms": 3, "status": 200, **tested}

        monkeypatch.setattr(accounts, "ask", ask)

    def answer(self, question: str, *_: Any, **__: Any) -> Any:
        self.asked.append(question)
        return self.answers.pop(0)


def test_the_wizard_tries_an_account_before_it_saves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, ["kimi", "sk-1", "china", "work"], {"ok": True, "message": "fine"})
    body = wizard({"provider": ""}, ask_for_missing=True)
    assert body == {"provider": "kimi", "api_key": "sk-1", "options": {"region": "china"}, "label": "work"}
    assert person.operations == [("test_unsaved", body)]


def test_an_account_that_does_not_work_is_saved_only_when_its_owner_insists(monkeypatch: pytest.MonkeyPatch) -> None:
    Person(monkeypatch, ["sk-1", "", False], {"ok": False, "message": "401"})
    with pytest.raises(click.Abort):
        wizard({"provider": "openai"}, ask_for_missing=True)
    Person(monkeypatch, ["sk-1", "", True], {"ok": False, "message": "401"})
    assert wizard({"provider": "openai"}, ask_for_missing=True)["api_key"] == "sk-1"


def test_when_nothing_is_missing_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person(monkeypatch, [], {})
    assert wizard({"provider": "demo"}, ask_for_missing=True) == {"provider": "demo"}
    assert wizard({"provider": "openai", "api_key": "sk-1"}, ask_for_missing=True)["provider"] == "openai"
    assert (person.asked, person.operations) == ([], [])


def test_a_running_server_asks_at_once() -> None:
    class Server:
        place = "server"

        async def call(self, operation: str, *args: Any) -> dict[str, Any]:
            if operation == "accounts":
                return {"accounts": [{"id": "acc_1", "label": "work"}]}
            assert (operation, args) == ("probe", ("acc_1",))
            return {"job": {"id": "job_1"}, "message": "work is asked now whether it is back."}

    told = asyncio.run(probe_one(Server(), "work"))
    assert told == {"job": {"id": "job_1"}, "message": "work is asked now whether it is back.", "label": "work"}
