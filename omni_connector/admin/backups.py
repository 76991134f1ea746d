"""The operation that writes a backup, and the list of the copies that are made by themselves. (P-61)"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from omni_connector import backup, sealing
from omni_connector.admin import bodies
from omni_connector.admin.room import Room

Json = dict[str, Any]


class MakeBackup(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/backup. `password`, `admin_key`: for the route, which wants one of them again. `download` False: the answer tells about
    the file, which waits in backups/ to be taken."""

    passphrase: str
    password: str = ""
    admin_key: str = ""
    download: bool = True


class Backups(Room):
    async def backup(self, body: object) -> Json:
        """POST /api/backup → {"file": its name in backups/, where whoever asked takes it from, "filename": how to call it, "bytes",
        "made_at"}. Whoever calls this has made sure that it is the owner who asks. Raises BAD_REQUEST for a short passphrase, INTERNAL
        for a disk that is full or a database that is PostgreSQL."""
        given = bodies.read(body, MakeBackup)
        sealing.must_be_long_enough(given.passphrase)
        folder, now = self.process.home / "backups", self._clock()
        await asyncio.to_thread(backup.sweep, folder, time.time())
        beside = await asyncio.to_thread(backup.home_files, self.process.home, self.settings.endpoints_file)
        copy, target = backup.passing(folder, ".db"), backup.passing(folder, ".sealed")
        try:
            await self.db.snapshot_to(copy)
            size = await asyncio.to_thread(backup.write, target, copy, self.vault.written(), given.passphrase, now, beside)
        finally:
            copy.unlink(missing_ok=True)
        stamp = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y-%m-%d")
        return {"file": target.name, "filename": f"omni-connector-{stamp}.backup", "bytes": size, "made_at": now}

    async def backups(self) -> Json:
        """GET /api/backups → {"snapshots": [{"name", "made_at", "bytes"}], newest first, "kept": how many there may be, "every_h"}."""
        found = await asyncio.to_thread(backup.copies, self.process.home / "backups")
        rows = [{"name": path.name, "made_at": made, "bytes": path.stat().st_size} for path, made in found]
        return {"snapshots": rows, "kept": self.settings.snapshots_kept, "every_h": self.settings.snapshot_hours}
