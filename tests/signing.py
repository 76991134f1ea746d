"""An installation without a server, its sign-ins with a clock of the test's own, and a provider that is the mock authorization server."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from omni_connector import providers
from omni_connector.gateway import Gateway
from omni_connector.onboarding import Asked, Doors, Onboarding
from omni_connector.providers import Provider, SignIn
from omni_connector.snapshot import Account
from omni_connector.tokens import Tokens, decode
from tests.auth_server import AuthServer

Json = dict[str, Any]
ADDRESS = "http://localhost:38471"
BUSY_S = 30.0
"""How long to wait for what must happen: it decides nothing but how late a test fails on a busy machine."""


class Clock:
    """Stands still until the test moves it; whoever sleeps wakes then."""

    def __init__(self, server: AuthServer) -> None:
        self._server = server
        self._start = round(server.clock() * 1000)
        self._sleepers: list[tuple[int, asyncio.Event]] = []
        self.slept: list[float] = []

    def now(self) -> int:
        return self._start + round(self._server.offset * 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        awake = asyncio.Event()
        self._sleepers.append((self.now() + round(seconds * 1000), awake))
        await awake.wait()

    def skip(self, seconds: float) -> None:
        self._server.skip(seconds)
        for due, awake in self._sleepers:
            if due <= self.now():
                awake.set()

    @property
    def asleep(self) -> int:
        return sum(not awake.is_set() for _, awake in self._sleepers)


class Place:
    def __init__(self, gateway: Gateway, server: AuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gateway = gateway
        self.server = server
        self.clock = Clock(server)
        self._monkeypatch = monkeypatch
        self._opened: list[Onboarding] = []
        self.row = self.provide()
        self.onboarding = self.node()

    def provide(self, profile: SignIn | None = None, **more: Any) -> Provider:
        """The provider "mock", as this test wants it."""
        self.row = self.server.row(profile, **more)
        self._monkeypatch.setattr(providers, "PROVIDERS", {**providers.PROVIDERS, self.row.id: self.row})
        return self.row

    def node(self, address: str = ADDRESS, **more: Any) -> Onboarding:
        """Another process on the same database."""
        gateway = self.gateway
        doors = Doors(
            db=gateway.db,
            vault=gateway.vault,
            fetch=gateway.upstream.fetch,
            settings=lambda: gateway.settings,
            endpoints=lambda: gateway.endpoints,
            accounts=lambda: gateway.snapshot.accounts,
            env=gateway.env,
            keep=gateway.admin.keep_sign_in,
            address=address,
            now=self.clock.now,
            sleep=self.clock.sleep,
        )
        node = Onboarding(doors, **more)
        self._opened.append(node)
        return node

    async def start(self, **asked: Any) -> Json:
        return await self.onboarding.start("mock", Asked(**asked))

    async def visit(self, flow: Json) -> str:
        """What the browser is sent to after the user allowed the access."""
        return await self.server.visit(flow["authorization_url"])

    async def query(self, flow: Json) -> str:
        return urlsplit(await self.visit(flow)).query

    async def sign_in(self, **asked: Any) -> Json:
        flow = await self.start(**asked)
        page = await self.onboarding.callback(await self.query(flow))
        assert page.ok, page.words
        return await self.onboarding.status(flow["flow_id"])

    @property
    def accounts(self) -> tuple[Account, ...]:
        return self.gateway.snapshot.accounts

    def account(self, flow: Json) -> Account:
        return next(account for account in self.accounts if account.id == flow["account_id"])

    def tokens(self, flow: Json) -> Tokens:
        found = decode(self.account(flow).secret)
        assert found is not None
        return found

    async def until(self, true: Callable[[], Any]) -> None:
        end = time.monotonic() + BUSY_S
        while not true():
            assert time.monotonic() < end, "it does not happen"
            await asyncio.sleep(0.005)

    async def ended(self, flow: Json) -> Json:
        end = time.monotonic() + BUSY_S
        while (told := await self.onboarding.status(flow["flow_id"]))["status"] == "waiting":
            assert time.monotonic() < end, "it does not end"
            await asyncio.sleep(0.005)
        return told

    async def close(self) -> None:
        for node in self._opened:
            await node.close()


@asynccontextmanager
async def opened_place(migrated_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch, **env: str) -> AsyncIterator[Place]:
    shutil.copytree(migrated_home, home)
    async with AuthServer() as server:
        gateway = await Gateway.open(home, env, base_url=ADDRESS)
        place = Place(gateway, server, monkeypatch)
        yield place
        await place.close()
        await gateway.close()
        await gateway.upstream.close()
