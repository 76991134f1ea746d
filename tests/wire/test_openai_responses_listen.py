"""The pass-through ear must hear what the full parser hears."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import Delta, Finish
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.openai_responses import Listener
from tests.wire.openai_responses_reading import NAMES, check_stream, folded, parse, sse_of, transcript

USAGE = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def listen(*chunks: bytes, close: bool = True) -> Listener:
    ear = Listener()
    for chunk in chunks:
        ear.feed(chunk)
    if close:
        ear.close()
    return ear


@pytest.mark.parametrize("name", [*NAMES, "failed"])
def test_it_agrees_with_the_parser_wherever_bytes_are_cut(name: str) -> None:
    data = transcript(name)
    events = parse([data])
    expected = folded(events)
    # The blank lines between the parts of a thought are ours.
    chars = sum(len(event.text) for event in events if isinstance(event, Delta) and event.text != "\n\n")
    # Half an emoji counts as one character, so one that was cut between two deltas counts as two.
    chars += name == "loose_host"
    for at in range(0, len(data) + 1, 1 if len(data) < 4000 else 7):
        ear = listen(data[:at], data[at:])
        assert ear.ended == expected.ended, at
        assert (ear.error and ear.error.kind) == (expected.error and expected.error.kind)
        assert ear.usage == expected.usage
        assert ear.finish is (expected.response().choices[0].finish if expected.error is None else None)
        assert ear.output_chars == chars, at
        assert ear.first_output


def test_the_end_is_known_before_the_bytes_are_forwarded() -> None:
    data = b"event: response.completed\n" + sse_of({"type": "response.completed", "response": {"usage": USAGE}})
    assert listen(data, close=False).ended
    assert listen(data[:40], data[40:], close=False).ended
    assert listen(data[:-1], close=False).ended
    assert listen(data[:-2], close=False).ended
    assert not listen(data[:-3], close=False).ended
    assert listen(data.replace(b"\n", b"\r\n"), close=False).ended
    twice = listen(data[:-2], data[-2:], data)
    assert twice.usage is not None
    assert twice.usage.output == 2


def test_a_stream_without_its_end_has_none() -> None:
    data = transcript("proper")
    ear = listen(data[: data.index(b"event: response.completed")])
    assert (ear.ended, ear.finish, ear.error) == (False, None, None)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("named", [True, False])
def test_characters_are_counted_whatever_the_spelling(separators: tuple[str, str], named: bool) -> None:
    texts = ["plain", "é☀", 'with "quotes" and \\ and \n', "\\", 'ends with "', "", "😀", '"delta":"no"']
    ear = Listener()
    for text in texts:
        event = {"item_id": "x", "delta": text, "type": "response.output_text.delta", "logprobs": [], "obfuscation": "abc"}
        line = b"data: " + json.dumps(event, separators=separators).encode() + b"\n\n"
        ear.feed(b"event: response.output_text.delta\n" + line if named else line)
    assert ear.output_chars == len("".join(texts))


def test_first_output_is_real_output() -> None:
    created = sse_of({"type": "response.created", "response": {"id": "r", "output": []}})
    message = sse_of({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}})
    call = sse_of({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "name": "f"}})
    assert not listen(b": keepalive\n\n", created, message, close=False).first_output
    assert listen(created, call, close=False).first_output


def test_words_about_events_are_no_events() -> None:
    text = '{"type":"response.completed","response":{"usage":{}}} {"error": {"message": "x"}} "type":"function_call"'
    ear = listen(sse_of({"type": "response.output_text.delta", "delta": text}))
    assert (ear.error, ear.usage, ear.finish, ear.ended, ear.output_chars) == (None, None, None, False, len(text))


def test_deltas_of_provider_run_tools_are_not_counted() -> None:
    ear = listen(sse_of({"type": "response.code_interpreter_call_code.delta", "output_index": 0, "delta": "print(1)"}))
    assert (ear.output_chars, ear.first_output) == (0, False)


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}}, Kind.UPSTREAM_FAILED),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "x"}, Kind.ACCOUNT_RATE_LIMITED),
        ({"error": {"code": "server_is_overloaded", "message": "x"}}, Kind.UPSTREAM_OVERLOADED),
        ({"type": "response.completed", "response": {"status": "failed", "error": {"code": "bio_policy"}}}, Kind.CONTENT_FILTERED),
    ],
)
def test_errors(event: dict[str, Any], kind: Kind) -> None:
    ear = listen(sse_of(event))
    assert ear.error is not None
    assert (ear.error.kind, ear.ended, ear.finish) == (kind, False, None)
    assert listen(sse_of({"error": None, "x": '"error"'})).error is None


@pytest.mark.parametrize(
    ("body", "finish", "chars"),
    [
        ({"output": [{"type": "message", "content": [{"type": "output_text", "text": "four"}]}]}, Finish.STOP, 4),
        ({"output": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, Finish.TOOL_CALLS, 2),
        (
            {"output": [{"type": "reasoning", "summary": [{"text": "Hm."}]}, {"type": "custom_tool_call", "name": "x", "input": "ls"}]},
            Finish.TOOL_CALLS,
            5,
        ),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Finish.FILTER, 0),
        ({"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}, 3]}, Finish.STOP, 3),
    ],
)
def test_whole_answers(body: Any, finish: Finish, chars: int) -> None:
    for given in (body, json.dumps(body).encode()):
        ear = Listener()
        ear.whole(given)
        assert (ear.finish, ear.output_chars, ear.ended, ear.first_output, ear.error) == (finish, chars, True, True, None)


@pytest.mark.parametrize("body", [{"error": {"message": "no"}}, {}, {"status": "failed", "output": []}, [], None])
def test_whole_failures(body: Any) -> None:
    ear = Listener()
    ear.whole(body)
    assert ear.error is not None
    assert not ear.ended


def test_a_stream_that_breaks_off_fails_as_the_response_it_began() -> None:  # clients.md, finding 9
    data = transcript("proper")
    begun = data[: data.index(b"event: response.output_item.done")]
    error = GatewayError(Kind.UPSTREAM_FAILED, "The provider broke off.")
    ear = listen(begun, close=False)
    last = check_stream(begun.replace(b"gpt-5.5-2026-04-01", b"asked-for") + ear.fail(error, "asked-for"), failed=True)
    assert (last["id"], last["model"], last["error"]["message"]) == ("resp_0a1", "asked-for", "The provider broke off.")
    assert check_stream(listen(close=False).fail(error, "m"), failed=True)["output"] == []


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    with pytest.raises(GatewayError) as caught:
        listen(*[b'data: {"x":"' + b"y" * 100] * 20)
    assert caught.value.kind is Kind.UPSTREAM_FAILED
