"""`omni-connector migrate-to`: the whole installation from one database to another, SQLite or PostgreSQL, in either direction. The home
with its keys stays; the database that was is left as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omni_connector import frames, homelock, settings
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.store import copying
from omni_connector.store.copying import Progress
from omni_connector.store.engine import Database, file_of, without_password

Json = dict[str, Any]
BUSY = "{count} processes work on {name}. Stop all of them (omni-connector stop, on each node), wait half a minute, then try again."


async def move(home: Path, env: Mapping[str, str], url: str, *, resume: bool, now: int, tell: Progress) -> Json:
    """→ {"from", "to", "rows", "tables", "sha256"}. Raises GatewayError (`copying.copy`; CONFLICT also while somebody works on either of
    the two, or entries of the books wait in spill/), SettingsError."""
    here = settings.load(env, {}).database_url or f"sqlite:///{home / 'omni.db'}"
    _check(home, here, url)
    with homelock.alone(home):
        source = await Database.open(here)
        try:
            await source.migrate(keep=home / "backups")
            return await _into(source, without_password(here), url, resume=resume, now=now, tell=tell)
        finally:
            await source.close()


async def _into(source: Database, whence: str, url: str, *, resume: bool, now: int, tell: Progress) -> Json:
    target = await Database.open(url)
    try:
        await target.migrate()
        for database, name in ((source, whence), (target, without_password(url))):
            # A process on SQLite holds the home, or has ended without saying so.
            if database.path is None and (count := await copying.busy(database, now)):
                raise GatewayError(Kind.CONFLICT, BUSY.format(count=count, name=name))
        done = await copying.copy(source, target, whence, resume=resume, tell=tell)
    finally:
        await target.close()
    rows = sum(done.rows.values())
    return {"from": whence, "to": without_password(url), "rows": rows, "tables": dict(done.rows), "sha256": done.sha256}


def _check(home: Path, here: str, url: str) -> None:
    file = file_of(here)
    if file is not None and not file.exists():
        raise bad_request(f"There is no database yet: {file} is not there.")
    if without_password(here) == without_password(url) or (file is not None and file == file_of(url)):
        raise bad_request("That is the database in use. Name another one.")
    if frames.left(home / "spill", ""):
        words = f"Entries of the books wait in {home / 'spill'}: start the server once while its database answers, stop it, then try again."
        raise GatewayError(Kind.CONFLICT, words)


def moved(home: Path, env: Mapping[str, str], url: str, *, resume: bool, now: int, tell: Progress) -> Json:
    """`move`, for who has no loop."""
    return asyncio.run(move(home, env, url, resume=resume, now=now, tell=tell))
