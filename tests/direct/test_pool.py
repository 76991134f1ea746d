"""Connections over a real network on loopback: opened, used again, and never when anything is doubtful."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from omni_connector.direct import pool as module
from omni_connector.direct.faults import (
    CertificateInvalid,
    ConnectTimeout,
    Disconnected,
    HandshakeFailed,
    NameUnknown,
    NothingAnswers,
)
from omni_connector.direct.names import Names
from omni_connector.direct.pool import Pool
from tests.direct.wire import whole
from tests.tls import make_pair

HI = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


class Server:
    """Counts connections and requests; every request is answered by `say`, with its number."""

    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[bytes] = []
        self.say: Say = self.hi
        self.names: list[str | None] = []
        self.left = asyncio.Event()

    async def hi(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HI)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
                await reader.readexactly(size)
                self.heads.append(head)
                await self.say(reader, writer, len(self.heads))
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[str]:
        server = await asyncio.start_server(self.take, host, 0, ssl=tls)
        name = f"[{host}]" if ":" in host else host
        yield f"http{'s' if tls else ''}://{name}:{server.sockets[0].getsockname()[1]}/x"
        server.close()


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    found = Pool(connect_timeout=5, agent="me/1")
    yield found
    await found.close()


async def ask(pool: Pool, url: str, body: bytes = b"", *, fresh: bool = False) -> bytes:
    answer = await pool.ask("POST", url, {}, body, fresh=fresh)
    try:
        return await whole(answer)
    finally:
        answer.close()


async def test_one_connection_for_requests_one_after_the_other(server: Server, pool: Pool) -> None:
    async with server.running() as url:
        for body in (b"", b"x" * 100, b"x" * 70_000, b"x" * 3_000_000):
            assert await ask(pool, url, body) == b"hi"
            assert pool.occupied == 0
        assert server.connections == 1
        assert await ask(pool, url, fresh=True) == b"hi"
        assert server.connections == 2
        await pool.close()


async def test_as_many_connections_as_requests_at_once(server: Server, pool: Pool) -> None:
    async with server.running() as url:
        answers = [await pool.ask("GET", url, {}, b"") for _ in range(3)]
        assert server.connections == 1, "an answer that has come whole keeps no connection"
        gate = asyncio.Event()

        async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
            await gate.wait()
            writer.write(HI)

        server.say = held
        asking = [asyncio.create_task(ask(pool, url)) for _ in range(3)]
        while len(server.heads) < 6:
            await asyncio.sleep(0.001)
        assert (pool.occupied, server.connections) == (3, 3)
        gate.set()
        assert await asyncio.gather(*asking) == [b"hi"] * 3
        assert [await whole(answer) for answer in answers] == [b"hi"] * 3
        assert pool.occupied == 0
        await pool.close()


async def test_the_last_used_is_used_first_and_the_rest_go(server: Server, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server.running() as url:
        await asyncio.gather(*(ask(pool, url) for _ in range(3)))
        [resting] = pool._resting.values()
        assert len(resting) == 3
        last, others = resting[-1], resting[:-1]
        await ask(pool, url)
        assert resting[-1] is last
        for connection in others:
            connection.since -= module.REST_S
        pool._sweep()
        assert resting == [last]
        last.since -= module.REST_S
        assert await ask(pool, url) == b"hi"
        assert not last.is_open and server.connections == 4
        await pool.close()


async def test_a_connection_that_spoke_unasked_is_not_used_again(server: Server, pool: Pool) -> None:
    """A second answer planted behind the first must not become the answer to somebody else."""
    for planted in (HI.replace(b"hi", b"no"), b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"\r\n"):

        async def plants(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int, planted: bytes = planted) -> None:
            writer.write(HI)
            await asyncio.sleep(0.005)
            writer.write(planted)

        server.say = plants
        async with server.running() as url:
            assert await ask(pool, url) == b"hi"
            while pool._resting:
                await asyncio.sleep(0.001)
            assert await ask(pool, url) == b"hi"
    assert server.connections == 6


async def test_a_connection_that_was_closed_while_it_rested_is_not_used(server: Server, pool: Pool) -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HI)
        writer.close()

    server.say = closes
    async with server.running() as url:
        assert await ask(pool, url) == b"hi"
        while pool._resting:
            await asyncio.sleep(0.001)
        assert await ask(pool, url) == b"hi"
    assert server.connections == 2


async def test_no_answer_at_all(server: Server, pool: Pool) -> None:
    async def goes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.close()

    server.say = goes
    async with server.running() as url:
        with pytest.raises(Disconnected):
            await ask(pool, url)
    assert pool.occupied == 0 and not pool._living


async def test_who_waits_no_longer_cuts_the_connection(server: Server, pool: Pool) -> None:
    """Before the head and after it: the provider notices."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number > 1:
            writer.write(HI[:-1])
        await reader.readexactly(1)

    server.say = silent
    async with server.running() as url:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await pool.ask("GET", url, {}, b"")
        await asyncio.wait_for(server.left.wait(), 30)
        server.left.clear()
        answer = await pool.ask("GET", url, {}, b"")
        assert pool.occupied == 1
        answer.close()
        await asyncio.wait_for(server.left.wait(), 30)
    assert pool.occupied == 0


async def test_closing_cuts_everything(server: Server, pool: Pool) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(HI if number == 1 else HI[:-1])

    server.say = half
    async with server.running() as url:
        await asyncio.gather(ask(pool, url), return_exceptions=True)
        answer = await pool.ask("GET", url, {}, b"")
        await pool.close()
        assert not pool._living and not pool._resting
        with pytest.raises(Exception, match="broke off"):
            await whole(answer)


# ---------------------------------------------------------------- The way there


async def test_nobody_there(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    with pytest.raises(NothingAnswers):
        await ask(pool, url)
    with pytest.raises(NameUnknown):
        await ask(pool, "http://nowhere.invalid/")
    for bad in ("http://h/a\r\nb", "ftp://h/"):
        with pytest.raises(ValueError):
            await ask(pool, bad)


async def test_the_next_address_is_tried(server: Server) -> None:
    """And a name whose addresses all fail is looked up again."""
    async with server.running() as url:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        asked: list[str] = []
        addresses = ["127.0.0.1"]

        async def look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

        pool = Pool(connect_timeout=5, agent="me", names=Names(look_up))
        addresses[:] = ["127.0.0.2"]  # nothing listens there
        with pytest.raises(NothingAnswers):
            await ask(pool, f"http://name.test:{port}/")
        addresses[:] = ["127.0.0.2", "127.0.0.1"]
        assert await ask(pool, f"http://name.test:{port}/") == b"hi"
        assert asked == ["name.test"] * 2
        assert f"Host: name.test:{port}".encode() in server.heads[0]
        await pool.close()


async def test_connecting_has_its_own_deadline(pool: Pool) -> None:
    """Also where the name or TLS takes the time."""
    silent = socket.create_server(("127.0.0.1", 0))
    pool.connect_timeout = 0.05
    with pytest.raises(ConnectTimeout):
        await ask(pool, f"https://127.0.0.1:{silent.getsockname()[1]}/")
    silent.close()

    async def slow(host: str, port: int) -> list[object]:
        await asyncio.sleep(60)
        return []

    names = Names(slow)  # type: ignore[arg-type]
    waiting = Pool(connect_timeout=0.05, agent="me", names=names)
    with pytest.raises(ConnectTimeout):
        await ask(waiting, "http://name.test/")
    await waiting.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_an_address_in_brackets(server: Server, pool: Pool) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with server.running(host="::1") as url:
        assert await ask(pool, url) == b"hi"
        assert f"Host: {url.removeprefix('http://').removesuffix('/x')}\r\n".encode() in server.heads[0]
        await pool.close()


def test_on_the_loop_of_the_product(tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """uvloop has transports of its own, plain and for TLS: large both ways, again on the same connection, and given up."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    large = b"x" * 3_000_000

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large) + large)

    async def scene(context: ssl.SSLContext | None) -> None:
        server, pool = Server(), Pool(connect_timeout=5, agent="me")
        server.say = say
        async with server.running(context) as url:
            for _ in range(3):
                assert await ask(pool, url, large) == large
            assert (server.connections, pool.occupied) == (1, 0)
            answer = await pool.ask("GET", url, {}, b"")
            for _ in range(5):
                await asyncio.sleep(0.01)
            assert 0 < answer.size < len(large), "nobody reads, so the provider waits"
            answer.close()
            await asyncio.wait_for(server.left.wait(), 30)
            await pool.close()

    for context in (None, tls[0]):
        uvloop.run(scene(context))


# ---------------------------------------------------------------- TLS


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    cert, key = make_pair(tmp_path / "pair", 1)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context, cert


async def test_over_tls(server: Server, pool: Pool, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is sent, and HTTP/1.1 alone is offered."""
    context, cert = tls
    shown: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: shown.append(name)
    spoken: list[str | None] = []

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        writer.write(HI)

    server.say = say
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with server.running(context) as url:
        url = url.replace("127.0.0.1", "localhost")
        assert await asyncio.gather(*(ask(pool, url, b"x" * 1_000_000) for _ in range(2))) == [b"hi"] * 2
        assert await ask(pool, url) == b"hi"
        await pool.close()
    assert server.connections == 2
    assert (shown, spoken) == (["localhost"] * 2, ["http/1.1"] * 3)


async def test_a_certificate_that_nobody_vouches_for(server: Server, pool: Pool, tls: tuple[ssl.SSLContext, Path]) -> None:
    async with server.running(tls[0]) as url:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the failed handshake
        with pytest.raises(CertificateInvalid):
            await ask(pool, url)
        assert not pool._living and server.heads == []


async def test_a_certificate_for_another_name(
    server: Server, pool: Pool, tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))
    async with server.running(tls[0]) as url:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        port = url.rsplit(":", 1)[1]

        async def look_up(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        other = Pool(connect_timeout=5, agent="me", names=Names(look_up))
        with pytest.raises(CertificateInvalid):
            await ask(other, f"https://other.test:{port}")
        assert await ask(other, f"https://localhost.:{port}") == b"hi", "certificates name no final dot"
        await other.close()


async def test_no_tls_on_the_other_side(pool: Pool) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HI)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as there:
        with pytest.raises(HandshakeFailed):
            await ask(pool, f"https://127.0.0.1:{there.sockets[0].getsockname()[1]}/")
