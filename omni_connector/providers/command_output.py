"""What commands write → the answer, what it used, and why it failed. Push-style and pure; the clock is an argument.

A reader is fed bytes as they come and gives pieces of the answer back; what else was said stands in its attributes. A line that no
reader knows is passed over: programs say more with every release.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from omni_connector.chat import Finish, Json, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.commands import Output

PieceKind = Literal["text", "reasoning"]
Piece = tuple[PieceKind, str]

LONGEST_WORDS = 600

# Failures in words: the first pattern that matches decides. Programs have no status.
FAULTS: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(words, re.IGNORECASE), kind)
    for words, kind in (
        (r"prompt is too long|context (?:length|window)|input (?:is )?too long|too many tokens", Kind.CONTEXT_TOO_LONG),
        (r"credit balance|insufficient[_ ](?:quota|credit|funds)|billing|payment required", Kind.ACCOUNT_UNPAID),
        (
            r"/login\b|not logged in|(?:please|must|need to) (?:log|sign) ?in|(?:log|sign) ?in (?:again|first)|invalid api key"
            r"|authentication[_ ](?:error|failed|required)|\bunauthorized\b|\b401\b|(?:token|session|login) (?:has |is )?expired"
            r"|set an auth method|no (?:api )?key (?:found|set)|(?:missing|invalid) (?:credentials?|api.?key)",
            Kind.ACCOUNT_REJECTED,
        ),
        (
            r"usage limit|rate.?limit|quota|too many requests|\b429\b|resource_exhausted|limit reached|hit your limit",
            Kind.ACCOUNT_RATE_LIMITED,
        ),
        (
            r"model[^.\n]{0,100}(?:not found|not exist|not available|not supported|no access)|(?:unknown|invalid|no such) model"
            r"|manifest: file does not exist",
            Kind.UPSTREAM_MODEL_MISSING,
        ),
        (r"overloaded|\b529\b|\b503\b|at capacity", Kind.UPSTREAM_OVERLOADED),
        (
            r"connection (?:refused|error|failed)|could not connect|econnrefused|network (?:is )?unreachable|no such host"
            r"|failed to lookup|enotfound",
            Kind.UPSTREAM_UNREACHABLE,
        ),
    )
)
_UNTIL = re.compile(r"limit reached\|(\d{10})\b")
"""Older releases of Claude Code tell the end of the limit so, in Unix seconds."""


def failure(words: str, now: float) -> GatewayError:
    """A command's own words for its failure, classified. `now`: Unix seconds."""
    text = words.strip()[-LONGEST_WORDS:]
    kind = next((kind for pattern, kind in FAULTS if pattern.search(text)), Kind.UPSTREAM_FAILED)
    error = GatewayError(kind, text or "The command failed without a word.")
    until = _UNTIL.search(text)
    if kind is Kind.ACCOUNT_RATE_LIMITED and until:
        error.retry_after, error.stated, error.scope = max(0.0, int(until[1]) - now), True, "account"
    return error


# ---------------------------------------------------------------- JSON pointers


def point(value: Any, pointer: str) -> Any:
    """What a JSON pointer (RFC 6901) points to; None where there is nothing."""
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def _is_so(value: Any, conditions: Mapping[str, Any]) -> bool:
    return all(point(value, pointer) == wanted for pointer, wanted in conditions.items())


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _usage(value: Any, pointers: Mapping[str, str]) -> Usage | None:
    """Counts by name; a pointer's `input` includes what was read from a cache, as almost all programs count."""
    found = {name: count for name, pointer in pointers.items() if (count := point(value, pointer)) is not None}
    counts: Json = {name: count for name, count in found.items() if type(count) is int and count >= 0}
    if not counts:
        return None
    if "input" in counts:
        counts["input"] = max(0, counts["input"] - counts.get("cache_read", 0) - counts.get("cache_write", 0))
    return Usage(**counts)


# ---------------------------------------------------------------- Readers


class Reader:
    """`feed` and `close` give pieces of the answer. `error`: what the command itself reported. `complete`: it said that it came to
    its end, or (`says_end` False) never does. `headers`: limits, in the words of HTTP answers. `model`: that really answered."""

    says_end = False

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        """`now`: Unix seconds."""
        self._output = output
        self._now = now
        self.usage: Usage | None = None
        self.error: GatewayError | None = None
        self.finish = Finish.STOP
        self.complete = False
        self.model = ""
        self.headers: dict[str, str] = {}
        self.hide: Callable[[str], str] = str
        """What the program's own words for a failure go through before they are cut: they may repeat what it was given."""

    def feed(self, data: bytes) -> list[Piece]:
        raise NotImplementedError

    def close(self) -> list[Piece]:
        raise NotImplementedError


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_OPEN_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07]{0,200})?\Z")


class TextReader(Reader):
    """Standard output is the answer, without colours, and without the blank lines around it."""

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        super().__init__(output, now)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._begun = False

    def feed(self, data: bytes) -> list[Piece]:
        return self._told(self._decoder.decode(data))

    def close(self) -> list[Piece]:
        told = self._told(self._decoder.decode(b"", True))
        self._held = ""
        return told

    def _told(self, text: str) -> list[Piece]:
        text = self._held + text
        opened = _OPEN_ESCAPE.search(text)
        cut = opened.start() if opened else len(text)
        said = _ESCAPES.sub("", text[:cut]).replace("\r\n", "\n")
        if not self._begun:
            said = said.lstrip("\r\n")
        kept = said.rstrip()
        # Blanks are told when more follows: those at the end are the program's, not the answer's.
        self._held = said[len(kept) :] + text[cut:]
        self._begun = self._begun or bool(kept)
        return [("text", kept)] if kept else []


class PointerReader(Reader):
    """Standard output is one JSON document."""

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        super().__init__(output, now)
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Piece]:
        self._data += data
        return []

    def close(self) -> list[Piece]:
        text = bytes(self._data).decode("utf-8", "replace").strip()
        self._data.clear()
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            if text:
                self.error = GatewayError(Kind.UPSTREAM_FAILED, f"The command wrote no JSON: {self.hide(text)[:200]!r}")
            return []
        if problem := point(value, self._output.error) if self._output.error else None:
            self.error = failure(self.hide(as_text(problem)), self._now())
            return []
        self.usage = _usage(value, self._output.usage)
        said = as_text(point(value, self._output.text))
        if not said:
            self.error = GatewayError(Kind.UPSTREAM_FAILED, f"The command's JSON has nothing at {self._output.text}.")
        return [("text", said)] if said else []


class LineReader(Reader):
    """Lines of JSON; `_hear` gets each object."""

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        super().__init__(output, now)
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Piece]:
        self._rest += data
        if b"\n" not in data:
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return [piece for line in lines for piece in self._line(line)]

    def close(self) -> list[Piece]:
        line = bytes(self._rest)
        self._rest.clear()
        return list(self._line(line))

    def _line(self, line: bytes) -> Iterator[Piece]:
        if not line.lstrip().startswith(b"{"):
            return
        try:
            value = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            return
        yield from self._hear(value)

    def _hear(self, value: Json) -> Iterator[Piece]:
        raise NotImplementedError


class PointedLineReader(LineReader):
    """Lines of JSON, read by pointers."""

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        super().__init__(output, now)
        self._said = False
        self.says_end = bool(output.done)

    def _hear(self, value: Json) -> Iterator[Piece]:
        output = self._output
        if problem := point(value, output.error) if output.error else None:
            self.error = failure(self.hide(as_text(problem)), self._now())
            return
        self.complete = self.complete or (self.says_end and _is_so(value, output.done))
        counts = _usage(value, output.usage)
        if counts is not None:
            self.usage = counts if self.usage is None else self.usage.merged(counts)
        if _is_so(value, output.when) and (said := as_text(point(value, output.text))):
            yield "text", output.join + said if self._said else said
            self._said = True
