"""What a page of the dashboard is told when it opens, also while the database is away. (C-98, R-13)"""

from __future__ import annotations

from typing import Any

from omni_connector import __version__, providers
from omni_connector.admin import shapes
from omni_connector.admin.books import Books
from omni_connector.admin.keys import Keys
from omni_connector.admin.providers import Providers
from omni_connector.admin.system import System
from omni_connector.store.files import Away

Json = dict[str, Any]
ROWS = 50
"""Requests that a page begins with: the first page of the activity view."""
UNREAD = ["activity", "requests"]
"""What only the database knows: the figures of today and the last use of accounts and keys; the request log."""


class Opening(Providers, Books, System, Keys):
    async def opening(self) -> Json:
        """The snapshot of GET /api/events: {"version", "accounts", "keys", "requests", "system", "providers", "unread"}.

        `unread`: parts that could not be read and so are empty, [] while the database answers.
        """
        try:
            rows = await self.requests({"limit": str(ROWS)})
            accounts, keys, unread = (await self.accounts())["accounts"], (await self.keys())["keys"], []
        except Away:
            rows, accounts, keys, unread = {"requests": []}, self._accounts_known(), self._keys_known(), UNREAD
        return {
            "version": __version__,
            "accounts": accounts,
            "keys": keys,
            "requests": rows["requests"],
            "system": await self.system(),
            "providers": [self._provider_json(row, accounts) for row in providers.PROVIDERS.values()],
            "unread": unread,
        }

    def _accounts_known(self) -> list[Json]:
        """As `accounts()` gives them, from the memory of this process."""
        return [self._account_json(account, {}, None) for account in self._in_order()]

    def _keys_known(self) -> list[Json]:
        newest_first = sorted(self._snapshot().keys.values(), key=lambda key: -key.created_at)
        return [self._spent(shapes.key(key, self._clock())) for key in newest_first]
