"""What a worker process and its supervisor say to each other, and how long the supervisor waits before it starts a dead one again.

One socket pair for each worker. It speaks lines of JSON; a question is answered before the next one. Sockets travel beside an answer
(SCM_RIGHTS, unix(7)). The worker notices the supervisor's end by a pipe that nobody ever writes into.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from typing import Any

from omni_connector.listeners import Address

Json = dict[str, Any]

SUPPORTED = sys.platform != "win32"
"""Processes that share listening sockets need fork."""
RETIRE = getattr(signal, "SIGUSR1", signal.SIGTERM)
"""To a worker: another one has taken over, accept nobody any more, finish what runs."""
LEAVE = getattr(signal, "SIGUSR2", signal.SIGTERM)
"""To a worker: go as soon as nothing runs; the next release waits."""

ALIVE_S = 5.0
SILENT_S = 60.0
"""A worker whose event loop says nothing for so long hangs: it is killed and started again."""
ANSWER_S = 10.0
MAX_LINE = 1 << 16

# Pauses (s) before a worker that ended quickly is started again, the first time and each time after; the last one stays.
PAUSES = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 5.0)
STEADY_S = 10.0
"""A worker that lived so long had a reason of its own to end."""


class BackOff:
    """Counts quick ends. `pause` is what to wait now; `is_hopeless` once all pauses are used up."""

    def __init__(self) -> None:
        self._quick = 0

    def ended(self, lived_s: float) -> float:
        """Seconds until the next start."""
        self._quick = 1 if lived_s >= STEADY_S else self._quick + 1
        return PAUSES[min(self._quick, len(PAUSES)) - 1]

    @property
    def is_hopeless(self) -> bool:
        return self._quick > len(PAUSES)


class Channel:
    """The worker's end. It is also its `Opener`: listening sockets are the supervisor's."""

    def __init__(self, line: socket.socket, lifeline: int, number: int) -> None:
        self._line = line
        self._lock = threading.Lock()
        self.lifeline = lifeline
        """Readable when the supervisor has ended."""
        self.number = number
        """Which of the workers this is, from 0."""
        line.settimeout(ANSWER_S)

    def take(self, address: Address) -> socket.socket:
        answer, handles = self._ask({"do": "take", "host": address[0], "port": address[1]})
        if not handles:
            raise OSError(int(answer.get("errno") or 0), str(answer.get("error") or "the supervisor gave no socket"))
        found = socket.socket(fileno=handles[0])
        found.setblocking(False)
        return found

    def keep_only(self, addresses: Iterable[Address]) -> None:
        self._ask({"do": "keep", "addresses": [list(address) for address in addresses]})

    def serves(self, note: Json, grace_s: float) -> None:
        """We serve, at the addresses of the note (`listeners.told`)."""
        self._ask({"do": "serves", "note": note, "grace_s": grace_s})

    def crew(self) -> Json:
        """{"pid", "started_at", "workers": [{"pid", "state", "started_at", "restarts"}]}."""
        return self._ask({"do": "crew"})[0]

    def alive(self) -> None:
        """From the event loop: never waits."""
        with contextlib.suppress(OSError):
            self._line.send(b'{"do":"alive"}\n', getattr(socket, "MSG_DONTWAIT", 0))

    def _ask(self, question: Json) -> tuple[Json, list[int]]:
        """Raises OSError when the supervisor is gone."""
        with self._lock:
            self._line.sendall(json.dumps(question).encode() + b"\n")
            told, handles = b"", []
            while not told.endswith(b"\n"):
                piece, more, _, _ = socket.recv_fds(self._line, MAX_LINE, 1)
                handles += more
                if not piece:
                    raise OSError(0, "the supervisor has ended")
                told += piece
        for handle in handles:
            os.set_inheritable(handle, False)
        answer: Json = json.loads(told)
        return answer, handles


def answer(line: socket.socket, said: Json, handle: socket.socket | None = None) -> None:
    """The supervisor's side of `Channel._ask`. A worker that has just died gets none."""
    with contextlib.suppress(OSError):
        socket.send_fds(line, [json.dumps(said).encode() + b"\n"], [handle.fileno()] if handle is not None else [])


def has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False


def terminal_is_gone(had_one: bool) -> bool:
    """SIGHUP means two things: read everything anew, or the terminal was closed."""
    if not had_one:
        return False
    try:
        os.tcgetpgrp(0)
    except OSError:
        return True
    return False
