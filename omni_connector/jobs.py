"""Background work: the bodies of the jobs, and the clock that makes due ones run (DESIGN.md, law 6).

The queue is a table (`store/jobs.py`); APScheduler with its in-memory store is only the clock. Every tick claims due rows
by lease, so any number of processes may tick and none runs a job twice; `POST /api/jobs/tick` lets an outside cron do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from omni_connector import backup
from omni_connector.settings import Settings
from omni_connector.store import accounts as account_rows
from omni_connector.store import books, refreshes
from omni_connector.store import jobs as queue
from omni_connector.store.engine import Database
from omni_connector.store.files import Away
from omni_connector.store.requests import Estimate
from omni_connector.upkeep import Alarm, Upkeep
from omni_connector.values import dataclass

log = logging.getLogger("omni.jobs")

Json = dict[str, Any]

TICK_S = 5
BEAT_S = 5
CLOCK = "apscheduler.schedulers.asyncio"
"""Takes 30 ms to import, which no start waits for: the first tick is seconds away."""
WIND_S = 1.0
LEASE_MS = 10 * 60_000
DEAD_MS = 30_000
"""A process that was not seen for this long is dead, even on another machine."""
MINUTE = 60_000
HOUR = 60 * MINUTE


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of periodic work. `every_ms` may depend on settings; 0 switches it off."""

    name: str
    meaning: str
    every_ms: Callable[[Settings], int]
    jitter_ms: int


KINDS = (
    Kind("cooldown-recovery", "Drops cooldowns that ran out long ago.", lambda s: MINUTE, 5_000),
    Kind("retention", "Deletes request rows beyond the kept days, rows and MiB, and old kept answers.", lambda s: 10 * MINUTE, MINUTE),
    Kind("disk-guard", "Makes room for new rows, and begins an alert, when the disk is nearly full.", lambda s: MINUTE, 5_000),
    Kind("usage-check", "Compares the hourly sums of usage with the rows, and makes wrong ones anew.", lambda s: 24 * HOUR, HOUR),
    Kind(
        "snapshot", "Writes a copy of the database to backups/ and keeps the newest ones.", lambda s: int(s.snapshot_hours * HOUR), MINUTE
    ),
    Kind("partitions", "Makes the monthly tables of the coming requests (PostgreSQL).", lambda s: 6 * HOUR, MINUTE),
    Kind("recovery", "Settles the open rows that a killed process left behind.", lambda s: MINUTE, 5_000),
)


@dataclass(frozen=True, slots=True)
class Report:
    """How a run by need ended. `said` "": nothing worth a line. `due_at` (ms) None: it is over. `payload` is what the next run finds;
    `error` is noted on the row."""

    said: str
    due_at: int | None
    payload: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


class ByNeed(Protocol):
    """Work with a row per key (an account) for as long as there is need of it, on a schedule of its own."""

    @property
    def kind(self) -> str: ...

    async def arrange(self) -> None:
        """Bring the rows into line with the need. Called with every tick, before due rows are claimed."""

    async def run(self, job: queue.JobRow) -> Report: ...


class Jobs:
    """The clock of one process. `reload` makes the snapshot current after a job changed the configuration. `by_need`: the work
    that has no fixed interval; its runs of one tick run side by side, since they wait for others. `alarm`: who is told of a disk that is
    nearly full. `inherit`: takes over what processes that are gone have said and the database has not got (`Journal.inherit`)."""

    def __init__(
        self,
        db: Database,
        settings: Callable[[], Settings],
        home: Path,
        process_id: str,
        now: Callable[[], int],
        reload: Callable[[], Awaitable[None]],
        by_need: Sequence[ByNeed] = (),
        alarm: Alarm | None = None,
        estimate: Estimate | None = None,
        inherit: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        upkeep = Upkeep(db, settings, home, now, alarm)
        self._db = db
        self._settings = settings
        self._home = home
        self._process_id = process_id
        self._clock = now  # this machine's, which the database's puts right
        self._now = db.shared(now)
        self._reload = reload
        self._estimate = estimate
        self._inherit = inherit
        self._host = socket.gethostname() if db.path is not None else machine()
        self._scheduler: Any = None
        self._winding: asyncio.Task[None] | None = None
        self._ticking = asyncio.Lock()
        self._ensured: Mapping[str, int] = {}
        self._by_need: Mapping[str, ByNeed] = {work.kind: work for work in by_need}
        self._running: set[asyncio.Task[Json]] = set()
        self._bodies: Mapping[str, Callable[[], Awaitable[str]]] = {
            "cooldown-recovery": self._cooldown_recovery,
            "retention": upkeep.retention,
            "disk-guard": upkeep.guard,
            "usage-check": upkeep.check,
            "partitions": upkeep.months,
            "snapshot": self._snapshot,
            "recovery": self.recover,
        }

    async def start(self, *, clock: bool) -> None:
        """Make the periodic jobs known, say that this process lives and, with `clock`, begin to tick."""
        await self.beat()
        await self._ensure()
        await self._safely(self._bodies["partitions"])
        self._winding = asyncio.create_task(self._safely(lambda: self._wind(clock)), name="clock")

    async def _wind(self, clock: bool) -> None:
        await asyncio.sleep(WIND_S)
        module = await asyncio.to_thread(import_module, CLOCK)
        manner = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 60}
        self._scheduler = module.AsyncIOScheduler(timezone="UTC", job_defaults=manner)
        self._scheduler.add_job(self._safely, "interval", seconds=BEAT_S, args=[self.beat])
        if clock:
            self._scheduler.add_job(self._safely, "interval", seconds=TICK_S, jitter=1, args=[self.tick])
        self._scheduler.start()

    async def close(self) -> None:
        if self._winding is not None:
            self._winding.cancel()
            await asyncio.gather(self._winding, return_exceptions=True)
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
        for task in self._running:
            task.cancel()  # it waits for somebody outside; the next process begins it anew

        def leave(conn: Any) -> None:
            queue.unlease(conn, [self._process_id])
            refreshes.unlease(conn, [self._process_id])
            queue.forget(conn, [self._process_id])

        async with self._ticking:
            try:
                await self._db.tx(leave)
            except Away as error:
                log.warning("what ran here is free in %d s, as the database is away: %s", DEAD_MS // 1000, error)

    async def _ensure(self) -> None:
        """Intervals follow the settings, so this is looked at again with every tick."""
        now = self._now()
        intervals = self._intervals()
        if intervals == self._ensured:
            return

        def ensure(conn: Any) -> None:
            for kind in KINDS:
                every = intervals[kind.name]
                if every > 0:
                    # The first run is one interval away: starting is for serving.
                    queue.ensure(conn, kind.name, "", every, None, now, due_at=now + every, jitter=kind.jitter_ms)

        await self._db.tx(ensure)
        self._ensured = intervals

    def _intervals(self) -> Mapping[str, int]:
        settings = self._settings()
        return {kind.name: kind.every_ms(settings) for kind in KINDS}

    async def beat(self) -> None:
        await self._db.compare_clocks(self._clock)
        host, pid, now = self._host, os.getpid(), self._now()
        await self._db.tx(lambda conn: queue.beat(conn, self._process_id, host, pid, now))

    async def _safely(self, work: Callable[[], Awaitable[object]]) -> None:
        """The scheduler's threadless jobs must not die of a database that is busy or a disk that is full for a while."""
        try:
            await work()
        except Away as error:
            log.warning("background work waits for the database: %s", error)
        except Exception:
            log.exception("background work failed; it is tried again at the next tick")

    async def tick(self) -> int:
        """Claim and run what is due. Returns how many jobs were taken on, those that a stop cut short among them."""
        async with self._ticking:
            return len(await self._turn(None))

    async def tick_for(self, seconds: float) -> Json:
        """The same for a clock outside, which may be slow or stop us at any moment: turn after turn, as long as something is due; nothing
        is begun after `seconds`. Returns {"ran", "jobs": what ran, "more": whether something is due already, "next_due_at" ms | None}."""
        until = time.monotonic() + seconds
        ran: list[Json] = []
        async with self._ticking:
            await self.beat()  # who is not seen counts as gone, and others take what it runs
            while (more := await self._turn(until)) and time.monotonic() < until:
                ran += more
            ran += more
        due = await self._db.run(queue.next_due)
        return {"ran": len(ran), "jobs": ran, "more": due is not None and due <= self._now(), "next_due_at": due}

    async def _turn(self, until: float | None) -> list[Json]:
        """One claim, and all that it got; what was not begun by `until` (monotonic) is given back. Returns {"kind", "key", "ok", "error",
        "ms"} of each that ran."""
        await self._ensure()
        for work in self._by_need.values():
            await self._safely(work.arrange)
        now = self._now()
        due = await self._db.tx(lambda conn: queue.claim(conn, self._process_id, now, LEASE_MS))
        aside = [
            asyncio.create_task(self._timed(job, self._run_by_need), name=f"job {job.kind}") for job in due if job.kind in self._by_need
        ]
        self._running.update(aside)
        ran: list[Json] = []
        try:
            for job in due:
                if job.kind in self._by_need:
                    continue
                if until is not None and ran and time.monotonic() >= until:
                    await self._db.tx(lambda conn, job=job: queue.give_back(conn, job.id, job.fence))  # type: ignore[misc]
                    continue
                ran.append(await self._timed(job, self._run))
        finally:
            ended = await asyncio.gather(*aside, return_exceptions=True)
            self._running.difference_update(aside)
        for found in ended:
            if isinstance(found, Exception):
                raise found
        by_need = [job for job in due if job.kind in self._by_need]
        return [*ran, *(found if isinstance(found, dict) else _stopped(job) for job, found in zip(by_need, ended, strict=True))]

    @staticmethod
    async def _timed(job: queue.JobRow, run: Callable[[queue.JobRow], Awaitable[str | None]]) -> Json:
        begun = time.monotonic()
        error = await run(job)
        return {"kind": job.kind, "key": job.key, "ok": error is None, "error": error, "ms": round((time.monotonic() - begun) * 1000)}

    async def _run_by_need(self, job: queue.JobRow) -> str | None:
        """What went wrong, None: nothing."""
        try:
            report = await self._by_need[job.kind].run(job)
        except Exception as failure:
            log.exception("job %s %s failed", job.kind, job.key)
            error = f"{type(failure).__name__}: {failure}"[:500]
            ended = self._now()
            await self._db.tx(lambda conn: queue.finish(conn, job.id, job.fence, ended, error))
            return error
        if report.said:
            log.info("job %s %s: %s", job.kind, job.key, report.said)
        ended = self._now()
        await self._db.tx(lambda conn: queue.again(conn, job, ended, report.due_at, report.payload, report.error))
        return report.error

    async def _run(self, job: queue.JobRow) -> str | None:
        """What went wrong, None: nothing."""
        body = self._bodies.get(job.kind)
        error: str | None = None
        if body is None:
            error = f"this version knows no job of kind {job.kind!r}"
        elif self._intervals()[job.kind] <= 0:
            log.info("job %s: switched off by the settings", job.kind)
        else:
            try:
                log.info("job %s: %s", job.kind, await body())
            except Exception as failure:
                log.exception("job %s failed", job.kind)
                error = f"{type(failure).__name__}: {failure}"[:500]
        ended = self._now()
        await self._db.tx(lambda conn: queue.finish(conn, job.id, job.fence, ended, error))
        return error

    # ------------------------------------------------------------ bodies; each returns a sentence for the log

    async def _cooldown_recovery(self) -> str:
        now = self._now()
        gone = await self._db.tx(lambda conn: account_rows.expire_cooldowns(conn, now))
        if gone:
            await self._reload()
        return f"{len(gone)} cooldowns had run out"

    async def _snapshot(self) -> str:
        """A whole copy or none: the store writes beside the target and renames."""
        if self._db.path is None:
            return "nothing to copy: PostgreSQL is backed up by pg_dump or its host (docs/postgresql.md)"
        folder = self._home / "backups"
        folder.mkdir(mode=0o700, exist_ok=True)
        target = folder / f"omni-{self._now()}.db"
        await self._db.snapshot_to(target)
        # The one just made stays, whatever the clock says; a file that is not named by a time is the user's.
        others = [path for path, _ in backup.copies(folder) if path != target]
        for old in others[self._settings().snapshots_kept - 1 :]:
            old.unlink(missing_ok=True)
        return f"copied to {target.name}"

    async def recover(self) -> str:
        """Open rows of processes that are gone become estimates, marked RECOVERED."""
        if self._inherit is not None:
            await self._inherit()
        now, me, here = self._now(), self._process_id, self._host

        def gone(host: str, pid: int) -> bool:
            return host == here and not _alive(pid)

        def work(conn: Any) -> int:
            dead = queue.dead(conn, now, DEAD_MS, gone, me)
            recovered = books.recover(conn, dead, now, self._estimate)
            queue.unlease(conn, dead)
            refreshes.unlease(conn, dead)
            queue.forget(conn, dead)
            return recovered

        return f"{await self._db.tx(work)} open rows settled as estimates"


def machine() -> str:
    """What process ids are asked of: two nodes, or containers, may have the same name, and then the same ids mean other processes."""
    own = [socket.gethostname()]
    with contextlib.suppress(OSError):
        own.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:8])
        own.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    return "/".join(own)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stopped(job: queue.JobRow) -> Json:
    """What is told of a job that waited for somebody outside when the process was stopped."""
    return {"kind": job.kind, "key": job.key, "ok": False, "error": "stopped with the process; the next one begins it anew", "ms": 0}
