"""Accounts in the formats of other gateways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import providers
from omni_connector.transfer import peers
from omni_connector.transfer.shapes import Draft, Problem
from tests.transfer.test_shapes import ANY

TOKEN = {"access_token": "at-1", "refresh_token": "rt-1", "expires_at": "2024-12-31T23:59:59Z"}


def draft(entry: Any) -> Draft:
    assert isinstance(entry, Draft), entry
    assert entry.provider in providers.PROVIDERS
    return entry


def problem(entry: Any) -> Problem:
    assert isinstance(entry, Problem), entry
    assert entry.why.endswith((".", "claude-code", "DASHSCOPE_API_KEY"))
    return entry


# ---------------------------------------------------------------- OneProxy


@pytest.mark.parametrize(
    ("name", "provider"), [("gemini", "gemini-cli"), ("codex", "codex"), ("Antigravity", "antigravity"), ("kimi", "kimi-code")]
)
def test_the_well_known_list(name: str, provider: str) -> None:  # P-28
    found = draft(peers.oneproxy({"provider": name, "email": "user@example.com", "enabled": False, "token": TOKEN}, "entry 1"))
    assert (found.provider, found.label, found.auth, found.fields["enabled"]) == (provider, "user@example.com", "oauth", False)
    assert found.tokens is not None
    assert (found.tokens.refresh_token, found.tokens.expires_at) == ("rt-1", 1_735_689_599_000)
    assert found.identity == {"email": "user@example.com"}


@pytest.mark.parametrize(
    ("entry", "provider", "secret"),
    [
        ({"provider": "kimi", "email": "k", "token": {"access_token": "sk-kimi"}}, "kimi", "sk-kimi"),
        ({"provider": "glm", "name": "g", "api_key": "id.secret"}, "glm", "id.secret"),
        ({"provider": "gemini", "token": {"access_token": "AIzaX", "refresh_token": ""}}, "gemini", "AIzaX"),
        ({"provider": "claude", "api_key": "sk-ant-api03-x"}, "anthropic", "sk-ant-api03-x"),
        ({"provider": "openai", "token": {"api_key": "sk-o"}}, "openai", "sk-o"),
    ],
)
def test_keys_in_it(entry: Any, provider: str, secret: str) -> None:
    found = draft(peers.oneproxy(entry, "e"))
    assert (found.provider, found.secret, found.auth) == (provider, secret, "api_key")
    assert "enabled" not in found.fields


def test_what_is_not_taken_says_why() -> None:
    assert "Claude Code" in problem(peers.oneproxy({"provider": "claude", "token": TOKEN}, "e")).why
    assert "2026-04-15" in problem(peers.oneproxy({"provider": "qwen", "token": TOKEN}, "e")).why
    assert "no sign-in" in problem(peers.oneproxy({"provider": "nobody", "token": TOKEN}, "e")).why
    problem(peers.oneproxy({"provider": "codex", "token": "x"}, "e"))


# ---------------------------------------------------------------- CLIProxyAPI


def test_files_of_a_token_folder() -> None:  # P-38
    codex = draft(
        peers.cli_proxy(
            {"type": "codex", **TOKEN, "expired": "2027-01-15T08:00:00+08:00", "email": "c@x", "account_id": "ws", "id_token": ""}, "e"
        )
    )
    assert (codex.provider, codex.identity) == ("codex", {"email": "c@x", "account_id": "ws"})
    inner = {"access_token": "ya", "refresh_token": "1//", "client_id": "c-1", "client_secret": "s-1", "expiry": "2027-01-15T08:00:00Z"}
    gemini = draft(peers.cli_proxy({"type": "gemini", "token": inner, "project_id": "p-1", "email": "g@x", "checked": True}, "e"))
    assert gemini.tokens is not None
    assert (gemini.provider, gemini.tokens.client_id, gemini.tokens.client_secret) == ("gemini-cli", "c-1", "s-1")
    assert gemini.fields["options"]["project"] == "p-1"
    timed = draft(
        peers.cli_proxy({"type": "antigravity", **TOKEN, "expires_at": None, "expires_in": 60, "timestamp": 1_800_000_000_000}, "e")
    )
    assert timed.tokens is not None
    assert timed.tokens.expires_at == 1_800_000_060_000
    kimi = draft(peers.cli_proxy({"type": "kimi", **TOKEN, "device_id": "d-1", "disabled": True, "prefix": "k"}, "e"))
    assert (kimi.fields["options"]["device_id"], kimi.fields["enabled"], kimi.fields["prefix"]) == ("d-1", False, "k")
    kiro = draft(
        peers.cli_proxy(
            {"type": "kiro", "access_token": "aoa", "refresh_token": "aor", "auth_method": "social", "expires_at": "2027-01-15T08:00:00Z"},
            "e",
        )
    )
    assert kiro.tokens is not None
    assert kiro.tokens.extra["flavour"] == "kiro-social"
    assert "Claude Code" in problem(peers.cli_proxy({"type": "claude", **TOKEN}, "e")).why


# ---------------------------------------------------------------- one-api


def test_channels_with_their_keys() -> None:
    said = {
        "type": 1, "name": "main", "key": "sk-a\n sk-b \n", "base_url": "https://api.openai.com", "models": "gpt-5, gpt-4o,", "status": 2,
        "model_mapping": '{"gpt-4": "gpt-5"}', "priority": 5, "weight": 0, "group": "default",
    }  # fmt: skip
    found = [draft(entry) for entry in peers.one_api(said, "e")]
    assert [(one.provider, one.secret) for one in found] == [("openai", "sk-a"), ("openai", "sk-b")]
    assert found[0].fields == {"models": ["gpt-5", "gpt-4o"], "model_map": {"gpt-4": "gpt-5"}, "enabled": False, "priority": 5}


@pytest.mark.parametrize(
    ("said", "provider", "fields"),
    [
        ({"type": 36, "base_url": "https://api.deepseek.com"}, "deepseek", {}),
        ({"type": 43, "base_url": "https://api.deepseek.com"}, "deepseek", {}),
        ({"type": 25}, "kimi", {"options": {"region": "china"}}),
        ({"type": 25, "base_url": "https://api.moonshot.ai"}, "kimi", {"options": {"region": "global"}}),
        ({"type": 8, "base_url": "https://proxy.test/v1"}, "custom-openai", {"base_url": "https://proxy.test/v1"}),
        ({"type": 1, "base_url": "https://proxy.test"}, "openai", {"base_url": "https://proxy.test"}),
        ({"type": 14, "base_url": ""}, "anthropic", {}),
        ({"type": 4}, "custom-openai", {"base_url": "https://api.closeai-proxy.xyz"}),
        # A host that only begins like a provider's own is somebody else's.
        ({"type": 8, "base_url": "https://api.openai.com.evil.test"}, "custom-openai", {"base_url": "https://api.openai.com.evil.test"}),
    ],
)
def test_a_channel_s_provider(said: Any, provider: str, fields: Any) -> None:
    found = draft(peers.one_api({**said, "key": "k-1"}, "e")[0])
    assert (found.provider, found.fields) == (provider, fields)


@pytest.mark.parametrize(
    "said", [{"type": 3}, {"type": 36}, {"type": -1}, {"type": True}, {"type": 9999}, {"type": 1, "key": ""}, {"type": 1, "key": "a b"}]
)
def test_a_channel_that_cannot_be_taken(said: Any) -> None:
    problem(peers.one_api({"key": "k", **said}, "e")[0])


def test_a_server_needs_no_key() -> None:
    assert draft(peers.one_api({"type": 30, "key": ""}, "e")[0]).auth == "none"


# ---------------------------------------------------------------- AIClient-2-API


def test_provider_pools() -> None:  # C-65
    entry = {
        "customName": "node 1",
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_BASE_URL": "https://api.openai.com/v1",
        "isDisabled": True,
        "uuid": "u",
    }
    plain = draft(peers.pool("openai-custom", {**entry, "notSupportedModels": ["x"]}, "e"))
    assert (plain.provider, plain.label, plain.fields) == ("openai", "node 1", {"enabled": False})
    assert "not taken over" in plain.note
    other = draft(peers.pool("openai-custom", {**entry, "OPENAI_BASE_URL": "https://api.openai.com.evil.test/v1"}, "e"))
    assert (other.provider, other.fields["base_url"]) == ("custom-openai", "https://api.openai.com.evil.test/v1")
    claude = draft(peers.pool("claude-custom", {"CLAUDE_API_KEY": "sk-ant", "CLAUDE_BASE_URL": "https://api.anthropic.com"}, "e"))
    assert claude.provider == "anthropic"
    novita = draft(peers.pool("openai-novita", {"NOVITA_API_KEY": "k", "NOVITA_BASE_URL": "https://api.novita.ai/openai"}, "e"))
    assert novita.fields == {"base_url": "https://api.novita.ai/openai"}


def test_no_path_of_a_pool_is_followed() -> None:
    found = problem(peers.pool("gemini-cli-oauth", {"GEMINI_OAUTH_CREDS_FILE_PATH": "../../../../etc/passwd", "uuid": "u-1"}, "e"))
    assert "../../../../etc/passwd" in found.why
    problem(peers.pool("openai-custom", {"OPENAI_API_KEY": 5}, "e"))


@given(
    st.dictionaries(
        st.sampled_from(
            ["provider", "type", "token", "key", "base_url", "models", "model_mapping", "status", "X_API_KEY", "email", "priority"]
        ),
        ANY,
    )
)
def test_whatever_stands_there_is_an_entry(said: dict[str, Any]) -> None:
    for entry in (peers.oneproxy(said, "e"), peers.cli_proxy(said, "e"), peers.pool("x", said, "e"), *peers.one_api(said, "e")):
        assert isinstance(entry, Draft | Problem)
