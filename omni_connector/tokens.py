"""What a sign-in gave us: the secret of an account with auth "oauth", kept as one encrypted JSON document."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import msgspec

from omni_connector.values import dataclass

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Times are milliseconds. What the provider did not give is empty."""

    access_token: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    expires_at: int | None = None
    """None: it does not say, or never ends."""
    id_token: str = field(default="", repr=False)
    scope: str = ""
    client_id: str = ""
    """Whom they were issued to, where that is not the profile's own client (dynamic registration, a user's own client)."""
    client_secret: str = field(default="", repr=False)
    refreshed_at: int = 0
    not_before: int = 0
    """No refresh before this moment (a provider's `earliest_refresh_at`)."""
    extra: Json = field(default_factory=dict, repr=False)
    """What only this provider needs to go on: a region, an address of its own, a registration's end."""

    def encode(self) -> str:
        return msgspec.json.encode(self).decode()


def decode(secret: str) -> Tokens | None:
    """What `encode` wrote; None when it is something else (an API key that was never exchanged)."""
    try:
        return msgspec.json.decode(secret, type=Tokens)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
