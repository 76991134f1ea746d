"""What a file brings beside accounts: aliases, chains, prices, limits and settings. Nothing that is there is replaced unasked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any

from omni_connector.admin.importing import Row
from omni_connector.admin.limits import Limits
from omni_connector.admin.prices import Prices
from omni_connector.admin.system import System
from omni_connector.admin.uploads import ImportAccounts
from omni_connector.errors import GatewayError, bad_request
from omni_connector.transfer import Imported
from omni_connector.values import dataclass

Json = dict[str, Any]

MOST_NAMES = 1000
"""Aliases, chains, prices, limits and settings of one file."""
PARTS = ("aliases", "chains", "prices", "limits", "settings")
LONGEST = 100
SCOPES = ("installation", "provider", "model")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to take over. `there`: one of its name exists. `store` raises GatewayError."""

    kind: str
    name: str
    there: bool
    store: Callable[[], Awaitable[Json]]


class TakingOver(Limits, Prices, System):
    async def _also(self, imported: Imported, given: ImportAccounts, rows: Iterable[Row]) -> Json:
        """What is not there yet (or `update`), and settings where they are asked for; what is wrong is left out and named. `rows`: what
        became of the accounts."""
        done: Json = {**{kind: [] for kind in PARTS}, "left_out": []}
        for part in [*self._named(imported, given), *self._prices(imported, rows), *self._limits(imported)][:MOST_NAMES]:
            if part.there and given.on_conflict != "update":
                done["left_out"].append(f"{part.kind}: {part.name} is there already")
                continue
            try:
                if not given.dry_run:
                    await part.store()
                done[part.kind].append(part.name)
            except GatewayError as error:
                done["left_out"].append(f"{part.kind}: {part.name[:LONGEST]}: {error.message}")
        return done

    def _named(self, imported: Imported, given: ImportAccounts) -> Iterator[Part]:
        picture = self._snapshot()
        for name, targets in imported.aliases.items():
            yield Part("aliases", name, name in picture.aliases, partial(self.set_alias, name, {"targets": targets}))
        for name, tiers in imported.chains.items():
            yield Part("chains", name, name in picture.chains, partial(self.set_chain, name, {"tiers": tiers}))
        for name, value in imported.settings.items() if given.settings else ():
            yield Part("settings", name, False, partial(self.set_config, {name: value}))

    def _prices(self, imported: Imported, rows: Iterable[Row]) -> Iterator[Part]:
        """Each for the account that the one in the file has become, whatever that is labelled here."""
        there = {(entry.pattern, entry.scope) for entry in self._snapshot().prices}
        became = {row.where: row for row in rows}
        accounts = {draft.label: became.get(draft.where) for draft in imported.accounts}
        for said in imported.prices:
            pattern, label, provider = said["pattern"], said.get("account"), said.get("provider")
            row = accounts.get(label) if isinstance(label, str) else None
            name = f"{pattern[:LONGEST]} of {label or provider}" if label or provider else pattern[:LONGEST]
            if label and (row is None or (row.id is None and row.outcome != "added")):
                yield Part("prices", name, False, _nobody)
                continue
            # Of a dry run, the account is not there yet.
            body = {field: value for field, value in said.items() if field not in ("pattern", "account")}
            scope = f"account:{row.id}" if row else f"provider:{provider}" if provider else ""
            whole = {**body, "account": row.id or ""} if row else body
            yield Part("prices", name, (pattern.strip(), scope) in there, partial(self.set_price, pattern, whole))

    def _limits(self, imported: Imported) -> Iterator[Part]:
        there = {(limit.scope, limit.subject) for limit in self._snapshot().limits}
        for said in imported.limits:
            scope, subject = said["scope"], str(said.get("subject") or "")
            if scope not in SCOPES:
                continue  # accounts and keys carry theirs themselves
            body = {field: value for field, value in said.items() if field not in ("scope", "subject")}
            name = f"{scope} {subject[:LONGEST]}".strip()
            yield Part("limits", name, (scope, subject) in there, partial(self.set_limit, scope, subject, body))


async def _nobody() -> Json:
    raise bad_request("its account was not imported.", "account")
