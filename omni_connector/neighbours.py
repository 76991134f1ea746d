"""What other processes do, told to the dashboards of this one: so the live view is complete whichever node, or worker, shows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from omni_connector.admin import Admin, shapes
from omni_connector.live import Live
from omni_connector.snapshot import Snapshot
from omni_connector.store import following
from omni_connector.store.engine import Database
from omni_connector.store.files import Away

log = logging.getLogger("omni.neighbours")

EVERY_S = 0.5
BEFORE_MS = 3_000
"""Who begins to look is told what was settled so long before: it may have happened between the picture he got and our first look."""
MOST_OPEN = 200


class Neighbours:
    """`alone`: there are no others. `now` in ms."""

    def __init__(self, db: Database, live: Live, admin: Admin, process_id: str, now: Callable[[], int], alone: Callable[[], bool]) -> None:
        self._db = db
        self._live = live
        self._admin = admin
        self._process_id = process_id
        self._now = now
        self._alone = alone
        self._known: following.Known | None = None
        self._opened: frozenset[str] = frozenset()

    async def changed(self, before: Snapshot, after: Snapshot) -> None:
        """Somebody else changed the configuration."""
        live, admin = self._live, self._admin
        if not live.listening:
            return
        for account in after.accounts:
            live.publish("account", await admin.account(account.id))
        for gone in {account.id for account in before.accounts} - {account.id for account in after.accounts}:
            live.publish("account-removed", {"id": gone})
        for key in (await admin.keys())["keys"]:
            live.publish("key", key)
        if before.providers != after.providers:
            for provider in (await admin.providers())["providers"]:
                live.publish("provider", provider)

    async def follow(self) -> None:
        """For ever: requests that others open and settle, while somebody looks here."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.look()
            except Away:
                self._known = None  # the dashboard says that the database is away
            except Exception:
                log.exception("requests of other processes could not be followed; it is tried again")

    async def look(self) -> None:
        """Tells what is new since the last look."""
        if self._alone() or not self._live.watched:
            self._known = None
            return
        opened, settled = await self._db.run(self._read)
        for row in (*opened, *settled):
            if row["process_id"] != self._process_id:
                self._live.publish("request", shapes.request(row))

    def _read(self, conn: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        now = self._now()
        opened = following.opened(conn, self._process_id, MOST_OPEN)
        fresh = [row for row in opened if row["id"] not in self._opened]
        self._opened = frozenset(row["id"] for row in opened)
        if self._known is None:
            self._known = following.begin(conn, now)
            return fresh, following.since(conn, {}, now - BEFORE_MS)
        settled, self._known = following.look(conn, {}, self._known, now)
        return fresh, settled
