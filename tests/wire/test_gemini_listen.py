"""The ear of the pass-through lane hears what the full parser reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import Delta, Failed, Finish, fold
from omni_connector.errors import Kind
from omni_connector.wire.gemini_generate import Listener, ResponseParser
from tests.wire.gemini_reading import ORIGIN, array, counts, folded, parse, transcript


def listen(chunks: list[bytes]) -> Listener:
    listener = Listener()
    for chunk in chunks:
        listener.feed(chunk)
    assert not listener.ended, "nobody knows the end before the bytes end"
    listener.close()
    return listener


@pytest.mark.parametrize("name", ["thought_call", "sources", "blocked", "array"])
def test_it_agrees_with_the_parser_however_the_bytes_are_cut(name: str) -> None:
    data = array() if name == "array" else transcript(name)
    events = parse([data])
    whole = folded(events)
    characters = sum(len(event.text) for event in events if isinstance(event, Delta))
    for size in (len(data), 1, 7, 300):
        listener = listen([data[place : place + size] for place in range(0, len(data), size)])
        assert counts(listener.usage) == counts(whole.usage)
        assert listener.finish is whole.response().choices[0].finish
        assert (listener.ended, listener.error) == (True, None)
        assert listener.output_chars == characters
        assert listener.first_output == (name != "blocked")


def test_what_is_known_when() -> None:
    listener = Listener()
    *chunks, last = [chunk + b"\r\n\r\n" for chunk in transcript("thought_call").split(b"\r\n\r\n")[:-1]]
    listener.feed(chunks[0])
    assert (listener.first_output, listener.output_chars, listener.finish) == (True, 16, None)
    assert listener.usage is not None
    assert listener.usage.output == 12
    for chunk in chunks[1:]:
        listener.feed(chunk)
    assert listener.finish is None
    listener.feed(last)
    assert (listener.finish, listener.ended) == (Finish.TOOL_CALLS, False)
    listener.close()
    assert listener.ended


def test_a_cut_stream_has_not_ended_and_its_last_usage_counts() -> None:
    data = transcript("thought_call")
    listener = listen([data[: data.rindex(b"data:")]])
    assert (listener.ended, listener.finish) == (False, None)
    assert listener.usage is not None
    assert listener.usage.output == 75


def test_an_error_is_heard() -> None:
    listener = listen([transcript("broken_off")])
    assert listener.error is not None
    assert (listener.error.kind, listener.ended) == (Kind.UPSTREAM_OVERLOADED, False)
    assert listener.output_chars == 10


def test_words_that_look_like_keys_are_words() -> None:
    text = b'data: {"candidates":[{"content":{"parts":[{"text":"say \\"error\\": \\"finishReason\\" \\\\"}]}}]}\r\n\r\n'
    listener = Listener()
    listener.feed(text)
    assert (listener.error, listener.finish, listener.output_chars) == (None, None, len('say "error": "finishReason" \\'))


def test_calls_in_pieces_and_pictures_are_output() -> None:
    listener = listen([transcript("partial_args")])
    assert (listener.finish, listener.first_output) == (Finish.TOOL_CALLS, True)
    picture = Listener()
    picture.feed(b'data: {"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}}]}\r\n\r\n')
    assert picture.first_output


@pytest.mark.parametrize(
    "body",
    [
        {"candidates": [{"content": {"parts": [{"text": "four"}, {"functionCall": {"name": "f", "args": {"a": 1}}}]}, "finishReason": 1}]},
        {"candidates": [{"content": {"role": "model"}}], "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}},
        {"promptFeedback": {"blockReason": 1}},
        {"response": {"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "SAFETY"}]}},
        {"error": {"code": 503, "message": "x"}},
        {},
        b"<html>",
        [{"candidates": [{"content": {"parts": [{"text": "x"}]}}]}, {"candidates": [{"finishReason": "MAX_TOKENS"}]}],
    ],
)
def test_whole_answers(body: Any) -> None:
    listener = Listener()
    listener.whole(body)
    events = ResponseParser(ORIGIN).whole(body)
    if isinstance(events[-1], Failed):
        assert listener.error is not None
        assert (listener.error.kind, listener.ended) == (events[-1].error.kind, False)
        return
    response = fold(events)
    assert (listener.finish, listener.ended, listener.error) == (response.choices[0].finish, True, None)
    assert listener.usage == response.usage
    assert listener.output_chars == sum(len(event.text) for event in events if isinstance(event, Delta))


def says(*chunks: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def candidate(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}]}


def test_a_call_behind_a_finish_reason_is_a_call() -> None:
    data = says(candidate({"text": "a"}, finishReason="STOP"), candidate({"functionCall": {"name": "f", "args": {}}}))
    assert listen([data]).finish is folded(parse([data])).response().choices[0].finish is Finish.TOOL_CALLS
    nameless = says(candidate({"functionCall": {"args": {}}}, finishReason="STOP"))
    assert listen([nameless]).finish is Finish.STOP


def test_counts_that_the_last_chunk_does_not_repeat_still_hold() -> None:
    first = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14}
    last: Any
    for last in ({"trafficType": "ON_DEMAND"}, {"promptTokenCount": 10, "totalTokenCount": 10}, {"promptTokenCount": None}):
        data = says({**candidate({"text": "a"}), "usageMetadata": first}, {**candidate(finishReason="STOP"), "usageMetadata": last})
        heard = listen([data]).usage
        assert heard is not None and counts(heard) == counts(folded(parse([data])).usage)


def test_a_prompt_that_is_only_judged_was_blocked() -> None:
    judged = says({"promptFeedback": {"safetyRatings": []}})
    ear = listen([judged])
    assert (ear.finish, ear.ended) == (Finish.FILTER, True)
    cut_off = listen([judged + says(candidate({"text": "a"}))])
    assert (cut_off.finish, cut_off.ended) == (None, False)


@pytest.mark.parametrize("candidates", ["x", [None], [[]], {}, [5]])
def test_candidates_that_are_none(candidates: Any) -> None:
    ear = Listener()
    ear.whole({"candidates": candidates})
    assert ear.error is not None and not ear.ended
