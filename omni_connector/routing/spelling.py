"""How one account's models may be spelled: which names mean the same model, and which only look like it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from omni_connector.values import dataclass

Family = Callable[[str], str]
"""Model id → the name all its spellings share (catalog.family)."""

EXACT, SPELLED, OPEN = 0, 1, 2
"""How well a name fits: the id itself, the same model in another spelling, a name the account has not listed but may take."""

MODELS = "models"
"""What Gemini's programs write before a slash and a model."""
_DATE = re.compile(r"(?<!\d)20\d\d-?[01]\d-?[0-3]\d(?!\d)|(?<=-)\d{4}(?=$|:)")


@dataclass(frozen=True, slots=True)
class Spellings:
    exact: Mapping[str, str]
    """Name → the upstream's id."""
    same: Mapping[str, tuple[str, ...]]
    """Family → the names above that belong to it."""
    family: Family

    def find(self, name: str) -> tuple[int, str] | None:
        """(EXACT or SPELLED, upstream id), or None: this list does not hold the model."""
        name = bare(name)
        if name in self.exact:
            return EXACT, self.exact[name]
        same = [other for other in self.same.get(self.family(name).lower(), ()) if stands_for(name, other)]
        if not same:
            return None
        date = _date(name)
        newest = max(same, key=lambda other: (date != "" and _date(other) == date, _date(other) or "undated"))
        return SPELLED, self.exact[newest]


@lru_cache(maxsize=512)
def spellings(models: tuple[str, ...], mapped: tuple[tuple[str, str], ...], family: Family) -> Spellings:
    """Cached by value: snapshots are replaced often, model lists seldom change."""
    mapping = dict(mapped)
    exact = {bare(model): mapping.get(model, model) for model in models} | {bare(left): right for left, right in mapped}
    same: dict[str, list[str]] = {}
    for name in exact:
        same.setdefault(family(name).lower(), []).append(name)
    return Spellings(exact, {shared: tuple(names) for shared, names in same.items()}, family)


def stands_for(name: str, listed: str) -> bool:
    """Of two names of one family: may the listed one stand in? A vendor, date or variant that was named must be kept."""
    vendor, date = _vendor(name), _date(name)
    return vendor in ("", _vendor(listed)) and (not date or _date(listed) in ("", date)) and _variant(name) == _variant(listed)


def bare(name: str) -> str:
    return name.removeprefix(f"{MODELS}/")


def _vendor(name: str) -> str:
    return name.rpartition("/")[0].lower()


def _date(name: str) -> str:
    """Digits of the release a name is pinned to ("20250929", "2411"), "" when it names none."""
    hit = _DATE.search(name)
    return hit[0].replace("-", "") if hit else ""


def _variant(name: str) -> str:
    """What follows the colon: `:free` costs nothing, `:70b` is another size. Only `latest` says nothing."""
    tag = name.rpartition("/")[2].partition(":")[2].lower()
    return "" if tag == "latest" else tag
