"""Reads the answers of a sign-in with a device code (RFC 8628), and of registering the client that AWS wants for it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from omni_connector.errors import Kind
from omni_connector.oauth.answers import bounded, moment, parse_tokens, read_answer, refusal, text_of
from omni_connector.oauth.asking import exchange
from omni_connector.oauth.shapes import Client, DeviceCode, OAuthError, OAuthRequest
from omni_connector.providers.provider import EMPTY, SignIn
from omni_connector.tokens import Tokens

DEVICE_PENDING = frozenset({403, 404})
"""Codex's poll says with these that the code was not typed yet (upstreams: no error body)."""


def parse_client(profile: SignIn, status: int, body: bytes, headers: Mapping[str, str] = EMPTY) -> tuple[Client, int | None]:
    """A client registered at AWS SSO OIDC, and until when (ms). Raises OAuthError."""
    said = read_answer(body, "aws-sso")
    client_id, client_secret = text_of(said, "client_id"), text_of(said, "client_secret")
    if not 200 <= status < 300 or not client_id:
        raise refusal(profile, status, said, headers, None, ())
    return Client(client_id, client_secret), moment(said.get("client_secret_expires_at"))


def parse_device(profile: SignIn, addresses: Mapping[str, str], status: int, body: bytes, headers: Mapping[str, str] = EMPTY) -> DeviceCode:
    """RFC 8628 §3.2. Raises OAuthError, also for an address that is no web page."""
    said = read_answer(body, profile.flavour)
    device_code = text_of(said, "device_auth_id" if profile.flavour == "codex-device" else "device_code")
    user_code = text_of(said, "user_code") or text_of(said, "usercode")
    if not 200 <= status < 300 or not device_code or not user_code:
        raise refusal(profile, status, said, headers, None, ())
    page = _page(text_of(said, "verification_uri") or text_of(said, "verification_url")) or addresses.get("verification", "")
    if not page or len(user_code) > 64:
        raise OAuthError(Kind.UPSTREAM_FAILED, "The provider gave a device code, but no page to type it on.")
    return DeviceCode(
        device_code=device_code,
        user_code=user_code,
        verification_uri=page,
        verification_uri_complete=_page(text_of(said, "verification_uri_complete")),
        interval_s=bounded(said.get("interval"), 1, 60, 5),
        expires_in_s=bounded(said.get("expires_in"), 30, 1800, 900),
    )


def parse_poll(
    profile: SignIn,
    addresses: Mapping[str, str],
    client: Client,
    status: int,
    body: bytes,
    now_ms: int,
    headers: Mapping[str, str] = EMPTY,
) -> Tokens | OAuthRequest:
    """The tokens; or, where the poll gives a code (Codex), the call that exchanges it, whose answer `parse_tokens` reads. OAuthError
    with `pending` (and `slow_down`): ask again; with `terminal`: begin again."""
    if profile.flavour != "codex-device":
        return parse_tokens(profile, status, body, now_ms, headers=headers, client=client)
    said = read_answer(body, profile.flavour)
    if status in DEVICE_PENDING:
        raise OAuthError(Kind.ACCOUNT_REJECTED, "The code was not typed yet.", code="authorization_pending", pending=True)
    code, verifier = text_of(said, "authorization_code"), text_of(said, "code_verifier")
    if not 200 <= status < 300 or not code:
        raise refusal(profile, status, said, headers, None, ())
    return exchange(profile, addresses, client, code, verifier=verifier, redirect_uri=addresses.get("device_redirect", ""))


def _page(url: str) -> str:
    """An address that may be shown as a link: never javascript: or the like."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return url if parts.scheme in ("http", "https") and parts.hostname and parts.username is None and len(url) < 2048 else ""
