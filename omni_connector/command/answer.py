"""What a command said, as a chat completion."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

from omni_connector import exact_tokens, usage
from omni_connector.chat import ChatRequest, Delta, Ended, Event, Finished, Fold, PartEnd, PartStart, Started, Usage, UsageSeen
from omni_connector.providers.command_output import PieceKind, Reader
from omni_connector.providers.command_talk import Talk
from omni_connector.wire import FORMATS, views

WIRE = FORMATS["openai-chat"]
MOST_COUNTED = 200_000
"""Characters: some milliseconds."""


class Answer:
    """Pieces of text → the bytes of a chat completion, streamed or whole."""

    def __init__(self, request: ChatRequest, told: Talk) -> None:
        self._request = replace(request, include_usage=True)
        self._renderer: Any = WIRE.ResponseRenderer(request.model, self._request)
        self._told = told
        self._fold = Fold()
        self._texts: list[str] = []
        self._parts = 0
        self._open = ""

    @property
    def said(self) -> bool:
        return bool(self._parts)

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def say(self, kind: PieceKind, text: str, reader: Reader) -> bytes:
        events: list[Event] = [] if self._parts else [self._started(reader)]
        if kind != self._open:
            events += [PartEnd(self._parts - 1)] if self._open else []
            events.append(PartStart(self._parts, kind))
            self._parts, self._open = self._parts + 1, kind
        self._texts.append(text)
        return self._render([*events, Delta(self._parts - 1, text)])

    def _started(self, reader: Reader) -> Started:
        return Started(f"chatcmpl-{uuid.uuid4().hex}", reader.model or self._request.model, int(time.time()))

    def end(self, reader: Reader) -> bytes:
        used = self._used(reader.usage)
        last = self._render([PartEnd(self._parts - 1), UsageSeen(used), Finished(reader.finish), Ended()])
        if self._request.stream:
            return last
        return bytes(views.encode(WIRE.render_response(self._fold.response(), self._request.model, self._request)))

    def _used(self, reported: Usage | None) -> Usage:
        """What the command reported; what it did not is counted here, and marked so."""
        known = reported or Usage()
        if known.output is not None and known.prompt > 0:
            return replace(known, raw={})
        prompt = [self._told.system, *(text for _, text in self._told.turns)]
        read = known.input if known.prompt > 0 else self._tokens("\n".join(filter(None, prompt)))
        wrote = self._tokens(self.text) if known.output is None else known.output
        counted = replace(known, input=read, output=wrote)
        return replace(counted, raw={"prompt_tokens": counted.prompt, "usage_source": "counted"})

    def _tokens(self, text: str) -> int:
        """By the model's own vocabulary where it is at hand, and the text is not so long that others would wait."""
        counted = exact_tokens.count(self._request.model, text, wait=False) if len(text) <= MOST_COUNTED else None
        return usage.estimate_tokens(text) if counted is None else counted

    def _render(self, events: list[Event]) -> bytes:
        if self._request.stream:
            return b"".join(self._renderer.feed(event) for event in events)
        for event in events:
            self._fold.feed(event)
        return b""
