"""Sign-ins with a device code, as the standard and Codex have them."""

from __future__ import annotations

import json

import pytest

from omni_connector import oauth
from omni_connector.errors import Kind
from omni_connector.oauth import Client, OAuthError, OAuthRequest
from omni_connector.providers.provider import Provider, SignIn
from omni_connector.tokens import Tokens
from tests.auth_server import AuthServer
from tests.oauth.conftest import Send

NOW = 1_800_000_000_000


@pytest.mark.parametrize("flavour", ["", "codex-device"])
async def test_the_user_types_a_code(server: AuthServer, send: Send, flavour: str) -> None:  # P-02
    profile = server.profile(flavour)
    addresses, client = oauth.addresses(profile, server.row(profile)), oauth.client_for(profile)
    status, headers, body = await send(oauth.device_begin(profile, addresses, client))
    device = oauth.parse_device(profile, addresses, status, body, headers)
    assert (device.verification_uri, device.interval_s) == (f"{server.url}/activate", 5)
    assert device.device_code not in repr(device)

    async def poll() -> Tokens | OAuthRequest:
        status, headers, body = await send(oauth.device_poll(profile, addresses, client, device))
        return oauth.parse_poll(profile, addresses, client, status, body, NOW, headers)

    with pytest.raises(OAuthError) as caught:
        await poll()
    assert caught.value.pending and not caught.value.terminal
    if not flavour:
        with pytest.raises(OAuthError) as caught:
            await poll()
        assert caught.value.pending and caught.value.slow_down
    server.approve(device.user_code)
    server.skip(30)
    found = await poll()
    if isinstance(found, OAuthRequest):
        status, headers, body = await send(found)
        found = oauth.parse_tokens(profile, status, body, NOW, headers=headers)
    assert server.good(found.access_token)


async def test_the_user_refuses_or_comes_too_late(server: AuthServer, send: Send) -> None:
    profile = server.profile()
    addresses, client = oauth.addresses(profile, server.row(profile)), oauth.client_for(profile)
    for late, code in ((False, "access_denied"), (True, "expired_token")):
        _, _, body = await send(oauth.device_begin(profile, addresses, client))
        device = oauth.parse_device(profile, addresses, 200, body)
        server.deny(device.user_code)
        server.skip(3600 if late else 30)
        status, _, body = await send(oauth.device_poll(profile, addresses, client, device))
        with pytest.raises(OAuthError, match="begin the sign-in again") as caught:
            oauth.parse_poll(profile, addresses, client, status, body, NOW)
        assert caught.value.code == code and caught.value.terminal


def test_an_answer_is_not_trusted() -> None:
    profile = SignIn(verification="https://v.test")
    addresses = oauth.addresses(profile, Provider("p", "P", ""))
    said = {"device_code": "d", "user_code": "AB-CD", "interval": "9999", "expires_in": -5, "verification_uri": "javascript:alert(1)"}
    found = oauth.parse_device(profile, addresses, 200, json.dumps(said | {"verification_uri_complete": "data:x"}).encode())
    assert (found.verification_uri, found.verification_uri_complete) == ("https://v.test", "")
    assert (found.interval_s, found.expires_in_s) == (60, 30)
    for status, body in ((200, b"[]"), (200, b"{"), (403, b"<html>"), (200, json.dumps(said | {"device_code": ["x"]}).encode())):
        with pytest.raises(OAuthError):
            oauth.parse_device(profile, addresses, status, body)
    with pytest.raises(OAuthError, match="no page"):
        oauth.parse_device(SignIn(), {}, 200, json.dumps(said).encode())
    # Some say with status 200 that the user has not come yet.
    with pytest.raises(OAuthError) as caught:
        oauth.parse_poll(profile, addresses, Client("c"), 200, b'{"error":"authorization_pending"}', NOW)
    assert caught.value.pending
    with pytest.raises(OAuthError) as caught:
        oauth.parse_poll(SignIn(flavour="codex-device"), addresses, Client("c"), 500, b"", NOW)
    assert caught.value.kind is Kind.UPSTREAM_FAILED and not caught.value.pending
    with pytest.raises(OAuthError):
        oauth.parse_client(profile, 400, b'{"__type":"InvalidRequestException"}')
