"""Changing a few lines in somebody's YAML file; everything else stays as it is.

Only what can be done by whole lines is done: a value in one line at the top level, and a list item of ours between two marks. A file
that is written otherwise is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

OPEN, CLOSE = "# >>> omni-connector >>>", "# <<< omni-connector <<<"
_BLOCK = re.compile(rf"^[ \t]*{re.escape(OPEN)}[^\n]*\n(?:.*\n)*?[ \t]*{re.escape(CLOSE)}[^\n]*(?:\n|\Z)", re.M)
_VALUE = r"(\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|[^\s#\"'\[{|>&*!][^#\n]*?|)"
Scalar = str | bool


def newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def scalar(text: str, key: str) -> str:
    """The value of a top-level key that stands in one line, "" where there is none."""
    found = re.search(rf"^{re.escape(key)}:[ \t]*{_VALUE}[ \t]*(?:#[^\n]*)?\r?$", text, re.M)
    return _plain(found[1]) if found else ""


def _plain(value: str) -> str:
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value.strip('"')
    return value.strip("'")


def set_scalars(text: str, values: Mapping[str, Scalar]) -> str:
    """Top-level keys with one-line values. Raises ValueError for a file that is no mapping, or a key whose value takes more lines."""
    first = re.search(r"^(?!---|%|#|\s)[^\n]*\S", text, re.M)
    if first is not None and not re.match(r"[^\s:#\[{\"'-][^:\n]*:(?:\s|$)", first[0]):
        raise ValueError(f"its line {first[0][:40]!r} is not the `name: value` that was expected")
    line = newline(text)
    missing = []
    for key, value in values.items():
        there = re.search(rf"^{re.escape(key)}[ \t]*:[^\n]*(?:\n|\Z)", text, re.M)
        if there is None:
            missing.append(f"{key}: {json.dumps(value, ensure_ascii=False)}{line}")
            continue
        found = re.compile(rf"^({re.escape(key)}[ \t]*:[ \t]*){_VALUE}([ \t]*(?:#[^\n]*)?\r?(?:\n|\Z))", re.M).match(text, there.start())
        if found is None or re.match(r"[ \t]+[^\s#]|- ", text[found.end() :]):
            raise ValueError(f"the value of {key!r} takes more than one line, or is not plain")
        if _plain(found[2]) != _said(value):
            told = found[1] if found[1].endswith((" ", "\t")) else f"{found[1]} "
            text = text[: found.start()] + told + json.dumps(value, ensure_ascii=False) + found[3] + text[found.end() :]
    gap = line if missing and text and not text.endswith("\n") else ""
    return text + gap + "".join(missing)


def _said(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def put_item(text: str, key: str, item: Sequence[str]) -> str:
    """Our item as the first of the top-level list `key`, or as the last of a file that is a list (`key` ""). `item`: its lines, the
    first beginning with "- ". Raises ValueError when the list is written in another way."""
    line = newline(text)
    block = _BLOCK.search(text)
    if block is not None:
        indent = re.match(r"[ \t]*", block[0])
        return text[: block.start()] + _block(item, indent[0] if indent else "", line) + text[block.end() :]
    if not key:
        first = re.search(r"^(?!---|%|#|\s)[^\n]*\S", text, re.M)
        if first is not None and first[0].strip() != "[]" and not first[0].startswith("- "):
            raise ValueError(f"its line {first[0][:40]!r} is not the `- …` of a list")
        text = re.sub(r"^\[\][ \t]*\r?\n?", "", text, flags=re.M)
        gap = line if text and not text.endswith("\n") else ""
        return f"{text}{gap}{_block(item, '', line)}"
    head = re.search(rf"^{re.escape(key)}:[ \t]*(\[\][ \t]*)?(#[^\n]*)?\r?(?:\n|\Z)", text, re.M)
    if head is None:
        if re.search(rf"^[\"']?{re.escape(key)}[\"']?[ \t]*:", text, re.M):
            raise ValueError(f"the list {key!r} is not written one item a line")
        gap = line if text and not text.endswith("\n") else ""
        return f"{text}{gap}{key}:{line}{_block(item, '  ', line)}"
    following = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*([ \t]*)- ").match(text, head.end())
    title = f"{key}:{' ' + head[2] if head[2] else ''}{line}" if head[1] or not head[0].endswith("\n") else head[0]
    return text[: head.start()] + title + _block(item, following[1] if following else "  ", line) + text[head.end() :]


def _block(item: Sequence[str], indent: str, line: str) -> str:
    return "".join(f"{indent}{each}{line}" for each in (OPEN, *item, CLOSE))


def block(text: str) -> str:
    """What stands between our marks, "" when nothing does."""
    found = _BLOCK.search(text)
    return found[0] if found else ""
