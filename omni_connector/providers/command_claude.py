"""Claude Code's stream-json → the answer, what it used, its limits, and why it failed (reference: headless mode of the vendor's docs,
the claude-agent-sdk, and the program itself, 2.1.329). Pure; the clock is an argument."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from typing import Any

from omni_connector.chat import Finish, Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.command_output import LineReader, Piece, PieceKind, as_text, failure, point
from omni_connector.providers.commands import Output
from omni_connector.wire import FORMATS, anthropic_words

WINDOWS: Mapping[str, str] = {"five_hour": "5h", "seven_day": "7d"}
"""Claude Code's names of limits → those of the API's headers; others keep their own ("seven_day_opus")."""
FINISHES: Mapping[str, Finish] = {
    "max_tokens": Finish.LENGTH,
    "model_context_window_exceeded": Finish.CONTEXT,
    "refusal": Finish.REFUSAL,
    "stop_sequence": Finish.STOP_SEQUENCE,
}
STATUSES: Mapping[str, int] = {
    "authentication_failed": 401,
    "billing_error": 402,
    "rate_limit": 429,
    "invalid_request": 400,
    "server_error": 500,
}
"""`error` of a message of Claude Code's own → the status that the API has for it."""
SYNTHETIC = "<synthetic>"


class ClaudeReader(LineReader):
    """`claude -p --output-format stream-json`. Trust `is_error`: `subtype` says "success" when a limit was hit, too."""

    says_end = True

    def __init__(self, output: Output, now: Callable[[], float]) -> None:
        super().__init__(output, now)
        self._streamed: set[str] = set()
        """Ids of messages that came in pieces: they come whole again."""
        self._message = ""
        self._said = False
        self._status: int | None = None

    def _hear(self, value: Json) -> Iterator[Piece]:
        if value.get("parent_tool_use_id") is not None:
            return  # what a subagent says is no part of the answer
        match value.get("type"):
            case "stream_event":
                yield from self._event(value.get("event"))
            case "assistant":
                yield from self._whole(value)
            case "rate_limit_event":
                self._limit(value.get("rate_limit_info"))
            case "result":
                yield from self._result(value)

    def _tell(self, kind: PieceKind, text: Any) -> Iterator[Piece]:
        if isinstance(text, str) and text:
            self._said = self._said or kind == "text"
            yield kind, text

    def _event(self, event: Any) -> Iterator[Piece]:
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "message_start":
                self._message = str(point(event, "/message/id") or "")
                self.model = str(point(event, "/message/model") or "")
            case "content_block_start" if self._said and point(event, "/content_block/type") == "text":
                yield "text", "\n\n"
            case "content_block_delta":
                self._streamed.add(self._message)
                yield from self._tell("text", point(event, "/delta/text"))
                yield from self._tell("reasoning", point(event, "/delta/thinking"))

    def _whole(self, value: Json) -> Iterator[Piece]:
        message = value.get("message")
        if not isinstance(message, dict):
            return
        if message.get("model") == SYNTHETIC:
            self._status = STATUSES.get(str(value.get("error")), self._status)
            return
        self.model = str(message.get("model") or self.model)
        if message.get("id") in self._streamed:
            return
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            yield from self._tell("reasoning", point(block, "/thinking"))
            yield from self._tell("text", point(block, "/text"))

    def _limit(self, info: Any) -> None:
        if not isinstance(info, dict):
            return
        name = str(info.get("rateLimitType") or "")
        status, resets = info.get("status"), info.get("resetsAt")
        told = {
            "status": status if isinstance(status, str) else None,
            "reset": resets,
            "utilization": info.get("utilization"),
        }
        prefix = "anthropic-ratelimit-unified"
        window = WINDOWS.get(name, name)
        for key, said in told.items():
            if said is not None:
                self.headers |= {f"{prefix}-{window}-{key}": str(said)} if window else {}
        if status == "rejected":
            self.headers |= {f"{prefix}-status": "rejected", f"{prefix}-representative-claim": name}
            if resets is not None:
                self.headers[f"{prefix}-reset"] = str(resets)

    def _result(self, value: Json) -> Iterator[Piece]:
        self.complete = True
        self.usage = anthropic_words.to_usage(value.get("usage"))
        self.finish = FINISHES.get(str(value.get("stop_reason")), Finish.STOP)
        errors = value.get("errors")
        words = as_text(value.get("result")) or "; ".join(map(as_text, errors if isinstance(errors, list) else ()))
        if value.get("is_error"):
            self.error = self._refusal(words or f"Claude Code ended with {value.get('subtype')!r}.", value.get("api_error_status"))
        elif not self._said:
            yield from self._tell("text", words)

    def _refusal(self, words: str, status: Any) -> GatewayError:
        words = self.hide(words)
        rejected = self.headers.get("anthropic-ratelimit-unified-status") == "rejected"
        known = status if isinstance(status, int) and 400 <= status < 600 else 429 if rejected else self._status
        if known is None:
            return failure(words, self._now())
        headers = {**self.headers, "date": formatdate(self._now(), usegmt=True)}
        error: GatewayError = FORMATS["anthropic-messages"].parse_error(known, headers, json.dumps({"error": {"message": words}}).encode())
        if error.kind is Kind.ACCOUNT_RATE_LIMITED and not error.stated:
            error.retry_after, error.stated = (told := failure(words, self._now())).retry_after, told.stated
        return error
