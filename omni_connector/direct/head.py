"""The head of a request as bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from omni_connector.direct.address import Target

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROLS = bytes((*range(9), *range(10, 32), 127))
"""What may stand in no line of a head (RFC 9110 §5.5); a tab may."""

BODILESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods whose request says nothing of a length where it has no body."""
OCTETS = "Content-Type: application/octet-stream\r\n"
ENCODINGS = "gzip, deflate"
"""What `decoding` reads."""

PASSED, ACCEPT, ENCODING, AGENT, TYPE, HOST, AUTHORIZATION, DROPPED = 0, 1, 2, 4, 8, 16, 32, 64
MEANT: Mapping[str, int] = {
    "accept": ACCEPT,
    "accept-encoding": ENCODING,
    "user-agent": AGENT,
    "content-type": TYPE,
    "host": HOST,
    "authorization": AUTHORIZATION,
    # We know how long our own bodies are, and do not ask whether they may come.
    "content-length": DROPPED,
    "transfer-encoding": DROPPED,
    "expect": DROPPED,
}
KEPT = 512

_known: dict[str, int] = {}
"""Name of a header, as it was written → what it means for the rest of the head."""


def _meaning(name: str) -> int:
    if not TOKEN.fullmatch(name):
        raise ValueError("not a header's name")
    meaning = MEANT.get(name.lower(), PASSED)
    if len(_known) < KEPT:
        _known[name] = meaning
    return meaning


def head_of(method: str, target: Target, headers: Mapping[str, str], size: int, agent: str) -> bytes:
    """The head, with the blank line after it. `size`: bytes of the body that follows; `agent`: who we are when `headers` do not say.

    Raises ValueError for what would not be one line each.
    """
    lines = [method, target.start]
    said = 0
    for name, value in headers.items():
        meaning = _known.get(name)
        if meaning is None:
            meaning = _meaning(name)
        if meaning:
            said |= meaning
            if meaning == DROPPED:
                continue
            if meaning == HOST:
                lines[1] = target.start[: target.start.index("\r\n") + 2]
        lines.append(f"{name}: {value}\r\n")
    if target.authorization:
        if said & AUTHORIZATION:
            raise ValueError("credentials both in the URL and in a header")
        lines.append(f"Authorization: {target.authorization}\r\n")
    if not said & ACCEPT:
        lines.append("Accept: */*\r\n")
    if not said & ENCODING:
        lines.append(f"Accept-Encoding: {ENCODINGS}\r\n")
    if not said & AGENT:
        lines.append(f"User-Agent: {agent}\r\n")
    if size or method not in BODILESS:
        lines.append(f"Content-Length: {size}\r\n")
    if size and not said & TYPE:
        lines.append(OCTETS)
    if method not in _known:
        _meaning(method)
    # Every piece but the method is one line; the target's start is two, or one where a Host was given.
    breaks = len(lines) - (1 if said & HOST else 0)
    head = "".join(lines).encode("utf-8", "ignore")
    if len(head) - len(head.translate(None, CONTROLS)) != 2 * breaks:
        raise ValueError("control characters in a header")
    return head + b"\r\n"
