"""Thoughts that stand in the text of an answer, `<thinking>…</thinking>` at its beginning, told apart from it."""

from __future__ import annotations

from typing import Literal

from omni_connector.wire.kiro_words import THINK, THOUGHT

Piece = tuple[Literal["text", "reasoning"], str]


class ThinkTags:
    """Push text, get pieces; only an answer that begins with the tag has thoughts. What may be part of a tag waits for the rest."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._held = ""
        self._state: Literal["before", "opening", "inside", "behind", "text"] = "before"

    def feed(self, text: str) -> list[Piece]:
        self._held += text
        out: list[Piece] = []
        if self._state == "before":
            begun = self._held.lstrip()
            if begun.startswith(THINK):
                self._state, self._held = "opening", begun[len(THINK) :]
            elif not THINK.startswith(begun):
                self._state = "text"
        if self._state == "opening" and (said := self._held.lstrip("\r\n")):
            self._state, self._held = "inside", said
        if self._state == "inside":
            thought, found, rest = self._held.partition(THOUGHT)
            if found:
                self._state, self._held = "behind", rest
            else:
                cut = len(thought) - _beginning(thought)
                thought, self._held = thought[:cut], thought[cut:]
            out += [("reasoning", thought)] if thought else []
        if self._state == "behind" and (said := self._held.lstrip("\r\n")):
            self._state, self._held = "text", said
        if self._state == "text":
            out += self._rest("text")
        return out

    def close(self) -> list[Piece]:
        """What waits is no tag."""
        if self._state in ("opening", "behind"):
            self._held = ""
        return self._rest("reasoning" if self._state == "inside" else "text")

    def _rest(self, kind: Literal["text", "reasoning"]) -> list[Piece]:
        text, self._held = self._held, ""
        return [(kind, text)] if text else []


def _beginning(text: str) -> int:
    """How many characters at the end of `text` may begin the closing tag."""
    return next((size for size in range(len(THOUGHT) - 1, 0, -1) if text.endswith(THOUGHT[:size])), 0)
