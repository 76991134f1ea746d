"""HTTP that is written to deceive or to hold us up, at the listeners as the server opens them; and paths that lead outside."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import app as module
from omni_connector.listeners import Place, listen
from omni_connector.servers import maker
from omni_connector.serving import Door, Face, settings_of_http
from tests.live.processes import CHAT, MESSAGES, Line, chat
from tests.serving import SERVER, Rig, whole

HEAD_S = 0.6
"""What `keep_alive_timeout` is here: the deadline of a head, and of silence between requests."""
NEXT = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}


@dataclass
class House:
    """`url`: of a listener as the server makes it, but for a deadline that a test can wait for."""

    rig: Rig
    url: str


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Rig(tmp_path / "omni" / "home") as rig:
        config = settings_of_http()
        assert 0 < config.keep_alive_timeout <= 75, "the deadline that a server has"
        config.keep_alive_timeout = HEAD_S
        door = Door(Place("both", "127.0.0.1", 0), Face(rig.app, "both", module.side_of, lambda: ()), maker(SERVER, config))  # type: ignore[arg-type]
        await door.open(listen("127.0.0.1", 0))
        rig.upstream.answer(whole(ANSWER))
        yield House(rig, f"http://127.0.0.1:{door.port}")
        await door.end(0)


async def said(url: str, sent: bytes, within: float = 5) -> tuple[list[int], bytes]:
    """The statuses of all answers, and every byte, until the server hangs up."""
    async with Line.open(url) as line:
        line.writer.write(sent)
        got = b""
        async with asyncio.timeout(within):
            with contextlib.suppress(ConnectionError):
                while piece := await line.reader.read(1 << 16):
                    got += piece
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3})", got)], got


# ---------------------------------------------------------------- Where a request ends


def post(*headers: str, body: bytes = b"", path: str = MESSAGES, version: str = "1.1") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/{version}", "Host: localhost", *headers, "", ""]).encode() + body


AMBIGUOUS: dict[str, tuple[bytes, int]] = {
    "both lengths": (post("Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\nX"), 400),
    "both lengths, the other order": (post("Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n"), 400),
    "two lengths": (post("Content-Length: 5", "Content-Length: 6", body=b"abcdef"), 400),
    "a list of lengths": (post("Content-Length: 5, 6", body=b"abcdef"), 400),
    "a signed length": (post("Content-Length: +5", body=b"abcde"), 400),
    "a length without end": (post("Content-Length: 99999999999999999999999", body=b"abc"), 400),
    "two codings": (post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=b"0\r\n\r\n"), 501),
    "an unknown coding": (post("Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    "a coding after a tab": (post("Transfer-Encoding:\tchunked, gzip", body=b"0\r\n\r\n"), 501),
    "a negative chunk": (post("Transfer-Encoding: chunked", path="/api/login", body=b"-2\r\n{}\r\n0\r\n\r\n"), 400),
    "no chunk at all": (post("Transfer-Encoding: chunked", path="/api/login", body=b"zz\r\n{}\r\n0\r\n\r\n"), 400),
    "space before the colon": (post("Content-Length : 2", body=b"{}"), 400),
    "NUL in a value": (post("X-A: a\0b"), 400),
    "bare CR": (post("X-A: a\rContent-Length: 2"), 400),
    "two hosts": (post("Host: evil.example"), 400),
    "a second host behind a bare LF": (b"GET / HTTP/1.1\r\nHost: localhost\nHost: evil.example\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "a line that is none": (b"GET /health\r\n\r\n", 400),
    "a path that is not ASCII": ("GET /static/ü HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 400),
    "60 000 headers": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 60_000 + b"\r\n", 431),
    "a header without end": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 600_000, 431),
    "a path without end": (b"GET /" + b"a" * 600_000, 431),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_ends_the_connection(house: House, name: str) -> None:
    """Whatever follows would be a request of somebody else's behind a proxy that reads it the other way."""
    sent, status = AMBIGUOUS[name]
    statuses, _ = await said(house.url, sent + NEXT)
    if SERVER == "granian":  # hyper's own words; but never an answer to what follows
        assert len(statuses) == 1 and (statuses[0] >= 400 or name == "both lengths")
    else:
        assert statuses == [status]


async def test_folded_headers_are_refused(house: House) -> None:
    """RFC 9112 §5.2 lets us: never a second header, and not a host that a check reads in half."""
    folded = (
        b"GET /api/keys HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n Authorization: Bearer %s\r\n\r\n" % house.rig.gateway.admin_key.encode()
    )
    assert (await said(house.url, folded))[0] == [400]
    assert (await said(house.url, b"GET /api/session HTTP/1.1\r\nHost: localhost\r\n .evil.example\r\n\r\n"))[0] == [400]


async def test_old_and_new_versions(house: House) -> None:
    assert (await said(house.url, b"GET /health HTTP/1.0\r\n\r\n"))[0] == [200]
    assert (await said(house.url, b"GET /api/session HTTP/1.0\r\n\r\n"))[0] == [421], "who names no host is told nothing"
    chunked = post("Transfer-Encoding: chunked", version="1.0", body=b"0\r\n\r\n")
    assert len((await said(house.url, chunked + NEXT))[0]) == 1, "chunks are not of HTTP/1.0: the connection ends"


async def test_plain_http_is_no_tunnel_for_http2(house: House) -> None:
    """Through a proxy that passes an upgrade on, requests would come that it never saw: from its address, as if from this machine."""
    upgrade = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    upgrade += b"HTTP2-Settings: AAMAAABk\r\n\r\n"
    statuses, got = await said(house.url, upgrade)
    assert statuses == [200]
    assert b"upgrade: h2c" not in got.lower()
    known_before = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    statuses, got = await said(house.url, known_before)
    assert 200 not in statuses and (got.startswith(b"HTTP/1.1 4") or (SERVER == "granian" and not got))


async def test_requests_in_a_row_are_answered_in_order_and_by_their_own_credential(house: House) -> None:
    admin = f"Authorization: Bearer {house.rig.gateway.admin_key}\r\n"
    row = [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n" for path, auth in (("/api/keys", admin), ("/api/keys", ""), ("/health", ""))
    ]
    assert (await said(house.url, "".join(row).encode()))[0] == [200, 401, 200]


async def test_an_error_repeats_no_long_path(house: House) -> None:
    async with Line.open(house.url) as line:
        reply = await line.ask("GET", "/" + "a" * 100_000)
        assert reply.status in ((404, 414) if SERVER == "granian" else (404,)) and len(reply.body) < 1000


# ---------------------------------------------------------------- Who holds us up


async def test_a_head_that_dribbles_is_not_waited_for(house: House) -> None:
    """A hundred at once, a byte now and then; whoever asks properly meanwhile is served."""

    async def dribbles() -> bytes:
        async with Line.open(house.url) as line:

            async def send() -> None:
                for byte in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 1000:
                    line.writer.write(bytes([byte]))
                    await asyncio.sleep(HEAD_S / 20)

            sending = asyncio.create_task(send())
            try:
                return await line.reader.read()
            except ConnectionError:
                return b""
            finally:
                sending.cancel()

    async with asyncio.timeout(10 * HEAD_S):
        slow = asyncio.gather(*(dribbles() for _ in range(100)))
        async with Line.open(house.url) as line:
            asked = 0
            while not slow.done():
                assert (await line.ask("GET", "/health", within=2)).status == 200
                asked += 1
                await asyncio.sleep(HEAD_S / 10)
        assert set(await slow) == {b""}
    assert asked > 2


@pytest.mark.parametrize("piece", [b"", b" "], ids=["silent", "dribbling"])
async def test_a_body_that_does_not_come_is_not_waited_for(house: House, monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(module, "BODY_S", 0.3)
    async with Line.open(house.url) as line:
        line.writer.write(line.request("POST", CHAT, b"{", {**house.rig.bearer, "Content-Length": "1000"}))

        async def send() -> None:
            while True:
                line.writer.write(piece)
                await asyncio.sleep(0.05)

        sending = asyncio.create_task(send())
        reply = await line.reply(within=5)
        sending.cancel()
        assert (reply.status, "did not come" in reply.json["error"]["message"]) == (408, True)
    assert not (await house.rig.rows()), "nothing was asked, so nothing is booked"


async def test_a_body_that_is_slow_but_comes_is_served(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_S", 0.3)
    monkeypatch.setattr(module, "SLOWEST", 10)
    await house.rig.account()
    async with Line.open(house.url) as line:
        sent = line.request("POST", CHAT, chat(), house.rig.bearer)
        at = len(sent) - 40
        line.writer.write(sent[:at])
        for place in range(at, len(sent), 8):
            await asyncio.sleep(0.1)
            line.writer.write(sent[place : place + 8])
        assert (await line.reply()).status == 200


async def test_a_body_before_anybody_is_known_is_small(house: House) -> None:
    async with Line.open(house.url) as line:
        assert (await line.ask("POST", "/api/login", b"{" + b" " * module.LOGIN_BYTES)).status == 413


# ---------------------------------------------------------------- Paths that lead elsewhere

ROUND_ABOUT = (
    "//api/keys", "/%61pi/keys", "/api%2fkeys", "/x/../api/keys", "/static/../api/keys", "/v1/../api/keys", "/static/..%2fapi/keys",
    "/API/keys", "/api;/keys", "/api/keys/", "/./api/keys", "/%2e/api/keys", "/health/../api/keys", "/v1//router/status",
    "/v1/./router/status", "/openai/v1//router/status", "/openai/v1/router/status", "/v1/%72outer/status", "//v1/router/status",
    "/metrics/", "//metrics", "/%6detrics", "http://localhost/api/keys", "/llms.txt/../metrics", "/openapi.json/../api/keys",
    "/v1/models/../../api/keys",
)  # fmt: skip


@pytest.mark.parametrize("path", ROUND_ABOUT)
async def test_no_spelling_of_a_path_gets_round_the_key(house: House, path: str) -> None:
    async with Line.open(house.url) as line:
        for headers in ({}, house.rig.bearer):
            reply = await line.ask("GET", path, headers=headers)
            assert reply.status in (308, 401, 404), reply
            assert reply.status != 308 or reply.headers["location"].startswith((house.url, "http://localhost/")), reply


# ---------------------------------------------------------------- Paths that lead outside

MARK = "stands-outside"
OUTSIDE = (
    "../outside.txt", "..%2foutside.txt", "..%252foutside.txt", "%2e%2e/outside.txt", "%252e%252e%252foutside.txt", "..%5coutside.txt",
    "..\\outside.txt", "....//outside.txt", "%00../outside.txt", "outside.txt%00.json", "..%c0%afoutside.txt", "logs/../../outside.txt",
    "link.json", "folder/outside.txt", "{absolute}", "/{absolute}", "%2f{absolute}", "file:%2f%2f{absolute}", "%ff%fe",
)  # fmt: skip


async def test_no_path_leads_outside(house: House) -> None:  # C-85…C-87, P-37
    """Every route with something to fill in, with an admin key or a client's, so that nothing but the path is in the way."""
    home = house.rig.home
    outside = home.parent / "outside.txt"
    outside.write_text(MARK)
    (home / "link.json").symlink_to(outside)
    (home / "folder").symlink_to(home.parent, target_is_directory=True)
    admin = {"Authorization": f"Bearer {house.rig.gateway.admin_key}"}
    asked = 0
    async with Line.open(house.url) as line:
        for rule in house.rig.app.url_map.iter_rules():
            shape = re.sub(r"<any\(([^,)]*)[^>]*>", r"\1", rule.rule)
            if "<" not in shape or not rule.methods:
                continue
            for method in sorted(rule.methods & {"GET", "PUT", "DELETE"}):
                for nasty in OUTSIDE if "<path:" in shape else OUTSIDE[:4]:  # a slash ends what is not a path
                    before, _, after = shape.rpartition("<")
                    path = re.sub(r"<[^>]+>", "x", before) + nasty + after.partition(">")[2]
                    headers = house.rig.bearer if module.CLIENT_PATH.match(path) else admin
                    reply = await line.ask(method, path.replace("{absolute}", str(outside)), {}, headers)
                    assert reply.status < 500, (method, path, reply)
                    assert MARK.encode() not in reply.body, (method, path)
                    assert "set-cookie" not in reply.headers
                    asked += 1
    assert asked > 300
    assert outside.read_text() == MARK and (home / "link.json").is_symlink()
    assert {path.name for path in home.parent.iterdir()} == {"home", "outside.txt"}


@pytest.mark.parametrize("nasty", ["../", "%2e%2e/", "..%2f", "..%252f", "..%5c", "..\\", ".%00./", "%2fstatic/../", "//"])
async def test_static_serves_its_own_files(house: House, nasty: str) -> None:
    async with Line.open(house.url) as line:
        for rest in ("app.py", "pyproject.toml", f"{nasty}etc/passwd", f"vendor/{nasty}{nasty}app.py"):
            assert (await line.ask("GET", f"/static/{nasty}{rest}")).status in (308, 404), (nasty, rest)
