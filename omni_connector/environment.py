"""Provider keys in the environment, which become accounts labelled `env` (CONTRACT §6)."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from omni_connector import providers

LABEL = "env"
REMOVED = "env_removed"
"""The fact (store.settings.get_meta) that holds the marks of keys whose accounts the user removed, with spaces between."""


@dataclass(frozen=True, slots=True)
class Found:
    """`problem`: why the address beside the key is not used; "" when nothing is wrong with it."""

    provider: str
    secret: str = field(repr=False)
    base_url: str = ""
    problem: str = ""

    @property
    def label(self) -> str:
        """What its account is called where `env` is taken."""
        return f"{LABEL}-{self.provider}"


def keys(env: Mapping[str, str], port: int) -> Iterator[Found]:
    """The keys of providers that stand in the environment. `port`: ours, because variables that send clients to us are no provider."""
    for row in providers.PROVIDERS.values():
        secret = next((env[name].strip() for name in row.env if env.get(name, "").strip()), "")
        if not secret:
            continue
        name = next((name for name in row.env_base_url if env.get(name, "").strip()), "")
        url = env[name].strip() if name else ""
        if url and is_ours(url, port):
            yield Found(row.id, secret, problem=f"{name} is this server's own address; {row.label} is called at its usual one")
            continue
        yield Found(row.id, secret, url)


def is_ours(url: str, port: int) -> bool:
    """Whether an address leads back to this server."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, asked = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return False
    if host != "localhost" and not host.endswith(".localhost"):
        try:
            if not (ipaddress.ip_address(host).is_loopback or ipaddress.ip_address(host).is_unspecified):
                return False
        except ValueError:
            return False
    return asked == port


def is_environments(label: str) -> bool:
    """Whether an account was made of the environment, as far as its label tells."""
    return label == LABEL or label.startswith(f"{LABEL}-")


def mark(secret: str) -> str:
    """What a key is remembered by once its account was removed: it tells nothing of the key."""
    return hashlib.sha256(f"omni-connector removed {secret}".encode()).hexdigest()[:24]
