"""The operation that looks whether there is a newer release. Nothing is fetched until somebody asks, and nothing is changed.

What it takes is imported when somebody asks: a server starts without it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from omni_connector import settings
from omni_connector.admin.room import Room
from omni_connector.errors import GatewayError, Kind

Json = dict[str, Any]


class Updates(Room):
    async def check_update(self) -> Json:
        """POST /api/update/check → {"present", "offered", "update": whether they differ, "source", "schema": {"present", "offered",
        "moves"}, "previous": where `rollback` leads, or null, "command": what a terminal is told}. Raises CONFLICT with why nothing can be
        told: no release of install.sh, no address of releases, or nothing there."""
        from omni_connector.updating import releases, steps

        home = self.process.home
        try:
            told = await asyncio.to_thread(steps.check, home, settings.environment(home))
        except (releases.UpdateError, OSError) as error:
            raise GatewayError(Kind.CONFLICT, str(error)) from error
        names = ("present", "offered", "update", "source", "schema", "previous")
        return {**{name: told[name] for name in names}, "command": "omni-connector update"}
