"""`backend import` and `backend export`, without a server and with one."""

from __future__ import annotations

import asyncio
import io
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from jose import jwt

from omni_connector.cli import prompts, transfer
from omni_connector.cli.base import Stop
from tests.cli.conftest import Cli, Result
from tests.live.processes import Server

Json = dict[str, Any]
LIST = [{"provider": "groq", "email": "g@x.org", "enabled": True, "token": {"access_token": "gsk-SECRET"}}]
WORDS = "correct horse"


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user whose other programs are these tests'. No provider is asked: nothing is imported to be used."""
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "user" / ".codex").mkdir(parents=True)
    return tmp_path / "user"


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "accounts.json").write_text(json.dumps(LIST))
    return str(tmp_path / "accounts.json")


def bring(cli: Cli, *argv: str) -> Result:
    return cli("backend", "import", *argv, "--no-discover")


def sign_in_to_codex(user: Path) -> None:
    token = jwt.encode({"email": "ada@example.org"}, "x")
    said = {"tokens": {"access_token": "at-SECRET", "refresh_token": "rt-SECRET", "id_token": token}}
    (user / ".codex" / "auth.json").write_text(json.dumps(said))


# ---------------------------------------------------------------- In


def test_a_file(cli: Cli, file: str) -> None:  # P-27, P-28
    dry = bring(cli, file, "--dry-run", "--json")
    assert (dry.code, dry.json["added"], dry.json["dry_run"]) == (0, 1, True)
    done = bring(cli, file)
    assert (done.code, "1 added." in done.out, "SECRET" in done.out + done.err) == (0, True, False)
    again = bring(cli, file)
    assert "1 skipped." in again.out
    assert "connected already" in again.out


def test_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pipe:
        buffer = io.BytesIO(json.dumps(LIST).encode())

    monkeypatch.setattr(sys, "stdin", Pipe())
    monkeypatch.setattr(prompts, "terminal", lambda: False)
    assert bring(cli, "-", "--json").json["added"] == 1


def test_nothing_found_and_a_list_of_what_is(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Nothing was found" in bring(cli).out
    sign_in_to_codex(user)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-SECRET")
    shown = bring(cli)
    assert shown.code == 0
    assert "ada@example.org" in shown.out
    assert "env:GROQ_API_KEY" in shown.out
    assert "signed out" in shown.err
    assert "SECRET" not in shown.out + shown.err
    assert [one["id"] for one in bring(cli, "--json").json["found"]] == ["codex", "env:GROQ_API_KEY"]
    assert cli("backend", "list", "--json").json["accounts"] == [], "nothing is imported unasked"


def test_one_that_was_found(cli: Cli, user: Path) -> None:
    sign_in_to_codex(user)
    off = bring(cli, "--found", "codex")
    assert (off.code, "switched off" in off.err, "--yes" in off.err) == (1, True, True)
    said = bring(cli, "--found", "codex", "--yes", "--json")
    assert (said.code, said.json["added"], said.json["failed"]) == (0, 1, 0)
    assert "pooling plans" in said.err, "the terms are shown"
    assert "Codex keeps using this sign-in" in said.err
    assert bring(cli, "--found", "nobody").code == 2


def test_all_leaves_out_what_would_sign_another_program_out(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in_to_codex(user)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-SECRET")
    said = bring(cli, "--all", "--json")
    assert (said.json["added"], "Left out" in said.err) == (1, True)
    assert bring(cli, "--all").out == ""
    assert bring(cli, "--all", "--yes", "--json").json["added"] == 1


def test_on_a_terminal_one_picks(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in_to_codex(user)
    offered: list[tuple[str, bool]] = []

    def several(question: str, choices: Any) -> list[str]:
        offered.extend(choices)
        return [title for title, _ in choices]

    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "several", several)
    answers = iter([False])
    monkeypatch.setattr(prompts, "confirm", lambda question, default=True: next(answers))
    assert bring(cli).code == 0
    assert offered == [("Codex · ada@example.org (codex)", False)]
    answers = iter([True, True, True])
    done = bring(cli)
    assert "1 added." in done.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("none.json",), "cannot be read"),
        ((".",), "is a folder"),
        (("bad.json",), "UTF-8"),
        (("text.json",), "not valid JSON"),
        (("text.json", "--all"), "not both"),
        (("text.json", "--on-conflict", "burn"), "burn"),
        (("text.json", "--passphrase-env", "NOT_SET"), "NOT_SET"),
    ],
)
def test_what_is_wrong_is_one_line(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "text.json").write_text("sk-SECRET")
    result = cli("backend", "import", *argv)
    assert result.code in (1, 2)
    assert said in result.err.splitlines()[-1]
    assert "SECRET" not in result.err


def test_the_folder_of_a_file_says_whose_it_is(tmp_path: Path) -> None:  # C-63, C-64
    assert transfer._hint(str(tmp_path / "configs" / "antigravity" / "oauth_creds.json")) == "antigravity"
    assert transfer._hint(str(tmp_path / "configs" / "other" / "oauth_creds.json")) == ""
    assert transfer._hint("-") == ""


# ---------------------------------------------------------------- Out


def test_export_and_import_under_a_passphrase(cli: Cli, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # P-14, P-26
    bring(cli, file)
    target = tmp_path / "out.json"
    monkeypatch.setenv("WORDS", WORDS)
    told = cli("backend", "export", str(target), "--passphrase-env", "WORDS", "--json")
    assert told.json == {
        "filename": told.json["filename"],
        "accounts": 1,
        "left_out": 0,
        "encrypted": True,
        "warning": "",
        "file": str(target),
    }
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "SECRET" not in target.read_text()
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "another"))
    assert "encrypted" in bring(cli, str(target)).err
    monkeypatch.setenv("WRONG", "wrong horse")
    assert "does not open" in bring(cli, str(target), "--passphrase-env", "WRONG").err
    assert bring(cli, str(target), "--passphrase-env", "WORDS", "--json").json["added"] == 1


def test_an_existing_file_is_not_overwritten(cli: Cli, tmp_path: Path) -> None:
    target, link = tmp_path / "out.json", tmp_path / "link.json"
    target.write_text("mine")
    link.symlink_to(target)
    for name in (target, link):
        assert "is there already" in cli("backend", "export", str(name), "--plain").err
    assert cli("backend", "export", str(link), "--plain", "--force").code == 0
    assert (target.read_text(), link.is_symlink()) == ("mine", False)
    with pytest.raises(Stop, match="cannot be written"):
        transfer.write_private(tmp_path / "no" / "such" / "f", "x")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".out")]


def test_standard_output_but_no_terminal(cli: Cli, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bring(cli, file)
    plain = cli("backend", "export", "--plain", "--format", "oneproxy")
    assert plain.json == [{**LIST[0], "token": {"access_token": "gsk-SECRET", "refresh_token": "", "expires_at": None}}]
    assert "plain text" in plain.err
    assert "--passphrase-env" in cli("backend", "export").err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "not written to a terminal" in cli("backend", "export", "--plain").err
    assert "SECRET" not in cli("backend", "export", "--no-secrets").out
    assert cli("backend", "export", "--plain", "--passphrase-env", "X").code == 2


def test_two_passphrases_that_differ(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([WORDS, "another"])
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    monkeypatch.setattr(prompts, "secret", lambda question: next(typed))
    assert "differ" in cli("backend", "export", str(tmp_path / "x.json")).err
    assert not (tmp_path / "x.json").exists()


# ---------------------------------------------------------------- With a server


def test_a_running_server_does_it(cli: Cli, file: str, omni_home: Path, tmp_path: Path, user: Path) -> None:
    sign_in_to_codex(user)
    server = Server(omni_home)
    server.spawn()
    try:
        asyncio.run(server.ready())
        assert [one["id"] for one in bring(cli, "--json").json["found"]] == ["codex"]
        assert bring(cli, file, "--json").json["added"] == 1
        assert [one["label"] for one in cli("backend", "list", "--json").json["accounts"]] == ["g@x.org"]
        target = tmp_path / "out.json"
        assert cli("backend", "export", str(target), "--plain").code == 0
        assert json.loads(target.read_text())["accounts"][0]["api_key"] == "gsk-SECRET"
        assert "SECRET" not in "".join(log.read_text() for log in (omni_home / "logs").iterdir())
    finally:
        server.kill()


# ---------------------------------------------------------------- A report of two runs


def test_what_came_in_at_first_stays_added() -> None:
    def told(*rows: Json) -> Json:
        return {"asks": [], "accounts": list(rows)}

    first = told({"where": "2", "outcome": "failed", "label": ""}, {"where": "1", "outcome": "added", "label": "a"})
    second = told({"where": "1", "outcome": "skipped", "label": "a"}, {"where": "2", "outcome": "added", "label": "b"})
    joined = transfer._joined(first, second)
    assert (joined["added"], joined["skipped"], joined["failed"]) == (2, 0, 0)
