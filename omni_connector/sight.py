"""What can be seen of requests from outside, once they are over: figures, traces, and a line in the log at the level debug."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from omni_connector import logs
from omni_connector.metrics import Metrics, known
from omni_connector.record import Record
from omni_connector.settings import Settings
from omni_connector.snapshot import Account
from omni_connector.tracing import Tracing

log = logging.getLogger("omni.requests")


class Sight:
    """Of one process. `accounts`: those of now, by id; `env`: see `Tracing`."""

    def __init__(self, env: Mapping[str, str], accounts: Callable[[], Mapping[str, Account]]) -> None:
        self.metrics = Metrics(lambda record: known(record, accounts().get(record.account_id or "")))
        self.tracing = Tracing(env)
        self.followers: list[Callable[[Settings], None]] = []
        """Told of the settings whenever they were read anew."""

    def begin(self, settings: Settings) -> None:
        """A server begins: from here on it is traced when the settings want that."""
        self.followers.append(self.tracing.follow)
        self.tracing.follow(settings)

    def follow(self, settings: Settings) -> None:
        for follower in self.followers:
            follower(settings)

    def settled(self, record: Record) -> None:
        """A request is over; called once for each."""
        self.metrics.settled(record)
        self.tracing.settled(record)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("request %s: %s", record.id, logs.words(record))
