"""One thread that does what an event loop gives it, one after the other: what `run_in_executor` does, for half of what that costs. A future
of another kind, a lock of its own and looks at other threads come with every call of that."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

Given = tuple[asyncio.Future[Any], Callable[[], Any]]


class OneThread:
    """To be made in the loop that it works for. Whoever leaves one open keeps its thread, but not the process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._given: SimpleQueue[Given | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """What it returns, or raises. Who waits no longer (is cancelled) does not stop it, once it has begun. Raises RuntimeError after
        `close`."""
        if self._closed:
            raise RuntimeError("this thread is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._given.put((future, work))
        return future

    def close(self) -> None:
        """Returns when all that it was given is done. May be called twice."""
        if not self._closed:
            self._closed = True
            self._given.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (given := self._given.get()) is not None:
            self._one(*given)
            del given  # or it would be held until there is something else to do

    def _one(self, future: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        if future.cancelled():
            return
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - whoever waits for it hears of it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(_tell, future, result, error)
        del future, error  # the error leads to this frame: no ring is to wait for the collector


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
