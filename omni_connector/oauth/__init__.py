"""Signing in, as pure functions over a provider's profile (`SignIn`): builders of every call, readers of every answer.

A browser sign-in: `addresses` → (with `profile.discovery`: `discovery_request` → `discovered`) → `begin` → the user's browser →
`read_callback` → `check_callback` → `exchange` → `parse_tokens` → `verify_id_token` → `identity`. With a device code: `device_begin` →
`parse_device` → `device_poll` → `parse_poll`. Later: `refresh` → `parse_tokens` with the old tokens; `revoke`. Sending is the caller's
business (`Upstream.fetch`); nothing here keeps state.
"""

from __future__ import annotations

from omni_connector.oauth.answers import jwt_claims, parse_tokens, read_object
from omni_connector.oauth.asking import (
    addresses,
    begin,
    challenge,
    client_for,
    device_begin,
    device_poll,
    discovery_request,
    exchange,
    jwks_request,
    refresh,
    register,
    revoke,
    user_info,
)
from omni_connector.oauth.callback import check_callback, read_callback
from omni_connector.oauth.devices import parse_client, parse_device, parse_poll
from omni_connector.oauth.identity import CLOCK, discovered, identity, parse_jwks, verify_id_token
from omni_connector.oauth.shapes import Begun, Client, Code, DeviceCode, OAuthError, OAuthRequest

__all__ = [
    "CLOCK",
    "Begun",
    "Client",
    "Code",
    "DeviceCode",
    "OAuthError",
    "OAuthRequest",
    "addresses",
    "begin",
    "challenge",
    "check_callback",
    "client_for",
    "device_begin",
    "device_poll",
    "discovered",
    "discovery_request",
    "exchange",
    "identity",
    "jwks_request",
    "jwt_claims",
    "parse_client",
    "parse_device",
    "parse_jwks",
    "parse_poll",
    "parse_tokens",
    "read_callback",
    "read_object",
    "refresh",
    "register",
    "revoke",
    "user_info",
    "verify_id_token",
]
