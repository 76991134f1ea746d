"""Sign-ins that are under way, and the provider terms that were acknowledged.

A flow's secret (verifier, nonce, device code, a user's own client secret) is one encrypted JSON document bound to its row; the OAuth
state is stored as a hash only. Whoever claims a flow finishes it: a replayed callback finds nothing to claim, in any process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import Vault, hash_key
from omni_connector.store.tables import decode, encode, upsert
from omni_connector.store.tables import flows as t
from omni_connector.store.tables import notices as n
from omni_connector.values import dataclass

Json = dict[str, Any]
State = Literal["waiting", "claimed", "done", "failed", "expired", "cancelled"]

LIFE_MS = 20 * 60_000
STALE_CLAIM_MS = 5 * 60_000
"""A claim this old belongs to a process that died in the middle of the exchange."""
INTERRUPTED = "The sign-in was interrupted before it was complete. Begin it again."
TOO_LATE = "Nobody finished the sign-in within 20 minutes. Begin it again."
ENDED = ("done", "failed", "expired", "cancelled")
NOTHING = b""
"""The secret of a flow that ended: nobody needs it any more."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One sign-in. Times in ms. `shown`: what is no secret; `secret`: empty once the flow ended."""

    id: str
    provider: str
    state: State = "waiting"
    created_at: int = 0
    expires_at: int = 0
    account_id: str | None = None
    """The account that is renewed, later the one that was made."""
    error: str | None = None
    shown: Json = field(default_factory=dict)
    secret: Json = field(default_factory=dict, repr=False)


def aad(flow_id: str) -> str:
    return f"oauth_flows:{flow_id}:secret"


def insert(conn: sa.Connection, vault: Vault, flow: Flow, state: str) -> None:
    """`state`: the OAuth state by which the callback finds it; "" where there is none (device codes)."""
    conn.execute(
        sa.insert(t).values(
            id=flow.id,
            provider=flow.provider,
            state=flow.state,
            state_hash=hash_key(state) if state else None,
            created_at=flow.created_at,
            expires_at=flow.expires_at,
            account_id=flow.account_id,
            shown=encode(flow.shown),
            secret=_seal(vault, flow.id, flow.secret),
        )
    )


def get(conn: sa.Connection, vault: Vault, flow_id: str) -> Flow:
    """Raises GatewayError(NOT_FOUND)."""
    row = conn.execute(sa.select(t).where(t.c.id == flow_id)).mappings().first()
    if row is None:
        raise GatewayError(Kind.NOT_FOUND, f"There is no sign-in {flow_id!r}: it ended long ago, or never was.", param="flow_id")
    return _flow(vault, row)


def by_state(conn: sa.Connection, vault: Vault, state: str) -> Flow | None:
    row = conn.execute(sa.select(t).where(t.c.state_hash == hash_key(state))).mappings().first()
    return None if row is None else _flow(vault, row)


def claim(conn: sa.Connection, flow: Flow, now: int) -> bool:
    """True for one caller only, and only while the flow waits: from then on it is the caller's to finish or fail."""
    waits = sa.and_(t.c.id == flow.id, t.c.state == "waiting", t.c.expires_at > now)
    values = {"state": "claimed", "shown": encode({**flow.shown, "claimed_at": now})}
    return conn.execute(sa.update(t).where(waits).values(**values)).rowcount == 1


def take_turn(conn: sa.Connection, flow: Flow, shown: Json) -> bool:
    """Writes `shown` if nobody changed it since `flow` was read: of several processes that would poll a device code, one does."""
    mine = sa.and_(t.c.id == flow.id, t.c.state == "waiting", t.c.shown == encode(flow.shown))
    return conn.execute(sa.update(t).where(mine).values(shown=encode(shown))).rowcount == 1


def states(conn: sa.Connection, flow_ids: Sequence[str]) -> dict[str, str]:
    """Flow → its state; one that is not there is left out."""
    return {row.id: row.state for row in conn.execute(sa.select(t.c.id, t.c.state).where(t.c.id.in_(flow_ids)))}


def finish(conn: sa.Connection, flow_id: str, account_id: str, shown: Json) -> None:
    _end(conn, flow_id, ("claimed",), {"state": "done", "account_id": account_id, "shown": encode(shown)})


def fail(conn: sa.Connection, flow_id: str, error: str) -> bool:
    """A claimed or waiting flow came to nothing; True when it had not ended before."""
    return _end(conn, flow_id, ("claimed", "waiting"), {"state": "failed", "error": error})


def cancel(conn: sa.Connection, flow_id: str) -> bool:
    """True when it still waited."""
    return _end(conn, flow_id, ("waiting",), {"state": "cancelled"})


def tidy(conn: sa.Connection, now: int) -> int:
    """Ends what nobody will end: flows whose time is over, and claims whose process died. Drops those that ended a day ago.
    Returns how many were ended."""
    over = sa.and_(t.c.state == "waiting", t.c.expires_at <= now)
    count = conn.execute(sa.update(t).where(over).values(state="expired", error=TOO_LATE, secret=NOTHING)).rowcount
    for row in conn.execute(sa.select(t).where(t.c.state == "claimed", t.c.created_at <= now - STALE_CLAIM_MS)).mappings().all():
        if decode(row["shown"]).get("claimed_at", 0) <= now - STALE_CLAIM_MS:
            count += fail(conn, row["id"], INTERRUPTED)
    conn.execute(sa.delete(t).where(t.c.state.in_(ENDED), t.c.expires_at <= now - 86_400_000))
    return count


def _end(conn: sa.Connection, flow_id: str, before: tuple[str, ...], values: Json) -> bool:
    open_ = sa.and_(t.c.id == flow_id, t.c.state.in_(before))
    return conn.execute(sa.update(t).where(open_).values(**values, secret=NOTHING)).rowcount == 1


def _seal(vault: Vault, flow_id: str, secret: Json) -> bytes:
    return vault.encrypt(encode(secret) or "{}", aad(flow_id))


def _flow(vault: Vault, row: sa.RowMapping) -> Flow:
    blob = bytes(row["secret"])
    return Flow(
        id=row["id"],
        provider=row["provider"],
        state=row["state"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        account_id=row["account_id"],
        error=row["error"],
        shown=decode(row["shown"]),
        secret=decode(vault.decrypt(blob, aad(row["id"]))) if blob else {},
    )


# ---------------------------------------------------------------- Notices


def acknowledged(conn: sa.Connection, provider_id: str) -> str | None:
    """The text of a provider's terms that was acknowledged; None: none ever was."""
    text: str | None = conn.execute(sa.select(n.c.text).where(n.c.provider == provider_id)).scalar()
    return text


def acknowledge(conn: sa.Connection, provider_id: str, text: str, now: int) -> None:
    """Kept with its words: when they change, they are shown again."""
    upsert(conn, n, [{"provider": provider_id, "text": text, "at": now}], ["provider"], ["text", "at"])
