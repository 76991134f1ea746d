"""The pass-through ear must hear what the full parser hears."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import Delta, Finish
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.openai_chat import Listener
from tests.wire.openai_chat_reading import folded, parse, transcript


def listen(*chunks: bytes, close: bool = True) -> Listener:
    ear = Listener()
    for chunk in chunks:
        ear.feed(chunk)
    if close:
        ear.close()
    return ear


@pytest.mark.parametrize("name", ["proper", "loose_host", "interleaved_calls", "reasoning_details", "error_midway"])
def test_it_agrees_with_the_parser_wherever_bytes_are_cut(name: str) -> None:
    data = transcript(name)
    events = parse([data])
    expected = folded(events)
    chars = sum(len(event.text) for event in events if isinstance(event, Delta))
    for at in range(len(data) + 1):
        ear = listen(data[:at], data[at:])
        assert ear.ended == expected.ended, at
        assert (ear.error is None) == (expected.error is None)
        assert ear.usage == expected.usage
        if expected.error is None:
            assert ear.finish is expected.response().choices[0].finish
        if name != "loose_host":  # arguments as an object are not counted
            assert ear.output_chars == chars
        assert ear.first_output


def test_the_end_is_known_before_the_bytes_are_forwarded() -> None:
    usage = (
        b'data: {"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
    )
    assert listen(usage + b"data: [DONE]\n\n", close=False).ended
    assert listen(usage, b"data: [DO", b"NE]\n\n", close=False).ended
    assert listen(usage, b"data: [DONE]\n", close=False).ended
    assert listen(usage, b"data: [DONE]", close=False).ended
    assert listen(usage, b"data: [DONE]\r\n\r\n", close=False).ended
    assert not listen(usage, b"data: [DON", close=False).ended


def test_a_finish_reason_without_done_ends_at_close() -> None:
    data = b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"length"}]}'
    assert not listen(data, close=False).ended
    ear = listen(data)
    assert (ear.ended, ear.finish) == (True, Finish.LENGTH)
    assert not listen(b'data: {"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n').ended


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_characters_are_counted_whatever_the_spelling(separators: tuple[str, str]) -> None:
    texts = ["plain", "é☀", 'with "quotes" and \\ and \n', "\\", 'ends with "', "", "😀"]
    ear = Listener()
    for text in texts:
        chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "usage": None}
        ear.feed(b"data: " + json.dumps(chunk, separators=separators).encode() + b"\n\n")
    assert ear.output_chars == len("".join(texts))


def test_first_output_is_real_output() -> None:
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    assert not listen(b": keepalive\n\n", role, close=False).first_output
    call = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}\n\n'
    assert listen(role, call, close=False).first_output


def test_words_about_errors_and_usage_are_no_errors_and_no_usage() -> None:
    text = '{"error": {"message": "x"}, "usage": {"prompt_tokens": 1}, "finish_reason": "stop"}'
    chunk = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}], "usage": None, "error": None}
    ear = listen(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert (ear.error, ear.usage, ear.finish, ear.ended) == (None, None, None, False)
    assert ear.output_chars == len(text)


@pytest.mark.parametrize(
    ("body", "finish", "chars"),
    [
        ({"choices": [{"message": {"content": "four"}, "finish_reason": "stop"}]}, Finish.STOP, 4),
        (
            {
                "choices": [
                    {"message": {"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, "finish_reason": "stop"}
                ]
            },
            Finish.TOOL_CALLS,
            2,
        ),
        ({"choices": [{"message": {"content": "x"}}]}, Finish.STOP, 1),
    ],
)
def test_whole_answers(body: Any, finish: Finish, chars: int) -> None:
    for given in (body, json.dumps(body).encode()):
        ear = Listener()
        ear.whole(given)
        assert (ear.finish, ear.output_chars, ear.ended, ear.first_output, ear.error) == (finish, chars, True, True, None)


@pytest.mark.parametrize("body", [{"error": "no"}, {}, {"choices": []}, {"choices": [{"finish_reason": "network_error"}]}, []])
def test_whole_failures(body: Any) -> None:
    ear = Listener()
    ear.whole(body)
    assert ear.error is not None
    assert not ear.ended


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    with pytest.raises(GatewayError) as caught:
        listen(*[b'data: {"x":"' + b"y" * 100] * 20)
    assert caught.value.kind is Kind.UPSTREAM_FAILED


@pytest.mark.parametrize("before", [b"", b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n', b": comment\n\n"])
def test_an_end_without_an_answer_is_a_failure(before: bytes) -> None:
    ear = listen(before + b"data: [DONE]\n\n")
    assert ear.error is not None and ear.error.kind is Kind.UPSTREAM_FAILED and not ear.ended
    assert folded(parse([before + b"data: [DONE]\n\n"])).error is not None


@pytest.mark.parametrize("choices", [[None], [[]], ["x"], {}, "x"])
def test_choices_that_are_none(choices: Any) -> None:
    ear = Listener()
    ear.whole({"choices": choices})
    assert ear.error is not None and not ear.ended


def test_a_call_without_its_beginning_is_no_call() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "", "arguments": "{}"}}]}}]}
    data = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
    (choice,) = folded(parse([data])).response().choices
    assert (listen(data).finish, choice.finish, choice.parts) == (Finish.STOP, Finish.STOP, ())


def test_fields_of_a_hosts_own_change_no_count() -> None:
    """The ear has a short way for chunks of nothing but the format's own words; whoever says more takes the long one."""

    def chunk(delta: Any, **more: Any) -> bytes:
        return sse.encode(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}).encode())

    call = {"index": 0, "function": {"arguments": "{}"}}
    words = [{"content": "é\n"}, {"reasoning_content": "hm"}, {"refusal": "no"}, {"tool_calls": [call]}, {"content": "\ud83d"}]
    plain = listen(chunk({"role": "assistant", "content": ""}), *map(chunk, words), close=False)
    odd = listen(*(chunk({**delta, "of_the_host": 1}, more={"x": 1}) for delta in words), close=False)
    assert plain.output_chars == odd.output_chars == 9
    assert plain.first_output and odd.first_output and plain.finish is odd.finish is None

    named = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    ended = listen(
        chunk({"content": "a"}), chunk({"tool_calls": [named]}), chunk({"content": "b"}, usage={"prompt_tokens": 3}), b"data: [DONE]\n\n"
    )
    assert ended.finish is Finish.TOOL_CALLS
    assert ended.usage is not None and ended.usage.prompt == 3
    assert listen(chunk({"content": "a"}), chunk({}, error={"message": "broke"})).error is not None
