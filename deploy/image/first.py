"""The first process of the container: starts `omni-connector ARGUMENTS`, hands signals on to it, and ends with its exit code.

Process 1 of a container is special twice over: signals without a handler do not reach it, and every orphan becomes its child. So a
server in its place could not be stopped while it starts, and the leftovers of programs that accounts run would stay as zombies.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-I", "-B", "-m", "omni_connector", *arguments]


def run(words: list[str]) -> int:
    """The exit code of the command; 128 and the signal's number when one ended it, as shells say it."""
    waited = {*HANDED_ON, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    child = os.posix_spawn(words[0], words, os.environ, setsigmask=())
    while True:
        came = signal.sigwait(waited)
        if came != signal.SIGCHLD:
            # From a terminal, Ctrl+C has reached the child already.
            if came != signal.SIGINT or not sys.stdin.isatty():
                os.kill(child, came)
            continue
        code = reap(child)
        if code is not None:
            return code if code >= 0 else 128 - code


def reap(child: int) -> int | None:
    """Takes leave of everyone who has ended; the exit code of `child` when it is among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = os.waitstatus_to_exitcode(status)


def main() -> None:
    words = command(sys.argv[1:])
    if os.getpid() != 1:
        os.execv(words[0], words)  # noqa: S606 - somebody else looks after orphans (--init, a shared process namespace)
    sys.exit(run(words))


if __name__ == "__main__":
    main()
