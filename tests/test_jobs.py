"""Background work: claimed once, on a passed clock, and what each job leaves behind. (DESIGN.md, law 6)"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from omni_connector import backup
from omni_connector.jobs import DEAD_MS, HOUR, KINDS, LEASE_MS, MINUTE, Jobs, Report
from omni_connector.secrets import Vault
from omni_connector.settings import Settings, load
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store import accounts as account_rows
from omni_connector.store import books
from omni_connector.store import jobs as queue
from omni_connector.store import requests as request_rows
from omni_connector.store.engine import Database

DAY = 24 * HOUR
START = 1_800_000_000_000


class Works:
    """Any number of processes on one database, with one clock that a test moves."""

    def __init__(self, db: Database, home: Path) -> None:
        self.db = db
        self.home = home
        self.now = START
        self.settings: Settings = load({}, {})
        self.reloads = 0

    def process(self, name: str = "prc_1") -> Jobs:
        return Jobs(self.db, lambda: self.settings, self.home, name, lambda: self.now, self._reload)

    async def _reload(self) -> None:
        self.reloads += 1

    def set(self, **values: Any) -> None:
        self.settings = load({f"OMNI_{name.upper()}": str(value) for name, value in values.items()}, {})

    async def jobs(self) -> dict[str, queue.JobRow]:
        return {job.kind: job for job in await self.db.run(queue.list_jobs)}

    async def request(self, number: int, at: int, process: str = "prc_1", *, settled: bool = True) -> None:
        row = {"id": f"req_{number:06}", "started_at": at, "process_id": process, "est_input": 42}

        def write(conn: Any) -> None:
            request_rows.insert_open(conn, [row])
            if settled:
                books.settle(conn, [{"id": row["id"], "settled_at": at + 1, "outcome": "ok"}])

        await self.db.tx(write)

    async def requests(self) -> list[dict[str, Any]]:
        return await self.db.run(lambda conn: request_rows.list_requests(conn, limit=500))


@pytest.fixture
async def works(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Works]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield Works(database, home)
    await database.close()


async def started(works: Works, name: str = "prc_1") -> Jobs:
    jobs = works.process(name)
    await jobs.start(clock=False)
    return jobs


# ---------------------------------------------------------------- The clock


async def test_nothing_runs_at_the_start_and_everything_in_its_time(works: Works) -> None:
    jobs = await started(works)
    assert set(await works.jobs()) == {kind.name for kind in KINDS}
    assert await jobs.tick() == 0
    works.now += MINUTE + 5_000
    assert await jobs.tick() == 3  # cooldowns, recovery and the look at the disk
    assert await jobs.tick() == 0
    works.now += DAY + 5 * MINUTE
    assert await jobs.tick() == len(KINDS)
    for job in (await works.jobs()).values():
        assert (job.state, job.last_ok_at, job.last_error, job.lease_owner) == ("ready", works.now, None, None)
        assert job.due_at > works.now
    await jobs.close()


async def test_two_processes_never_run_a_job_twice(works: Works) -> None:
    first, second = await started(works, "prc_1"), await started(works, "prc_2")
    works.now += DAY + HOUR
    ran = await asyncio.gather(first.tick(), second.tick(), first.tick(), second.tick())
    assert sum(ran) == len(KINDS)
    await first.close()
    await second.close()


async def test_a_process_that_died_in_the_middle_gives_its_job_up_when_the_lease_ends(works: Works) -> None:
    jobs = await started(works)
    works.now += MINUTE + 5_000
    claimed = await works.db.tx(lambda conn: queue.claim(conn, "prc_dead", works.now, LEASE_MS))
    assert len(claimed) == 3
    assert await jobs.tick() == 0
    works.now += LEASE_MS + 1
    assert await jobs.tick() == 4, "and the retention, whose time has come"
    for old in claimed:  # it comes back to life: too late
        assert await works.db.tx(lambda conn, job=old: queue.finish(conn, job.id, job.fence, works.now)) is False
    await jobs.close()


async def test_a_job_that_fails_is_tried_again_later_and_says_why(works: Works, caplog: pytest.LogCaptureFixture) -> None:
    jobs = await started(works)
    shutil.rmtree(works.home / "backups", ignore_errors=True)
    (works.home / "backups").write_text("in the way")
    works.now += DAY + HOUR
    assert await jobs.tick() == len(KINDS), "one failure keeps nobody else from running"
    failed = (await works.jobs())["snapshot"]
    assert failed.last_error is not None and "FileExistsError" in failed.last_error
    assert (failed.state, failed.last_ok_at) == ("ready", None)
    assert works.now < failed.due_at <= works.now + 2 * MINUTE
    (works.home / "backups").unlink()
    works.now = failed.due_at
    await jobs.tick()
    mended = (await works.jobs())["snapshot"]
    assert (mended.last_error, mended.last_ok_at) == (None, works.now)
    await jobs.close()


async def test_a_job_of_a_newer_version_is_left_alone(works: Works) -> None:
    jobs = await started(works)
    await works.db.tx(lambda conn: queue.ensure(conn, "from-the-future", "", HOUR, None, works.now))
    await jobs.tick()
    assert "knows no job" in str((await works.jobs())["from-the-future"].last_error)
    await jobs.close()


async def test_intervals_follow_the_settings_without_a_restart(works: Works) -> None:
    works.set(snapshot_hours=0)
    jobs = await started(works)
    assert "snapshot" not in await works.jobs()
    works.set(snapshot_hours=2)
    await jobs.tick()
    assert (await works.jobs())["snapshot"].interval_ms == 2 * HOUR
    works.set(snapshot_hours=0)
    works.now += 3 * HOUR
    await jobs.tick()
    assert not (works.home / "backups").exists() or not list((works.home / "backups").iterdir()), "0 makes none"
    await jobs.close()


async def test_the_scheduler_beats_and_ticks_and_ends(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    from omni_connector import jobs as module

    monkeypatch.setattr(module, "TICK_S", 0.01)
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    monkeypatch.setattr(module, "WIND_S", 0)
    jobs = works.process()
    seen = []

    async def tick() -> int:
        seen.append("tick")
        raise OSError("the disk is full for a moment")

    monkeypatch.setattr(jobs, "tick", tick)
    monkeypatch.setattr(AsyncIOScheduler, "add_job", _without_jitter(AsyncIOScheduler.add_job))
    await jobs.start(clock=True)
    for _ in range(3000):
        if len(seen) > 2:
            break
        await asyncio.sleep(0.01)
    assert len(seen) > 2, "a failing tick is not the last one"
    await jobs.close()
    assert await works.db.run(lambda conn: queue.dead(conn, works.now + 10 * DEAD_MS, DEAD_MS)) == [], "it said good-bye"


def _without_jitter(add_job: Any) -> Any:
    def add(self: Any, *args: Any, jitter: float | None = None, **more: Any) -> Any:
        return add_job(self, *args, **more)

    return add


class Errand:
    """Work by need: one key, three runs of its own planning, the second of which fails."""

    kind = "errand"

    def __init__(self, works: Works) -> None:
        self.works, self.runs = works, 0

    async def arrange(self) -> None:
        if self.runs == 0:
            await self.works.db.tx(lambda conn: queue.wake(conn, self.kind, "acc_1", self.works.now, self.works.now))

    async def run(self, job: queue.JobRow) -> Report:
        self.runs += 1
        if self.runs == 2:
            raise ValueError("out of paper")
        return Report("went", self.works.now + 7 if self.runs == 1 else None, {"runs": self.runs})


async def test_work_by_need_plans_its_own_next_run_and_backs_off_when_it_breaks(works: Works) -> None:
    errand = Errand(works)
    jobs = Jobs(works.db, lambda: works.settings, works.home, "prc_1", lambda: works.now, works._reload, by_need=(errand,))

    async def row() -> queue.JobRow:
        return (await works.jobs())["errand"]

    assert await jobs.tick() == 1
    assert ((await row()).due_at, (await row()).payload) == (START + 7, {"runs": 1})
    works.now += 7
    assert await jobs.tick() == 1
    assert ((await row()).last_error, (await row()).state) == ("ValueError: out of paper", "ready")
    works.now = (await row()).due_at
    await jobs.tick()
    assert ((await row()).state, (await row()).last_error, (await row()).payload) == ("done", None, {"runs": 3})
    await jobs.close()


async def test_jobs_of_a_killed_process_do_not_wait_for_their_lease(works: Works) -> None:
    await works.db.tx(lambda conn: queue.beat(conn, "prc_killed", "another-machine", 1, START - DEAD_MS - 1))
    await works.db.tx(lambda conn: queue.ensure(conn, "errand", "", None, None, START))
    await works.db.tx(lambda conn: queue.claim(conn, "prc_killed", START, LEASE_MS))
    await works.process("prc_me").recover()
    assert (await works.jobs())["errand"].state == "ready"


# ---------------------------------------------------------------- The jobs


async def test_snapshots_are_whole_and_only_the_newest_stay(works: Works) -> None:
    works.set(snapshots_kept=2)
    (works.home / "backups").mkdir(exist_ok=True)
    (works.home / "backups" / "mine.db").write_text("not a snapshot of ours")
    await works.request(1, START)
    for _ in range(4):
        works.now += DAY
        await works.process()._snapshot()
    names = sorted(path.name for path in (works.home / "backups").iterdir())
    assert names == ["mine.db", f"omni-{START + 3 * DAY}.db", f"omni-{START + 4 * DAY}.db"]
    newest = works.home / "backups" / names[-1]
    assert newest.stat().st_mode & 0o777 == 0o600
    copy = await Database.open(f"sqlite:///{newest}")
    await copy.integrity()
    assert len(await copy.run(request_rows.list_requests)) == 1
    await copy.close()


async def test_a_week_of_daily_copies_by_itself(works: Works) -> None:  # R-12, P-61
    """Twelve days, looked at every two hours, with restarts: one copy a day, and the last seven stay."""
    made: list[int] = []
    folder = works.home / "backups"
    folder.mkdir(exist_ok=True)
    (folder / "omni-mine.db").write_text("put there by the user")
    for day in range(12):
        jobs = await started(works, f"prc_{day}")
        for _ in range(12):
            await jobs.tick()
            made += [at for _, at in backup.copies(folder) if at not in made]
            works.now += 2 * HOUR
    assert len(made) >= 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert all(abs(gap - DAY) <= 2 * HOUR for gap in gaps)
    assert [at for _, at in backup.copies(folder)] == made[:-8:-1]
    assert (folder / "omni-mine.db").exists()


async def test_a_clock_that_was_set_back_does_not_cost_the_new_copy(works: Works) -> None:
    works.set(snapshots_kept=2)
    for moved in (0, DAY, -300 * DAY):
        works.now = START + moved
        await works.process()._snapshot()
    assert [at for _, at in backup.copies(works.home / "backups")] == [START + DAY, START - 300 * DAY]


async def test_cooldowns_that_ran_out_are_dropped_and_the_others_stay(works: Works) -> None:
    vault = Vault({"k": b"1" * 32}, "k")
    cooldowns = [
        Cooldown("acc_1", "", START - 1, "guessed", "over"),
        Cooldown("acc_1", "model:a", START + 1, "stated", "not over"),
        Cooldown("acc_1", "model:b", START - 1, "terminal", "needs the user"),
    ]

    def write(conn: Any) -> None:
        account_rows.insert(conn, vault, Account("acc_1", "groq", "main"))
        for cooldown in cooldowns:
            account_rows.extend_cooldown(conn, cooldown)

    await works.db.tx(write)
    assert await works.process()._cooldown_recovery() == "1 cooldowns had run out"
    assert works.reloads == 1
    assert {each.scope for each in await works.db.run(account_rows.list_cooldowns)} == {"model:a", "model:b"}
    await works.process()._cooldown_recovery()
    assert works.reloads == 1, "nothing changed, nobody reloads"


async def test_open_rows_of_the_dead_become_estimates_and_those_of_the_living_stay(works: Works) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    here = socket.gethostname()
    processes = {
        "prc_me": (here, os.getpid(), START),
        "prc_killed": (here, int(gone.stdout), START),
        "prc_other": (here, os.getppid(), START),
        "prc_silent": ("another-machine", 1, START - DEAD_MS - 1),
        "prc_remote": ("another-machine", 1, START),
        "prc_before": (here, os.getpid(), START),  # this very pid, before a restart of its container
    }

    def write(conn: Any) -> None:
        for name, (host, pid, at) in processes.items():
            queue.beat(conn, name, host, pid, at)

    await works.db.tx(write)
    for number, name in enumerate(processes):
        await works.request(number, START, name, settled=False)
    assert await works.process("prc_me").recover() == "3 open rows settled as estimates"
    rows = {row["process_id"]: row for row in await works.requests()}
    for name in ("prc_killed", "prc_silent", "prc_before"):
        row = rows[name]
        assert (row["state"], row["outcome"], row["flag"], row["usage_source"], row["input"], row["output"]) == (
            "settled", "recovered", "RECOVERED", "estimated", 42, 0,
        )  # fmt: skip
    assert {name for name, row in rows.items() if row["state"] == "open"} == {"prc_me", "prc_other", "prc_remote"}
    assert await works.process("prc_me").recover() == "0 open rows settled as estimates"


async def test_what_a_killed_process_has_said_counts_before_it_is_estimated(works: Works) -> None:
    """Also where nobody starts after it: an old server that was killed while its successor had the door already."""
    await works.db.tx(lambda conn: queue.beat(conn, "prc_killed", "another-machine", 1, START - DEAD_MS - 1))
    await works.request(1, START, "prc_killed", settled=False)

    async def inherit() -> None:
        [row] = await works.requests()
        over = {"id": row["id"], "settled_at": START + 9, "outcome": "ok", "cost_nano": 7}
        await works.db.tx(lambda conn: books.settle(conn, [over]))

    me = Jobs(works.db, lambda: works.settings, works.home, "prc_me", lambda: works.now, works._reload, inherit=inherit)
    assert await me.recover() == "0 open rows settled as estimates"


# ---------------------------------------------------------------- A clock outside


async def test_a_clock_outside_is_told_what_ran_and_when_to_come_again(works: Works) -> None:
    jobs = works.process()
    first = await jobs.tick_for(30)
    assert (first["ran"], first["jobs"], first["more"]) == (0, [], False)
    assert first["next_due_at"] == min(job.due_at for job in (await works.jobs()).values())
    works.now += DAY + HOUR
    told = await jobs.tick_for(30)
    assert {job["kind"] for job in told["jobs"]} == {kind.name for kind in KINDS} and told["ran"] == len(KINDS)
    assert all(job["ok"] and job["error"] is None and job["ms"] >= 0 for job in told["jobs"])
    assert not told["more"] and told["next_due_at"] > works.now


async def test_what_the_time_does_not_reach_stays_due_for_the_next_one(works: Works) -> None:
    jobs = works.process()
    await jobs.tick_for(30)
    works.now += DAY + HOUR
    ran: list[str] = []
    for _ in range(len(KINDS)):
        told = await jobs.tick_for(0)
        ran += [job["kind"] for job in told["jobs"]]
        assert told["ran"] == 1, "one at least, so that it comes to an end"
    assert sorted(ran) == sorted(kind.name for kind in KINDS) and not told["more"]
    assert all((job.state, job.attempts) == ("ready", 0) for job in (await works.jobs()).values())


async def test_what_fails_is_told_as_well(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = works.process()
    await jobs.tick_for(30)

    async def fail() -> str:
        raise OSError("no room")

    jobs._bodies = {**jobs._bodies, "recovery": fail}
    works.now += MINUTE + 5_000
    (failed,) = [job for job in (await jobs.tick_for(30))["jobs"] if not job["ok"]]
    assert (failed["kind"], failed["error"]) == ("recovery", "OSError: no room")
