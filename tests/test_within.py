"""`Within` does what `asyncio.timeout` does: whoever takes too long is ended, and a cancellation from elsewhere stays one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from omni_connector.within import Within


async def test_who_takes_too_long_is_ended_and_his_task_goes_on() -> None:
    task = asyncio.current_task()
    assert task is not None
    for known in (None, task):
        with pytest.raises(TimeoutError), Within(0.001, known):
            await asyncio.sleep(60)
        assert task.cancelling() == 0
    with pytest.raises(TimeoutError), Within(-1):
        await asyncio.sleep(60)
    await asyncio.sleep(0)


async def test_who_is_in_time_hears_nothing() -> None:
    with Within(0.001):
        pass
    with Within(60), Within(None):
        await asyncio.sleep(0.002)
    with pytest.raises(KeyError), Within(60):
        raise KeyError


async def test_the_end_can_be_moved() -> None:
    with Within(0.005) as bound:
        bound.until(bound.now + 0.03)
        await asyncio.sleep(0.012)
        bound.until(bound.now + 60)
        await asyncio.sleep(0.025)
    with pytest.raises(TimeoutError), Within(0.001) as bound:
        bound.until(bound.now + 0.01)
        await asyncio.sleep(60)


async def test_the_nearer_of_two_strikes() -> None:
    reached = []
    with pytest.raises(TimeoutError), Within(0.001):
        try:
            with Within(60):
                await asyncio.sleep(60)
        except TimeoutError:  # pragma: no cover - it was not this one
            reached.append("inner")
    with Within(60):
        with pytest.raises(TimeoutError), Within(0.001):
            await asyncio.sleep(60)
        reached.append("outer goes on")
    assert reached == ["outer goes on"]


def cancelled_by_others(bound: Callable[[], Any]) -> Any:
    async def run() -> str:
        async with bound():
            await asyncio.sleep(60)
        return "ended"

    return run()


class Sync:
    """`Within` where a test wants `asyncio.timeout`."""

    def __init__(self, seconds: float) -> None:
        self._bound: AbstractContextManager[Within] = Within(seconds)

    async def __aenter__(self) -> None:
        self._bound.__enter__()

    async def __aexit__(self, *told: Any) -> None:
        self._bound.__exit__(*told)


@pytest.mark.parametrize("bound", [asyncio.timeout, Sync], ids=["asyncio", "ours"])
@pytest.mark.parametrize("both", [False, True])
async def test_a_cancellation_from_elsewhere_stays_one(bound: Callable[[float], Any], both: bool) -> None:
    """Also when the time is over in the same moment."""
    task = asyncio.create_task(cancelled_by_others(lambda: bound(0.001 if both else 60)))
    await asyncio.sleep(0)
    if both:
        asyncio.get_running_loop().call_later(0.001, task.cancel, "client left")
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        task.cancel("client left")
        with pytest.raises(asyncio.CancelledError) as ended:
            await task
        assert ended.value.args == ("client left",)
    assert task.cancelled()
