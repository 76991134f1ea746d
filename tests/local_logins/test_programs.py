"""Sign-ins of other programs, in a home that the test makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jose import jwt

from omni_connector import local_logins
from omni_connector.local_logins import Finding, Machine
from omni_connector.local_logins.programs import programs

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(value: Any, *parts: str) -> Path:
        file = tmp_path.joinpath(*parts)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(value if isinstance(value, str) else json.dumps(value))
        return file

    return write


def look(home: Path, **env: str) -> dict[str, Finding]:
    found = list(programs(Machine(home, env)))
    assert len({one.id for one in found}) == len(found)
    assert "SECRET" not in json.dumps([one.as_json() for one in found])
    return {one.id: one for one in found}


def codex(email: str = "ada@example.org") -> dict[str, Any]:
    claims = {"email": email, "https://api.openai.com/auth": {"chatgpt_plan_type": "plus"}}
    return {"tokens": {"access_token": "at-SECRET", "refresh_token": "rt-SECRET", "id_token": jwt.encode(claims, "x"), "account_id": "ws"}}


def test_an_empty_home_has_nothing(tmp_path: Path) -> None:
    assert look(tmp_path) == {}
    assert list(programs(Machine(None, {}))) == []


def test_codex_warns_that_it_would_be_signed_out(tmp_path: Path, put: Put) -> None:
    file = put({**codex(), "OPENAI_API_KEY": "sk-SECRET"}, ".codex", "auth.json")
    found = look(tmp_path)
    plan = found["codex"]
    assert (plan.who, plan.where, plan.auth, plan.importable) == ("ada@example.org · plus", str(file), "oauth", True)
    assert "Codex keeps using this sign-in" in plan.warning
    assert (found["codex-openai"].provider, found["codex-openai"].warning) == ("openai", "")


def test_codex_where_its_variable_says(tmp_path: Path, put: Put) -> None:
    put(codex("elsewhere@example.org"), "other", "auth.json")
    put(codex(), ".codex", "auth.json")
    assert look(tmp_path, CODEX_HOME=str(tmp_path / "other"))["codex"].who.startswith("elsewhere@")


def test_claude_code_is_a_program_and_its_sign_in_is_left_alone(tmp_path: Path, put: Put) -> None:
    put({"claudeAiOauth": {"accessToken": "sk-ant-SECRET", "refreshToken": "x", "subscriptionType": "max"}}, ".claude", ".credentials.json")
    only_file = look(tmp_path)["claude-code"]
    assert (only_file.importable, only_file.draft) == (False, None)
    assert "Claude Code" in only_file.why_not
    program = put("#!/bin/sh\n", "bin", "claude")
    program.chmod(0o755)
    found = look(tmp_path, PATH=str(tmp_path / "bin"))["claude-code"]
    assert (found.kind, found.where, found.who, found.importable) == ("program", str(program), "signed in · max", True)
    assert found.draft is not None
    assert (found.draft.auth, found.draft.tokens, found.draft.secret) == ("cli", None, "")


def test_gemini_cli_and_qwen(tmp_path: Path, put: Put) -> None:
    put({"access_token": "ya29.SECRET", "refresh_token": "1//SECRET", "expiry_date": 1_800_000_000_000}, ".gemini", "oauth_creds.json")
    put({"access_token": "SECRET", "refresh_token": "SECRET"}, ".qwen", "oauth_creds.json")
    found = look(tmp_path)
    assert (found["gemini-cli"].importable, found["gemini-cli"].warning) == (True, "")
    assert (found["qwen"].importable, "switched off" in found["qwen"].why_not) == (False, True)


def test_kiro_with_the_registration_beside_it(tmp_path: Path, put: Put) -> None:  # P-22
    cache = (".aws", "sso", "cache")
    base = {"accessToken": "aoa-SECRET", "refreshToken": "aor-SECRET", "expiresAt": "2027-01-15T08:00:00Z", "region": "us-east-1"}
    put({**base, "authMethod": "social", "provider": "Google"}, *cache, "kiro-auth-token.json")
    social = look(tmp_path)["kiro"]
    assert (social.provider, social.importable) == ("kiro", True)
    assert "Kiro keeps using this sign-in" in social.warning
    put({**base, "authMethod": "IdC", "clientIdHash": "abc123"}, *cache, "kiro-auth-token.json")
    assert "registration" in look(tmp_path)["kiro"].why_not
    put({"clientId": "c-1", "clientSecret": "s-SECRET"}, *cache, "abc123.json")
    draft = look(tmp_path)["kiro"].draft
    assert draft is not None
    assert draft.tokens is not None
    assert draft.tokens.client_id == "c-1"


@pytest.mark.parametrize("name", ["../../../secret", "/etc/passwd", "a\0b", "..", 5])
def test_the_registration_s_name_leads_nowhere_else(tmp_path: Path, put: Put, name: Any) -> None:
    put({"clientId": "stolen"}, "secret.json")
    token = {"accessToken": "a", "refreshToken": "r", "authMethod": "IdC", "clientIdHash": name}
    put(token, ".aws", "sso", "cache", "kiro-auth-token.json")
    assert not look(tmp_path)["kiro"].importable


def test_kiro_cli_s_database_is_only_reported(tmp_path: Path, put: Put) -> None:
    put("sqlite", ".local", "share", "kiro-cli", "data.sqlite3")
    assert not look(tmp_path)["kiro-cli"].importable


def test_kimi_in_both_of_its_places(tmp_path: Path, put: Put) -> None:
    said = {"access_token": "SECRET", "refresh_token": "SECRET", "expires_at": 1_800_000_000.5}
    put(said, ".kimi-code", "credentials", "kimi-code.json")
    put(said, ".kimi", "credentials", "kimi-code.json")
    found = look(tmp_path)
    assert {name: one.provider for name, one in found.items()} == {"kimi": "kimi-code", "kimi-cli": "kimi-code"}


def test_the_token_folder_of_cli_proxy_api(tmp_path: Path, put: Put) -> None:  # P-38
    folder = ".cli-proxy-api"
    put({"type": "codex", "access_token": "SECRET", "refresh_token": "SECRET", "email": "a@b.c"}, folder, "codex-a@b.c.json")
    put({"type": "claude", "access_token": "SECRET", "refresh_token": "SECRET"}, folder, "claude.json")
    put("{broken", folder, "x<script>\n.json")
    put("logs: true", folder, "config.yaml")
    found = look(tmp_path)
    assert found["cli-proxy-api:codex-a@b.c.json"].importable
    assert "CLIProxyAPI keeps using" in found["cli-proxy-api:codex-a@b.c.json"].warning
    assert not found["cli-proxy-api:claude.json"].importable
    assert found["cli-proxy-api:x_script__.json"].why_not == "The file is not valid JSON."
    assert len(found) == 3


@pytest.mark.parametrize("content", ["", "[]", "{broken", '{"tokens": 5}', '{"tokens": {"access_token": ["x"]}}', "null"])
def test_a_broken_file_is_a_finding_with_its_reason(tmp_path: Path, put: Put, content: str) -> None:
    put(content, ".codex", "auth.json")
    found = look(tmp_path)["codex"]
    assert not found.importable
    assert found.why_not


def test_a_link_in_its_place_is_not_followed(tmp_path: Path, put: Put) -> None:
    real = put(codex(), "real.json")
    (tmp_path / ".codex").mkdir()
    (tmp_path / ".codex" / "auth.json").symlink_to(real)
    assert "symbolic link" in look(tmp_path)["codex"].why_not


def test_files_and_keys_together(tmp_path: Path, put: Put) -> None:
    put(codex(), ".codex", "auth.json")
    found = local_logins.find(local_logins.machine({"HOME": str(tmp_path), "GROQ_API_KEY": "gsk_1"}))
    assert [one.id for one in found] == ["codex", "env:GROQ_API_KEY"]
