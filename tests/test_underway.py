"""One request under way."""

from __future__ import annotations

import time
from typing import Any

from omni_connector.underway import Deadlines, Job


def test_time_counts_from_the_beginning() -> None:
    nothing: Any = None
    assert 5000 <= Job(nothing, nothing, nothing, time.monotonic() - 5).elapsed_ms() < 6000


def test_attempts_are_bounded_by_default() -> None:
    limits = Deadlines()
    assert limits.max_attempts > 1 and limits.window < limits.total and limits.keepalive < limits.idle
