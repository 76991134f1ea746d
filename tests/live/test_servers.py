"""Every server that can be chosen serves alike: the main scenes of a gateway on each.

All the others: OMNI_TEST_SERVER=NAME pytest tests/live
"""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from omni_connector.listeners import Place, listen
from omni_connector.servers import NAMES, maker
from omni_connector.serving import Door
from tests.live.processes import BUSY_S, CHAT, Line, Server, chat, soon
from tests.serving import Answer, Rig, stream, whole
from tests.tls import make_pair

Message = dict[str, Any]
Send = Callable[[Message], Any]
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}
CHUNK = b'data: {"id":"1","object":"chat.completion.chunk","model":"test-model","choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
DEMO = {"provider": "demo", "label": "demo", "options": {"demo": {"chunk_ms": 50, "tokens": 30}}}


@pytest.fixture(params=NAMES)
def server(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
async def rig(tmp_path: Path, server: str) -> AsyncIterator[Rig]:
    async with Rig(tmp_path / "home", server=server) as rig:
        await rig.account()
        yield rig


# ---------------------------------------------------------------- The gateway on it


async def test_an_answer_whole_and_streamed(rig: Rig) -> None:
    rig.upstream.answer(whole(ANSWER), stream(CHUNK % b"one" + CHUNK % b"two" + b"data: [DONE]\n\n"))
    async with Line.open(rig.url) as line:
        reply = await line.ask("POST", CHAT, chat(), rig.bearer)
        assert (reply.status, reply.json["choices"][0]["message"]["content"]) == (200, "hello")
        line.writer.write(line.request("POST", CHAT, chat(stream=True), rig.bearer))
        assert (await line.start()).headers["content-type"].startswith("text/event-stream")
        said = await line.rest()
        assert b"one" in said and b"two" in said and said.endswith(b"data: [DONE]\n\n")
        assert (await line.ask("GET", "/health")).status == 200, "on the same connection"
    assert len(await rig.rows()) == 2


async def test_a_client_that_leaves_is_heard_of_upstream(rig: Rig) -> None:
    rig.upstream.answer(Answer(200, {"content-type": "text/event-stream"}, [CHUNK % b"one"], hang=True))
    async with Line.open(rig.url) as line:
        line.writer.write(line.request("POST", CHAT, chat(stream=True), rig.bearer))
        await line.start()
        await line.until(b"one")
    await soon(lambda: rig.upstream.disconnects)
    assert len(await rig.rows()) == 1


async def test_a_client_that_leaves_before_the_first_byte_is_no_fault_of_ours(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.upstream.answer(Answer(200, {"content-type": "text/event-stream"}, [], hang=True))
    for _ in range(3):
        asked = len(rig.upstream.seen)
        async with Line.open(rig.url) as line:
            line.writer.write(line.request("POST", CHAT, chat(stream=True), rig.bearer))
            await soon(lambda asked=asked: len(rig.upstream.seen) > asked and rig.upstream.open)  # type: ignore[misc]
        await soon(lambda: not rig.upstream.open)
    assert {row["outcome"] for row in await rig.rows()} == {"client_left"}
    gc.collect()  # a task that failed unheard is told of when it goes
    assert [record.getMessage() for record in caplog.records if record.levelno > logging.INFO] == []


async def test_a_big_body_and_a_big_answer(rig: Rig) -> None:
    text = "x" * (8 << 20)
    rig.upstream.answer(whole({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}))
    async with Line.open(rig.url, limit=32 << 20) as line:
        reply = await line.ask("POST", CHAT, chat(text), rig.bearer)
        assert reply.json["choices"][0]["message"]["content"] == text
        assert rig.upstream.seen[0].body["messages"][0]["content"] == text
        sent = line.request("POST", CHAT, chat(text), {**rig.bearer, "Transfer-Encoding": "chunked"})
        head, _, body = sent.partition(b"\r\n\r\n")
        head = b"\r\n".join(row for row in head.split(b"\r\n") if not row.startswith(b"Content-Length"))
        pieces = [b"%x\r\n%s\r\n" % (len(body[at : at + 50_000]), body[at : at + 50_000]) for at in range(0, len(body), 50_000)]
        line.writer.write(head + b"\r\n\r\n" + b"".join(pieces) + b"0\r\n\r\n")
        assert (await line.reply()).status == 200


async def test_a_slow_reader_holds_the_upstream_back(rig: Rig) -> None:
    piece = CHUNK % (b"x" * 60_000)
    rig.upstream.answer(Answer(200, {"content-type": "text/event-stream"}, [piece] * 2000))
    async with Line.open(rig.url, limit=1 << 17) as line:
        line.writer.write(line.request("POST", CHAT, chat(stream=True), rig.bearer))
        await line.start()
        await line.until(b"xxx")
        await asyncio.sleep(1)
        assert rig.upstream.open == 1, "120 MB are not taken in for somebody who does not read them"


# ---------------------------------------------------------------- The server itself


async def client_of(certificate: Path, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    context = ssl.create_default_context(cafile=str(certificate))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    return reader, writer, int(writer.get_extra_info("peercert")["serialNumber"], 16)


async def plain(scope: Message, receive: Callable[[], Any], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": scope["scheme"].encode().ljust(5), "more_body": False})


async def test_tls_and_a_certificate_that_is_renewed(server: str, tmp_path: Path) -> None:
    cert, key = make_pair(tmp_path, 1)
    door = Door(Place("both", "127.0.0.1", 0, str(cert), str(key)), plain, maker(server))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "_face", type("Face", (), {"leaving": False})())
        await door.open(listen("127.0.0.1", 0))
        kept, writer, serial = await client_of(cert, door.port)
        assert serial == 1
        make_pair(tmp_path, 2)
        await door.renew()
        async with asyncio.timeout(BUSY_S):
            while True:
                try:
                    _, other, serial = await client_of(cert, door.port)
                except ssl.SSLError:  # the certificate of before, for a moment
                    continue
                except ConnectionResetError:
                    assert server == "granian"  # whom the acceptor of before takes in its last moment is cut off
                    continue
                other.close()
                assert serial == 2
                break
        if server != "granian":  # its connections end with the acceptor they came by
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await kept.readuntil(b"https")).startswith(b"HTTP/1.1 200")
        writer.close()
        await door.end(0.1)


async def test_two_listeners_a_drain_and_the_end(server: str, tmp_path: Path) -> None:
    """The two sides are disjoint; what runs when the server is told to stop is answered to its end, what is new is not."""
    process = Server(tmp_path / "home", "--port", "0", "--admin-bind", "127.0.0.2:0", "--server", server)
    process.spawn()
    try:
        await process.ready(within=60)
        note = await process.admin("GET", "/api/service-mode")
        assert len(note["listeners"]) == 2
        await process.admin("POST", "/api/accounts", DEMO)
        key = (await process.admin("POST", "/api/keys", {"name": "main"}))["key"]
        bearer = {"Authorization": f"Bearer {key}"}
        client_url = next(entry["url"] for entry in note["listeners"] if entry["side"] == "client")
        for url, path in ((client_url, "/api/accounts"), (process.url, "/v1/models")):
            async with Line.open(url) as line:
                assert (await line.ask("GET", path)).status == 404
        async with Line.open(client_url) as line:
            line.writer.write(line.request("POST", CHAT, chat(model="demo-chat", stream=True), bearer))
            await line.start()
            await line.until(b"data: ")
            process.terminate()
            status = 0
            while status != 503:  # until it has heard
                async with Line.open(client_url) as other:
                    status = (await other.ask("GET", "/ready")).status
                assert status in (200, 503)
            async with Line.open(client_url) as other:
                assert (await other.ask("POST", CHAT, chat(model="demo-chat"), bearer)).status == 503
            rest = await line.rest()
            assert rest.endswith(b"data: [DONE]\n\n") and b'"error"' not in rest
        assert await process.ended() == 0
    finally:
        process.kill()


async def test_workers_share_a_socket_and_are_replaced(server: str, tmp_path: Path) -> None:
    process = Server(tmp_path / "home", "--port", "0", "--workers", "2", "--server", server)
    process.spawn()
    try:
        await process.ready(within=60)
        until = time.monotonic() + 60
        while len(before := await crew(process)) < 2:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await process.admin("POST", "/api/service-mode", {"action": "reload"})
        while len(now := await crew(process)) < 2 or before & now:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        process.terminate()
        assert await process.ended() == 0
    finally:
        process.kill()


async def crew(process: Server) -> set[int]:
    """Those that serve. Each question is asked on a line of its own, as any client that was hung up on would."""
    try:
        workers = (await process.admin("GET", "/api/service-mode"))["workers"]
    except (OSError, asyncio.IncompleteReadError):
        return set()
    return {worker["pid"] for worker in workers if worker["state"] == "serving"}
