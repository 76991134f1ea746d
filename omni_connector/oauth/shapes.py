"""The values of a sign-in, and how it fails. Nothing here is sent or read yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from omni_connector.errors import GatewayError
from omni_connector.providers.provider import SignIn
from omni_connector.tokens import Tokens
from omni_connector.values import dataclass

Json = dict[str, Any]

LONGEST_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
LONGEST_TOKEN = 64 * 1024
LONGEST_PASTE = 16 * 1024

CAMEL = frozenset({"aws-sso", "kiro-social"})
"""Flavours that write accessToken where the standard writes access_token."""
ALWAYS_JSON = frozenset({"aws-sso", "kiro-social", "key"})

ERROR_CODE = re.compile(r"[A-Za-z0-9_.\-]{1,80}\Z")
FIXES: Mapping[str, str] = {
    "access_denied": "the access was refused on the provider's page; begin the sign-in again and allow it",
    "expired_token": "the code was not used in time; begin the sign-in again",
    "invalid_grant": "the code or sign-in is used up, expired or taken back; sign in again",
    "invalid_client": "the provider does not accept the client id or secret; check them, then sign in again",
    "unauthorized_client": "the provider does not allow this client to sign in this way; check the client id",
    "redirect_uri_mismatch": "the redirect address is not registered with this client; add it at the provider",
    "invalid_scope": "the provider does not grant what was asked for; check the scopes",
}
"""Error code → what to do about it."""


@dataclass(frozen=True, slots=True)
class OAuthRequest:
    """A call to the provider, ready for `Upstream.fetch`. Body and headers hold secrets."""

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Client:
    """Whose sign-in it is at the provider. A public client has no secret."""

    id: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Begun:
    """A browser sign-in under way: `url` is shown to the user, everything else is kept (encrypted) until the code comes back."""

    url: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A device sign-in under way: the user types `user_code` at `verification_uri`; we ask every `interval_s` whether he has."""

    device_code: str = field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str = ""
    interval_s: int = 5
    expires_in_s: int = 900
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Code:
    """What came back: the query of the callback, or what the user pasted. `error` is the provider's error code (RFC 6749 §4.1.2.1);
    then there is no code. `iss`: who says that he sent it (RFC 9207). `client_id`: issued to us by the callback (dynamic clients)."""

    code: str = field(repr=False)
    state: str | None = field(default=None, repr=False)
    client_id: str | None = None
    error: str = ""
    iss: str = ""


@dataclass(slots=True, eq=False)
class OAuthError(GatewayError):
    """A sign-in or refresh that did not work. `code` is the provider's error code ("" when it gave none), `message` is redacted and
    names the fix. `retry_after` (s) is set where the provider said when to come back."""

    terminal: bool = False
    """No use in trying again: the user has to sign in again."""
    pending: bool = False
    """A device code that the user has not typed yet: ask again after the interval."""
    slow_down: bool = False
    """As `pending`, and 5 s are added to the interval from now on (RFC 8628 §3.5)."""


def flavour_of(profile: SignIn, tokens: Tokens | None = None) -> str:
    """The dialect. Tokens may have one of their own (`extra["flavour"]`) where a provider has several kinds of sign-in."""
    own = tokens.extra.get("flavour") if tokens is not None else None
    return own if isinstance(own, str) and own else profile.flavour
