"""What a server that was killed left behind: the programs of its runs, and their folders.

Each folder of a run says whose it is and which group of processes runs for it. A process is its id and the moment it began: ids are
used again, and in a container every server has the same one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from omni_connector.command.process import end_by_force

OWNER, GROUP = "owner", "group"
STALE_S = 2 * 86_400
"""No run is older. Counts where the system does not tell when a process began."""


def who(pid: int) -> str:
    """A process, as it is written down; "" where the system (or nobody of that id) tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return f"{pid} {stat.rpartition(')')[2].split()[19]}"


def note_owner(folder: Path) -> None:
    (folder / OWNER).write_text(who(os.getpid()))


def note_group(folder: Path, pid: int) -> None:
    """`pid` leads a group of its own."""
    (folder / GROUP).write_text(who(pid))


def tidy(base: Path) -> None:
    """Ends what runs for nobody below `base`, and removes its folders. Runs of a server that lives are left alone."""
    for folder in base.glob("run-*"):
        with contextlib.suppress(OSError):  # another process tidies, too
            if _is_over(folder):
                group = _read(folder / GROUP)
                if _lives(group):
                    end_by_force(int(group.split()[0]))
                shutil.rmtree(folder, ignore_errors=True)


def _is_over(folder: Path) -> bool:
    owner = _read(folder / OWNER)
    if owner:
        return not _lives(owner)
    return folder.stat().st_mtime < time.time() - STALE_S


def _lives(written: str) -> bool:
    return bool(written) and who(int(written.split(maxsplit=1)[0])) == written


def _read(path: Path) -> str:
    """What stands there when it is a process, else "" (a crash may leave half of it)."""
    try:
        text = path.read_text()
    except (OSError, ValueError):
        return ""
    words = text.split()
    return text if len(words) == 2 and all(word.isdecimal() for word in words) else ""
