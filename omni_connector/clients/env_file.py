"""Files of `NAME=value` lines: dotenv files, and the snippets that a shell reads."""

from __future__ import annotations

import re
from collections.abc import Mapping

from omni_connector.clients.yaml_lines import CLOSE, OPEN, newline

_BLOCK = re.compile(rf"^{re.escape(OPEN)}[^\n]*\n(?:.*\n)*?{re.escape(CLOSE)}[^\n]*(?:\n|\Z)", re.M)


def set_values(text: str, values: Mapping[str, str]) -> str:
    """A dotenv file with these values; a name that is there keeps its place."""
    line = newline(text)
    missing = []
    for name, value in values.items():
        found = list(re.finditer(rf"^([ \t]*(?:export[ \t]+)?{name}[ \t]*=)[^\n\r]*", text, re.M))
        if not found:
            missing.append(f"{name}={value}{line}")
        for one in reversed(found):
            if value_of(one[0]) != value:
                text = text[: one.end(1)] + value + text[one.end() :]
    gap = line if missing and text and not text.endswith("\n") else ""
    return text + gap + "".join(missing)


def get(text: str, name: str) -> str:
    """The value, "" where there is none."""
    found = re.findall(rf"^[ \t]*(?:export[ \t]+|set -gx[ \t]+)?{name}(?:[ \t]*=|[ \t]+)[^\n\r]*", text, re.M)
    return value_of(found[-1]) if found else ""


def value_of(line: str) -> str:
    """The value of one line, without its quotes."""
    said = re.split(r"=|(?<=\w)[ \t]+(?=[\"'])", line, maxsplit=1)[-1].strip()
    return said[1:-1] if len(said) > 1 and said[0] == said[-1] and said[0] in "\"'" else said


def put_block(text: str, lines: list[str]) -> str:
    """The text with our lines between two marks, at its end or where they stood."""
    line = newline(text)
    ours = line.join([OPEN, *lines, CLOSE]) + line
    found = _BLOCK.search(text)
    if found is not None:
        return text[: found.start()] + ours + text[found.end() :]
    gap = line if text and not text.endswith("\n") else ""
    return f"{text}{gap}{ours}"
