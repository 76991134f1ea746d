"""Upkeep of the books: what is deleted when (days, rows, bytes, a disk that is nearly full), and whether the sums are right.

All of it goes in small steps between which requests are written; how much a step takes on follows from how long the last ones took.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from omni_connector import prompts
from omni_connector.settings import Settings
from omni_connector.store import homes, kept, partitions, pruning, rollups
from omni_connector.store.engine import Database
from omni_connector.store.files import DatabaseError

log = logging.getLogger("omni.upkeep")

HOUR = 3_600_000
MB = 1 << 20
STEP_MS = 4.0
"""What one write transaction of the upkeep is to last: a request may have to wait for it, and never 20 ms."""
SERVER_STEP_MS = 50.0
"""The same on PostgreSQL, where nobody waits for the writer: rows that are deleted are nobody else's any more."""
MOST = 2_000
"""Rows or pages of one step at most."""
COUNTED = 1_000_000
"""Rows of a month that are counted before it is dropped; of more, PostgreSQL's estimate is told."""
PAGES = 10
"""Pages that one step gives back to the disk at most: one that has to be moved may take a millisecond, which the last ones do not tell."""
SLACK = 8 * MB
"""Free room in the file that new rows may use; only what is more goes back to the disk."""
ROOM = 16 * MB
"""Free room in the file that is made when the disk is nearly full: what is recorded then needs no more of the disk."""
CARRIED = 4
"""Steps after which what was written is carried over into the file: before there is so much that a request's own commit has to do it, and
not each time, because the next commit then waits for the disk once more."""
PASS_S = 20.0
"""A pass of the retention ends after so many seconds, because other jobs wait for it; the next one goes on."""
NEW_MS = HOUR
"""Rows younger than this are not deleted for want of room."""
LOW_DISK, DIFFERENT = "disk_low", "usage_differs"
"""Kinds of alerts that begin and end here."""


NOT_OURS = (
    "The monthly tables of the coming requests are missing, and this role may not make them. Requests are kept all the same, in "
    "requests_default. Let the owner of the database run: omni-connector partitions (docs/postgresql.md)"
)


class Alarm(Protocol):
    """Alerts that begin and end (`alerts.Watch`)."""

    async def begin(self, kind: str, subject: str, message: str) -> bool: ...
    async def over(self, kind: str, subject: str) -> bool: ...


class Pace:
    """How many rows or pages one step takes, by the time that the last ones took."""

    def __init__(self, size: int = 20, step_ms: float = STEP_MS) -> None:
        self.size = size
        self._step_ms = step_ms

    def took(self, ms: float) -> None:
        # Down at once, up by steps: a disk that was slow once will be again.
        share = self._step_ms / max(ms, 0.01)
        self.size = min(MOST, int(self.size * min(1.5, share)) + 1) if share > 1 else max(1, int(self.size * max(0.2, share)))


async def make_months(db: Database, now: int, ahead: int = partitions.AHEAD) -> tuple[list[str], list[str]]:
    """Names of the monthly tables that were made, and of those that are missing because this role may not make them. Raises
    DatabaseError while somebody holds the table for too long."""
    wanted = await db.run(lambda conn: partitions.missing(conn, now, ahead))
    if not wanted:
        return [], []
    if not await db.run(partitions.may_change):
        return [], [part.name for part in wanted]
    made = [part.name for part in wanted if await db.tx(lambda conn, one=part: partitions.make(conn, one))]  # type: ignore[misc]
    if made:
        await db.tx(partitions.analyze)
    return made, []


class Upkeep:
    """`alarm` None: nobody is told but the log. `free`: bytes that are free on the disk of a folder."""

    def __init__(
        self,
        db: Database,
        settings: Callable[[], Settings],
        home: Path,
        now: Callable[[], int],
        alarm: Alarm | None = None,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self._db = db
        self._settings = settings
        self._home = home
        self._now = now
        self._alarm = alarm
        self._free = free
        self._steps = 0
        self.longest_ms = 0.0
        """The longest that a step held the writer so far."""

    # ------------------------------------------------------------ the jobs; each returns a sentence for the log

    async def retention(self) -> str:
        """Deletes what is beyond the kept days, rows and bytes, and gives free room of the file back to the disk."""
        settings, now = self._settings(), self._now()
        before = now - settings.retention_days * 24 * HOUR if settings.retention_days else None
        keep = settings.retention_rows
        last = await self._db.run(lambda conn: pruning.last_beyond(conn, keep)) if keep else None
        await asyncio.to_thread(prompts.prune, self._home, settings.prompt_log_days, now)
        await self._db.tx(lambda conn: homes.prune(conn, now - 24 * HOUR))
        until = time.monotonic() + PASS_S
        deleted, pace = await self._drop_months(before, last), self._pace()
        if settings.retention_whole_months and await self._db.run(partitions.may_change):
            before = None
        while time.monotonic() < until and (count := await self._delete_oldest(pace, before, last)):
            deleted += count
        answers = await self._delete_kept(now - settings.kept_days * 24 * HOUR, until) if settings.kept_days else 0
        if settings.keep_requests_mb:
            more, more_answers = await self._shrink_to(settings.keep_requests_mb * MB, now - NEW_MS, until)
            deleted, answers = deleted + more, answers + more_answers
        given = await self._give_back(until)
        back = f", {given // MB} MiB given back to the disk" if given >= MB else ""
        return f"{deleted} request rows and {answers} kept answers deleted{back}"

    async def guard(self) -> str:
        """When the disk is nearly full: says so, and makes room inside the file, of the oldest rows, so that requests can go on."""
        least = self._settings().disk_reserve_mb * MB
        folder = self._home if self._db.path is None else self._db.path.parent
        free = await asyncio.to_thread(self._free, folder) if least else 0
        if not least or free >= least:
            if self._alarm is not None and (not least or free >= least + least // 4):  # not to and fro at the edge
                await self._alarm.over(LOW_DISK, "")
            return f"{free // MB} MB are free" if least else "switched off by the settings"
        words = f"Only {free // MB} MB are free on the disk of {folder}"
        log.warning("%s", words)
        if self._alarm is not None:
            await self._alarm.begin(LOW_DISK, "", f"{words}. Free some space: the oldest requests are deleted to make room for new ones")
        return f"{words}; {await self._make_room()} of the oldest request rows deleted"

    async def months(self) -> str:
        """Makes the tables of this month and the next ones (PostgreSQL)."""
        made, wanted = await make_months(self._db, self._now())
        if wanted:
            log.warning("%s", NOT_OURS)
            return f"{len(wanted)} monthly tables are missing"
        return f"made {', '.join(made)}" if made else "nothing was missing"

    async def check(self) -> str:
        """Compares hourly sums and rows, a day at a time; where they differ, makes the sums anew and says so."""
        wrong: set[int] = set()
        count, begin = 0, 0
        while True:
            found, following = await self._db.run(lambda conn, at=begin: rollups.check_on(conn, at))  # type: ignore[misc]
            wrong.update(one["hour"] for one in found)
            count += len(found)
            for one in found[:10]:
                log.error("sums of usage differ from the rows: %s", one)
            if following is None:
                break
            begin = following
        if not wrong:
            if self._alarm is not None:
                await self._alarm.over(DIFFERENT, "")
            return "the sums of usage equal the rows"
        for hour in sorted(wrong):
            await self._db.tx(lambda conn, one=hour: rollups.rebuild(conn, [one]))  # type: ignore[misc]
        words = f"{count} hourly sums of usage differed from the requests, in {len(wrong)} hours; they were added up anew"
        if self._alarm is not None:
            await self._alarm.begin(DIFFERENT, "", words)
        return words

    # ------------------------------------------------------------ steps

    async def _drop_months(self, before_ms: int | None, up_to: str | None) -> int:
        """Tables of months of which every row is to go (PostgreSQL); returns how many rows they had. A month that cannot be had at once
        goes next time."""
        found = await self._db.run(lambda conn: partitions.over(conn, before_ms, up_to))
        if not found or not await self._db.run(partitions.may_change):
            return 0
        deleted = 0
        for part in found:
            rows = part.rows
            if rows <= COUNTED:
                rows = await self._db.run(lambda conn, one=part: partitions.count(conn, one))  # type: ignore[misc]
            try:
                if await self._db.tx(lambda conn, one=part: partitions.drop(conn, one, before_ms, up_to)):  # type: ignore[misc]
                    deleted += rows
                    log.info("the table %s was dropped with %d request rows", part.name, rows)
            except DatabaseError as error:
                log.info("the table %s stays for now: %s", part.name, error)
        return deleted

    def _pace(self) -> Pace:
        return Pace(step_ms=STEP_MS if self._db.path is not None else SERVER_STEP_MS)

    async def _delete_oldest(self, pace: Pace, before_ms: int | None, up_to: str | None = None) -> int:
        rows = await self._db.run(lambda conn: pruning.oldest(conn, before_ms, up_to, pace.size))
        return await self._step(pace, lambda conn: pruning.delete(conn, rows)) if rows else 0

    async def _delete_kept(self, before_ms: int, until: float) -> int:
        deleted, pace = 0, self._pace()
        while time.monotonic() < until and (count := await self._step(pace, lambda conn: kept.prune(conn, before_ms, pace.size))):
            deleted += count
        return deleted

    async def _shrink_to(self, most: int, before_ms: int, until: float) -> tuple[int, int]:
        """Deletes the oldest rows, and the kept answers of their time, until what the file holds is no more than `most` bytes."""
        deleted = answers = 0
        pace = self._pace()
        while (size := await self._db.run(pruning.size)) is not None and size.used > most and time.monotonic() < until:
            rows = await self._db.run(lambda conn: pruning.oldest(conn, before_ms, None, pace.size))
            gone = await self._step(pace, lambda conn, them=rows: pruning.delete(conn, them)) if rows else 0  # type: ignore[misc]
            as_old = rows[-1]["started_at"] if rows else before_ms
            gone_answers = await self._delete_kept(as_old, until)
            if not gone + gone_answers:
                break
            deleted, answers = deleted + gone, answers + gone_answers
        return deleted, answers

    async def _make_room(self) -> int:
        deleted, pace = 0, self._pace()
        while (size := await self._db.run(pruning.size)) is not None and size.free < ROOM:
            count = await self._delete_oldest(pace, self._now() - NEW_MS)
            if not count:
                break
            deleted += count
        return deleted

    async def _give_back(self, until: float) -> int:
        """Bytes that the file became smaller."""
        size = first = await self._db.run(pruning.size)
        if first is None or not first.shrinks or first.free <= 2 * SLACK:
            return 0
        pace = self._pace()
        while size is not None and size.free > SLACK and time.monotonic() < until:
            await self._step(pace, lambda conn: pruning.give_back(conn, min(pace.size, PAGES)))
            size = await self._db.run(pruning.size)
        return first.file - (size or first).file

    async def _step(self, pace: Pace, work: Callable[[Any], Any]) -> int:
        """One write transaction, measured from the moment it holds the writer; then as long a pause, for whoever waits."""
        begun = worked = 0.0

        def timed(conn: Any) -> Any:
            nonlocal begun, worked
            begun = time.perf_counter()
            done = work(conn)
            worked = time.perf_counter() - begun
            return done

        done = await self._db.sweep(timed)
        ms = (time.perf_counter() - begun) * 1000
        self.longest_ms = max(self.longest_ms, ms)
        # By the work: the rest does not become less with fewer rows.
        pace.took(worked * 1000)
        self._steps += 1
        if self._steps % CARRIED == 0:
            await self._db.checkpoint()
        await asyncio.sleep(ms / 1000)
        return int(done or 0)
