"""A running server gives its place to the release that `current` names: on SIGUSR2, without a connection refused.

The successor is started beside it with the same listening sockets and loads all its code; only then, and when no request runs, does
the old one close its books and say "go". What connects in that moment waits in the kernel's queue. A successor that cannot be loaded, or
ends before it serves, changes nothing: the old one goes on. Afterwards the old process leaves when a service manager knows the successor
by then (systemd's MAINPID), and else becomes a tiny shell that ends when the server ends, for whoever watches that process: a terminal,
a container, launchd.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from omni_connector.root import ROOT

SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR2", None)
"""None on Windows, where sockets cannot be handed over so."""
LISTENERS, TURN = "OMNI_LISTEN_FDS", "OMNI_HANDOVER_FDS"
"""Variables of a successor: numbers of the listening sockets; numbers of the pipe it hears "go" from and of the one it speaks into."""
LOADED, GO, SERVING = b"l", b"g", b"s"
LOAD_S, SERVE_S = 120.0, 600.0
"""For loading the code; for opening the books, a migration included."""
GRACE_S = 1.0
"""For requests that still run when nothing was quiet for the whole of drain_s."""

FAILED = "handover.failed"
"""File of the home that says why a successor did not take over, for who asked for it."""

# $1: the home, $2: the server. `wait` and not `sleep` alone, so that a signal is passed on at once.
GUARDIAN = """now=$2
trap 'kill -TERM "$now" 2>/dev/null' TERM INT HUP
trap 'kill -USR2 "$now" 2>/dev/null' USR2
while kill -0 "$now" 2>/dev/null; do
  sleep 1 & wait "$!"
  next=$(sed -n 's/.*"pid": *\\([0-9][0-9]*\\).*/\\1/p' "$1/server.json" 2>/dev/null)
  [ -z "$next" ] || [ "$next" = "$$" ] || now=$next
done"""


def command(argv: Sequence[str], original: Sequence[str], home: Path, root: Path = ROOT) -> list[str]:
    """Who is to come: the launcher of `current` when we are an installed release, else the same command again."""
    launcher = home / "current" / "bin" / "omni-connector"
    if root.parent == (home / "releases").resolve() and launcher.exists():
        return [str(launcher), *argv[1:]]
    return list(original)


class Successor:
    """A process that is loaded and waits for its turn. Its methods block: call them in a thread while something is served."""

    def __init__(self, process: subprocess.Popen[bytes], hear: int, speak: int) -> None:
        self.process = process
        self._hear = hear
        self._speak = speak

    @classmethod
    def begin(cls, argv: Sequence[str], listeners: Sequence[socket.socket]) -> Successor:
        """Raises OSError."""
        hear, their_voice = os.pipe()
        their_ear, speak = os.pipe()
        numbers = [listener.fileno() for listener in listeners]
        given = {**os.environ, LISTENERS: ",".join(map(str, numbers)), TURN: f"{their_ear},{their_voice}"}
        given.pop("WATCHDOG_PID", None)  # it will be the process that is watched
        try:
            process = subprocess.Popen(list(argv), env=given, pass_fds=(*numbers, their_ear, their_voice))  # noqa: S603
        except OSError:
            os.close(hear)
            os.close(speak)
            raise
        finally:
            os.close(their_ear)
            os.close(their_voice)
        return cls(process, hear, speak)

    def fileno(self) -> int:
        """Readable when it has something to say, or has ended."""
        return self._hear

    def is_loaded(self, within: float = LOAD_S) -> bool:
        return self._hears(LOADED, within)

    def takes_over(self, within: float = SERVE_S) -> bool:
        """Says "go"; True once it serves."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._speak, GO)
        return self._hears(SERVING, within)

    def _hears(self, word: bytes, within: float) -> bool:
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            if select.select([self._hear], [], [], left)[0]:
                return os.read(self._hear, 1) == word  # nothing to read: it has ended
        return False

    def give_up(self) -> None:
        """Ends it, and waits for that."""
        self.process.kill()
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """It lives on, and is none of our business any more."""
        self.process.returncode = 0
        os.close(self._hear)
        os.close(self._speak)


class Turn:
    """The successor's side. Without TURN in the environment it is everybody's turn at once."""

    def __init__(self, env: Mapping[str, str]) -> None:
        hear, _, speak = env.get(TURN, "").partition(",")
        self._hear = int(hear) if hear.isdecimal() and speak.isdecimal() else -1
        self._speak = int(speak) if self._hear >= 0 else -1

    @property
    def is_awaited(self) -> bool:
        """Whether somebody goes before us, so that there is time to load what is needed later."""
        return self._hear >= 0

    def comes(self) -> bool:
        """Says that all is loaded, and waits. False when whoever goes before us has ended, or does not want us any more."""
        if self._hear < 0:
            return True
        for number in (self._hear, self._speak):
            os.set_inheritable(number, False)
        self._say(LOADED)
        heard = os.read(self._hear, 1) == GO
        os.close(self._hear)
        return heard

    def is_taken(self) -> None:
        """We serve."""
        if self._speak >= 0:
            self._say(SERVING)
            os.close(self._speak)
            self._speak = -1

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._speak, word)


def goes_on(home: Path, why: str) -> str:
    """Notes that a successor did not take over. Returns the words for the log."""
    words = f"The release that was to take over {why}; {ROOT.name} goes on."
    with contextlib.suppress(OSError):
        (home / FAILED).write_text(words, "utf-8")
    return words


def inherited(env: Mapping[str, str], host: str, port: int) -> socket.socket | None:
    """The listening socket that was handed to us for this address; port 0 takes any port of the host. None: open one."""
    for number in env.get(LISTENERS, "").split(","):
        if not number.isdecimal():
            continue
        try:
            found = socket.socket(fileno=int(number))
        except OSError:
            continue
        if _is_for(found, host, port):
            found.set_inheritable(False)
            found.setblocking(False)
            return found
        found.detach()
    return None


def _is_for(found: socket.socket, host: str, port: int) -> bool:
    try:
        name = found.getsockname()
        if found.family not in (socket.AF_INET, socket.AF_INET6) or not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        wanted = {entry[4][0] for entry in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)}
    except OSError:
        return False
    return name[0] in wanted and port in (0, name[1])


def is_watched(env: Mapping[str, str], parent: int, platform: str = sys.platform) -> bool:
    """Whether somebody may wait for this very process: not when systemd knows the successor, nor when nobody is left."""
    if env.get("NOTIFY_SOCKET"):
        return False
    return parent != 1 or platform != "linux" or os.getpid() == 1


def guard(home: Path, server: int) -> NoReturn:
    """Becomes the shell that stands for the server with that process number."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv("/bin/sh", ["/bin/sh", "-c", GUARDIAN, "omni-connector", str(home), str(server)])  # noqa: S606
