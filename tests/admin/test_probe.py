import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from omni_connector.admin.probe import ask_models
from omni_connector.admin.shapes import TestResult
from omni_connector.snapshot import Account
from omni_connector.upstream import Upstream

KEY = "sk-proj-abcdefghijklmnopqrstuvwx1234"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    found = Upstream()
    await found.open()
    yield found
    await found.close()


async def ask(upstream: Upstream, answer: bytes, account: Account, within: float = 5.0) -> tuple[TestResult, bytes]:
    """The result, and what the provider was sent. An empty answer: it never comes."""
    seen = bytearray()
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        if answer:
            writer.write(answer)
            await writer.drain()
        else:
            await gone.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    result = await ask_models(replace(account, base_url=base), upstream, {}, within)
    gone.set()
    server.close()
    await server.wait_closed()
    return result, bytes(seen)


def http(status: int, body: str) -> bytes:
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()


OPENAI = Account("acc_1", "openai", "work", secret=KEY)
CUSTOM = Account("acc_2", "custom-openai", "box", auth="none")


async def test_models_prove_address_and_credential(upstream: Upstream) -> None:
    result, sent = await ask(upstream, http(200, '{"data":[{"id":"gpt-5"},{"id":"text-embedding-3-small"}]}'), OPENAI)
    assert (result.ok, result.status, result.models) == (True, 200, ("gpt-5", "text-embedding-3-small"))
    assert sent.startswith(b"GET /v1/models HTTP/1.1")
    assert f"Bearer {KEY}".encode() in sent


@pytest.mark.parametrize(
    ("account", "answer", "ok", "status", "said"),
    [
        (OPENAI, http(401, f'{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}'), False, 401, "Incorrect API key"),
        (OPENAI, http(500, "<html>oops</html>"), False, 500, "500"),
        (OPENAI, http(200, "<html>a login page</html>"), False, 200, "unknown form"),
        (OPENAI, http(200, '{"data":[]}'), True, 200, "by hand"),
        # A server of one's own need not have a list; the big ones do, so there 404 means a wrong address.
        (CUSTOM, http(404, "{}"), True, 404, "by hand"),
        (OPENAI, http(404, "{}"), False, 404, "404"),
    ],
)
async def test_answers(upstream: Upstream, account: Account, answer: bytes, ok: bool, status: int, said: str) -> None:
    result, _ = await ask(upstream, answer, account)
    assert (result.ok, result.status) == (ok, status)
    assert said in result.message
    assert KEY not in result.message


async def test_silence_and_nobody_are_results_too(upstream: Upstream) -> None:
    silent, _ = await ask(upstream, b"", CUSTOM, within=0.05)
    assert (silent.ok, silent.status) == (False, None)
    nobody = await ask_models(replace(CUSTOM, base_url="http://127.0.0.1:1/v1"), upstream, {})
    assert (nobody.ok, nobody.status) == (False, None)


async def test_the_demo_needs_no_network(upstream: Upstream) -> None:
    result = await ask_models(Account("acc_3", "demo", "demo", auth="none"), upstream, {})
    assert result.ok
    assert "demo-chat" in result.models
