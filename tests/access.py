"""access_table.txt as tests read it: who may ask for what (test_access.py has the classes, and proves them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

TABLE = Path(__file__).parent / "access_table.txt"
STREAMS = ("/api/events", "/api/requests/tail")
"""They never end: whoever is let in looks at their head only."""


def lines() -> Iterator[tuple[str, str, str, int]]:
    for line in TABLE.read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            method, path, kind, status = line.split()
            yield method, path, kind, int(status)


LINES = {(method, path): (kind, status) for method, path, kind, status in lines()}
"""(method, path) → class, and the status of whoever is let in."""
