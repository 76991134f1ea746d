"""The order of an update and of a rollback, each step told, and how both are finished after a crash in any of them.

Until the switch nothing is decided: a release is built, the database is copied, the release is tried on that copy. The switch and what
follows stand in the journal first; every part of it may be done twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omni_connector import backup, restoring, settings
from omni_connector.errors import GatewayError
from omni_connector.store import compare, files
from omni_connector.updating import journal, offer, process, releases, staging, trial
from omni_connector.updating.journal import Entry
from omni_connector.updating.releases import CURRENT, PREVIOUS, Release, UpdateError

Json = dict[str, Any]
Tell = Callable[[str], None]

STEPS = 5
COPY, COPIES_KEPT = "before-update-", 3
"""Copies in backups/ that updates make begin so, and how many of them stay."""
NO_SOURCE = (
    "No address of releases is set. Name one: omni-connector update --from ARCHIVE (or a URL, with --sha256), or set OMNI_ARCHIVE_URL."
)
_DEFAULT = re.compile(r'^ARCHIVE_URL="\$\{OMNI_ARCHIVE_URL:-\$\{ARCHIVE_URL:-([^}"]*)\}\}"', re.M)


def default_source(present: Release, env: Mapping[str, str]) -> str:
    """Where releases come from: OMNI_ARCHIVE_URL, else what the publisher wrote into install.sh. "" while there is none."""
    if told := env.get("OMNI_ARCHIVE_URL", "").strip():
        return told
    found = _DEFAULT.search((present.path / "install.sh").read_text("utf-8"))
    return found[1] if found else ""


def check(home: Path, env: Mapping[str, str], source: str = "", sha256: str = "") -> Json:
    """What an update would do. Nothing is changed. Raises UpdateError."""
    old = releases.present(home)
    source = source or default_source(old, env)
    begun = journal.read(home)
    if not source:
        raise UpdateError(NO_SOURCE)
    version, head = offer.look(source, sha256)
    before = releases.linked(home, PREVIOUS)
    return {
        "present": old.version,
        "offered": version,
        "source": source,
        "update": version != old.version,
        "schema": {"present": old.schema, "offered": head, "moves": head != old.schema},
        "running": process.running(home) is not None,
        "previous": before.version if before else None,
        "unfinished": begun is not None,
    }


# ---------------------------------------------------------------- Forward


def update(home: Path, env: Mapping[str, str], tell: Tell, *, source: str = "", sha256: str = "", name: str = "") -> Json:
    """To what `source` holds, or to the built release `name`. Returns {"updated", "version", "before", "copy"?, "schema"?}.

    Raises UpdateError; the release before serves on then."""
    with journal.alone(home):
        begun = journal.read(home)
        if begun is not None:
            told = _resume(home, env, begun, tell)
            if not source and not name:
                return told
        old = releases.present(home)
        source = source or default_source(old, env)
        if not source and not name:
            raise UpdateError(NO_SOURCE)
        tell(f"[1/{STEPS}] The release beside the present one, {old.version}")
        trial.sweep(home)
        if not name and source.startswith("http"):
            env = {**env, "OMNI_ARCHIVE_URL": source} if source == default_source(old, env) else env
        new = releases.named(home, name) if name else staging.prepare(home, old, source, sha256, env, tell)
        if new.path == old.path:
            tell("      it is the one that is installed: nothing to do")
            return {"updated": False, "version": old.version, "before": old.version}
        tell(f"      {new.version}, in {new.path}")
        try:
            copy = _try(home, env, new, tell)
        except GatewayError:
            releases.remove(home, new.name)
            raise
        server = process.running(home)
        entry = _entry(home, "update", old, new)
        told = _carry_out(home, env, entry, tell)
        return told | {"copy": str(copy) if copy else None, "restarted": server is not None}


def _try(home: Path, env: Mapping[str, str], new: Release, tell: Tell) -> Path | None:
    """A copy of the database, and the new release served from it. Returns the copy; it is removed when the release fails."""
    tell(f"[2/{STEPS}] Copy of the database")
    database, revision = _database(home, env)
    copy = None
    if database is None:
        tell("      the books are in PostgreSQL: keep a pg_dump of your own. The release is tried with an empty database")
    elif revision is None:
        tell("      there is none yet")
    elif not new.reads(revision):
        raise UpdateError(f"The database has schema {revision}, which {new.version} does not know. To go back: omni-connector rollback")
    else:
        size = database.stat().st_size
        backup.free_for(home, 3 * size)
        copy = home / "backups" / f"{COPY}{new.version}-{time.time_ns() // 1_000_000}.db"
        copy.parent.mkdir(mode=0o700, exist_ok=True)
        files.snapshot(database, copy)
        tell(f"      {copy} ({size / 1e6:.1f} MB, schema {revision})")
    try:
        tell(f"[3/{STEPS}] Self-test of {new.version} on a copy")
        found = trial.run(home, new, copy, env)
    except BaseException:
        if copy is not None:
            copy.unlink(missing_ok=True)
        raise
    tell(f"      schema {found['schema']}, {found['accounts']} accounts, every secret opens, the demo provider answers")
    for aged in sorted((home / "backups").glob(f"{COPY}*.db"), key=lambda path: path.stat().st_mtime_ns)[:-COPIES_KEPT]:
        aged.unlink(missing_ok=True)
    return copy


# ---------------------------------------------------------------- Back


def rollback(home: Path, env: Mapping[str, str], tell: Tell, agreed: Callable[[Json], bool]) -> Json:
    """To the release before. `agreed` is asked only where rows would be left behind, with {"version", "copy", "lost": {name: rows}}.

    Returns as `update` does, with "lost" and "kept" (where the present database went) when it was exchanged. Raises UpdateError."""
    with journal.alone(home):
        begun = journal.read(home)
        if begun is not None:
            _resume(home, env, begun, tell)
        old = releases.present(home)
        new = releases.linked(home, PREVIOUS)
        if new is None or new.path == old.path:
            raise UpdateError(f"There is no release before {old.version} to go back to.")
        database, revision = _database(home, env)
        if database is None and new.schema != old.schema:
            raise UpdateError(
                f"The books are in PostgreSQL and their schema moved since {new.version}. Bring back your pg_dump first, then point "
                f"{home / CURRENT} at releases/{new.name}."
            )
        entry, lost = _entry(home, "rollback", old, new), {}
        if database is not None and not new.reads(revision):
            copy = readable_copy(home, new)
            if copy is None:
                raise UpdateError(f"{new.version} cannot read schema {revision}, and no copy in {home / 'backups'} is of its time.")
            lost = compare.since(database, copy)
            if not agreed({"version": new.version, "copy": str(copy), "lost": lost}):
                raise UpdateError(f"Nothing was changed: {old.version} serves on.")
            entry.copy = str(copy)
        return _carry_out(home, env, entry, tell) | ({"lost": lost} if lost else {})


def readable_copy(home: Path, release: Release) -> Path | None:
    """The newest copy in backups/ whose schema the release knows."""
    found = [
        path
        for pattern in (f"{files.BEFORE}*.db", f"{COPY}*.db", "omni-*.db")
        for path in (home / "backups").glob(pattern)
        if files.is_sound(path) and release.reads(files.revision(path))
    ]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


# ---------------------------------------------------------------- What was decided, from wherever it was broken off


def _entry(home: Path, kind: Any, old: Release, new: Release) -> Entry:
    server, before = process.running(home), releases.linked(home, PREVIOUS)
    entry = Entry(kind, "switch", old.name, new.name, before.name if before else "")
    if server is None:
        return entry
    return replace(entry, running=True, args=server.same_place(), managed=server.managed)


def _resume(home: Path, env: Mapping[str, str], entry: Entry, tell: Tell) -> Json:
    tell(f"An {entry.kind} from {entry.old} to {entry.new} was begun and not finished: it is finished now".replace("An r", "A r"))
    return _carry_out(home, env, entry, tell)


def _carry_out(home: Path, env: Mapping[str, str], entry: Entry, tell: Tell) -> Json:
    journal.write(home, entry)
    new = releases.named(home, entry.new)
    if entry.step == "switch":
        tell(f"[4/{STEPS}] Switch to {new.version}")
        if entry.copy:
            _exchange(home, env, new, Path(entry.copy), tell)
        releases.point(home, PREVIOUS, entry.old)
        releases.point(home, CURRENT, entry.new)
        entry.step = "restart"
        journal.write(home, entry)
    if entry.step == "restart":
        tell(f"[5/{STEPS}] Server")
        if not entry.running and process.running(home) is None:
            tell("      it does not run; the next start is the new release")
        elif process.bring(home, new, entry.args, entry.managed, env):
            tell(f"      {new.version} serves, and is well")
        else:
            entry.step, entry.why = "back", f"{new.version} did not become healthy as the server."
            journal.write(home, entry)
    if entry.step == "back":
        _go_back(home, env, entry, tell)
    journal.clear(home)
    gone = releases.prune(home)
    if gone:
        tell(f"      removed old releases: {', '.join(gone)}")
    return {"updated": True, "version": new.version, "before": releases.named(home, entry.old).version}


def _go_back(home: Path, env: Mapping[str, str], entry: Entry, tell: Tell) -> None:
    """The release before serves again, on a database it can read. Ends in an UpdateError, which says what happened."""
    old = releases.named(home, entry.old)
    tell(f"      {entry.why} Back to {old.version}")
    releases.point(home, CURRENT, entry.old)
    if entry.previous:
        releases.point(home, PREVIOUS, entry.previous)
    else:
        (home / PREVIOUS).unlink(missing_ok=True)
    database, revision = _database(home, env)
    if database is not None and not old.reads(revision):
        copy = readable_copy(home, old)
        if copy is not None:
            _exchange(home, env, old, copy, tell)
    well = process.serves(home, old)  # it went on when the new one did not take over
    if not well:
        process.end(home)
        well = process.start(home, old, entry.args, entry.managed, env)
    journal.clear(home)
    log = home / "logs" / "omni-connector.log"
    if well:
        raise UpdateError(f"{entry.why} {old.version} serves again, with nothing lost. The reason is in {log} and in server.log beside it.")
    raise UpdateError(f"{entry.why} {old.version} is switched to again, but did not start either: omni-connector doctor names the reason.")


def _exchange(home: Path, env: Mapping[str, str], release: Release, copy: Path, tell: Tell) -> None:
    """The next start brings the copy in. Once is enough: whoever was interrupted finds it decided, or done."""
    database, revision = _database(home, env)
    if database is None or release.reads(revision) or (home / restoring.NOTE).exists():
        return
    kept = restoring.put_back(home, env, copy, time.time_ns() // 1_000_000)
    tell(f"      the database goes back to {copy.name}; the present one is kept in {kept}")


def _database(home: Path, env: Mapping[str, str]) -> tuple[Path | None, str | None]:
    """(file, schema revision); None for the file: PostgreSQL. None for the revision: no database yet."""
    url = settings.load(settings.environment(home, env), {}).database_url
    if url and url.startswith(("postgres", "postgresql")):
        return None, None
    database = restoring.place(home, env)
    return database, files.revision(database) if database.exists() else None
