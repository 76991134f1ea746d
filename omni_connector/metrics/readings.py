"""What is read at the moment of a scrape: accounts, books, jobs, and the process itself."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from omni_connector import __version__
from omni_connector.metrics.text import Samples
from omni_connector.snapshot import Cooldown
from omni_connector.values import dataclass


@dataclass(frozen=True, slots=True)
class Parts:
    """Of a process, as plain figures. `accounts`: (provider, status) of each; `jobs`: (kind, state) of each; `cooldowns`: (provider,
    the cooldown), also those that are over. Times in ms."""

    accounts: Sequence[tuple[str, str]]
    cooldowns: Iterable[tuple[str, Cooldown]]
    jobs: Iterable[tuple[str, str]]
    in_flight: int
    retrying: int
    commits: int
    rows: int
    waiting: int
    unsettled: int
    memory_mb: float | None
    started_at: int
    now: int
    node: str = ""
    away: bool = False
    spill_bytes: int = 0
    spilled: int = 0


def readings(parts: Parts) -> Samples:
    """A figure that the system does not tell is left out."""
    single: dict[str, float | None] = {
        "omni_requests_in_flight": parts.in_flight,
        "omni_retries_in_flight": parts.retrying,
        "omni_ledger_commits_total": parts.commits,
        "omni_ledger_rows_total": parts.rows,
        "omni_ledger_waiting": parts.waiting,
        "omni_ledger_unsettled": parts.unsettled,
        "omni_database_away": int(parts.away),
        "omni_spill_bytes": parts.spill_bytes,
        "omni_spilled_rows_total": parts.spilled,
        "process_resident_memory_bytes": None if parts.memory_mb is None else parts.memory_mb * 2**20,
        "process_cpu_seconds_total": time.process_time(),
        "process_open_fds": _open_files(),
        "process_max_fds": _most_files(),
        "process_start_time_seconds": parts.started_at / 1000,
    }
    return {
        "omni_accounts": Counter(parts.accounts),
        "omni_cooldowns": Counter((provider, item.source) for provider, item in parts.cooldowns if item.until_at > parts.now),
        "omni_jobs": Counter(parts.jobs),
        "omni_build_info": {(__version__, platform.python_version(), parts.node): 1},
        **{name: {(): figure} for name, figure in single.items() if figure is not None},
    }


def _open_files() -> int | None:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # the listing itself is one
    except OSError:
        return None


def _most_files() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if most == resource.RLIM_INFINITY else most
