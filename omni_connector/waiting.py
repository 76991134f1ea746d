"""Waiting for a provider, no longer than the deadlines of a request say."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import Gathered, Raw
from omni_connector.underway import Deadlines, Job
from omni_connector.upstream import Exchange, read_all
from omni_connector.wire import dialect
from omni_connector.within import Within

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
        "_exchange",
        "_is_waiting",
        "_job",
        "_keepalive",
        "_limits",
        "_loop",
        "_struck",
        "_task",
        "_timer",
    )

    def __init__(self, job: Job, exchange: Exchange, limits: Deadlines) -> None:
        self._job = job
        self._exchange = exchange
        self._limits = limits
        self._keepalive: bytes = b"" if isinstance(job.lane, Gathered | Raw) else dialect(job.call.wire).KEEPALIVE
        self._beat = limits.keepalive if self._keepalive else limits.idle
        self._loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        self._is_waiting = self._struck = False
        self._timer: asyncio.TimerHandle | None = None
        self._at = self._due = 0.0
        """In the loop's time: when the timer looks next, and when the silence is too long."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._struck:
            self._task.uncancel()

    async def next(self) -> bytes:
        """The next bytes; keeps the client's line open while the provider is silent, until it is silent for too long."""
        job, limits = self._job, self._limits
        silent = 0.0
        while True:
            wait = min(self._beat, limits.idle - silent, left(job, limits))
            self._watch(wait)
            try:
                return await self._exchange.read()
            except (TimeoutError, asyncio.CancelledError) as error:
                # Not kept under another name: it leads to this frame, and the two would hold the whole request.
                if isinstance(error, asyncio.CancelledError) and not self._is_ours():
                    raise
                silent += wait
                if left(job, limits) <= LEAST_S:
                    raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The answer took longer than {limits.total:.0f} s.") from error
                if silent >= limits.idle:
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
