"""What every part of `Admin` works with: the database, the live picture, and how a change becomes effective."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from omni_connector.admin.shapes import TestResult
from omni_connector.secrets import Vault
from omni_connector.settings import Settings
from omni_connector.snapshot import Account, Snapshot
from omni_connector.store.engine import Database
from omni_connector.values import dataclass

if TYPE_CHECKING:
    import sqlalchemy as sa

    from omni_connector.budgets import Budgets
    from omni_connector.call import Call
    from omni_connector.routing.plan import Plan
    from omni_connector.routing.pool import Pool
    from omni_connector.spill import Spill

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Process:
    """Facts about the process that answers. `server`: what serves HTTP ("hypercorn"), or "none" on the command line."""

    started_at: int
    home: Path
    base_url: str
    server: str = "none"
    id: str = ""
    dashboard: str = ""
    """Where the dashboard is, when that is another listener than the client API's."""
    listeners: tuple[Json, ...] = ()
    """Each open one: {"side", "url", "tls", "remote"}."""


class Serving(Protocol):
    """The server around the operations, as far as they change it."""

    async def check(self, ahead: Settings) -> None:
        """Whether listeners could follow these settings. Raises SettingsError or GatewayError; changes nothing."""

    async def follow(self) -> None:
        """Listens as the settings say now."""

    async def crew(self) -> Json:
        """The processes that serve (`workers.Channel.crew`)."""

    async def reload(self) -> None:
        """As SIGHUP does."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Room:
    """Holds what operations need. `reload` makes the snapshot current again; `publish` tells the dashboards.

    `pool` is None where nothing is routed (command line), `test_account` where no provider can be asked.
    `preview`: what a call's model name is (`Resolution.kind`) and the plan it would get now.
    """

    budgets: Budgets | None = None
    """Set by whoever puts the process together."""
    spill: Spill | None = None
    """Set by a server."""
    serving: Serving | None = None
    """Set by a server."""

    def __init__(
        self,
        db: Database,
        vault: Vault,
        settings: Settings,
        *,
        snapshot: Callable[[], Snapshot],
        reload: Callable[[], Awaitable[None]],
        publish: Callable[[str, Json], None],
        process: Process,
        pool: Pool | None = None,
        test_account: Callable[[Account], Awaitable[TestResult]] | None = None,
        preview: Callable[[Call], Awaitable[tuple[str, Plan]]] | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.db = db
        self.vault = vault
        self.settings = settings
        """Replaced by whoever reloads, when stored settings changed."""
        self.process = process
        self._snapshot = snapshot
        self._reload = reload
        self._publish = publish
        self._pool = pool
        self._test_account = test_account
        self._preview = preview
        self._clock = clock

    @property
    def database_name(self) -> str:
        """The database's address, as OMNI_DATABASE_URL is written, without its password."""
        url = self.db.url
        return url.set(drivername=url.get_backend_name()).render_as_string(hide_password=True)

    def _spent(self, shown: Json) -> Json:
        """An account or a key as it is shown, with what is spent of its budget."""
        return shown if self.budgets is None else {**shown, "budget": self.budgets.shape(shown["id"], shown["budget"])}

    async def _change(self, fn: Callable[[sa.Connection], T]) -> T:
        """Write durably, then make it effective: the caller's answer is given only after both."""
        result = await self.db.tx(fn)
        await self._reload()
        return result
