"""update.json: what an update has decided, written before it is done, so that whoever comes after a crash can finish it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Literal

from omni_connector.store import files
from omni_connector.updating.releases import UpdateError
from omni_connector.values import dataclass

FILE = "update.json"
LOCK = ".update.lock"
Step = Literal["switch", "restart", "back"]


@dataclass(slots=True)
class Entry:
    """Only from the switch on is anything decided: what comes before it is simply done again."""

    kind: Literal["update", "rollback"]
    step: Step
    old: str
    """Name of the release that `current` named before."""
    new: str
    previous: str = ""
    """What `previous` named before; "" for nothing."""
    copy: str = ""
    """The copy of the database that an older release needs instead of the present one; "" when it reads this one, or has it already."""
    running: bool = False
    """Whether a server ran when it began."""
    args: list[str] = field(default_factory=list)
    """With which arguments."""
    managed: bool = False
    """Whether a service manager starts it again."""
    why: str = ""


def read(home: Path) -> Entry | None:
    """What was begun and not finished. Raises UpdateError for a file that cannot be read."""
    try:
        said = json.loads((home / FILE).read_text("utf-8"))
        known = {row.name for row in fields(Entry)}
        return Entry(**{name: value for name, value in said.items() if name in known})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UpdateError(f"{home / FILE} cannot be read ({error}). Remove it, and look where {home / 'current'} points.") from error


def write(home: Path, entry: Entry) -> None:
    part = home / f".{FILE}.part"
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(entry), file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(home / FILE)
    files.flush(home)


def clear(home: Path) -> None:
    (home / FILE).unlink(missing_ok=True)
    files.flush(home)


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """One at a time; the kernel lets go of the lock however its holder ends. Raises UpdateError when another one is at work."""
    with os.fdopen(os.open(home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UpdateError("Another update or rollback is at work on this OMNI_HOME. Try again when it is done.") from error
        yield
