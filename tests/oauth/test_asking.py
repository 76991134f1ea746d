"""Every call of a sign-in, sent to a server that checks it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector import oauth
from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import Client, OAuthError, OAuthRequest
from omni_connector.oauth.asking import camel, with_query
from omni_connector.providers.provider import Provider, SignIn
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens
from tests.auth_server import CLIENT, DYNAMIC, AuthServer
from tests.oauth.conftest import Send

NOW = 1_800_000_000_000
HERE = "http://127.0.0.1:1455/auth/callback"
AGENT: Any = {"ext_agent_host_id": "urn:uuid:0b5a0c0e-0000-4000-8000-000000000001"}


async def sign_in(server: AuthServer, send: Send, profile: SignIn, client: Client | None = None, **hints: str) -> Tokens:
    """The whole way, as a browser goes it."""
    row = server.row(profile)
    addresses = oauth.addresses(profile, row)
    client = client or oauth.client_for(profile)
    begun = oauth.begin(row, profile, addresses, client, HERE, hints=hints)
    code = oauth.check_callback(oauth.read_callback(await server.visit(begun.url)), state=begun.state, issuer=addresses["issuer"])
    client = Client(code.client_id) if code.client_id else client
    request = oauth.exchange(
        profile, addresses, client, code.code, verifier=begun.verifier, redirect_uri=begun.redirect_uri, state=begun.state
    )
    status, headers, body = await send(request)
    return oauth.parse_tokens(profile, status, body, NOW, headers=headers, client=client)


async def refreshed(server: AuthServer, send: Send, profile: SignIn, tokens: Tokens) -> Tokens:
    client = oauth.client_for(profile, tokens)
    status, headers, body = await send(oauth.refresh(profile, oauth.addresses(profile, server.row(profile)), tokens, client))
    return oauth.parse_tokens(profile, status, body, NOW + 1, tokens, headers=headers)


@pytest.mark.parametrize("flavour", ["", "codex-device", "kiro-social"])
@pytest.mark.parametrize("body", ["form", "json"])
async def test_a_browser_signs_in_and_the_tokens_are_renewed(server: AuthServer, send: Send, flavour: str, body: Any) -> None:  # C-66, P-02
    server.body = body if flavour != "kiro-social" else "json"
    kiro = flavour == "kiro-social"
    server.clients.add("")
    profile = server.profile(
        flavour, body=body, **({"client_id": "", "scopes": (), "authorization_extra": {"idp": "Google"}} if kiro else {})
    )
    first = await sign_in(server, send, profile)
    assert server.good(first.access_token) and first.expires_at == NOW + 3_600_000
    second = await refreshed(server, send, profile, first)
    assert server.good(second.access_token) and second.refresh_token != first.refresh_token
    assert second.extra == first.extra == ({"profile_arn": "arn:aws:codewhisperer:us-east-1:1234:profile/TEST"} if kiro else {})
    with pytest.raises(OAuthError, match="sign in again") as caught:
        await refreshed(server, send, profile, first)
    assert caught.value.terminal and caught.value.kind is Kind.ACCOUNT_REJECTED and first.refresh_token not in caught.value.message


async def test_pkce_ties_the_code_to_this_sign_in(server: AuthServer, send: Send) -> None:
    profile, row = server.profile(), server.row()
    addresses = oauth.addresses(profile, row)
    client = oauth.client_for(profile)
    begun, other = (oauth.begin(row, profile, addresses, client, HERE) for _ in range(2))
    assert begun.state != other.state and begun.verifier != other.verifier
    assert oauth.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, B
    code = oauth.read_callback(await server.visit(begun.url)).code
    wrong = oauth.exchange(profile, addresses, client, code, verifier=other.verifier, redirect_uri=HERE)
    status, _, body = await send(wrong)
    with pytest.raises(OAuthError) as caught:
        oauth.parse_tokens(profile, status, body, NOW)
    assert caught.value.kind is Kind.BAD_REQUEST and caught.value.code == "invalid_grant"


async def test_a_client_that_registers_itself(server: AuthServer, send: Send) -> None:
    profile = server.profile(client_id="", dynamic=DYNAMIC, scopes=("openid", "models"), token_extra={"resource": "r"})
    server.earliest_refresh_at = NOW // 1000 + 60
    first = await sign_in(server, send, profile, **AGENT)
    assert first.client_id.startswith("oaiapp_") and first.not_before == NOW + 60_000
    assert server.last("code").fields["resource"] == "r"
    assert server.last("authorize").fields["agent_name_hint"] == "omni-connector"
    assert (await refreshed(server, send, profile, first)).client_id == first.client_id
    again = oauth.begin(server.row(profile), profile, oauth.addresses(profile, server.row(profile)), Client(first.client_id), HERE)
    assert "agent_name_hint" not in again.url
    server.scope = "openid"
    with pytest.raises(OAuthError, match="did not grant models"):
        await sign_in(server, send, profile, **AGENT)


async def test_a_key_for_a_code(server: AuthServer, send: Send) -> None:
    profile = server.profile("key", client_id="", scopes=())
    row = server.row(profile)
    addresses = oauth.addresses(profile, row)
    begun = oauth.begin(row, profile, addresses, Client(""), "http://localhost:38471/oauth/callback")
    location = await server.visit(begun.url)
    code = oauth.check_callback(oauth.read_callback(location), state=begun.state)
    status, _, body = await send(oauth.exchange(profile, addresses, Client(""), code.code, verifier=begun.verifier))
    found = oauth.parse_tokens(profile, status, body, NOW)
    assert found.access_token.startswith("sk-or-v1-") and server.good(found.access_token)
    assert (found.expires_at, found.refresh_token) == (None, "")
    assert oauth.revoke(profile, addresses, found, Client("")) is None


async def test_the_users_own_client_goes_along_and_is_kept_with_the_tokens(server: AuthServer, send: Send) -> None:  # C-62
    server.clients.add("mine")
    server.secrets["mine"] = "hush-hush-1234"
    for flavour in ("", "basic"):
        profile = replace(server.profile(client_id="", own_client=True), flavour=flavour)
        first = await sign_in(server, send, profile, Client("mine", "hush-hush-1234"))
        assert (first.client_id, first.client_secret) == ("mine", "hush-hush-1234")
        assert ("client_secret" in server.last("code").fields) == (flavour == "")
        assert server.good((await refreshed(server, send, profile, first)).access_token)


async def test_a_sign_in_can_be_taken_back_and_says_who_it_is(server: AuthServer, send: Send) -> None:
    profile = server.profile()
    addresses = oauth.addresses(profile, server.row(profile))
    tokens = await sign_in(server, send, profile)
    request = oauth.user_info(profile, addresses, tokens)
    assert request is not None
    assert json.loads((await send(request))[2])["email"] == "ada@example.org"
    revoke = oauth.revoke(profile, addresses, tokens, oauth.client_for(profile))
    assert revoke is not None and (await send(revoke))[0] == 200
    assert not server.good(tokens.access_token)
    assert server.last("revoke").fields == {"client_id": CLIENT, "token": tokens.refresh_token, "token_type_hint": "refresh_token"}
    bare = oauth.addresses(SignIn(), server.row())
    assert oauth.revoke(SignIn(), bare, tokens, Client("c")) is None and oauth.user_info(SignIn(), bare, tokens) is None


def test_the_state_goes_with_the_code_where_the_provider_wants_it() -> None:
    profile = SignIn(token="https://auth.test/token", state_in_token=True, body="json", refresh_body="form", headers={"X-App": "omni"})
    addresses = oauth.addresses(profile, Provider("p", "P", ""))
    sent = oauth.exchange(profile, addresses, Client("c"), "the-code", verifier="v", redirect_uri="r", state="s")
    assert json.loads(sent.body) == {
        "client_id": "c", "grant_type": "authorization_code", "code": "the-code", "code_verifier": "v", "redirect_uri": "r", "state": "s",
    }  # fmt: skip
    assert sent.headers["x-app"] == "omni" and sent.headers["content-type"] == "application/json"
    again = oauth.refresh(profile, addresses, Tokens("a", "r"), Client("c"))
    assert parse_qs(again.body.decode()) == {"client_id": ["c"], "grant_type": ["refresh_token"], "refresh_token": ["r"]}
    with pytest.raises(GatewayError, match="sign in again"):
        oauth.refresh(profile, addresses, Tokens("a"), Client("c"))
    with pytest.raises(GatewayError, match=r"options\.endpoints\.token"):
        oauth.exchange(SignIn(), {}, Client("c"), "code")
    assert "the-code" not in repr(sent) and "hush" not in repr(Client("c", "hush"))


def test_addresses_are_the_rows_unless_the_account_or_the_server_says_otherwise() -> None:
    row = Provider("kiro", "Kiro", "", regions={"us-east-1": "u", "eu-central-1": "e"})
    social = "https://social.{region}.test/login"
    profile = SignIn(
        authorization=social, token="https://oidc.{region}.amazonaws.com/token", device="https://d.test/a/b", flavour="aws-sso"
    )
    assert oauth.addresses(profile, row)["token"] == "https://oidc.us-east-1.amazonaws.com/token"
    assert oauth.addresses(profile, row)["register"] == "https://d.test/a/client/register"
    account = Account("a", "kiro", "k", options={"sso_region": "eu-west-1", "endpoints": {"device": "http://127.0.0.1:1/d/"}})
    found = oauth.addresses(profile, row, account, {"kiro": {"register": "https://r.test/r", "revoke": "https://r.test/v"}})
    assert (found["token"], found["device"]) == ("https://oidc.eu-west-1.amazonaws.com/token", "http://127.0.0.1:1/d")
    assert (found["register"], found["revoke"]) == ("https://r.test/r", "https://r.test/v")
    own = replace(account, secret=Tokens("a", extra={"flavour": "kiro-social"}).encode())
    assert oauth.addresses(profile, row, own)["refresh"] == "https://social.eu-west-1.test/refreshToken"
    for options in (
        {"sso_region": "x.evil.test/"},
        {"endpoints": {"token": "javascript:alert(1)"}},
        {"endpoints": {"token": "http://u:p@h/"}},
    ):
        with pytest.raises(GatewayError) as caught:
            oauth.addresses(profile, row, options)
        assert caught.value.kind is Kind.BAD_REQUEST


def test_what_the_browser_is_asked() -> None:
    row, extra = Provider("p", "P", ""), {"prompt": "consent", "access_type": "offline"}
    profile = SignIn(authorization="https://a.test/go?tenant=1", scopes=("a", "b c"), authorization_extra=extra, nonce=True)
    begun = oauth.begin(row, profile, oauth.addresses(profile, row), Client("c"), HERE, hints={"prompt": "login", "login_hint": "ada&x=1"})
    query = {name: values[0] for name, values in parse_qs(urlsplit(begun.url).query).items()}
    assert query == {
        "tenant": "1", "response_type": "code", "client_id": "c", "redirect_uri": HERE, "scope": "a b c", "state": begun.state,
        "code_challenge": oauth.challenge(begun.verifier), "code_challenge_method": "S256", "nonce": begun.nonce,
        "prompt": "login", "access_type": "offline", "login_hint": "ada&x=1",
    }  # fmt: skip
    assert len(begun.state) >= 43 and 43 <= len(begun.verifier) <= 128
    assert begun.state not in repr(begun).replace(begun.url, "")
    plain = replace(profile, pkce=False, nonce=False)
    bare = oauth.begin(row, plain, oauth.addresses(plain, row), Client("c"), HERE)
    assert "challenge" not in bare.url and bare.verifier == bare.nonce == ""
    assert with_query("http://x/y?a=1#z", {"a": "2", "b": "ü"}) == "http://x/y?a=2&b=%C3%BC"
    assert (camel("refresh_token"), camel("code")) == ("refreshToken", "code")


async def test_a_clients_own_registration_and_its_device_code(server: AuthServer, send: Send) -> None:
    profile = server.profile("aws-sso", client_id="", scopes=("codewhisperer:completions",))
    addresses = oauth.addresses(profile, server.row(profile))

    async def ask(request: OAuthRequest) -> tuple[int, bytes]:
        status, _, body = await send(request)
        return status, body

    client, until = oauth.parse_client(profile, *await ask(oauth.register(profile, addresses)))
    assert client.secret and until is not None
    device = oauth.parse_device(
        profile, addresses, *await ask(oauth.device_begin(profile, addresses, client, hints={"startUrl": "https://start.test"}))
    )
    assert server.last("device").fields["startUrl"] == "https://start.test"
    with pytest.raises(OAuthError) as caught:
        oauth.parse_poll(profile, addresses, client, *await ask(oauth.device_poll(profile, addresses, client, device)), NOW)
    assert caught.value.pending
    server.approve(device.user_code)
    server.skip(60)
    first = oauth.parse_poll(profile, addresses, client, *await ask(oauth.device_poll(profile, addresses, client, device)), NOW)
    assert isinstance(first, Tokens) and (first.client_id, first.client_secret) == (client.id, client.secret)
    second = await refreshed(server, send, profile, first)
    assert server.good(second.access_token) and "refreshToken" in server.last("refresh").fields
    with pytest.raises(OAuthError) as caught:
        await refreshed(server, send, profile, first)
    assert caught.value.terminal and caught.value.code == "invalid_grant"
