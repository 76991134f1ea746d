"""Where the books go while the database takes nothing: a file in OMNI_HOME/spill, flushed to the disk with every entry, and from there into
the database as soon as it is back, or at the next start.

What was carried over of a file (frames.py) is noted in the database, in the transaction that carries it: a process may be killed at any
moment, and each frame counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omni_connector.frames import JOURNAL, SPILL, Carry, Forget, FrameFile, carried, framed, inherit, left, process_of
from omni_connector.settings import Settings

log = logging.getLogger("omni.spill")

Row = dict[str, Any]
ENDING = SPILL
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between two looks whether the database is back; the last one repeats."""
LITTLE = 64 << 10
"""Bytes that are carried over in well under a second."""
PASSES = 20
"""In which what is left becomes little. It does not where entries come faster than they go, and so they have to wait."""
MB = 1 << 20
MINUTE = 60_000


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
        self._file: FrameFile | None = None
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
                frame = framed(opens, settles, keeps)
            except (UnicodeEncodeError, OverflowError, TypeError) as error:
                log.error("entries of the books could not be written down: %s", type(error).__name__)
                return False
            if self.size + len(frame) > self._settings().spill_mb * MB:
                log.error("the file for entries of the books is full (setting spill_mb)")
                return False
            try:
                await asyncio.to_thread(self._append, frame)
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
            self._file = FrameFile.create(self._folder / f"{self._process_id}-{self._number}{ENDING}")
        self._file.append(frame)

    # ------------------------------------------------------------ and into the database

    async def begin(self, carry: Carry, forget: Forget) -> None:
        """Takes over what processes that are gone have left, then carries over by itself what comes, as soon as that is possible."""
        behind = {process_of(path) for path in left(self._folder, JOURNAL)}  # what was spilled came after that
        await inherit(self._folder, ENDING, carry, forget, lambda process_id: True, behind)
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

    def let_go(self) -> None:
        """Where the loop is closed: whoever starts next takes over what is there."""
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

    async def _emptied(self, file: FrameFile, carry: Carry, forget: Forget) -> bool:
        """Whether all is in the database by now."""
        try:
            # Is it back? A connection that died without a word would keep us for long.
            begin = await carried(file, 0, carry, most=1, soon=True)
            for _ in range(PASSES):
                begin = await carried(file, begin, carry)
                if file.size - begin <= LITTLE:
                    break
            # Under load there is always a little more: for that, who has something to add waits.
            async with self._lock:
                await carried(file, begin, carry, soon=file.size - begin <= LITTLE)
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
