"""On a database that is a file, entries of the books go to a file of frames first (frames.py): that flush is what a request waits for. The
database gets them a moment later, many in one transaction, and a request that is over by then as one row that is opened and closed at once:
a quarter of the work, and workers on one file do not wait for each other's transactions.

What needs the database's word goes there at once, after all that came before it: requests that limits are asked for, and answers that
later ones refer to. Who reads the database waits until the journal is in it (`landed`). A journal that was left is carried over by whoever
starts next; a row that is there already stays as it is, so that may happen any number of times.

While the database takes nothing there is no journal: what is in it, and what comes, is spilled (spill.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from omni_connector.frames import Frame, FrameFile, framed, inherit, left
from omni_connector.ledger import Verdict
from omni_connector.spill import ENDING as SPILLED
from omni_connector.spill import Spill
from omni_connector.store.allowances import Ask
from omni_connector.store.files import Away

log = logging.getLogger("omni.journal")

Row = dict[str, Any]
ENDING = ".journal"
GATHER_S = 0.05
"""For which what is over waits for others."""
OPEN_S = 2.0
"""For which what is not over waits for its end. A crash within that costs nothing: it is in the journal."""
LARGE = 4 << 20
"""Bytes after which another file begins, and this one is emptied."""
MOST = 1000
"""Rows that wait at most until the database gets them."""
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between two tries of a database that refuses; the last one repeats."""
LOOK_S, LOOKS = 0.005, 100
"""How often a reader looks whether what other workers have written is there, and how many times at most: one of them may be stopped."""


class Books(Protocol):
    """The database's side (booking.py)."""

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """What `Ledger` wants, straight into the database."""

    async def land(self, opens: Sequence[Row], settles: Sequence[Row], reached: Sequence[tuple[str, int]]) -> None:
        """The same of what waited, and how far files are in the database then. Rows that it does not take even alone are logged and left
        out. Raises when it takes none."""

    async def reached(self, files: Sequence[str]) -> dict[str, int]:
        """How far these files are in the database (bytes)."""

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        """`frames.Carry`."""

    async def forget(self, file: str) -> None:
        """`frames.Forget`."""


class Journal:
    """Of one process; `write` is what `Ledger` wants. `has_siblings`: whether other processes may have journals for the same database."""

    def __init__(self, folder: Path, process_id: str, books: Books, spill: Spill, has_siblings: Callable[[], bool]) -> None:
        self._folder, self._process_id, self._books, self._spill, self._has_siblings = folder, process_id, books, spill, has_siblings
        self.on = False
        """Whether entries go to the file. Not before `start`, and not while the database refuses them."""
        self._file: FrameFile | None = None
        self._full: list[FrameFile] = []
        self._number = 0
        self._known: tuple[str, int] = ("", 0)
        """The file, and its bytes that are among those that wait, or are in the database."""
        self._opens: dict[str, tuple[Row, float]] = {}
        self._settles: list[Row] = []
        self._direct: set[str] = set()
        """Requests that limits were asked for: who waits for what they hold must not wait any longer."""
        self._lane = asyncio.Lock()
        self._news = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    @property
    def waiting(self) -> int:
        """Entries that are not in the database yet."""
        return len(self._opens) + len(self._settles)

    async def inherit(self) -> None:
        """Takes over what processes that are gone have left."""
        spilled = {path.name.rpartition("-")[0] for path in left(self._folder, SPILLED)}
        await inherit(self._folder, ENDING, self._books.carry, self._books.forget, lambda process_id: process_id not in spilled)

    def start(self) -> Callable[[], Awaitable[None]]:
        """Only where the process goes on when a request is over. Returns what a reader of the database has to wait for."""
        self.on = True
        self._thread = ThreadPoolExecutor(1, "journal")
        self._task = asyncio.create_task(self._run(), name="journal")
        return self.landed

    async def close(self) -> None:
        """One last try; what stays is carried over at the next start."""
        if self._task is None:
            return
        self._stop.set()
        self._news.set()
        await self._task
        self.on = False
        try:
            async with self._lane:
                await self._empty(everything=True)
            for file in self._files():
                file.remove()
        except Exception as error:  # noqa: BLE001 - whatever the database raises
            log.error("%d entries of the books stay in %s until the next start: %s", self.waiting, self._folder, error)
            for file in self._files():
                file.close()
        self._file, self._full = None, []
        assert self._thread is not None
        self._thread.shutdown()

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        """`frames.Carry` of what was spilled while the database was away: after what came before that."""
        async with self._lane:
            await self._empty(everything=True)
            await self._books.carry(file, frames, process_id, last, soon)

    # ------------------------------------------------------------ into the file

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """Durable when it returns. Raises what the database raises, where it is asked."""
        if self._takes(settles, keeps, asks) and await self._put(opens, settles):
            return ()
        async with self._lane:
            await self._empty(everything=True)
            self._direct.update(ask.request_id for ask in asks)
            verdicts = await self._books.write(opens, settles, keeps, asks)
            self._direct.difference_update(row["id"] for row in settles)
        return verdicts

    def _takes(self, settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> bool:
        if not self.on or keeps or asks:
            return False
        return not self._direct or not any(row["id"] in self._direct for row in settles)

    async def _put(self, opens: Sequence[Row], settles: Sequence[Row]) -> bool:
        """False: the database shall say what is wrong, or do it."""
        assert self._thread is not None
        try:
            frame = framed(opens, settles, ())
            await asyncio.get_running_loop().run_in_executor(self._thread, self._append, frame)
        except (UnicodeEncodeError, OverflowError, TypeError):
            return False
        except OSError as error:
            log.error("the journal in %s cannot be written: %s", self._folder, error)
            return False
        assert self._file is not None
        self._known = (self._file.path.name, self._file.size)
        now = asyncio.get_running_loop().time()
        for row in opens:
            self._opens[row["id"]] = (row, now)
        self._settles += settles
        self._news.set()
        return True

    def _append(self, frame: bytes) -> None:
        if self._file is not None and self._file.size >= LARGE:
            self._full.append(self._file)
            self._file = None
        if self._file is None:
            self._number += 1
            self._file = FrameFile.create(self._folder / f"{self._process_id}-{self._number}{ENDING}")
        self._file.append(frame)

    def _files(self) -> list[FrameFile]:
        return [*self._full, *filter(None, (self._file,))]

    # ------------------------------------------------------------ and into the database

    async def landed(self) -> None:
        """Until what was durable when this was called is in the database, also of other workers. Goes on without where the database, or
        one of them, does not come along: what they had to say is in its file all the same."""
        if self.waiting and self.on:
            with contextlib.suppress(Exception):  # said by those who wait for it
                async with self._lane:
                    await self._empty(everything=True)
        if self._has_siblings():
            await self._others_landed()

    async def _others_landed(self) -> None:
        own = {file.path.name for file in self._files()}
        sizes = {path: size for path in left(self._folder, ENDING) if path.name not in own and (size := _size(path))}
        for _ in range(LOOKS):
            reached = await self._books.reached([path.name for path in sizes])
            sizes = {path: size for path, size in sizes.items() if reached.get(path.name, 0) < size and path.exists()}
            if not sizes:
                return
            await asyncio.sleep(LOOK_S)

    async def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            if tries:
                await self._pause(PAUSES_S[min(tries, len(PAUSES_S)) - 1])
            else:
                await self._gathered()
            if self._stop.is_set():
                return
            try:
                async with self._lane:
                    await self._empty(everything=bool(self._full or tries))
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever the database raises: it is tried again
                tries += 1
                log.error("the database does not take what is in the journal: %s", error)

    async def _gathered(self) -> None:
        """Until there is something for the database that is not worth waiting any longer."""
        self._news.clear()
        if not self._settles and not self._full:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), OPEN_S if self._opens else None)
        if self.waiting < MOST:
            await self._pause(GATHER_S)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _empty(self, *, everything: bool) -> None:
        """With the lane in hand. Without `everything`, what may be over soon stays."""
        settles, self._settles = self._settles, []
        over = {row["id"] for row in settles}
        old = asyncio.get_running_loop().time() - OPEN_S
        opens = {name: known for name, known in self._opens.items() if everything or name in over or known[1] <= old}
        for name in opens:
            del self._opens[name]
        full = self._full[:]
        reached = [*((file.path.name, file.size) for file in full), self._known] if self._has_siblings() else []
        try:
            if opens or settles:
                await self._books.land([row for row, _ in opens.values()], settles, reached)
        except Exception as error:
            self.on = False
            # There it is waited for, told of and bounded.
            if not (isinstance(error, Away) and await self._spill.put([row for row, _ in opens.values()], settles, ())):
                self._opens = {**opens, **self._opens}
                self._settles = [*settles, *self._settles]
            raise
        self.on = self._task is not None and not self._stop.is_set()
        if everything and full:
            await self._done_with(full)

    async def _done_with(self, files: Sequence[FrameFile]) -> None:
        for file in files:
            self._full.remove(file)
            await asyncio.to_thread(file.remove)
            if self._has_siblings():
                await self._books.forget(file.path.name)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
