"""The SQLite file itself: creating it private, checking it, copying it; and plain words for what databases say."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind

QUICK_BYTES = 256 * 1024**2
"""A file up to this size is rewritten in a few seconds."""


class DatabaseError(GatewayError):
    """The database cannot be used. `message` names the file and the fix; nothing was reset or thrown away."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.INTERNAL, message, code="database_error")


class Damaged(DatabaseError):
    """The file is no database, or a torn one."""


class Away(DatabaseError):
    """It takes nothing for now (the server is down or cut off, the disk is full), and will again by itself."""


class Silent(Away):
    """It did not answer in time. What it was asked for may have been done all the same, or may still be."""


NEXT = " Stop the server, then ask omni-connector doctor: it names the copy in backups/ to go back to."
"""What to do about damage, for who cannot look for the copy at once."""

# What SQLite says (a part of it) → what we say.
_DAMAGE = (
    ("file is not a database", "malformed", "file is encrypted", "disk image", "unsupported file format"),
    "{file} is damaged or is not an omni-connector database ({error}). Nothing was changed." + NEXT,
)
_FULL = (
    ("disk is full", "no space left"),
    "The disk that holds {file} is full: nothing more can be saved. Free some space; the work goes on by itself then ({error}).",
)
_SAYINGS = (
    _DAMAGE,
    _FULL,
    (
        ("database is locked", "database table is locked"),
        "{file} is held by another process for more than 10 seconds. End that process, or the tool that has the file open ({error}).",
    ),
    (
        ("unable to open", "no such file", "readonly database", "attempt to write a readonly", "disk i/o error", "permission denied"),
        "{file} cannot be opened or written: check that the folder exists, belongs to this user and its disk works ({error}).",
    ),
    (
        ("no such table", "no such column"),
        "{file} has an older or newer schema than this release. Start the server once to migrate it, or install the newer "
        "release again ({error}).",
    ),
)

_KINDS = {_DAMAGE[1]: Damaged, _FULL[1]: Away}


def explain(error: BaseException, path: Path) -> DatabaseError | None:
    """The plain-words version of what SQLite's driver raised; None when the fault is in our own query."""
    original = getattr(error, "orig", None) or error
    if not isinstance(original, sqlite3.Error | OSError) and not isinstance(error, sa.exc.DBAPIError | sa.exc.TimeoutError):
        return None
    said = f"{type(original).__name__}: {original}".strip().splitlines()[0]
    file = str(path)
    for parts, words in _SAYINGS:
        if any(part in said.lower() for part in parts):
            return _KINDS.get(words, DatabaseError)(words.format(file=file, error=said))
    return None


def prepare(path: Path, check_s: float) -> None:
    """Creates the file (0600, WAL) or checks the one there: for `check_s` seconds, which is all of it but for very large ones. Raises
    DatabaseError, `Damaged` when it is that."""
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as conn:
            conn.execute("PRAGMA schema_version").fetchone()
            if not conn.execute("PRAGMA page_count").fetchone()[0]:
                # Heard only while the file is empty (later it would be a write at every start, into a damaged file too): room that
                # deleted rows leave can then be given back to the disk.
                conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
            _to_wal(conn)
            until = time.monotonic() + check_s
            # Every 100 000 instructions of SQLite's machine, which is a millisecond or so.
            conn.set_progress_handler(lambda: time.monotonic() > until, 100_000)
            _quick_check(conn)
    except (sqlite3.Error, OSError) as error:
        raise _plain(error, path) from error


def quick_check(path: Path) -> None:
    """Raises DatabaseError unless the file is sound. Reads all of it."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as conn:
            _quick_check(conn)
    except (sqlite3.Error, OSError) as error:
        raise _plain(error, path) from error


def is_sound(path: Path) -> bool:
    """Whether all of the file is a sound database of ours."""
    try:
        quick_check(path)
        return revision(path) is not None
    except DatabaseError:
        return False


def revision(path: Path) -> str | None:
    """The schema revision of a file; None when it has none of ours. Raises DatabaseError."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as conn:
            if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                return None
            found = conn.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if found is None else str(found[0])
    except (sqlite3.Error, OSError) as error:
        raise _plain(error, path) from error


def is_held(path: Path) -> bool:
    """Whether another process has the file open as a database. False where it is not there, or too damaged to tell."""
    if not path.exists():
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as conn:
            conn.execute("PRAGMA locking_mode=EXCLUSIVE")
            conn.execute("BEGIN EXCLUSIVE")
            conn.execute("ROLLBACK")
    except sqlite3.Error as error:
        return "locked" in str(error)
    return False


def _plain(error: Exception, path: Path) -> DatabaseError:
    return explain(error, path) or DatabaseError(f"{path} cannot be used as a database: {error}")


def _to_wal(conn: sqlite3.Connection) -> None:
    """The journal mode is kept in the file. The switch does not wait for other processes' locks by itself."""
    if conn.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return
    for _ in range(200):
        try:
            conn.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.05)
        else:
            return
    raise sqlite3.OperationalError("database is locked")


def _quick_check(conn: sqlite3.Connection) -> None:
    try:
        found = [row[0] for row in conn.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return  # its time is over, and nothing was found so far
        raise
    if found != ["ok"]:
        # Each may be several lines, of which the first only says where.
        lines = [line.strip() for row in found for line in row.splitlines() if not line.startswith("***")]
        raise sqlite3.DatabaseError(f"database disk image is malformed: {'; '.join(lines)[:200]}")


def snapshot(source: Path, target: Path) -> None:
    """`VACUUM INTO` a temporary file, flushed, then renamed: `target` is a whole copy or is not there. Raises DatabaseError."""
    part = target.with_name(target.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        with contextlib.closing(sqlite3.connect(source, timeout=10, isolation_level=None)) as conn:
            conn.execute("PRAGMA auto_vacuum=INCREMENTAL")  # of the copy, whatever the database itself was made with
            conn.execute("VACUUM INTO ?", (str(part),))
        flush(part)
        part.replace(target)
        flush(target.parent)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise _plain(error, source) from error


BEFORE, BEFORE_KEPT = "before-schema-", 3
"""Copies made before a migration begin so, and how many of them stay."""


def before_migration(source: Path, folder: Path, revision: str) -> Path:
    """A copy of a database that is about to be migrated: before-schema-{its revision}-{ms}.db, the newest few of them kept."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = folder / f"{BEFORE}{revision}-{time.time_ns() // 1_000_000}.db"
    snapshot(source, target)
    for old in sorted(folder.glob(f"{BEFORE}*.db"), key=lambda path: path.stat().st_mtime_ns)[:-BEFORE_KEPT]:
        old.unlink(missing_ok=True)
    return target


def make_shrinkable(path: Path) -> bool:
    """Rewrites the file of an older release, so that room of deleted rows can be given back to the disk (new files are made so). Only one
    that is quick to rewrite, has the room for it, and that nobody uses now; the others stay as they are. Returns whether it did."""
    if not path.exists() or path.stat().st_size > QUICK_BYTES or shutil.disk_usage(path.parent).free < 4 * QUICK_BYTES:
        return False
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as conn:
            if conn.execute("PRAGMA auto_vacuum").fetchone()[0] != 0:
                return False
            conn.execute("PRAGMA auto_vacuum=INCREMENTAL")
            conn.execute("VACUUM")
            return True
    except sqlite3.Error:
        return False  # somebody is at work there: it serves as well as before


def checkpoint(path: Path) -> None:
    """Carries what is in the write-ahead log over into the file, as far as no reader needs it there; writers need not wait. A file that
    is busy, or has no room, is left as it is: the next one does it."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as conn:
        conn.execute("PRAGMA wal_checkpoint(PASSIVE)")


def flush(path: Path) -> None:
    """fsync of a file, or of a folder after a name in it changed (where the system lets folders be opened)."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
