"""Deadlines, for requests that have no others behind them and for those that have. (The fault cases: test_relay_deadlines.py.)"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from omni_connector import waiting
from omni_connector.errors import GatewayError, Kind
from omni_connector.underway import Deadlines, Job
from tests.relaying import Client, Exchange
from tests.serving import Answer

LIMITS = Deadlines(total=100, whole=10, idle=0.05, first_byte=0.05, keepalive=0.01)


def job(began: float = 0.0, *, others: bool = False) -> Job:
    now = time.monotonic()
    call: Any = type("Said", (), {"wire": "openai-chat"})
    return Job(call, Client(started=True), None, now - began, attempt_began=now, others=others)  # type: ignore[arg-type]


def test_only_where_somebody_else_could_answer_is_a_whole_answer_given_up_early() -> None:
    assert 99 < waiting.left_whole(job(), LIMITS) <= 100 and 9 < waiting.left_whole(job(others=True), LIMITS) <= 10
    assert waiting.left(job(began=500), LIMITS) == waiting.LEAST_S


async def test_silence_is_bridged_for_the_client_and_then_ends() -> None:
    request = job()
    with pytest.raises(GatewayError) as caught:
        await waiting.next_piece(request, Exchange(Answer(hang=True)), LIMITS)  # type: ignore[arg-type]
    assert caught.value.kind is Kind.UPSTREAM_TIMEOUT and "fell silent" in caught.value.message
    assert isinstance(request.sink, Client) and request.sink.body.count(b":") >= 2
    assert await waiting.next_piece(job(), Exchange(Answer(pieces=[b"x"])), LIMITS) == b"x"  # type: ignore[arg-type]


async def test_a_beginning_that_does_not_come() -> None:
    for wait in (waiting.beginning, waiting.body):
        with pytest.raises(GatewayError) as caught:
            async with asyncio.timeout(2):
                await wait(job(began=100), Exchange(Answer(hang=True)), LIMITS)  # type: ignore[arg-type]
        assert caught.value.kind is Kind.UPSTREAM_TIMEOUT
