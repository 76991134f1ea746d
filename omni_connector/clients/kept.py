"""Writing what was planned, and taking it back: each file atomically, its former bytes beside it, and one note for each client in
OMNI_HOME/setup, so that undoing gives back exactly what was there.

The note is written first: whatever a crash leaves half done can be undone, and run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any

from omni_connector.clients import diffs, jsonc
from omni_connector.clients.client import Change, Places, read_bytes
from omni_connector.errors import GatewayError, Kind
from omni_connector.values import dataclass

FOLDER = "setup"
JSON = (".json", ".jsonc")
BESIDE = ".before-omni-connector"
"""What the name of a backup ends in."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """`backup`: where the former bytes lie, "" where there was no file. `before`, `after`: SHA-256, hex; `text`: what was written, with
    our key left out. `mode`: what it had before."""

    path: str
    backup: str
    before: str
    after: str
    text: str
    mode: int


@dataclass(frozen=True, slots=True)
class Note:
    """What was done for one client. `folders`: made for it, the outer ones first. `key_id`: the key that was made for it, "" for one
    that was given. `at`: ms UTC."""

    client: str
    at: int
    url: str
    model: str
    key_id: str = ""
    files: tuple[KeptFile, ...] = ()
    folders: tuple[str, ...] = field(default=())

    def file(self, path: Path) -> KeptFile | None:
        return next((one for one in self.files if one.path == str(path)), None)


def note_path(places: Places, client: str) -> Path:
    return places.omni / FOLDER / f"{client}.json"


def read_note(places: Places, client: str) -> Note | None:
    """Raises GatewayError (CONFLICT) for a note that cannot be read."""
    path = note_path(places, client)
    data = read_bytes(path)
    if data is None:
        return None
    try:
        said: dict[str, Any] = json.loads(data)
        files = tuple(KeptFile(**one) for one in said.pop("files"))
        return Note(**{**said, "files": files, "folders": tuple(said["folders"])})
    except (ValueError, TypeError, KeyError) as error:
        raise GatewayError(
            Kind.CONFLICT, f"{path} cannot be read ({error}). The former files lie beside the new ones, as *{BESIDE}."
        ) from error


# ---------------------------------------------------------------- Writing


def apply(places: Places, note: Note, changes: Sequence[Change], key: str) -> Note:
    """Write the changes and keep what was there. `note` says for whom; its files come from here. Raises GatewayError: CONFLICT when a
    file is not what it was when it was planned, or cannot be written; nothing is half done then."""
    for change in changes:
        if read_bytes(change.path) != change.before:
            raise _conflict(change.path, "it was changed in this moment. Run it again")
    former = read_note(places, note.client)
    kept = {one.path: one for one in former.files} if former else {}
    folders = list(former.folders) if former else []
    backups: dict[str, bytes] = {}
    for change in changes:
        folders += [str(folder) for folder in _missing(change.path.parent) if str(folder) not in folders]
        known = kept.get(str(change.path))
        kept[str(change.path)], backup = _renewed(known, change, key) if known else (_new(change, key), None)
        if backup is not None:
            backups[str(change.path)] = backup
    full = Note(note.client, note.at, note.url, note.model, note.key_id, tuple(kept.values()), tuple(folders))
    written: list[Change] = []
    try:
        _write_note(places, full)
        for change in changes:
            one = kept[str(change.path)]
            former_text = backups.get(one.path, change.before or b"")
            if one.backup and (one.path in backups or not Path(one.backup).exists()):
                write(Path(one.backup), former_text, one.mode & 0o700)
        for change in changes:
            write(change.path, change.after, change.mode)
            written.append(change)
    except OSError as error:
        _back(written)
        if former is None:
            _forget(places, full)
        raise _conflict(Path(error.filename or changes[0].path), f"writing failed ({error.strerror or error})") from error
    return full


def _new(change: Change, key: str) -> KeptFile:
    backup = "" if change.before is None else str(_free(change.path.with_name(change.path.name + BESIDE)))
    mode = change.path.stat().st_mode & 0o777 if change.before is not None else 0
    return KeptFile(str(change.path), backup, digest(change.before), digest(change.after), _text(change.after, key), mode)


def _renewed(known: KeptFile, change: Change, key: str) -> tuple[KeptFile, bytes | None]:
    """The same file once more, and its new backup where it needs one. What it was before us stays what undoing gives back; what somebody
    wrote to it since belongs to that as well, where our own part can be told apart from it."""
    renewed = replace(known, after=digest(change.after), text=_text(change.after, key))
    if digest(change.before) in (known.after, known.before):
        return renewed, None
    merged = _merged(known, read_bytes(Path(known.backup)) if known.backup else None, change.before, key)
    if merged is None:
        raise _conflict(change.path, "it was changed since it was set up, in our own lines, too. First: --undo")
    backup = known.backup or str(_free(change.path.with_name(change.path.name + BESIDE)))
    mode = known.mode or change.path.stat().st_mode & 0o777
    return replace(renewed, backup=backup, before=digest(merged), mode=mode), merged


def _text(after: bytes, key: str) -> str:
    return after.decode().replace(key, diffs.PLACE_OF_KEY) if key else after.decode()


def _free(path: Path) -> Path:
    numbered = (path.with_name(f"{path.name}-{n}") for n in range(2, 1000))
    return path if not path.exists() else next(one for one in numbered if not one.exists())


def _missing(folder: Path) -> list[Path]:
    """The folders that will have to be made, outer ones first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing[::-1]


def _write_note(places: Places, note: Note) -> None:
    write(note_path(places, note.client), json.dumps(asdict(note), ensure_ascii=False, indent=1).encode(), 0o600)


def write(path: Path, data: bytes, mode: int) -> None:
    """Atomically, whole or not at all, also over a crash."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:50]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _back(written: Iterable[Change]) -> None:
    for change in written:
        with contextlib.suppress(OSError):
            if change.before is None:
                change.path.unlink()
            else:
                write(change.path, change.before, change.mode)


# ---------------------------------------------------------------- Taking it back


@dataclass(frozen=True, slots=True)
class Return:
    """One file on its way back. `after` None: it is deleted."""

    path: Path
    now: bytes | None
    after: bytes | None
    mode: int


def returns(places: Places, note: Note, key: str, *, keep_later: bool = False) -> list[Return]:
    """What undoing would do. `key`: the one that the files hold now. Raises GatewayError (CONFLICT) with the diff when a file was changed
    since; with `keep_later` our lines are taken out of it and the later ones stay, where that can be done."""
    found = []
    for one in note.files:
        path = Path(one.path)
        now = read_bytes(path)
        if digest(now) == one.before:
            continue
        before = read_bytes(Path(one.backup)) if one.backup else None
        if one.backup and digest(before) != one.before:
            raise _conflict(path, f"its former text, {one.backup}, is gone or was changed")
        if now is None and one.backup == "":
            continue
        if digest(now) == one.after:
            found.append(Return(path, now, before, one.mode))
            continue
        merged = _merged(one, before, now, key) if keep_later else None
        if merged is None:
            raise _changed(places, one, before, now, keep_later)
        found.append(Return(path, now, merged, one.mode or path.stat().st_mode & 0o777))
    return found


def _merged(one: KeptFile, before: bytes | None, now: bytes | None, key: str) -> bytes | None:
    if now is None:
        return None
    try:
        current = now.decode().replace(key, diffs.PLACE_OF_KEY) if key else now.decode()
        told = _without((before or b"").decode(), one.text, current, Path(one.path).suffix)
    except ValueError:
        return None
    return None if told is None else told.replace(diffs.PLACE_OF_KEY, key).encode()


def _without(before: str, after: str, now: str, suffix: str) -> str | None:
    """Programs write their JSON anew as a whole, so that is compared by its values; everything else by its lines."""
    return jsonc.taken_out(before, after, now) if suffix in JSON else diffs.taken_out(before, after, now)


def _changed(places: Places, one: KeptFile, before: bytes | None, now: bytes | None, tried: bool) -> GatewayError:
    path = Path(one.path)
    fix = (
        f"Edit it by hand; its former text is {one.backup or 'none: it was not there'}."
        if tried
        else ("Nothing was written. --undo --yes takes out only what we put in, and keeps the later changes.")
    )
    error = _conflict(path, f"it was changed since it was set up. {fix}")
    error.details = {"diff": diffs.unified(places.short(path), now, before)}
    return error


def undo(places: Places, note: Note, back: Sequence[Return]) -> None:
    """Write the files back, then forget backups, folders that are empty again, and the note. Raises GatewayError (CONFLICT)."""
    for one in back:
        if read_bytes(one.path) != one.now:
            raise _conflict(one.path, "it was changed in this moment. Run it again")
    try:
        for one in back:
            if one.after is None:
                one.path.unlink()
            else:
                write(one.path, one.after, one.mode)
        _forget(places, note)
    except OSError as error:
        raise _conflict(Path(error.filename or note.client), f"writing failed ({error.strerror or error})") from error


def _forget(places: Places, note: Note) -> None:
    for one in note.files:
        if one.backup:
            Path(one.backup).unlink(missing_ok=True)
    note_path(places, note.client).unlink(missing_ok=True)
    for folder in (*reversed(note.folders), str(places.omni / FOLDER)):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _conflict(path: Path, why: str) -> GatewayError:
    return GatewayError(Kind.CONFLICT, f"{path} is left as it is: {why}.", param="path")
