"""A process that may be frozen or killed between two requests: what runs beside them elsewhere is done here by the requests themselves.

Before a request: the configuration is looked at when the last look is LOOK_MS old, and the process says that it lives. After one, before
its host is told that it is over: what a client that left has left behind is written, and where its conversation is at home. Nothing of
that holds up an answer but the look, which is one query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from omni_connector.gateway import TOUCH_S, Gateway
from omni_connector.jobs import BEAT_S
from omni_connector.store.files import Away, DatabaseError

log = logging.getLogger("omni.awake")

LOOK_MS = 1_000
"""Older than this is no picture of the configuration that a request begins with."""
BEAT_MS = 10_000
"""Others take for dead who has said nothing for `jobs.DEAD_MS`."""


class Awake:
    """Around the requests of one gateway, which does not stay (`Gateway.serve(resident=False)`). `now` in ms."""

    def __init__(self, gateway: Gateway, now: Callable[[], int]) -> None:
        self._gateway = gateway
        self._now = now
        self._looked = now()
        self._beaten = 0
        self._breathed = now()
        self._running = 0
        self._beating: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        await self._come_to()
        self._running += 1
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat_on(), name="beat")
        try:
            yield
        finally:
            self._running -= 1
            if not self._running and self._beating is not None:
                self._beating.cancel()
                self._beating = None
            # Also for a client that left: its row is on its way.
            await asyncio.shield(self._lie_down())

    async def _come_to(self) -> None:
        now, work = self._now(), list[Coroutine[Any, Any, object]]()
        if not self._looked <= now < self._looked + LOOK_MS:
            self._looked = now
            work.append(self._gateway.catch_up())
        if not self._beaten <= now < self._beaten + BEAT_MS:
            self._beaten = now
            work.append(self._beat())
        if work:
            await asyncio.gather(*work)

    async def _beat(self) -> None:
        try:
            await self._gateway.jobs.beat()
        except DatabaseError as error:
            self._beaten = 0
            if not isinstance(error, Away):  # the ledger says so, in its own words
                log.error("the database does not hear that this process lives: %s", error)

    async def _beat_on(self) -> None:
        """While something runs: a long answer is no silence."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._beaten = self._now()
            await self._beat()

    async def _lie_down(self) -> None:
        await self._gateway.ledger.rest()
        await self._gateway.store_homes()
        if not self._breathed <= self._now() < self._breathed + TOUCH_S * 1000:
            self._breathed = self._now()
            await self._gateway.catch_breath()
