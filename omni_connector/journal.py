"""On a database that is a file, entries of the books go to a file of frames first (frames.py): that flush is what a request waits for. The
database gets them a moment later, many in one transaction, and a request that is over by then as one row that is opened and closed at once:
a quarter of the work, and workers on one file do not wait for each other's transactions.

What needs the database's word goes there at once, after all that came before it: requests that limits are asked for, and answers that
later ones refer to. Who reads the database waits until the journal is in it (`landed`). A journal that was left is carried over by whoever
starts next, from where it is in the database on, which is noted there with the rows: they may have been deleted since. A row that is there
already stays as it is.

While the database takes nothing there is no journal: what is in it, and what comes, is spilled (spill.py). Whatever happens, an end never
gets into the database, or to where it waits for it, before its beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from omni_connector.frames import JOURNAL, POSSIBLE, SPILL, Frame, FrameFile, framed, inherit, left, process_of
from omni_connector.ledger import Verdict
from omni_connector.one_thread import OneThread
from omni_connector.spill import Spill
from omni_connector.store.allowances import Ask
from omni_connector.store.files import Away

log = logging.getLogger("omni.journal")

Row = dict[str, Any]
ENDING = JOURNAL
NOWHERE = ("", 0)
GATHER_S, ALONE_S = 0.05, 0.15
"""For which what is over waits for others; and how much longer where that is less than PLENTY: a transaction for itself costs as much as
thirty rows. Not beside other workers: their readers wait for it and cannot ask for it."""
PLENTY = 100
"""Requests that are over: for more of them a transaction is hardly cheaper, and holds up others for longer."""
OPEN_S = 2.0
"""For which what is not over waits for its end. A crash within that costs nothing: it is in the journal."""
LARGE = 4 << 20
"""Bytes after which another file begins, and this one is emptied."""
MOST = 1000
"""Rows that wait at most until the database gets them."""
PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between two tries of a database that refuses; the last one repeats."""
PATIENCE_S = 1.0
"""For which a reader waits at most: somebody may hold the file, which is no reason not to read it."""
LOOK_S, LOOKS = 0.005, 100
"""How often a reader looks whether what other workers have written is there, and how many times at most: one of them may be stopped."""
REST_S = 5.0
"""After which a disk that refused is asked again."""
AWAY = "The database takes nothing, and what it has not got yet must come first."


class Books(Protocol):
    """The database's side (booking.py)."""

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """What `Ledger` wants, straight into the database."""

    async def land(self, opens: Sequence[Row], settles: Sequence[Row], reached: Mapping[str, int], done: Mapping[str, int]) -> None:
        """The same of what waited, and how far files (bytes, by their names) are in the database then: what they say of requests that are
        over, and all they say. Rows that it does not take even alone are logged and left out. Raises when it takes none."""

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
        self._known = NOWHERE
        """The file, and its bytes that are among those that wait, or are in the database."""
        self._opens: dict[str, tuple[Row, float, tuple[str, int]]] = {}
        """With when they came, and where they begin: a file and a byte of it."""
        self._settles: list[Row] = []
        self._noted: Mapping[str, int] = {}
        """How far other workers know files to be in the database."""
        self._stuck: dict[str, int] = {}
        """Files of other workers that did not come along while we waited, and how far they were."""
        self._direct: set[str] = set()
        """Requests that limits were asked for: who waits for what they hold must not wait any longer."""
        self._rests_until = 0.0
        self._writing = 0
        """Entries that are on their way to the file."""
        self._written = asyncio.Event()
        self._written.set()
        self._lane = asyncio.Lock()
        self._landing: asyncio.Task[None] | None = None
        """One that readers wait for, and that has not begun."""
        self._at_work: set[asyncio.Task[Any]] = set()
        """That somebody waits for: the loop itself keeps only a weak reference."""
        self._news = asyncio.Event()
        self._plenty = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._thread: OneThread | None = None

    @property
    def waiting(self) -> int:
        """Entries that are not in the database yet."""
        return len(self._opens) + len(self._settles)

    async def inherit(self) -> None:
        """Takes over what processes that are gone have left."""
        spilled = {process_of(path) for path in left(self._folder, SPILL)}
        await inherit(self._folder, ENDING, self._books.carry, self._books.forget, lambda process_id: process_id not in spilled)

    def start(self) -> Callable[[], Awaitable[None]]:
        """Only where the process goes on when a request is over. Returns what a reader of the database has to wait for."""
        self.on = True
        self._rests_until = 0.0 if POSSIBLE else math.inf
        self._stop.clear()
        self._thread = OneThread("journal")
        self._task = asyncio.create_task(self._run(), name="journal")
        return self.landed

    async def close(self) -> None:
        """One last try; what stays is carried over at the next start."""
        if self._task is None:
            return
        self._stop.set()
        self._news.set()
        self._plenty.set()
        await self._task
        self.on = False
        await self._written.wait()  # what is on its way belongs to what is landed, and its file goes then
        try:
            async with self._lane:
                await self._empty(everything=True)
                self._full, self._file = self._files(), None
                await self._done_with(self._full[:])
        except Exception as error:  # noqa: BLE001 - whatever the database raises
            log.error("%d entries of the books stay in %s until the next start: %s", self.waiting, self._folder, error)
        finally:
            await asyncio.gather(*self._at_work, return_exceptions=True)
            self.let_go()

    def let_go(self) -> None:
        """As it is: whoever starts next takes over what is there."""
        self.on = False
        if self._thread is not None:
            self._thread.close()  # after what it is writing
        for file in self._files():
            file.close()
        self._file, self._full, self._known = None, [], NOWHERE

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        """`frames.Carry` of what was spilled while the database was away: after what came before that."""
        async with self._lane:
            await self._empty(everything=True)
            await self._books.carry(file, frames, process_id, last, soon)
            self._direct.difference_update(row["id"] for frame in frames for row in frame.settles)

    # ------------------------------------------------------------ into the file

    def write(
        self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]
    ) -> Awaitable[Sequence[Verdict]]:
        """Durable when what it returns is done: a future where the file takes it, since that is the case that has to be quick. Raises,
        there, what the database raises, where it is asked."""
        frame = self._frame(opens, settles, keeps, asks)
        if frame is None or self._thread is None:
            return self._through(opens, settles, keeps, asks)
        done: asyncio.Future[Sequence[Verdict]] = asyncio.get_running_loop().create_future()
        self._thread.do(partial(self._append, frame), partial(self._appended, done, opens, settles, len(frame)))
        self._writing += 1
        self._written.clear()
        return done

    def _frame(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> bytes | None:
        """What the file gets; None: the database shall do it, or say what is wrong."""
        if not self.on or keeps or asks or self._spill.away:
            return None
        if self._rests_until and asyncio.get_running_loop().time() < self._rests_until:
            return None
        if self._direct and any(row["id"] in self._direct for row in settles):
            return None
        try:
            return framed(opens, settles, ())
        except (UnicodeEncodeError, OverflowError, TypeError):
            return None

    async def _through(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """Straight into the database."""
        async with self._lane:
            if self._spill.away:
                raise Away(AWAY)
            await self._empty(everything=True)
            self._direct.update(ask.request_id for ask in asks)
            verdicts = await self._books.write(opens, settles, keeps, asks)
            self._direct.difference_update(row["id"] for row in settles)
        return verdicts

    def _appended(
        self,
        done: asyncio.Future[Sequence[Verdict]],
        opens: Sequence[Row],
        settles: Sequence[Row],
        size: int,
        place: tuple[str, int] | None,
        error: BaseException | None,
    ) -> None:
        """Before anybody hears that it is durable, it waits for the database."""
        self._writing -= 1
        if not self._writing:
            self._written.set()
        if place is None:
            self._refused(done, opens, settles, error)
            return
        self._known = (place[0], place[1] + size)
        now = asyncio.get_running_loop().time()
        for row in opens:
            self._opens[row["id"]] = (row, now, place)
        self._settles += settles
        self._news.set()
        if len(self._settles) >= PLENTY:
            self._plenty.set()
        if not done.done():
            done.set_result(())

    def _refused(
        self, done: asyncio.Future[Sequence[Verdict]], opens: Sequence[Row], settles: Sequence[Row], error: BaseException | None
    ) -> None:
        """The file did not take it: the database may."""
        if not isinstance(error, OSError):
            done.set_exception(error or RuntimeError("nobody knows where it went"))
            return
        log.error("the journal in %s cannot be written: %s", self._folder, error)
        self._rests_until = asyncio.get_running_loop().time() + REST_S
        instead = asyncio.create_task(self._through(opens, settles, (), ()), name="instead of the journal")
        self._at_work.add(instead)
        instead.add_done_callback(self._at_work.discard)
        instead.add_done_callback(partial(_same, done))

    def _append(self, frame: bytes) -> tuple[str, int]:
        """The file that has it then, and where."""
        if self._file is not None and self._file.size >= LARGE:
            self._full.append(self._file)
            self._file = None
        if self._file is None:
            self._number += 1
            self._file = FrameFile.create(self._folder / f"{self._process_id}-{self._number}{ENDING}")
        begin = self._file.size
        self._file.append(frame)
        return self._file.path.name, begin

    def _files(self) -> list[FrameFile]:
        return [*self._full, *filter(None, (self._file,))]

    # ------------------------------------------------------------ and into the database

    async def landed(self) -> None:
        """Until what was durable when this was called is in the database, also of other workers. Goes on without where the database, or
        one of them, does not come along: what they had to say is in its file all the same."""
        if self.on and (self.waiting or self._lane.locked()):
            await asyncio.wait((self._soon(),), timeout=PATIENCE_S)
        if self._has_siblings():
            await self._others_landed()

    def _soon(self) -> asyncio.Task[None]:
        """One landing for all who ask before it begins. A reader that leaves (its client did) leaves it behind unharmed."""
        if self._landing is None:
            self._landing = asyncio.create_task(self._land_all(), name="landing")
            self._at_work.add(self._landing)
            self._landing.add_done_callback(self._at_work.discard)
        return self._landing

    async def _land_all(self) -> None:
        async with self._lane:
            self._landing = None
            with contextlib.suppress(Exception):  # said by those who wait for it
                await self._empty(everything=True)

    async def _others_landed(self) -> None:
        own, paths = {file.path.name for file in self._files()}, left(self._folder, ENDING)
        sizes = {path: size for path in paths if path.name not in own and (size := _size(path))}
        reached: Mapping[str, int] = {}
        for _ in range(LOOKS):
            reached = await self._books.reached([path.name for path in sizes]) if sizes else {}
            sizes = {path: size for path, size in sizes.items() if self._comes(path, size, reached.get(path.name, 0))}
            if not sizes:
                return
            await asyncio.sleep(LOOK_S)
        there = {path.name for path in paths}
        stuck = {**self._stuck, **{path.name: reached.get(path.name, 0) for path in sizes}}
        self._stuck = {name: at for name, at in stuck.items() if name in there}

    def _comes(self, path: Path, size: int, reached: int) -> bool:
        """Whether a file of another worker has to say what is not in the database, and may be soon."""
        return reached < size and self._stuck.get(path.name) != reached and path.exists()

    async def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            if tries:
                await _within(self._stop, PAUSES_S[min(tries, len(PAUSES_S)) - 1])
            else:
                await self._gathered()
            if self._stop.is_set():
                return
            try:
                async with self._lane:
                    await self._empty(everything=bool(self._full) or not self.on)
                tries = 0
            except Exception as error:  # noqa: BLE001 - whatever the database raises: it is tried again
                tries += 1
                log.error("the database does not take what is in the journal: %s", error)

    async def _gathered(self) -> None:
        """Until there is something for the database that is not worth waiting any longer."""
        if not self._settles and not self._full:
            await _within(self._news, OPEN_S if self._opens else None)
        if self.waiting < MOST:
            await _within(self._stop, GATHER_S)
        self._plenty.clear()  # before it is looked at, as below
        if self.waiting < MOST and len(self._settles) < PLENTY and not (self._has_siblings() or self._stop.is_set()):
            await _within(self._plenty, ALONE_S)
        self._news.clear()  # before it is looked at: what comes meanwhile is news

    async def _empty(self, *, everything: bool) -> None:
        """With the lane in hand. Without `everything`, what may be over soon stays."""
        settles, self._settles = self._settles, []
        over = {row["id"] for row in settles}
        old = asyncio.get_running_loop().time() - OPEN_S
        opens = {name: known for name, known in self._opens.items() if everything or name in over or known[1] <= old}
        for name in opens:
            del self._opens[name]
        full, done = self._full[:], self._done()
        reached = self._reached() if self._has_siblings() else {}
        try:
            # Others wait for how far we are, also where that is only a beginning.
            if opens or settles or not reached.items() <= self._noted.items():
                await self._books.land([row for row, _, _ in opens.values()], settles, reached, done)
                self._noted = reached
        except BaseException as error:
            self.on = False
            self._opens = {**opens, **self._opens}
            self._settles = [*settles, *self._settles]
            self._news.set()  # who saw nothing wait meanwhile would rest
            if isinstance(error, Away):
                await self._aside()
            raise
        self.on = self._task is not None and not self._stop.is_set()
        if everything and full:
            await self._done_with(full)

    def _reached(self) -> dict[str, int]:
        """How far each file is in the database, when nothing of what waits is over."""
        files = {file.path.name: file.size for file in self._full}
        return files if self._known is NOWHERE else {**files, self._known[0]: self._known[1]}

    def _done(self) -> dict[str, int]:
        """The same of all that they say, when what waits is `_opens`."""
        done = self._reached()
        for _, _, (file, begin) in self._opens.values():
            done[file] = min(done.get(file, begin), begin)
        return done

    async def _aside(self) -> None:
        """To where it is waited for, told of and bounded: all of it, with what is just being put into the file."""
        await self._written.wait()
        # Nothing more is on its way, as `on` is off.
        # What was spilled before came after this, so this stays here and goes over before that (`carry`).
        if not self._spill.away and await self._spill.put([row for row, _, _ in self._opens.values()], self._settles, ()):
            self._opens, self._settles = {}, []

    async def _done_with(self, files: Sequence[FrameFile]) -> None:
        for file in files:
            self._full.remove(file)
            try:
                await asyncio.to_thread(file.remove)
                await self._books.forget(file.path.name)
            except Exception as error:  # noqa: BLE001 - it is in the database, where that is noted: the next start clears it away
                log.warning("%s is of no use any more, but stays: %s", file.path.name, error)
            finally:
                file.close()


async def _within(event: asyncio.Event, seconds: float | None) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _same(done: asyncio.Future[Sequence[Verdict]], instead: asyncio.Task[Sequence[Verdict]]) -> None:
    """What came of the one, for who waits for the other."""
    if done.done():
        return
    if instead.cancelled():
        done.cancel()
    elif (error := instead.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(instead.result())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
