"""The files in which other programs keep their sign-ins."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from omni_connector.tokens import Tokens
from omni_connector.transfer import programs
from omni_connector.transfer.shapes import Draft, Problem
from tests.transfer.test_shapes import ANY

END = 1_800_000_000


def signed(**claims: Any) -> str:
    return str(jwt.encode(claims, "x"))


def only(entry: Any) -> Draft:
    assert isinstance(entry, Draft), entry
    return entry


def of(draft: Draft) -> Tokens:
    assert draft.tokens is not None
    return draft.tokens


def test_codex_has_a_plan_or_a_key_or_both() -> None:
    id_token = signed(
        sub="user-1",
        **{
            "https://api.openai.com/profile": {"email": "ada@example.org"},
            "https://api.openai.com/auth": {"chatgpt_plan_type": "plus", "chatgpt_account_id": "ws-2"},
        },
    )
    kept = {"id_token": id_token, "access_token": signed(exp=END), "refresh_token": "rt-1", "account_id": "ws-1"}
    key, plan = programs.codex({"OPENAI_API_KEY": "sk-1", "tokens": kept, "auth_mode": "chatgpt", "last_refresh": "x"}, "there")
    assert (only(key).provider, only(key).secret, only(key).auth) == ("openai", "sk-1", "api_key")
    assert (only(plan).provider, only(plan).label, only(plan).auth) == ("codex", "ada@example.org", "oauth")
    assert only(plan).identity == {"email": "ada@example.org", "subject": "user-1", "plan": "plus", "account_id": "ws-1"}
    assert (of(only(plan)).refresh_token, of(only(plan)).expires_at) == ("rt-1", END * 1000)
    assert isinstance(programs.codex({"OPENAI_API_KEY": None, "tokens": None}, "there")[0], Problem)


def test_google_s_file_is_told_by_its_scopes() -> None:  # C-63, C-64
    base = {"access_token": "ya29.x", "refresh_token": "1//r", "expiry_date": END * 1000, "token_type": "Bearer"}
    gemini = only(programs.google({**base, "scope": "https://www.googleapis.com/auth/cloud-platform"}, "f"))
    assert (gemini.provider, of(gemini).expires_at) == ("gemini-cli", END * 1000)
    assert only(programs.google({**base, "scope": "https://www.googleapis.com/auth/cclog"}, "f")).provider == "antigravity"
    assert only(programs.google(base, "f", "antigravity")).provider == "antigravity"
    named = only(programs.google({**base, "id_token": signed(email="a@b.c", sub="9"), "project_id": "p-1"}, "f"))
    assert named.fields["options"] == {"identity": {"email": "a@b.c", "subject": "9"}, "project": "p-1"}
    assert isinstance(programs.google({"access_token": "ya29.x"}, "f"), Problem)


def test_kimi_counts_in_seconds() -> None:
    draft = only(programs.kimi({"access_token": "a", "refresh_token": "r", "expires_at": END + 0.5, "device_id": "d-1"}, "f"))
    assert (draft.provider, of(draft).expires_at, draft.fields["options"]["device_id"]) == ("kimi-code", END * 1000 + 500, "d-1")
    assert isinstance(programs.kimi({}, "f"), Problem)


def test_kiro_needs_its_registration_only_with_aws_sso() -> None:  # P-22
    arn = "arn:aws:codewhisperer:eu-central-1:123456789012:profile/ABC"
    base = {"accessToken": "aoa", "refreshToken": "aor", "expiresAt": "2027-01-15T08:00:00Z", "region": "eu-west-1"}
    social = only(programs.kiro({**base, "authMethod": "social", "profileArn": arn}, "f"))
    assert of(social).extra == {"profile_arn": arn, "flavour": "kiro-social"}
    assert social.fields["options"]["region"] == "eu-central-1"
    assert social.identity == {"profile_arn": arn}
    assert isinstance(programs.kiro({**base, "authMethod": "IdC"}, "f"), Problem)
    idc = only(programs.kiro({**base, "authMethod": "IdC"}, "f", {"clientId": "c-1", "clientSecret": "s-1"}))
    assert (of(idc).client_id, of(idc).client_secret, of(idc).extra) == ("c-1", "s-1", {})


def test_an_end_in_any_spelling() -> None:
    assert programs.ends({"expired": "2027-01-15T08:00:00Z"}) == "2027-01-15T08:00:00Z"
    assert programs.ends({"expires_in": 3600, "timestamp": END * 1000}) == END * 1000 + 3_600_000
    assert programs.ends({"expires_in": True, "timestamp": "x", "expired": "soon"}) is None


@given(st.dictionaries(st.sampled_from(["tokens", "access_token", "accessToken", "refreshToken", "clientId", "expires_at", "scope"]), ANY))
def test_whatever_stands_there_is_an_entry(said: dict[str, Any]) -> None:
    for parse in (programs.google, programs.kimi, programs.kiro):
        assert isinstance(parse(said, "f"), Draft | Problem)
    assert programs.codex(said, "f")
