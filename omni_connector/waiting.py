"""Waiting for a provider, no longer than the deadlines of a request say."""

from __future__ import annotations

import asyncio
import time

from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import Gathered, Raw
from omni_connector.underway import Deadlines, Job
from omni_connector.upstream import Exchange, read_all
from omni_connector.wire import dialect

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
        async with asyncio.timeout(left_whole(job, limits)):
            return await read_all(exchange, idle=limits.idle)
    except TimeoutError as error:
        raise GatewayError(Kind.UPSTREAM_TIMEOUT, "The provider did not finish its answer in time.") from error


async def next_piece(job: Job, exchange: Exchange, limits: Deadlines) -> bytes:
    """The next bytes; keeps the client's line open while the provider is silent, until it is silent for too long."""
    keepalive: bytes = b"" if isinstance(job.lane, Gathered | Raw) else dialect(job.call.wire).KEEPALIVE
    beat = limits.keepalive if keepalive else limits.idle
    silent = 0.0
    while True:
        wait = min(beat, limits.idle - silent, left(job, limits))
        try:
            async with asyncio.timeout(wait):
                return await exchange.read()
        except TimeoutError as error:
            silent += wait
            if left(job, limits) <= LEAST_S:
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The answer took longer than {limits.total:.0f} s.") from error
            if silent >= limits.idle:
                raise GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider fell silent for {limits.idle:.0f} s.") from error
            await job.sink.write(keepalive)
