"""The jobs of kind "token-refresh": one row per account that was signed in, due some minutes before its access token ends.

Exhausted and disabled accounts are renewed too, since a refresh token that rests too long dies; only those that need a sign-in are
left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from omni_connector.errors import GatewayError, Kind
from omni_connector.jobs import Report
from omni_connector.oauth import OAuthError
from omni_connector.refreshing.due import due_at, earliest, spread
from omni_connector.refreshing.refresher import Hands, Refresher
from omni_connector.snapshot import Account
from omni_connector.store import jobs as queue
from omni_connector.store import refreshes
from omni_connector.store.engine import Database
from omni_connector.tokens import decode

KIND = "token-refresh"
AGAIN_MS = 60_000
"""When nobody says when to try again."""
SOON_MS = 5_000
"""What is overdue when it is found (after a night switched off) begins within this time, not all at once."""
OVER = ("done", "dead")


class Renewals:
    """See `jobs.ByNeed`. Any number of processes may have one: a job is claimed by one of them."""

    kind = KIND

    def __init__(self, db: Database, refresher: Refresher, hands: Hands, now: Callable[[], int], rng: Random) -> None:
        self._db = db
        self._refresher = refresher
        self._hands = hands
        self._now = now
        self._rng = rng
        self._idle = False
        """There is nothing in the table, so there is no need to look while nobody is signed in."""
        self._pruned = False

    async def arrange(self) -> None:
        """A row for every account whose token ends some day; earlier, where tokens came that end earlier than those it was made for."""
        needed = {account.id: due for account in self._hands.accounts().values() if (due := self._due(account)) is not None}
        if self._idle and not needed:
            return
        rows = {job.key: job for job in await self._db.run(queue.list_jobs) if job.kind == KIND}
        now = self._now()
        begin = [key for key in needed if key not in rows or rows[key].state in OVER]
        sooner = [rows[key].id for key, due in needed.items() if key in rows and self._outdated(rows[key], key, due)]
        left = [job for key, job in rows.items() if key not in needed]
        rest = {job.id: dict[str, Any]() for job in left if job.state == "ready"}
        gone = [job.id for job in left if job.state in OVER]
        self._idle = not rows and not begin

        def write(conn: Any) -> None:
            queue.rest(conn, rest)
            queue.remove(conn, gone)
            for job_id in sooner:
                queue.run_now(conn, job_id, now)
            for key in begin:
                queue.wake(conn, KIND, key, now, max(needed[key], now + int(self._rng.uniform(0, SOON_MS))))

        if begin or sooner or rest or gone:
            await self._db.tx(write)
        if not self._pruned:
            await self._db.tx(refreshes.prune)
            self._pruned = True

    def _due(self, account: Account) -> int | None:
        """When it is to be renewed (ms), a little early; None: there is no need."""
        tokens = decode(account.secret) if account.auth == "oauth" and account.state != "needs_login" else None
        if tokens is None or not tokens.refresh_token:
            return None
        lead_s = self._lead(account)
        due = None if lead_s is None else due_at(tokens, lead_s)
        return None if due is None or lead_s is None else due - spread(lead_s, self._rng)

    def _lead(self, account: Account) -> int | None:
        try:
            profile = self._hands.provider(account).sign_in
        except GatewayError:
            return None  # a provider that this version does not know
        return None if profile is None else profile.lead_s

    def _outdated(self, job: queue.JobRow, account_id: str, due: int) -> bool:
        """It waits for the end of tokens that are replaced by ones that end earlier (somebody signed in again)."""
        account = self._hands.accounts()[account_id]
        return job.state == "ready" and job.due_at > due + AGAIN_MS and job.payload.get("until") != account.access_until

    async def run(self, job: queue.JobRow) -> Report:
        account = self._hands.accounts().get(job.key)
        due = None if account is None else self._due(account)
        if account is None or due is None:
            return Report("no need to renew", None)
        payload = {"until": account.access_until}
        lead_s = self._lead(account) or 0
        try:
            secret = await self._refresher.fly(account.id, early_ms=earliest(lead_s))
        except GatewayError as error:
            if error.kind is Kind.NOT_FOUND or (isinstance(error, OAuthError) and error.terminal):
                return Report(f"{account.label}: {error.message}", None, {}, error.message[:500])
            wait = AGAIN_MS if error.retry_after is None else int(error.retry_after * 1000)
            return Report(f"{account.label}: {error.message}", self._now() + max(1_000, wait), payload, error.message[:500])
        tokens = decode(secret)
        following = None if tokens is None else due_at(tokens, lead_s)
        if tokens is None or following is None:
            return Report(f"{account.label} needs no renewal any more", None)
        soonest = self._now() + SOON_MS
        return Report(f"{account.label} is good", max(soonest, following - spread(lead_s, self._rng)), {"until": tokens.expires_at})
