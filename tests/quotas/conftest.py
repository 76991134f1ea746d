"""The gateway's part for a poller: accounts in a database, a pool, a network that answers as it is told, and a clock that stands still."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from omni_connector import catalog, providers
from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import Jobs
from omni_connector.quotas import Hands, Memory, Poller
from omni_connector.routing.health import RULES
from omni_connector.routing.pool import Pool
from omni_connector.secrets import Vault
from omni_connector.settings import load
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts as rows
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.store.snapshot import load_snapshot
from omni_connector.tokens import Tokens
from omni_connector.upstream import UpstreamRequest

START = 1_800_000_000_000
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
Reply = tuple[int, dict[str, str], Any]


class Still(Random):
    """Dice that always show the middle."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2

    def randint(self, a: int, b: int) -> int:
        return 0


def usage(used: float, end: int = START + 5 * HOUR, plan: str = "plus") -> Reply:
    """The Codex backend's answer."""
    window = {"used_percent": used, "limit_window_seconds": 18_000, "reset_at": end // 1000}
    return 200, {}, {"plan_type": plan, "rate_limit": {"allowed": True, "primary_window": window}}


class House:
    def __init__(self, db: Database) -> None:
        self.db, self.now = db, START
        self.vault = Vault({"k1": bytes(32)}, "k1")
        self.settings = load({}, {})
        self.pool = Pool(catalog.family)
        self.says: Callable[[UpstreamRequest], Reply] = lambda request: usage(40)
        self.asked: list[UpstreamRequest] = []
        self.shown: list[str] = []
        self.reloads = 0
        self.renewed: list[str] = []
        self.newer: set[str] = set()
        """Accounts that failed anew in another process, which only the database knows of."""

    async def account(self, label: str = "main", **more: Any) -> Account:
        signed = {"options": {"identity": {"email": f"{label}@example.com", "account_id": "a-1"}}, "secret": Tokens("t-1", "r-1").encode()}
        fields: dict[str, Any] = {"provider": "codex", "auth": "oauth", **signed, **more}
        account = Account(id=f"acc_{label}", label=label, **fields)
        await self.db.tx(lambda conn: rows.insert(conn, self.vault, account))
        await self.reload()
        return self.pool.accounts[account.id]

    async def change(self, account_id: str, **fields: Any) -> None:
        await self.db.tx(lambda conn: rows.update(conn, self.vault, account_id, fields))
        await self.reload()

    async def reload(self) -> None:
        self.reloads += 1
        self.pool.sync(await self.db.run(lambda conn: load_snapshot(conn, self.vault, providers.complete)), self.now)

    def quota(self, label: str = "main") -> list[Any]:
        return [dict(row) for row in self.pool.accounts[f"acc_{label}"].quota]

    def cool(self, label: str, kind: Kind, source: Any = "guessed", scope: str = "", ago: int = 2 * MINUTE) -> None:
        self.pool.cool(Cooldown(f"acc_{label}", scope, self.now + HOUR, source, RULES[kind].reason, 0, self.now - ago))

    def poller(self, name: str = "prc_1") -> Poller:
        hands = Hands(
            accounts=lambda: self.pool.accounts,
            cooldowns=self.pool.cooldowns,
            endpoints=dict,
            renew=self._renew,
            recovered=self._recovered,
            reload=self.reload,
            show=self._show,
        )
        network: Any = self
        return Poller(self.db, network, hands, lambda: self.settings, name, lambda: self.now, Still())

    def jobs(self, name: str = "prc_1") -> Jobs:
        return Jobs(self.db, lambda: self.settings, Path(), name, lambda: self.now, self.reload, by_need=(self.poller(name),))

    async def row(self) -> queue.JobRow | None:
        return next((job for job in await self.db.run(queue.list_jobs) if job.kind == "quota"), None)

    async def memory(self) -> Memory:
        row = await self.row()
        assert row is not None
        return Memory.read(row.payload)

    async def fetch(self, request: UpstreamRequest, within: float) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(request)
        status, headers, body = self.says(request)
        return status, headers, body if isinstance(body, bytes) else json.dumps(body).encode()

    async def _renew(self, account: Account, refused: str) -> Account:
        self.renewed.append(refused)
        if "dead" in account.label:
            raise GatewayError(Kind.ACCOUNT_REJECTED, "Its sign-in has ended; sign in again.")
        return providers.complete(replace(account, secret=Tokens("t-2", "r-2", expires_at=self.now + HOUR).encode()))

    async def _recovered(self, account_id: str, scope: str, asked_at: int) -> bool:
        if account_id in self.newer:
            return False
        self.pool.clear(account_id, scope)
        return True

    async def _show(self, account_id: str) -> None:
        self.shown.append(account_id)


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield House(database)
    await database.close()
