"""Token answers, good, strange and hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import Kind
from omni_connector.oauth import Client, OAuthError, jwt_claims, parse_tokens
from omni_connector.oauth.answers import bounded, moment
from omni_connector.providers.provider import SignIn
from omni_connector.tokens import Tokens
from tests.auth_server import AuthServer

NOW = 1_800_000_000_000
PROFILE = SignIn(client_id="public", scopes=("openid", "a"), dead=frozenset({"invalid_grant", "refresh_token_reused", "403"}))
OLD = Tokens("old-access-1", "old-refresh-1", NOW - 1, "old-id", "a b", extra={"region": "eu"})


def read(said: Any, old: Tokens | None = None, status: int = 200, profile: SignIn = PROFILE, **more: Any) -> Tokens:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return parse_tokens(profile, status, body, NOW, old, **more)


def refused(said: Any, old: Tokens | None = OLD, status: int = 400, **more: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        read(said, old, status, **more)
    return caught.value


def test_what_an_answer_leaves_out_stays() -> None:
    found = read({"access_token": "new", "expires_in": 60}, OLD)
    assert found == Tokens("new", "old-refresh-1", NOW + 60_000, "old-id", "a b", refreshed_at=NOW, extra={"region": "eu"})
    first = read({"access_token": "new", "token_type": "bearer", "expires_in": "3599"})
    assert (first.scope, first.expires_at, first.refresh_token, first.client_id) == ("openid a", NOW + 3_599_000, "", "")
    # Codex may send only what changed: the rotated token must not be lost.
    assert read({"refresh_token": "next"}, OLD).refresh_token == "next"
    assert read({"refresh_token": "next"}, OLD).access_token == "old-access-1"


def test_whom_tokens_belong_to_is_kept() -> None:
    assert read({"access_token": "n"}, client=Client("public")).client_id == ""
    mine = read({"access_token": "n"}, client=Client("mine", "secret"))
    assert (mine.client_id, mine.client_secret) == ("mine", "secret")
    again = read({"access_token": "m"}, mine)
    assert (again.client_id, again.client_secret) == ("mine", "secret")


def test_a_token_tells_its_own_end_where_the_answer_does_not() -> None:
    server = AuthServer()
    access = server.id_token(exp=1_800_000_777)
    assert read({"access_token": access}).expires_at == 1_800_000_777_000
    assert read({"access_token": access, "expires_in": 5}).expires_at == NOW + 5_000
    assert read({"access_token": "opaque"}).expires_at is None
    assert read({"access_token": "opaque", "expires_in": 0}).expires_at is None, "what ends never, as some say it"
    assert jwt_claims("a.b.c") == {} and jwt_claims("x" * 100_000) == {}


@pytest.mark.parametrize("off_s", [-86_400, -7200, 0, 7200, 86_400])
def test_a_clock_that_is_wrong_does_not_end_a_token_at_once(off_s: int) -> None:
    """Else a machine whose clock is ahead would ask for a new one again and again."""
    server = AuthServer()
    issued = NOW // 1000 + off_s
    access = server.id_token(iat=issued, exp=issued + 3600)
    end = read({"access_token": access}).expires_at
    assert end is not None and (end == NOW + 3_600_000 or off_s == 0)


@pytest.mark.parametrize(
    ("given", "expected"), [(1_800_000_060, NOW + 60_000), (NOW + 60_000, NOW + 60_000), ("2027-01-15T08:01:00Z", NOW + 60_000), (None, 0),
                            ("soon", 0), (9_999_999_999, NOW + 3_600_000), (True, 0), (-1, 0)],
)  # fmt: skip
def test_the_earliest_refresh_is_kept_but_never_after_the_end(given: Any, expected: int) -> None:
    assert read({"access_token": "n", "expires_in": 3600, "earliest_refresh_at": given}).not_before == expected


@pytest.mark.parametrize(
    ("status", "said", "terminal"),
    [
        (400, {"error": "invalid_grant"}, True),
        (400, {"error": {"code": "refresh_token_reused", "message": "used"}}, True),
        (401, {}, True),
        (401, b"<html>nope</html>", True),
        (403, {"detail": "no"}, True),  # because this profile says so
        (200, {"error": "invalid_grant"}, True),
        (400, {"error": "invalid_request"}, False),
        (404, b"", False),
        (302, b"", False),
        (500, {"error": "invalid_grant"}, False),
        (429, {"error": "invalid_grant"}, False),
        (200, {"token": "x"}, False),
        (200, b"\xff\xfe", False),
        (200, b"[" * 100_000, False),
    ],
)
def test_only_what_ends_a_sign_in_is_terminal(status: int, said: Any, terminal: bool) -> None:
    error = refused(said, status=status)
    assert (error.terminal, error.kind is Kind.ACCOUNT_REJECTED) == (terminal, terminal)
    assert not terminal or "sign in again" in error.message


def test_a_limit_is_told_with_its_time() -> None:
    error = refused({}, status=429, headers={"retry-after": "17"})
    assert (error.kind, error.retry_after, error.stated, error.terminal) == (Kind.ACCOUNT_RATE_LIMITED, 17.0, True, False)


def test_a_first_sign_in_that_fails_is_the_callers_to_mend() -> None:
    error = refused({"error": "invalid_grant"}, None)
    assert (error.kind, error.terminal) == (Kind.BAD_REQUEST, True)
    assert refused({"error": "redirect_uri_mismatch"}, None).message.endswith("add it at the provider.")
    assert refused({}, None, 503).kind is Kind.UPSTREAM_FAILED


def test_no_secret_comes_back_in_words() -> None:
    words = "token old-refresh-1 and code the-code-123456 and Bearer abcdef0123456789 \ud800"
    for said in ({"error": "x", "error_description": words}, {"error": {"message": words}}, {"message": words}, {"detail": words}):
        message = refused(said, hide=("the-code-123456",)).message
        assert "and" in message
        assert not any(secret in message for secret in ("old-refresh-1", "the-code-123456", "abcdef0123456789"))
        message.encode()
    assert len(refused({"error": "x", "error_description": "long " * 9_000}).message) < 500
    assert "\n" not in refused({"error": "a\nb", "error_description": "c\nd"}).message


@pytest.mark.parametrize("value", ["", " ", "a b", "a\nb", "ü", 7, [], {}, True, "x" * 70_000])
def test_a_token_that_no_header_can_hold_is_refused(value: Any) -> None:
    assert refused({"access_token": value}, status=200).kind is Kind.UPSTREAM_FAILED
    if value != "":
        assert not refused({"access_token": "a", "refresh_token": value}, status=200).terminal


def test_other_kinds_of_tokens_and_too_little_scope() -> None:
    assert "kind" in refused({"access_token": "a", "token_type": "DPoP"}, status=200).message
    dynamic = SignIn(client_id="", dynamic="d", scopes=("openid", "email", "use"))
    assert read({"access_token": "a", "scope": "use"}, profile=dynamic).scope == "use"
    assert read({"access_token": "a", "scope": ["use", "x"]}, profile=dynamic).scope == "use x"
    assert refused({"access_token": "a", "scope": "openid"}, None, 200, profile=dynamic).terminal
    assert read({"access_token": "a", "scope": "other"}).scope == "other"  # providers name scopes in many ways


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
)
NAMES = ["access_token", "refresh_token", "expires_in", "scope", "error", "token_type", "earliest_refresh_at", "id_token"]


@given(ANY, st.sampled_from(NAMES), st.sampled_from([200, 400, 401, 429, 500]))
def test_nothing_in_an_answer_breaks_it(value: Any, name: str, status: int) -> None:
    body = json.dumps({"access_token": "a", name: value}).encode()
    try:
        found = parse_tokens(PROFILE, status, body, NOW, OLD)
    except OAuthError as error:
        error.message.encode()
        return
    assert Tokens.encode(found)


def test_numbers() -> None:
    numbers: list[Any] = [None, "7", 0, 99, "x", True, float("nan"), []]
    assert [bounded(value, 1, 60, 5) for value in numbers] == [5, 7, 1, 60, 5, 5, 5, 5]
    moments: list[Any] = [0, "2027-01-15T08:00:00+00:00", "2027-01-15T08:00:00", 10**30, "9" * 30]
    assert [moment(value) for value in moments] == [None, NOW, NOW, None, None]
