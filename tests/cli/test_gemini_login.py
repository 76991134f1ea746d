"""`backend gemini-oauth-login`: by hand, by gemini-cli itself, and its models. (R-32…R-42)"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from omni_connector.cli import gemini_login, prompts
from omni_connector.cli.base import Stop
from omni_connector.cli.gemini_login import model_choices, read_credentials
from omni_connector.onboarding import SETUPS
from tests.cli.conftest import Cli

Json = dict[str, Any]
SOURCE = "const OAUTH_CLIENT_ID = '123-abc.apps.googleusercontent.com'; const OAUTH_CLIENT_SECRET = 'GOC-s3cret_value';"
LEFT = {"access_token": "ya29.of-the-test", "refresh_token": "1//of-the-test", "expiry_date": 4_000_000_000_000, "scope": "s"}
NOWHERE = 'endpoints={"user_info": "http://127.0.0.1:1/info", "inference": "http://127.0.0.1:1"}'


def login(cli: Cli, *more: str) -> Any:
    return cli("backend", "gemini-oauth-login", "work", *more)


def test_preparing_prints_the_steps_and_makes_the_profile(cli: Cli, omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # R-35, C-62
    result = login(cli, "--headless", "--prepare-only")
    assert result.code == 0
    for word in (
        "ONEAPI_GEMINI_OAUTH_CLIENT_ID",
        "GOOGLE_CLOUD_PROJECT",
        "http://localhost:8085",
        "--headless",
        "console.cloud.google.com",
    ):
        assert word in result.out
    profile = omni_home / "gemini-oauth" / "work"
    assert profile.stat().st_mode & 0o777 == 0o700
    told = login(cli, "--prepare-only", "--json").json
    assert (told["profile"], told["client_ready"]) == (str(profile), False)
    monkeypatch.setenv("GEMINI_OAUTH_CLIENT_ID", "x")
    monkeypatch.setenv("GEMINI_OAUTH_CLIENT_SECRET", "y")
    assert login(cli, "--prepare-only", "--json").json["client_ready"] is True


def test_by_hand_and_by_gemini_exclude_each_other(cli: Cli) -> None:
    result = login(cli, "--headless", "--prepare-only", "--run-gemini")
    assert (result.code, "exclude each other" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "folder"), [("../../etc", "_.._etc"), ("..hidden", "hidden"), ("a b/c", "a_b_c"), ("ada@x.org", "ada@x.org")]
)
def test_a_profile_stays_below_the_home(cli: Cli, omni_home: Path, name: str, folder: str) -> None:
    told = cli("backend", "gemini-oauth-login", name, "--prepare-only", "--json").json
    assert Path(told["profile"]) == omni_home / "gemini-oauth" / folder


@pytest.mark.parametrize("name", ["..", ".", " ", "x" * 65])
def test_a_name_that_is_none_is_refused(cli: Cli, name: str) -> None:
    assert cli("backend", "gemini-oauth-login", name, "--prepare-only").code == 2


def test_without_a_client_the_variables_are_named(cli: Cli) -> None:
    result = login(cli, "--headless")
    assert (result.code, "GEMINI_OAUTH_CLIENT_SECRET" in result.err) == (2, True)


def test_gemini_needs_a_terminal_and_to_be_there(cli: Cli, gemini: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "terminal" in login(cli, "--headless", "--run-gemini", "--yes").err
    monkeypatch.setenv("PATH", os.defpath)
    assert "no `gemini` program" in login(cli, "--run-gemini", "--yes").err


@pytest.fixture
def gemini(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gemini-cli that leaves a sign-in in its home; → the file that says what it was started with."""
    package = tmp_path / "node_modules/@google/gemini-cli"
    (package / "bundle").mkdir(parents=True)
    (package / "package.json").write_text('{"name": "@google/gemini-cli"}')
    (package / "bundle/chunk.js").write_text(SOURCE)
    program, noted = package / "bundle/gemini.js", tmp_path / "noted.json"
    program.write_text(f"""#!{sys.executable}
import json, os, pathlib
home = pathlib.Path(os.environ["GEMINI_CLI_HOME"]) / ".gemini"
home.mkdir()
(home / "oauth_creds.json").write_text({json.dumps(json.dumps(LEFT))})
pathlib.Path({str(noted)!r}).write_text(json.dumps(dict(os.environ)))
""")
    program.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gemini").symlink_to(program)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}")
    monkeypatch.setenv("GEMINI_API_KEY", "never-used")
    return noted


def test_gemini_s_own_sign_in_becomes_the_account(
    cli: Cli, gemini: Path, omni_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def set_up(account: Any, ask: Any, *, endpoints: Any) -> Json:
        assert account.access == LEFT["access_token"]
        return {"project": "found-1", "identity": {"plan": "Standard"}}

    monkeypatch.setitem(SETUPS, "gemini-cli", set_up)  # type: ignore[arg-type]
    monkeypatch.setattr(prompts, "terminal", lambda: True)
    picked: list[Any] = []
    monkeypatch.setattr(prompts, "several", lambda question, choices: picked.append(choices) or ["gemini-2.5-pro"])
    result = login(cli, "--headless", "--run-gemini", "--yes", "--model-ids", "auto", "--option", NOWHERE)
    assert result.code == 0, result.err
    assert "work (Gemini Code Assist (Google sign-in)) is connected" in result.out
    env = json.loads(gemini.read_text())
    assert env["HOME"] == env["GEMINI_CLI_HOME"] == str(omni_home / "gemini-oauth" / "work")
    assert "GEMINI_API_KEY" not in env
    account = cli("backend", "show", "work", "--json").json
    assert (account["models"], account["options"]["project"], account["options"]["signed_in"]) == (["gemini-2.5-pro"], "found-1", False)
    assert {"gemini-3-pro-preview", "gemini-2.5-pro", "gemini-2.0-flash"} <= {name for name, _ in picked[0]}
    assert "of-the-test" not in result.out + result.err + json.dumps(account)


def test_the_picker_starts_with_what_the_account_has() -> None:
    def ticked(**account: Any) -> list[str]:
        found = {"provider": "gemini-cli", "models": [], "discovered": [], **account}
        return [name for name, on in model_choices(found) if on]

    assert ticked(models=["mine"], discovered=["listed"]) == ["mine"]
    assert ticked(discovered=["listed"]) == ["listed"]
    assert "gemini-2.5-pro" in ticked()
    names = [name for name, _ in model_choices({"provider": "gemini-cli", "models": ["mine"], "discovered": ["gemini-2.5-pro", "live"]})]
    assert names[:3] == ["mine", "gemini-2.5-pro", "live"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"access_token": 1, "refresh_token": "r"}'])
def test_what_gemini_left_is_read_with_care(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "oauth_creds.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Stop):
        read_credentials(file)


def test_what_gemini_left(tmp_path: Path) -> None:
    file = tmp_path / "oauth_creds.json"
    file.write_text(json.dumps({**LEFT, "id_token": "i", "token_type": "Bearer"}))
    assert read_credentials(file)["expires_at"] == LEFT["expiry_date"]
    assert gemini_login.CREDENTIALS.name == file.name
