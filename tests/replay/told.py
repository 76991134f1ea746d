"""What an answer says, in words that belong to no wire format. The readers of this folder fill it in; nothing here comes from the
product, so that a codec cannot agree with itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

Json = dict[str, Any]

CHAT, RESPONSES, MESSAGES, GEMINI = "openai-chat", "openai-responses", "anthropic-messages", "gemini-generate"
FORMATS = (CHAT, RESPONSES, MESSAGES, GEMINI)


class Unexpected(AssertionError):
    """An answer that breaks the grammar of its format, or that the reader does not understand."""


def expect(holds: object, words: str) -> None:
    if not holds:
        raise Unexpected(words)


class Source(NamedTuple):
    """A web page by its address, or a document (a file, a place in what the client sent) by its name alone."""

    url: str
    title: str


class Call(NamedTuple):
    """`arguments`: see `exact`."""

    id: str
    name: str
    arguments: str


@dataclass
class Counts:
    """Tokens. None: not told. `input` is everything read, from the cache or not; `output` includes `reasoning`."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None


@dataclass
class Told:
    """One choice of an answer. `text` has the words of a refusal too, which some formats do not tell apart.

    `finish`: stop, length, context, tool_calls, filter, refusal, pause, other; "" when it was not said.
    `thoughts`: thoughts of several parts of one item are joined by a blank line. `media`, `hosted`: what the provider made or ran
    itself (pictures; searches, code, shells: the type of the block). `order`: text, thought, call, each once in a row.
    """

    text: str = ""
    thoughts: str = ""
    calls: list[Call] = field(default_factory=list)
    finish: str = ""
    stop_sequence: str | None = None
    sources: list[Source] = field(default_factory=list)
    logprobs: list[tuple[str, float]] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    hosted: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    usage: Counts = field(default_factory=Counts)
    others: list[Told] = field(default_factory=list)
    """The second and further choices."""
    error: str = ""
    """The provider's words, when the answer failed inside."""
    model: str = ""

    def say(self, text: str) -> None:
        self.text += text
        self.note("text" if text else "")

    def think(self, text: str) -> None:
        self.thoughts += text
        self.note("thought" if text else "")

    def note(self, kind: str) -> None:
        if kind and self.order[-1:] != [kind]:
            self.order.append(kind)

    def cite(self, url: Any, title: Any) -> None:
        """Each source once, in the order of first mention. A title that repeats the address, because some format demands one, is none."""
        source = Source(url if isinstance(url, str) else "", title if isinstance(title, str) and title != url else "")
        if any(source) and source not in self.sources:
            self.sources.append(source)

    @property
    def spoke(self) -> bool:
        return bool(self.text or self.thoughts or self.calls or self.media or self.hosted)


# ---------------------------------------------------------------- JSON


def loads(text: str | bytes) -> Any:
    """JSON whose numbers keep how they were written (1.0 is not 1)."""
    return json.loads(text, parse_float=Decimal)


def exact(arguments: Any) -> str:
    """Arguments as text or value → one text by which they are equal exactly: order of keys and kind of numbers count, blanks do
    not. What is no JSON (an answer that was cut within its arguments) stays as it is."""
    if not isinstance(arguments, str):
        return _written(arguments)
    try:
        return _written(loads(arguments or "{}"))
    except ValueError:
        return arguments


def is_json(text: str) -> bool:
    try:
        loads(text)
    except ValueError:
        return False
    return True


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{_written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, Decimal | float):
        return f"{Decimal(str(value)).normalize()}f"
    return json.dumps(value)


def free_text(text: str) -> str:
    """The words of a free-text tool, as formats without such tools have them: the one argument of a function."""
    return exact({"input": text})


def picture(media_type: Any, data: str) -> str:
    """Media by their bytes: "image/png 1a2b3c4d"."""
    return f"{media_type} {hashlib.sha256(data.encode()).hexdigest()[:8]}"


# ---------------------------------------------------------------- Server-sent events


class Event(NamedTuple):
    """`name`: of its `event:` line, "" without one. `data`: the JSON it holds, or text that is none ([DONE])."""

    name: str
    data: Any


_BLANK = re.compile(rb"\r\n\r\n|\n\n|\r\r")


def blocks(raw: bytes) -> list[bytes]:
    """The blocks of a stream as they stand; one without its last blank line is one too."""
    return [block for block in _BLANK.split(raw) if block.strip()]


def events(raw: bytes) -> list[Event]:
    """Events with data, by the rules of server-sent events; comments are nothing. An error object that Google puts behind the last
    event without any framing is an event of its own."""
    return [event for block in blocks(raw) for event in _event(block)]


def _event(block: bytes) -> Iterator[Event]:
    name, data = "", []
    if block.lstrip().startswith(b"{"):
        yield Event("", value_of(block.decode()))
        return
    for line in re.split(r"\r\n|\n|\r", block.decode()):
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "data":
            data.append(value)
    if data:
        yield Event(name, value_of("\n".join(data)))


def value_of(text: str) -> Any:
    """The JSON of an event, or its text when it is none."""
    try:
        return loads(text)
    except ValueError:
        return text


def objects(told: Iterable[Event]) -> list[Json]:
    return [event.data for event in told if isinstance(event.data, dict)]
