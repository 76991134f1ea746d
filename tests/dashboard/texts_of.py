"""The texts that the dashboard's scripts say through static/texts.js, as they stand in the source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

STATIC = Path(__file__).resolve().parents[2] / "static"

CALL = re.compile(r"(?<![\w.$])(t|parts|counted)\(")
IMPORTED = re.compile(r'import \{([^}]*)\} from "\.{1,2}/texts\.js"')
ESCAPE = re.compile(r"\\(u[0-9a-f]{4}|.)", re.DOTALL)
PLACE = re.compile(r"\{(\w+)\}")
CLOSES = {"(": ")", "[": "]", "{": "}"}


class NotWritten(ValueError):
    """The text is put together, so nobody can look it up in a table."""


@dataclass(frozen=True)
class Text:
    words: str
    where: str

    @property
    def places(self) -> list[str]:
        return sorted(set(PLACE.findall(self.words)))


@cache
def table() -> dict[str, str]:
    """The Chinese column."""
    rows: dict[str, str] = json.loads((STATIC / "texts/zh.json").read_text())
    return rows


def strings(value: Any) -> Iterator[str]:
    """All that a JSON value says, its names too."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(one)
    if isinstance(value, dict):
        yield from value


def scripts() -> Iterator[Path]:
    for path in sorted(STATIC.rglob("*.js")):
        if "vendor" not in path.parts and path.name != "texts.js":
            yield path


def texts(path: Path, root: Path = STATIC) -> Iterator[Text]:
    """Raises NotWritten for a first argument that is no literal."""
    source = path.read_text()
    imported = {name.strip() for found in IMPORTED.findall(source) for name in found.split(",")}
    if any(" as " in name for name in imported):
        raise NotWritten(f"{path.name} gives a function of texts.js another name")
    for call in CALL.finditer(source):
        where = f"{path.relative_to(root)}:{source.count(chr(10), 0, call.start()) + 1}"
        if call[1] not in imported:
            raise NotWritten(f"{where} calls a {call[1]}() that is not of texts.js")
        at = call.end()
        if call[1] == "counted":
            at = past(source, at)
            words, at = literal(source, at, where)
            yield Text(words, where)
            at += len(source[at:]) - len(source[at:].lstrip()) + 1
        words, at = literal(source, at, where)
        yield Text(words, where)


def literal(source: str, at: int, where: str) -> tuple[str, int]:
    """The string that begins at `at`, and where it ends. It is the whole argument."""
    at += len(source[at:]) - len(source[at:].lstrip())
    quote = source[at]
    end = at + 1
    while quote in "\"'`" and source[end] != quote:
        end += 2 if source[end] == "\\" else 1
    written = source[at + 1 : end]
    if quote not in "\"'`" or (quote == "`" and "${" in written) or source[end + 1 :].lstrip()[:1] not in (",", ")"):
        raise NotWritten(f"{where} puts its text together: {source[at : at + 60]}")
    return ESCAPE.sub(lambda found: unescaped(found[1]), written), end + 1


def unescaped(code: str) -> str:
    return chr(int(code[1:], 16)) if len(code) == 5 else {"n": "\n", "t": "\t"}.get(code, code)


def past(source: str, at: int) -> int:
    """Behind the comma that ends the argument at `at`."""
    open_ones: list[str] = []
    while open_ones or source[at] != ",":
        char = source[at]
        if char in CLOSES:
            open_ones.append(CLOSES[char])
        elif open_ones and char == open_ones[-1]:
            open_ones.pop()
        elif char in "\"'`":
            while source[at + 1] != char:
                at += 2 if source[at + 1] == "\\" else 1
            at += 1
        at += 1
    return at + 1
