"""One output item of a Responses answer → the events of its parts, as far as they are known (`Pieces`).

A message item is one part for each piece of its content, a thought and a call are one part each, and every other item is a
ForeignPart that comes when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from omni_connector.chat import Annotation, Delta, Event, Json, Opaque, OpaqueDelta, Origin, PartEnd, PartKind, PartStart
from omni_connector.values import dataclass
from omni_connector.wire.openai_chat_words import dumps, has_surrogate, join_surrogates, unwrap_custom
from omni_connector.wire.openai_responses_words import CALLS, ENCRYPTED, ITEM, NAME, pack, to_citation

_CONTENT: Mapping[str, tuple[PartKind, str]] = {
    "output_text": ("text", "text"),
    "text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
}
_THOUGHT: Mapping[str, str] = {"summary": "summary_text", "content": "reasoning_text"}
_OF_MESSAGES = frozenset({"type", "role", "content", "status"})
_OF_CALLS = frozenset({"type", "call_id", "name", "arguments", "input", "status"})
_OF_THOUGHTS = frozenset({"type", "summary", "content", "encrypted_content", "status"})

Place = tuple[str, int]


@dataclass(slots=True)
class Piece:
    """A part that has been opened."""

    index: int
    spoken: bool = False
    notes: int = 0
    half: str = ""
    """The first half of an emoji whose other half is in the next delta."""


@dataclass(slots=True)
class Item:
    value: Json
    pieces: dict[Place, Piece] = field(default_factory=dict)
    thoughts: list[Place] = field(default_factory=list)
    """Parts of a thought that have spoken, in order."""
    waiting: list[str] = field(default_factory=list)
    """Arguments of a call that cannot be told yet."""
    told: bool = False
    wrapped: bool = False
    """A function that stands in for a free-text tool."""
    done: bool = False

    @property
    def id(self) -> str:
        item_id = self.value.get("id")
        return item_id if isinstance(item_id, str) else ""

    @property
    def kind(self) -> str:
        kind = self.value.get("type")
        return kind if isinstance(kind, str) else ""


_ONLY: Place = ("", 0)
"""The place of the one part of a thought or call."""


class Pieces:
    """`emit` takes the events. `custom`: free-text tools that the target may have been given as functions. `flat`:
    (namespace, name) → the name that a tool has here."""

    def __init__(
        self, origin: Origin, emit: Callable[[Event], None], *, custom: frozenset[str], flat: Mapping[tuple[str, str], str]
    ) -> None:
        self.called = False
        self.logprobs: list[Any] = []
        self._origin = origin
        self._emit = emit
        self._custom = custom
        self._flat = flat
        self._parts = 0

    # ------------------------------------------------------------ Parts

    def _start(self, item: Item, place: Place, start: Callable[[int], PartStart]) -> Piece:
        piece = item.pieces[place] = Piece(self._parts)
        self._parts += 1
        self._emit(start(piece.index))
        return piece

    def piece(self, item: Item, place: Place, kind: PartKind) -> Piece:
        """The part at a place of a message's content. The first one of a message carries what its item says."""
        known = item.pieces.get(place)
        if known is not None:
            return known
        value: Json = {} if item.pieces else {ITEM: _rest(item.value, _OF_MESSAGES)}
        return self._start(item, place, lambda index: PartStart(index, kind, value=value))

    def spoke(self, item: Item, place: Place) -> bool:
        piece = item.pieces.get(place)
        return piece is not None and piece.spoken

    def say(self, item: Item, place: Place, kind: PartKind, text: str) -> None:
        self._write(self.piece(item, place, kind), text)

    def _write(self, piece: Piece, text: str) -> None:
        if not text:
            return
        piece.spoken = True
        if piece.half or has_surrogate(text):
            text, piece.half = piece.half + text, ""
            if "\ud800" <= text[-1] <= "\udbff":
                text, piece.half = text[:-1], text[-1]
            text = join_surrogates(text)
        if text:
            self._emit(Delta(piece.index, text))

    # ------------------------------------------------------------ Thoughts

    def think(self, item: Item, form: str, place: int, text: str) -> None:
        """Parts of a thought are set apart by a blank line, told as a delta of its own so that a renderer can part them again."""
        if not text:
            return
        piece = item.pieces.get(_ONLY) or self._start_thought(item, {"content": []} if form == "content" else {})
        if (form, place) not in item.thoughts:
            if item.thoughts:
                self._write(piece, "\n\n")
            item.thoughts.append((form, place))
        self._write(piece, text)

    def _start_thought(self, item: Item, form: Json) -> Piece:
        kept = {**_rest(item.value, _OF_THOUGHTS), **form}
        return self._start(item, _ONLY, lambda index: PartStart(index, "reasoning", value={ITEM: kept}))

    # ------------------------------------------------------------ Calls

    def open(self, item: Item) -> None:
        """An item was announced. Calls are told at once; the others when something is known of them."""
        if item.kind in CALLS:
            self._open_call(item)

    def _open_call(self, item: Item) -> Piece | None:
        value = item.value
        name, call_id, namespace = value.get("name"), value.get("call_id"), value.get("namespace")
        if not isinstance(name, str) or not name:
            return None
        flat = self._flat.get((namespace if isinstance(namespace, str) else "", name), name)
        item.wrapped = item.kind == "function_call" and flat in self._custom
        custom = item.wrapped or item.kind == "custom_tool_call"
        kept = _rest(value, _OF_CALLS)
        said = call_id if isinstance(call_id, str) and call_id else item.id
        self.called = True
        return self._start(item, _ONLY, lambda index: PartStart(index, "tool_call", said, flat, custom, value={ITEM: kept}))

    def argue(self, item: Item, text: str) -> None:
        if not text:
            return
        item.told = True
        piece = item.pieces.get(_ONLY)
        if piece is None or item.wrapped:
            item.waiting.append(text)
        else:
            self._write(piece, text)

    # ------------------------------------------------------------ The end of an item

    def finish(self, item: Item, value: Json) -> None:
        """The item is complete: what `value` says beyond what was told comes out, and its parts end."""
        if item.done:
            return
        item.done = True
        if value:
            item.value = {**item.value, **value}
        match item.kind:
            case "message":
                self._finish_message(item)
            case "reasoning":
                self._finish_thought(item)
            case "function_call" | "custom_tool_call":
                self._finish_call(item)
            case "":
                pass
            case _ if value:
                self._start(item, _ONLY, lambda index: PartStart(index, "foreign", name=NAME, value=item.value))
        for piece in item.pieces.values():
            if piece.half:
                self._emit(Delta(piece.index, "\ufffd"))
            self._emit(PartEnd(piece.index))

    def _finish_message(self, item: Item) -> None:
        content = item.value.get("content")
        for number, said in enumerate(content if isinstance(content, list) else ()):
            if not isinstance(said, dict):
                continue
            kind, key = _CONTENT.get(str(said.get("type")), ("text", "text"))
            text = said.get(key)
            if not isinstance(text, str):
                continue
            piece = self.piece(item, ("content", number), kind)
            if not piece.spoken:
                self._write(piece, text)
            notes = said.get("annotations")
            for note in (notes if isinstance(notes, list) else [])[piece.notes :]:
                if isinstance(note, dict):
                    self._emit(Annotation(piece.index, NAME, to_citation(note)))
            logprobs = said.get("logprobs")
            self.logprobs += logprobs if isinstance(logprobs, list) else []

    def _finish_thought(self, item: Item) -> None:
        if not item.thoughts:
            self._whole_thought(item)
        piece = item.pieces.get(_ONLY) or self._start_thought(item, {})
        encrypted = item.value.get("encrypted_content")
        if isinstance(encrypted, str) and encrypted:
            self._emit(OpaqueDelta(piece.index, Opaque(ENCRYPTED, pack(item.id, encrypted), self._origin)))

    def _whole_thought(self, item: Item) -> None:
        texts = {form: _texts(item.value.get(form), kind) for form, kind in _THOUGHT.items()}
        form = "content" if texts["content"] else "summary"
        kept: Json = {"content": texts["content"]} if texts["content"] else {}
        if len(texts["summary"]) > 1 or (texts["summary"] and kept):
            kept["summary"] = texts["summary"]
        if not texts[form]:
            return
        piece = self._start_thought(item, kept)
        for number, text in enumerate(texts[form]):
            if number:
                self._write(piece, "\n\n")
            self._write(piece, text)

    def _finish_call(self, item: Item) -> None:
        piece = item.pieces.get(_ONLY) or self._open_call(item)
        if piece is None:
            return
        whole = item.value.get("input" if item.kind == "custom_tool_call" else "arguments")
        text = "".join(item.waiting)
        if not item.told and whole is not None:
            text = whole if isinstance(whole, str) else dumps(whole)
        self._write(piece, unwrap_custom(text) if item.wrapped else text)


def _rest(value: Json, known: frozenset[str]) -> Json:
    """What an item says beside what is read. An id that is none is left out."""
    kept = {key: one for key, one in value.items() if key not in known and one is not None}
    if not isinstance(kept.get("id"), str):
        kept.pop("id", None)
    return kept


def _texts(parts: Any, kind: str) -> list[str]:
    found = []
    for part in parts if isinstance(parts, list) else ():
        text = part.get("text") if isinstance(part, dict) and part.get("type", kind) == kind else None
        if isinstance(text, str):
            found.append(text)
    return found
