"""What a trusted proxy says of a request: whose it is, and how it came to the proxy (X-Forwarded-For, -Proto, -Host).

Only proxies of the list are believed, and only their own words: of a chain of addresses, the last that is none of our proxies is the
client, because everything before it was written by whoever sent it. The headers stay on the request: it did not come from this machine,
whatever address is named in them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from omni_connector.settings import SettingsError

Scope = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
PORT = 0
"""The client's own port is not known."""


def networks(listed: Iterable[str]) -> tuple[Network, ...]:
    """Raises SettingsError for what is neither an address nor a network."""
    found = []
    for text in listed:
        try:
            found.append(ipaddress.ip_network(text, strict=False))
        except ValueError:
            raise SettingsError(f"trusted_proxies: {text!r} is no address and no network; use one like 127.0.0.1 or 10.0.0.0/8.") from None
    return tuple(found)


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address.strip().strip("[]"))
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return any((mapped or found) in network for network in trusted)


def seen_through(scope: Scope, trusted: Sequence[Network]) -> Scope:
    """The scope as the proxy's client sent it; unchanged when the peer is no trusted proxy."""
    peer = (scope.get("client") or ("",))[0]
    if not trusted or not is_trusted(peer, trusted):
        return scope
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    changed: Scope = {**scope}
    chain = [part.strip() for part in ",".join(_values(headers, FOR)).split(",") if part.strip()]
    if chain:
        changed["client"] = (next((part for part in reversed(chain) if not is_trusted(part, trusted)), chain[0]), PORT)
    proto = _last(headers, PROTO)
    if proto in ("http", "https"):
        changed["scheme"] = proto
    host = _last(headers, HOST)
    if host and host.isprintable() and "/" not in host and " " not in host:
        changed["headers"] = [(b"host", host.encode("latin-1")), *(pair for pair in headers if pair[0].lower() != b"host")]
    return changed


def _values(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key.lower() == name]


def _last(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """The word nearest to us: what our own proxy wrote."""
    return ",".join(_values(headers, name)).rpartition(",")[2].strip()
