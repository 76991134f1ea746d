"""Telling a service manager that we are ready and still alive: systemd's notification protocol (sd_notify(3), sd_watchdog_enabled(3)).

One datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names ("@" begins an abstract one). Without it nothing is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Mapping

log = logging.getLogger("omni.notify")

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
PINGS = 3
"""Signs of life in the time that the manager waits for one: two may be late."""


class Notifier:
    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.address = address
        self.watchdog_s = watchdog_s
        """The manager restarts us when it hears nothing for so long; 0: it does not watch."""

    @classmethod
    def of(cls, env: Mapping[str, str], pid: int | None = None) -> Notifier:
        """As the environment says. A watchdog that is meant for another process is none of ours."""
        meant_for = env.get(WATCHDOG_PID, "")
        ours = not meant_for or meant_for == str(os.getpid() if pid is None else pid)
        microseconds = env.get(WATCHDOG, "")
        return cls(env.get(SOCKET, ""), int(microseconds) / 1_000_000 if ours and microseconds.isdecimal() else 0.0)

    def send(self, **fields: str | int) -> bool:
        """True when the manager was told. A manager that cannot be reached is no reason to stop serving."""
        if not self.address:
            return False
        name = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        text = "\n".join(f"{field}={value}" for field, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0)) as sender:
                sender.sendto(text.encode(), name)
        except OSError as error:
            log.warning("the service manager cannot be told (%s)", error)
            return False
        return True

    def ready(self, status: str) -> bool:
        return self.send(READY=1, STATUS=status)

    def stopping(self) -> bool:
        return self.send(STOPPING=1)

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Signs of life from the event loop, for as long as the block lasts: a loop that hangs gives none."""
        if not self.address or not self.watchdog_s:
            yield
            return
        pinging = asyncio.create_task(self._ping(), name="watchdog")
        try:
            yield
        finally:
            pinging.cancel()
            await asyncio.gather(pinging, return_exceptions=True)

    async def _ping(self) -> None:
        while True:
            self.send(WATCHDOG=1)
            await asyncio.sleep(self.watchdog_s / PINGS)
