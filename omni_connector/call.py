"""One request at the client API's door, and the way back to the client. Framework-neutral: app.py makes both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from omni_connector import lanes
from omni_connector.errors import GatewayError
from omni_connector.record import Record
from omni_connector.snapshot import ClientKey
from omni_connector.usage import nano, usd
from omni_connector.values import quick

Headers = list[tuple[bytes, bytes]]

# Provider headers that a client may want to see under their own names (CONTRACT §4).
PASSED_ON = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")

MOST = 1000
"""Characters of a header of ours."""


@quick(frozen=True, slots=True)
class Call:
    """An authenticated request with its whole body. `headers` have lower-case names; `started_at` is ms UTC."""

    id: str
    wire: str
    path: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    key: ClientKey
    client: str
    started_at: int
    provider: str = ""
    """A provider pinned by path or header, "" if none."""
    model: str = ""
    """The model in the URL, where the format puts it there."""
    stream: bool | None = None
    """Whether the URL asks for a stream; None where the body says so."""
    as_array: bool = False
    """A streamed answer is wanted as one JSON array instead of server-sent events (Gemini without `alt=sse`)."""
    endpoint: str = ""
    """The path without a provider in front of it."""


class Sink(Protocol):
    """Where the answer goes. `started`: the status line is out, so there is no other answer any more."""

    started: bool

    async def whole(self, status: int, headers: Headers, body: bytes) -> None: ...
    async def start(self, status: int, headers: Headers) -> None: ...
    def say(self, data: bytes) -> bool:
        """What `write` does, at once. False, and nothing is written, where somebody might have to wait."""

    async def write(self, data: bytes) -> None: ...
    async def end(self, data: bytes = b"") -> None: ...


def answer_headers(record: Record, upstream: Mapping[str, str], *, stream: bool, as_array: bool = False, content_type: str = "") -> Headers:
    """Status-200 headers: what we know of the route, and the provider's own rate limits. `content_type`: of bytes that pass as
    they are (a picture, a sound)."""
    headers = _ours(record)
    for name, value in upstream.items():
        if name.startswith(PASSED_ON):
            headers.append((name.encode("latin-1"), value.encode("latin-1", "replace")))
    if stream:
        kind = content_type or ("application/json" if as_array else "text/event-stream; charset=utf-8")
        headers.append((b"content-type", kind.encode("latin-1", "replace")))
        headers.append((b"cache-control", b"no-cache"))
        headers.append((b"x-accel-buffering", b"no"))
        return headers
    headers.append((b"content-type", (content_type or "application/json").encode("latin-1", "replace")))
    headers.append((b"x-omni-cost", (usd(nano(record.cost)) or "unknown").encode()))
    return headers


def _ours(record: Record) -> Headers:
    request_id = record.id.encode()
    headers: Headers = [
        (b"x-omni-request-id", request_id),
        # The names under which the OpenAI and Anthropic SDKs look for an id to show.
        (b"x-request-id", request_id),
        (b"request-id", request_id),
        (b"x-omni-attempts", str(len(record.attempts)).encode()),
    ]
    dropped = ", ".join(record.dropped) if record.dropped else ""
    headers += _named(record.provider or "", record.account_label or "", (record.model or "")[:MOST], record.route[:MOST], dropped[:MOST])
    return headers


@lru_cache(maxsize=1024)
def _named(provider: str, account: str, model: str, route: str, dropped: str) -> Sequence[tuple[bytes, bytes]]:
    """The same for every answer that went the same way. "" is not told."""
    named = (
        (b"x-omni-provider", provider),
        (b"x-omni-account", account),
        (b"x-omni-model", model),
        (b"x-omni-route", route),
        (b"x-omni-dropped", dropped),
    )
    return tuple((name, header_text(value)) for name, value in named if value)


def header_text(value: str) -> bytes:
    """Text as a header value: printable ASCII as it is, everything else percent-encoded (RFC 3986), bounded."""
    return _encoded(value[:MOST])


@lru_cache(maxsize=1024)
def _encoded(value: str) -> bytes:
    return quote(value, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")[:MOST].encode("ascii")


def error_answer(wire: str, error: GatewayError, record: Record | None) -> tuple[int, Headers, bytes]:
    """Status, headers and body of an error in the format of the endpoint."""
    headers = _ours(record) if record is not None else []
    headers.append((b"content-type", b"application/json"))
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return error.status, headers, lanes.error_body(wire, error)


def client_name(headers: Mapping[str, str]) -> str:
    """What the client calls itself, short: the first product of its User-Agent."""
    return headers.get("user-agent", "").split(" ", 1)[0][:80]


def lower(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI headers → names in lower case; a repeated header is joined by commas, as HTTP allows."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = _NAMES.get(raw_name) or _name(raw_name), raw_value.decode("latin-1")
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


_NAMES: dict[bytes, str] = {}
"""Names of headers as they come → in lower case. Clients use few, and may send any: only so many are remembered."""
MOST_NAMES = 1024
LONGEST_NAME = 64


def _name(raw: bytes) -> str:
    name = raw.decode("latin-1").lower()
    if len(_NAMES) < MOST_NAMES and len(raw) <= LONGEST_NAME:
        _NAMES[raw] = name
    return name
