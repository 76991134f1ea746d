"""A thread that works for a loop: in order, told of errors, finished before it is closed."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from functools import partial

import pytest

from omni_connector.one_thread import OneThread


@pytest.fixture
async def thread() -> AsyncIterator[OneThread]:
    one = OneThread("worker")
    yield one
    one.close()


async def test_it_does_one_thing_after_the_other_in_a_thread_of_its_own(thread: OneThread) -> None:
    done: list[int] = []
    names = set(await asyncio.gather(*(thread.do(partial(_note, done, at)) for at in range(50))))
    assert done == list(range(50)) and names == {"worker"}


def _note(done: list[int], at: int) -> str:
    done.append(at)
    return threading.current_thread().name


async def test_who_waits_hears_what_was_raised_and_the_next_is_done(thread: OneThread) -> None:
    with pytest.raises(OSError, match="full"):
        await thread.do(_full)
    with pytest.raises(SystemExit):
        await thread.do(sys.exit)
    assert await thread.do(lambda: 7) == 7


async def test_an_error_leaves_no_ring_for_the_collector(thread: OneThread) -> None:
    gc.collect()
    gc.disable()
    try:
        waited = thread.do(_full)
        with contextlib.suppress(OSError):
            await waited
        seen = weakref.ref(waited)
        del waited
        await thread.do(lambda: None)
        assert seen() is None
    finally:
        gc.enable()


def _full() -> None:
    raise OSError("full")


async def test_who_leaves_stops_only_what_has_not_begun(thread: OneThread) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        begun.set()
        go_on.wait()
        done.append("begun")

    first, second, third = thread.do(slow), thread.do(lambda: done.append("never")), thread.do(lambda: done.append("next"))
    await asyncio.to_thread(begun.wait)
    first.cancel()
    second.cancel()
    go_on.set()
    await third
    assert done == ["begun", "next"] and first.cancelled()


async def test_closed_it_has_done_all_and_takes_nothing_more() -> None:
    thread, done = OneThread("worker"), list[int]()
    waiting = [thread.do(partial(done.append, at)) for at in range(20)]
    thread.close()
    assert done == list(range(20))
    await asyncio.gather(*waiting)
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.do(lambda: None)


def test_a_loop_that_is_closed_meanwhile_is_not_missed() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[int]()

    def slow() -> None:
        begun.set()
        go_on.wait()
        done.append(1)

    async def leave() -> OneThread:
        thread = OneThread("worker")
        thread.do(slow)
        await asyncio.to_thread(begun.wait)
        return thread

    thread = asyncio.run(leave())
    go_on.set()
    thread.close()
    assert done == [1]
