"""The persistent queue of background work, and the list of live processes.

A job is claimed by a lease with a fencing counter: any number of processes may tick, none runs a job twice, and one that
lost its lease (it slept too long) cannot overwrite the work of its successor.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import new_id
from omni_connector.store.tables import decode, encode, processes, upsert
from omni_connector.store.tables import jobs as t
from omni_connector.values import dataclass

BACKOFF_MS = (30_000, 60_000, 120_000, 300_000, 600_000, 900_000)
"""Wait after the first, second, … failure in a row; the last one repeats."""


@dataclass(frozen=True, slots=True)
class JobRow:
    """One job. Times in ms; `interval_ms` None: runs once. `fence` is the claim this row was read under."""

    id: str
    kind: str
    key: str
    due_at: int
    interval_ms: int | None = None
    jitter: int = 0
    attempts: int = 0
    max_attempts: int = 5
    state: Literal["ready", "running", "done", "dead", "paused"] = "ready"
    lease_owner: str | None = None
    lease_until: int | None = None
    fence: int = 0
    payload: dict[str, Any] = field(default_factory=dict)
    last_run_at: int | None = None
    last_ok_at: int | None = None
    last_error: str | None = None


def _job(row: Mapping[str, Any] | sa.RowMapping) -> JobRow:
    fields: dict[str, Any] = {**row}
    fields["payload"] = decode(fields["payload"])
    return JobRow(**fields)


def _find(conn: sa.Connection, job_id: str) -> JobRow:
    row = conn.execute(sa.select(t).where(t.c.id == job_id)).mappings().first()
    if row is None:
        raise GatewayError(Kind.NOT_FOUND, f"There is no job {job_id}.", param="id")
    return _job(row)


def list_jobs(conn: sa.Connection) -> tuple[JobRow, ...]:
    return tuple(_job(row) for row in conn.execute(sa.select(t).order_by(t.c.kind, t.c.key)).mappings())


def ensure(
    conn: sa.Connection,
    kind: str,
    key: str,
    interval_ms: int | None,
    payload: dict[str, Any] | None,
    now: int,
    *,
    due_at: int | None = None,
    jitter: int = 0,
    max_attempts: int = 5,
) -> JobRow:
    """The job (kind, key), made when it is not there: due at `due_at`, else now. One that exists keeps its schedule and
    state but takes interval, jitter, payload and attempts from here; a one-shot that is done or dead starts anew."""
    row = {
        "id": new_id("job", now),
        "kind": kind,
        "key": key,
        "due_at": now if due_at is None else due_at,
        "interval_ms": interval_ms,
        "jitter": jitter,
        "max_attempts": max_attempts,
        "payload": encode(payload or {}),
    }
    upsert(conn, t, [row], ["kind", "key"], ["interval_ms", "jitter", "max_attempts", "payload"])
    mine = sa.and_(t.c.kind == kind, t.c.key == key)
    conn.execute(sa.update(t).where(mine, t.c.state.in_(("done", "dead"))).values(state="ready", attempts=0, due_at=row["due_at"]))
    return _job(conn.execute(sa.select(t).where(mine)).mappings().one())


def wake(conn: sa.Connection, kind: str, key: str, now: int, due_at: int) -> None:
    """The one-shot (kind, key) is waiting: made, or begun anew when it was done or dead. One that waits, runs or is paused stays
    as it is. Its payload outlives it: what was counted there still counts."""
    row = {"id": new_id("job", now), "kind": kind, "key": key, "due_at": due_at, "interval_ms": None, "payload": encode({})}
    upsert(conn, t, [row], ["kind", "key"], ["interval_ms"])
    over = sa.and_(t.c.kind == kind, t.c.key == key, t.c.state.in_(("done", "dead")))
    conn.execute(sa.update(t).where(over).values(state="ready", attempts=0, due_at=due_at, last_error=None))


def rest(conn: sa.Connection, payloads: Mapping[str, dict[str, Any]]) -> None:
    """Job id → payload: what waits is done, there is no need for it any more. What runs decides for itself."""
    for job_id, payload in payloads.items():
        values = {"state": "done", "attempts": 0, "payload": encode(payload)}
        conn.execute(sa.update(t).where(t.c.id == job_id, t.c.state == "ready").values(**values))


def remove(conn: sa.Connection, job_ids: Sequence[str]) -> None:
    """Drops one-shots that are over."""
    conn.execute(sa.delete(t).where(t.c.id.in_(job_ids), t.c.state.in_(("done", "dead"))))


def note(conn: sa.Connection, job: JobRow, payload: dict[str, Any]) -> bool:
    """Writes a payload in the middle of a run; False: the lease was lost, stop the work."""
    return conn.execute(sa.update(t).where(_held(job.id, job.fence)).values(payload=encode(payload))).rowcount == 1


def again(conn: sa.Connection, job: JobRow, now: int, due_at: int | None, payload: dict[str, Any], error: str | None = None) -> bool:
    """Ends a claim by the job's own schedule: due again at `due_at`, or done (None). False: the lease was lost, nothing was
    written. `error` is only noted, since a job that plans its own next run has no use for BACKOFF_MS."""
    values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "attempts": 0, "last_error": error, "payload": encode(payload)}
    values |= {"state": "done"} if due_at is None else {"state": "ready", "due_at": due_at}
    values |= {"last_ok_at": now} if error is None else {}
    return conn.execute(sa.update(t).where(_held(job.id, job.fence)).values(**values)).rowcount == 1


def unlease(conn: sa.Connection, owners: Sequence[str]) -> int:
    """What processes that ended were running waits again, due as it was; returns how many."""
    mine = sa.and_(t.c.lease_owner.in_(owners), t.c.state == "running")
    free = {"state": "ready", "lease_owner": None, "lease_until": None, "fence": t.c.fence + 1}
    return conn.execute(sa.update(t).where(mine).values(**free)).rowcount


def claim(conn: sa.Connection, owner: str, now: int, ttl_ms: int, limit: int = 10) -> list[JobRow]:
    """Leases at most `limit` due jobs to `owner` until now + ttl_ms, the longest due first.

    A running job whose lease ran out counts as due. A one-shot that spent its attempts without finishing becomes "dead".
    """
    free = sa.or_(t.c.state == "ready", sa.and_(t.c.state == "running", t.c.lease_until < now))
    due = sa.select(t).where(free, t.c.due_at <= now).order_by(t.c.due_at, t.c.id).limit(limit)
    claimed: list[JobRow] = []
    for row in conn.execute(due).mappings().all():
        # The fence read a moment ago guards the update: whoever was faster has moved it.
        seen = sa.and_(t.c.id == row["id"], t.c.fence == row["fence"], free)
        if row["interval_ms"] is None and row["attempts"] >= row["max_attempts"]:
            gone = {"state": "dead", "lease_owner": None, "lease_until": None, "fence": t.c.fence + 1}
            conn.execute(sa.update(t).where(seen).values(**gone))
            continue
        lease = {
            "state": "running",
            "lease_owner": owner,
            "lease_until": now + ttl_ms,
            "fence": row["fence"] + 1,
            "attempts": row["attempts"] + 1,
            "last_run_at": now,
        }
        if conn.execute(sa.update(t).where(seen).values(**lease)).rowcount == 1:
            claimed.append(_job({**row, **lease}))
    return claimed


def take(conn: sa.Connection, job_id: str, owner: str, now: int, ttl_ms: int) -> JobRow | None:
    """Leases this one job, due or not, whatever became of it before; None: it is running already, or gone."""
    row = conn.execute(sa.select(t).where(t.c.id == job_id)).mappings().first()
    if row is None or (row["state"] == "running" and (row["lease_until"] or 0) >= now):
        return None
    lease = {"state": "running", "lease_owner": owner, "lease_until": now + ttl_ms, "fence": row["fence"] + 1, "last_run_at": now}
    taken = conn.execute(sa.update(t).where(t.c.id == job_id, t.c.fence == row["fence"]).values(**lease)).rowcount == 1
    return _job({**row, **lease}) if taken else None


def _held(job_id: str, fence: int) -> sa.ColumnElement[bool]:
    return sa.and_(t.c.id == job_id, t.c.fence == fence, t.c.state == "running")


def renew(conn: sa.Connection, job_id: str, fence: int, now: int, ttl_ms: int) -> bool:
    """Lengthens a lease; False: it was lost, stop the work."""
    return conn.execute(sa.update(t).where(_held(job_id, fence)).values(lease_until=now + ttl_ms)).rowcount == 1


def give_back(conn: sa.Connection, job_id: str, fence: int) -> bool:
    """Ends a claim of which nothing was begun: due as it was. False: the lease was lost."""
    free = {"state": "ready", "lease_owner": None, "lease_until": None, "attempts": t.c.attempts - 1, "fence": t.c.fence + 1}
    return conn.execute(sa.update(t).where(_held(job_id, fence)).values(**free)).rowcount == 1


def next_due(conn: sa.Connection) -> int | None:
    """When the next job that waits is due (ms)."""
    found: int | None = conn.execute(sa.select(sa.func.min(t.c.due_at)).where(t.c.state == "ready")).scalar()
    return found


def finish(conn: sa.Connection, job_id: str, fence: int, now: int, error: str | None = None, *, rng: random.Random | None = None) -> bool:
    """Ends a claim; False: the lease was lost and nothing was written.

    A periodic job is due again after its interval (plus up to `jitter`), after a failure by BACKOFF_MS. A one-shot is
    done, or tried again by BACKOFF_MS until max_attempts, then dead.
    """
    row = conn.execute(sa.select(t).where(_held(job_id, fence))).mappings().first()
    if row is None:
        return False
    job = _job(row)
    values: dict[str, Any] = {"lease_owner": None, "lease_until": None, "last_error": error, **_next(job, now, error, rng)}
    if error is None:
        values |= {"last_ok_at": now, "attempts": 0}
    return conn.execute(sa.update(t).where(_held(job_id, fence)).values(**values)).rowcount == 1


def _next(job: JobRow, now: int, error: str | None, rng: random.Random | None) -> dict[str, Any]:
    spread = (rng or random).randint(0, job.jitter) if job.jitter else 0
    if error is not None:
        if job.interval_ms is None and job.attempts >= job.max_attempts:
            return {"state": "dead"}
        wait = BACKOFF_MS[min(job.attempts, len(BACKOFF_MS)) - 1]
        return {"state": "ready", "due_at": now + wait + spread}
    if job.interval_ms is None:
        return {"state": "done"}
    return {"state": "ready", "due_at": now + job.interval_ms + spread}


def run_now(conn: sa.Connection, job_id: str, now: int) -> JobRow:
    """Due at once, whatever its state; one that runs already is left alone. Raises GatewayError(NOT_FOUND)."""
    idle = sa.and_(t.c.id == job_id, t.c.state != "running")
    conn.execute(sa.update(t).where(idle).values(state="ready", due_at=now, attempts=0))
    return _find(conn, job_id)


def cancel(conn: sa.Connection, job_id: str) -> JobRow:
    """Paused until `run_now`; a run in progress loses its lease, so its result is not written. Raises GatewayError(NOT_FOUND)."""
    stop = {"state": "paused", "lease_owner": None, "lease_until": None, "fence": t.c.fence + 1}
    conn.execute(sa.update(t).where(t.c.id == job_id).values(**stop))
    return _find(conn, job_id)


# ---------------------------------------------------------------- Processes


def beat(conn: sa.Connection, process_id: str, host: str, pid: int, now: int) -> None:
    """Says that a process lives. Every process that opens requests calls it at start and then regularly."""
    row = {"id": process_id, "host": host, "pid": pid, "started_at": now, "seen_at": now}
    upsert(conn, processes, [row], ["id"], ["seen_at"])


def living(conn: sa.Connection) -> list[dict[str, Any]]:
    """Processes that were seen lately, the oldest first."""
    return [dict(row) for row in conn.execute(sa.select(processes).order_by(processes.c.started_at, processes.c.id)).mappings()]


def dead(conn: sa.Connection, now: int, ttl_ms: int, gone: Callable[[str, int], bool] | None = None, me: str | None = None) -> list[str]:
    """Ids of processes not seen for `ttl_ms`, or that `gone(host, pid)` knows to have ended.

    `me`: this process, never dead; another id with its host and pid is dead (a container restarts with the same pid).
    """
    rows = conn.execute(sa.select(processes)).all()
    mine = next(((row.host, row.pid) for row in rows if row.id == me), None)

    def ended(host: str, pid: int, seen_at: int) -> bool:
        return seen_at < now - ttl_ms or (host, pid) == mine or (gone is not None and gone(host, pid))

    return [row.id for row in rows if row.id != me and ended(row.host, row.pid, row.seen_at)]


def forget(conn: sa.Connection, process_ids: Sequence[str]) -> None:
    """Drops dead processes from the list, once their requests are recovered."""
    if process_ids:
        conn.execute(sa.delete(processes).where(processes.c.id.in_(process_ids)))
