"""Builds every call of a sign-in from the provider's profile (`SignIn`). Pure: nothing is sent here.

Standards: RFC 6749 (codes, refresh), 7636 (PKCE, S256 only), 7009 (revoke), 8252 (native apps), 8628 (device codes), OpenID
Connect Core (nonce). What a provider does differently is `SignIn` data, or one of the flavours:

| flavour | |
|---|---|
| `key` | a browser sign-in that ends in a lasting API key (OpenRouter) |
| `codex-device` | device codes by JSON; the poll gives a code with its verifier, which is then exchanged |
| `aws-sso` | AWS SSO OIDC: JSON in camelCase, a client registered per installation |
| `kiro-social` | no client at all; codes by JSON, refresh at an address of its own |
| `basic` | as the standard, with the client's secret in the Authorization header (RFC 6749 §2.3.1) |
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

from omni_connector.errors import bad_request
from omni_connector.oauth.shapes import ALWAYS_JSON, Begun, Client, DeviceCode, OAuthRequest, flavour_of
from omni_connector.providers.addresses import USER_AGENT, Endpoints, check_url, named_endpoint, region_of
from omni_connector.providers.provider import EMPTY, Provider, SignIn
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens, decode

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
APP_NAME = "omni-connector"

FIELDS = ("authorization", "token", "device", "verification", "revoke", "user_info", "issuer", "jwks")
"""Fields of `SignIn` that are addresses."""
DERIVED: Mapping[str, Mapping[str, tuple[str, str]]] = {
    # flavour → name → (the address it lies beside, where)
    "codex-device": {"poll": ("device", "token"), "device_redirect": ("device", "/deviceauth/callback")},
    "aws-sso": {"register": ("device", "client/register")},
    "kiro-social": {"refresh": ("authorization", "/refreshToken")},
}
"""Addresses that have no field of their own; they can be replaced by their name as the others can."""

_REGION = re.compile(r"[a-z0-9-]{1,40}\Z")


# ---------------------------------------------------------------- Where to


def addresses(
    profile: SignIn, provider: Provider, account: Account | Mapping[str, Any] = EMPTY, endpoints: Endpoints = EMPTY
) -> Mapping[str, str]:
    """Name → URL, "" where there is none: the fields of the profile and what is derived from them, each replaced by the account's
    `options.endpoints` or the server's endpoints file. `account`: the account, or the options of one that is yet to be made.

    "{region}" in an address is the option `sso_region`, else the account's region. Raises GatewayError BAD_REQUEST for an address
    that is none.
    """
    holder = account if isinstance(account, Account) else Account("", provider.id, "", options=dict(account))
    found: dict[str, str] = {}

    def take(name: str, otherwise: str) -> None:
        replaced = named_endpoint(name, provider, holder, endpoints)
        found[name] = check_url(replaced, f"options.endpoints.{name}") if replaced else _regional(otherwise, provider, holder)

    for name in FIELDS:
        take(name, getattr(profile, name))
    for name, (beside, where) in DERIVED.get(flavour_of(profile, decode(holder.secret)), EMPTY).items():
        take(name, urljoin(found[beside], where) if found[beside] else "")
    return MappingProxyType(found)


def _regional(url: str, provider: Provider, account: Account) -> str:
    if "{region}" not in url:
        return url
    chosen = account.options.get("sso_region")
    region = chosen if isinstance(chosen, str) and chosen else region_of(provider, account)
    if not _REGION.match(region):
        raise bad_request(f"options.sso_region: {region!r} is not a region; write it like us-east-1", "options.sso_region")
    return url.replace("{region}", region)


def _url(addresses: Mapping[str, str], name: str) -> str:
    url = addresses.get(name, "")
    if not url:
        raise bad_request(
            f"This sign-in has no {name.replace('_', ' ')} address; set options.endpoints.{name}", f"options.endpoints.{name}"
        )
    return url


# ---------------------------------------------------------------- In the browser


def client_for(profile: SignIn, tokens: Tokens | None = None, own: Client | None = None) -> Client:
    """Whom the provider knows us as: the client that the tokens were issued to, the user's own, the profile's public one, or the one
    that asks to be registered."""
    if tokens is not None and tokens.client_id:
        return Client(tokens.client_id, tokens.client_secret)
    if own is not None and own.id:
        return own
    return Client(profile.client_id or profile.dynamic)


def challenge(verifier: str) -> str:
    """PKCE, S256 (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def begin(
    provider: Provider,
    profile: SignIn,
    addresses: Mapping[str, str],
    client: Client,
    redirect_uri: str,
    *,
    hints: Mapping[str, str] = EMPTY,
) -> Begun:
    """The address that the user opens, with fresh state, verifier and nonce.

    `hints` are further parameters and win over the profile's: login_hint, id_token_hint, prompt, idp, ext_agent_host_id (a first
    dynamic registration needs it: one stable "urn:uuid:…" per installation). Raises GatewayError BAD_REQUEST without an address.
    """
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    nonce = secrets.token_urlsafe(24) if profile.nonce else ""
    query: dict[str, str] = {}
    if profile.flavour == "key":
        # There is no `state` in this dialect: it rides in the address that is called back.
        query["callback_url"] = with_query(redirect_uri, {"state": state})
    elif profile.flavour == "kiro-social":
        query |= {"redirect_uri": redirect_uri, "state": state}
    else:
        query |= {"response_type": "code", "client_id": client.id, "redirect_uri": redirect_uri, "state": state}
        query |= {"scope": " ".join(profile.scopes)} if profile.scopes else {}
    if profile.pkce:
        query |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
    if nonce:
        query["nonce"] = nonce
    if profile.dynamic and client.id == profile.dynamic:
        query["agent_name_hint"] = APP_NAME
    query |= {**profile.authorization_extra, **hints}
    return Begun(with_query(_url(addresses, "authorization"), query), state, verifier if profile.pkce else "", nonce, redirect_uri)


def with_query(url: str, more: Mapping[str, str]) -> str:
    """The address with more parameters; of the same name, the new one stays."""
    parts = urlsplit(url)
    pairs = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **more}
    return urlunsplit(parts._replace(query=urlencode(pairs, quote_via=quote), fragment=""))


def exchange(
    profile: SignIn,
    addresses: Mapping[str, str],
    client: Client,
    code: str,
    *,
    verifier: str = "",
    redirect_uri: str = "",
    state: str = "",
) -> OAuthRequest:
    """A code → tokens (`parse_tokens` reads the answer). `verifier`, `redirect_uri` and `state` are those of `Begun`."""
    url = _url(addresses, "token")
    proof = {"code_verifier": verifier} if verifier else {}
    if profile.flavour == "key":
        method = {"code_challenge_method": "S256"} if verifier else {}
        return _post(profile, url, {"code": code, **proof, **method, **profile.token_extra}, json_body=True)
    if profile.flavour == "kiro-social":
        return _post(profile, url, {"code": code, **proof, "redirect_uri": redirect_uri, **profile.token_extra}, json_body=True)
    fields = {"grant_type": "authorization_code", "code": code, **proof, **profile.token_extra}
    if redirect_uri:
        fields["redirect_uri"] = redirect_uri
    if profile.state_in_token and state:
        fields["state"] = state
    return _as_client(profile, url, client, fields, profile.body, profile.flavour)


# ---------------------------------------------------------------- With a device code


def register(profile: SignIn, addresses: Mapping[str, str]) -> OAuthRequest:
    """A client of our own at AWS SSO OIDC (`parse_client` reads the answer). Flavour "aws-sso" only."""
    fields: dict[str, Any] = {"clientName": APP_NAME, "clientType": "public", "scopes": list(profile.scopes)}
    fields["grantTypes"] = [DEVICE_GRANT, "refresh_token"]
    return _post(profile, _url(addresses, "register"), fields, json_body=True)


def device_begin(profile: SignIn, addresses: Mapping[str, str], client: Client, *, hints: Mapping[str, str] = EMPTY) -> OAuthRequest:
    """Asks for a device code (`parse_device` reads the answer). `hints`: further fields ("startUrl" at AWS)."""
    url = _url(addresses, "device")
    if profile.flavour == "codex-device":
        return _post(profile, url, {"client_id": client.id, **hints}, json_body=True)
    scope = {"scope": " ".join(profile.scopes)} if profile.scopes and profile.flavour != "aws-sso" else {}
    return _as_client(profile, url, client, {**scope, **hints}, profile.body, profile.flavour)


def device_poll(profile: SignIn, addresses: Mapping[str, str], client: Client, device: DeviceCode) -> OAuthRequest:
    """Asks whether the user has typed the code (`parse_poll` reads the answer)."""
    if profile.flavour == "codex-device":
        fields = {"device_auth_id": device.device_code, "user_code": device.user_code}
        return _post(profile, _url(addresses, "poll"), fields, json_body=True)
    fields = {"grant_type": DEVICE_GRANT, "device_code": device.device_code, **profile.token_extra}
    return _as_client(profile, _url(addresses, "token"), client, fields, profile.body, profile.flavour)


# ---------------------------------------------------------------- Afterwards


def refresh(profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, client: Client) -> OAuthRequest:
    """A refresh token → new tokens (`parse_tokens` with `old` reads the answer). Raises GatewayError BAD_REQUEST without one."""
    if not tokens.refresh_token:
        raise bad_request("This sign-in has no refresh token; sign in again")
    flavour = flavour_of(profile, tokens)
    if flavour == "kiro-social":
        return _post(profile, _url(addresses, "refresh"), {"refreshToken": tokens.refresh_token, **profile.token_extra}, json_body=True)
    fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token, **profile.token_extra}
    return _as_client(profile, _url(addresses, "token"), client, fields, profile.refresh_body or profile.body, flavour)


def revoke(profile: SignIn, addresses: Mapping[str, str], tokens: Tokens, client: Client) -> OAuthRequest | None:
    """Takes the grant back (RFC 7009); None where the provider has no address for that. Status 200 means done."""
    token, hint = (tokens.refresh_token, "refresh_token") if tokens.refresh_token else (tokens.access_token, "access_token")
    if not addresses.get("revoke") or not token:
        return None
    return _as_client(profile, addresses["revoke"], client, {"token": token, "token_type_hint": hint}, "form", profile.flavour)


def user_info(profile: SignIn, addresses: Mapping[str, str], tokens: Tokens) -> OAuthRequest | None:
    """Who signed in; None where the provider has no address for that."""
    if not addresses.get("user_info"):
        return None
    return _get(profile, addresses["user_info"], {"authorization": f"Bearer {tokens.access_token}"})


def jwks_request(profile: SignIn, addresses: Mapping[str, str]) -> OAuthRequest:
    """The keys that id_tokens are signed with (`identity.parse_jwks`)."""
    return _get(profile, _url(addresses, "jwks"))


def discovery_request(profile: SignIn, addresses: Mapping[str, str]) -> OAuthRequest:
    """OpenID Connect Discovery §4 (`identity.discovered` reads the answer)."""
    return _get(profile, _url(addresses, "issuer").rstrip("/") + "/.well-known/openid-configuration")


# ---------------------------------------------------------------- On the wire


def _as_client(profile: SignIn, url: str, client: Client, fields: Mapping[str, str], body: str, flavour: str) -> OAuthRequest:
    sent = {"client_id": client.id, **fields} if client.id else dict(fields)
    headers: dict[str, str] = {}
    if client.secret and flavour == "basic":
        pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
        headers["authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    elif client.secret:
        sent["client_secret"] = client.secret
    if flavour == "aws-sso":
        sent = {camel(name): value for name, value in sent.items()}
    return _post(profile, url, sent, json_body=body == "json" or flavour in ALWAYS_JSON, headers=headers)


def _post(profile: SignIn, url: str, fields: Mapping[str, Any], *, json_body: bool, headers: Mapping[str, str] = EMPTY) -> OAuthRequest:
    kind = "application/json" if json_body else "application/x-www-form-urlencoded"
    body = json.dumps(dict(fields)) if json_body else urlencode(fields)
    return OAuthRequest("POST", url, {**_headers(profile), "content-type": kind, **headers}, body.encode())


def _get(profile: SignIn, url: str, headers: Mapping[str, str] = EMPTY) -> OAuthRequest:
    return OAuthRequest("GET", url, {**_headers(profile), **headers})


def _headers(profile: SignIn) -> dict[str, str]:
    own = {name.lower(): value for name, value in profile.headers.items()}
    return {"user-agent": USER_AGENT, "accept": "application/json", **own}


def camel(name: str) -> str:
    """ "refresh_token" → "refreshToken"."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)
