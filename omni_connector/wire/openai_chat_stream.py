"""An upstream's answer → events (`ResponseParser`), streamed and whole on one path.

The stream ends with `data: [DONE]`; a stream that gave every finish reason and then just closed counts as ended too
(Cerebras, Perplexity). `Finished` comes after the usage, which this format tells last, and directly before `Ended`.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from omni_connector.chat import ChatRequest, Ended, Event, Failed, Finish, Finished, Json, Origin, Started, Usage, UsageSeen
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_errors import error_in
from omni_connector.wire.openai_chat_parts import Parts
from omni_connector.wire.openai_chat_words import DONE, FAILED_FINISH, finish_of, loads, usage_in

_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p"})
_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "text"})


class ResponseParser:
    """Push bytes, get events. `origin`: who answers, stamped on opaque values. `request`, where given, tells which
    functions stand in for free-text tools and which stop strings were asked for."""

    def __init__(self, origin: Origin, request: ChatRequest | None = None) -> None:
        self._origin = origin
        self._stops = request.stop if request is not None else ()
        tools = request.tools if request is not None else ()
        self._custom = frozenset(tool.name for tool in tools if tool.kind == "custom")
        self._decoder = sse.Decoder()
        self._events: list[Event] = []
        self._indexes = count()
        self._head = Started("", "")
        self._started = False
        self._over = False
        self._usage: Usage | None = None
        self._choices: dict[int, Parts] = {}
        self._streamed: set[int] = set()
        """Choices that are told in deltas."""
        self._words: dict[int, str] = {}
        self._extra: dict[int, Json] = {}
        self._pages: list[Json] = []
        """What the provider read, told beside the choices."""

    # ------------------------------------------------------------ In

    def feed(self, data: bytes) -> list[Event]:
        for event in self._decoder.feed(data):
            self._event(event)
        return self._drain()

    def close(self) -> list[Event]:
        """End of the bytes. Without [DONE] and without all finish reasons no `Ended` comes: the answer was cut."""
        for event in self._decoder.close():
            self._event(event)
        if not self._over and self._choices and self._choices.keys() <= self._words.keys():
            self._finish()
        return self._drain()

    def whole(self, body: Any) -> list[Event]:
        """A whole answer, as bytes or decoded JSON."""
        value = loads(body) if isinstance(body, bytes | str) else body
        error = error_in(value)
        choices = value.get("choices") if isinstance(value, dict) else None
        if error is not None:
            self._fail(error)
        elif not isinstance(choices, list) or not choices:
            self._fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without a choice."))
        else:
            self._chunk(value)
            if not self._over:
                self._finish()
        return self._drain()

    def _drain(self) -> list[Event]:
        events = self._events
        self._events = []
        return events

    def _emit(self, event: Event) -> None:
        self._events.append(event)

    def _event(self, event: sse.ServerEvent) -> None:
        if self._over:
            return
        data = event.data.strip()
        if data == DONE:
            self._finish()
            return
        chunk = loads(data)
        if not isinstance(chunk, dict):
            if data.startswith(b"{"):
                self._fail(GatewayError(Kind.UPSTREAM_FAILED, f"The provider sent broken JSON: {data[:200].decode('utf-8', 'replace')!r}"))
            return
        if "error" in chunk or event.event == "error" or "choices" not in chunk or chunk.get("object") == "error":
            error = error_in(chunk, event=event.event)
            if error is not None:
                self._fail(error)
                return
        self._chunk(chunk)

    # ------------------------------------------------------------ A chunk, or a whole answer

    def _chunk(self, chunk: Json) -> None:
        choices = chunk.get("choices")
        if not self._started:
            self._collect_head(chunk)
        if "citations" in chunk or "search_results" in chunk:
            self._pages = _pages(chunk) or self._pages
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict) and not self._over:
                self._start()
                self._choice(choice, position)
        usage = chunk.get("usage")
        if usage is None and isinstance(chunk.get("x_groq"), dict):
            usage = chunk["x_groq"].get("usage")
        counts = usage_in(chunk, usage) if isinstance(usage, dict) else None
        if counts is not None and not self._over and counts != self._usage:
            self._usage = counts
            self._start()
            self._emit(UsageSeen(counts))

    def _collect_head(self, chunk: Json) -> None:
        """Azure opens with a chunk that has neither id nor choices; its extras join those of the first real one."""
        head = self._head
        created = integer(chunk.get("created"))
        self._head = Started(
            _string(chunk.get("id")) or head.id,
            _string(chunk.get("model")) or head.model,
            created if created is not None and created > 0 else head.created,
            extra={**head.extra, **{key: value for key, value in chunk.items() if key not in _TOP and value is not None}},
        )

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._emit(self._head)

    def _choice(self, choice: Json, position: int) -> None:
        index = integer(choice.get("index"))
        number = position if index is None or index < 0 else index
        parts = self._choices.get(number)
        if parts is None:
            parts = Parts(number, self._indexes, self._origin, self._custom, self._emit)
            self._choices[number] = parts
        if choice.get("error"):
            error = error_in({"error": choice["error"]})
            if error is not None:
                self._fail(error)
                return
        # Perplexity puts all that was said so far as `message` beside each delta.
        delta = choice.get("message") if "delta" not in choice and number not in self._streamed else choice.get("delta")
        if "delta" in choice:
            self._streamed.add(number)
        if isinstance(delta, dict):
            parts.feed(delta)
        elif isinstance(choice.get("text"), str):
            parts.feed({"content": choice["text"]})
        self._keep(choice, number)
        word = choice.get("finish_reason")
        if not isinstance(word, str) or not word:
            return
        if word in FAILED_FINISH:
            self._fail(GatewayError(FAILED_FINISH[word], f"The provider broke the answer off (finish_reason {word!r})."))
            return
        self._end(parts)
        self._words[number] = word

    def _end(self, parts: Parts) -> None:
        parts.cite(self._pages)
        parts.end()

    def _keep(self, choice: Json, number: int) -> None:
        """Log probabilities add up over the chunks; other unknown fields: the last one counts."""
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            sums = self._extra.setdefault(number, {}).setdefault("logprobs", {})
            for key, value in logprobs.items():
                known = sums.get(key)
                sums[key] = (
                    [*known, *value] if isinstance(known, list) and isinstance(value, list) else value if value is not None else known
                )
        if not choice.keys() <= _CHOICE:
            rest = {key: value for key, value in choice.items() if key not in _CHOICE and value is not None}
            self._extra.setdefault(number, {}).update(rest)

    # ------------------------------------------------------------ The end

    def _finish(self) -> None:
        if not self._choices:
            self._fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider ended the stream without an answer."))
            return
        self._over = True
        finished = []
        for number, parts in sorted(self._choices.items()):
            self._end(parts)
            finished.append(self._finished(number, parts))
        self._events.extend(finished)
        self._emit(Ended())

    def _finished(self, number: int, parts: Parts) -> Finished:
        word = self._words.get(number)
        reason = finish_of(word, parts.has_calls)
        extra = self._extra.get(number, {})
        if parts.extra:
            extra = {**extra, "message": parts.extra}
        # vLLM names the stop string that was hit beside finish_reason "stop".
        hit = extra.get("stop_reason")
        if reason is Finish.STOP and isinstance(hit, str) and hit in self._stops:
            return Finished(Finish.STOP_SEQUENCE, number, hit, word, extra)
        return Finished(reason, number, None, word, extra)

    def _fail(self, error: GatewayError) -> None:
        self._over = True
        self._emit(Failed(error))


def _pages(chunk: Json) -> list[Json]:
    """Perplexity's `search_results`, or the addresses in `citations` (xAI too), as citations that every format understands."""
    found = chunk.get("search_results") or chunk.get("citations")
    pages = [{"url": page} if isinstance(page, str) else page for page in (found if isinstance(found, list) else ())]
    return [
        {"type": "source", "url": page["url"], **({"title": page["title"]} if isinstance(page.get("title"), str) else {})}
        for page in pages
        if isinstance(page, dict) and isinstance(page.get("url"), str)
    ]


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
