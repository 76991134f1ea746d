"""What a job of kind "quota" remembers: in its row, so that a restart forgets nothing and every process can show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from omni_connector.quotas.forecast import Seen, note
from omni_connector.quotas.windows import is_heard, key
from omni_connector.routing.quota import number
from omni_connector.values import dataclass

Json = dict[str, Any]
BETWEEN = "\n"
"""Between a window's name and its model, in the payload."""


@dataclass(frozen=True, slots=True)
class Memory:
    """`failed`: polls in a row that told nothing. `polled_at`: the last one that did (ms). `hold`: until when (ms) the provider wants
    to be left alone. `seen`: window → its end, and what was used of it when."""

    failed: int = 0
    polled_at: int | None = None
    hold: int = 0
    seen: Mapping[str, tuple[int | None, tuple[Seen, ...]]] = field(default_factory=dict)

    @classmethod
    def read(cls, payload: Mapping[str, Any]) -> Memory:
        failed, polled_at, hold = (payload.get(name) for name in ("failed", "polled_at", "hold"))
        kept = payload.get("seen")
        return cls(
            failed if isinstance(failed, int) else 0,
            polled_at if isinstance(polled_at, int) else None,
            hold if isinstance(hold, int) else 0,
            {name: (end, tuple((at, used) for at, used in points)) for name, (end, points) in (kept or {}).items()},
        )

    def payload(self) -> Json:
        return {
            "failed": self.failed,
            "polled_at": self.polled_at,
            "hold": self.hold,
            "seen": {name: [end, [list(point) for point in points]] for name, (end, points) in self.seen.items()},
        }

    def of(self, window: Mapping[str, Any]) -> tuple[Seen, ...]:
        return self.seen.get(BETWEEN.join(key(window)), (None, ()))[1]

    def noted(self, windows: Sequence[Mapping[str, Any]], now: int) -> dict[str, tuple[int | None, tuple[Seen, ...]]]:
        """`seen` after a poll that told `windows`."""
        found = {}
        for window in windows:
            used, end = number(window.get("used")), number(window.get("resets_at"))
            if used is None or is_heard(window) or window.get("state") != "live":
                continue
            name = BETWEEN.join(key(window))
            before, points = self.seen.get(name, (None, ()))
            fresh = note(points, now, used, ended=before is not None and before <= now)
            found[name] = (None if end is None else int(end), tuple(fresh))
        return found
