"""Events → a completions client's answer: `ResponseRenderer` (chunks) and `render_response` (whole).

Both have one shape ("text_completion"). A stream: chunks with text, for each choice a last one with its finish reason, the usage
chunk when it was asked for, `data: [DONE]`. After `fail` nothing follows.

The format knows nothing but text. A refusal becomes text; thoughts, citations and media have no place and are left out. There are
no tool calls, because a completions request has no tools.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    Json,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    RefusalPart,
    Started,
    TextPart,
    Usage,
    UsageSeen,
)
from omni_connector.errors import GatewayError
from omni_connector.wire import sse, views
from omni_connector.wire.openai_chat_errors import render_error
from omni_connector.wire.openai_chat_words import ANSWER_EXTRAS, CHOICE_EXTRAS, DONE, KEEPALIVE, from_usage
from omni_connector.wire.openai_chat_words import FINISH_REASON as CHAT_FINISH_REASON
from omni_connector.wire.openai_completions_request import CompletionRequest

FINISH_REASON: Mapping[Finish, str] = {**CHAT_FINISH_REASON, Finish.TOOL_CALLS: "stop"}
"""The vendor's SDK knows stop, length and content_filter."""

_ID, _CHAT_ID = "cmpl-", "chatcmpl-"
_NO_REQUEST = CompletionRequest("", "", ())


def _answer_id(upstream_id: str) -> str:
    if upstream_id.startswith(_ID):
        return upstream_id
    return _ID + (upstream_id.removeprefix(_CHAT_ID) or uuid.uuid4().hex)


def _asked(request: ChatRequest | None) -> CompletionRequest:
    return request if isinstance(request, CompletionRequest) else _NO_REQUEST


def _choice_body(number: int, text: str, finish: Finish | None, extra: Mapping[str, Any], prompt_chars: int = 0) -> Json:
    body: Json = {"text": text, "index": number, "logprobs": None, "finish_reason": FINISH_REASON[finish] if finish else None}
    body.update({key: extra[key] for key in CHOICE_EXTRAS if extra.get(key) is not None})
    body["logprobs"] = _logprobs(body["logprobs"], prompt_chars)
    return body


# ---------------------------------------------------------------- Token probabilities


def _logprobs(said: Any, start: int) -> Json | None:
    """Chat's `logprobs` → four lists in step. `text_offset` counts characters from the beginning of the prompt, echoed or not, as
    OpenAI's own endpoint does; `start` is the prompt's length. Nothing is told where an entry cannot be read."""
    if not isinstance(said, dict):
        return None
    if isinstance(said.get("tokens"), list):
        return said  # a provider that answered in this format's own words
    tokens = said.get("content")
    if not isinstance(tokens, list) or not tokens or not all(map(_is_token, tokens)):
        return None
    offsets = []
    for token in tokens:
        offsets.append(start)
        start += _begun(token)
    return {
        "tokens": [token["token"] for token in tokens],
        "token_logprobs": [token["logprob"] for token in tokens],
        "top_logprobs": [_likeliest(token) for token in tokens],
        "text_offset": offsets,
    }


def _is_token(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("token"), str) and isinstance(value.get("logprob"), int | float)


def _begun(token: Json) -> int:
    """How many characters begin in a token: one may hold the middle of a character, spelled as "\\xf0" in its text."""
    raw = token.get("bytes")
    if isinstance(raw, list) and all(isinstance(byte, int) for byte in raw):
        return sum(byte & 0xC0 != 0x80 for byte in raw)
    return len(token["token"])


def _likeliest(token: Json) -> dict[str, float]:
    """The alternatives, and always the token itself."""
    others = token.get("top_logprobs")
    told = {one["token"]: one["logprob"] for one in others if _is_token(one)} if isinstance(others, list) else {}
    return {**told, token["token"]: token["logprob"]}


# ---------------------------------------------------------------- Streamed


class ResponseRenderer:
    """Events in, bytes out. `model` is the name the client asked for; `now` gives Unix seconds where the provider's answer has no
    creation time."""

    def __init__(
        self,
        model: str,
        request: ChatRequest | None = None,
        now: Callable[[], float] = time.time,
        *,
        origin: Origin | None = None,
    ) -> None:
        """`origin` is taken for the sake of one signature in all formats: nothing opaque has a place here."""
        asked = _asked(request)
        self._model = model
        self._include_usage = asked.include_usage
        self._echo = asked.prompt if asked.echo else ""
        self._prompt_chars = len(asked.prompt)
        self._now = now
        self._head = b""
        self._usage: Usage | None = None
        self._parts: dict[int, PartStart] = {}
        self._finished: dict[int, bool] = {}
        """The choices that were begun → whether their finish reason was told."""
        self._over = False

    def feed(self, event: Event) -> bytes:
        if self._over:
            return b""
        match event:
            case Delta(index, text):
                return self._delta(self._parts[index], text)
            case Started():
                if event.usage is not None:
                    self._use(event.usage)
                self._set_head(event)
                return self._begin(0)
            case PartStart():
                self._parts[event.index] = event
                return self._begin(event.choice)
            case UsageSeen(usage):
                self._use(usage)
                return b""
            case Finished():
                return self._finish(event)
            case Ended():
                return self._ended()
            case Failed(error):
                return self.fail(error)
            case OpaqueDelta() | Annotation() | PartEnd():
                return b""
            case _:
                assert_never(event)

    def fail(self, error: GatewayError) -> bytes:
        """The format's error event. No finish reason and no [DONE]: this is no clean end."""
        self._over = True
        return sse.encode(views.encode(render_error(error)))

    def _use(self, usage: Usage) -> None:
        self._usage = usage if self._usage is None else self._usage.merged(usage)

    def _set_head(self, started: Started) -> None:
        head: Json = {
            "id": _answer_id(started.id),
            "object": "text_completion",
            "created": started.created or int(self._now()),
            "model": self._model,
        }
        head.update({key: started.extra[key] for key in ANSWER_EXTRAS if started.extra.get(key) is not None})
        self._head = b"data: " + views.encode(head)[:-1] + b',"choices":['

    def _chunk(self, choice: bytes, tail: bytes = b"") -> bytes:
        if not self._head:
            self._set_head(Started("", ""))
        return self._head + choice + b"]" + tail + b"}\n\n"

    def _say(self, choice: int, text: str) -> bytes:
        return self._chunk(views.encode(_choice_body(choice, text, None, {})))

    def _begin(self, choice: int) -> bytes:
        """An echoed prompt opens its choice."""
        if choice in self._finished:
            return b""
        self._finished[choice] = False
        return self._say(choice, self._echo) if self._echo else b""

    def _delta(self, part: PartStart, text: str) -> bytes:
        match part.kind:
            case "text" | "refusal":
                return self._say(part.choice, text)
            case "reasoning":
                # Thoughts are left out, but the client must not think that the line is dead while they last.
                return KEEPALIVE
            case "tool_call" | "foreign":
                return b""
            case _:
                assert_never(part.kind)

    def _finish(self, event: Finished) -> bytes:
        opening = self._begin(event.choice)
        self._finished[event.choice] = True
        return opening + self._chunk(views.encode(_choice_body(event.choice, "", event.reason, event.extra, self._prompt_chars)))

    def _ended(self) -> bytes:
        """A choice that was left open gets a finish reason; then usage and the terminal event."""
        rest = [self._finish(Finished(Finish.OTHER, choice)) for choice, told in self._finished.items() if not told]
        if self._include_usage and self._usage is not None:
            rest.append(self._chunk(b"", b',"usage":' + views.encode(from_usage(self._usage))))
        rest.append(sse.encode(DONE))
        self._over = True
        return b"".join(rest)


# ---------------------------------------------------------------- Whole


def render_response(
    response: ChatResponse,
    model: str,
    request: ChatRequest | None = None,
    now: Callable[[], float] = time.time,
    *,
    origin: Origin | None = None,
) -> Json:
    """A whole answer. Without a usage of the provider's there is no `usage`. `origin`: as in ResponseRenderer."""
    asked = _asked(request)
    echo = asked.prompt if asked.echo else ""
    body: Json = {
        "id": _answer_id(response.id),
        "object": "text_completion",
        "created": response.created or int(now()),
        "model": model,
        "choices": [
            _choice_body(number, echo + _text(choice), choice.finish, choice.extra, len(asked.prompt))
            for number, choice in enumerate(response.choices)
        ],
    }
    if response.usage is not None:
        body["usage"] = from_usage(response.usage)
    body.update({key: response.extra[key] for key in ANSWER_EXTRAS if response.extra.get(key) is not None})
    return body


def _text(choice: Choice) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, TextPart | RefusalPart))
