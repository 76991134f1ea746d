"""What would change, for people: a unified diff in which no key can be read, and texts that are put together again."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from omni_connector.clients.client import Change, Places
from omni_connector.secrets import key_hint

_KEY = re.compile(r"omni-[0-9A-Za-z]{20,}")
_SECRET = re.compile(r"(?i)((?:key|token|secret|password)[\w-]*[\"']?\s*[:=]\s*[\"']?)(?!false\b|true\b|null\b)([^\s\"',;{}\[\]]{8,})")
PLACE_OF_KEY = "{{omni-key}}"


def masked(text: str) -> str:
    """Keys shown as hints: ours, and what is called a key, token or secret beside them in the same file."""
    text = _KEY.sub(lambda found: key_hint(found[0]), text)
    return _SECRET.sub(lambda found: found[1] + (found[2] if _is_no_secret(found[2]) else key_hint(found[2])), text)


def _is_no_secret(value: str) -> bool:
    """Hints, names of variables, addresses."""
    return "…" in value or value.startswith(("$", "http://", "https://", "omni-(")) or value.isupper()


def unified(name: str, before: bytes | None, after: bytes | None) -> str:
    """The diff of one file; None where there is no file on that side. Lines that differ only in a hidden key are told apart."""
    old, new = _lines(before), _lines(after)
    told = difflib.unified_diff(old, new, "/dev/null" if before is None else name, "/dev/null" if after is None else name, lineterm="", n=2)
    return "".join(f"{masked(line)}\n" for line in told)


def _lines(data: bytes | None) -> list[str]:
    return [] if data is None else data.decode("utf-8", "replace").splitlines()


def of(changes: Iterable[Change], places: Places) -> str:
    return "".join(unified(places.short(change.path), change.before, change.after) for change in changes)


def taken_out(before: str, after: str, now: str) -> str | None:
    """`now`, which was `after` once and was edited since, without what made `before` into `after`. None where both touch the same
    lines."""
    old, new, current = (text.splitlines(keepends=True) for text in (before, after, now))
    edited = [op for op in difflib.SequenceMatcher(None, new, current, autojunk=False).get_opcodes() if op[0] != "equal"]
    result, at = [], 0
    shift = _shift(new, current)
    for tag, new_from, new_to, old_from, old_to in difflib.SequenceMatcher(None, new, old, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if any(_touch(new_from, new_to, other[1], other[2]) for other in edited):
            return None
        start, end = shift(new_from), shift(new_to)
        result += [*current[at:start], *old[old_from:old_to]]
        at = end
    return "".join([*result, *current[at:]])


def _touch(start: int, end: int, other_start: int, other_end: int) -> bool:
    """Ranges of lines overlap; what is put in at the very edge of the other one counts."""
    inside = other_start == other_end and start < other_start < end
    return inside or start == end == other_start or (start < other_end and other_start < end)


def _shift(new: list[str], current: list[str]) -> Callable[[int], int]:
    """Line number in `new` → in `current`, for lines that are the same in both."""
    blocks = difflib.SequenceMatcher(None, new, current, autojunk=False).get_matching_blocks()

    def place(line: int) -> int:
        for block in blocks:
            if block.a <= line <= block.a + block.size:
                return block.b + line - block.a
        return len(current)

    return place
