"""An Admin on a fresh database, with a clock that stands still and a provider that answers what the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from omni_connector import catalog, providers, settings
from omni_connector.admin import Admin, Process, TestResult
from omni_connector.routing.pool import Pool
from omni_connector.secrets import Vault
from omni_connector.snapshot import Account, Snapshot
from omni_connector.store.engine import Database
from omni_connector.store.snapshot import load_snapshot

NOW = 1_795_000_000_000


class House:
    """`admin`, what it published (`events`), and the provider's next answer (`says`)."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db = db
        self.vault = Vault({"k1": bytes(32)}, "k1")
        self.snapshot = Snapshot()
        self.now = NOW
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.says = TestResult(True, 200, "fine", ("model-a", "model-b"), 7)
        self.asked: list[Account] = []
        self.pool = Pool(catalog.family)
        self.admin = Admin(
            db,
            self.vault,
            settings.Settings(),
            snapshot=lambda: self.snapshot,
            reload=self.reload,
            publish=lambda name, value: self.events.append((name, value)),
            process=Process(NOW - 5000, home, "http://localhost:38471"),
            pool=self.pool,
            test_account=self.ask,
            clock=lambda: self.now,
        )

    async def reload(self) -> None:
        self.snapshot = await self.db.run(lambda conn: load_snapshot(conn, self.vault, providers.complete))
        self.admin.settings = settings.load({}, self.snapshot.settings)
        self.pool.sync(self.snapshot, self.now)

    async def ask(self, account: Account) -> TestResult:
        self.asked.append(account)
        return self.says


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    db = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await db.migrate()
    found = House(db, tmp_path)
    await found.reload()
    yield found
    await db.close()


@pytest.fixture
def admin(house: House) -> Admin:
    return house.admin
