"""One live gateway and one fake upstream for a whole module; every test starts without accounts and with clean ears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from tests.live.asking import Clients
from tests.live.processes import BUSY_S
from tests.serving import Rig

Json = dict[str, Any]


class Stage:
    """What a test of this folder works with: the rig, the SDKs in front of it, and a few questions about what happened."""

    def __init__(self, rig: Rig, clients: Clients) -> None:
        self.rig = rig
        self.upstream = rig.upstream
        self.clients = clients
        self.ask = clients.ask

    async def account(self, provider: str = "openai", label: str = "main", **more: Any) -> Json:
        """An account that serves `asked-model` under its own name `test-model`."""
        return await self.rig.account(provider, label, **{"model_map": {"asked-model": "test-model"}, **more})

    async def row(self) -> Json:
        """The newest row of the ledger; a whole answer is only sent once its row is settled."""
        (row,) = (await self.rig.gateway.admin.requests({"limit": "1"}))["requests"]
        return dict(row)

    async def until(self, holds: Callable[[Json], bool], account_id: str) -> Json:
        """The account as soon as it looks as wanted: what a failure leaves is stored beside the answer, not before it."""
        end = time.monotonic() + BUSY_S
        while not holds(account := await self.rig.gateway.admin.account(account_id)):
            assert time.monotonic() < end, f"the account never got there: {account}"
            await asyncio.sleep(0.01)
        return dict(account)

    async def reset(self) -> None:
        self.upstream.seen.clear()
        self.clients.sent.clear()
        for account in (await self.rig.gateway.admin.accounts())["accounts"]:
            await self.rig.gateway.admin.remove_account(account["id"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def module_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Rig(tmp_path_factory.mktemp("home")) as rig:
        clients = Clients(rig.url, rig.key)
        yield Stage(rig, clients)
        await clients.close()


@pytest_asyncio.fixture(loop_scope="module")
async def stage(module_stage: Stage) -> AsyncIterator[Stage]:
    yield module_stage
    await module_stage.reset()
