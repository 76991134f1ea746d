"""Files of frames: what the books could not, or not yet, put into the database, flushed to the disk with every entry.

A frame is its length and checksum (4 bytes each, little endian), then msgpack {"opens", "settles", "keeps"}, as the ledger would have
written them in one transaction. A file's name is its process's and a number, and its process holds a lock on it: so a file without one
was left by a process that is gone, and whoever starts next takes it over, each process's files in their order: an end without its
beginning would be nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from omni_connector.values import dataclass

log = logging.getLogger("omni.spill")

Row = dict[str, Any]
HEAD = struct.Struct("<II")
JOURNAL, SPILL, PART = ".journal", ".spill", ".part"
"""Endings: of journal.py, of spill.py, of a file that is being made."""
POSSIBLE = hasattr(os, "pwrite")
"""Not on Windows, where an open file cannot get another name either."""
BATCH = 200
"""Frames that are carried over in one transaction."""


@dataclass(frozen=True, slots=True)
class Frame:
    """`end`: where it ends in its file (bytes), by which it is known as carried over."""

    end: int
    opens: Sequence[Row]
    settles: Sequence[Row]
    keeps: Sequence[Row]


Carry = Callable[[str, Sequence[Frame], str, bool, bool], Awaitable[None]]
"""(file, frames of it, process it is of, whether these are the last that this process will ever say, whether somebody waits): writes those
that were not carried over yet, in one transaction. Raises when the database refuses, and soon where somebody waits."""
Forget = Callable[[str], Awaitable[None]]
"""A file is gone: what was noted about it may be, too."""


def framed(opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row]) -> bytes:
    """Raises UnicodeEncodeError, OverflowError or TypeError for what cannot be written down."""
    payload = msgspec.msgpack.encode({"opens": opens, "settles": settles, "keeps": keeps})
    return HEAD.pack(len(payload), zlib.crc32(payload)) + payload


def left(folder: Path, ending: str) -> list[Path]:
    """Files with entries that wait, each process's in the order in which it wrote them."""
    return sorted(folder.glob(f"*{ending}"), key=_order) if folder.is_dir() else []


def _order(path: Path) -> tuple[str, int, str]:
    process_id, _, number = path.stem.rpartition("-")
    return process_id, len(number), number


def process_of(path: Path) -> str:
    """The process that a file is, or was, of."""
    return path.stem.rpartition("-")[0]


CLOSED = -1


class FrameFile:
    """Open and locked."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self.size = os.fstat(handle).st_size

    @classmethod
    def create(cls, path: Path) -> FrameFile:
        """Raises OSError; there is no file then."""
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _flush_folder(path.parent.parent)
        # Its name comes with the lock: else who starts now could take it for one that was left.
        part = path.with_name(path.name + PART)
        file = cls(path, os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        try:
            if not _lock(file._handle):
                raise BlockingIOError(errno.EWOULDBLOCK, "who starts now clears it away", str(part))
            part.rename(path)
            _flush_folder(path.parent)
        except BaseException:
            file.close()
            for name in (part, path):
                with contextlib.suppress(OSError):
                    name.unlink()
            raise
        return file

    @classmethod
    def take_over(cls, path: Path) -> FrameFile | None:
        """None: another process has it, or had, and is done with it. Raises OSError."""
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            if _lock(handle) and os.fstat(handle).st_nlink:
                return cls(path, handle)
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        return None

    def append(self, frame: bytes) -> None:
        """All of it, flushed, or nothing."""
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(self._handle, frame[written:], self.size + written)
            _flush(self._handle)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._handle, self.size)
            raise
        self.size += len(frame)

    def frames(self, begin: int) -> Iterator[Frame]:
        """Up to the first one that is torn."""
        at, end = begin, self.size
        while at + HEAD.size <= end:
            length, checksum = HEAD.unpack(os.pread(self._handle, HEAD.size, at))
            at += HEAD.size
            payload = os.pread(self._handle, length, at) if at + length <= end else b""
            at += length
            if len(payload) < length or zlib.crc32(payload) != checksum:
                return
            yield Frame(at, **msgspec.msgpack.decode(payload))

    def remove(self) -> None:
        # First the name, then the lock: nobody may take over what is done. For good, since what is known of it is forgotten next.
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            _flush_folder(self.path.parent)
        self.close()

    def close(self) -> None:
        """May be called twice."""
        handle, self._handle = self._handle, CLOSED
        if handle != CLOSED:
            os.close(handle)


def _flush(handle: int) -> None:
    if sys.platform == "linux":
        os.fdatasync(handle)  # when a file was changed is of no use to anybody
    else:
        os.fsync(handle)


def _lock(handle: int) -> bool:
    if sys.platform == "win32":
        return True  # one process serves there, and nothing of it is left when another starts
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _flush_folder(folder: Path) -> None:
    """Names in it are on the disk then. Raises OSError."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # not every system lets folders be opened
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # nor flushed
            raise
    finally:
        os.close(handle)


async def carried(file: FrameFile, begin: int, carry: Carry, *, last: bool = False, soon: bool = False, most: int | None = None) -> int:
    """Carries over what is in the file from `begin` on, `most` frames of it; returns how far that went."""
    frames = await asyncio.to_thread(lambda: list(islice(file.frames(begin), most)))
    for at in range(0, len(frames), BATCH):
        some = frames[at : at + BATCH]
        await carry(file.path.name, some, process_of(file.path), last and at + BATCH >= len(frames), soon)
    return frames[-1].end if frames else begin


async def inherit(
    folder: Path, ending: str, carry: Carry, forget: Forget, last: Callable[[str], bool], behind: Collection[str] = ()
) -> None:
    """Takes over what processes that are gone have left. `last`: whether a process has nothing to say elsewhere. `behind`: processes that
    have said something before, elsewhere, which is not carried over yet."""
    await asyncio.to_thread(_clear, folder)
    waiting = set(behind)
    paths = left(folder, ending)
    for at, path in enumerate(paths):
        process_id = process_of(path)
        if process_id in waiting:
            continue
        is_last = all(process_of(later) != process_id for later in paths[at + 1 :])
        if not await _inherited(path, carry, forget, is_last and last(process_id)):
            waiting.add(process_id)


def _clear(folder: Path) -> None:
    """Removes files that a killed process was about to make."""
    for path in left(folder, PART):
        with contextlib.suppress(OSError):
            if (file := FrameFile.take_over(path)) is not None:
                file.remove()


async def _inherited(path: Path, carry: Carry, forget: Forget, last: bool) -> bool:
    """Whether all of it is in the database."""
    try:
        file = await asyncio.to_thread(FrameFile.take_over, path)
    except FileNotFoundError:
        return True  # another start was quicker
    except OSError as error:
        log.error("%s cannot be read: %s", path, error)
        return False
    if file is None:
        return not await asyncio.to_thread(path.exists)  # its process lives, or another start is at it
    try:
        end = await carried(file, 0, carry, last=last)
        if end < file.size:
            log.error("the last %d bytes of %s are torn, as its process was killed while it wrote them", file.size - end, path.name)
        file.remove()
        log.warning("the entries of the books in %s are in the database now", path.name)
    except Exception as error:  # noqa: BLE001 - whatever the database raises: a start goes on, and the next one tries again
        log.error("the entries of the books in %s could not be carried over yet: %s", path.name, error)
        return False
    finally:
        file.close()
    try:
        await forget(path.name)
    except Exception as error:  # noqa: BLE001 - a line too much in the database
        log.info("what was noted about %s stays: %s", path.name, error)
    return True
