"""The ledger: a row is open and durable before the upstream call, settled before the last byte leaves (DESIGN.md, law 4).

Group commit: one writer task takes everything that waits and commits it in one transaction, so that one fsync serves all
rows of a few milliseconds. Enqueuing never waits and never fails; whoever needs durability awaits the future. A caller
that is cancelled (the client left) need not await: the row is already in the writer's hands.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from omni_connector.errors import GatewayError, Kind

Row = dict[str, Any]
Write = Callable[[Sequence[Row], Sequence[Row]], Awaitable[None]]
"""Writes rows to open and rows to settle in one durable transaction, in that order."""

log = logging.getLogger("omni.ledger")

RETRIES = (0.05, 0.25, 1.0)
"""Seconds between tries when the database refuses (locked by another process, disk full): then the callers are told."""


class Ledger:
    """`open(row)` and `settle(row)` return a future that is done when the row is durable.

    A failed future holds GatewayError (INTERNAL): the request must not go on as if it were on record.
    """

    def __init__(self, write: Write, *, gather: float = 0.002) -> None:
        self._write = write
        self.gather = gather
        self._opens: list[tuple[Row, asyncio.Future[None]]] = []
        self._settles: list[tuple[Row, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.commits = 0
        self.rows = 0
        self.unsettled: list[Row] = []
        """Settlements the database refused for good; kept and offered again with the next commit."""

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger")

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def open(self, row: Row) -> asyncio.Future[None]:
        return self._put(self._opens, row)

    def settle(self, row: Row) -> asyncio.Future[None]:
        return self._put(self._settles, row)

    @property
    def waiting(self) -> int:
        return len(self._opens) + len(self._settles)

    def _put(self, queue: list[tuple[Row, asyncio.Future[None]]], row: Row) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # A settlement nobody awaits (the client left) must not warn about its unread exception: it is logged below.
        future.add_done_callback(_read)
        queue.append((row, future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            # Alone, a row is committed at once; under load a short wait lets one fsync serve many.
            if self.waiting > 1 and not self._closing:
                await asyncio.sleep(self.gather)
            self._wake.clear()
            opens, self._opens = self._opens, []
            settles, self._settles = self._settles, []
            if opens or settles:
                await self._commit(opens, settles)
            elif self._closing:
                return
            if self._closing:
                self._wake.set()

    async def _commit(self, opens: list[tuple[Row, asyncio.Future[None]]], settles: list[tuple[Row, asyncio.Future[None]]]) -> None:
        held, self.unsettled = self.unsettled, []
        new_rows = [row for row, _ in opens]
        done_rows = held + [row for row, _ in settles]
        error = await self._try(new_rows, done_rows)
        if error is None:
            self.commits += 1
            self.rows += len(new_rows) + len(done_rows)
        else:
            self.unsettled = done_rows
        for _, future in (*opens, *settles):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    async def _try(self, opens: Sequence[Row], settles: Sequence[Row]) -> GatewayError | None:
        reason: Exception | None = None
        for pause in (*RETRIES, None):
            try:
                await self._write(opens, settles)
                return None
            except Exception as error:  # noqa: BLE001 — whatever the database raises, the writer must live on
                reason = error
                log.error("the ledger could not be written: %s", error)
            if pause is not None:
                await asyncio.sleep(pause)
        words = "The request could not be put on record, so it was not carried out. Check the disk (omni-connector doctor)."
        return GatewayError(Kind.INTERNAL, f"{words} Reason: {type(reason).__name__}")


def _read(future: asyncio.Future[None]) -> None:
    if not future.cancelled():
        future.exception()
