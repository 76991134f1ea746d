"""Operations on what holds for a provider as a whole, all its accounts: its switch, address, names of models, name. (J-03, J-22, J-23)"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omni_connector import providers
from omni_connector.admin import bodies
from omni_connector.admin.catalogue import Catalogue
from omni_connector.admin.draft import changed_settings
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.providers import Provider
from omni_connector.snapshot import Account, ProviderSettings
from omni_connector.store import accounts as account_rows
from omni_connector.store import providers as table

Json = dict[str, Any]


class Providers(Catalogue):
    async def edit_provider(self, provider_id: str, body: object) -> Json:
        """PATCH /api/providers/{type} {"enabled", "base_url", "model_map", "name"} → as `provider`. `null` or an empty value: as the
        program knows it. Accounts that get another address by it are tried there at once, whatever failed at the old one.

        Raises NOT_FOUND with near names, BAD_REQUEST naming the field.
        """
        row = providers.get(provider_id)
        changes = changed_settings(bodies.read(body, bodies.ProviderPatch), row)
        moved = self._moved(row, changes)

        def write(conn: Any) -> None:
            table.put(conn, row.id, {**changes, "updated_at": self._clock()})
            for account in moved:
                account_rows.set_state(conn, account.id, "ok", "")
                account_rows.clear_cooldowns(conn, account.id)

        if changes:
            await self._change(write)
        for account in moved:
            self._let_in(account.id)
        return await self._provider_told(row.id)

    def account_of(self, provider_id: str, wanted: str) -> str:
        """The id of an account (id or label) of this provider. Raises NOT_FOUND with near names. (C-69…C-71)"""
        row = providers.get(provider_id)
        mine = [account for account in self._snapshot().accounts if account.provider == row.id]
        found = next((account.id for account in mine if wanted in (account.id, account.label)), None)
        if found is None:
            near = bodies.did_you_mean(wanted, [account.label for account in mine])
            raise GatewayError(Kind.NOT_FOUND, f"{row.label} has no account {wanted[:200]!r}{near}.", param="account")
        return found

    async def enable_provider(self, provider_id: str) -> Json:
        return await self.edit_provider(provider_id, {"enabled": True})

    async def disable_provider(self, provider_id: str) -> Json:
        """New requests go elsewhere at once; what is in flight ends normally. Its accounts keep their own switches."""
        return await self.edit_provider(provider_id, {"enabled": False})

    def _moved(self, row: Provider, changes: Json) -> list[Account]:
        """The accounts that get another address. Raises BAD_REQUEST when they would have none."""
        if "base_url" not in changes:
            return []
        snapshot = self._snapshot()
        after = replace(snapshot.providers.get(row.id, ProviderSettings(row.id)), **changes)
        mine = [account for account in snapshot.accounts if account.provider == row.id]
        moved = [a for a in mine if providers.complete(a.own or a, {row.id: after}).base_url != a.base_url]
        if moved and not after.base_url and not row.base_url:
            labels = ", ".join(repr(account.label) for account in moved)
            raise bad_request(
                f"base_url: {row.label} has no address of its own: {labels} would have none. Give them one first.", "base_url"
            )
        return moved

    async def _provider_told(self, provider_id: str) -> Json:
        """The provider and its accounts as they are now: to the dashboards, and as the answer."""
        told = await self.provider(provider_id)
        self._publish("provider", {name: value for name, value in told.items() if name != "account_list"})
        for account in told["account_list"]:
            self._publish("account", account)
        return told
