"""Where a URL leads, split once and kept: a gateway asks the same few addresses all day."""

from __future__ import annotations

import base64
import ipaddress
import re
from functools import lru_cache
from urllib.parse import unquote

from omni_connector.values import dataclass

KEPT = 2048
"""URLs that are kept split, the last ones."""
LONGEST = 1024
"""Letters of a URL that is kept: longer ones are asked once."""

PORTS = {"http": 80, "https": 443}

PLAIN = re.compile(
    r"(https?)://([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)(?::([1-9][0-9]{0,4}))?"
    r"((?:/(?!\.{1,2}(?:/|\?|\Z))[A-Za-z0-9._~!$&'()*+,;=:@-]*)*)(?:\?([A-Za-z0-9._~=&-]+))?"
)
"""What nothing has to be changed in: no escapes, no dot segments, nothing beyond ASCII. Everything else is yarl's to read."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
NUMERIC = re.compile(r"[0-9.]+")
"""A name of figures and dots that is no canonical IPv4 address (127.1, 2130706433) would still lead somewhere."""
HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+(?:%[A-Za-z0-9_.-]+)?")

Key = tuple[bool, str, int]
"""TLS, host, port: connections are interchangeable within it."""


@dataclass(frozen=True, slots=True)
class Target:
    """One URL, ready to be asked."""

    key: Key
    shown: str
    """Host and port as they were written, for messages."""
    start: str
    """What follows the method in the first line, and the Host header."""
    authorization: str = ""
    """From a user and a password within the URL."""


def target_of(url: str) -> Target:
    """Raises ValueError for what is no http:// or https:// address, or holds control characters."""
    return _kept(url) if len(url) <= LONGEST else _split(url)


def _split(url: str) -> Target:
    plain = PLAIN.fullmatch(url)
    if plain is None:
        return _odd(url)
    scheme, host, port, path, query = plain.groups()
    return _target(scheme, host, int(port or PORTS[scheme]), host, f"{path or '/'}?{query}" if query else path or "/", "")


_kept = lru_cache(KEPT)(_split)


def _target(scheme: str, host: str, port: int, written: str, path: str, authorization: str) -> Target:
    if not 0 < port < 65536:
        raise ValueError("no such port")
    if NUMERIC.fullmatch(host):
        ipaddress.IPv4Address(host)
    authority = written if port == PORTS[scheme] else f"{written}:{port}"
    start = f" {path} HTTP/1.1\r\nHost: {authority}\r\n"
    return Target((scheme == "https", host, port), authority, start, authorization)


def _odd(url: str) -> Target:
    if CONTROL.search(url):
        raise ValueError("control characters in a URL")
    from yarl import URL  # 4 MB that most never need

    split = URL(url)
    host, port, written = split.raw_host, split.port, split.host_subcomponent
    if split.scheme not in PORTS or not host or port is None or written is None:
        raise ValueError("no http:// or https:// address")
    if not HOST.fullmatch(host):
        raise ValueError("not a host's name")
    if host.endswith(".."):
        host = host.rstrip(".") + "."
    authorization = ""
    if split.raw_user or split.raw_password:
        pair = f"{unquote(split.raw_user or '')}:{unquote(split.raw_password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return _target(split.scheme, host, port, written, split.raw_path_qs, authorization)
