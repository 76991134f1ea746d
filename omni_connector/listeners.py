"""Where the server listens, and for whom: one listener for everything, or one for the client API and one for the administration.

Pure but for opening sockets. `plan` makes places of the settings; `Sockets` holds the sockets of a process, so that a listener can be
opened anew at the same address without refusing anybody meanwhile.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from omni_connector import handover
from omni_connector.settings import Settings, SettingsError
from omni_connector.values import dataclass

Side = Literal["both", "client", "admin"]
Address = tuple[str, int]
"""Host and port as they were asked for; port 0 is any free one."""

BACKLOG = 2048
_ADDRESS = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\]/]+):)?(?P<port>[0-9]{1,5})")
ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound
USUAL = ("127.0.0.1", "::1", "localhost")
"""What people call localhost."""
IN_USE = "{address} cannot be used ({why}). Stop what uses it, or choose another: omni-connector {side} bind ADDR."
REMOTE = "{host} is reachable from other machines: {fix}"
NEEDS_LEAVE = "set a password (omni-connector admin password) and OMNI_ALLOW_REMOTE=1, or use 127.0.0.1."
NEEDS_PASSWORD = "no password is set. Set one first: omni-connector admin password."  # noqa: S105


@dataclass(frozen=True, slots=True)
class Place:
    """One listener. `cert` and `key`: files of its certificate, "" where it speaks plainly."""

    side: Side
    host: str
    port: int
    cert: str = ""
    key: str = ""

    @property
    def address(self) -> Address:
        return self.host, self.port


class Opener(Protocol):
    """Who owns the listening sockets: this process, or the supervisor above it. Its methods block for a moment."""

    def take(self, address: Address) -> socket.socket:
        """Another handle of the listening socket of that address, opened when it is not there yet. Raises OSError."""

    def keep_only(self, addresses: Iterable[Address]) -> None:
        """Closes all others."""


# ---------------------------------------------------------------- Settings → places


def address_of(text: str, name: str) -> Address:
    """`0.0.0.0:3000`, `[::1]:3000`, or a port alone, which is one of this machine. Raises SettingsError naming the setting."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or int(found["port"]) > 65535:
        raise SettingsError(f"{name}={text!r} is not an address with a port; use one like 127.0.0.1:3000 or 0.0.0.0:3000.")
    return (found["host"] or "127.0.0.1").strip("[]"), int(found["port"])


def plan(stored: Settings, host: str, port: int) -> tuple[Place, ...]:
    """The places to listen at. `host`, `port`: for whatever has no listener of its own. Raises SettingsError."""
    shared = (host, port)
    client = address_of(stored.client_bind, "client_bind") if stored.client_bind else shared
    admin = address_of(stored.admin_bind, "admin_bind") if stored.admin_bind else shared
    client_tls = _pair(stored.client_tls_cert, stored.client_tls_key, "client_tls")
    admin_tls = _pair(stored.admin_tls_cert, stored.admin_tls_key, "admin_tls")
    if client == admin:
        # One socket has one certificate: whichever is set, the client's first.
        return (Place("both" if stored.admin_state else "client", *client, *(client_tls or admin_tls or ("", ""))),)
    first = Place("client", *client, *(client_tls or ("", "")))
    return (first, Place("admin", *admin, *(admin_tls or ("", "")))) if stored.admin_state else (first,)


def _pair(cert: str, key: str, name: str) -> tuple[str, str] | None:
    if bool(cert) != bool(key):
        raise SettingsError(f"{name}: a certificate needs its key, and a key its certificate; set {name}_cert and {name}_key, or neither.")
    return (cert, key) if cert else None


def check_reach(places: Sequence[Place], allow_remote: bool, has_password: bool) -> None:
    """Other machines may only be let in with a password and the owner's word. Raises SettingsError."""
    for place in places:
        if not reaches_others(place):
            continue
        if not allow_remote:
            raise SettingsError(REMOTE.format(host=place.host, fix=NEEDS_LEAVE))
        if not has_password:
            raise SettingsError(REMOTE.format(host=place.host, fix=NEEDS_PASSWORD))


def is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def is_loopback_name(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost") or is_loopback(host)


def reaches_others(place: Place) -> bool:
    return not is_loopback_name(place.host)


# ---------------------------------------------------------------- Places → words


def shown(host: str, port: int, tls: bool = False) -> str:
    """The address as people write it. Another loopback address than the usual one (127.0.0.2) is not what `localhost` means."""
    return _url("localhost" if host in USUAL else host, port, tls)


def opened(url: str) -> str:
    """The address as a browser of this machine opens it: not all of them know what 0.0.0.0 means."""
    return url.replace("://0.0.0.0:", "://localhost:").replace("://[::]:", "://localhost:")


def called(host: str, port: int, tls: bool = False) -> str:
    """The address as a program of this machine calls it."""
    return _url("127.0.0.1" if host in (*ANYWHERE, "localhost") else host, port, tls)


def _url(host: str, port: int, tls: bool) -> str:
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def told(open_at: Sequence[tuple[Place, int]]) -> dict[str, Any]:
    """What server.json says of open listeners (each with its real port): where commands call, what programs and people are told."""
    client, client_port = next((entry for entry in open_at if entry[0].side != "admin"), open_at[0])
    admin, admin_port = next((entry for entry in open_at if entry[0].side != "client"), (client, client_port))
    return {
        "url": called(admin.host, admin_port, bool(admin.cert)),
        "client_url": called(client.host, client_port, bool(client.cert)),
        "base_url": shown(client.host, client_port, bool(client.cert)),
        "dashboard": shown(admin.host, admin_port, bool(admin.cert)),
        "listeners": [
            {
                "side": place.side,
                "url": shown(place.host, port, bool(place.cert)),
                "tls": bool(place.cert),
                "remote": reaches_others(place),
            }
            for place, port in open_at
        ],
    }


# ---------------------------------------------------------------- Sockets


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Sockets:
    """The listening sockets that this process owns. `env`: what a predecessor handed over is taken before a new one is opened."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._handed = {handover.LISTENERS: env.get(handover.LISTENERS, "")}
        self._held: dict[Address, socket.socket] = {}

    def take(self, address: Address) -> socket.socket:
        held = self._held.get(address)
        if held is None:
            host, port = address
            held = self._held[address] = handover.inherited(self._handed, host, port) or listen(host, port)
        handle = held.dup()
        handle.setblocking(False)
        return handle

    def keep_only(self, addresses: Iterable[Address]) -> None:
        wanted = set(addresses)
        for address in [address for address in self._held if address not in wanted]:
            self._held.pop(address).close()
        self._leave_handed()

    def _leave_handed(self) -> None:
        """What was handed over and is wanted by nobody: whoever connects there would wait for ever."""
        mine = {held.fileno() for held in self._held.values()}
        for number in self._handed[handover.LISTENERS].split(","):
            if number.isdecimal() and int(number) not in mine:
                with contextlib.suppress(OSError):
                    os.close(int(number))
        self._handed = {handover.LISTENERS: ""}

    def all(self) -> list[socket.socket]:
        return list(self._held.values())

    def close(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()
