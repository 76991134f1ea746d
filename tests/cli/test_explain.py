import json
import re
from pathlib import Path

import pytest

from omni_connector.cli import explain
from tests.cli.conftest import Cli

TOOLS = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function", "function": {"name": "f"}}]}


def connect(cli: Cli, label: str, *more: str) -> None:
    assert cli("backend", "add", "groq", "--label", label, "--api-key", "gsk_x", "--models", "llama-x", "--no-discover", *more).code == 0


def test_ranks_and_exclusions_with_their_reasons(cli: Cli) -> None:  # O-19, R-17
    connect(cli, "first", "--priority", "5")
    connect(cli, "second")
    connect(cli, "off")
    cli("backend", "disable", "off")
    result = cli("explain", "groq/llama-x")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "groq/llama-x: provider/model, by strategy auto"
    assert lines[1].startswith("auto: groq/first first of 2")
    ranked = [line.split()[:4] for line in lines if re.match(r"\d ", line)]
    assert ranked == [["1", "first", "groq", "llama-x"], ["2", "second", "groq", "llama-x"]]
    assert next(line for line in lines if line.startswith("off ")).endswith("disabled")
    told = cli("explain", "groq/llama-x", "--json").json
    assert [attempt["account"] for attempt in told["attempts"]] == ["first", "second"]


def test_what_the_name_itself_has_to_say(cli: Cli) -> None:
    connect(cli, "first")
    cli("chain", "set", "careful", "gone", "first")
    result = cli("explain", "careful")
    assert (result.code, result.err.strip()) == (0, "chain careful names nothing that is connected with: gone.")


def test_a_body_a_key_and_headers_are_asked_about(cli: Cli, tmp_path: Path) -> None:
    connect(cli, "plain")
    (tmp_path / "request.json").write_text(json.dumps(TOOLS))
    assert cli("explain", "--body", str(tmp_path / "request.json"), "--json").json["attempts"][0]["account"] == "plain"
    assert cli("explain", "auto", "--wire", "anthropic-messages", "--body", str(tmp_path / "request.json")).code == 0
    cli("key", "create", "--name", "narrow", "--providers", "openai")
    for argv, said, code in (
        (("llama-x", "--key", "narrow"), "may not use provider groq", 1),
        (("auto", "--header", "Model-Provider: opennai"), "opennai", 1),
        (("auto", "--header", "nonsense"), "Name: value", 2),
        (("auto", "--wire", "openai-chatt"), "'openai-chat'", 2),
        (("auto", "--body", str(tmp_path / "none.json")), "none.json", 2),
        (("llama-y",), "llama-x", 1),
    ):
        result = cli("explain", *argv)
        assert (result.code, result.err.count("\n")) == (code, 1), result.err
        assert said in result.err
    for text in ("{", "[]"):
        (tmp_path / "bad.json").write_text(text)
        assert cli("explain", "auto", "--body", str(tmp_path / "bad.json")).code == 2


def test_nobody_there(cli: Cli) -> None:
    assert "backend add" in cli("explain", "auto").err
    connect(cli, "off")
    cli("backend", "disable", "off")
    result = cli("explain", "llama-x")
    assert result.code == 0
    assert "The client would be told 503" in result.out


def test_scores_are_columns_and_unknown_ones_no_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"rank": 1, "account": "a", "provider": "groq", "model": "m", "level": "high", "reason": "fast"}
    explain._show_attempts(
        [
            {**one, "score": {"total": 1.5, "parts": {"load": -0.25, "quota": 0.0}}},
            {**one, "rank": 2, "level": "", "score": {"total": 1, "parts": {"price": 1}}},
        ]
    )
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["#", "ACCOUNT", "PROVIDER", "MODEL", "SCORE", "LOAD", "PRICE", "WHY"]
    assert first.split() == ["1", "a", "groq", "m", "(high)", "1.5", "-0.25", "–", "fast"]
    assert second.split() == ["2", "a", "groq", "m", "1", "–", "1", "fast"]
