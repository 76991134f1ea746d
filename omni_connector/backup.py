"""A backup: one file with all that a moved installation needs, sealed with a passphrase (`sealing`): the database, the master key that it
is of no use without, and the small files of the home.

Under the seal: one line of JSON, {"made_at" ms, "release", "schema", "master_keys": content of a master.key, "files": {name: base64},
"database_bytes"}, then the bytes of the database. The head, which everybody can read, says format, version and how it was sealed.
`files` came later: older backups have none, and older releases do not look for it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omni_connector import __version__, sealing
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.store import files

Json = dict[str, Any]

FORMAT = "omni-connector-backup"
VERSION = 1
WHAT = "backup"
FACTS_BYTES = 1 << 20
PASSING = "passing-"
"""Files in backups/ that are only on their way begin so."""
STALE_S = 3600
FILES = (".env", "admin.key")
"""Of the home, what goes along beside the database and the master key. Not logs, copies and releases: they belong to the machine."""
FILE_BYTES = 128 << 10
"""Of one such file at most."""
_NAME = re.compile(r"\.env|admin\.key|[\w-][\w.-]{0,99}\.toml")
"""What may be put into a home: these, and a file of endpoints. Nothing with a folder in front of it."""


def home_files(home: Path, endpoints_file: str = "") -> dict[str, bytes]:
    """Name → content of the small files that are there. `endpoints_file`: the setting; the file goes along when it lies in the home.
    Raises GatewayError INTERNAL for one that cannot be read or is too large: a backup without it would be none."""
    endpoints = Path(endpoints_file) if endpoints_file else None
    names = [*FILES, *([endpoints.name] if endpoints is not None and endpoints.parent == home and _NAME.fullmatch(endpoints.name) else [])]
    found: dict[str, bytes] = {}
    for name in names:
        try:
            with (home / name).open("rb") as file:
                found[name] = file.read(FILE_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as error:
            words = f"{home / name} cannot be read ({error.strerror}), so the backup would not be whole."
            raise GatewayError(Kind.INTERNAL, words) from error
        if len(found[name]) > FILE_BYTES:
            raise GatewayError(Kind.INTERNAL, f"{home / name} is larger than {FILE_BYTES >> 10} KB. Make it smaller, then try again.")
    return found


def write(
    target: Path, database: Path, master_keys: str, passphrase: str, made_at: int, home_files: Mapping[str, bytes] | None = None
) -> int:
    """Seals `database`, a copy that nobody writes to, the keys and `home_files` into `target`: 0600, whole or not at all. Returns its
    size in bytes. Reads and writes all of it: call it in a thread. Raises GatewayError: BAD_REQUEST for a short passphrase, INTERNAL
    where it cannot be written (disk full)."""
    facts = {
        "made_at": made_at,
        "release": __version__,
        "schema": files.revision(database),
        "master_keys": master_keys,
        "files": {name: base64.b64encode(content).decode() for name, content in (home_files or {}).items()},
        "database_bytes": database.stat().st_size,
    }
    sealed = sealing.seal_stream(_plain(facts, database), passphrase, {"format": FORMAT, "version": VERSION})
    return _whole(target, sealed)


def _plain(facts: Json, database: Path) -> Iterator[bytes]:
    yield json.dumps(facts).encode() + b"\n"
    with database.open("rb") as file:
        while piece := file.read(sealing.CHUNK):
            yield piece


def read(source: Path, passphrase: str, database: Path) -> Json:
    """Opens a backup: its database goes to `database`, what it says of itself is returned. Only with the return is it known to be
    whole. Raises GatewayError: BAD_REQUEST for a wrong passphrase (code "wrong_passphrase") or a damaged file, INTERNAL for a full
    disk."""
    try:
        with source.open("rb") as file:
            pieces = sealing.open_stream(file, passphrase, FORMAT, VERSION, WHAT)
            facts, rest = _facts(pieces)
            size = _whole(database, _joined(rest, pieces))
    except OSError as error:
        raise bad_request(f"{source} cannot be read ({error.strerror}).") from error
    if size != facts["database_bytes"]:
        database.unlink()
        raise sealing.damaged(WHAT)
    return facts


def look(source: Path, passphrase: str) -> Json:
    """What a backup says of itself, without its database; whether that is whole is not known yet. Raises as `read` does."""
    try:
        with source.open("rb") as file:
            return _facts(sealing.open_stream(file, passphrase, FORMAT, VERSION, WHAT))[0]
    except OSError as error:
        raise bad_request(f"{source} cannot be read ({error.strerror}).") from error


def files_of(facts: Json) -> dict[str, bytes]:
    """Name → content of the small files in a backup; a name that none of ours has is left out. Raises GatewayError BAD_REQUEST."""
    said = facts.get("files") or {}
    try:
        return {name: base64.b64decode(text, validate=True) for name, text in said.items() if _NAME.fullmatch(name)}
    except (AttributeError, TypeError, binascii.Error, ValueError):
        raise sealing.damaged(WHAT) from None


def _facts(pieces: Iterator[bytes]) -> tuple[Json, bytes]:
    """What stands in the first line, and what is there already of what follows it."""
    begun = b""
    while b"\n" not in begun and len(begun) < FACTS_BYTES:
        begun += next(pieces, b"") or b"\n"
    line, _, rest = begun.partition(b"\n")
    try:
        facts = json.loads(line)
        good = isinstance(facts["master_keys"], str) and type(facts["database_bytes"]) is int and type(facts["made_at"]) is int
    except (ValueError, KeyError, TypeError):
        raise sealing.damaged(WHAT) from None
    if not good:
        raise sealing.damaged(WHAT)
    return dict(facts), rest


def _joined(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from pieces


def _whole(target: Path, pieces: Iterator[bytes]) -> int:
    """Temporary file, flushed, renamed: `target` is whole or stays what it was."""
    part = target.with_name(f".{target.name}.{secrets.token_hex(6)}.part")
    size = 0
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            for piece in pieces:
                size += file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        files.flush(target.parent)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise GatewayError(Kind.INTERNAL, f"{target} cannot be written ({error.strerror}). Nothing of it was kept.") from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return size


def move(source: Path, target: Path) -> None:
    """Takes a file to where it was asked for, on another disk too: whole or not at all. Raises GatewayError INTERNAL."""
    try:
        with source.open("rb") as file:
            _whole(target, iter(lambda: file.read(sealing.CHUNK), b""))
    except FileNotFoundError as error:
        raise GatewayError(Kind.INTERNAL, f"{source} is gone. Ask for the backup again.") from error
    source.unlink(missing_ok=True)


# ---------------------------------------------------------------- The folder backups/


def passing(folder: Path, ending: str) -> Path:
    """A new name for a file that is only on its way."""
    return folder / f"{PASSING}{secrets.token_hex(6)}{ending}"


def sweep(folder: Path, now_s: float) -> None:
    """Removes what a killed process left on its way."""
    for left in {*folder.glob(f"{PASSING}*"), *folder.glob("*.part")}:
        if left.is_file() and left.stat().st_mtime < now_s - STALE_S:
            left.unlink(missing_ok=True)


def copies(folder: Path) -> list[tuple[Path, int]]:
    """The copies of the daily ring and when each was made (ms), the newest first."""
    found = [(path, int(made)) for path in folder.glob("omni-*.db") if (made := path.stem.removeprefix("omni-")).isdecimal()]
    return sorted(found, key=lambda one: one[1], reverse=True)


def free_for(folder: Path, needed: int) -> None:
    """Raises GatewayError INTERNAL where the disk has no room, before hours of writing show it."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise GatewayError(
            Kind.INTERNAL, f"The disk of {folder} has {free >> 20} MB left, and {needed >> 20} MB are needed. Free some space."
        )
