"""Transport: every foreign exception has a kind; the three ways give the same exchange."""

from __future__ import annotations

import asyncio
import inspect
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import aiohttp
import httpx2
import pytest
from aiohttp import web

from omni_connector import direct
from omni_connector.command import Commands
from omni_connector.direct import Pool, faults
from omni_connector.errors import GatewayError, Kind
from omni_connector.upstream import AdminClient, Begun, Exchange, Upstream, UpstreamRequest, _HttpxExchange, fault, read_all
from tests.forwarding import Forwarder

# Raised only where this code never goes: web sockets, server side, multipart parsing, reading a body twice, SSE helpers.
OUTSIDE = {
    "EofStream", "WebSocketError", "WSMessageTypeError", "BadContentDispositionHeader", "BadContentDispositionParam",
    "UploadAbortedError", "SSEError", "CloseError", "GatewayError",
}  # fmt: skip


@pytest.mark.parametrize("library, least", [(faults, 10), (httpx2, 15)])
def test_every_exception_of_the_libraries_is_mapped(library: object, least: int) -> None:
    classes = [c for name, c in vars(library).items() if inspect.isclass(c) and issubclass(c, Exception) and name not in OUTSIDE]
    assert len(classes) > least
    for cls in classes:
        if issubclass(cls, Warning):
            continue
        error: BaseException = cls.__new__(cls)
        assert isinstance(fault(error, "h"), GatewayError), cls


def test_what_is_no_library_s_stays_what_it_is() -> None:
    with pytest.raises(KeyError) as met:
        fault(KeyError("ours"), "h")
    assert met.value.args == ("ours",)


def test_the_general_client_is_loaded_when_a_proxy_needs_it() -> None:
    said = "import sys, omni_connector.upstream; print([name for name in sys.modules if name.startswith('httpx2')])"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, check=True, text=True, timeout=30).stdout == "[]\n"


def test_the_most_specific_class_decides() -> None:
    assert fault(faults.ConnectTimeout(), "h").kind is Kind.UPSTREAM_TIMEOUT
    assert fault(httpx2.ConnectTimeout("x"), "h").kind is Kind.UPSTREAM_TIMEOUT
    assert fault(httpx2.ReadError("x"), "h").kind is Kind.UPSTREAM_UNREACHABLE
    assert fault(faults.BrokenOff(), "h").kind is Kind.UPSTREAM_FAILED
    assert "secret" not in fault(ValueError("http://secret"), "h").message


@pytest.fixture
async def server() -> AsyncIterator[str]:
    met: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/cut":
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"half")
            assert request.transport is not None
            request.transport.abort()
            return response
        if request.path == "/drop":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if request.path == "/closed-meanwhile":
            met.append(request.path)
            if len(met) % 2:
                assert request.transport is not None
                request.transport.close()
        if request.path == "/pieces":
            response = web.StreamResponse()
            await response.prepare(request)
            for piece in (b"one", b"two"):
                await response.write(piece)
                await asyncio.sleep(0.005)
            await response.write_eof()
            return response
        if request.path == "/cookie":
            answer = web.Response(text=request.headers.get("cookie", "no cookie"))
            answer.set_cookie("session", "of-another-request")
            return answer
        if request.path == "/away":
            return web.Response(status=302, headers={"location": "http://example.invalid/"})
        return web.json_response(
            {"echo": (await request.read()).decode(), "agent": request.headers.get("user-agent")}, headers={"X-Thing": "1"}
        )

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(params=["direct", "through a proxy"])
async def by(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The proxy to take: none for our own client, one for the general client."""
    if request.param == "direct":
        yield ""
        return
    forwarder = Forwarder()
    await forwarder.start()
    yield forwarder.url
    assert forwarder.taken, "nothing went through it"
    await forwarder.stop()


async def test_an_exchange(server: str, by: str) -> None:
    upstream = Upstream()
    asked = UpstreamRequest("POST", f"{server}/x", {"user-agent": "me"}, b"hi", proxy_url=by)
    status, headers, body = await upstream.fetch(asked, 5)
    assert status == 200
    assert headers["x-thing"] == "1"
    assert b'"hi"' in body and b'"me"' in body
    exchange = await upstream.send(UpstreamRequest("GET", f"{server}/pieces", {}, proxy_url=by))
    assert await read_all(exchange) == b"onetwo"
    exchange.close()
    redirect = await upstream.send(UpstreamRequest("GET", f"{server}/away", {}, proxy_url=by))
    assert redirect.status == 302  # never followed: the credential belongs to the address it was given for
    redirect.close()
    await upstream.close()


async def test_an_answer_that_says_it_is_too_large_is_not_read(server: str, by: str) -> None:
    upstream = Upstream()
    exchange = await upstream.send(UpstreamRequest("POST", f"{server}/echo", {}, b"x" * 2000, proxy_url=by))
    with pytest.raises(GatewayError, match="larger than 0 MB") as refused:
        await read_all(exchange, 1000)
    assert refused.value.kind is Kind.UPSTREAM_FAILED
    assert await read_all(exchange) != b"", "something was read"
    exchange.close()
    await upstream.close()


@pytest.mark.parametrize(("path", "kind"), [("/cut", Kind.UPSTREAM_FAILED), ("/drop", Kind.UPSTREAM_UNREACHABLE)])
async def test_a_broken_exchange_says_whose_fault_it_is(server: str, by: str, path: str, kind: Kind) -> None:
    upstream = Upstream()
    with pytest.raises(GatewayError) as broken:
        await upstream.fetch(UpstreamRequest("GET", server + path, {}, proxy_url=by), 5)
    assert broken.value.kind is kind
    await upstream.close()


async def test_an_error_that_nobody_foresaw_ends_the_reading() -> None:
    class Response:
        status_code, headers = 200, httpx2.Headers()

        async def aiter_bytes(self) -> AsyncIterator[bytes]:
            yield b"a"
            raise KeyError("within the library")

        async def aclose(self) -> None:
            pass

    exchange = _HttpxExchange(cast(httpx2.Response, Response()), "h")
    async with asyncio.timeout(5):
        assert await exchange.read() == b"a"
        with pytest.raises(KeyError):
            await exchange.read()
    exchange.close()


async def test_proxies_share_what_is_slow_to_make(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the roots of TLS takes longer than many an answer."""
    made: list[ssl.SSLContext] = []
    real = ssl.SSLContext.load_verify_locations

    def counted(self: ssl.SSLContext, *given: Any, **named: Any) -> None:
        made.append(self)
        real(self, *given, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", counted)
    upstream, forwarder = Upstream(), Forwarder()
    await forwarder.start()
    for user in ("a", "b"):
        proxy_url = forwarder.url.replace("//", f"//{user}:password@")
        assert (await upstream.fetch(UpstreamRequest("GET", f"{server}/x", {}, proxy_url=proxy_url), 5))[0] == 200
    await upstream.close()
    await forwarder.stop()
    assert len(made) <= 1


async def test_a_connection_that_was_closed_meanwhile_is_worth_a_new_one(server: str, by: str) -> None:
    """Unless what is sent may be sent only once."""
    upstream = Upstream()
    asked = UpstreamRequest("POST", f"{server}/closed-meanwhile", {}, b"x", proxy_url=by)
    assert (await upstream.fetch(asked, 5))[0] == 200
    with pytest.raises(GatewayError, match=r"closed the connection|connection broke"):
        await upstream.fetch(replace(asked, once=True), 5)
    await upstream.close()


async def test_nobody_there_and_too_slow() -> None:
    upstream = Upstream(connect_timeout=2)
    with pytest.raises(GatewayError) as refused:
        await upstream.fetch(UpstreamRequest("GET", "http://127.0.0.1:9/", {}), 5)
    assert refused.value.kind is Kind.UPSTREAM_UNREACHABLE
    with pytest.raises(GatewayError) as nameless:
        await upstream.fetch(UpstreamRequest("GET", "http://nowhere.invalid/", {}), 5)
    assert nameless.value.kind is Kind.UPSTREAM_UNREACHABLE

    silent = socket.create_server(("127.0.0.1", 0))  # connects, and nobody ever answers
    port = silent.getsockname()[1]
    with pytest.raises(GatewayError) as slow:
        await upstream.fetch(UpstreamRequest("GET", f"http://127.0.0.1:{port}/", {}), 0.05)
    assert slow.value.kind is Kind.UPSTREAM_TIMEOUT
    silent.close()
    await upstream.close()


async def test_through_a_proxy_the_same_bytes_arrive(server: str) -> None:  # P-36
    """A forward proxy of our own on loopback; the general client is used for it."""

    async def handle(request: web.Request) -> web.Response:
        async with aiohttp.ClientSession() as session, session.request(request.method, request.url) as answer:
            return web.Response(body=await answer.read(), headers={"x-by": "proxy"})

    forward = web.Server(handle)
    runner = web.ServerRunner(forward)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    upstream = Upstream()
    status, headers, body = await upstream.fetch(UpstreamRequest("GET", f"{server}/pieces", {}, proxy_url=proxy_url), 5)
    assert (status, headers["x-by"], body) == (200, "proxy", b"onetwo")
    await upstream.close()
    await runner.cleanup()


async def test_the_demo_provider_needs_no_network() -> None:
    upstream = Upstream()
    body = b'{"model":"demo-chat","messages":[{"role":"user","content":"hello"}]}'
    exchange = await upstream.send(
        UpstreamRequest("POST", "demo://local/chat/completions", {}, body, local={"latency_ms": 0, "chunk_ms": 0})
    )
    assert exchange.status == 200
    assert b"demo" in await read_all(exchange)
    exchange.close()


async def test_admin_client_speaks_json_and_names_a_dead_server(server: str) -> None:
    client = AdminClient(server, "omniadm-x")
    status, answer = await client.request("POST", "/api/x", {"a": 1})
    assert status == 200 and answer["echo"] == '{"a":1}'
    await client.close()
    dead = AdminClient("http://127.0.0.1:9", "omniadm-x")
    with pytest.raises(GatewayError):
        await dead.request("GET", "/api/x")
    await dead.close()


async def test_an_exchange_whose_first_bytes_were_looked_at(server: str) -> None:
    upstream = Upstream()
    exchange = await upstream.send(UpstreamRequest("GET", f"{server}/pieces", {}))
    begun = Begun(exchange, await exchange.read())
    assert begun.status == 200 and begun.first
    assert (await read_all(begun), await begun.read()) == (b"onetwo", b"")
    begun.close()
    await upstream.close()


async def test_first_calls_at_once_share_one_pool(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Pool] = []

    def counted(*args: Any, **named: Any) -> Pool:
        opened.append(Pool(*args, **named))
        return opened[-1]

    monkeypatch.setattr("omni_connector.direct.Pool", counted)
    upstream = Upstream(commands=Commands(tmp_path, {}))
    await asyncio.gather(*(upstream.fetch(UpstreamRequest("GET", f"{server}/pieces", {}), 5) for _ in range(4)))
    await upstream.close()
    assert len(opened) == 1


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    found = Upstream()
    await found.open()
    yield found
    await found.close()


async def test_an_answer_that_never_ends_is_not_kept(server: str, upstream: Upstream) -> None:
    """It has not said how long it is."""
    exchange = await upstream.send(UpstreamRequest("GET", f"{server}/pieces", {}))
    with pytest.raises(GatewayError, match="larger than") as refused:
        await read_all(exchange, 4)
    assert refused.value.kind is Kind.UPSTREAM_FAILED
    exchange.close()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_what_stands_around_us_says_nothing_to_providers(
    server: str, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No proxy of the environment, no cookie of an earlier answer; and a large body follows no redirect either."""
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    for _ in range(2):
        status, _, body = await upstream.fetch(UpstreamRequest("POST", f"{server}/cookie", {}), 5)
        assert (status, body) == (200, b"no cookie")
    exchange = await upstream.send(UpstreamRequest("POST", f"{server}/away", {}, b"x" * (direct.SLICE + 1)))
    assert exchange.status == 302
    exchange.close()


@pytest.mark.parametrize(("once", "times"), [(True, 1), (False, 2)])
async def test_what_spends_something_is_never_sent_twice(upstream: Upstream, once: bool, times: int) -> None:
    """A connection that broke before any answer is worth a second one, but for a refresh token or a code."""
    sent: list[UpstreamRequest] = []

    async def post(request: UpstreamRequest, fresh: bool) -> Exchange:
        sent.append(request)
        raise faults.Disconnected

    upstream._post = post  # type: ignore[method-assign]
    with pytest.raises(GatewayError, match=r"closed the connection"):
        await upstream.send(UpstreamRequest("POST", "http://127.0.0.1:9/token", {}, b"code", once=once))
    assert len(sent) == times
