"""Whether a balancer should send requests to this process: what GET /ready says."""

from __future__ import annotations

from omni_connector.spill import Spill
from omni_connector.store.engine import Watch

UNSEEN_S = 2.5
"""Without a look at the database for so long, it counts as out of reach."""


class Readiness:
    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self.leaving = False
        """It serves on, but nothing new should come."""
        self.watch: Watch | None = None
        """What looks at the database all the time; a server sets it."""

    def refusal(self, *, database: bool) -> str:
        """Why a balancer should send nothing new, "" for no reason. `database`: also while the database is out of reach, since other nodes
        may reach it."""
        if self.leaving:
            return "stopping"
        if self._spill.away and not self._spill.takes_new:
            return "the database is away"
        unseen = self.watch is None or self.watch.unseen_s > UNSEEN_S
        return "the database is out of reach" if database and (self._spill.away or unseen) else ""
