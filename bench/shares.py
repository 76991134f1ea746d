"""A part of a core for each of several processes (Linux control groups): so that what two of them can do is seen on a machine that has no
cores left for the clients."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

PERIOD_US = 10_000
ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))


class NotPermitted(RuntimeError):
    """Control groups are not to be had here, or not for this user."""


@contextlib.contextmanager
def shared(pids: Sequence[int], share: float) -> Iterator[None]:
    """Each of the processes gets `share` of a core and no more, while this lasts. Raises NotPermitted."""
    root = next((root for root in ROOTS if (root / "cgroup.procs").exists()), None)
    if root is None:
        raise NotPermitted("no control groups are mounted at /sys/fs/cgroup")
    made: list[Path] = []
    try:
        for pid in pids:
            group = root / f"omni-bench-{pid}"
            try:
                group.mkdir()
                made.append(group)
                _limit(group, int(PERIOD_US * share))
                (group / "cgroup.procs").write_text(str(pid))
            except OSError as error:
                raise NotPermitted(f"{group}: {error.strerror}") from error
        yield
    finally:
        for group in made:
            for pid in (group / "cgroup.procs").read_text().split():
                (root / "cgroup.procs").write_text(pid)
            os.rmdir(group)


def _limit(group: Path, quota_us: int) -> None:
    if (group / "cpu.cfs_quota_us").exists():
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota_us))
    else:
        (group / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
