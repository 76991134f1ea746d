"""A running program and its group: what it says, and that nobody of it is left afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from omni_connector.secrets import scrub

LAST_WORDS = 4096
"""Bytes of standard error that are kept: an explanation stands at the end."""
HELD = 1 << 20
"""Bytes of output that wait for a slow client before the program has to wait, too."""
GRACE_S = 2.0
"""Between the request to end and the end."""
LONGEST_WORDS = 600


class Process(asyncio.SubprocessProtocol):
    """What a running program says, as far as it was not read yet."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self.written = 0
        self.heard = time.monotonic()
        self.open = True
        """Standard output may bring more."""
        self.exited_at: float | None = None
        self.changed = asyncio.Event()
        self._transport: Any = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.heard = time.monotonic()
        if fd == 2:
            self.errors = (self.errors + data)[-LAST_WORDS:]
            return
        self.output += data
        self.written += len(data)
        self._flow()
        self.changed.set()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.open = False
            self.changed.set()

    def process_exited(self) -> None:
        self.exited_at = time.monotonic()
        self.changed.set()

    def take(self) -> bytes:
        taken = bytes(self.output)
        self.output.clear()
        self._flow()
        return taken

    def _flow(self) -> None:
        """The program waits while nobody reads what it wrote."""
        full = len(self.output) >= HELD
        if full == self._paused or self._transport is None or not self.open:
            return
        self._paused = full
        pipe = self._transport.get_pipe_transport(1)
        (pipe.pause_reading if full else pipe.resume_reading)()


def _end_group(pid: int, how: signal.Signals) -> None:
    """To the whole group: a program's children must not outlive it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, how)
        else:
            os.killpg(pid, how)


def end_by_force(pid: int) -> None:
    """At once, and the whole group that `pid` leads."""
    _end_group(pid, signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)


def tell(transport: asyncio.SubprocessTransport, words: bytes) -> None:
    """All that it is told, on its standard input. A program that has ended, or closed it, hears nothing: its answer counts."""
    pipe: Any = transport.get_pipe_transport(0)
    if words and not pipe.is_closing():
        pipe.write(words)
    pipe.close()


async def finish(transport: asyncio.SubprocessTransport, process: Process) -> None:
    pid = transport.get_pid()
    try:
        if process.exited_at is None:
            _end_group(pid, signal.SIGTERM)
            await exited(process, GRACE_S)
    finally:
        # Also when this is cancelled once more, and when only children are left.
        end_by_force(pid)
        transport.close()
    await exited(process, GRACE_S)


async def exited(process: Process, within: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while process.exited_at is None:
                process.changed.clear()
                await process.changed.wait()


def hider(values: Iterable[str]) -> Callable[[str], str]:
    """Takes the values that a program is given out of its words. Longest first: one may be part of another."""
    ordered = sorted(values, key=len, reverse=True)

    def hide(words: str) -> str:
        for value in ordered:
            words = scrub(words, value)
        return words

    return hide


def quoted(errors: bytes | bytearray, hide: Callable[[str], str] = str) -> str:
    """The last lines of what it said, ready to follow a sentence."""
    said = hide(bytes(errors).decode("utf-8", "replace"))
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    said = " / ".join(lines[-4:])[-LONGEST_WORDS:]
    return f": {said}" if said else ""
