"""The ledger: a row is open and durable before the upstream call, settled before the last byte leaves (DESIGN.md, law 4).

Group commit: everything that waits is committed in one transaction, one after the other, so that one fsync serves all
rows of a few milliseconds. What a settled request leaves for later ones rides along, so that it is there before the client
can ask for it; it never costs the settlement. Enqueuing never waits and never fails; whoever needs durability awaits the
future. A caller that is cancelled (the client left) need not await: the row is already in the writer's hands.

Limits are asked in the same transactions (store/allowances.py), so that it costs no commit of its own to be exact.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from omni_connector.errors import GatewayError, Kind
from omni_connector.spill import Spill
from omni_connector.store.allowances import Ask, Granted, Refused
from omni_connector.store.files import Away, DatabaseError, Silent

Row = dict[str, Any]
Verdict = Granted | Refused
Write = Callable[[Sequence[Row], Sequence[Row], Sequence[Row], Sequence[Ask]], Awaitable[Sequence[Verdict]]]
"""Writes rows to open, rows to settle and rows to keep in one durable transaction, and answers what is asked of the limits in it. Where it
answers with a future (the journal does), all is done without a task, which is most of what a commit of few rows costs."""

log = logging.getLogger("omni.ledger")

Waiting = tuple[Row, asyncio.Future[None] | None, Sequence[Row]]
"""A row, who waits for it (nobody for one that is offered again), and what is to be kept with it."""
Asking = tuple[Ask, asyncio.Future[Verdict]]
Batch = tuple[Sequence[Waiting], Sequence[Waiting], Sequence[Asking]]
"""Of one commit: who opens, who settles, who asks."""

BARE = ("id", "settled_at", "outcome", "http_status", "flag")
"""What a settlement is reduced to when the database takes the rest of it not even alone."""
LAST_TRIES = 2
"""For what is unsettled when all ends."""
PROBES = 3
"""Rows that are refused one by one before the database itself is held to be out of order."""

RETRIES = (0.05, 0.25, 1.0)
"""Seconds between tries when the database refuses (locked by another process, disk full): then the callers are told."""

UNRECORDED = "The request could not be put on record, so it was not carried out. Check the disk (omni-connector doctor). Reason: {}"
UNKNOWN_BUDGET = "The database is away, so nobody knows what is left of the budget. Try again in a moment, or use a key without a budget."


CROWD = 3
"""Rows of a commit that say that many requests are under way."""
ON_A_SERVER_MS, IN_A_FILE_MS = 2, 1
"""On a server every commit holds the rows of the hour's sums until it is flushed, so fewer are better. A journal's flush costs less than a
request, but not nothing."""


def gathering_s(wanted_ms: int, *, server: bool) -> float:
    """Seconds between two commits, in which rows wait for others; below 0: what is best for the database."""
    return (wanted_ms if wanted_ms >= 0 else ON_A_SERVER_MS if server else IN_A_FILE_MS) / 1000


class Ledger:
    """`open(row)` and `settle(row)` return a future that is done when the row is durable.

    A failed future holds GatewayError (INTERNAL): the request must not go on as if it were on record.
    """

    def __init__(self, write: Write, *, gather: float = 0.002, spill: Spill | None = None) -> None:
        self._write = write
        self._spill = spill
        self.gather = gather
        self._opens: list[Waiting] = []
        self._settles: list[Waiting] = []
        self._asks: list[Asking] = []
        self._idle = asyncio.Event()
        """Set while nothing waits and nothing is under way; not before `start`."""
        self._task: asyncio.Task[None] | None = None
        """The commit that is under way, where that takes a task."""
        self._started = self._closing = False
        self._context: Context | None = None
        """What commits begin in. In that of a request, all that is logged of them would name it."""
        self._crowded = False
        """Whether the last commit was of so many rows that it is worth waiting for more."""
        self._ended = 0.0
        """When the last commit did, by the loop's clock."""
        self.commits = 0
        self.rows = 0
        self.unsettled: list[Row] = []
        """Settlements that a database out of order refused; offered again with the next commit. What was to be kept with them is
        let go: their clients were told of a failure."""

    def start(self) -> None:
        self._started = True
        self._context = copy_context()
        self._soon()

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        await self.rest()
        self._started = False
        self._idle.clear()
        for _ in range(LAST_TRIES):
            if self.unsettled:
                await self._commit(([], [], []), None)
        if self.unsettled and self._spill is not None and await self._spill.put([], self.unsettled, ()):
            self.unsettled = []  # the next start has them

    async def rest(self) -> None:
        """Until nothing is on its way into the database, also of callers that have left."""
        while self._started and not self._idle.is_set():
            await self._idle.wait()
            await asyncio.sleep(0)

    def open(self, row: Row) -> asyncio.Future[None]:
        return self._put(self._opens, row)

    def settle(self, row: Row, keep: Sequence[Row] = ()) -> asyncio.Future[None]:
        """`keep`: rows for later requests, durable together with `row`. Those that cannot be stored are logged and left out."""
        return self._put(self._settles, row, keep)

    def ask(self, ask: Ask) -> asyncio.Future[Verdict]:
        """Whether the limits let a request in. Right after `open` it is answered in the transaction that opens the row."""
        future: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._asks.append((ask, future))
        if self._idle.is_set():
            self._soon()
        return future

    @property
    def waiting(self) -> int:
        return len(self._opens) + len(self._settles)

    def _put(self, queue: list[Waiting], row: Row, keep: Sequence[Row] = ()) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append((row, future, keep))
        if self._idle.is_set():
            self._soon()
        return future

    # ------------------------------------------------------------ one commit after the other

    def _soon(self) -> None:
        """Who comes alone is committed at once; under load a short wait lets one fsync serve many."""
        self._idle.clear()
        loop = asyncio.get_running_loop()
        pause = self._ended + self.gather - loop.time() if self._crowded and not self._closing else 0
        if pause > 0:
            loop.call_later(min(pause, self.gather), self._begin, context=self._context)
        else:
            loop.call_soon(self._begin, context=self._context)

    def _begin(self) -> None:
        opens, settles, asks = batch = self._opens, self._settles, self._asks
        if not (opens or settles or asks):
            self._idle.set()
            return
        self._opens, self._settles, self._asks = [], [], []
        if self.unsettled or (self._spill is not None and self._spill.away):
            self._apart(batch, None)
            return
        try:
            answer = self._written(batch)
        except Exception:  # noqa: BLE001 — said when it is tried again
            self._apart(batch, None)
            return
        if isinstance(answer, asyncio.Future):
            answer.add_done_callback(partial(self._answered, batch))
        else:
            self._apart(batch, answer)

    def _written(self, batch: Batch) -> Awaitable[Sequence[Verdict]]:
        opens, settles, asks = batch
        keeps = [kept for _, _, keep in settles for kept in keep]
        return self._write([row for row, _, _ in opens], [row for row, _, _ in settles], keeps, [ask for ask, _ in asks])

    def _answered(self, batch: Batch, answer: asyncio.Future[Sequence[Verdict]]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            self._apart(batch, answer)
            return
        self._tell_all(batch, answer.result())
        self._after(len(batch[0]) + len(batch[1]))

    def _apart(self, batch: Batch, answer: Awaitable[Sequence[Verdict]] | None) -> None:
        """In a task, where something has to be waited for."""
        self._task = asyncio.create_task(self._commit(batch, answer), name="ledger")
        self._task.add_done_callback(partial(self._ended_apart, len(batch[0]) + len(batch[1])))

    def _ended_apart(self, rows: int, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():  # the loop is being closed
            self._idle.set()
            return
        if (error := task.exception()) is not None:
            log.error("a commit of the books failed", exc_info=error)
        self._after(rows)

    def _after(self, rows: int) -> None:
        self._ended, self._crowded = asyncio.get_running_loop().time(), rows >= CROWD
        if self._opens or self._settles or self._asks:
            self._soon()
        else:
            self._idle.set()

    async def _commit(self, batch: Batch, answer: Awaitable[Sequence[Verdict]] | None) -> None:
        """`answer`: of the first try, where that is under way already."""
        opens, settles, asks = batch
        if self.unsettled:
            settles = [*((row, None, ()) for row in self.unsettled), *settles]
            batch, self.unsettled = (opens, settles, asks), []
        if self._spill is not None and answer is None and await self._spill.needed():
            await self._aside(self._spill, opens, settles, asks)
            return
        verdicts = await self._try(batch, answer)
        if not isinstance(verdicts, GatewayError):
            self._tell_all(batch, verdicts)
        elif self._spill is not None and isinstance(verdicts.__cause__, Away):
            await self._aside(self._spill, opens, settles, asks)
        else:
            await self._one_by_one(opens, settles, asks, verdicts)

    def _tell_all(self, batch: Batch, verdicts: Sequence[Verdict]) -> None:
        opens, settles, asks = batch
        self.commits += 1
        self.rows += len(opens) + len(settles)
        for _, future, _ in (*opens, *settles):
            _tell(future)
        for (_, asking), verdict in zip(asks, verdicts, strict=True):
            if not asking.done():
                asking.set_result(verdict)

    async def _aside(self, spill: Spill, opens: Sequence[Waiting], settles: Sequence[Waiting], asks: Sequence[Asking]) -> None:
        """The database takes nothing: on this machine's disk instead, from where it goes there once it is back (spill.py)."""
        begin = spill.takes_new
        keeps = [kept for _, _, keep in settles for kept in keep]
        rows = [row for row, _, _ in opens] if begin else []
        done = not (rows or settles) or await spill.put(rows, [row for row, _, _ in settles], keeps)
        refusal = GatewayError(Kind.INTERNAL, UNRECORDED.format("the database is away"))
        for row, future, _ in settles:
            _tell(future, None if done else refusal)
            if not done:
                self.unsettled.append(row)
        begun = done and begin
        for _, future, _ in opens:
            _tell(future, None if begun else refusal)
        for ask, asking in asks:
            if asking.done():
                continue
            if not begun:
                _refuse(asking, refusal)
            elif any(claim.amount is not None for claim in ask.claims):
                _refuse(asking, GatewayError(Kind.INTERNAL, UNKNOWN_BUDGET))
            else:
                asking.set_result(Granted(None))

    async def _one_by_one(self, opens: Sequence[Waiting], settles: Sequence[Waiting], asks: Sequence[Asking], error: GatewayError) -> None:
        """Either the database is out of order, or a single row cannot be stored; that one must not hold up all others."""
        queue = [*((True, *waiting) for waiting in opens), *((False, *waiting) for waiting in reversed(settles))]
        stored = 0
        refused: list[tuple[bool, Row, asyncio.Future[None] | None, bool]] = []
        """The last: whether it is the row that the database does not take, and not just any."""
        for is_open, row, future, keep in queue:
            given_up = not stored and len(refused) >= PROBES
            # Alone and with nothing to keep, it has been refused already.
            known = len(queue) == 1 and not keep and not asks
            why = error if known or given_up else await self._alone(is_open, row)
            if why is not None:
                refused.append((is_open, row, future, not isinstance(why, DatabaseError)))
                continue
            stored += 1
            await self._keep(keep)
            _tell(future)
        for is_open, row, future, is_its_own in refused:
            _tell(future, error)
            if is_open:
                continue
            if not stored or not is_its_own:
                self.unsettled.append(row)
            elif await self._alone(False, {name: row[name] for name in BARE if name in row}) is None:
                log.error("request %s was settled without its figures: the database does not take them", row.get("id"))
        unopened = {row["id"] for is_open, row, _, _ in refused if is_open}
        for ask, asking in asks:
            if asking.done():
                continue
            found = error if not stored or ask.request_id in unopened else await self._try(([], [], [(ask, asking)]))
            if isinstance(found, GatewayError):
                _refuse(asking, found)
            else:
                asking.set_result(found[0])

    async def _alone(self, is_open: bool, row: Row) -> Exception | None:
        """Why it could not be written."""
        try:
            await self._write([row] if is_open else [], [] if is_open else [row], [], [])
        except Exception as error:  # noqa: BLE001 — as above
            log.error("request %s could not be written: %s", row.get("id"), error)
            return error
        return None

    async def _keep(self, rows: Sequence[Row]) -> None:
        """Rows to keep of a settlement that is durable by now: those that can be stored."""
        for row in rows:
            try:
                await self._write([], [], [row], [])
            except Exception as error:  # noqa: BLE001 — as above
                log.error("a %s that was to be kept could not be: %s", row.get("kind"), error)

    async def _try(self, batch: Batch, answer: Awaitable[Sequence[Verdict]] | None = None) -> Sequence[Verdict] | GatewayError:
        reason: Exception | None = None
        for pause in (*RETRIES, None):
            try:
                return await (answer or self._written(batch))
            except Exception as error:  # noqa: BLE001 — whatever the database raises, the writer must live on
                reason = error
                log.error("the ledger could not be written: %s", error)
            answer = None
            # An absence is often over at once. One that took its time to show is not tried twice: all requests wait here.
            away = isinstance(reason, Silent) or (isinstance(reason, Away) and pause != RETRIES[0])
            if away and self._spill is not None and self._spill.wanted:
                break
            if pause is not None:
                await asyncio.sleep(pause)
        failure = GatewayError(Kind.INTERNAL, UNRECORDED.format(type(reason).__name__))
        failure.__cause__ = reason
        return failure


def _tell(future: asyncio.Future[None] | None, error: GatewayError | None = None) -> None:
    if future is None or future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        _refuse(future, error)


def _refuse(future: asyncio.Future[Any], error: GatewayError) -> None:
    future.set_exception(error)
    future.exception()  # nobody may await it (the client left), which is nothing to be warned of: it is logged
