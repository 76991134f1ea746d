"""Changing a few values in somebody's TOML file by its lines; everything else, comments too, stays as it is.

No writer is trusted: what came out is read again, and must be what went in with the wanted values, or nothing is changed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

Flat = Mapping[str, str | bool | int]
_HEADER = re.compile(r"^[ \t]*\[", re.M)


def loads(text: str) -> dict[str, Any]:
    """Raises ValueError naming line and column."""
    try:
        return tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not valid TOML ({error})") from None


def edit(text: str, top: Flat, table: tuple[str, str], values: Flat) -> str:
    """The text with `top` as keys of the whole and `values` as the table [`table`], which is ours and replaced as one. Raises
    ValueError when the file is written in a way that this cannot change safely."""
    parent, name = table
    before = loads(text)
    wanted = {**before, **top, parent: {**_tables(before, parent), name: dict(values)}}
    if wanted == before:
        return text
    line = "\r\n" if "\r\n" in text else "\n"
    ours = line.join([f"[{parent}.{name}]", *(f"{key} = {_told(value)}" for key, value in values.items()), ""])
    told = _with_table(text, f"{parent}.{name}", ours, line)
    for place in (_after_top, _at_start):
        candidate = _with_top(told, {key: value for key, value in top.items() if before.get(key) != value}, line, place)
        try:
            if loads(candidate) == wanted:
                return candidate
        except ValueError:
            continue
    raise ValueError(f"it is written in a way that cannot be changed safely. Add by hand:\n{_hand(top, line)}{ours}")


def _tables(before: Mapping[str, Any], parent: str) -> dict[str, Any]:
    found = before.get(parent, {})
    if not isinstance(found, dict):
        raise ValueError(f"{parent} is not a table")
    return found


def _with_table(text: str, name: str, ours: str, line: str) -> str:
    head = re.search(rf"^[ \t]*\[[ \t]*{re.escape(name)}[ \t]*\][^\n]*\n?", text, re.M)
    if head is None:
        gap = "" if not text else line if text.endswith("\n") else line * 2
        return f"{text}{gap}{ours}"
    following = _HEADER.search(text, head.end())
    end = following.start() if following else len(text)
    kept = re.search(r"^(?:[ \t]*(?:#[^\n]*)?\r?\n)*[ \t]*(?:#[^\n]*)?\Z", text[head.end() : end], re.M)
    tail = kept[0] if kept else ""
    return f"{text[: head.start()]}{ours}{tail}{text[end:]}"


def _with_top(text: str, top: Flat, line: str, place: Any) -> str:
    missing = []
    for key, value in top.items():
        head = _HEADER.search(text)
        end = head.start() if head else len(text)
        found = re.compile(rf"^([ \t]*{re.escape(key)}[ \t]*=[ \t]*)(\"[^\"\n]*\"|'[^'\n]*'|[^\s#\"'\[{{]+)", re.M).search(text, 0, end)
        if found is None:
            missing.append(f"{key} = {_told(value)}{line}")
        else:
            text = text[: found.start(2)] + _told(value) + text[found.end(2) :]
    if not missing:
        return text
    at = place(text)
    gap = line if at == 0 and text.strip() and _HEADER.match(text) else ""
    lead = line if at and text[at - 1] != "\n" else ""
    return text[:at] + lead + "".join(missing) + gap + text[at:]


def _after_top(text: str) -> int:
    """After the last line that is no comment and stands before the first table."""
    head = _HEADER.search(text)
    end = head.start() if head else len(text)
    lines = list(re.finditer(r"^[ \t]*[^\s#][^\n]*(?:\n|\Z)", text[:end], re.M))
    return lines[-1].end() if lines else _at_start(text)


def _at_start(text: str) -> int:
    return 1 if text.startswith("\ufeff") else 0


def _hand(top: Flat, line: str) -> str:
    return "".join(f"{key} = {_told(value)}{line}" for key, value in top.items())


def _told(value: str | bool | int) -> str:
    return json.dumps(value, ensure_ascii=False)
