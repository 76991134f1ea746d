"""A database with one account that was signed in at the mock authorization server, and any number of processes to renew it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from omni_connector import providers, secrets
from omni_connector.providers import Provider, SignIn
from omni_connector.refreshing import Hands, Refresher
from omni_connector.secrets import Vault
from omni_connector.snapshot import Account
from omni_connector.store import accounts as rows
from omni_connector.store import refreshes
from omni_connector.store.engine import Database
from omni_connector.store.refreshes import Refresh
from omni_connector.tokens import Tokens, decode
from omni_connector.upstream import Upstream
from tests.auth_server import CLIENT, AuthServer

ROW = Provider("mock", "Mock", "http://127.0.0.1:9/v1", sign_in=SignIn(client_id=CLIENT, scopes=("openid", "email", "models")))


class House:
    def __init__(self, server: AuthServer, home: Path, db: Database, vault: Vault) -> None:
        self.server, self.home, self.db, self.vault = server, home, db, vault
        self.row = ROW
        self.snapshot: dict[str, Account] = {}
        self.renewed: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.upstream = Upstream()
        self.databases: list[Database] = []
        self.refreshers: list[Refresher] = []

    @property
    def now(self) -> int:
        return int(self.server.clock() * 1000)

    async def sign_in(self, account_id: str = "acc_1", life_s: int = 3600, endpoints: dict[str, str] | None = None, **more: Any) -> Account:
        """An account whose access token ends in `life_s`; signed in anew when it is there already."""
        said = self.server.issue()
        tokens = Tokens(said["access_token"], said["refresh_token"], self.now + life_s * 1000, scope=said["scope"], refreshed_at=0)
        options = {"endpoints": endpoints or {**self.server.endpoints(), "issuer": "", "jwks": ""}, **more.pop("options", {})}
        if account_id in self.snapshot:
            changes = {"secret": tokens.encode(), "state": "ok", "state_reason": ""}
            await self.db.tx(lambda conn: rows.update(conn, self.vault, account_id, changes))
        else:
            account = Account(account_id, "mock", account_id, auth="oauth", secret=tokens.encode(), options=options, **more)
            await self.db.tx(lambda conn: rows.insert(conn, self.vault, account))
        return await self.reload(account_id)

    async def reload(self, account_id: str = "acc_1") -> Account:
        found = await self.db.run(lambda conn: rows.get(conn, self.vault, account_id))
        tokens = decode(found.secret)
        assert tokens is not None
        self.snapshot[account_id] = _complete(found, tokens)
        return self.snapshot[account_id]

    async def tokens(self, account_id: str = "acc_1") -> Tokens:
        tokens = decode((await self.reload(account_id)).secret)
        assert tokens is not None
        return tokens

    async def journal(self, account_id: str = "acc_1") -> Refresh:
        found = await self.db.run(lambda conn: refreshes.read(conn, account_id))
        assert found is not None
        return found

    def hands(self) -> Hands:
        async def renewed(account_id: str) -> None:
            self.renewed.append(account_id)
            await self.reload(account_id)

        async def refused(account_id: str, reason: str) -> None:
            self.refused.append((account_id, reason))
            await self.reload(account_id)

        return Hands(lambda: self.snapshot, dict, lambda account: None, renewed, refused, lambda account: self.row)

    def refresher(self, owner: str = "prc_1", db: Database | None = None) -> Refresher:
        """One process. It looks at the database again and again without real waiting."""
        made = Refresher(db or self.db, self.vault, self.upstream, self.hands(), owner, lambda: self.now, Random(1), _soon)
        self.refreshers.append(made)
        return made

    async def another_database(self) -> Database:
        self.databases.append(await Database.open(str(self.db.url).replace("+aiosqlite", "")))
        return self.databases[-1]

    async def until(self, waiting: int) -> None:
        """So many calls wait at the server (`hold`)."""
        for _ in range(3000):
            if self.server.waiting >= waiting:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.server.waiting} calls wait")

    async def close(self) -> None:
        for refresher in self.refreshers:
            await refresher.close()
        for database in (self.db, *self.databases):
            await database.close()
        await self.upstream.close()


async def _soon(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.02))


def _complete(account: Account, tokens: Tokens) -> Account:
    return replace(providers.complete(account), access=tokens.access_token, access_until=tokens.expires_at)


@pytest.fixture
async def server() -> AsyncIterator[AuthServer]:
    async with AuthServer() as running:
        running.id_tokens = False
        yield running


@pytest.fixture
async def house(server: AuthServer, migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    db = await Database.open(f"sqlite:///{home / 'omni.db'}")
    made = House(server, home, db, secrets.load_or_create_master(home, {}))
    yield made
    await made.close()
