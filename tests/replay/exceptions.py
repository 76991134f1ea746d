"""What a client's format cannot express: the only reasons for which a replayed answer may be heard otherwise than it was said.

Each exception says what must be heard instead; anything else is a failure. A name may stand for several fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.replay.told import CHAT, FORMATS, GEMINI, MESSAGES, RESPONSES, Source, Told, exact, is_json


@dataclass(frozen=True)
class Exception_:
    """`instead(value of the field, all that was said)` → what the clients' formats can say of it; the same value where all."""

    name: str
    clients: tuple[str, ...]
    field: str
    instead: Callable[[Any, Told], Any]


WHY: Mapping[str, str] = {
    "hosted": "What the provider ran by itself (searches, code, shells, MCP, a compaction) stands in blocks that only its own format has. "
    "The words that came of it, their sources and their tokens arrive.",
    "documents": "A citation of a document that has no address: Chat Completions and Responses cite pages by URL and files by the id of "
    "a stored file, Messages cites what its own request held.",
    "pictures": "The assistant's turn has no pictures in Messages.",
    "sound": "The model's voice, in Gemini's own encoding, has no place in the answer of another format.",
    "pause": "`pause_turn` (a long turn of a provider's own tools, to be sent back as it is) has no word elsewhere: Chat Completions and "
    "Responses end the answer as usual, Gemini says `OTHER`.",
    "refusal": "Messages has one word for a refusal and a filter, `refusal`; Gemini has none for a model's own refusal. The words arrive.",
    "context": "A full context window has a word of its own only in Messages; elsewhere it is the one for too many tokens.",
    "other": "A provider's own word for an unusual end has no counterpart: the answer ends as usual.",
    "stop-sequence": "Which stop sequence was hit is told by Messages alone.",
    "order": "A Chat Completions message has one place each for thoughts, words and calls: thoughts between words come first.",
    "choices": "One answer per request: Responses and Messages have no second choice.",
    "probabilities": "Messages has no token probabilities.",
    "cache-writes": "Gemini's usage has no count of tokens written to a cache; they are counted in the prompt.",
    "torn-arguments": "Arguments that broke off within a word are no JSON value: formats that carry values get the text under "
    "`_raw_arguments`.",
}  # fmt: skip
"""Name → the explanation that stands in docs/wire-formats.md."""


def _without_documents(sources: list[Source], _: Told) -> list[Source]:
    return [source for source in sources if source.url]


def _kind(prefix: str) -> Callable[[list[str], Told], list[str]]:
    return lambda media, _: [one for one in media if not one.startswith(prefix)]


def _word(said: str, heard: str) -> Callable[[str, Told], str]:
    return lambda finish, _: heard if finish == said else finish


def _in_order(order: list[str], _: Told) -> list[str]:
    return [kind for kind in ("thought", "text", "call") if kind in order]


def _values(calls: list[tuple[str, str]], _: Told) -> list[tuple[str, str]]:
    return [(name, text if is_json(text) else exact({"_raw_arguments": text})) for name, text in calls]


def _none(_: Any, __: Told) -> None:
    return None


def _empty(_: Any, __: Told) -> list[Any]:
    return []


def _zero(_: Any, __: Told) -> int:
    return 0


EXCEPTIONS: tuple[Exception_, ...] = (
    Exception_("hosted", FORMATS, "hosted", _empty),
    Exception_("documents", (CHAT, RESPONSES, MESSAGES), "sources", _without_documents),
    Exception_("pictures", (MESSAGES,), "media", _kind("image/")),
    Exception_("sound", FORMATS, "media", _kind("audio/")),
    Exception_("pause", (CHAT, RESPONSES), "finish", _word("pause", "stop")),
    Exception_("pause", (GEMINI,), "finish", _word("pause", "other")),
    Exception_("refusal", (MESSAGES,), "finish", _word("refusal", "filter")),
    Exception_("refusal", (GEMINI,), "finish", _word("refusal", "stop")),
    Exception_("context", (CHAT, RESPONSES, GEMINI), "finish", _word("context", "length")),
    Exception_("other", (CHAT, RESPONSES, MESSAGES), "finish", _word("other", "stop")),
    Exception_("stop-sequence", (CHAT, RESPONSES, GEMINI), "stop sequence", _none),
    Exception_("order", (CHAT,), "order", _in_order),
    Exception_("choices", (RESPONSES, MESSAGES), "choices", _empty),
    Exception_("probabilities", (MESSAGES,), "log probabilities", _empty),
    Exception_("cache-writes", (GEMINI,), "usage.written", _zero),
    Exception_("torn-arguments", (MESSAGES, GEMINI), "calls", _values),
)
