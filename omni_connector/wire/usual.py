"""The event that a stream repeats with other words in it: known by the bytes around the words, so that most events need not be read."""

from __future__ import annotations

import re

PADDING = re.compile(rb'"(?:obfuscation|p)"\s*:\s*"')
"""Fields that hosts fill with as many letters as they like, so that nobody can tell the words by the size of a packet (OpenAI, Mistral)."""
WINDOW = 1 << 16
"""Bytes that are looked through at once: where events of this shape and others alternate, the rest would be looked through for each."""


class Usual:
    """One shape of whole events: `before`, words, `middle`, padding, `after` (mostly neither of these)."""

    __slots__ = ("_after", "_before", "_middle", "_seam")

    def __init__(self, event: bytes, start: int, end: int) -> None:
        """`event`: with its blank line; its words are a JSON string from `start` up to the quote at `end`."""
        padding = PADDING.search(event, end)
        cut = len(event) if padding is None else padding.end()
        self._before = event[:start]
        self._middle = event[end:cut]
        self._after = event[event.find(b'"', cut) :] if padding is not None else b""
        self._seam = self._middle + self._before

    def run(self, text: bytes, at: int) -> tuple[list[bytes], int]:
        """The words of all events of this shape that follow each other from `at` on, and where what follows them begins. Escaped words
        end it."""
        if self._after:
            return self._padded_run(text, at)
        if not text.startswith(self._before, at):
            return [], at
        seam, middle, before = self._seam, self._middle, len(self._before)
        start = at + before
        # Words have no quote in them, so they are what lies between the seams as far as there is none in it.
        words = text[start : start + WINDOW].split(seam)
        words.pop()
        said = b"".join(words)
        if b'"' in said or b"\\" in said:
            del words[next(n for n, word in enumerate(words) if b'"' in word or b"\\" in word) :]
            said = b"".join(words)
        start += len(said) + len(words) * len(seam)
        end = text.find(b'"', start)
        if end < 0 or b"\\" in text[start:end] or not text.startswith(middle, end):
            return words, start - before
        words.append(text[start:end])
        return words, end + len(middle)

    def _padded_run(self, text: bytes, at: int) -> tuple[list[bytes], int]:
        before, middle, after = self._before, self._middle, self._after
        words: list[bytes] = []
        while text.startswith(before, at):
            start = at + len(before)
            end = text.find(b'"', start)
            said = text[start:end]
            if b"\\" in said or not text.startswith(middle, end):
                break
            end += len(middle)
            close = text.find(b'"', end)
            if not text[end:close].isalnum() or not text.startswith(after, close):
                break
            words.append(said)
            at = close + len(after)
        return words, at


def length(words: list[bytes]) -> int | None:
    """Characters of all these together. None: not all of them can stand in JSON like this."""
    try:
        text = b" ".join(words).decode()
    except UnicodeDecodeError:
        return None
    return len(text) - len(words) + 1 if text.isprintable() else None
