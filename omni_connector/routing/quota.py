"""The quota windows of an account that count for one candidate, and how much of each is left."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from omni_connector.routing.candidates import Candidate
from omni_connector.routing.spelling import Family
from omni_connector.snapshot import Quota


def windows(candidate: Candidate, family: Family) -> Sequence[Quota]:
    """A window that names a model counts for that model only, all others for every model of the account."""
    return [row for row in candidate.account.quota if not row.get("model") or _is_for(row.get("model"), candidate.model, family)]


def _is_for(named: object, model: str, family: Family) -> bool:
    """`named`: a model, its family, or a pattern of either ("claude-opus-*")."""
    if not isinstance(named, str):
        return True  # whatever it means, it must not hide a window
    of, pattern = family(model), named.lower()
    return family(named) == of or fnmatchcase(of, pattern) or fnmatchcase(model.lower(), pattern)


def left(row: Mapping[str, Any], now: int) -> float | None:
    """Share of a window that is left, None: unknown. One that has ended since it was read says nothing about the next one."""
    used, limit, resets_at = number(row.get("used")), number(row.get("limit")), number(row.get("resets_at"))
    if row.get("state") == "unknown" or used is None or limit is None or limit <= 0 or (resets_at is not None and resets_at <= now):
        return None
    return min(1.0, max(0.0, 1 - used / limit))


def number(value: Any) -> float | None:
    """A finite number as providers write them, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
