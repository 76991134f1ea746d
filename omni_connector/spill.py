"""Where the books go while the database takes nothing: a file in OMNI_HOME/spill, flushed to the disk with every entry, and from there into
the database as soon as it is back, or at the next start.

A file is a row of frames: length and checksum (4 bytes each, little endian), then msgpack {"opens", "settles", "keeps"}, as the ledger
would have written them in one transaction. Its name is the process's and a number, and its process holds a lock on it: so a file without
one was left by a process that is gone, and whoever starts next takes it over. What was carried over is noted in the database, in the
transaction that carries it: a process may be killed at any moment, and each frame counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import struct
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from omni_connector.settings import Settings

log = logging.getLogger("omni.spill")

Row = dict[str, Any]
ENDING = ".spill"
HEAD = struct.Struct("<II")
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between two looks whether the database is back; the last one repeats."""
BATCH = 200
"""Frames that are carried over in one transaction."""
LITTLE = 64 << 10
"""Bytes that are carried over in well under a second."""
PASSES = 20
"""In which what is left becomes little. It does not where entries come faster than they go, and so they have to wait."""
MB = 1 << 20
MINUTE = 60_000


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


class Spill:
    """Of one process. `server`: the database is another machine's, so the disk here does not depend on it."""

    def __init__(
        self, folder: Path, process_id: str, settings: Callable[[], Settings], now: Callable[[], int], *, server: bool = False
    ) -> None:
        self._folder = folder
        self._process_id = process_id
        self._settings = settings
        self._now = now
        self._server = server
        self._file: _File | None = None
        self._number = 0
        self._lock = asyncio.Lock()
        self._news = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.since: int | None = None
        """When the database stopped taking anything (ms); None: it takes all."""
        self.rows = 0
        """That were spilled since this process began."""
        self._before = 0

    @property
    def away(self) -> bool:
        return self.since is not None

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return 0 if self._file is None else self._file.size

    @property
    def wanted(self) -> bool:
        return self._settings().spill_mb > 0

    @property
    def takes_new(self) -> bool:
        """Whether requests may begin whose rows are only in the file."""
        settings = self._settings()
        if not self.wanted or not (self._server if settings.spill_new_requests == "auto" else settings.spill_new_requests == "yes"):
            return False
        return self.since is None or settings.spill_minutes == 0 or self._now() - self.since < settings.spill_minutes * MINUTE

    def told(self) -> dict[str, Any] | None:
        """For people: {"since", "bytes", "rows", "new_requests"}, of this absence alone; None while all is well."""
        if self.since is None:
            return None
        return {"since": self.since, "bytes": self.size, "rows": self.rows - self._before, "new_requests": self.takes_new}

    # ------------------------------------------------------------ into the file

    async def needed(self) -> bool:
        """Whether the database is still away; waits for the end of a return that is under way."""
        if self.since is None:
            return False
        async with self._lock:
            return self.since is not None

    async def put(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row]) -> bool:
        """True when they are on the disk; False when there is no room, or the disk refuses as well."""
        async with self._lock:
            if not self.wanted:
                return False
            try:
                payload = msgspec.msgpack.encode({"opens": opens, "settles": settles, "keeps": keeps})
            except (UnicodeEncodeError, OverflowError, TypeError) as error:
                log.error("entries of the books could not be written down: %s", type(error).__name__)
                return False
            if self.size + len(payload) + HEAD.size > self._settings().spill_mb * MB:
                log.error("the file for entries of the books is full (setting spill_mb)")
                return False
            try:
                await asyncio.to_thread(self._append, HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
            except OSError as error:
                log.error("entries of the books could not be written to %s either: %s", self._folder, error)
                return False
            if self.since is None:
                self.since, self._before = self._now(), self.rows
                log.error("the database takes nothing; entries of the books go to %s until it does", self._folder)
            self.rows += len(opens) + len(settles)
            self._news.set()
            return True

    def _append(self, frame: bytes) -> None:
        if self._file is None:
            self._number += 1
            self._file = _File.create(self._folder / f"{self._process_id}-{self._number}{ENDING}")
        self._file.append(frame)

    # ------------------------------------------------------------ and into the database

    async def begin(self, carry: Carry, forget: Forget) -> None:
        """Takes over what processes that are gone have left, then carries over by itself what comes, as soon as that is possible."""
        await self._inherit(carry, forget)
        self._task = asyncio.create_task(self._run(carry, forget), name="spill")

    async def close(self) -> None:
        """One last try; what stays is carried over at the next start."""
        self._closing = True
        self._stop.set()
        self._news.set()
        if self._task is not None:
            await self._task
        if self._file is not None:
            self._file.close()

    async def _run(self, carry: Carry, forget: Forget) -> None:
        tries = 0
        while not self._closing:
            if self._file is None:
                tries = 0
                await self._news.wait()
                self._news.clear()
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            if not self._closing and not await self._emptied(self._file, carry, forget):
                tries += 1
        if self._file is not None:
            await self._emptied(self._file, carry, forget)

    async def _emptied(self, file: _File, carry: Carry, forget: Forget) -> bool:
        """Whether all is in the database by now."""
        try:
            # Is it back? A connection that died without a word would keep us for long.
            begin = await self._carry(file, 0, self._process_id, carry, most=1, soon=True)
            for _ in range(PASSES):
                begin = await self._carry(file, begin, self._process_id, carry)
                if file.size - begin <= LITTLE:
                    break
            # Under load there is always a little more: for that, who has something to add waits.
            async with self._lock:
                await self._carry(file, begin, self._process_id, carry, soon=file.size - begin <= LITTLE)
                file.remove()
                self._file = None
                away = self._now() - (self.since or 0)
                self.since = None
            log.warning("the database is back after %.1f s; all entries of the books are in it", away / 1000)
            await forget(file.path.name)
            return True
        except Exception as error:  # noqa: BLE001 - whatever the database raises: it is tried again
            log.info("the database takes nothing yet: %s", error)
            return False

    async def _carry(
        self, file: _File, begin: int, process_id: str, carry: Carry, *, last: bool = False, soon: bool = False, most: int | None = None
    ) -> int:
        """Carries over what is in the file from `begin` on, `most` frames of it; returns how far that went."""
        frames = await asyncio.to_thread(lambda: list(islice(file.frames(begin), most)))
        for at in range(0, len(frames), BATCH):
            some = frames[at : at + BATCH]
            await carry(file.path.name, some, process_id, last and at + BATCH >= len(frames), soon)
        return frames[-1].end if frames else begin

    async def _inherit(self, carry: Carry, forget: Forget) -> None:
        for path in left(self._folder):
            try:
                file = await asyncio.to_thread(_File.take_over, path)
            except OSError as error:
                log.error("%s cannot be read: %s", path, error)
                continue
            if file is None:
                continue  # its process lives
            try:
                end = await self._carry(file, 0, path.stem.rpartition("-")[0], carry, last=True)
                if end < file.size:
                    log.error("the last %d bytes of %s are torn, as its process was killed while it wrote them", file.size - end, path.name)
                file.remove()
                await forget(path.name)
                log.warning("the entries of the books in %s are in the database now", path.name)
            except Exception as error:  # noqa: BLE001 - as above; a start goes on, and the next one tries again
                log.error("the entries of the books in %s could not be carried over yet: %s", path.name, error)
                file.close()


def left(folder: Path) -> list[Path]:
    """Files with entries that wait."""
    return sorted(folder.glob(f"*{ENDING}")) if folder.is_dir() else []


class _File:
    """Open and locked."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self.size = os.fstat(handle).st_size

    @classmethod
    def create(cls, path: Path) -> _File:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = cls(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _lock(file._handle)
        _flush_folder(path.parent)
        return file

    @classmethod
    def take_over(cls, path: Path) -> _File | None:
        """None: another process has it."""
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        if not _lock(handle):
            os.close(handle)
            return None
        return cls(path, handle)

    def append(self, frame: bytes) -> None:
        """All of it, flushed, or nothing."""
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(self._handle, frame[written:], self.size + written)
            os.fsync(self._handle)
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
        # First the name, then the lock: nobody may take over what is done.
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        os.close(self._handle)


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
    with contextlib.suppress(OSError):  # not every system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
