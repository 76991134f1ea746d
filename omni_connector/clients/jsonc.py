"""Changing a few values in somebody's JSON file, comments and all, and leaving every other byte as it is.

Reads JSON, and what editors allow in it besides: `//` and `/* */` comments, and a comma after the last member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from omni_connector.values import dataclass

Path = Sequence[str]
Values = Mapping[tuple[str, ...], Any]
_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.S)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"true|false|null|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_REST_OF_LINE = re.compile(r"[ \t]*(?://[^\n]*|/\*[^\n]*?\*/[ \t]*)?(?=\r?\n)")
DEEPEST = 100


@dataclass(slots=True)
class Member:
    start: int
    """Of its key."""
    node: Node


@dataclass(slots=True)
class Node:
    start: int
    end: int = 0
    value: Any = None
    members: dict[str, Member] = field(default_factory=dict)
    trailing_comma: int = -1
    """Where a comma follows the last member."""


def loads(text: str) -> Any:
    """The value. Raises ValueError naming the line."""
    return {} if not text.strip("\ufeff \t\r\n") else _parse(text).value


def get(value: Any, path: Path) -> Any:
    """The value at the path, None where there is none."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def edit(text: str, values: Values, remove: Sequence[tuple[str, ...]] = ()) -> str:
    """The text with each value at its path and without the members of `remove`. What is so already stays as it is written.
    Raises ValueError, naming what is in the way."""
    if not text.strip("\ufeff \t\r\n"):
        text = "{}\n"
    for path, value in values.items():
        text = _set(text, path, value)
    for path in remove:
        text = _remove(text, path)
    return text


def taken_out(before: str, after: str, now: str) -> str | None:
    """`now`, which was `after` once and was edited since, without what made `before` into `after`. None where one of those values was
    changed again. Raises ValueError for what cannot be read."""
    old, new, current = loads(before), loads(after), loads(now)
    text = now
    for path in _differences(old, new):
        there, was = _lookup(new, path), _lookup(old, path)
        if _lookup(current, path) != there:
            return None
        text = edit(text, {}, [path]) if was is _GONE else edit(text, {path: was})
    for path in _made(old, new):
        if get(loads(text), path) == {}:
            text = edit(text, {}, [path])
    return text


_GONE = object()


def _lookup(value: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _GONE
        value = value[name]
    return value


def _differences(old: Any, new: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The deepest members that are not the same in both; what stands on one side only is looked at as if the other were empty."""
    if isinstance(new, dict) and (isinstance(old, dict) or old is _GONE) and (new or path == ()):
        was = old if isinstance(old, dict) else {}
        names = dict.fromkeys((*was, *new))
        return [found for name in names for found in _differences(was.get(name, _GONE), new.get(name, _GONE), (*path, name))]
    return [] if old == new and type(old) is type(new) else [path]


def _made(old: Any, new: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Objects that stand in the new one only, the inner ones first."""
    found = []
    for name, value in new.items() if isinstance(new, dict) else ():
        was = old.get(name, _GONE) if isinstance(old, dict) else _GONE
        if isinstance(value, dict):
            found += _made(was, value, (*path, name))
            found += [(*path, name)] if was is _GONE else []
    return found


def _set(text: str, path: tuple[str, ...], value: Any) -> str:
    node = _parse(text)
    for depth, name in enumerate(path):
        if not isinstance(node.value, dict):
            raise ValueError(f"{'.'.join(path[:depth]) or 'the whole'} is not an object")
        member = node.members.get(name)
        if member is None or (member.node.value is None and depth < len(path) - 1):
            for inner in reversed(path[depth + 1 :]):
                value = {inner: value}
            if member is None:
                return _insert(text, node, name, value, depth)
            return _replace(text, member.node, value, depth)
        node = member.node
    return text if node.value == value and type(node.value) is type(value) else _replace(text, node, value, len(path) - 1)


def _replace(text: str, node: Node, value: Any, depth: int) -> str:
    return text[: node.start] + _rendered(text, value, depth) + text[node.end :]


def _insert(text: str, node: Node, name: str, value: Any, depth: int) -> str:
    line, unit = _newline(text), _unit(text)
    key = json.dumps(name, ensure_ascii=False)
    if not node.members:
        inside = text[node.start + 1 : node.end - 1]
        member = f"{key}: {_rendered(text, value, depth)}"
        kept = inside.rstrip() if inside.strip() else ""
        return f"{text[: node.start + 1]}{kept}{line}{unit * (depth + 1)}{member}{line}{unit * depth}{text[node.end - 1 :]}"
    last = list(node.members.values())[-1]
    if "\n" not in text[node.start : last.start]:
        # The object stands in one line, and stays there.
        at = last.node.end
        return f"{text[:at]}, {key}: {json.dumps(value, ensure_ascii=False)}{text[at:]}"
    own = text[text.rfind("\n", 0, last.start) + 1 : last.start]
    own = own if not own.strip() else unit * (depth + 1)
    at = node.trailing_comma + 1 if node.trailing_comma >= 0 else last.node.end
    rest = _REST_OF_LINE.match(text, at)
    after = rest.end() if rest else at
    comma = "" if node.trailing_comma >= 0 else ","
    closing = "," if node.trailing_comma >= 0 else ""
    return f"{text[:at]}{comma}{text[at:after]}{line}{own}{key}: {_rendered(text, value, depth)}{closing}{text[after:]}"


def _remove(text: str, path: tuple[str, ...]) -> str:
    node = _parse(text)
    for name in path[:-1]:
        member = node.members.get(name)
        if member is None:
            return text
        node = member.node
    names = list(node.members)
    if path[-1] not in names:
        return text
    at = names.index(path[-1])
    member = node.members[path[-1]]
    if at + 1 < len(names):
        return text[: member.start] + text[node.members[names[at + 1]].start :]
    if at > 0:
        end = node.trailing_comma + 1 if node.trailing_comma >= 0 else member.node.end
        return text[: node.members[names[at - 1]].node.end] + text[end:]
    end = node.trailing_comma + 1 if node.trailing_comma >= 0 else member.node.end
    start = text.rfind("\n", 0, member.start) if not text[text.rfind("\n", 0, member.start) + 1 : member.start].strip() else member.start
    return text[: max(start, node.start + 1)] + text[end:]


# ---------------------------------------------------------------- How the file is written


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    found = re.search(r"\n([ \t]+)\S", text)
    return found[1] if found else "  "


def _rendered(text: str, value: Any, depth: int) -> str:
    unit = _unit(text)
    told = json.dumps(value, indent=unit, ensure_ascii=False)
    return told.replace("\n", _newline(text) + unit * (depth + 1))


# ---------------------------------------------------------------- Reading


def _parse(text: str) -> Node:
    start = 1 if text.startswith("\ufeff") else 0
    node = _value(text, _skip(text, start), 0)
    end = _skip(text, node.end)
    if end != len(text):
        raise _wrong(text, end)
    return node


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int, depth: int) -> Node:
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    mark = text[at : at + 1]
    if mark == "{":
        return _object(text, at, depth)
    if mark == "[":
        return _array(text, at, depth)
    found = _STRING.match(text, at) if mark == '"' else _SCALAR.match(text, at)
    if found is None:
        raise _wrong(text, at)
    try:
        return Node(at, found.end(), json.loads(found[0]))
    except ValueError:
        raise _wrong(text, at) from None


def _object(text: str, start: int, depth: int) -> Node:
    node = Node(start, value={})
    at = _skip(text, start + 1)
    while text[at : at + 1] != "}":
        if node.members and node.trailing_comma < 0:
            raise _wrong(text, at)
        key = _STRING.match(text, at)
        if key is None:
            raise _wrong(text, at)
        name = json.loads(key[0])
        if name in node.members:
            raise ValueError(f"{name!r} stands in it twice (line {_line(text, at)})")
        colon = _skip(text, key.end())
        if text[colon : colon + 1] != ":":
            raise _wrong(text, colon)
        inner = _value(text, _skip(text, colon + 1), depth + 1)
        node.members[name] = Member(at, inner)
        node.value[name] = inner.value
        node.trailing_comma, at = _comma(text, inner.end)
    node.end = at + 1
    return node


def _array(text: str, start: int, depth: int) -> Node:
    node = Node(start, value=[])
    at = _skip(text, start + 1)
    while text[at : at + 1] != "]":
        if node.value and node.trailing_comma < 0:
            raise _wrong(text, at)
        inner = _value(text, at, depth + 1)
        node.value.append(inner.value)
        node.trailing_comma, at = _comma(text, inner.end)
    node.end = at + 1
    return node


def _comma(text: str, at: int) -> tuple[int, int]:
    """Where a comma stands (-1 for none), and where the next thing does."""
    at = _skip(text, at)
    return (at, _skip(text, at + 1)) if text[at : at + 1] == "," else (-1, at)


def _wrong(text: str, at: int) -> ValueError:
    return ValueError(f"line {_line(text, at)} is not valid JSON" if at < len(text) else "it is not valid JSON: it ends too early")


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
