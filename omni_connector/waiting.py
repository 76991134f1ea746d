"""Waiting for a provider, no longer than the deadlines of a request say."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar

from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import Gathered, Raw
from omni_connector.underway import Deadlines, Job
from omni_connector.upstream import Exchange, is_here, pass_on, read_all
from omni_connector.wire import dialect
from omni_connector.within import Within

T = TypeVar("T")

LEAST_S = 0.01
"""A deadline that is over: still enough for what is there already."""


def left(job: Job, limits: Deadlines) -> float:
    """Seconds until the request's own end."""
    return max(LEAST_S, job.began + limits.total - time.monotonic())


def left_whole(job: Job, limits: Deadlines) -> float:
    """Seconds left for an answer that comes in one piece. A model that thinks looks like one that is dead, so only where
    somebody else could answer is it given up before the request's own end."""
    if not job.others:
        return left(job, limits)
    return max(LEAST_S, min(left(job, limits), job.attempt_began + limits.whole - time.monotonic()))


async def beginning(job: Job, exchange: Exchange, limits: Deadlines) -> bytes:
    """The first bytes of a stream. Raises GatewayError (UPSTREAM_TIMEOUT), as all of these do."""
    try:
        async with asyncio.timeout(min(limits.first_byte, left(job, limits))):
            return await exchange.read()
    except TimeoutError as error:
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not begin its answer in time.") from error


async def body(job: Job, exchange: Exchange, limits: Deadlines) -> bytes:
    """A whole answer."""
    if is_here(exchange):
        return await read_all(exchange)
    try:
        with Within(left_whole(job, limits), job.task):
            return await read_all(exchange, idle=limits.idle, task=job.task)
    except TimeoutError as error:
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not finish its answer in time.") from error


class Pieces:
    """`with Pieces(…) as pieces: await pieces.next()` — the bytes of a stream, to be entered in the task that reads them.

    One timer watches all of them. It is not moved with every piece: it looks when its time has come whether the silence is that long, and
    then interrupts the reading as `asyncio.timeout` would. A cancellation from elsewhere stays one, also when both come together.
    """

    __slots__ = (
        "_at",
        "_beat",
        "_cancelling",
        "_due",
        "_ends",
        "_exchange",
        "_is_waiting",
        "_job",
        "_keepalive",
        "_limits",
        "_loop",
        "_pause",
        "_silent",
        "_struck",
        "_take",
        "_task",
        "_timer",
    )

    def __init__(self, job: Job, exchange: Exchange, limits: Deadlines) -> None:
        self._job = job
        self._exchange = exchange
        self._limits = limits
        self._keepalive: bytes = b"" if isinstance(job.lane, Gathered | Raw) else dialect(job.call.wire).KEEPALIVE
        self._beat = min(limits.keepalive, limits.idle) if self._keepalive else limits.idle
        self._loop = loop = asyncio.get_running_loop()
        task = job.task or asyncio.current_task(loop)
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self._is_waiting = self._struck = False
        self._timer: asyncio.TimerHandle | None = None
        self._take: Callable[[bytes], bool] = bool
        self._at = self._due = 0.0
        """In the loop's time: when the timer looks next, and when the silence is too long."""
        self._ends = loop.time() + left(job, limits)
        """Of the request."""
        self._pause = self._silent = 0.0
        """Seconds: after which the client is to get a sign of life, and for which the provider had said nothing before that."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._struck:
            self._task.uncancel()

    async def next(self) -> bytes:
        """The next bytes, b"" at the end; keeps the client's line open while the provider is silent, until it is silent for too long."""
        return await self._within(self._exchange.read)

    async def pass_on(self, take: Callable[[bytes], bool]) -> bool:
        """As `upstream.pass_on`, while the client's line is kept open in the same way. What `take` could not get rid of may be kept for
        the time after it: between two pieces of a stream there is a place for a sign of life."""
        self._take = take
        return await self._within(self._passing)

    def _passing(self) -> Coroutine[Any, Any, bool]:
        return pass_on(self._exchange, self._heard)

    def _heard(self, piece: bytes) -> bool:
        """The silence begins anew with every piece, also where the timer has just held it to be too long."""
        self._due = min(self._loop.time() + self._beat, self._ends)
        self._pause, self._silent = 0.0 if self._struck else self._beat, 0.0
        return self._take(piece)

    async def _within(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        job, limits = self._job, self._limits
        self._silent = 0.0
        while True:
            self._pause = min(self._beat, limits.idle - self._silent, left(job, limits))
            self._watch(self._pause)
            try:
                return await read()
            except (TimeoutError, asyncio.CancelledError) as error:
                # Not kept under another name: it leads to this frame, and the two would hold the whole request.
                if isinstance(error, asyncio.CancelledError) and not self._is_ours():
                    raise
                self._silent += self._pause
                if left(job, limits) <= LEAST_S:
                    raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The answer took longer than {limits.total:.0f} s.") from error
                if self._silent >= limits.idle:
                    raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider fell silent for {limits.idle:.0f} s.") from error
            finally:
                self._is_waiting = False
            await job.sink.write(self._keepalive)

    def _watch(self, wait: float) -> None:
        self._is_waiting = True
        self._due = due = self._loop.time() + wait
        if self._timer is not None:
            if self._at <= due:
                return
            self._timer.cancel()
        self._at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._is_waiting:
            return  # the client's side is waited for, or nobody
        if self._loop.time() < self._due:
            self._at = self._due
            self._timer = self._loop.call_at(self._due, self._look)
            return
        self._struck = True
        self._task.cancel()

    def _is_ours(self) -> bool:
        """Whether it was the timer that interrupted, and nobody else wants the task to end."""
        struck, self._struck = self._struck, False
        return struck and self._task.uncancel() <= self._cancelling


async def next_piece(job: Job, exchange: Exchange, limits: Deadlines) -> bytes:
    """The same for who reads but once."""
    with Pieces(job, exchange, limits) as pieces:
        return await pieces.next()
