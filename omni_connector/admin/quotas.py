"""Operations that show what is left on the accounts, and ask for it now. (P-05, P-30, J-07)"""

from __future__ import annotations

from typing import Any

from omni_connector.admin.accounts import Accounts
from omni_connector.errors import GatewayError, Kind

Json = dict[str, Any]
SHOWN = (
    "id",
    "label",
    "provider",
    "provider_label",
    "enabled",
    "status",
    "plan",
    "quota",
    "forecast",
    "balance",
    "polled_at",
    "quota_error",
    "can_refresh",
)
"""Of an account's fields, those that GET /api/quota gives."""


class Quotas(Accounts):
    async def quota(self) -> Json:
        """GET /api/quota → {"accounts": […SHOWN], "interval_min"}. `can_refresh`: there is somebody to ask. What nobody tells is missing
        or null, never 0."""
        rows = (await self.accounts())["accounts"]
        told = [{name: row[name] for name in SHOWN} for row in rows]
        return {"accounts": told, "interval_min": self.settings.quota_refresh_interval}

    async def refresh(self, account_id: str) -> Json:
        """POST /api/accounts/{id}/refresh → the account, with "message": what came of asking its provider now. Raises NOT_FOUND."""
        account = self._find(account_id)
        if self.poller is None:
            raise GatewayError(Kind.INTERNAL, "This process cannot ask providers.")
        message = await self.poller.refresh(account)
        return {**await self.account(account_id), "message": message}
