"""A request walked step by step: something happens at every single place where it waits.

`Stepping` awaits a coroutine as the loop itself would and counts the places. `cancel_at` cancels the task at one of them; the
kill tests (tests/crashing.py) end the whole process there. Nothing in the product knows of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from omni_connector.relay import LEFT

T = TypeVar("T")

Place = Callable[[int, Any], None]
"""(number of the place, beginning with 0; the future that is waited for, None for a mere turn of the loop)."""


def nothing(place: int, future: Any) -> None:
    """Nothing happens there."""


class Stepping(Generic[T]):
    """Awaits `work` and gives what it gives. `waiting` is called when it begins to wait, before anybody else runs; `resumed` when what it
    waited for is done and the work has not heard of it yet. `places`: how many there were so far."""

    def __init__(self, work: Coroutine[Any, Any, T], *, waiting: Place = nothing, resumed: Place = nothing) -> None:
        self._work = work
        self._waiting = waiting
        self._resumed = resumed
        self.places = 0

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._work.__await__()
        try:
            future = inner.send(None)
            while True:
                place = self.places
                self.places += 1
                self._waiting(place, future)
                try:
                    yield future
                except BaseException as error:
                    self._resumed(place, future)
                    future = inner.throw(error)
                else:
                    self._resumed(place, future)
                    future = inner.send(None)
        except StopIteration as done:
            result: T = done.value
            return result


class CancelAt:
    """Awaits `work`, and cancels the running task at the place `step`. `reached`: there was such a place.

    `late`: what is waited for is done already, and the cancellation comes in the moment before the task hears of it: the
    result is lost on the way, the classic leak of connections and half-done work.
    """

    def __init__(self, work: Coroutine[Any, Any, None], step: int, *, late: bool, message: str = LEFT) -> None:
        self._stepping = Stepping(work, waiting=self._waiting)
        self._step = step
        self._late = late
        self._message = message
        self.reached = False

    def __await__(self) -> Generator[Any, Any, None]:
        return self._stepping.__await__()

    def _waiting(self, place: int, future: Any) -> None:
        if place != self._step:
            return
        self.reached = True
        task = asyncio.current_task()
        assert task is not None
        if not self._late or future is None:
            task.cancel(self._message)
            return
        future._asyncio_future_blocking = False
        future.add_done_callback(lambda _: task.cancel(self._message))
        future._asyncio_future_blocking = True


async def run(work: Awaitable[None]) -> None:
    """As a coroutine, which is what a task wants."""
    await work


async def moment() -> None:
    """A place to wait at whose future is done one turn of the loop later."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def over() -> None:
        if not future.done():
            future.set_result(None)

    loop.call_soon(over)
    await future
