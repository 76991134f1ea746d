"""One thread that does what an event loop gives it, one after the other, and calls back into the loop: a future, a lock and looks at other
threads come with every call of `run_in_executor`, which cost more than what is done here.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

Then = Callable[[Any, BaseException | None], object]
"""Called with what the work returned, or None and what it raised."""
Given = tuple[Callable[[], Any], Then]


class OneThread:
    """To be made in the loop that it works for. Whoever leaves one open keeps its thread, but not the process."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._given: SimpleQueue[Given | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any], then: Then) -> None:
        """`then` is called in the loop, in the order of the work. Raises RuntimeError after `close`."""
        if self._closed:
            raise RuntimeError("this thread is closed")
        self._given.put((work, then))

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

    def _one(self, work: Callable[[], Any], then: Then) -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - whoever waits for it hears of it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(then, result, error)
        del then, error  # it leads to this frame: no ring is to wait for the collector
