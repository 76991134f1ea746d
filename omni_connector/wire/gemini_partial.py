"""Arguments of a call that is told in pieces (`streamFunctionCallArguments`): [{"jsonPath": "$.a[0].b", "stringValue": "…",
"willContinue": true}, …] → the whole object. Texts of one path grow while their pieces say that more is to come."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from omni_connector.chat import Json
from omni_connector.wire.gemini_words import camel

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\[(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\]""")
_ESCAPED = re.compile(r"\\(.)")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue", "structValue", "listValue")
_MOST_ITEMS = 100_000


class PartialArguments:
    """`value` holds what is known so far. Pieces that make no sense are left out."""

    __slots__ = ("_growing", "custom", "value")

    def __init__(self, custom: bool) -> None:
        self.custom = custom
        self.value: Json = {}
        self._growing: set[str] = set()

    def add(self, pieces: Any) -> None:
        for item in pieces if isinstance(pieces, list) else ():
            if isinstance(item, dict):
                self._piece(camel(item))

    def _piece(self, piece: Json) -> None:
        path = piece.get("jsonPath")
        key = next((key for key in _VALUES if key in piece), None)
        if not isinstance(path, str) or key is None:
            return
        value = None if key == "nullValue" else piece[key]
        steps = _steps(path)
        if steps:
            self._put(steps, value, path in self._growing)
        if piece.get("willContinue") is True:
            self._growing.add(path)
        else:
            self._growing.discard(path)

    def _put(self, steps: list[str | int], value: Any, grows: bool) -> None:
        place: Any = self.value
        for step, following in pairwise(steps):
            inner = _get(place, step)
            if not isinstance(inner, dict | list):
                inner = [] if isinstance(following, int) else {}
                if not _set(place, step, inner):
                    return
            place = inner
        before = _get(place, steps[-1])
        if grows and isinstance(before, str) and isinstance(value, str):
            value = before + value
        _set(place, steps[-1], value)


def _steps(path: str) -> list[str | int]:
    """ "$.recipe.items[0]['a b']" → ["recipe", "items", 0, "a b"]; [] for what is no such path."""
    steps: list[str | int] = []
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            return []
        name, number, single, double = found.groups()
        quoted = single if single is not None else double
        if number is not None:
            steps.append(int(number))
        else:
            steps.append(name if name is not None else _ESCAPED.sub(r"\1", quoted))
        at = found.end()
    return steps if steps and isinstance(steps[0], str) else []


def _get(place: Any, step: str | int) -> Any:
    if isinstance(place, dict) and isinstance(step, str):
        return place.get(step)
    if isinstance(place, list) and isinstance(step, int):
        return place[step] if step < len(place) else None
    return None


def _set(place: Any, step: str | int, value: Any) -> bool:
    if isinstance(place, dict) and isinstance(step, str):
        place[step] = value
        return True
    if isinstance(place, list) and isinstance(step, int) and step < _MOST_ITEMS:
        place.extend([None] * (step + 1 - len(place)))
        place[step] = value
        return True
    return False
