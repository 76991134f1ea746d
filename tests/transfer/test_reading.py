"""Which format a file has, and files that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import transfer
from omni_connector.errors import GatewayError, Kind
from tests.transfer.test_shapes import ANY

TOKEN = {"access_token": "at-1", "refresh_token": "rt-1", "expires_at": "2027-01-15T08:00:00Z"}
GOOGLE = {"access_token": "ya29.x", "refresh_token": "1//r", "token_type": "Bearer", "expiry_date": 1_800_000_000_000}


def read(value: Any, **more: Any) -> transfer.Imported:
    return transfer.read(value if isinstance(value, bytes) else json.dumps(value).encode(), **more)


def refused(value: Any, **more: Any) -> GatewayError:
    with pytest.raises(GatewayError) as error:
        read(value, **more)
    return error.value


@pytest.mark.parametrize(
    ("value", "name", "providers"),
    [
        ([{"provider": "gemini", "email": "u@e.c", "token": TOKEN}], "oneproxy", ["gemini-cli"]),
        ({"type": "codex", **TOKEN}, "cli-proxy-api", ["codex"]),
        ([{"type": "codex", **TOKEN}, {"type": 1, "key": "sk-1"}], "cli-proxy-api and one-api", ["codex", "openai"]),
        ({"success": True, "data": [{"type": 29, "key": "gsk_1"}]}, "one-api", ["groq"]),
        ({"data": {"items": [{"type": 29, "key": "gsk_1"}], "total": 1}}, "one-api", ["groq"]),
        ({"openai-custom": [{"OPENAI_API_KEY": "sk-1"}]}, "provider-pools", ["openai"]),
        (GOOGLE, "google", ["gemini-cli"]),
        ({"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r"}, "google", ["gemini-cli"]),
        ({"OPENAI_API_KEY": None, "tokens": TOKEN}, "codex", ["codex"]),
        ({"accessToken": "a", "refreshToken": "r", "authMethod": "social"}, "kiro", ["kiro"]),
        ({"access_token": "a", "refresh_token": "r", "expires_at": 1_800_000_000.5, "scope": "kimi-code"}, "kimi", ["kimi-code"]),
        ([{"provider": "groq", "label": "x", "api_key": "gsk_1"}], "omni", ["groq"]),
        ({"accounts": [{"provider": "groq", "label": "x", "api_key": "gsk_1"}]}, "omni", ["groq"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_format_is_told_by_what_stands_there(value: Any, name: str, providers: list[str]) -> None:  # P-28, P-38, C-63, C-65
    found = read(value)
    assert (found.format, [draft.provider for draft in found.accounts], found.problems) == (name, providers, ())


def test_whose_sign_in_it_is_may_have_to_be_said() -> None:  # C-64
    assert read(GOOGLE, provider="antigravity").accounts[0].provider == "antigravity"
    plain = {"access_token": "a", "refresh_token": "r"}
    assert "Name the provider" in read(plain).problems[0].why
    assert read(plain, provider="codex").accounts[0].provider == "codex"
    assert read(plain, provider="kimi").accounts[0].provider == "kimi-code"
    assert "2026-04-15" in read({**plain, "resource_url": "portal.qwen.ai"}).problems[0].why
    assert "Claude Code" in read({"claudeAiOauth": {"accessToken": "sk-ant-oat"}}).problems[0].why
    assert "Claude Code" in read(plain, provider="claude").problems[0].why


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"sk-not-json", b"null", b"5", b'"text"', b"{}", b"[]", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\\ud800"}'),
        *(b'{"a": 1}', b'{"a": {"b": {}}}', b'{"x": [1]}', b'{"format": "omni-connector"}', b'{"accounts": 5}'),
        *(b"[" * 200_000, b"{" * 2000, b'{"data":' * 5000 + b"1"),
    ],
    ids=lambda data: data[:12].decode("latin-1"),
)
def test_what_is_no_file_of_accounts(data: bytes) -> None:
    assert refused(data).kind is Kind.BAD_REQUEST


def test_the_words_of_a_refusal_hold_nothing_of_the_file() -> None:
    for data in (b'{"api_key": "sk-SECRET" "x"}', b'{"sk-SECRET": 1}', b"sk-SECRET"):
        assert "SECRET" not in refused(data).message


def test_limits() -> None:
    assert refused(b" " * (transfer.MOST_BYTES + 1)).kind is Kind.TOO_LARGE
    entry = {"provider": "openai", "email": "x", "token": {"access_token": "sk-1"}}
    assert len(read([entry] * transfer.MOST_ACCOUNTS).accounts) == transfer.MOST_ACCOUNTS
    assert refused([entry] * (transfer.MOST_ACCOUNTS + 1)).kind is Kind.TOO_LARGE
    many = {"type": 1, "key": "\n".join(f"sk-{n}" for n in range(900))}
    assert refused([many] * 12).kind is Kind.TOO_LARGE
    huge = "x" * 1_000_000
    found = read([{"provider": huge, "email": huge, "token": {"access_token": huge}}])
    assert all(len(problem.label) <= 64 and len(problem.why) < 200 for problem in found.problems)


def test_a_sealed_export_is_opened_on_the_way() -> None:
    inner = json.dumps({"format": "omni-connector", "accounts": [{"provider": "demo", "auth": "none"}]}).encode()
    sealed = transfer.seal(inner, "correct horse")
    assert read(sealed, passphrase="correct horse").accounts[0].provider == "demo"
    assert refused(sealed).code == "passphrase_needed"
    assert refused(sealed, passphrase="wrong horse").code == "wrong_passphrase"
    twice = transfer.seal(sealed, "correct horse")
    assert refused(twice, passphrase="correct horse").kind is Kind.BAD_REQUEST


@given(
    ANY
    | st.lists(
        st.dictionaries(
            st.sampled_from(["provider", "type", "token", "key", "tokens", "accessToken", "refreshToken", "refresh_token"]), ANY
        )
    )
)
def test_any_json_is_read_or_refused(value: Any) -> None:
    try:
        found = read(value)
    except GatewayError as error:
        assert error.kind in (Kind.BAD_REQUEST, Kind.TOO_LARGE)
    else:
        assert all(draft.label == draft.label.strip() and "\n" not in draft.label for draft in found.accounts)
