from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.store import jobs
from omni_connector.store.engine import Database
from omni_connector.store.jobs import BACKOFF_MS, JobRow

NOW, MINUTE, TTL = 1_000_000, 60_000, 30_000


async def ensure(db: Database, kind: str = "retention", interval: int | None = MINUTE, **more: Any) -> JobRow:
    return await db.tx(lambda conn: jobs.ensure(conn, kind, "", interval, {"n": 1}, NOW, **more))


async def claim(db: Database, now: int, owner: str = "prc_1", limit: int = 10) -> list[JobRow]:
    return await db.tx(lambda conn: jobs.claim(conn, owner, now, TTL, limit))


async def finish(db: Database, job: JobRow, now: int, error: str | None = None, rng: random.Random | None = None) -> bool:
    return await db.tx(lambda conn: jobs.finish(conn, job.id, job.fence, now, error, rng=rng))


async def only(db: Database) -> JobRow:
    (job,) = await db.run(jobs.list_jobs)
    return job


async def test_a_periodic_job_runs_and_is_due_again(db: Database) -> None:
    made = await ensure(db, jitter=10)
    (job,) = await claim(db, NOW)
    assert job == await only(db)
    assert (job.id, job.state, job.lease_owner, job.lease_until, job.fence, job.payload) == (
        made.id,
        "running",
        "prc_1",
        NOW + TTL,
        1,
        {"n": 1},
    )
    assert await claim(db, NOW + 1) == []
    assert await finish(db, job, NOW + 5, rng=random.Random(1))
    after = await only(db)
    assert (after.state, after.attempts, after.last_ok_at, after.lease_owner) == ("ready", 0, NOW + 5, None)
    assert NOW + 5 + MINUTE <= after.due_at <= NOW + 5 + MINUTE + 10
    assert await claim(db, NOW + MINUTE) == []
    assert len(await claim(db, NOW + 5 + MINUTE + 10)) == 1


async def test_ensure_keeps_the_schedule_of_a_job_that_exists(db: Database) -> None:
    first = await ensure(db, due_at=NOW + 5)
    second = await ensure(db, interval=2 * MINUTE, due_at=NOW + 99)
    assert (second.id, second.due_at, second.interval_ms) == (first.id, NOW + 5, 2 * MINUTE)


async def test_failures_back_off_and_success_forgets_them(db: Database) -> None:
    await ensure(db)
    now = NOW
    for wait in (*BACKOFF_MS, BACKOFF_MS[-1]):
        (job,) = await claim(db, now)
        assert await finish(db, job, now, error="boom")
        assert (await only(db)).due_at == now + wait
        assert (await only(db)).last_error == "boom"
        now += wait
    (job,) = await claim(db, now)
    assert await finish(db, job, now)
    assert ((await only(db)).due_at, (await only(db)).last_error) == (now + MINUTE, None)


async def test_a_one_shot_is_done_or_dies_after_its_attempts(db: Database) -> None:
    await ensure(db, interval=None, max_attempts=2)
    (job,) = await claim(db, NOW)
    await finish(db, job, NOW, "x")
    (job,) = await claim(db, NOW + BACKOFF_MS[0])
    await finish(db, job, NOW, "x")
    assert (await only(db)).state == "dead"
    assert (await ensure(db, interval=None, max_attempts=2)).state == "ready"
    (job,) = await claim(db, NOW)
    await finish(db, job, NOW)
    assert (await only(db)).state == "done"
    assert await claim(db, 1 << 50) == []


async def test_a_one_shot_that_kills_its_process_dies_too(db: Database) -> None:
    await ensure(db, interval=None, max_attempts=2)
    now = NOW
    for _ in range(2):
        assert len(await claim(db, now)) == 1
        now += TTL + 1
    assert await claim(db, now) == []
    assert (await only(db)).state == "dead"


async def test_who_lost_the_lease_cannot_write(db: Database) -> None:
    await ensure(db)
    (slow,) = await claim(db, NOW, "prc_slow")
    assert await db.tx(lambda conn: jobs.renew(conn, slow.id, slow.fence, NOW + 1, TTL))
    assert await claim(db, NOW + 1 + TTL) == []
    (quick,) = await claim(db, NOW + 2 + TTL, "prc_quick")
    assert quick.fence == slow.fence + 1
    assert not await finish(db, slow, NOW)
    assert not await db.tx(lambda conn: jobs.renew(conn, slow.id, slow.fence, NOW, TTL))
    assert (await only(db)).lease_owner == "prc_quick"
    assert await finish(db, quick, NOW)


async def test_none_of_many_jobs_is_claimed_twice(db: Database) -> None:
    """Several doors (each with connections of its own, as processes have) race for 60 jobs, 7 at a time."""
    for number in range(60):
        await db.tx(lambda conn, n=number: jobs.ensure(conn, "k", str(n), None, None, NOW))
    doors = [db, *[await Database.open(db.url.render_as_string(hide_password=False)) for _ in range(3)]]

    async def greedy(door: Database, owner: str) -> list[str]:
        mine: list[str] = []
        while got := await claim(door, NOW, owner, 7):
            mine += [job.id for job in got]
        return mine

    taken = await asyncio.gather(*(greedy(door, f"prc_{number}") for number, door in enumerate(doors)))
    everything = [job for mine in taken for job in mine]
    assert len(everything) == len(set(everything)) == 60
    assert {job.fence for job in await db.run(jobs.list_jobs)} == {1}
    for door in doors[1:]:
        await door.close()


async def test_by_hand(db: Database) -> None:
    job = await ensure(db, due_at=NOW + MINUTE)
    assert (await db.tx(lambda conn: jobs.run_now(conn, job.id, NOW))).due_at == NOW
    (running,) = await claim(db, NOW)
    assert (await db.tx(lambda conn: jobs.run_now(conn, job.id, NOW + 9))).fence == running.fence
    assert (await db.tx(lambda conn: jobs.cancel(conn, job.id))).state == "paused"
    assert not await finish(db, running, NOW)
    assert await claim(db, 1 << 50) == []
    assert (await db.tx(lambda conn: jobs.run_now(conn, job.id, NOW))).state == "ready"
    for act in (jobs.cancel, lambda conn, job_id: jobs.run_now(conn, job_id, NOW)):
        with pytest.raises(GatewayError) as caught:
            await db.tx(lambda conn, act=act: act(conn, "job_x"))
        assert caught.value.kind is Kind.NOT_FOUND


async def test_dead_processes_are_found(db: Database) -> None:
    def start(conn: Any) -> None:
        jobs.beat(conn, "prc_me", "here", 7, NOW)
        jobs.beat(conn, "prc_before", "here", 7, NOW)  # the same pid again: a container that restarted
        jobs.beat(conn, "prc_killed", "here", 8, NOW)
        jobs.beat(conn, "prc_peer", "here", 9, NOW)
        jobs.beat(conn, "prc_silent", "there", 7, NOW - TTL - 1)
        jobs.beat(conn, "prc_far", "there", 8, NOW - TTL - 1)
        jobs.beat(conn, "prc_far", "there", 8, NOW)

    await db.tx(start)
    gone = lambda host, pid: (host, pid) == ("here", 8)  # noqa: E731
    assert sorted(await db.run(lambda conn: jobs.dead(conn, NOW, TTL, gone, "prc_me"))) == ["prc_before", "prc_killed", "prc_silent"]
    assert await db.run(lambda conn: jobs.dead(conn, NOW, TTL)) == ["prc_silent"]
    await db.tx(lambda conn: jobs.forget(conn, ["prc_silent"]))
    await db.tx(lambda conn: jobs.forget(conn, []))
    assert await db.run(lambda conn: jobs.dead(conn, NOW, TTL)) == []


async def test_a_job_by_need_is_woken_rests_and_keeps_its_payload(db: Database) -> None:
    async def wake(now: int) -> None:
        await db.tx(lambda conn: jobs.wake(conn, "probe", "acc_1", now, now + MINUTE))

    await wake(NOW)
    await wake(NOW + 1)  # it waits already
    assert (await only(db)).due_at == NOW + MINUTE
    (job,) = await claim(db, NOW + MINUTE)
    await db.tx(lambda conn: jobs.rest(conn, {job.id: {}}))  # it runs: it decides for itself
    assert await db.tx(lambda conn: jobs.note(conn, job, {"n": 1}))
    assert await db.tx(lambda conn: jobs.again(conn, job, NOW + MINUTE, NOW + 3 * MINUTE, {"n": 2}, "still out"))
    waiting = await only(db)
    assert (waiting.state, waiting.due_at, waiting.payload, waiting.attempts, waiting.last_error, waiting.last_ok_at) == (
        "ready", NOW + 3 * MINUTE, {"n": 2}, 0, "still out", None,
    )  # fmt: skip
    await db.tx(lambda conn: jobs.remove(conn, [job.id]))  # not while it waits
    await db.tx(lambda conn: jobs.rest(conn, {job.id: {"n": 3}}))
    assert (await only(db)).state == "done"
    await wake(NOW + 4 * MINUTE)
    woken = await only(db)
    assert (woken.state, woken.due_at, woken.payload, woken.last_error) == ("ready", NOW + 5 * MINUTE, {"n": 3}, None)
    (job,) = await claim(db, NOW + 5 * MINUTE)
    assert await db.tx(lambda conn: jobs.again(conn, job, NOW + 5 * MINUTE, None, {}))
    await db.tx(lambda conn: jobs.remove(conn, [job.id]))
    assert await db.run(jobs.list_jobs) == ()


async def test_who_lost_its_lease_writes_nothing(db: Database) -> None:
    await ensure(db)
    (job,) = await claim(db, NOW)
    assert await db.tx(lambda conn: jobs.unlease(conn, ["prc_other"])) == 0
    assert await db.tx(lambda conn: jobs.unlease(conn, ["prc_1"])) == 1
    assert not await db.tx(lambda conn: jobs.note(conn, job, {"n": 9}))
    assert not await db.tx(lambda conn: jobs.again(conn, job, NOW, None, {"n": 9}))
    free = await only(db)
    assert (free.state, free.due_at, free.payload, free.lease_owner) == ("ready", NOW, {"n": 1}, None)
    assert [each.fence for each in await claim(db, NOW, "prc_2")] == [3]


async def test_one_job_is_taken_now_by_one(db: Database) -> None:
    made = await ensure(db, interval=None, due_at=NOW + MINUTE)

    async def take(owner: str, now: int = NOW) -> JobRow | None:
        return await db.tx(lambda conn: jobs.take(conn, made.id, owner, now, TTL))

    job = await take("prc_1")
    assert job is not None
    assert (job.state, job.lease_owner, job.fence) == ("running", "prc_1", 1)
    assert (await take("prc_2"), await claim(db, NOW)) == (None, [])
    late = await take("prc_2", NOW + TTL + 1)
    assert late is not None
    assert (late.lease_owner, await finish(db, job, NOW)) == ("prc_2", False)
    assert await db.tx(lambda conn: jobs.take(conn, "job_gone", "prc_1", NOW, TTL)) is None
