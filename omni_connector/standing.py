"""Where accounts stand: what traffic and questions said of them goes to the pool at once, and to the database right after.

The pool is what the next request of this process sees; the rows are what other processes, the dashboard and a restart see.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from omni_connector import catalog, secrets
from omni_connector.errors import GatewayError, Kind
from omni_connector.record import account_failure
from omni_connector.routing.health import ACCOUNT_SCOPE, HealthSettings, cooldown_for, kind_of, model_scope, needs_login, recover, scope_of
from omni_connector.routing.pool import Pool
from omni_connector.routing.resolve import Candidate
from omni_connector.settings import Settings
from omni_connector.snapshot import Cooldown
from omni_connector.store import accounts as account_rows
from omni_connector.store import settings as setting_rows
from omni_connector.store.engine import Database
from omni_connector.values import dataclass

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hands:
    """What it needs of the rest of the house, as plain callables."""

    settings: Callable[[], Settings]
    reload: Callable[[], Awaitable[None]]
    show: Callable[[str], Awaitable[None]]
    """Account id: tell the dashboards how it is now."""
    used: Callable[[str, int], None]
    """(account id, ms): it served a request."""
    spawn: Callable[[Coroutine[Any, Any, object]], None]
    spawn_once: Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]
    """The same, unless work of that name is under way."""


class Standing:
    def __init__(self, db: Database, pool: Pool, hands: Hands, now: Callable[[], int], rng: Random) -> None:
        self._db = db
        self._pool = pool
        self._settings = hands.settings
        self._reload = hands.reload
        self._show = hands.show
        self._used = hands.used
        self._spawn = hands.spawn
        self._spawn_once = hands.spawn_once
        self._now = now
        self._rng = rng

    def worked(self, candidate: Candidate, ms: int) -> None:
        now, account, family = self._now(), candidate.account, catalog.family(candidate.model)
        self._pool.record(account.id, True, ms, "", now, family)
        self._used(account.id, now)
        for cooldown in self._pool.cooldowns(account.id):
            scope = cooldown.scope
            if scope in (ACCOUNT_SCOPE, model_scope(family)) and recover(cooldown, now - ms, now):
                self._pool.clear(account.id, scope)
                self._spawn(self.store_recovery(account.id, scope, now - ms))

    def failed(self, candidate: Candidate, error: GatewayError) -> None:
        if not account_failure(error):
            return
        now, account, family = self._now(), candidate.account, catalog.family(candidate.model)
        current = self._pool.accounts.get(account.id)
        if current is None or current.secret != account.secret:
            return  # it was removed, or given another credential, while its answer was under way
        self._pool.record(account.id, False, None, error.info.flag, now, family)
        scope = scope_of(error, family)
        if scope is None:
            return
        previous = self._pool.cooldown(account.id, scope)
        health = HealthSettings(guessed_max_s=self._settings().guessed_cooldown_max_s, max_error_count=self._settings().max_error_count)
        cooldown = cooldown_for(error, account, family, previous, now, health, self._rng)
        if cooldown is not None and cooldown != previous:
            self._pool.cool(cooldown)
            self._spawn_once(f"cooldown {account.id} {scope}", partial(self.store_cooldown, account.id, scope))
        if needs_login(error.kind) and current.state != "needs_login":
            self._spawn_once(f"login {account.id}", partial(self.store_login, account.id, error.message, account.secret))

    async def store_cooldown(self, account_id: str, scope: str) -> None:
        """Stores it as it now is, and again while it grows: of hundreds of requests that fail together, few write."""
        stored: Cooldown | None = None
        while (cooldown := self._pool.cooldown(account_id, scope)) is not None and cooldown != stored:
            stored = cooldown
            self._pool.cool(cooldown, await self._db.tx(partial(_write_cooldown, cooldown=cooldown)))
        await self._show(account_id)

    async def store_recovery(self, account_id: str, scope: str, asked_at: int) -> bool:
        """Clears a cooldown, for an answer to a question sent at `asked_at`; False: it failed anew since, here or in another process."""

        def write(conn: Any) -> tuple[int, bool]:
            account_rows.clear_cooldowns(conn, account_id, scope, asked_at=asked_at)
            over = all((row.account_id, row.scope) != (account_id, scope) for row in account_rows.list_cooldowns(conn))
            return setting_rows.config_version(conn), over

        version, over = await self._db.tx(write)
        held = self._pool.cooldown(account_id, scope)
        if not over or (held is not None and held.created_at > asked_at):
            return False
        self._pool.clear(account_id, scope, version)
        await self._show(account_id)
        return True

    async def store_login(self, account_id: str, reason: str, refused: str | None = None) -> None:
        """`refused`: the secret that was, where it may have been replaced or forgiven since."""
        current = self._pool.accounts.get(account_id)
        held = self._pool.cooldown(account_id, "")
        if refused is not None and (current is None or current.secret != refused or held is None):
            return
        await self._db.tx(lambda conn: account_rows.set_state(conn, account_id, "needs_login", secrets.redact(reason)[:500]))
        await self._reload()
        await self._show(account_id)

    async def store_accepted(self, account_id: str) -> None:
        await self._db.tx(lambda conn: account_rows.set_state(conn, account_id, "ok", ""))
        await self._reload()
        await self._show(account_id)

    async def store_learned(self, account_id: str, models: tuple[str, ...], balance: Json | None) -> None:
        def write(conn: Any) -> bool:
            listed = bool(models) and account_rows.set_discovered(conn, account_id, models)
            return (balance is not None and account_rows.set_balance(conn, account_id, balance)) or listed

        if await self._db.tx(write):
            await self._reload()
            await self._show(account_id)

    async def renewed(self, account_id: str) -> None:
        """Its sign-in has new tokens: that the old ones were refused is over."""
        held = self._pool.cooldown(account_id, "")
        if held is not None and kind_of(held) is Kind.ACCOUNT_REJECTED:
            await self._db.tx(partial(account_rows.clear_cooldowns, account_id=account_id, scope="", asked_at=held.created_at))
            self._pool.clear(account_id, "")
        await self.store_accepted(account_id)

    async def refused(self, account_id: str, reason: str) -> None:
        """Its sign-in is over, and stored as such."""
        await self._reload()
        await self._show(account_id)


def _write_cooldown(conn: Any, cooldown: Cooldown) -> int:
    """Returns the version of the configuration that shows it."""
    account_rows.extend_cooldown(conn, cooldown)
    return setting_rows.config_version(conn)
