"""Who refreshes the tokens of an account, and the journal of it: one row per account.

The row is a lease with a fencing counter, so that of any number of processes one refreshes at a time, and one that overslept its
lease cannot write. The journal says that a refresh token is being spent before it is sent: a process that dies in between leaves a
row without an end, which its successor finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from omni_connector.store.prebuilt import dialect_of
from omni_connector.store.tables import accounts
from omni_connector.store.tables import refreshes as t
from omni_connector.values import dataclass

FOREVER = 2**53 - 1
"""`retry_at` of a refresh token that the provider takes no more."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """One row. Times in ms. `spent`: SHA-256 of the refresh token that the last refresh used; what follows is about that token only."""

    account_id: str
    fence: int = 0
    owner: str | None = None
    lease_until: int | None = None
    begun_at: int | None = None
    spent: str | None = None
    ended_at: int | None = None
    error: str | None = None
    tries: int = 0
    """How often it was sent without our knowing what became of it."""
    failures: int = 0
    """How often in a row it was refused for a reason that passes."""
    retry_at: int | None = None
    """Not to be sent again before."""

    def held(self, owner: str, now: int) -> bool:
        """Somebody else is at it."""
        return self.owner not in (None, owner) and self.lease_until is not None and self.lease_until > now

    @property
    def unfinished(self) -> bool:
        """It was begun and nobody wrote how it ended."""
        return self.begun_at is not None and self.ended_at is None


def read(conn: sa.Connection, account_id: str) -> Refresh | None:
    row = conn.execute(sa.select(t).where(t.c.account_id == account_id)).mappings().first()
    return None if row is None else Refresh(**row)


def claim(conn: sa.Connection, account_id: str, owner: str, now: int, ttl_ms: int) -> Refresh | None:
    """Leases the account to `owner` until now + ttl_ms; None while another holds it, or when there is no such account. The journal in
    the returned row is the one that was found. The account's row is locked, so what is read of it next stays true in this transaction."""
    if conn.execute(sa.select(accounts.c.id).where(accounts.c.id == account_id).with_for_update()).first() is None:
        return None
    conn.execute(dialect_of(conn.dialect.name).insert(t).values(account_id=account_id).on_conflict_do_nothing())
    found = read(conn, account_id)
    if found is None or found.held(owner, now):
        return None
    seen = sa.and_(t.c.account_id == account_id, t.c.fence == found.fence)
    leased = replace(found, owner=owner, lease_until=now + ttl_ms, fence=found.fence + 1)
    lease = {"owner": leased.owner, "lease_until": leased.lease_until, "fence": leased.fence}
    return leased if conn.execute(sa.update(t).where(seen).values(**lease)).rowcount == 1 else None


def begin(conn: sa.Connection, held: Refresh, spent: str, now: int) -> bool:
    """The journal: this refresh token will be sent. False: the lease was lost."""
    same = held.spent == spent
    values: dict[str, Any] = {"begun_at": now, "spent": spent, "ended_at": None, "error": None, "retry_at": None}
    values["tries"] = held.tries + 1 if same and held.unfinished else 1
    values["failures"] = held.failures if same else 0
    return _write(conn, held, values)


def finish(conn: sa.Connection, held: Refresh, now: int) -> bool:
    """It worked, and the lease ends. False: the lease was lost, nothing may be written."""
    free = {"owner": None, "lease_until": None, "ended_at": now, "error": None, "tries": 0, "failures": 0, "retry_at": None}
    return _write(conn, held, free)


def fail(conn: sa.Connection, held: Refresh, now: int, error: str, retry_at: int) -> bool:
    """The provider refused, and the lease ends. `retry_at`: FOREVER when it takes this token no more. False: the lease was lost."""
    free = {"owner": None, "lease_until": None, "ended_at": now, "error": error[:500], "tries": 0, "retry_at": retry_at}
    return _write(conn, held, {**free, "failures": t.c.failures + 1})


def release(conn: sa.Connection, held: Refresh) -> bool:
    """There was nothing to do; the journal stays as it was."""
    return _write(conn, held, {"owner": None, "lease_until": None})


def unlease(conn: sa.Connection, owners: Sequence[str]) -> int:
    """Frees what processes held that have ended; their journals stay. Returns how many."""
    free = {"owner": None, "lease_until": None, "fence": t.c.fence + 1}
    return conn.execute(sa.update(t).where(t.c.owner.in_(owners)).values(**free)).rowcount


def prune(conn: sa.Connection) -> int:
    """Drops the rows of accounts that are gone; returns how many."""
    return conn.execute(sa.delete(t).where(t.c.account_id.not_in(sa.select(accounts.c.id)))).rowcount


def _write(conn: sa.Connection, held: Refresh, values: dict[str, Any]) -> bool:
    mine = sa.and_(t.c.account_id == held.account_id, t.c.fence == held.fence, t.c.owner == held.owner)
    return conn.execute(sa.update(t).where(mine).values(**values)).rowcount == 1
