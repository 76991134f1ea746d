"""Who signed in, believed only with a signature; and what an issuer may say about itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from jose import jwt

from omni_connector import oauth
from omni_connector.errors import Kind
from omni_connector.oauth import OAuthError
from omni_connector.providers.provider import SignIn
from omni_connector.tokens import Tokens
from tests.auth_server import CLIENT, DYNAMIC, AuthServer, signing_key
from tests.oauth.conftest import Send


def now_ms(server: AuthServer) -> int:
    return int(server.clock() * 1000)


async def keys(server: AuthServer, send: Send) -> dict[str, Any]:
    status, _, body = await send(oauth.jwks_request(server.profile(), {"jwks": f"{server.url}/jwks"}))
    return oauth.parse_jwks(status, body)


def verify(server: AuthServer, jwks: dict[str, Any], token: str, nonce: str = "", **more: Any) -> dict[str, Any]:
    at = more.pop("at", now_ms(server))
    return oauth.verify_id_token(server.profile(), {"issuer": server.url}, CLIENT, token, jwks, nonce, at, **more)


async def test_a_genuine_id_token(server: AuthServer, send: Send) -> None:
    jwks = await keys(server, send)
    assert verify(server, jwks, server.id_token(nonce="n1"), "n1", subject="user-1")["sub"] == "user-1"
    assert verify(server, jwks, server.id_token(aud=[CLIENT, "x"], azp=CLIENT))["aud"] == [CLIENT, "x"]
    # Clocks differ: minutes on a machine that nobody looks after.
    assert verify(server, jwks, server.id_token(exp=int(server.clock()) - 100))
    assert verify(server, jwks, server.id_token(iat=int(server.clock()) + 100))


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"iss": "https://evil.test"}, "another issuer"),
        ({"aud": "other"}, "another client"),
        ({"aud": [CLIENT, "other"]}, "another client"),
        ({"azp": "other"}, "another client"),
        ({"exp": 1_000_000_000}, "expired"),
        ({"exp": None}, "until when"),
        ({"exp": "9999999999"}, "until when"),
        ({"iat": 9_999_999_999}, "clock"),
        ({"nbf": 9_999_999_999}, "clock"),
        ({"nbf": "x"}, "until when"),
        ({"iat": None}, "until when"),
        ({"sub": None}, "who it is about"),
        ({"sub": 5}, "who it is about"),
        ({"nonce": "n2"}, "another sign-in"),
    ],
)
async def test_wrong_claims(server: AuthServer, send: Send, claims: dict[str, Any], words: str) -> None:
    with pytest.raises(OAuthError, match=words):
        verify(server, await keys(server, send), server.id_token(**{"nonce": "n1", **claims}), "n1")


async def test_forged_tokens(server: AuthServer, send: Send) -> None:
    jwks = await keys(server, send)
    good = server.id_token()
    head, body, signature = good.split(".")

    def sealed(header: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()

    other = jwt.encode(jwt.get_unverified_claims(good), signing_key("k9")[0], algorithm="RS256", headers={"kid": "k1"})
    public = signing_key("k1")[1]
    confused = jwt.encode(jwt.get_unverified_claims(good), json.dumps(public), algorithm="HS256", headers={"kid": "k1"})
    for forged in (
        other, confused, f"{sealed({'alg': 'none', 'kid': 'k1'})}.{body}.", f"{sealed({'alg': 'none'})}.{body}.{signature}",
        f"{head}.{body}.{signature[:-6]}AAAAAA", "a.b.c", "", "x" * 100_000, f"{head}.{body}",
    ):  # fmt: skip
        with pytest.raises(OAuthError):
            verify(server, jwks, forged)
    with pytest.raises(OAuthError, match="somebody else"):
        verify(server, jwks, good, subject="user-2")


async def test_keys_that_changed_are_told_apart(server: AuthServer, send: Send) -> None:
    jwks = await keys(server, send)
    server.kid = "k2"
    with pytest.raises(OAuthError) as caught:
        verify(server, jwks, server.id_token())
    assert caught.value.code == "unknown_key"
    assert verify(server, await keys(server, send), server.id_token())
    for said in (b"[]", b'{"keys": 5}', b"{}"):
        with pytest.raises(OAuthError):
            oauth.parse_jwks(200, said)
    for key in ({"kty": "oct", "k": "AAAA", "kid": "k2"}, {**signing_key("k2")[1], "use": "enc"}, {"kty": "RSA", "kid": "k2"}):
        with pytest.raises(OAuthError):
            verify(server, {"keys": [key]}, server.id_token())


async def test_discovery(server: AuthServer, send: Send) -> None:
    profile = SignIn(issuer=server.url, discovery=True)
    status, _, body = await send(oauth.discovery_request(profile, {"issuer": server.url}))
    found = oauth.discovered(profile, {"issuer": server.url, "token": "http://127.0.0.1:9/mine", "jwks": ""}, status, body)
    assert (found["token"], found["jwks"], found["revoke"]) == ("http://127.0.0.1:9/mine", f"{server.url}/jwks", f"{server.url}/revoke")
    said = json.loads(body)
    for wrong in ({"issuer": "https://evil.test"}, {"token_endpoint": "http://evil.test/token"}, {"jwks_uri": "file:///etc/passwd"}):
        with pytest.raises(OAuthError, match="not trusted"):
            oauth.discovered(profile, {"issuer": server.url}, 200, json.dumps(said | wrong).encode())
    elsewhere = json.dumps(said | {"token_endpoint": "https://tokens.test/token"}).encode()
    assert oauth.discovered(profile, {"issuer": server.url}, 200, elsewhere)["token"] == "https://tokens.test/token"
    with pytest.raises(OAuthError, match="another host"):
        oauth.discovered(SignIn(dynamic=DYNAMIC), {"issuer": server.url}, 200, elsewhere)


def test_what_is_shown_of_a_person() -> None:
    auth = {"chatgpt_account_id": "acc-1", "chatgpt_plan_type": "plus", "chatgpt_user_id": "u-1"}
    claims: dict[str, Any] = {"https://api.openai.com/auth": auth, "https://api.openai.com/profile": {"email": "ada@example.org"}}
    codex = AuthServer().id_token(email=None, sub="s-1", **claims)
    shown = {"email": "ada@example.org", "subject": "s-1", "plan": "plus", "account_id": "acc-1"}
    assert oauth.identity(SignIn(), Tokens("a", id_token=codex)) == shown
    assert oauth.identity(SignIn(), Tokens(codex)) == shown
    assert oauth.identity(SignIn(issuer="https://a.test"), Tokens(codex, id_token=codex)) == {}  # not verified, not believed
    assert oauth.identity(SignIn(), Tokens("a"), None, {"email": "g@example.org", "id": 12, "name": "Grace"}) == {
        "email": "g@example.org", "subject": "12", "name": "Grace",
    }  # fmt: skip
    hostile = {"sub": "x", "email": "a\r\nb@c", "name": "n" * 500, "https://api.openai.com/auth": {"chatgpt_account_id": "a\r\nx: y"}}
    assert oauth.identity(SignIn(), Tokens("a"), hostile) == {"subject": "x"}
    assert "email" not in oauth.identity(SignIn(), Tokens("a"), {"sub": "x", "email": "e@x.y", "email_verified": False})
    arn = "arn:aws:codewhisperer:us-east-1:1234:profile/T"
    assert oauth.identity(SignIn(), Tokens("a", extra={"profile_arn": arn})) == {"profile_arn": arn}


@pytest.mark.parametrize(("status", "wait"), [(500, None), (302, None), (503, 9.0), (429, 9.0)])
def test_a_provider_that_is_down_is_no_impostor(status: int, wait: float | None) -> None:
    headers = {"retry-after": "9"}
    for read in (
        lambda: oauth.parse_jwks(status, b"<html>", headers),
        lambda: oauth.discovered(AuthServer().profile(), {"issuer": "https://a.test"}, status, b"<html>", headers),
    ):
        with pytest.raises(OAuthError, match=f"status {status}") as caught:
            read()
        assert (caught.value.kind is Kind.ACCOUNT_RATE_LIMITED) == (status == 429)
        assert caught.value.retry_after == wait and not caught.value.terminal
