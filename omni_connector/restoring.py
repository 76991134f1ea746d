"""A backup, or a copy of the daily ring, becomes the present database again. Nothing that was there is lost, and a kill loses nothing.

First everything is made ready beside the present files and examined there: passphrase, integrity, schema (an older one is migrated),
and that the master key opens every secret. The small files of the home (.env, admin.key) come along. Then the note `restoring.json`
is written: from that moment the change is decided, and `finish` carries it out by renames alone. Who is killed in between is followed
by the next start, which calls `finish` first.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omni_connector import backup, homelock, settings
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.secrets import MASTER_FILE, SecretsError, join_master, load_or_create_master
from omni_connector.store import files, schema
from omni_connector.store.engine import Database, file_of
from omni_connector.store.files import Damaged, DatabaseError
from omni_connector.store.snapshot import load_snapshot
from omni_connector.values import dataclass

Json = dict[str, Any]

NOTE = "restoring.json"
READY = "restoring"
"""Folder of the home in which the master key is made ready; also the ending of the database that is."""
TAILS = ("", "-wal", "-shm")
POSTGRES = "This installation keeps its books in PostgreSQL: restore with pg_restore."


ABSENT = "absent.json"
"""In a folder before-restore-…: the names of small files that were not there before, so that going back removes them."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What comes beside the database. `put`: small files and their content; `gone`: names of those that go back to not being there."""

    source: Path
    sealed: bool
    made_at: int | None
    master: str = field(repr=False)
    put: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    gone: tuple[str, ...] = ()


async def restore(
    home: Path,
    env: Mapping[str, str],
    *,
    file: Path | None = None,
    copy: str = "",
    passphrase: str = "",
    keep_files: bool = False,
    now_ms: int,
) -> Json:
    """`file`: a sealed backup. `copy`: the name of one in backups/, without a passphrase. `keep_files`: leave .env and admin.key as they
    are. Returns {"made_at" ms | None, "accounts", "keys", "schema_before", "schema", "database", "files": names of the small files that
    changed, "kept": folder of what was there before | None}. Nobody may use the home meanwhile, and nobody can.

    Raises GatewayError, SettingsError or SecretsError with what to do; nothing is changed then."""
    settings.prepare_home(home)
    with homelock.alone(home):
        await asyncio.to_thread(finish, home)
        brought = await asyncio.to_thread(_look, home, file, copy, passphrase)
        if keep_files:
            brought = Brought(brought.source, brought.sealed, brought.made_at, brought.master)
        return await _carry_out(home, _in_force(home, env, brought), brought, passphrase, now_ms)


async def _carry_out(home: Path, env: Mapping[str, str], brought: Brought, passphrase: str, now_ms: int) -> Json:
    """`env`: the variables as they will be."""
    database = place(home, env)
    if await asyncio.to_thread(files.is_held, database):
        raise GatewayError(Kind.CONFLICT, f"{database} is in use. Stop the server, and whatever else has it open, then try again.")
    ready, keys = database.with_name(f"{database.name}.{READY}"), home / READY / MASTER_FILE
    _clear(ready, keys)
    try:
        await asyncio.to_thread(_bring, brought, passphrase, ready)
        new_keys = _join_keys(home, keys, brought.master)
        told = await _examine(home, env, ready, keys.parent if new_keys else home)
        kept = _beside(database, now_ms)
        changed = await asyncio.to_thread(_decide, home, database, ready, keys if new_keys else None, kept, brought)
    except BaseException:
        if not (home / NOTE).exists():
            _clear(ready, keys)
        raise
    await asyncio.to_thread(finish, home)
    return {
        "made_at": brought.made_at,
        **told,
        "database": str(database),
        "files": changed,
        "kept": str(kept) if kept.exists() else None,
    }


def place(home: Path, env: Mapping[str, str]) -> Path:
    """The file of the database. Raises GatewayError for PostgreSQL, and where there is no such folder on this machine."""
    url = settings.load(env, {}).database_url
    found = file_of(url) if url else home / "omni.db"
    if found is None:
        raise bad_request(POSTGRES)
    if not found.parent.is_dir():
        words = f"OMNI_DATABASE_URL puts the database into {found.parent}, and there is no such folder here."
        raise bad_request(f"{words} Make it, or restore with --keep-files, which leaves the .env of this machine as it is.")
    return found


def _in_force(home: Path, env: Mapping[str, str], brought: Brought) -> dict[str, str]:
    """The variables once the small files are in place. What the shell or a service sets goes before them, then as now."""
    if ".env" in brought.put:
        try:
            text = brought.put[".env"].decode("utf-8-sig")
        except UnicodeDecodeError:
            raise bad_request("The .env in it is no text in UTF-8. Restore with --keep-files, which leaves that one out.") from None
        return {**settings.parse_dotenv(text, "The .env in it"), **env}
    return dict(env) if ".env" in brought.gone else settings.environment(home, env)


# ---------------------------------------------------------------- Made ready and examined, beside what is there


def _look(home: Path, file: Path | None, copy: str, passphrase: str) -> Brought:
    if file is not None:
        facts = backup.look(file, passphrase)
        return Brought(file, True, int(facts["made_at"]), str(facts["master_keys"]), backup.files_of(facts))
    source = _copy(home, copy)
    made = dict(backup.copies(home / "backups")).get(source)
    if source.parent.name == "backups":
        return Brought(source, False, made, "")  # a copy of the ring goes with what is in the home
    beside, absent = source.parent / MASTER_FILE, source.parent / ABSENT
    gone = json.loads(absent.read_text("utf-8")) if absent.exists() else []
    master = beside.read_text("utf-8") if beside.exists() else ""
    return Brought(source, False, made, master, backup.home_files(source.parent), tuple(name for name in gone if name in backup.FILES))


def _bring(brought: Brought, passphrase: str, ready: Path) -> None:
    """Writes the database to `ready`."""
    if not brought.sealed:
        files.snapshot(brought.source, ready)
        return
    backup.free_for(ready.parent, brought.source.stat().st_size)
    backup.read(brought.source, passphrase, ready)


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


def _decide(home: Path, database: Path, ready: Path, keys: Path | None, kept: Path, brought: Brought | None = None) -> list[str]:
    """What is ready is durable, what it replaces is kept, and the note says what is to be done. Returns the small files that change."""
    put = {name: content for name, content in brought.put.items() if _content(home / name) != content} if brought else {}
    gone = [name for name in brought.gone if (home / name).exists()] if brought else []
    _keep(home, kept, [*([MASTER_FILE] if keys is not None else []), *put, *gone], had_database=database.exists())
    for name, content in put.items():
        (home / READY).mkdir(mode=0o700, exist_ok=True)
        _write(home / READY / name, content)
    files.flush(ready)
    files.flush(ready.parent)
    said = {"database": str(database), "ready": str(ready), "keys": "" if keys is None else str(keys), "kept": str(kept)}
    _write(home / NOTE, json.dumps({**said, "put": list(put), "gone": gone}))
    return [*put, *gone]


def _keep(home: Path, kept: Path, names: Iterable[str], *, had_database: bool) -> None:
    """Copies of what will be replaced, and which of it was not there; nothing where there was no installation to go back to."""
    there = {name: content for name in names if (content := _content(home / name)) is not None}
    absent = [name for name in names if name not in there and name != MASTER_FILE]
    if not there and not (absent and had_database):
        return
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in there.items():
        _write(kept / name, content)
    if absent:
        _write(kept / ABSENT, json.dumps(absent))
    files.flush(kept.parent)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def enter(home: Path) -> homelock.Hold:
    """Before an installation is opened: what a killed restore had decided is carried out, and no other one begins before the hold is
    released. Takes a while at worst: call it in a thread. Raises GatewayError CONFLICT while a restore is under way, DatabaseError."""
    while True:
        if (home / NOTE).exists():
            try:
                with homelock.alone(home, homelock.PAUSE_S):
                    finish(home)
            except GatewayError as error:
                if error.kind is not Kind.CONFLICT:
                    raise
                # Another start does it, or has done it by now; sharing waits for that.
        hold = homelock.share(home)
        if not (home / NOTE).exists():
            return hold
        hold.release()


def put_back(home: Path, env: Mapping[str, str], copy: Path, now_ms: int) -> Path:
    """Decides that `copy`, a database as a release before left it, takes the place of the present one at the next start. Not examined
    by migrating it: that release is to read it. Returns the folder that will hold the present one. Raises GatewayError."""
    database = place(home, settings.environment(home, env))
    ready, keys = database.with_name(f"{database.name}.{READY}"), home / READY / MASTER_FILE
    _clear(ready, keys)
    files.snapshot(copy, ready)
    if not files.is_sound(ready):
        _clear(ready, keys)
        raise bad_request(f"{copy} is damaged. Nothing was changed.")
    kept = _beside(database, now_ms)
    _decide(home, database, ready, None, kept)
    return kept


def finish(home: Path) -> bool:
    """Carries out what was decided, from wherever it was broken off. True when there was something to do. For who is alone.

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
        for name in said.get("put", []):
            if (home / READY / name).exists():
                (home / READY / name).replace(home / name)
        for name in said.get("gone", []):
            (home / name).unlink(missing_ok=True)
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
    """The words of a start that a damaged database stops: with the newest good copy, and the command that restores it. Call it in a
    thread."""
    return Damaged(" ".join((damage.message.removesuffix(files.NEXT), *way_back(home))))


def way_back(home: Path) -> tuple[str, str]:
    """Which copy is the newest good one, and the command that restores it. Reads copies until one is good: call it in a thread."""
    good = next(((path, made) for path, made in backup.copies(home / "backups") if files.is_sound(path)), None)
    if good is None:
        return "There is no good copy in backups/. Restore a backup of yours:", "omni-connector restore FILE"
    at = datetime.fromtimestamp(good[1] / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    words = f"The newest good copy is of {at} UTC, and what came later is lost with the damaged file, which is kept. To go back to it:"
    return words, f"omni-connector restore --snapshot {good[0].name}"


# ---------------------------------------------------------------- Small parts


def _write(target: Path, content: str | bytes) -> None:
    part = target.with_name(f".{target.name}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
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
