"""The books: whether what is added up equals the requests, and whether the file can become smaller again."""

from __future__ import annotations

from typing import Any

from omni_connector.doctor.finding import Finding

LARGE = 256 * 1024**2
"""Bytes of a file above which it matters that it does not shrink; smaller ones are rewritten with the next migration."""


async def books(db: Any) -> list[Finding]:
    from omni_connector.store import pruning, rollups

    return [sums(await db.run(rollups.check)), *room(await db.run(pruning.size))]


def sums(differences: list[dict[str, Any]]) -> Finding:
    """`differences`: what `rollups.check` finds."""
    if not differences:
        return Finding("ok", "usage", "The sums of usage equal the requests.")
    hours = len({one["hour"] for one in differences})
    said = f"The sums of usage differ from the requests in {hours} hour{'' if hours == 1 else 's'}."
    return Finding("warn", "usage", said, "The server's daily job usage-check adds them up anew; POST /api/jobs/{id}/run does it now.")


def room(size: Any) -> list[Finding]:
    """`size`: `pruning.Size`, None for PostgreSQL."""
    if size is None or size.shrinks or size.file < LARGE:
        return []
    said = f"The database has {size.file // 1024**2} MiB, and was made by a release whose files never shrink."
    return [
        Finding(
            "warn", "database size", said, "Deleted rows make room for new ones; to shrink the file: omni-connector backup, then restore."
        )
    ]
