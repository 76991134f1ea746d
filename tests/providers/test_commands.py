from typing import Any

import pytest

from omni_connector import providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import commands
from omni_connector.providers.commands import template
from omni_connector.snapshot import Account

Json = dict[str, Any]


def account(provider: str = "command", **command: Any) -> Account:
    return providers.complete(Account("acc_1", provider, "local", "cli", options={"command": command} if command else {}))


@pytest.mark.parametrize(
    ("command", "field", "words"),
    [
        (3, "", "argv or preset"),
        ({}, ".argv", "begins with the program"),
        ({"argv": []}, ".argv", "begins with the program"),
        ({"argv": [["x"]]}, ".argv", "begins with the program"),
        ({"argv": [" "]}, ".argv", "begins with the program"),
        ({"argv": "llm -m x"}, ".argv", "array"),
        ({"argv": ["x", 1]}, ".argv[1]", "int"),
        ({"argv": ["{model}"]}, ".argv[0]", "cannot come from a request"),
        ({"argv": ["x", "a\0b"]}, ".argv", "NUL"),
        ({"argv": ["x", "y" * 140_000]}, ".argv", "128 kB"),
        ({"argv": ["x"] * 201}, ".argv", "201"),
        ({"argv": ["x"], "arg": 1}, "", "arg"),
        ({"preset": "nope"}, ".preset", "claude-code"),
        ({"argv": ["x"], "check": ["x", "{prompt}"]}, ".check", "no placeholders"),
        ({"argv": ["x"], "output": {"kind": "xml"}}, ".output.kind", "xml"),
        ({"argv": ["x"], "output": {"kind": "json-lines"}}, ".output.text", "pointer"),
        ({"argv": ["x"], "output": {"kind": "json-pointer", "text": "a.b"}}, ".output", "/result/text"),
        ({"argv": ["x"], "output": {"kind": "json-pointer", "text": "/a", "usage": {"tokens": "/b"}}}, ".output.usage", "tokens"),
        ({"argv": ["x"], "input": "json"}, ".stdin", "prompt"),
        ({"argv": ["x"], "timeout_s": 0}, ".timeout_s", "86400"),
        ({"argv": ["x"], "max_in_flight": 0}, ".max_in_flight", "256"),
        ({"argv": ["x"], "max_output_bytes": -1}, ".max_output_bytes", "number"),
        ({"argv": ["x"], "cwd": "here"}, ".cwd", "absolute"),
        ({"argv": ["x"], "env": ["A=b"]}, ".env", "names"),
        ({"argv": ["x"], "env": ["OMNI_MASTER_KEY"]}, ".env", "OMNI_MASTER_KEY"),
        ({"argv": ["x"], "env": ["anthropic_api_key"]}, ".env", "key of this server or of a provider"),
        ({"argv": ["x"], "set": {"OPENAI_API_KEY": "sk"}}, ".set", "OPENAI_API_KEY"),
    ],
)
def test_a_wrong_template_is_refused_by_field_and_reason(command: Any, field: str, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        template("command", {"command": command})
    assert caught.value.kind is Kind.BAD_REQUEST
    assert caught.value.param == f"options.command{field}"
    assert words in caught.value.message


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "llm {prompt}"],
        ["/bin/bash", "-lc", "llm '{model}'"],
        ["env", "A=b", "zsh", "-c", "{prompt}"],
        ["python3.12", "-c", "print('{prompt}')"],
        ["python3", "-cprint('{prompt}')"],
        ["node", "--eval", "{prompt}"],
        ["node", "--eval={prompt}"],
        ["perl", "-e", "{prompt}"],
        ["bash"],
        ["bash", "-s"],
        ["python3", "-"],
    ],
)
def test_what_clients_send_is_never_a_program(argv: list[str]) -> None:
    with pytest.raises(GatewayError, match="would run what clients send"):
        template("command", {"command": {"argv": argv}})


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", 'llm -m "$1"', "x", "{model}"],
        ["python3", "talk.py", "{prompt}"],
        ["bash", "talk.sh"],
        ["codex", "-c", "effort={effort}"],
        ["llm", "; rm -rf /"],
    ],
)
def test_a_script_with_arguments_is_fine(argv: list[str]) -> None:
    assert template("command", {"command": {"argv": argv}}).argv == tuple(argv)


def test_a_preset_can_be_changed_in_part() -> None:
    found = template("command", {"command": {"preset": "codex-exec", "program": "/opt/codex", "env": ["EXTRA"], "timeout_s": 5}})
    assert (found.argv[0], found.check[0], found.timeout_s, found.name) == ("/opt/codex", "/opt/codex", 5, "codex")
    assert {"CODEX_HOME", "EXTRA"} <= set(found.env)
    assert found.output.text == "/item/text"


def test_claude_code_needs_no_options() -> None:  # C-06, C-33, P-19
    found = account("claudeCode-custom")
    assert (found.provider, found.known_models, found.max_in_flight) == ("claude-code", ("opus", "sonnet", "haiku"), 10)
    assert found.open_models
    assert providers.price_id(found) == "subscription"
    assert {"no_tools", "no_vision", "no_documents", "no_json", "reasoning_effort"} <= found.features
    assert "own" in providers.get("claude-code").terms


def test_facts_of_an_account_come_from_its_template() -> None:
    assert account(argv=["x", "{model}"]).known_models == ()
    assert account(argv=["x"]).known_models == ("default",)
    found = account(argv=["x"], models=["a", "b"], max_in_flight=5, max_waiting=0)
    assert (found.known_models, found.max_in_flight) == (("a", "b"), 5)
    assert "reasoning_effort" not in found.features
    own = providers.complete(Account("a", "command", "l", max_in_flight=1, models=("c",), options={"command": {"argv": ["x"]}}))
    assert (own.max_in_flight, own.known_models) == (1, ("c",))
    assert account(argv=3).max_in_flight is None, "a template that is not valid is told when it is asked"


def test_a_command_is_told_whose_it_is_and_nobody_else_gets_one() -> None:
    assert providers.local_options(account(argv=["x"])) == {"account": "acc_1", "provider": "command", "command": {"argv": ["x"]}}
    other = Account("acc_2", "openai", "o", options={"command": {"argv": ["x"]}, "demo": {"tokens": 1}})
    assert providers.local_options(other) == {"tokens": 1}
    row = providers.get("command")
    assert providers.endpoint(row, account(argv=["x"]), "/chat/completions") == "command:acc_1/chat/completions"
    with pytest.raises(GatewayError, match="no address"):
        providers.normalise_base_url("http://x", row)


def test_only_a_check_that_fails_without_a_sign_in_proves_one() -> None:
    assert commands.proves_login(account("claude-code"))
    assert not commands.proves_login(account(argv=["x"], check=["x", "--version"]))
    assert not commands.proves_login(account(argv=3))


def test_what_a_command_does_not_hear_is_named() -> None:
    body = {"model": "m", "messages": [], "stream": True, "stream_options": {}, "max_completion_tokens": 5, "temperature": 1, "stop": None}
    assert commands.unheard({**body, "reasoning_effort": "low"}) == ("max_tokens", "temperature")
