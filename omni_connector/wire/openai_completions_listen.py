"""The pass-through lane's ear for completions: the chat ear, which also counts `choices[].text`.

Framing, [DONE], usage, finish reasons and errors are the same in both formats.
"""

from __future__ import annotations

from typing import Any

from omni_connector.chat import Json
from omni_connector.wire.openai_chat_listen import Listener as ChatListener
from omni_connector.wire.openai_chat_words import loads

NAME = "openai-completions"


class Listener(ChatListener):
    """The same attributes, and the same rules, as chat's Listener. An echoed prompt counts as output: the bytes do not tell
    where it ends."""

    __slots__ = ()

    def whole(self, body: Json | bytes) -> None:
        """A whole answer, as decoded JSON or bytes."""
        value: Any = loads(body) if isinstance(body, bytes) else body
        super().whole(value)
        if self.error is None:
            self.output_chars += _chars(value)

    def _learn(self, data: bytes) -> None:
        """Beside the words of a delta there may be a text, which is what counts."""

    def _hear(self, data: bytes, event: str = "") -> None:
        over = self.ended or self.error is not None
        before = self.output_chars
        super()._hear(data, event)
        if over or b'"text"' not in data:
            return
        chars = _chars(loads(data))
        if chars:
            # Together repeats the text as a chat delta: it counts once.
            self.output_chars = before + chars
            self.first_output = True


def _chars(answer: Any) -> int:
    """Characters of the texts in a chunk or a whole answer."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    texts = [choice.get("text") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    return sum(len(text) for text in texts if isinstance(text, str))
