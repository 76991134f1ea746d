"""A backup, or a copy of the daily ring, becomes the present database again. Nothing that was there is lost, and a kill loses nothing.

First everything is made ready beside the present files and examined there: passphrase, integrity, schema (an older one is migrated),
and that the master key opens every secret. Then the note `restoring.json` is written: from that moment the change is decided, and
`finish` carries it out by renames alone. Who is killed in between is followed by the next start, which calls `finish` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omni_connector import backup, settings
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.secrets import MASTER_FILE, SecretsError, join_master, load_or_create_master
from omni_connector.store import files, schema
from omni_connector.store.engine import Database, file_of
from omni_connector.store.files import Damaged, DatabaseError
from omni_connector.store.snapshot import load_snapshot

Json = dict[str, Any]

NOTE = "restoring.json"
READY = "restoring"
"""Folder of the home in which the master key is made ready; also the ending of the database that is."""
TAILS = ("", "-wal", "-shm")
POSTGRES = "This installation keeps its books in PostgreSQL: restore with pg_restore."


async def restore(
    home: Path, env: Mapping[str, str], *, file: Path | None = None, copy: str = "", passphrase: str = "", now_ms: int
) -> Json:
    """`file`: a sealed backup. `copy`: the name of one in backups/, without a passphrase. Returns {"made_at" ms | None, "accounts",
    "keys", "schema_before", "schema", "database", "kept": folder of what was there before | None}. No process may use the database.

    Raises GatewayError, SettingsError or SecretsError with what to do; nothing is changed then."""
    env = settings.environment(home, env)
    database = place(home, env)
    settings.prepare_home(home)
    finish(home)
    if await asyncio.to_thread(files.is_held, database):
        raise GatewayError(Kind.CONFLICT, f"{database} is in use. Stop the server, and whatever else has it open, then try again.")
    ready, keys = database.with_name(f"{database.name}.{READY}"), home / READY / MASTER_FILE
    _clear(ready, keys)
    try:
        made_at, master = await asyncio.to_thread(_bring, home, ready, file, copy, passphrase)
        new_keys = _join_keys(home, keys, master)
        told = await _examine(home, env, ready, keys.parent if new_keys else home)
        kept = _beside(database, now_ms)
        await asyncio.to_thread(_decide, home, database, ready, keys if new_keys else None, kept)
    except BaseException:
        if not (home / NOTE).exists():
            _clear(ready, keys)
        raise
    await asyncio.to_thread(finish, home)
    return {"made_at": made_at, **told, "database": str(database), "kept": str(kept) if kept.exists() else None}


def place(home: Path, env: Mapping[str, str]) -> Path:
    """The file of the database. Raises GatewayError for PostgreSQL."""
    url = settings.load(env, {}).database_url
    found = file_of(url) if url else home / "omni.db"
    if found is None:
        raise bad_request(POSTGRES)
    return found


# ---------------------------------------------------------------- Made ready and examined, beside what is there


def _bring(home: Path, ready: Path, file: Path | None, copy: str, passphrase: str) -> tuple[int | None, str]:
    """Writes the database to `ready` → when it was made, and the master keys that come with it ("" for none)."""
    if file is not None:
        if file.exists():
            backup.free_for(ready.parent, file.stat().st_size)
        facts = backup.read(file, passphrase, ready)
        return int(facts["made_at"]), str(facts["master_keys"])
    source = _copy(home, copy)
    made = dict(backup.copies(home / "backups")).get(source)
    beside = source.parent / MASTER_FILE
    files.snapshot(source, ready)
    # Only a folder of before a restore has a key of its own; a copy of the ring uses the one of the home.
    return made, beside.read_text("utf-8") if source.parent.name != "backups" and beside.exists() else ""


def _copy(home: Path, name: str) -> Path:
    """The database that a name in backups/ means: a copy of the ring, or what was there before a restore."""
    folder = home / "backups"
    # Looked up among what is there, so that no name leads out of the folder.
    found = next((path for path in folder.iterdir() if path.name == name), None)
    if found is not None and found.is_dir():
        found = next(found.glob("*.db"), None)
    if found is None or not found.is_file():
        there = ", ".join(path.name for path, _ in backup.copies(folder)) or "none"
        raise bad_request(f"There is no copy {name!r} in {folder}. There are: {there}.")
    return found


def _join_keys(home: Path, keys: Path, master: str) -> bool:
    """Writes the master key that is to be: the one that came, and the present one behind it, for copies that need it. False: it
    stays as it is."""
    present = home / MASTER_FILE
    if not master:
        return False
    text = master
    if present.exists():
        with contextlib.suppress(SecretsError):  # a damaged key file is kept beside as it is
            text = join_master(master, present.read_text("utf-8"))
    if present.exists() and present.read_text("utf-8") == text:
        return False
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    _write(keys, text)
    return True


async def _examine(home: Path, env: Mapping[str, str], ready: Path, key_home: Path) -> Json:
    """Raises unless the database is whole, of a schema we know, and opened by its key. Migrates it."""
    if not await asyncio.to_thread(files.is_sound, ready):
        raise bad_request("The database in it is damaged, or none of omni-connector's. Nothing was changed; use another copy.")
    before = files.revision(ready) or ""
    if not schema.knows(before):
        raise bad_request(f"The database in it has schema {before}, of a newer release. Install that release, then restore again.")
    vault = load_or_create_master(key_home, env)
    db = await Database.open(f"sqlite:///{ready}")
    try:
        await db.migrate()
        picture = await db.run(lambda conn: load_snapshot(conn, vault))
    finally:
        await db.close()
    return {"accounts": len(picture.accounts), "keys": len(picture.keys), "schema_before": before, "schema": schema.head()}


# ---------------------------------------------------------------- Decided, and carried out


def _beside(database: Path, now_ms: int) -> Path:
    """Where the present files go: into backups/, unless that is on another disk, where a rename cannot reach."""
    folder = database.parent / "backups"
    name = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("before-restore-%Y%m%d-%H%M%S")
    same_disk = folder.is_dir() and folder.stat().st_dev == database.parent.stat().st_dev
    found = first = (folder if same_disk else database.parent) / name
    number = 1
    while found.exists():
        number += 1
        found = first.with_name(f"{name}-{number}")
    return found


def _decide(home: Path, database: Path, ready: Path, keys: Path | None, kept: Path) -> None:
    """What is ready is durable, the present key is kept, and the note says what is to be done."""
    files.flush(ready)
    files.flush(ready.parent)
    present = home / MASTER_FILE
    if keys is not None and present.exists():
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(kept / MASTER_FILE, present.read_text("utf-8", "surrogateescape"))
        files.flush(kept.parent)
    said = {"database": str(database), "ready": str(ready), "keys": "" if keys is None else str(keys), "kept": str(kept)}
    _write(home / NOTE, json.dumps(said))


def finish(home: Path) -> bool:
    """Carries out what was decided, from wherever it was broken off. True when there was something to do. Called by every start.

    Raises DatabaseError."""
    note = home / NOTE
    try:
        said = json.loads(note.read_text("utf-8"))
        database, ready, kept = Path(said["database"]), Path(said["ready"]), Path(said["kept"])
        if ready.exists():  # else this part is done already
            for tail in TAILS:
                old = database.with_name(database.name + tail)
                if old.exists():
                    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
                    old.replace(kept / old.name)
            if kept.exists():
                files.flush(kept)
                files.flush(kept.parent)
            ready.replace(database)
            files.flush(database.parent)
        if said["keys"] and Path(said["keys"]).exists():
            Path(said["keys"]).replace(home / MASTER_FILE)
            files.flush(home)
        note.unlink()
        _clear(ready, home / READY / MASTER_FILE)
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError) as error:
        raise DatabaseError(f"A restore that was begun cannot be finished ({error}). Make {note} and what it names writable.") from error
    return True


# ---------------------------------------------------------------- A start that finds damage


def offer(home: Path, damage: Damaged) -> Damaged:
    """The words of a start that a damaged database stops: with the newest good copy, and the command that restores it. Reads copies
    until one is good: call it in a thread."""
    copies = backup.copies(home / "backups")
    good = next(((path, made) for path, made in copies if files.is_sound(path)), None)
    if good is None:
        way = "There is no good copy in backups/. Restore a backup of yours: omni-connector restore FILE"
    else:
        at = datetime.fromtimestamp(good[1] / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        way = f"The newest good copy is of {at} UTC; the damaged file is kept beside it: omni-connector restore --snapshot {good[0].name}"
    return Damaged(f"{damage.message} {way}")


# ---------------------------------------------------------------- Small parts


def _write(target: Path, text: str) -> None:
    part = target.with_name(f".{target.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
    files.flush(target.parent)


def _clear(ready: Path, keys: Path) -> None:
    for tail in TAILS:
        ready.with_name(ready.name + tail).unlink(missing_ok=True)
    for part in ready.parent.glob(f".{ready.name}.*.part"):
        part.unlink(missing_ok=True)
    shutil.rmtree(keys.parent, ignore_errors=True)
