"""A real server for tests: a gateway on a free port, and an upstream whose every answer the test writes.

async with Rig(tmp_path) as rig:
    rig.upstream.answer(chat_text("hello"))
    account = await rig.account("openai", "main")
    client = AsyncOpenAI(base_url=rig.url + "/v1", api_key=rig.key)
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

import app as app_module
from omni_connector.gateway import Gateway
from omni_connector.listeners import Place, listen
from omni_connector.servers import maker
from omni_connector.serving import Door, Face
from tests.forwarding import THROUGH_PROXY, Forwarder

Json = dict[str, Any]

SERVER = os.environ.get("OMNI_TEST_SERVER", "hypercorn")
"""hypercorn, uvicorn or granian: what serves in tests."""


@dataclass
class Seen:
    """One request as the upstream saw it."""

    path: str
    headers: dict[str, str]
    body: Json
    raw: bytes


@dataclass
class Answer:
    """What the upstream says. `pieces`: bytes, or seconds to wait as a number; `cut`: hang up without an end; `hang`: fall silent."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes | float] = field(default_factory=list)
    cut: bool = False
    hang: bool = False


Behaviour = Callable[[Seen], Answer | Awaitable[Answer]]


def whole(body: Json, status: int = 200, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "application/json", **named}, [json.dumps(body).encode()])


def stream(text: str | bytes, *, each: bool = True, cut: bool = False, hang: bool = False) -> Answer:
    """Server-sent events as they stand; `each`: one write per event."""
    raw = text.encode() if isinstance(text, str) else text
    pieces: list[bytes | float] = [block + b"\n\n" for block in raw.split(b"\n\n") if block] if each else [raw]
    return Answer(200, {"content-type": "text/event-stream"}, pieces, cut, hang)


class FakeUpstream:
    """An HTTP server on a free port. Answers in the order they were given; the last one repeats."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.disconnects = 0
        self.open = 0
        self._answers: list[Behaviour] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    def answer(self, *answers: Answer | Behaviour) -> None:
        self._answers = [answer if callable(answer) else (lambda seen, fixed=answer: fixed) for answer in answers]

    async def start(self) -> None:
        application = web.Application(client_max_size=512 << 20)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        if request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": [{"id": "test-model", "object": "model"}]})
        body = json.loads(raw or b"{}") if request.content_type == "application/json" else {}
        seen = Seen(request.path, {name.lower(): value for name, value in request.headers.items()}, body, raw)
        self.seen.append(seen)
        behaviour = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        told = behaviour(seen)
        answer = told if isinstance(told, Answer) else await told
        self.open += 1
        try:
            return await self._play(request, answer)
        except (asyncio.CancelledError, ConnectionResetError):
            self.disconnects += 1
            raise
        finally:
            self.open -= 1

    async def _play(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await response.prepare(request)
        for piece in answer.pieces:
            if isinstance(piece, bytes):
                await response.write(piece)
            else:
                await asyncio.sleep(piece)
        if answer.hang:
            await asyncio.get_running_loop().create_future()
        if answer.cut:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write_eof()
        return response


class Rig:
    """A serving gateway, one omni-key and one fake upstream."""

    def __init__(self, home: Path, *, server: str = SERVER, **env: str) -> None:
        self.home = home
        self.server = server
        self.env = env
        self.upstream = FakeUpstream()
        self.proxy = Forwarder()
        self.url = ""
        self.key = ""
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Rig:
        await self.upstream.start()
        if THROUGH_PROXY:
            await self.proxy.start()
        listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.gateway = await Gateway.open(self.home, {"OMNI_HOME": str(self.home), **self.env}, server=self.server, base_url=self.url)
        self.app = app_module.create_app(self.gateway)
        await self.gateway.serve(jobs=False)
        self.key = (await self.gateway.admin.create_key({"name": "test"}))["key"]
        self._serving = asyncio.create_task(self._serve(listener))
        return self

    async def _serve(self, listener: socket.socket) -> None:
        """On `OMNI_TEST_SERVER`: the same tests on every server."""
        face = Face(self.app, "both", app_module.side_of, lambda: ())  # type: ignore[arg-type]
        door = Door(Place("both", "127.0.0.1", 0), face, maker(self.server))
        await self.app.startup()
        await door.open(listener)
        await self._stop.wait()
        self.gateway.live.close()
        await self.app.asgi_app.drain(0.2)  # type: ignore[attr-defined]
        await door.end(0.2)
        await self.app.shutdown()

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._serving
        await self.gateway.close()
        await self.proxy.stop()
        await self.upstream.stop()

    async def account(self, provider: str = "openai", label: str = "main", **more: Any) -> Json:
        """An account whose address is the fake upstream."""
        body = {
            "provider": provider,
            "label": label,
            "api_key": f"sk-{label}-key-0123456789",
            "base_url": f"{self.upstream.url}/v1",
            "models": ["test-model"],
            "discover": False,
            "proxy_url": self.proxy.url,
            **more,
        }
        return dict(await self.gateway.admin.add_account(body))

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    @property
    def occupied(self) -> int:
        """Connections to providers that an answer is still expected on."""
        upstream = self.gateway.upstream
        direct = upstream._pool.occupied if upstream._pool is not None else 0
        pools = [mount._pool for client in upstream._clients.values() for mount in client._mounts.values()]  # type: ignore[union-attr]
        return direct + sum(not connection.is_idle() for pool in pools for connection in pool.connections)

    async def rows(self) -> list[Json]:
        """The ledger, newest first, once everything that ran has been settled."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            found = (await self.gateway.admin.requests({"limit": "500"}))["requests"]
            if all(row["state"] == "settled" for row in found) and not self.gateway.relay.active:
                return list(found)
            await asyncio.sleep(0.01)
        raise AssertionError("a row stays open")
