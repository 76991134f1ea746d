"""The releases below OMNI_HOME/releases, and the two links that say which one runs and which one ran before."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from omni_connector.errors import GatewayError, Kind
from omni_connector.store import files, schema
from omni_connector.values import dataclass

CURRENT, PREVIOUS = "current", "previous"
NOTE = ".omni-release"
"""Written by install.sh into each release: version=, digest=, python=, installed=."""
KEEP = 3
LAST_FILES_S = 10.0


class UpdateError(GatewayError):
    """An update or a rollback that cannot go on. The message says what was kept, and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.CONFLICT, message, code="update_failed")


@dataclass(frozen=True, slots=True)
class Release:
    path: Path
    version: str

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def launcher(self) -> Path:
        return self.path / "bin" / "omni-connector"

    @property
    def schema(self) -> str:
        """The newest revision it brings a database to."""
        return schema.head(self.path / "migrations" / "versions")

    def reads(self, revision: str | None) -> bool:
        """Whether it can work on a database of that revision; None is a new one."""
        return revision is None or schema.knows(revision, self.path / "migrations" / "versions")


def named(home: Path, name: str) -> Release:
    """The release of that name. Raises UpdateError where there is none."""
    path = home / "releases" / name
    version = _noted(path).get("version", "")
    if not version or Path(name).name != name:
        raise UpdateError(f"There is no release {name!r} in {home / 'releases'}.")
    return Release(path.resolve(), version)


def linked(home: Path, link: str) -> Release | None:
    """What `current` or `previous` names; None when it names nothing that is there."""
    try:
        path = (home / link).resolve(strict=True)
    except OSError:
        return None
    version = _noted(path).get("version", "")
    return Release(path, version) if version and path.parent == (home / "releases").resolve() else None


def present(home: Path) -> Release:
    """What `current` names. Raises UpdateError for an installation that install.sh did not make."""
    found = linked(home, CURRENT)
    if found is None:
        raise UpdateError(
            f"{home} holds no release that install.sh put there. From a checkout: ./install.sh. A package is updated by what installed it."
        )
    return found


def point(home: Path, link: str, name: str) -> None:
    """Points a link at a release in one step: whoever looks sees the old one or the new one."""
    fresh = home / f"{link}.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(f"releases/{name}")
    fresh.replace(home / link)
    files.flush(home)


def prune(home: Path, keep: Sequence[str] = (), most: int = KEEP) -> list[str]:
    """Removes all releases but the newest; those that are linked or named in `keep` stay. Returns the names of what was removed."""
    safe = {*keep, *(found.name for link in (CURRENT, PREVIOUS) if (found := linked(home, link)))}
    ours = [path for path in (home / "releases").iterdir() if (path / NOTE).is_file()]
    ours.sort(key=lambda path: (path / NOTE).stat().st_mtime_ns, reverse=True)
    gone = [path for path in ours[most:] if path.name not in safe]
    for path in gone:
        shutil.rmtree(path)
    return [path.name for path in gone]


def remove(home: Path, name: str) -> None:
    """Removes a release that nothing names. What it has started, and nobody has ended, may write a last compiled file meanwhile."""
    if name in {found.name for link in (CURRENT, PREVIOUS) if (found := linked(home, link))}:
        return
    path, until = home / "releases" / name, time.monotonic() + LAST_FILES_S
    shutil.rmtree(path, ignore_errors=True)
    while path.exists() and time.monotonic() < until:
        time.sleep(0.05)
        shutil.rmtree(path, ignore_errors=True)


def is_inside(path: str | os.PathLike[str], release: Release) -> bool:
    """Whether a program at `path` is of that release."""
    return Path(path).resolve() == release.path.resolve() or release.path.resolve() in Path(path).resolve().parents


def _noted(path: Path) -> dict[str, str]:
    try:
        lines = (path / NOTE).read_text("utf-8").splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition("=") for line in lines)}
