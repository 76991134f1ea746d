"""Processes that are measured: what they use, where they run, and that none of them is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

END_WITHIN_S = 5.0


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found.extend(parents.get(one, ()))
    return found


def cpu_s(pids: list[int]) -> float:
    """User and system time of processes, seconds. Their clocks (clock_getcpuclockid(3)) count what /proc/PID/stat counts, in ns and not in
    ticks of 10 ms, so short loads can be measured, too. One that has ended meanwhile counts nothing."""
    used = 0.0
    for pid in pids:
        with contextlib.suppress(OSError):
            used += time.clock_gettime((~pid << 3) | 2)
    return used


def memory_mb(pids: list[int]) -> float:
    """Memory of processes together; what several of them share is counted in parts."""
    return sum(_share_mb(pid) for pid in pids)


def _share_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))


@contextlib.contextmanager
def on_cores(cores: set[int] | None) -> Iterator[None]:
    """What is started within runs on these cores only; None: where it likes."""
    before = os.sched_getaffinity(0)
    if cores:
        os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float) -> float:
    """Seconds until the address answers with 2xx or 4xx. Raises RuntimeError when it does not, or the process ends."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return time.perf_counter() - began
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return time.perf_counter() - began
        except OSError:
            pass
        time.sleep(0.02)
    raise RuntimeError(f"it did not answer within {seconds:.0f} s")


def end(pid: int) -> None:
    """Ends a process and all that descend from it: asks first, and does not wait long."""
    pids = family(pid)
    _signal(pids, signal.SIGTERM)
    until = time.monotonic() + END_WITHIN_S
    while time.monotonic() < until and any(_alive(one) for one in pids):
        time.sleep(0.05)
    _signal([one for one in pids if _alive(one)], signal.SIGKILL)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
