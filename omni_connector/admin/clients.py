"""Operations on the programs of this machine that talk to us: where they point, setting them up, taking it back. (P-57)

They write into the home of the user whom the server runs as, so only that user's own machine may ask (app.py sees to it). The room
`clients` is imported when somebody asks: a server starts without it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from omni_connector.admin import bodies
from omni_connector.admin.discovering import Discoveries
from omni_connector.errors import GatewayError

if TYPE_CHECKING:
    from omni_connector.clients import setting_up
    from omni_connector.clients.client import Places

Json = dict[str, Any]


class SetUpClient(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/clients/{name}/setup. `startup`: the shell's startup files may be written. `prove`: with a real request."""

    dry_run: bool = False
    model: str = ""
    key: str = ""
    url: str = ""
    startup: bool = False
    prove: bool = True


class UndoClient(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/clients/{name}/undo. `keep_later`: in a file that was changed since, only our own lines are taken out."""

    dry_run: bool = False
    keep_later: bool = False


class Clients(Discoveries):
    async def clients(self) -> Json:
        """GET /api/clients → {"url": what they are given, "clients": [{"name", "label", "installed", "state", "url", "model", "key_hint",
        "undoable", "why", "diff": what setting up would change, "blocked": why it cannot}]}; none where
        this process knows no home folder."""
        if self.machine.home is None:
            return {"url": self._here(), "clients": []}
        from omni_connector.clients import setting_up

        rows = await asyncio.to_thread(setting_up.listed, self._places(), self._here())
        return {"url": self._here(), "clients": [{**row, **await self._would(row["name"])} for row in rows]}

    async def _would(self, name: str) -> Json:
        from omni_connector.clients import setting_up

        try:
            intent = await self._intent(name, SetUpClient(startup=True))
        except GatewayError as error:
            return {"diff": "", "steps": [], "blocked": error.message}
        said = setting_up.told(intent)
        return {"diff": said["diff"], "steps": said["steps"], "blocked": ""}

    async def setup_client(self, name: str, body: object) -> Json:
        """POST /api/clients/{name}/setup → {"client", "url", "model", "key": {"hint", "new", "id"}, "files", "diff", "steps", "notes",
        "applied", "proof": {"ok", "words", "account", "model", "cost", "models"}}. Raises NOT_FOUND, BAD_REQUEST naming the field, CONFLICT
        for a file that cannot be changed."""
        from omni_connector.clients import proof, setting_up

        given = bodies.read({} if body is None else body, SetUpClient)
        intent = await self._intent(name, given)
        if given.dry_run:
            return {**setting_up.told(intent), "applied": False, "proof": None}
        prove = None if self.process.server == "none" else proof.by_http
        return await setting_up.set_up(intent, _Own(self), prove, self._clock())

    async def undo_client(self, name: str, body: object) -> Json:
        """POST /api/clients/{name}/undo → {"client", "files", "diff", "undone", "key_revoked"}. Raises NOT_FOUND when there is nothing to
        undo, CONFLICT when a file was changed since."""
        from omni_connector import clients
        from omni_connector.clients import setting_up

        given = bodies.read({} if body is None else body, UndoClient)
        undoing = await asyncio.to_thread(setting_up.intend_undo, clients.get(name), self._places(), keep_later=given.keep_later)
        return {**undoing.told(), "undone": False} if given.dry_run else await setting_up.take_back(undoing, _Own(self))

    # ------------------------------------------------------------ inside

    async def _intent(self, name: str, given: SetUpClient) -> setting_up.Intent:
        from omni_connector import clients
        from omni_connector.clients import setting_up

        asked = setting_up.Asked(given.url, given.key, given.model, given.startup, given.prove)
        return await setting_up.intend(clients.get(name), self._places(), self._here(), asked, _Own(self))

    def _places(self) -> Places:
        from omni_connector.clients import setting_up

        return setting_up.places_of(self.machine.home, self.process.home, self.machine.env)

    def _here(self) -> str:
        from omni_connector.clients.client import base

        return base(self.process.base_url or f"http://127.0.0.1:{self.settings.port}")


class _Own:
    """This process's own operations, as the steps of setting up call them."""

    def __init__(self, admin: Any) -> None:
        self._admin = admin

    async def call(self, operation: str, *args: Any) -> Json:
        answer: Json = await getattr(self._admin, operation)(*args)
        return answer
