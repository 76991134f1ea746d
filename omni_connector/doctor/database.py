"""The database: sound, of this release, and every secret in it decrypts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni_connector import settings
from omni_connector.admin.room import now_ms
from omni_connector.doctor.books import books as added_up
from omni_connector.doctor.finding import Finding
from omni_connector.frames import left
from omni_connector.secrets import SecretsError, Vault
from omni_connector.settings import Settings, SettingsError
from omni_connector.snapshot import Snapshot
from omni_connector.spill import ENDING
from omni_connector.values import dataclass

if TYPE_CHECKING:
    from omni_connector.store.refreshes import Refresh

SKEW_MS = 5_000


@dataclass(slots=True)
class Books:
    """What was found out. `picture`: None where it cannot be read; `journal`: account id → its last refresh."""

    findings: list[Finding] = field(default_factory=list)
    picture: Snapshot | None = None
    journal: Mapping[str, Refresh] = field(default_factory=dict)
    settings: Settings | None = None


async def database(home: Path, env: Mapping[str, str], stored: Settings, vault: Vault | None) -> Books:
    """Raises DatabaseError for one that cannot be read; damage is a finding that names the copy to go back to."""
    from omni_connector import restoring
    from omni_connector.store.files import NEXT, Away, Damaged

    waiting = spilled(home)
    try:
        books = await _examined(home, env, stored, vault)
        books.findings += [*waiting, *protected(stored, env)]
        return books
    except Away as away:
        words = "A server that runs serves on from what it knows, and its books go to the folder spill/ meanwhile."
        return Books([Finding("fail", "database", away.message, words), *waiting])
    except Damaged as damage:
        words, command = await asyncio.to_thread(restoring.way_back, home)
        return Books([Finding("fail", "database", f"{damage.message.removesuffix(NEXT)} {words}", command)])


def spilled(home: Path) -> list[Finding]:
    """Entries of the books that wait for the database."""
    waiting = [path for path in left(home / "spill", ENDING) if path.stat().st_size]
    if not waiting:
        return []
    size = sum(path.stat().st_size for path in waiting) / 1000
    words = f"{size:.0f} kB of entries of the books wait in {home / 'spill'} for the database."
    return [
        Finding("warn", "books", words, "They go over by themselves: start the server, and see that the database answers. Keep the folder.")
    ]


def protected(stored: Settings, env: Mapping[str, str]) -> list[Finding]:
    """Whether others may read along on the way to the database."""
    from omni_connector.store.engine import unsafe

    why = unsafe(stored.database_url, env)
    return (
        [Finding("warn", "database", why, "Add ?sslmode=verify-full&sslrootcert=FILE to OMNI_DATABASE_URL (docs/postgresql.md).")]
        if why
        else []
    )


async def _examined(home: Path, env: Mapping[str, str], stored: Settings, vault: Vault | None) -> Books:
    from omni_connector.store import schema
    from omni_connector.store.engine import Database

    path = home / "omni.db"
    if not stored.database_url and not path.exists():
        return Books([Finding("warn", "database", f"{path} is not there yet.", "The first start makes it: omni-connector --init-only")])
    db = await Database.open(stored.database_url or f"sqlite:///{path}")
    try:
        await db.integrity()
        revision, head = await db.run(schema.current), schema.head()
        if revision != head:
            words = f"Its schema is {revision or 'empty'}, this release has {head}."
            return Books([Finding("warn", "database", words, "The next start migrates it.")])
        books = Books(
            [Finding("ok", "database", "Sound, and of this release."), *await added_up(db), *clocks(await db.compare_clocks(now_ms))]
        )
        books.findings += await months(db)
        if vault is not None:
            await _contents(db, env, vault, books)
        return books
    finally:
        await db.close()


async def months(db: Any) -> list[Finding]:
    """Whether this month's requests have a table of their own (PostgreSQL)."""
    from omni_connector.store import partitions

    missing = await db.run(lambda conn: partitions.missing(conn, now_ms(), 0))
    if not missing:
        return []
    words = f"The table {missing[0].name} is missing, so the requests of this month are in {partitions.DEFAULT}."
    return [
        Finding("warn", "database", words, "The server makes it if its role may; else its owner: omni-connector partitions --months 12")
    ]


def clocks(offset_ms: int) -> list[Finding]:
    if abs(offset_ms) < SKEW_MS:
        return []
    words = f"The clock of this machine is {abs(offset_ms) / 1000:.0f} s {'behind' if offset_ms > 0 else 'ahead of'} the database's."
    return [Finding("warn", "clock", words, "Let both follow a time server: limits a minute and cooldowns count by each machine's own.")]


async def _contents(db: Any, env: Mapping[str, str], vault: Vault, books: Books) -> None:
    from omni_connector import providers
    from omni_connector.providers import sign_ins
    from omni_connector.store import refreshes
    from omni_connector.store.snapshot import load_snapshot

    try:
        picture: Snapshot = await db.run(lambda conn: load_snapshot(conn, vault, providers.complete))
    except SecretsError as error:
        books.findings.append(Finding("fail", "secrets", str(error), "Restore master.key and database from the same backup."))
        return
    books.findings.append(Finding("ok", "secrets", "Every stored credential decrypts."))
    try:
        books.settings = settings.load(env, picture.settings)
    except SettingsError as error:
        books.findings.append(Finding("fail", "settings", str(error), "omni-connector config set NAME default"))
    books.picture = replace(picture, accounts=sign_ins.only_one(picture.accounts, providers.PROVIDERS))
    signed = [account.id for account in picture.accounts if account.auth == "oauth"]
    books.journal = await db.run(lambda conn: {found.account_id: found for id_ in signed if (found := refreshes.read(conn, id_))})
