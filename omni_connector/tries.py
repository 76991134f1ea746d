"""How often a password may be tried: counted in the database, so across workers and nodes; here too, for when it is away and so that
a flood does not become one of transactions."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from omni_connector.errors import GatewayError, Kind
from omni_connector.store import logins
from omni_connector.store.engine import Database, DatabaseError

log = logging.getLogger("omni.tries")

MOST = 5
"""Wrong passwords per network within WINDOW."""
WINDOW = 60_000
"""Milliseconds."""


class Tries:
    """Of one process. `now`: ms, by a clock that all nodes share; `away`: whether it is known that the database takes nothing."""

    def __init__(self, db: Database, now: Callable[[], int], away: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._now = now
        self._away = away
        self._clock = clock
        self._mine: dict[str, list[float]] = {}

    async def begin(self, who: str) -> None:
        """Before a password of the network `who` is looked at, so that parallel tries count too. Raises GatewayError (RATE_LIMITED)."""
        at = self._clock()
        since = at - WINDOW / 1000
        self._mine = {name: ats for name, ats in self._mine.items() if ats and ats[-1] > since}
        recent = [one for one in self._mine.get(who, ()) if one > since]
        if len(recent) >= MOST:
            raise _refused(recent[0] - since)
        self._mine[who] = [*recent, at]
        if self._away():
            return
        now = self._now()
        try:
            again = await self._db.tx(lambda conn: logins.note(conn, who, now, MOST, WINDOW), soon=True)
        except DatabaseError as error:
            log.warning("tries at the password are counted by this process alone: %s", error)
            return
        if again is not None:
            # It was no try: nobody looked at the password.
            self._mine[who] = [one for one in self._mine.get(who, ()) if one != at]
            raise _refused((again - now) / 1000)

    async def right(self, who: str) -> None:
        """The password was right: what was tried before is forgotten."""
        known = self._mine.pop(who, [])
        if self._away() or not known:
            return
        try:
            await self._db.tx(lambda conn: logins.forget(conn, who), soon=True)
        except DatabaseError as error:
            log.warning("tries at the password stay counted for a minute: %s", error)


def _refused(wait_s: float) -> GatewayError:
    return GatewayError(Kind.RATE_LIMITED, "Too many wrong passwords. Wait a minute.", retry_after=max(1.0, wait_s))
