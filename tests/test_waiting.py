"""Deadlines, for requests that have no others behind them and for those that have. (The fault cases: test_relay_deadlines.py.)"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from omni_connector import waiting
from omni_connector.direct import Answer as Answered
from omni_connector.errors import GatewayError, Kind
from omni_connector.underway import Deadlines, Job
from tests.relaying import Client, Exchange
from tests.serving import Answer

SOURCE: Any = None
LIMITS = Deadlines(total=100, whole=10, idle=0.05, first_byte=0.05, keepalive=0.01)


def job(began: float = 0.0, *, others: bool = False) -> Job:
    now = time.monotonic()
    call: Any = type("Said", (), {"wire": "openai-chat"})
    return Job(call, Client(started=True), None, now - began, attempt_began=now, others=others)  # type: ignore[arg-type]


class Clock:
    """A loop's, that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.next: tuple[float, Any] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, look: Any) -> Any:
        self.next = when, look
        return type("Timer", (), {"cancel": lambda _: None})()

    async def to(self, when: float) -> None:
        """Whatever is due until then happens."""
        while self.next is not None and self.next[0] <= 1000 + when:
            (self.now, look), self.next = self.next, None
            look()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self.now = 1000 + when


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
            async with asyncio.timeout(30):
                await wait(job(began=100), Exchange(Answer(hang=True)), LIMITS)  # type: ignore[arg-type]
        assert caught.value.kind is Kind.UPSTREAM_TIMEOUT


async def test_one_timer_for_all_pieces_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not moved with every piece, and still strikes when the last silence is too long."""
    loop = asyncio.get_running_loop()
    ends: list[float] = []
    call_at = loop.call_at

    def noted(when: float, *rest: Any, **more: Any) -> asyncio.TimerHandle:
        ends.append(when)
        return call_at(when, *rest, **more)

    monkeypatch.setattr(loop, "call_at", noted)
    request = job()
    exchange = Exchange(Answer(pieces=[b"x"] * 500, hang=True))
    with waiting.Pieces(request, exchange, LIMITS) as pieces:  # type: ignore[arg-type]
        assert [await pieces.next() for _ in range(500)] == [b"x"] * 500
        assert len(ends) == 1
        with pytest.raises(GatewayError, match="fell silent"):
            await pieces.next()
    assert ends == sorted(ends), "never before the end of the last silence"


async def test_a_client_that_takes_its_time_is_not_the_silence_of_a_provider() -> None:
    with waiting.Pieces(job(), Exchange(Answer(pieces=[b"x", b"y"])), LIMITS) as pieces:  # type: ignore[arg-type]
        assert await pieces.next() == b"x"
        await asyncio.sleep(LIMITS.idle * 2)
        assert await pieces.next() == b"y"
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


@pytest.mark.parametrize("when", ["alone", "behind the timer", "ahead of the timer"])
async def test_a_cancellation_stays_one(when: str) -> None:
    pieces: waiting.Pieces | None = None

    async def read() -> bytes:
        nonlocal pieces
        with waiting.Pieces(job(), Exchange(Answer(hang=True)), LIMITS) as pieces:  # type: ignore[arg-type]
            return await pieces.next()

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    assert pieces is not None
    if when == "ahead of the timer":
        task.cancel()
    if when != "alone":
        pieces._due = 0
        pieces._look()
    if when != "ahead of the timer":
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_silence_leaves_no_trace_of_a_cancellation() -> None:
    limits = Deadlines(total=100, idle=10, keepalive=0.01)
    request = job()
    with waiting.Pieces(request, Exchange(Answer(pieces=[0.05, b"x"])), limits) as pieces:  # type: ignore[arg-type]
        assert await pieces.next() == b"x"
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0
    assert isinstance(request.sink, Client) and request.sink.body.count(b":") >= 2


@pytest.fixture
async def answer() -> Answered:
    answer = Answered(SOURCE, "h", asyncio.get_running_loop())
    answer.begin(200, {})
    return answer


async def followed(request: Job, answer: Answered, limits: Deadlines, clock: Clock, taken: list[bytes]) -> bool:
    def take(piece: bytes) -> bool:
        taken.append(piece)
        return True

    with waiting.Pieces(request, answer, limits) as pieces:
        pieces._loop, pieces._ends = clock, clock.now + limits.total  # type: ignore[assignment]
        return await pieces.pass_on(take)


def come(answer: Answered) -> None:
    answer.add(b"x")
    answer.wake()


async def test_silence_begins_anew_with_every_piece_that_is_passed_on(answer: Answered) -> None:
    """The line is kept open while nothing comes; what was taken is the end of a silence."""
    request, clock, taken = job(), Clock(), list[bytes]()
    task = asyncio.create_task(followed(request, answer, Deadlines(total=10_000, idle=40, keepalive=15), clock, taken))
    await asyncio.sleep(0)
    for when in (10, 20, 30):
        await clock.to(when)
        come(answer)
    assert taken == [b"x"] * 3 and isinstance(request.sink, Client)
    for when, beats in ((44.9, 0), (45, 1), (59.9, 1), (69.9, 2)):
        await clock.to(when)
        assert request.sink.body.count(b":") == beats
    assert not task.done()
    await clock.to(70)
    with pytest.raises(GatewayError, match="fell silent for 40 s"):
        await task


async def test_a_piece_that_comes_in_the_turn_in_which_the_silence_was_too_long_ends_it(answer: Answered) -> None:
    """What was taken counts as sent: an error now would tear a hole into what goes on elsewhere."""
    request, clock, taken = job(), Clock(), list[bytes]()
    task = asyncio.create_task(followed(request, answer, Deadlines(total=10_000, idle=40, keepalive=60), clock, taken))
    await asyncio.sleep(0)
    assert clock.next is not None
    (clock.now, look), clock.next = clock.next, None
    look()
    come(answer)
    for _ in range(3):
        await asyncio.sleep(0)
    await clock.to(79.9)
    assert taken == [b"x"] and not task.done()
    await clock.to(80)
    with pytest.raises(GatewayError, match="fell silent for 40 s"):
        await task


async def test_pieces_that_keep_coming_do_not_move_the_end_of_the_request(answer: Answered) -> None:
    request, clock, taken = job(), Clock(), list[bytes]()
    task = asyncio.create_task(followed(request, answer, Deadlines(total=20), clock, taken))
    await asyncio.sleep(0)
    for when in range(1, 20):
        await clock.to(when)
        come(answer)
    request.began -= 20
    await clock.to(20)
    with pytest.raises(GatewayError, match="took longer than 20 s"):
        await task
    assert len(taken) == 19
