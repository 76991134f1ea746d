"""Pictures, documents and sounds that a request names by address, fetched for providers that take bytes only.

The address is a client's word, so it may lead nowhere but to the public internet: every host of every hop is looked up here,
non-public addresses are dropped, and the connection goes to one of the addresses that were checked, so a name that
changes its mind between check and use (DNS rebinding) gains nothing. Literal addresses, which the transport never looks up,
are checked by themselves. Own User-Agent, no cookies, no credentials, no proxy; size and time are bounded.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any

from omni_connector.direct import Answer, DirectError, Names, Pool, Trust, faults
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.providers.addresses import USER_AGENT
from omni_connector.values import dataclass

if TYPE_CHECKING:
    from yarl import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → its addresses. Raises OSError for an unknown name."""

MOST_REDIRECTS = 3
AT_ONCE = 4
"""Addresses of one request that are fetched at the same time."""
MOST = 500
"""Addresses of one request: no provider takes more pictures by address, and nobody shall make us knock at a million doors."""

ANSWER = 64 * 1024
"""Bytes that are read of the answer to something sent: receipts are short."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEADERS: Mapping[str, str] = {
    "user-agent": USER_AGENT,
    "accept": "image/*, audio/*, application/pdf, text/plain;q=0.8, */*;q=0.1",
    "accept-encoding": "identity",
}

# ---------------------------------------------------------------- Tables

# The special-purpose registries of IANA (RFC 6890), kept here because Python's `is_global` differs between its versions and
# calls multicast global. Not in them: 192.88.99.0/24 (6to4 relays, RFC 7526) and the one public address that Azure's
# virtual machines have their metadata service at.
_PUBLIC_6 = ipaddress.ip_network("2000::/3")
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
        # Inside 2000::/3: IETF protocols with Teredo, documentation, 6to4. NAT64 and mapped addresses lie outside of it.
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
)  # fmt: skip
_OWN = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "::1/128")
)
"""What `allow_private` opens: an operator's own network and this machine."""
_METADATA = frozenset({"100.100.100.200", "fd00:ec2::254"})
"""Where clouds tell a machine its secrets, inside `_OWN`. No picture was ever kept there."""

_CLOSING = {"connection": "close"}

_MAGIC: Sequence[tuple[re.Pattern[bytes], str]] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.S), "image/webp"),
    (re.compile(rb"II\*\0|MM\0\*"), "image/tiff"),
    (re.compile(rb"....ftypavi[fs]", re.S), "image/avif"),
    (re.compile(rb"....ftyp(?:hei[cx]|mif1|msf1)", re.S), "image/heic"),
    (re.compile(rb"%PDF-"), "application/pdf"),
    (re.compile(rb"RIFF....WAVE", re.S), "audio/wav"),
    (re.compile(rb"ID3"), "audio/mpeg"),
    (re.compile(rb"OggS"), "audio/ogg"),
    (re.compile(rb"fLaC"), "audio/flac"),
    (re.compile(rb"....ftypM4A", re.S), "audio/mp4"),
)
"""First bytes → media type. They are believed before the header: providers refuse a WebP that is called a JPEG."""
_ACCEPTED = re.compile(r"(?:image|audio)/[a-z0-9.+-]+|application/pdf|text/plain")
_SAYS_NOTHING = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/x-download"})

_REASONS: Mapping[type[BaseException], str] = {
    faults.NameUnknown: "the host name is unknown",
    faults.CertificateInvalid: "its TLS certificate is not valid",
    faults.HandshakeFailed: "the TLS handshake failed",
    faults.NothingAnswers: "nothing answers there",
    faults.BrokenOff: "the answer broke off",
    faults.NotHttp: "the answer is not valid HTTP",
    DirectError: "the connection failed",
    OSError: "the connection failed",
    ValueError: "the address is not valid",
    zlib.error: "the compressed bytes are damaged",
}
"""The most specific class wins (MRO)."""
_CAUGHT = (DirectError, OSError, ValueError, zlib.error)


@dataclass(frozen=True, slots=True)
class Fetched:
    """`media_type` is what the bytes are: image/*, audio/*, application/pdf or text/plain (then UTF-8)."""

    media_type: str
    data: bytes = field(repr=False)


# ---------------------------------------------------------------- Where it may lead


def is_allowed(address: str, allow_private: bool = False) -> bool:
    """May this literal address be connected to? Anything that is not plainly an address is not. IPv4 inside IPv6 counts as the
    IPv4 address where the system would connect to that (::ffff:a.b.c.d); other kinds of wrapping are never allowed."""
    try:
        ip: Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        ip = ip.ipv4_mapped or ip
    if (ip.version == 4 or ip in _PUBLIC_6) and not any(ip in network for network in _NOT_PUBLIC):
        return True
    return allow_private and str(ip) not in _METADATA and any(ip in network for network in _OWN)


async def look_up(host: str, port: int) -> Sequence[str]:
    """The system's own answer."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _checking(lookup: Lookup, allow_private: bool) -> Names:
    """Only addresses that may be connected to: what is checked here is what is connected to."""

    async def look(host: str, port: int) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        found = await lookup(host, port)
        good = [text for text in dict.fromkeys(found) if is_allowed(text, allow_private)]
        if found and not good:
            raise _refused(host)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port, 0, 0))
            if ":" in text
            else (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, port))
            for text in good
        ]

    return Names(look, kept_s=0)


_NUMERIC = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.I)
"""A host whose last label is a number is an address to every resolver (URL standard, "ends in a number"): 127.1, 0x7f.1,
2130706433, 0177.0.0.1."""


def _checked(text: str, allow_private: bool, base: URL | None = None) -> URL:
    """An address that may be asked. Parsed as the transport does, so both mean the same host. Raises GatewayError."""
    from yarl import URL  # 4 MB that most never need

    try:
        url = URL(text) if base is None else base.join(URL(text))
        host, port = url.raw_host, url.port
    except ValueError as error:
        raise _cannot(_host(text), _reason(error)) from error
    if url.scheme not in ("http", "https"):
        raise _cannot(host or _host(text), "only http:// and https:// addresses are fetched")
    if not host or not port:
        raise _cannot(_host(text), "the address is not valid")
    if url.raw_user is not None or url.raw_password is not None:
        raise _cannot(host, "the address holds credentials, which are not sent")
    if (":" in host or _NUMERIC.fullmatch(host)) and not is_allowed(host, allow_private):
        raise _refused(host)
    return url


def check_address(text: str, allow_private: bool) -> URL:
    """An http(s) address that something may be sent to, as far as its words tell; where its name leads is checked when connecting.
    Raises GatewayError (BAD_REQUEST) in words that name the host only."""
    try:
        return _checked(text, allow_private)
    except GatewayError as error:
        raise _plain(error, _host(text)) from error


# ---------------------------------------------------------------- The way there


class PublicFetcher:
    """Fetches what clients name by address. Keeps nothing open between calls."""

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup
        self._trust = Trust()

    async def fetch_public(self, url: str, *, limit_bytes: int, within_s: float, allow_private: bool = False) -> Fetched:
        """One address, redirects included. `within_s` seconds for all of it, `limit_bytes` after decompression.

        Raises GatewayError (BAD_REQUEST) in words that name the host, the reason and the fix; the caller sets `param`.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self._follow(url, limit_bytes, allow_private)
        except TimeoutError as error:
            raise _cannot(_host(url), "it did not arrive in time") from error

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, within_s: float, allow_private: bool = False
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Sends bytes to an address that a person gave, once and without following redirects: status, headers (names in lower case)
        and the first ANSWER bytes of what comes back.

        Raises GatewayError: BAD_REQUEST for an address that may not be asked, else UPSTREAM_UNREACHABLE or UPSTREAM_TIMEOUT. Its words
        name the host, never the address, which may be a secret as a whole.
        """
        try:
            async with asyncio.timeout(within_s):
                return await self._post(check_address(url, allow_private), headers, body, allow_private)
        except TimeoutError as error:
            raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"{_host(url)[:200]}: no answer within {within_s:g} s.") from error

    async def _post(self, url: URL, headers: Mapping[str, str], body: bytes, allow_private: bool) -> tuple[int, Mapping[str, str], bytes]:
        try:
            async with self._pool(allow_private) as pool:
                answer = await pool.ask("POST", str(url), {**headers, **_CLOSING}, body, unpacks=False)
                return answer.status, answer.headers, await _beginning(answer)
        except GatewayError as error:  # the resolver's
            raise _plain(error, url.host or "") from error
        except _CAUGHT as error:
            if isinstance(error, TimeoutError):
                raise
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, f"{(url.host or '')[:200]}: {_reason(error)}.") from error

    @asynccontextmanager
    async def _pool(self, allow_private: bool) -> AsyncIterator[Pool]:
        # A pool of its own: no connection is left over that was made under another rule or for another client.
        pool = Pool(connect_timeout=None, agent=USER_AGENT, names=_checking(self._lookup, allow_private), trust=self._trust)
        try:
            yield pool
        finally:
            await pool.close()

    async def fetch_all(
        self, urls: Iterable[str], *, limit_bytes: int, within_s: float, allow_private: bool = False
    ) -> dict[str, tuple[str, str]]:
        """All addresses of one request → {url: (media type, base64)}, as `wire.media_urls.with_bytes` takes them. Size and time
        bound all of them together. Raises GatewayError (BAD_REQUEST) for the first that fails; the others are dropped."""
        wanted = tuple(dict.fromkeys(urls))
        if len(wanted) > MOST:
            raise bad_request(f"The request names {len(wanted)} files by address; {MOST} are the most. Send them as base64.")
        until = asyncio.get_running_loop().time() + within_s
        gate = asyncio.Semaphore(AT_ONCE)
        found: dict[str, tuple[str, str]] = {}
        left = limit_bytes

        async def one(url: str) -> None:
            nonlocal left
            async with gate:
                rest = until - asyncio.get_running_loop().time()
                fetched = await self.fetch_public(url, limit_bytes=limit_bytes, within_s=rest, allow_private=allow_private)
            left -= len(fetched.data)
            if left < 0:
                raise _too_large(_host(url), limit_bytes)
            found[url] = (fetched.media_type, base64.b64encode(fetched.data).decode("ascii"))

        try:
            async with asyncio.TaskGroup() as group:
                for url in wanted:
                    group.create_task(one(url))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return found

    async def _follow(self, text: str, limit: int, allow_private: bool) -> Fetched:
        url = _checked(text, allow_private)
        async with self._pool(allow_private) as pool:
            for _ in range(MOST_REDIRECTS + 1):
                try:
                    answer = await pool.ask("GET", str(url), {**HEADERS, **_CLOSING}, b"", unpacks=False)
                    target = answer.headers.get("location") if answer.status in REDIRECTS else None
                    if target is None:
                        return await _take(answer, url.host or "", limit)
                    answer.close()
                except _CAUGHT as error:
                    if isinstance(error, TimeoutError):
                        raise
                    raise _cannot(url.host or "", _reason(error)) from error
                url = _checked(target, allow_private, url)
        raise _cannot(_host(text), f"it redirects more than {MOST_REDIRECTS} times")


# ---------------------------------------------------------------- What came


async def _take(response: Answer, host: str, limit: int) -> Fetched:
    if response.status != 200:
        raise _cannot(host, f"it answers {response.status}")
    declared, _, parameters = response.headers.get("content-type", "").lower().partition(";")
    declared = declared.strip()
    if declared not in _SAYS_NOTHING and not _ACCEPTED.fullmatch(declared):
        raise _cannot(host, f"it is {declared[:80]!r}, not a picture, a PDF, a sound or plain text")
    length = response.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(host, limit)
    data = await _read(response, host, limit)
    if not data:
        raise _cannot(host, "it is empty")
    media_type = next((kind for mark, kind in _MAGIC if mark.match(data)), declared)
    if media_type in _SAYS_NOTHING:
        raise _cannot(host, "it does not say what it is, and its bytes are no known picture, PDF or sound")
    return Fetched(media_type, _as_utf8(data, parameters) if media_type == "text/plain" else data)


async def _read(response: Answer, host: str, limit: int) -> bytes:
    """The body, unpacked where a server packs it unasked: never more than `limit` bytes, however small they came."""
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise _cannot(host, f"it is compressed by {coding[:20]!r}, which nobody asked for")
    inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if coding not in ("identity", "") else None
    data = bytearray()
    while piece := await _next(response):
        data += piece if inflater is None else inflater.decompress(piece, limit + 1 - len(data))
        if len(data) > limit:
            raise _too_large(host, limit)
        if inflater is not None and inflater.eof:
            break  # what follows would be kept unread, and without bounds
    if inflater is not None and not inflater.eof:
        raise _cannot(host, _REASONS[zlib.error])
    return bytes(data)


async def _next(response: Answer) -> bytes:
    """As `read`, but with the transport's own reason: the words are another's here."""
    try:
        return await response.read()
    except GatewayError as error:
        if isinstance(error.__cause__, DirectError):
            raise error.__cause__ from None
        raise


async def _beginning(response: Answer) -> bytes:
    data = bytearray()
    while piece := await _next(response):
        data += piece
        if len(data) >= ANSWER:
            break
    return bytes(data[:ANSWER])


_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]+)")


def _as_utf8(data: bytes, parameters: str) -> bytes:
    """Text in UTF-8, which is what every provider reads. An unknown charset is left as it came."""
    named = _CHARSET.search(parameters)
    try:
        return data.decode(named[1], "replace").encode() if named else data
    except (LookupError, UnicodeError):
        return data


# ---------------------------------------------------------------- Words


def _cannot(host: str, reason: str) -> GatewayError:
    words = f"The file at {host[:200]} cannot be fetched: {reason}. Send it as base64."
    return GatewayError(Kind.BAD_REQUEST, words, details={"reason": reason})


def _refused(host: str) -> GatewayError:
    return _cannot(host, "it is not an address on the public internet")


def _plain(error: GatewayError, host: str) -> GatewayError:
    """The same where nothing is fetched, so that nothing could be sent as base64 instead."""
    return bad_request(f"{host[:200] or 'the address'}: {error.details['reason']}.")


def _too_large(host: str, limit: int) -> GatewayError:
    size = f"{limit / (1 << 20):.3g} MB" if limit >= 1 << 20 else f"{limit} bytes"
    return _cannot(host, f"it is larger than the {size} that a request may have fetched")


def _reason(error: BaseException) -> str:
    return next((_REASONS[cls] for cls in type(error).__mro__ if cls in _REASONS), "the connection failed")


def _host(url: str) -> str:
    """Host and port of whatever a client wrote, for messages: never the path or query, which may hold a secret."""
    return re.split(r"[/?#\\]", url.split("://", 1)[-1], maxsplit=1)[0].rsplit("@", 1)[-1]
