"""A bound on waiting that costs little: what `asyncio.timeout` does, without a coroutine at its beginning and at its end.

Every request begins several of them, and nearly none ever strikes.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any


class Within:
    """`with Within(seconds): await …` — raises TimeoutError in place of what is awaited when it takes longer. To be entered in a task.

    None: it may take any time. `task`: the one that enters it, where it is known: finding it out costs a call of the system (Python 3.11
    looks with it whether it was forked). As with `asyncio.timeout`, a cancellation from elsewhere stays one, also when both come together.
    """

    __slots__ = ("_cancelling", "_end", "_loop", "_struck", "_task", "_timer")

    def __init__(self, seconds: float | None, task: asyncio.Task[Any] | None = None) -> None:
        if task is None:
            task = asyncio.current_task()
            assert task is not None
        self._task = task
        self._loop = loop = task.get_loop()
        self._cancelling = task.cancelling()
        self._struck = False
        self._end = 0.0
        self._timer = None if seconds is None else loop.call_later(max(0.0, seconds), self._strike)

    def __enter__(self) -> Within:
        return self

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    def until(self, when: float) -> None:
        """Another end, in the loop's time, which is not before the present one: the timer is moved only if it finds nothing to do."""
        self._end = when

    def _strike(self) -> None:
        if self._loop.time() < self._end:
            self._timer = self._loop.call_at(self._end, self._strike)
            return
        self._struck = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._struck and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            # Nobody else wants the task to end: it was this bound.
            raise TimeoutError from error
