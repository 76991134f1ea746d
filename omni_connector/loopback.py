"""Short-lived listeners on this machine for providers whose registration demands a port of its own (RFC 8252, section 7.3).

Several sign-ins share a port; it is closed when none waits for it any more. Only the paths that are waited for are known, each answers
one small page, and nothing of the address is repeated in it.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import hashlib
import html
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field

from omni_connector.values import dataclass

log = logging.getLogger("omni.loopback")

ADDRESSES = ("127.0.0.1", "::1")
"""Both, because a browser takes either for `localhost`."""
NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""This machine has no IPv6, or no such loopback: nobody else can listen there either."""
NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
MAX_HEAD = 32 * 1024
"""Bytes of a request line with its headers; codes and states are at most a few thousand long."""
READ_S = 10.0
MOST_OPEN = 32
ANY_PORT = 0

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:16vh auto;padding:0 1.5rem;color:#1d1c1a;background:#f7f6f3}"
    "h1{font-size:1.25rem;margin:0 0 .5rem}p{margin:0}@media(prefers-color-scheme:dark){body{color:#f4f2ee;background:#1d1c1a}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Mapping[str, str] = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}
"""Of every page that ends a sign-in. The referrer would carry the code on."""
REASONS: Mapping[int, str] = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request"}


@dataclass(frozen=True, slots=True)
class Page:
    """What the browser is told at the end of a sign-in, in words."""

    ok: bool
    title: str
    words: str

    @property
    def status(self) -> int:
        return 200 if self.ok else 400

    def html(self) -> bytes:
        title, words = html.escape(self.title), html.escape(self.words)
        head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
        return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1><p>{words}</p></body></html>'.encode()


Answer = Callable[[str], Awaitable[Page]]
"""The query of the address that the provider sent the browser to → the page."""


@dataclass(slots=True)
class _Port:
    number: int
    servers: list[asyncio.Server]
    waiting: dict[str, str] = field(default_factory=dict)
    """Sign-in → the path it waits for."""


class Loopback:
    """The listeners of one process. `answer` gets what came back and says what the page tells."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._ports: dict[int, _Port] = {}
        self._lock = asyncio.Lock()
        self._open = 0

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(self._ports)

    def port_of(self, flow_id: str) -> int | None:
        return next((port.number for port in self._ports.values() if flow_id in port.waiting), None)

    async def listen(self, flow_id: str, ports: Sequence[int], path: str) -> int | None:
        """Waits for `path` on the first of `ports` that is free or already ours; None when other programs hold them all.
        ANY_PORT takes whichever is free."""
        async with self._lock:
            for number in ports:
                port = self._ports.get(number) or await self._bind(number)
                if port is not None:
                    self._ports[port.number] = port
                    port.waiting[flow_id] = path
                    return port.number
        return None

    async def release(self, flow_id: str) -> None:
        """The sign-in needs its port no longer; the last one closes it."""
        async with self._lock:
            for port in list(self._ports.values()):
                port.waiting.pop(flow_id, None)
                if not port.waiting:
                    del self._ports[port.number]
                    _shut(port)

    async def close(self) -> None:
        async with self._lock:
            for port in self._ports.values():
                _shut(port)
            self._ports.clear()

    async def _bind(self, number: int) -> _Port | None:
        port = _Port(number, [])
        for address in ADDRESSES:
            try:
                server = await asyncio.start_server(lambda r, w: self._serve(port, r, w), address, port.number, limit=MAX_HEAD)
            except OSError as error:
                if error.errno in NO_SUCH_ADDRESS:
                    continue
                log.info("port %s of %s cannot be used: %s", number, address, error.strerror)
                _shut(port)
                return None
            port.servers.append(server)
            port.number = server.sockets[0].getsockname()[1]
        return port if port.servers else None

    # ------------------------------------------------------------ one request

    async def _serve(self, port: _Port, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_OPEN:
                async with asyncio.timeout(READ_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                status, page = await self._told(port, head)
                writer.write(_response(status, page, with_body=not head.startswith(b"HEAD ")))
                await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a browser's spare connection, or no browser at all
        finally:
            self._open -= 1
            writer.close()

    async def _told(self, port: _Port, head: bytes) -> tuple[int, Page]:
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        target = rest.rpartition(" ")[0]
        hosts = [line.partition(":")[2].strip().lower() for line in lines[1:] if line.lower().startswith("host:")]
        if len(hosts) != 1 or hosts[0].removesuffix(f":{port.number}") not in NAMES:
            # A page of another site that points its own name at this machine.
            return 421, Page(False, "Not here", "This address is only for sign-ins on this machine.")
        path, _, query = target.partition("?")
        if path not in port.waiting.values():
            return 404, Page(False, "Nothing here", "No sign-in waits at this address.")
        if method != "GET":
            return 405, Page(False, "Not this way", "This address is only opened by a provider's sign-in page.")
        page = await self._answer(query)
        return page.status, page


def _shut(port: _Port) -> None:
    """No new connections; one that is being answered ends by itself."""
    for server in port.servers:
        server.close()


def _response(status: int, page: Page, *, with_body: bool) -> bytes:
    body = page.html()
    named = {**HEADERS, "content-length": str(len(body)), "connection": "close"}
    head = f"HTTP/1.1 {status} {REASONS[status]}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items()) + "\r\n"
    return head.encode("ascii") + (body if with_body else b"")
