"""Claude Code's stream-json as 2.1.329 writes it, the fields that say something."""

import json
from typing import Any

import pytest

from omni_connector.chat import Finish
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.command_claude import ClaudeReader
from omni_connector.providers.command_output import Piece
from omni_connector.providers.commands import Output

Json = dict[str, Any]
NOW = 1_795_000_000.0

INIT = {"type": "system", "subtype": "init", "session_id": "s", "tools": [], "model": "claude-sonnet-5-5", "apiKeySource": "none"}
USAGE = {"input_tokens": 7, "cache_creation_input_tokens": 2, "cache_read_input_tokens": 100, "output_tokens": 51}
DONE = {"type": "result", "subtype": "success", "is_error": False, "result": "Hello there", "stop_reason": "end_turn", "usage": USAGE}


def event(kind: str, **more: Any) -> Json:
    return {"type": "stream_event", "event": {"type": kind, **more}, "parent_tool_use_id": None}


def assistant(text: str, model: str = "claude-sonnet-5-5", **more: Any) -> Json:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, **more}


STREAMED = (
    INIT,
    {"type": "system", "subtype": "status", "status": "requesting"},
    event("message_start", message={"id": "msg_1", "model": "claude-sonnet-5-5"}),
    event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}),
    event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "hm"}),
    event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "xx"}),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Hello "}),
    event("content_block_delta", index=1, delta={"type": "text_delta", "text": "there"}),
    assistant("Hello there"),
    event("message_stop"),
    {"type": "rate_limit_event", "rate_limit_info": {"status": "allowed", "resetsAt": 1795003600, "rateLimitType": "five_hour"}},
    {"type": "something_new", "field": 1},
    DONE,
)


def read(*values: Json, size: int = 100_000) -> tuple[ClaudeReader, list[Piece]]:
    data = b"not json\n" + b"".join(json.dumps(value).encode() + b"\n" for value in values)
    reader = ClaudeReader(Output(kind="claude-code"), lambda: NOW)
    pieces = [piece for at in range(0, len(data), size) for piece in reader.feed(data[at : at + size])]
    return reader, [*pieces, *reader.close()]


def error_of(*values: Json) -> GatewayError:
    reader, _ = read(*values)
    assert reader.error is not None
    return reader.error


@pytest.mark.parametrize("size", [1, 100_000])
def test_pieces_come_once_though_the_message_comes_again(size: int) -> None:  # C-06
    reader, pieces = read(*STREAMED, size=size)
    assert pieces == [("reasoning", "hm"), ("text", "Hello "), ("text", "there")]
    assert (reader.complete, reader.error, reader.finish, reader.model) == (True, None, Finish.STOP, "claude-sonnet-5-5")
    assert reader.usage is not None
    assert (reader.usage.input, reader.usage.cache_read, reader.usage.cache_write, reader.usage.output) == (7, 100, 2, 51)
    assert reader.headers == {
        "anthropic-ratelimit-unified-5h-status": "allowed",
        "anthropic-ratelimit-unified-5h-reset": "1795003600",
    }


def test_whole_messages_do_without_pieces() -> None:
    assert read(INIT, assistant("Hello there"), DONE)[1] == [("text", "Hello there")]
    assert read(INIT, DONE)[1] == [("text", "Hello there")]


def test_what_a_subagent_says_is_no_part_of_the_answer() -> None:
    other = {**assistant("inner"), "parent_tool_use_id": "toolu_1"}
    assert read(INIT, other, assistant("outer"), DONE)[1] == [("text", "outer")]


@pytest.mark.parametrize(("word", "finish"), [("max_tokens", Finish.LENGTH), ("refusal", Finish.REFUSAL), (None, Finish.STOP)])
def test_why_it_ended(word: str | None, finish: Finish) -> None:
    assert read(INIT, {**DONE, "stop_reason": word})[0].finish is finish


SIGNED_OUT = assistant("Not logged in · Please run /login", "<synthetic>", error="authentication_failed")


def test_success_with_an_error_is_an_error() -> None:
    """The trap: `subtype` says "success"."""
    error = error_of(INIT, SIGNED_OUT, {**DONE, "is_error": True, "result": "Not logged in · Please run /login", "api_error_status": None})
    assert (error.kind, error.message) == (Kind.ACCOUNT_REJECTED, "Not logged in · Please run /login")
    assert read(INIT, SIGNED_OUT)[1] == [], "its own words are no answer"


def test_a_limit_with_its_end() -> None:
    limit = {"status": "rejected", "resetsAt": 1795003600, "rateLimitType": "five_hour", "utilization": 1.0}
    ended = {**DONE, "is_error": True, "result": "You've hit your limit", "api_error_status": 429}
    error = error_of(INIT, {"type": "rate_limit_event", "rate_limit_info": limit}, ended)
    assert (error.kind, error.retry_after, error.stated, error.scope) == (Kind.ACCOUNT_RATE_LIMITED, 3600.0, True, "account")
    opus = {**limit, "rateLimitType": "seven_day_opus"}
    error = error_of(INIT, {"type": "rate_limit_event", "rate_limit_info": opus}, ended)
    assert (error.kind, error.scope) == (Kind.ACCOUNT_RATE_LIMITED, "model"), "the other models go on"
    older = error_of(INIT, {**DONE, "is_error": True, "result": "Claude AI usage limit reached|1795000060"})
    assert (older.kind, older.retry_after) == (Kind.ACCOUNT_RATE_LIMITED, 60.0)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "API Error: 400 prompt is too long: 250000 tokens > 200000 maximum", Kind.CONTEXT_TOO_LONG),
        (529, "API Error: 529 overloaded_error", Kind.UPSTREAM_OVERLOADED),
        (500, "API Error: 500 internal", Kind.UPSTREAM_FAILED),
        (401, "API Error: 401 invalid bearer token", Kind.ACCOUNT_REJECTED),
    ],
)
def test_a_status_of_the_api_counts_as_one(status: int, words: str, kind: Kind) -> None:
    error = error_of(INIT, {**DONE, "is_error": True, "result": words, "api_error_status": status})
    assert (error.kind, error.upstream_status) == (kind, status)


def test_an_end_by_its_own_limits_is_told() -> None:
    ended = {"type": "result", "subtype": "error_max_turns", "is_error": True, "errors": ["Reached maximum number of turns (1)"]}
    assert error_of(INIT, ended).message == "Reached maximum number of turns (1)"
    assert "error_during_execution" in error_of({"type": "result", "subtype": "error_during_execution", "is_error": True}).message


def test_without_its_last_line_it_is_not_complete() -> None:
    assert not read(INIT, assistant("half"))[0].complete
