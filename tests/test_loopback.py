"""Listeners for callbacks: shared, short-lived, and deaf to everything but what is waited for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator

import pytest

from omni_connector import loopback
from omni_connector.loopback import ANY_PORT, Loopback, Page


class Heard:
    def __init__(self) -> None:
        self.queries: list[str] = []
        self.page = Page(True, "Signed in", "Close this page.")

    async def answer(self, query: str) -> Page:
        self.queries.append(query)
        return self.page


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def ears(heard: Heard) -> AsyncIterator[Loopback]:
    ears = Loopback(heard.answer)
    yield ears
    await ears.close()


async def say(port: int, raw: bytes, host: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(raw)
    answer = await reader.read()
    writer.close()
    return answer


async def get(port: int, target: str, *, host: str = "localhost", method: str = "GET") -> tuple[int, dict[str, str], str]:
    head, _, body = (await say(port, f"{method} {target} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), dict(line.split(": ", 1) for line in lines[1:]), body.decode()


async def test_a_callback_is_heard_and_answered_with_a_plain_page(ears: Loopback, heard: Heard) -> None:  # C-52, C-53
    port = await ears.listen("flow", [ANY_PORT], "/auth/callback")
    assert port
    status, headers, body = await get(port, "/auth/callback?code=c0de&state=st4te")
    assert (status, heard.queries) == (200, ["code=c0de&state=st4te"])
    assert "Signed in" in body
    assert "c0de" not in body and "st4te" not in body
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert (headers["cache-control"], headers["referrer-policy"], headers["x-frame-options"]) == ("no-store", "no-referrer", "DENY")
    assert "<script" not in body


async def test_the_policy_lets_just_our_own_style_through() -> None:
    style = re.search(r"<style>(.*)</style>", Page(True, "t", "w").html().decode())
    assert style is not None and style[1] == loopback.STYLE


async def test_words_of_a_page_cannot_become_html() -> None:
    page = Page(False, "<b>", 'x"><script>alert(1)</script>').html().decode()
    assert "<script" not in page and "<b>" not in page


@pytest.mark.parametrize(
    ("target", "method", "host", "expected"),
    [
        ("/", "GET", "localhost", 404),
        ("/auth/callback/../x", "GET", "localhost", 404),
        ("//evil.example/auth/callback?code=x", "GET", "localhost", 404),
        ("http://evil.example/auth/callback?code=x", "GET", "localhost", 404),
        ("/favicon.ico", "GET", "127.0.0.1", 404),
        ("/auth/callback?code=x", "POST", "localhost", 405),
        ("/auth/callback?code=x", "GET", "evil.example", 421),
    ],
)
async def test_anything_else_is_refused(ears: Loopback, heard: Heard, target: str, method: str, host: str, expected: int) -> None:
    port = await ears.listen("flow", [ANY_PORT], "/auth/callback")
    assert port
    status, headers, _ = await get(port, target, host=host, method=method)
    assert (status, heard.queries) == (expected, [])
    assert "location" not in headers


async def test_nonsense_closes_the_connection(ears: Loopback, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "READ_S", 0.05)
    port = await ears.listen("flow", [ANY_PORT], "/cb")
    assert port
    for raw in (b"", b"\x16\x03\x01garbage", b"GET /cb HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * loopback.MAX_HEAD * 2):
        with contextlib.suppress(ConnectionResetError):
            assert await say(port, raw) == b""
    assert heard.queries == []


async def test_parallel_flows_share_a_port_until_the_last_one_ends(ears: Loopback) -> None:
    port = await ears.listen("a", [ANY_PORT], "/one")
    assert port
    assert await ears.listen("b", [port], "/two") == port
    await ears.release("a")
    assert (await get(port, "/one"))[0] == 404
    assert (await get(port, "/two"))[0] == 200
    assert (ears.port_of("a"), ears.port_of("b")) == (None, port)
    await ears.release("b")
    assert ears.ports == ()
    with pytest.raises(ConnectionRefusedError):
        await get(port, "/two")


async def test_a_taken_port_gives_way_to_the_next_and_to_none(ears: Loopback) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as spare:
        held, free = taken.getsockname()[1], spare.getsockname()[1]
        assert await ears.listen("a", [held], "/cb") is None
        spare.close()
        assert await ears.listen("b", [held, free], "/cb") == free


async def test_a_stranger_on_the_other_loopback_counts_as_taken(ears: Loopback) -> None:
    """`localhost` may lead the browser to it."""
    try:
        other = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with other:
        held = other.getsockname()[1]
        assert await ears.listen("a", [held], "/cb") is None
        with pytest.raises(ConnectionRefusedError):
            await say(held, b"GET / HTTP/1.1\r\n\r\n")


async def test_localhost_by_either_address(ears: Loopback) -> None:
    port = await ears.listen("a", [ANY_PORT], "/cb")
    assert port
    for host in ("127.0.0.1", "::1"):
        try:
            answer = await say(port, f"GET /cb?code=1 HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode(), host)
        except OSError:
            continue  # no IPv6 here
        assert answer.startswith(b"HTTP/1.1 200 ")
