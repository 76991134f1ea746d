"""The id_token that comes with a refresh: genuine, and about the same person. Keeps the issuers' keys for a while."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from omni_connector import oauth
from omni_connector.errors import GatewayError
from omni_connector.oauth import OAuthError, OAuthRequest
from omni_connector.providers import SignIn
from omni_connector.tokens import Json

log = logging.getLogger("omni.refreshing")

KEEP_MS = 3_600_000
ANEW_MS = 60_000
"""Keys are fetched for an unknown one at most this often: an id_token can name any."""

Ask = Callable[[OAuthRequest], Awaitable[tuple[int, Mapping[str, str], bytes]]]


class Genuine:
    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._keys: dict[str, tuple[int, Json]] = {}
        """JWKS address → (when it was asked, what it said)."""
        self._published: dict[str, tuple[int, bytes]] = {}
        """Issuer → (when it was asked, what it publishes about itself)."""

    async def discover(self, profile: SignIn, addresses: Mapping[str, str], ask: Ask) -> Mapping[str, str]:
        """The addresses, with those that the issuer publishes where the profile wants that. Raises GatewayError."""
        if not profile.discovery:
            return addresses
        issuer = addresses.get("issuer", "")
        at, body = self._published.get(issuer, (0, b""))
        if not body or self._now() - at > KEEP_MS:
            status, headers, body = await ask(oauth.discovery_request(profile, addresses))
            found = oauth.discovered(profile, addresses, status, body, headers)
            self._published[issuer] = (self._now(), body)
            return found
        return oauth.discovered(profile, addresses, 200, body)

    async def claims(
        self, profile: SignIn, addresses: Mapping[str, str], client_id: str, id_token: str, subject: str, ask: Ask
    ) -> Json | None:
        """Its claims; None when that cannot be told now (the keys are not to be had, the clocks differ). Raises OAuthError when it is
        not genuine, or about somebody else than `subject`."""
        if not addresses.get("issuer") or not addresses.get("jwks"):
            return None
        for keep_ms in (KEEP_MS, ANEW_MS):
            try:
                keys = await self._of(profile, addresses, ask, keep_ms)
            except GatewayError:
                return None
            try:
                return oauth.verify_id_token(profile, addresses, client_id, id_token, keys, "", self._now(), subject=subject)
            except OAuthError as error:
                if error.code == oauth.CLOCK:
                    log.warning("%s", error.message)
                    return None
                if error.code != "unknown_key" or keep_ms == ANEW_MS:
                    raise
        return None

    async def _of(self, profile: SignIn, addresses: Mapping[str, str], ask: Ask, keep_ms: int) -> Json:
        at, keys = self._keys.get(addresses["jwks"], (0, {}))
        if keys and self._now() - at <= keep_ms:
            return keys
        status, _, body = await ask(oauth.jwks_request(profile, addresses))
        keys = oauth.parse_jwks(status, body)
        self._keys[addresses["jwks"]] = (self._now(), keys)
        return keys
