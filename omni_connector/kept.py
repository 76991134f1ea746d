"""What earlier requests left for later ones, read back: answers by id, and what goes with tool calls.

Written by the ledger together with a request's settlement (`prepare.kept_rows`); each client key sees its own only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omni_connector.secrets import SecretsError, Vault
from omni_connector.store import kept as rows
from omni_connector.store.engine import Database
from omni_connector.store.files import Away
from omni_connector.wire import call_marks
from omni_connector.wire import openai_responses_state as state

log = logging.getLogger("omni.kept")

Row = dict[str, Any]
Json = dict[str, Any]


class Kept:
    """Reads of one process. Nothing is cached: another process may have written it."""

    def __init__(self, db: Database, vault: Vault, away: Callable[[], bool] = lambda: False) -> None:
        self._db = db
        self._vault = vault
        self._away = away

    async def earlier(self, key_id: str, response_id: str) -> Sequence[state.Kept]:
        """A response and those before it, oldest first; empty when it is not there. Raises GatewayError (BAD_REQUEST) for another
        key's: the provider that may know it too would go on with it for anybody."""

        def read(conn: Any) -> Sequence[Row]:
            chain = rows.chain(conn, key_id, response_id)
            if not chain and rows.is_of_another(conn, rows.RESPONSE, key_id, response_id):
                raise state.missing(response_id)
            return chain

        found = await self._db.run(read, soon=True)
        return await asyncio.to_thread(lambda: [state.Kept(self._value(row), row["account_id"], row["previous_id"]) for row in found])

    async def marks(self, key_id: str, call_ids: Sequence[str]) -> Mapping[str, call_marks.Mark]:
        """None of them while the database is away: most providers do without."""
        if self._away():
            return {}
        try:
            found = await self._db.run(lambda conn: rows.get(conn, rows.CALL, key_id, call_ids), soon=True)
        except Away as error:
            log.warning("a request goes without what was kept of its tool calls: %s", error)
            return {}
        return await asyncio.to_thread(self._read_marks, found) if found else {}

    def _read_marks(self, found: Sequence[Row]) -> dict[str, call_marks.Mark]:
        """A damaged one is left out: a call without its mark may be refused by a provider, and by no more than that one."""
        marks: dict[str, call_marks.Mark] = {}
        for row in found:
            try:
                marks[row["id"]] = call_marks.from_json(self._value(row))
            except (SecretsError, LookupError, TypeError, ValueError) as error:
                log.error("what was kept of a tool call cannot be read: %s", error)
        return marks

    async def response(self, key_id: str, response_id: str) -> Json:
        """Raises GatewayError (NOT_FOUND)."""
        found = await self._db.run(lambda conn: rows.get(conn, rows.RESPONSE, key_id, [response_id]), soon=True)
        if not found:
            raise state.not_found(response_id)
        return await asyncio.to_thread(self._value, found[0])

    async def forget(self, key_id: str, response_id: str) -> None:
        """Raises GatewayError (NOT_FOUND)."""
        if not await self._db.tx(lambda conn: rows.delete(conn, rows.RESPONSE, key_id, response_id)):
            raise state.not_found(response_id)

    def _value(self, row: Row) -> Json:
        return rows.open_(self._vault, row["kind"], row["id"], row["value"])
