"""Operations that look for what could be connected on this machine. (P-22, P-38)"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from omni_connector import local_logins
from omni_connector.admin.importing import Known, Ready, decide
from omni_connector.admin.onboarding import SignIns
from omni_connector.local_logins import Finding, Machine
from omni_connector.providers import Provider
from omni_connector.snapshot import Account

Json = dict[str, Any]

PORT_S = 1.5
"""How long a server of this machine may take to list its models."""


class Discoveries(SignIns):
    machine: Machine = Machine(None, {})
    """Where to look for what other programs keep; set by whoever puts the process together."""

    async def discover(self) -> Json:
        """GET /api/accounts/discover → {"found": [{"id", "kind", "provider", "title", "where", "who", "auth", "already", "warning",
        "importable", "why_not", "models"}]}. `already`: the id of the account that it is connected as. Nothing is changed."""
        found = await self._found()
        known = Known(self._snapshot().accounts)
        return {"found": [finding.as_json(self._already(finding, known)) for finding in found]}

    async def _found(self) -> list[Finding]:
        here, there = await asyncio.gather(asyncio.to_thread(local_logins.find, self.machine), local_logins.servers(self._listening))
        return [*here, *there]

    def _already(self, finding: Finding, known: Known) -> str:
        if finding.draft is None:
            return ""
        if finding.kind == "program":
            return next((account.id for account in self._snapshot().accounts if account.provider == finding.provider), "")
        ready = decide(finding.draft, Known(()), "skip", self._clock())
        same = known.same(ready.account) if isinstance(ready, Ready) else None
        return "" if same is None else same.id

    async def _listening(self, row: Provider) -> Sequence[str] | None:
        """The models that a row's own address lists; None when nothing of the kind answers."""
        try:
            async with asyncio.timeout(PORT_S):
                said = await self._ask_provider(Account("acc_look", row.id, row.label, auth="none"))
        except TimeoutError:
            return None
        return said.models if said.ok and said.status == 200 else None
