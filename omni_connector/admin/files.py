"""The files of OMNI_HOME: listed, read, removed and packed, and nothing outside of it. (C-84…C-87, P-37)

A file is reached by the name under which the list has it, never by a path that somebody wrote: whatever is not in the list is not
there. The list itself follows no link. What holds secrets as a whole (keys, database, backups) is named and never opened; in what is
shown every value that may be one is masked.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from omni_connector import logs, prompts, secrets
from omni_connector.admin import bodies
from omni_connector.admin.room import Room
from omni_connector.errors import GatewayError, Kind
from omni_connector.settings import MASK
from omni_connector.values import dataclass

Json = dict[str, Any]

SHOWN_BYTES = 256 << 10
"""Of a file that is looked at: its end, where it is longer."""
PACKED_BYTES = 64 << 20
"""Of all files in one archive, before they are packed."""
MOST_FILES = 2000
PASSED_OVER = frozenset({"releases", "current", "previous", "commands", "lost+found"})
"""Programs, and homes that belong to other programs with their logins."""


@dataclass(frozen=True, slots=True)
class Sort:
    """What a file is by its name. `shown`: may be read, masked; `why`: the reason where it may not, or may not be removed."""

    pattern: str
    kind: str
    shown: bool = False
    removable: bool = False
    why: str = ""


SORTS: tuple[Sort, ...] = (
    Sort("backups/*", "backup", removable=True, why="It holds your accounts. Restore it with: omni-connector restore FILE."),
    Sort("omni.db*", "database", why="It holds everything, your accounts included. To take it along: omni-connector backup FILE."),
    Sort("*.db", "database", why="It holds everything, your accounts included. To take it along: omni-connector backup FILE."),
    Sort("*.key*", "key", why="It is a key: it is never shown, and what it locks would be lost without it."),
    Sort(".env*", "settings", shown=True, why="It may hold keys that stand nowhere else. Change it with an editor."),
    Sort(logs.FILE.as_posix(), "log", shown=True, why="It is being written. Older ones can be removed."),
    Sort("logs/server.log", "log", shown=True, why="It is being written."),
    Sort(f"{prompts.FOLDER.as_posix()}/*", "prompts", shown=True, removable=True),
    Sort("logs/*", "log", shown=True, removable=True),
    Sort("server.json", "state", shown=True, why="It tells commands where the server is."),
    Sort("*/*", "other", why="It is none of the files that are looked after here."),
    *(Sort(f"*.{end}", "configuration", shown=True, removable=True) for end in ("toml", "yaml", "yml", "json", "ini", "conf", "txt")),
    Sort("*", "other", why="It is none of the files that are looked after here."),
)
"""The first that fits. Patterns are those of names; `*` also stands for folders."""

_TELLING = r"[\w.-]*(?:key|token|secret|passw|passphrase|authorization|cookie|credential|dsn|database_url)[\w.-]*"
_SECRET_VALUE = re.compile(rf"""(?im)(["']?{_TELLING}["']?\s*[:=]\s*)(?!\s*[\[{{])(".*?(?<!\\)"|'[^']*'|[^\s,}}\]][^\n,}}\]]*)""")
_VARIABLE = re.compile(r"(?m)^(\s*(?:#+\s*)?(?:export\s+)?[A-Za-z_][\w.-]*[^\S\n]*[=:][^\S\n]*)\S.*$")
_CONTINUED = re.compile(r"(?m)^(?!\s*(?:#|(?:export\s+)?[A-Za-z_]\w*\s*=|$)).+$")


def sort_of(name: str) -> Sort:
    return next(sort for sort in SORTS if fnmatchcase(name, sort.pattern))


def masked(name: str, text: str, known: Iterable[str] = ()) -> str:
    """The text without what may be a secret: every value of a file of variables, else the values of names that sound like one, the
    forms of keys that are known, and the secrets of this installation (`known`), wherever they stand."""
    if sort_of(name).kind == "settings":
        return secrets.redact(_CONTINUED.sub(MASK, _VARIABLE.sub(rf"\g<1>{MASK}", text)))
    for secret in known:
        if len(secret) >= secrets.SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    if sort_of(name).kind == "configuration":
        text = _SECRET_VALUE.sub(lambda hit: f'{hit[1]}"{MASK}"' if hit[2][:1] == '"' else f"{hit[1]}{MASK}", text)
    return secrets.redact(text)


def listed(home: Path) -> dict[str, os.stat_result]:
    """Path below `home`, with slashes → what is known of it. Only real files: no link is named, and none is followed."""
    found: dict[str, os.stat_result] = {}
    for path, facts in _walk(home, PurePosixPath()):
        found[path] = facts
        if len(found) >= MOST_FILES:
            break
    return dict(sorted(found.items()))


def _walk(folder: Path, below: PurePosixPath) -> Iterator[tuple[str, os.stat_result]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # gone meanwhile, or not ours: it is not listed
    for entry in entries:
        place = below / entry.name
        if not entry.name.isprintable() or (below == PurePosixPath() and entry.name in PASSED_OVER):
            continue
        try:
            facts = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        if stat.S_ISDIR(facts.st_mode):
            yield from _walk(folder / entry.name, place)
        elif stat.S_ISREG(facts.st_mode):
            yield str(place), facts


def read_text(home: Path, name: str, most: int) -> tuple[str, bool]:
    """The file's text, and whether its beginning was left out. Raises NOT_FOUND where it is no plain file any more."""
    try:
        with os.fdopen(os.open(home / name, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or (home / name).resolve().parent != (home.resolve() / name).parent:
                raise _missing(name, ())
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most))
            data = file.read(most)
    except OSError as error:
        raise _missing(name, ()) from error
    cut = size > len(data)
    text = data.decode("utf-8", "replace")
    # Never a broken line at the start: what a name or a quote began before it could not be masked.
    return (text.partition("\n")[2] if cut else text), cut


def _missing(name: str, known: Iterable[str]) -> GatewayError:
    return GatewayError(Kind.NOT_FOUND, f"OMNI_HOME has no file {name[:200]!r}{bodies.did_you_mean(name, known)}.", param="path")


class Files(Room):
    async def config_files(self) -> Json:
        """GET /api/upload-configs → {"home", "files": [{"path", "kind", "bytes", "changed_at", "shown", "removable", "why"}]}. (C-84)"""
        found = await asyncio.to_thread(listed, self.process.home)
        return {"home": str(self.process.home), "files": [self._described(name, facts) for name, facts in found.items()]}

    async def config_file(self, name: str) -> Json:
        """GET /api/upload-configs/view/{path} → what `config_files` tells of it, with "content" and "cut": only its end is shown.
        Secrets are masked. Raises NOT_FOUND, FORBIDDEN for what is a secret as a whole. (C-85)"""
        facts = await self._facts(name)
        sort = sort_of(name)
        if not sort.shown:
            raise GatewayError(Kind.FORBIDDEN, f"{name} is not shown. {sort.why}", param="path")
        text, cut = await asyncio.to_thread(read_text, self.process.home, name, SHOWN_BYTES)
        return {**self._described(name, facts), "content": masked(name, text, self._known_secrets()), "cut": cut}

    async def remove_config_file(self, name: str) -> Json:
        """DELETE /api/upload-configs/delete/{path} → {"path", "removed"}. Raises NOT_FOUND, FORBIDDEN with the reason. (C-86)"""
        facts = await self._facts(name)
        described = self._described(name, facts)
        if not described["removable"]:
            raise GatewayError(Kind.FORBIDDEN, f"{name} is not removed here. {described['why']}", param="path")
        try:
            await asyncio.to_thread((self.process.home / name).unlink)
        except OSError as error:
            raise GatewayError(Kind.CONFLICT, f"{name} cannot be removed ({error.strerror}).", param="path") from error
        return {"path": name, "removed": True}

    async def config_archive(self) -> bytes:
        """GET /api/upload-configs/download-all: a ZIP of everything that is shown, as it is shown. What did not fit stands in
        LEFT_OUT.txt. (C-87)"""
        found = await asyncio.to_thread(listed, self.process.home)
        known = self._known_secrets()
        return await asyncio.to_thread(
            packed, self.process.home, [name for name in found if sort_of(name).shown], lambda name, text: masked(name, text, known)
        )

    def _described(self, name: str, facts: os.stat_result) -> Json:
        sort = sort_of(name)
        why, removable = sort.why, sort.removable
        if removable and self._is_in_use(name):
            why, removable = "It is in use: OMNI_ENDPOINTS_FILE names it.", False
        return {
            "path": name,
            "kind": sort.kind,
            "bytes": facts.st_size,
            "changed_at": facts.st_mtime_ns // 1_000_000,
            "shown": sort.shown,
            "removable": removable,
            "why": why,
        }

    def _is_in_use(self, name: str) -> bool:
        used = self.settings.endpoints_file
        return bool(used) and Path(used).expanduser().resolve() == (self.process.home / name).resolve()

    async def _facts(self, name: str) -> os.stat_result:
        found = await asyncio.to_thread(listed, self.process.home)
        if name not in found:
            raise _missing(name, found)
        return found[name]

    def _known_secrets(self) -> list[str]:
        settings = self.settings
        return [
            settings.required_api_key,
            settings.monitor_key,
            settings.database_url,
            *(account.secret for account in self._snapshot().accounts),
        ]


def packed(home: Path, names: Iterable[str], mask: Callable[[str, str], str]) -> bytes:
    """A ZIP of these files of `home`, masked."""
    archive, room, left_out = io.BytesIO(), PACKED_BYTES, []
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            try:
                text, cut = read_text(home, name, room)
            except GatewayError:
                continue  # it went away since it was listed
            if cut:
                left_out.append(name)
                continue
            room -= len(text)
            file.writestr(name, mask(name, text))
        if left_out:
            file.writestr("LEFT_OUT.txt", "Too large for one archive:\n" + "\n".join(left_out) + "\n")
    return archive.getvalue()
