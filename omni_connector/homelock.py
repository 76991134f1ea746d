"""Who has the home: any number of servers and commands, or one restore. A lock of the system's on `home`/home.lock, so it ends with its
holder, however that ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from omni_connector.errors import GatewayError, Kind

FILE = "home.lock"
WAIT_S = 10.0
"""A start waits so long for another one that carries out what a killed restore had decided: a few renames."""
PAUSE_S = 0.05
RESTORING = "A restore is under way in {home}. Wait until it has ended, then try again."
IN_USE = "{home} is in use. Stop the server (omni-connector stop), and whatever else works on it, then try again."


class Hold:
    """`release` may be called twice."""

    def __init__(self, handle: int | None) -> None:
        self._handle = handle

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def share(home: Path, wait_s: float = WAIT_S, pause: Callable[[float], None] = time.sleep) -> Hold:
    """For who works on the home. Waits: call it in a thread. Raises GatewayError CONFLICT while a restore is under way."""
    found = _take(home, False, wait_s, pause)
    if found is None:
        raise GatewayError(Kind.CONFLICT, RESTORING.format(home=home))
    return found


@contextlib.contextmanager
def alone(home: Path, wait_s: float = 0.0, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """For who changes all of it. Raises GatewayError CONFLICT, which says whether another restore is under way or the home is in use."""
    found = _take(home, True, wait_s, pause)
    if found is None:
        others = _take(home, False, 0.0, pause)
        if others is None:
            raise GatewayError(Kind.CONFLICT, RESTORING.format(home=home))
        others.release()
        raise GatewayError(Kind.CONFLICT, IN_USE.format(home=home))
    try:
        yield
    finally:
        found.release()


def _take(home: Path, exclusive: bool, wait_s: float, pause: Callable[[float], None]) -> Hold | None:
    """None: others hold it. Where there are no such locks (Windows, some network disks, a disk that is read-only) everybody may."""
    if sys.platform == "win32":
        return Hold(None)
    import fcntl

    try:
        handle = os.open(home / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return Hold(None)  # what the disk refuses is said in better words by who writes to it next
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    for left in range(round(wait_s / PAUSE_S), -1, -1):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if left:
                pause(PAUSE_S)
        except OSError:
            os.close(handle)
            return Hold(None)
        else:
            return Hold(handle)
    os.close(handle)
    return None
