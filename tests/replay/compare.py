"""What was said against what was heard, field by field. A field that differs must be one that the client's format cannot express
(exceptions.py), and then it must differ in exactly the way that the exception names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.replay.exceptions import EXCEPTIONS
from tests.replay.told import Counts, Told, exact

FIELDS: Mapping[str, Callable[[Told], Any]] = {
    "text": lambda told: told.text,
    "thoughts": lambda told: told.thoughts,
    "calls": lambda told: [(call.name, call.arguments) for call in told.calls],
    "call ids": lambda told: [call.id for call in told.calls],
    "finish": lambda told: told.finish,
    "stop sequence": lambda told: told.stop_sequence,
    "sources": lambda told: told.sources,
    "log probabilities": lambda told: told.logprobs,
    "media": lambda told: told.media,
    "hosted": lambda told: told.hosted,
    "order": lambda told: told.order,
    "choices": lambda told: [(one.text, one.thoughts, one.finish) for one in told.others],
}
COUNTS = ("input", "output", "cached", "written", "reasoning")


@dataclass
class Verdict:
    """`exceptions`: names of those that were needed. `wrong`: a line per field that differs without one."""

    exceptions: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def expect(self, holds: object, words: str) -> None:
        if not holds:
            self.wrong.append(words)


def compare(said: Told, heard: Told, client: str, verdict: Verdict) -> None:
    for name, of in FIELDS.items():
        _field(name, of(said), of(heard), said, client, verdict)
    for count in COUNTS:
        _count(count, said.usage, heard.usage, said, client, verdict)


def _field(name: str, said: Any, heard: Any, told: Told, client: str, verdict: Verdict) -> None:
    if name == "call ids":  # made up where the provider gave none
        verdict.expect(all(heard), "call ids: one is empty")
        said = [given or made for given, made in zip(said, heard, strict=False)]
    if said == heard:
        return
    wanted, used = said, []
    for exception in EXCEPTIONS:
        if exception.field != name or client not in exception.clients:
            continue
        less = exception.instead(wanted, told)
        if less != wanted:
            wanted = less
            used.append(exception.name)
    if used and wanted == heard:
        verdict.exceptions += used
        return
    verdict.wrong.append(f"{name}: {difference(wanted, heard)}")


def _count(name: str, said: Counts, heard: Counts, told: Told, client: str, verdict: Verdict) -> None:
    """A count that the provider did not tell may be anything; nothing and 0 are the same."""
    wanted = getattr(said, name)
    if wanted is not None:
        _field(f"usage.{name}", wanted, getattr(heard, name) or 0, told, client, verdict)


def difference(wanted: Any, heard: Any) -> str:
    """The first place where two values part, short."""
    one, other = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str) for value in (wanted, heard))
    place = next((number for number, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))
    start = max(0, place - 20)
    return f"at {place}: said {one[start : place + 60]!r}, heard {other[start : place + 60]!r}"


def same_json(one: Any, other: Any) -> bool:
    """Also in the order of keys and the kind of numbers."""
    return exact(one) == exact(other)
