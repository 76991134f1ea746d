"""`GET /metrics`: what was counted in this process, and how everything is now."""

from __future__ import annotations

from omni_connector.admin import now_ms
from omni_connector.admin.system import memory_mb
from omni_connector.gateway import Gateway
from omni_connector.metrics import Parts, readings, render
from omni_connector.nodes import node_of
from omni_connector.store import jobs as job_rows
from omni_connector.store.files import Away


async def scrape(gateway: Gateway) -> str:
    """The text for Prometheus (`metrics.CONTENT_TYPE`). While the database is away, what only it knows is left out."""
    try:
        jobs = await gateway.db.run(job_rows.list_jobs)
    except Away:
        jobs = ()
    accounts = gateway.admin.standing()
    now = Parts(
        accounts=[(account.provider, status) for account, status, _ in accounts],
        cooldowns=[(account.provider, item) for account, _, _ in accounts for item in gateway.pool.cooldowns(account.id)],
        jobs=[(job.kind, job.state) for job in jobs],
        in_flight=gateway.relay.active,
        retrying=gateway.relay.retrying,
        commits=gateway.ledger.commits,
        rows=gateway.ledger.rows,
        waiting=gateway.ledger.waiting,
        unsettled=len(gateway.ledger.unsettled),
        memory_mb=memory_mb(),
        started_at=gateway.started_at,
        now=now_ms(),
        node=node_of(gateway.process_id) or "",
        away=gateway.spill.away,
        spill_bytes=gateway.spill.size,
        spilled=gateway.spill.rows,
    )
    return render({**gateway.sight.metrics.samples(), **readings(now)})
