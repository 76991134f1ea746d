"""For the tests of the relay: a real gateway, ledger and all, between a scripted network and a client that remembers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from omni_connector.call import Call, Headers
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway, now_ms
from omni_connector.snapshot import ClientKey
from omni_connector.underway import Deadlines
from omni_connector.upstream import UpstreamRequest
from tests.live.answers import CHAT
from tests.serving import Answer

Json = dict[str, Any]


class Exchange:
    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.headers.items()}
        self._pieces: list[Any] = list(answer.pieces)
        self._answer = answer
        self._due = 0.0
        self.closed = False

    async def read(self) -> bytes:
        if self._pieces:
            piece = self._pieces[0]
            if isinstance(piece, float):  # a wait goes on where it was cancelled
                self._due = self._due or time.monotonic() + piece
                await asyncio.sleep(self._due - time.monotonic())
                self._pieces.pop(0)
                self._due = 0.0
                return await self.read()
            return bytes(self._pieces.pop(0))
        if self._answer.hang:
            await asyncio.get_running_loop().create_future()
        if self._answer.cut:
            raise GatewayError(Kind.UPSTREAM_FAILED, "the answer broke off.")
        return b""

    def close(self) -> None:
        self.closed = True


Script = Answer | GatewayError | Callable[[], Any]


class Network:
    """What each account's provider says, by its key; several answers come one after the other, the last one stays."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Script]] = {}
        self.asked: list[str] = []
        self.bodies: list[Json] = []
        self.exchanges: list[Exchange] = []
        self.connect_timeout = 10.0

    async def send(self, request: UpstreamRequest) -> Exchange:
        key = next(request.headers[name] for name in ("authorization", "x-api-key", "x-goog-api-key") if name in request.headers)
        key = key.removeprefix("Bearer ")
        label = key.split("-")[1]
        self.asked.append(label)
        self.bodies.append(json.loads(request.body))
        script = self.scripts[label]
        said = script.pop(0) if len(script) > 1 else script[0]
        if callable(said):
            said = await said()
        if isinstance(said, GatewayError):
            raise said
        exchange = Exchange(said)
        self.exchanges.append(exchange)
        return exchange

    async def close(self) -> None:
        pass


@dataclass
class Client:
    """A sink that remembers."""

    started: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self.start(status, headers)
        await self.end(body)

    async def start(self, status: int, headers: Headers) -> None:
        assert not self.started, "one answer to one request"
        self.started, self.status = True, status
        self.headers = {name.decode(): value.decode() for name, value in headers}

    def say(self, data: bytes) -> bool:
        return False

    async def write(self, data: bytes) -> None:
        assert data and not self.ended
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        assert not self.ended
        self.body += data
        self.ended = True

    @property
    def json(self) -> Json:
        return dict(json.loads(self.body))

    @property
    def error(self) -> Json:
        return dict(self.json["error"])


class House:
    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.network = Network()
        gateway.relay._upstream = self.network  # type: ignore[assignment]
        self.ids: dict[str, str] = {}
        self.calls = 0
        self.set(max_attempts=4)

    def set(self, **deadlines: Any) -> None:
        self.deadlines = self.gateway.relay.deadlines = Deadlines(**deadlines)

    async def account(self, label: str, *says: Script, provider: str = "openai", **more: Any) -> None:
        """Accounts are tried in the order in which they come."""
        body = {
            "provider": provider, "label": label, "api_key": f"sk-{label}-{label * 8}", "models": ["test-model"], "discover": False,
            "priority": 100 - len(self.ids), **more,
        }  # fmt: skip
        self.ids[label] = (await self.gateway.admin.add_account(body))["id"]
        self.network.scripts[label] = list(says)
        self.gateway.relay.deadlines = self.deadlines  # the change of the configuration has set them anew

    def call(self, *, wire: str = CHAT, streamed: bool = False, key: ClientKey | None = None, **more: Any) -> Call:
        self.calls += 1
        body = {"model": "test-model", "stream": streamed, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], **more}
        who = key or ClientKey("key_1", "laptop", "", "", 0)
        return Call(f"req_{self.calls:020}", wire, "/v1/x", json.dumps(body).encode(), {}, who, "pytest", now_ms())

    async def ask(self, **more: Any) -> Client:
        client = Client()
        async with asyncio.timeout(30):
            await self.gateway.relay.run(self.call(**more), client)
        assert client.ended
        assert all(exchange.closed for exchange in self.network.exchanges), "every exchange is let go"
        relay = self.gateway.relay
        assert (relay.active, relay.retrying) == (0, 0)
        assert all(self.gateway.pool.live(name).in_flight == 0 for name in self.ids.values())
        return client

    async def row(self) -> Json:
        (row,) = (await self.gateway.admin.requests({"limit": "1"}))["requests"]
        assert row["state"] == "settled"
        return dict(row)

    def cooling(self) -> set[str]:
        return {label for label, account_id in self.ids.items() if self.gateway.pool.cooldowns(account_id)}
