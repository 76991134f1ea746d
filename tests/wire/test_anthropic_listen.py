"""The ear of the pass-through lane hears what the full parser reads."""

from __future__ import annotations

import json

import pytest

from omni_connector.chat import Finish, fold
from omni_connector.errors import Kind
from omni_connector.wire.anthropic_messages import Listener, ResponseParser
from tests.wire.anthropic_reading import ORIGIN, read, transcript


def listen(chunks: list[bytes]) -> Listener:
    listener = Listener()
    for chunk in chunks:
        listener.feed(chunk)
    return listener


@pytest.mark.parametrize(("name", "characters"), [("thinking_tool", 25 + 41 + 23), ("server_tool", 36), ("loose_host", 14 + 9)])
def test_it_agrees_with_the_parser_however_the_bytes_are_cut(name: str, characters: int) -> None:
    data = transcript(name)
    response = read([data])
    for chunks in (
        [data],
        [data[place : place + 1] for place in range(len(data))],
        [data[place : place + 50] for place in range(0, len(data), 50)],
    ):
        listener = listen(chunks)
        assert listener.usage == response.usage
        assert listener.finish is response.choices[0].finish
        assert listener.ended
        assert listener.first_output
        assert listener.error is None
        assert listener.output_chars == characters


def test_what_is_known_when() -> None:
    data = transcript("thinking_tool")
    listener = Listener()
    before, after = data.split(b"event: ping")
    listener.feed(before)
    assert listener.usage is not None
    assert (listener.usage.input, listener.first_output, listener.output_chars) == (412, False, 0)
    body, end = after.rsplit(b"event: message_stop", 1)
    listener.feed(b"event: ping" + body)
    assert (listener.finish, listener.ended) == (Finish.TOOL_CALLS, False)
    listener.feed(b"event: message_stop" + end)
    assert listener.ended


def test_an_error_is_heard() -> None:
    listener = listen([transcript("overloaded")])
    assert listener.error is not None
    assert (listener.error.kind, listener.ended, listener.finish) == (Kind.UPSTREAM_OVERLOADED, False, None)


def test_a_last_line_without_its_end_counts() -> None:
    assert listen([b'data: {"type":"mess', b'age_stop"}']).ended
    assert not listen([b'data: {"text":"message_stop"']).ended


def test_whole_answers() -> None:
    body = {
        "content": [{"type": "text", "text": "four"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    listener = Listener()
    listener.whole(body)
    assert listener.usage == fold(ResponseParser(ORIGIN).whole(body)).usage
    assert (listener.finish, listener.ended, listener.output_chars, listener.first_output) == (Finish.TOOL_CALLS, True, 11, True)
    failed = Listener()
    failed.whole({"type": "error", "error": {"type": "api_error", "message": "x"}})
    assert failed.error is not None
    assert not failed.ended
    torn = Listener()
    torn.whole(b"<html>")
    assert torn.error is not None
    assert torn.error.kind is Kind.UPSTREAM_FAILED


def test_searches_and_long_cache_writes_are_heard() -> None:
    first = {"input_tokens": 3, "cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 9}, "output_tokens": 1}
    start = {"type": "message_start", "message": {"usage": first}}
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"server_tool_use": {"web_search_requests": 2}}}
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in (start, end, {"type": "message_stop"}))
    heard, parsed = listen([data]).usage, read([data]).usage
    assert heard is not None and heard == parsed
    assert (heard.cache_write, heard.cache_write_1h, heard.web_searches) == (9, 9, 2)


def test_bytes_that_are_no_text_are_passed_over() -> None:
    assert listen([b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"\x83"}}\n\n']).output_chars == 0
