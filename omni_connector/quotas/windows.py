"""The list of an account's quota windows: what a new answer makes of it, what of that is worth a write, and how it is shown. Pure.

A window is known by its name and its model. Those that ordinary answers told carry "source": "headers"; a later poll leaves them alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omni_connector.routing.quota import number

Json = dict[str, Any]
Key = tuple[str, str]

HEADERS = "headers"
SLACK_MS = 60_000
"""An end that moves by less is the same one, read from a clock that runs differently."""
FORGET_MS = 3_600_000
"""An overheard window that ended this long ago is forgotten: its account may never be used again."""
MOST_HEARD = 16
"""Overheard windows that are kept, those that end last: each model has its own."""
STEPS = 20
"""What is overheard is worth a write when another twentieth is used."""


def key(window: Mapping[str, Any]) -> Key:
    return str(window.get("name") or ""), str(window.get("model") or "")


def is_heard(window: Mapping[str, Any]) -> bool:
    return window.get("source") == HEADERS


def ended(window: Mapping[str, Any], now: int) -> bool:
    end = number(window.get("resets_at"))
    return end is not None and end <= now


def merge(stored: Iterable[Mapping[str, Any]], told: Sequence[Json], *, whole: bool = True) -> list[Json]:
    """After a poll: what was told, then what was overheard. `whole` False: a part of the questions failed, so what was known beside
    stays too."""
    fresh = {key(window): window for window in told}
    return [*fresh.values(), *(dict(row) for row in stored if key(row) not in fresh and (is_heard(row) or not whole))]


def overheard(stored: Iterable[Mapping[str, Any]], heard: Sequence[Json], now: int) -> list[Json]:
    """After an answer's headers: a window that is known gets its new values, in its place."""
    fresh = {key(window): window for window in heard}
    kept: list[Json] = []
    for row in stored:
        told = fresh.pop(key(row), None)
        if told is not None:
            kept.append({**told, "source": HEADERS} if is_heard(row) else told)
        elif not is_heard(row) or not ended(row, now - FORGET_MS):
            kept.append(dict(row))
    kept += [{**window, "source": HEADERS} for window in fresh.values()]
    last = sorted((row for row in kept if is_heard(row)), key=lambda row: -(number(row.get("resets_at")) or 0))
    over = [id(row) for row in last[MOST_HEARD:]]
    return [row for row in kept if id(row) not in over]


def stale(stored: Iterable[Mapping[str, Any]]) -> list[Json]:
    """Nobody has said for a while whether they still hold."""
    return [{**row, "state": "stale"} if row.get("state") == "live" and not is_heard(row) else dict(row) for row in stored]


def is_news(stored: Sequence[Mapping[str, Any]], fresh: Sequence[Mapping[str, Any]], now: int) -> bool:
    """Whether `fresh` says more than `stored`. Overheard windows move with every request: small moves of theirs are no news."""
    before = {key(row): row for row in stored}
    if [key(row) for row in fresh] != [key(row) for row in stored]:
        return True
    return any(_differs(before[key(row)], row, now) for row in fresh)


def _differs(old: Mapping[str, Any], new: Mapping[str, Any], now: int) -> bool:
    if is_heard(new):
        if _step(old) != _step(new) or any(old.get(name) != new.get(name) for name in ("limit", "unit", "state", "source")):
            return True
        return bool(_step(new)) and ended(old, now) and not ended(new, now)
    if any(old.get(name) != new.get(name) for name in (old.keys() | new.keys()) - {"resets_at"}):
        return True
    ends = number(old.get("resets_at")), number(new.get("resets_at"))
    return ends[0] != ends[1] if None in ends else abs((ends[0] or 0) - (ends[1] or 0)) >= SLACK_MS


def _step(window: Mapping[str, Any]) -> int | None:
    used, limit = number(window.get("used")), number(window.get("limit"))
    return None if used is None or not limit else int(STEPS * used / limit)


def as_shown(stored: Iterable[Mapping[str, Any]], now: int, *, old: bool = False) -> list[Json]:
    """As people see them. One that has ended is empty again until somebody says more; `old`: nobody was asked for too long."""
    found = []
    for row in stored:
        if is_heard(row) and ended(row, now - FORGET_MS):
            continue
        window = {name: value for name, value in row.items() if name != "source"}
        if ended(row, now):
            known = number(row.get("used")) is not None
            window |= {"resets_at": None, **({"used": 0, "state": "stale"} if known else {"state": "unknown"})}
        elif old and row.get("state") == "live" and not is_heard(row):
            window["state"] = "stale"
        found.append(window)
    return found
