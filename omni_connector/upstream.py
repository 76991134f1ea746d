"""Transport: the door to the providers. Only this module imports httpx2.

Direct HTTP/1.1 goes through our own lean client (`direct`; docs/performance.md has what that saves); whatever needs a
proxy goes through httpx2; the built-in demo provider answers in process, and commands are run. All give the same `Exchange`, and all
their exceptions become `GatewayError` through one table each, so the rooms above never see a library.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from omni_connector import direct
from omni_connector.command import Commands
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import demo
from omni_connector.providers.addresses import USER_AGENT
from omni_connector.values import quick
from omni_connector.within import Within

if TYPE_CHECKING:
    import httpx2  # loaded when a proxy is first used: 20 ms and 2 MB that few need

Json = dict[str, Any]

MAX_WHOLE = 256 * 1024 * 1024
"""Bytes of one whole answer; an upstream that never ends must not eat the memory."""

QUICKLY_S = 0.5
"""A connection that breaks within it, without an answer, had most likely been closed while it rested."""

_UNREACHABLE, _FAILED, _TIMEOUT = Kind.UPSTREAM_UNREACHABLE, Kind.UPSTREAM_FAILED, Kind.UPSTREAM_TIMEOUT

# The most specific class wins: rows are looked through in the order of the exception's own class tree (MRO).
HTTPX_FAULTS: Mapping[str, tuple[Kind, str]] = {
    "ConnectTimeout": (_TIMEOUT, "connecting took too long"),
    "PoolTimeout": (_TIMEOUT, "no connection became free in time"),
    "TimeoutException": (_TIMEOUT, "the provider did not answer in time"),
    "ConnectError": (_UNREACHABLE, "nothing answers at the address"),
    "ProxyError": (_UNREACHABLE, "the proxy refused the connection"),
    "UnsupportedProtocol": (_UNREACHABLE, "the address needs http:// or https://"),
    "InvalidURL": (_UNREACHABLE, "the address is not valid"),
    "NetworkError": (_UNREACHABLE, "the connection broke"),
    "RemoteProtocolError": (_FAILED, "the answer broke off or is not valid HTTP"),
    "HTTPError": (_FAILED, "the exchange failed"),
    "StreamError": (_FAILED, "the answer broke off"),
    "CookieConflict": (_FAILED, "the answer is not valid HTTP"),
}
"""By the names of httpx2's classes, which may not be loaded."""
OTHER_FAULTS: Mapping[type[BaseException], tuple[Kind, str]] = {
    TimeoutError: (_TIMEOUT, "the provider did not answer in time"),
    ssl.SSLError: (_UNREACHABLE, "the TLS handshake failed"),
    OSError: (_UNREACHABLE, "the connection broke"),
    ValueError: (_UNREACHABLE, "the address is not valid"),
}
_FAULTS = {**direct.FAULTS, **OTHER_FAULTS}


def fault(error: BaseException, host: str) -> GatewayError:
    """A library's exception → ours; raises any other as it is. The message names the host and the reason, never the whole URL (it may hold
    a key)."""
    for cls in type(error).__mro__:
        row = HTTPX_FAULTS.get(cls.__name__) if cls.__module__.startswith("httpx2") else _FAULTS.get(cls)
        if row is not None:
            kind, words = row
            return GatewayError(kind, f"{host}: {words}.")
    raise error


@quick(frozen=True, slots=True)
class UpstreamRequest:
    """One call, ready to send. `headers` hold the credential and are never logged."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    proxy_url: str = field(default="", repr=False)
    local: Json = field(default_factory=dict, repr=False)
    """`providers.local_options`; only read when the URL's scheme is demo: or command:."""
    once: bool = False
    """Never sent a second time, whatever breaks: it spends something (a refresh token, a code)."""


class Exchange(Protocol):
    """An answer being received. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The next bytes as soon as there are some, b"" at the end. Safe to cancel and call again. Raises GatewayError."""

    def close(self) -> None:
        """Let go: gives a finished connection back to the pool, aborts an unfinished one so that the provider notices."""


async def pass_on(exchange: Exchange, take: Callable[[bytes], bool]) -> bool:
    """Gives each piece of an answer to `take` as soon as it comes; of a direct connection without waking this task for it. True: `take`
    wants no more for now, False: this is the end. Safe to cancel and call again. Raises GatewayError, and whatever `take` does."""
    if isinstance(exchange, direct.Answer):
        return await exchange.pass_on(take)
    while piece := await exchange.read():
        if not take(piece):
            return True
    return False


def is_here(exchange: Exchange) -> bool:
    """Whether reading an answer waits for nothing, so that no deadline is needed."""
    return isinstance(exchange, direct.Answer) and exchange.is_here


class Begun:
    """An exchange whose first bytes were looked at."""

    def __init__(self, exchange: Exchange, first: bytes) -> None:
        self.status = exchange.status
        self.headers = exchange.headers
        self.first = first
        self._exchange = exchange
        self._told = False

    async def read(self) -> bytes:
        if self._told or not self.first:
            return await self._exchange.read()
        self._told = True
        return self.first

    def close(self) -> None:
        self._exchange.close()


async def read_all(
    exchange: Exchange, limit: int = MAX_WHOLE, *, idle: float | None = None, task: asyncio.Task[Any] | None = None
) -> bytes:
    """The whole body. Raises GatewayError when it breaks off, is larger than `limit` bytes (before it is read, if it says so) or
    falls silent for `idle` seconds. `task`: this one, see `Within`."""
    length = exchange.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    pieces: list[bytes] = []
    size = 0
    try:
        with Within(idle, task) as silence:
            while piece := await exchange.read():
                pieces.append(piece)
                size += len(piece)
                if size > limit:
                    raise _too_large(limit)
                if idle is not None:
                    silence.until(silence.now + idle)
    except TimeoutError as error:
        if idle is None:
            raise
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider fell silent for {idle:g} s in the middle of its answer.") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _too_large(limit: int) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_FAILED, f"The provider's answer is larger than {limit >> 20} MB.")


# ---------------------------------------------------------------- Proxies and other odd ways


class _HttpxExchange:
    """httpx2's byte iterator dies when a read is cancelled, so one task per answer pumps it into a queue of one."""

    def __init__(self, response: httpx2.Response, host: str) -> None:
        self._response = response
        self._host = host
        self.status = response.status_code
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._queue: asyncio.Queue[bytes | Exception] = asyncio.Queue(1)
        self._at_end = False
        self._pump = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async for piece in self._response.aiter_bytes():
                if piece:
                    await self._queue.put(piece)
            await self._queue.put(b"")
        except Exception as error:  # noqa: BLE001 - raised where it is read
            await self._queue.put(error)
        finally:
            await self._response.aclose()

    async def read(self) -> bytes:
        if self._at_end:
            return b""
        piece = await self._queue.get()
        if isinstance(piece, Exception):
            try:
                raise fault(piece, self._host) from piece
            finally:
                del piece  # it leads to this frame
        self._at_end = not piece
        return piece

    def close(self) -> None:
        self._pump.cancel()


# ---------------------------------------------------------------- The demo provider, in process


class _DemoExchange:
    """Plays a demo answer at its own pace: what a provider would send, without a network."""

    def __init__(self, answer: demo.DemoAnswer) -> None:
        self.status = answer.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}
        self._answer = answer
        self._chunks = iter(answer.chunks)
        self._next: tuple[float, bytes] | None = None

    async def read(self) -> bytes:
        if self._next is None:
            self._next = next(self._chunks, None)
        if self._next is None:
            if self._answer.stall:
                await asyncio.get_running_loop().create_future()
            if self._answer.cut:
                raise GatewayError(Kind.UPSTREAM_FAILED, "demo: the answer broke off.")
            return b""
        delay, piece = self._next
        if delay:
            await asyncio.sleep(delay)
        self._next = None
        return piece

    def close(self) -> None:
        self._chunks = iter(())


# ---------------------------------------------------------------- The door


class Upstream:
    """Owns the connection pools of a process, opened with the first call; `close` at the end."""

    def __init__(self, *, connect_timeout: float = 10.0, commands: Commands | None = None) -> None:
        """`commands`: None where no command may be run."""
        self.connect_timeout = connect_timeout
        self._commands = commands
        self._pool: direct.Pool | None = None
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._tls: ssl.SSLContext | None = None

    async def open(self) -> None:
        self._pool = direct.Pool(connect_timeout=self.connect_timeout, agent=USER_AGENT)
        # Only now: of several first calls at once, the others must find the pool, not open one more each.
        if self._commands is not None:
            await asyncio.to_thread(self._commands.tidy)

    async def close(self) -> None:
        if self._commands is not None:
            await self._commands.close()
        if self._pool is not None:
            await self._pool.close()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    @property
    def commands(self) -> Commands:
        """Raises GatewayError where no command may be run."""
        if self._commands is None:
            raise GatewayError(Kind.UPSTREAM_UNREACHABLE, "This process runs no commands.")
        return self._commands

    async def send(self, request: UpstreamRequest) -> Exchange:
        """Send and wait for status and headers. Redirects are not followed. Raises GatewayError.

        The caller bounds the waiting (`asyncio.timeout`); only connecting has its own deadline here.
        """
        if request.url.startswith("demo:"):
            return _DemoExchange(demo.respond(request.url, request.body, request.local))
        if request.url.startswith("command:"):
            return await self.commands.send(request.url, request.body, request.local)
        started = time.monotonic()
        try:
            try:
                return await self._begin(request)
            except (direct.Disconnected, direct.Reset, ConnectionResetError):
                # A pooled connection that the provider closed in the same moment: nothing was answered, and so quickly that
                # nothing can have been worked on. One new connection is worth it; later breaks are real failures.
                if request.once or time.monotonic() - started > QUICKLY_S:
                    raise
                return await self._begin(request, fresh=True)
        except Exception as error:
            raise fault(error, _host(request.url)) from error

    async def _begin(self, request: UpstreamRequest, *, fresh: bool = False) -> Exchange:
        if request.proxy_url:
            return _HttpxExchange(await self._post_by_proxy(request), _host(request.url))
        if self._pool is None:
            await self.open()
        return await self._post(request, fresh)

    async def _post(self, request: UpstreamRequest, fresh: bool) -> Exchange:
        assert self._pool is not None
        return await self._pool.ask(request.method, request.url, request.headers, request.body, fresh=fresh)

    async def _post_by_proxy(self, request: UpstreamRequest) -> httpx2.Response:
        client = await self._client(request.proxy_url)
        import httpx2

        outgoing = client.build_request(request.method, request.url, headers=dict(request.headers), content=request.body)
        try:
            return await client.send(outgoing, stream=True)
        except (httpx2.RemoteProtocolError, httpx2.ReadError) as error:
            if isinstance(error, httpx2.RemoteProtocolError) and "disconnected" not in str(error):
                raise
            raise ConnectionResetError(str(error)) from error  # no bad HTTP, but none: it has no class of its own

    async def _client(self, proxy_url: str) -> httpx2.AsyncClient:
        if self._tls is None:  # each client would read the roots twice, at 20 ms
            self._tls = await asyncio.to_thread(_trusted)
        import httpx2

        if proxy_url not in self._clients:
            timeout = httpx2.Timeout(connect=self.connect_timeout, read=None, write=60, pool=self.connect_timeout)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=50)
            self._clients[proxy_url] = httpx2.AsyncClient(
                proxy=proxy_url, verify=self._tls, timeout=timeout, limits=limits, trust_env=False, http2=True, follow_redirects=False
            )
        return self._clients[proxy_url]

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        """A small whole exchange (model lists, balances): status, headers, body. `within` seconds for all of it."""
        try:
            async with asyncio.timeout(within):
                exchange = await self.send(request)
                try:
                    return exchange.status, exchange.headers, await read_all(exchange, 32 * 1024 * 1024)
                finally:
                    exchange.close()
        except TimeoutError as error:
            raise fault(error, _host(request.url)) from error


def _trusted() -> ssl.SSLContext:
    """In a thread: the library is loaded and the roots are read."""
    import httpx2

    return httpx2.create_ssl_context(trust_env=False)


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]


# ---------------------------------------------------------------- The command line talks to the running server


LONG = ("/api/backup", "/api/prices/reprice")
"""Whose answer takes as long as the database is large."""


SILENT_S = 60
"""A server that runs says something every 15 seconds."""


class AdminClient:
    """The admin API of a running server, for the command line. A listener of ours that speaks TLS may do so with a certificate of its own
    making, and under another name than we call it by: we ask the address that our own file names."""

    def __init__(self, url: str, key: str) -> None:
        import httpx2

        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(60, connect=2),
            trust_env=False,
            verify=False,
        )

    async def request(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Status and JSON answer. Raises GatewayError (UPSTREAM_UNREACHABLE) when the server does not answer."""
        import httpx2

        try:
            patience = httpx2.Timeout(None, connect=2) if path in LONG else self._client.timeout
            response = await self._client.request(method, path, json=body, timeout=patience)
        except Exception as error:
            raise fault(error, str(self._client.base_url.host)) from error
        try:
            answer = response.json()
        except json.JSONDecodeError:
            answer = {"error": {"message": response.text[:500]}}
        return response.status_code, answer if isinstance(answer, dict) else {"data": answer}

    async def lines(self, path: str) -> AsyncIterator[str]:
        """The lines of a streamed answer (server-sent events), for `logs -f`. Raises GatewayError also when it falls silent, without so
        much as a sign of life, and for another status than 200 (code "refused", with the words of the answer)."""
        import httpx2

        try:
            async with self._client.stream("GET", path, timeout=httpx2.Timeout(SILENT_S, connect=2)) as response:
                if response.status_code != 200:
                    words = (await response.aread())[:2000].decode("utf-8", "replace")
                    raise GatewayError(Kind.BAD_REQUEST, words, upstream_status=response.status_code, code="refused")
                async for line in response.aiter_lines():
                    yield line
        except Exception as error:
            raise fault(error, str(self._client.base_url.host)) from error

    async def close(self) -> None:
        await self._client.aclose()


def admin_client(url: str, key: str) -> AdminClient:
    """A client for the admin API at `url` (http://127.0.0.1:38471)."""
    return AdminClient(url, key)
