"""Reads one small file of the user's, and is not led elsewhere: no symbolic link, nobody else's file, no device, no end of bytes."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]
MOST_BYTES = 1 << 20


class Unreadable(Exception):
    """Why a file that is there is not used, in words for the user; nothing of its content."""


def read_object(path: Path) -> Json | None:
    """The JSON object in a file; None when there is no such file. Raises Unreadable."""
    data = read_bytes(path)
    if data is None:
        return None
    try:
        said = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("The file is not valid JSON.") from error
    if not isinstance(said, dict):
        raise Unreadable("The file holds no JSON object.")
    return said


def read_bytes(path: Path) -> bytes | None:
    # Non-blocking, because opening a pipe would wait for its other end.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        handle = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if path.is_symlink():
            raise Unreadable("It is a symbolic link, which is not followed.") from error
        raise Unreadable(f"It cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise Unreadable("Its name cannot be one.") from error
    try:
        _check(os.fstat(handle))
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(data) > MOST_BYTES:
        raise Unreadable("It is too large for a sign-in.")
    return data


def _check(found: os.stat_result) -> None:
    """What was opened, not what has that name now."""
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable("It is no plain file.")
    if not _own(found):
        raise Unreadable("It belongs to another user of this machine.")


def _own(found: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def names(folder: Path, suffix: str, most: int) -> list[str]:
    """The names in a folder that end so, in order; [] without one. The folder itself must be no link and the user's own."""
    try:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or not _own(found):
            return []
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name.endswith(suffix) and entry.is_file(follow_symlinks=False))[:most]
    except (OSError, ValueError):
        return []
