"""A thread that works for a loop: in order, tells of errors, finished before it is closed."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from omni_connector.one_thread import OneThread


@pytest.fixture
async def thread() -> AsyncIterator[OneThread]:
    one = OneThread("worker")
    yield one
    one.close()


def told(thread: OneThread, work: Callable[[], Any]) -> asyncio.Future[tuple[Any, BaseException | None, str]]:
    """What it says of the work, and the thread in which it says so."""
    said: asyncio.Future[tuple[Any, BaseException | None, str]] = asyncio.get_running_loop().create_future()
    thread.do(work, lambda result, error: said.set_result((result, error, threading.current_thread().name)))
    return said


async def test_it_does_one_thing_after_the_other_in_a_thread_of_its_own_and_says_so_in_the_loop(thread: OneThread) -> None:
    done: list[int] = []
    said = await asyncio.gather(*(told(thread, partial(_note, done, at)) for at in range(50)))
    assert done == list(range(50)) and set(said) == {("worker", None, threading.current_thread().name)}


def _note(done: list[int], at: int) -> str:
    done.append(at)
    return threading.current_thread().name


async def test_what_was_raised_is_said_and_the_next_is_done(thread: OneThread) -> None:
    for work, kind in ((_full, OSError), (sys.exit, SystemExit)):
        result, error, _ = await told(thread, work)
        assert result is None and isinstance(error, kind)
    assert (await told(thread, lambda: 7))[:2] == (7, None)


async def test_an_error_leaves_no_ring_for_the_collector(thread: OneThread) -> None:
    gc.collect()
    gc.disable()
    try:
        said = await told(thread, _full)
        assert said[1] is not None
        seen = weakref.ref(said[1])
        del said
        await told(thread, lambda: None)
        assert seen() is None
    finally:
        gc.enable()


class _Full(OSError):
    """One that can be referred to weakly."""


def _full() -> None:
    raise _Full("full")


async def test_closed_it_has_done_all_and_takes_nothing_more() -> None:
    thread, done = OneThread("worker"), list[int]()
    waiting = [told(thread, partial(done.append, at)) for at in range(20)]
    thread.close()
    assert done == list(range(20))
    await asyncio.gather(*waiting)
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.do(lambda: None, print)


def test_a_loop_that_is_closed_meanwhile_is_not_missed() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[int]()

    def slow() -> None:
        begun.set()
        go_on.wait()
        done.append(1)

    async def leave() -> OneThread:
        thread = OneThread("worker")
        thread.do(slow, print)
        await asyncio.to_thread(begun.wait)
        return thread

    thread = asyncio.run(leave())
    go_on.set()
    thread.close()
    assert done == [1]
