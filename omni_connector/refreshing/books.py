"""What is read and written about a refresh, each step in one transaction: the lease, the second look, the journal, the new tokens.

Whatever happens between two of these steps, the row says where the refresh token stands: not sent, sent and unanswered, or done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from omni_connector.errors import GatewayError, Kind
from omni_connector.oauth import OAuthError
from omni_connector.refreshing.due import GAP_MS, over, wanted
from omni_connector.secrets import Vault, hash_key
from omni_connector.snapshot import Account
from omni_connector.store import accounts as account_rows
from omni_connector.store import refreshes
from omni_connector.store.engine import Database
from omni_connector.store.refreshes import FOREVER, Refresh
from omni_connector.tokens import Json, Tokens, decode
from omni_connector.values import dataclass

if TYPE_CHECKING:
    import sqlalchemy as sa

LEASE_MS = 60_000
"""Longer than everything that happens under a lease takes."""
MOST_TRIES = 2
"""A refresh token whose answer nobody lived to store is sent once more, never again."""
AGAIN = "sign in again"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: another access token than `rejected`, or with "" one that is not due; `early_ms`: what is due so much later
    counts as due."""

    account_id: str
    rejected: str = field(default="", repr=False)
    early_ms: int = 0


@dataclass(frozen=True, slots=True)
class Held:
    """The lease is ours and the journal is written: `tokens` are what is stored now, `spent` the hash of their refresh token."""

    row: Refresh
    account: Account
    tokens: Tokens
    spent: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing is to be sent: `secret` is good, or `reason` says why only the user can help."""

    secret: str = field(default="", repr=False)
    reason: str = ""


class Books:
    """`lead_s`: how long before its end an account's token is due."""

    def __init__(self, db: Database, vault: Vault, owner: str, now: Callable[[], int], lead_s: Callable[[Account], int]) -> None:
        self._db = db
        self._vault = vault
        self._owner = owner
        self._now = now
        self._lead_s = lead_s
        self.unsaved: dict[str, tuple[str, Tokens]] = {}
        """Account id → (hash of the refresh token that was spent, what came for it): an answer that is not stored yet."""

    # ------------------------------------------------------------ before

    async def look(self, wish: Wish) -> Ended | bool:
        """What is stored is good; else whether nobody else is at it. Raises GatewayError for an account that has no sign-in."""

        def read(conn: sa.Connection) -> tuple[Account, Refresh | None]:
            return account_rows.get(conn, self._vault, wish.account_id), refreshes.read(conn, wish.account_id)

        account, row = await self._db.run(read)
        if not self._wanted(account, decoded(account), wish):
            return Ended(account.secret)
        return row is None or not row.held(self._owner, self._now())

    async def take(self, wish: Wish) -> Held | Ended | None:
        """The lease, a second look at the account, and the journal. None: somebody else was faster. Raises GatewayError where it is too
        early to ask (again)."""
        return await self._db.tx(partial(self._take, wish=wish))

    def _take(self, conn: sa.Connection, wish: Wish) -> Held | Ended | None:
        now = self._now()
        row = refreshes.claim(conn, wish.account_id, self._owner, now, LEASE_MS)
        if row is None:
            return None
        account = account_rows.get(conn, self._vault, wish.account_id)
        tokens = decoded(account)
        if not self._wanted(account, tokens, wish) or not (tokens.refresh_token or wish.rejected or over(tokens, now)):
            refreshes.release(conn, row)
            return Ended(account.secret)
        spent = hash_key(tokens.refresh_token)
        if not tokens.refresh_token:
            return self._give_up(conn, row, "The sign-in has ended and cannot be renewed")
        _not_too_early(row, spent, tokens, wish, now)
        if self.unsaved.get(wish.account_id, ("",))[0] != spent:
            self.unsaved.pop(wish.account_id, None)
            if row.spent == spent and row.unfinished and row.tries >= MOST_TRIES:
                return self._give_up(conn, row, "The server died twice while it renewed the sign-in")
        refreshes.begin(conn, row, spent, now)
        return Held(replace(row, failures=row.failures if row.spent == spent else 0), account, tokens, spent)

    async def still(self, held: Held) -> bool:
        """Whether the lease is still ours, and for long enough."""
        row = await self._db.run(lambda conn: refreshes.read(conn, held.account.id))
        mine = row is not None and (row.owner, row.fence) == (held.row.owner, held.row.fence)
        return mine and (held.row.lease_until or 0) > self._now()

    def _wanted(self, account: Account, tokens: Tokens, wish: Wish) -> bool:
        return wanted(tokens, wish.rejected, self._lead_s(account), self._now(), wish.early_ms)

    def _give_up(self, conn: sa.Connection, row: Refresh, why: str) -> Ended:
        """Nothing that could be sent would help."""
        reason = f"{why}; {AGAIN}."
        refreshes.fail(conn, row, self._now(), reason, FOREVER)
        account_rows.set_state(conn, row.account_id, "needs_login", reason)
        return Ended(reason=reason)

    # ------------------------------------------------------------ after

    async def store(self, held: Held, fresh: Tokens) -> Literal["stored", "replaced", "lost"]:
        """The new pair and the end of the journal. "replaced": the user signed in meanwhile; "lost": the lease was. Nothing is written
        over either. Raises GatewayError NOT_FOUND when the account was removed."""
        return await self._db.tx(partial(self._store, held=held, fresh=fresh))

    def _store(self, conn: sa.Connection, held: Held, fresh: Tokens) -> Literal["stored", "replaced", "lost"]:
        if not refreshes.finish(conn, held.row, self._now()):
            return "lost"
        account = account_rows.get(conn, self._vault, held.account.id)
        if not _unchanged(account, held):
            return "replaced"
        changes: Json = {"secret": fresh.encode()}
        if account.state == "needs_login":
            changes |= {"state": "ok", "state_reason": ""}
        account_rows.update(conn, self._vault, account.id, changes)
        return "stored"

    async def fail(self, held: Held, reason: str, retry_at: int) -> Literal["noted", "locked", "lost"]:
        """How it failed; with FOREVER, the account is "locked" until the user signs in, unless he did so meanwhile."""

        def write(conn: sa.Connection) -> Literal["noted", "locked", "lost"]:
            if not refreshes.fail(conn, held.row, self._now(), reason, retry_at):
                return "lost"
            if retry_at != FOREVER or not _unchanged(account_rows.get(conn, self._vault, held.account.id), held):
                return "noted"
            account_rows.set_state(conn, held.account.id, "needs_login", reason)
            return "locked"

        return await self._db.tx(write)

    async def distrust(self, account_id: str, reason: str) -> None:
        await self._db.tx(lambda conn: account_rows.set_state(conn, account_id, "needs_login", reason))

    async def note_person(self, account_id: str, told: Json) -> None:
        """A plan or an address changes now and then."""

        def write(conn: sa.Connection) -> None:
            options = account_rows.get(conn, self._vault, account_id).options
            known = options.get("identity")
            merged = {**(known if isinstance(known, dict) else {}), **told}
            if merged != known:
                account_rows.update(conn, self._vault, account_id, {"options": {**options, "identity": merged}})

        await self._db.tx(write)


def decoded(account: Account) -> Tokens:
    """Raises GatewayError for an account that was not signed in."""
    tokens = decode(account.secret) if account.auth == "oauth" else None
    if tokens is None:
        raise GatewayError(Kind.ACCOUNT_REJECTED, f"Account {account.label!r} has no sign-in that could be renewed.")
    return tokens


def _unchanged(account: Account, held: Held) -> bool:
    """The refresh token that was spent is still the one that is stored."""
    tokens = decode(account.secret)
    return tokens is not None and tokens.refresh_token == held.tokens.refresh_token


def _not_too_early(row: Refresh, spent: str, tokens: Tokens, wish: Wish, now: int) -> None:
    if row.spent == spent and row.retry_at is not None and now < row.retry_at:
        message = row.error or "The provider did not renew the sign-in."
        if row.retry_at == FOREVER:
            raise OAuthError(Kind.ACCOUNT_REJECTED, message, upstream_status=401, terminal=True)
        raise OAuthError(Kind.UPSTREAM_FAILED, message, retry_after=(row.retry_at - now) / 1000)
    if now < tokens.not_before:
        wait = (tokens.not_before - now) / 1000
        raise OAuthError(Kind.UPSTREAM_FAILED, "The provider does not allow to renew the sign-in yet.", retry_after=wait)
    if wish.rejected and not over(tokens, now) and 0 <= now - tokens.refreshed_at < GAP_MS:
        raise OAuthError(
            Kind.ACCOUNT_REJECTED, "The sign-in was renewed a moment ago; a newer token is not to be had.", retry_after=GAP_MS / 1000
        )
