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


# ---------------------------------------------------------------- What is kept of an answer


def final_of(*chunks: bytes) -> Any:
    ear = Listener()
    ear.keeping = True
    for chunk in chunks:
        ear.feed(chunk)
    ear.close()
    return ear.final


@pytest.mark.parametrize("name", NAMES)
def test_the_final_answer_is_known_wherever_bytes_are_cut(name: str) -> None:  # C-23
    data = transcript(name)
    expected = final_of(data)
    done = [event["item"] for event in bodies_of(data) if event.get("type") == "response.output_item.done"]
    if expected is None:
        assert name == "loose_host", "it tells no id"
        return
    last = next(event["response"] for event in bodies_of(data) if event.get("type") in ("response.completed", "response.incomplete"))
    assert expected == {**last, "id": last.get("id") or expected["id"], "output": last.get("output") or done}
    for at in range(0, len(data), 97):
        assert final_of(data[:at], data[at:]) == expected
    assert listen(data).final is None, "nobody asked for it"


def bodies_of(data: bytes) -> list[dict[str, Any]]:
    decoder = sse.Decoder()
    events = [json.loads(event.data) for event in (*decoder.feed(data), *decoder.close()) if event.data.startswith(b"{")]
    return [event for event in events if isinstance(event, dict)]


def test_items_that_only_earlier_events_told_are_in_the_final_answer() -> None:
    """The Codex backend ends with an empty `output`."""
    begun = {"type": "response.created", "response": {"id": "resp_1", "output": []}}
    done = [{"type": "response.output_item.done", "output_index": at, "item": {"type": "message", "id": f"msg_{at}"}} for at in (1, 0)]
    ended = {"type": "response.completed", "response": {"usage": USAGE, "output": []}}
    final = final_of(sse_of(begun, *done, ended))
    assert (final["id"], [item["id"] for item in final["output"]]) == ("resp_1", ["msg_0", "msg_1"])


def test_there_is_no_final_answer_where_it_is_not_known_in_full() -> None:
    words = {"type": "response.output_text.delta", "delta": "Hi"}
    ended = {"type": "response.completed", "response": {"id": "r", "usage": USAGE}}
    failed = {"type": "response.failed", "response": {"id": "r", "error": {"code": "server_error", "message": "x"}}}
    assert final_of(sse_of(words, ended)) is None
    assert final_of(sse_of({**ended, "response": {"usage": USAGE}})) is None
    assert final_of(sse_of(words)) is None
    assert final_of(sse_of(words, failed)) is None
    assert final_of(sse_of(ended)) == {"id": "r", "usage": USAGE, "output": []}


@pytest.mark.parametrize(("status", "known"), [("completed", True), ("incomplete", True), (None, True), ("queued", False), ({}, True)])
def test_a_whole_answer_is_final_when_it_is_done(status: Any, known: bool) -> None:
    body = {"id": "r", "status": status, "output": [], "usage": USAGE}
    ear = Listener()
    ear.keeping = True
    ear.whole(body)
    assert ear.final == (body if known else None)


@pytest.mark.parametrize("kind", [{}, [], None, 5])
def test_a_terminal_event_of_a_strange_type_is_known_by_its_name(kind: Any) -> None:
    data = b"event: response.completed\ndata: " + json.dumps({"type": kind, "response": {"id": "r", "output": []}}).encode() + b"\n\n"
    assert listen(data).ended


@pytest.mark.parametrize("tools", ['[{"name":"t"}]', '["\\ud83d"]', '"\\ud83d"', "null"])
@pytest.mark.parametrize("keeping", [False, True])
def test_what_an_event_repeats_of_the_request_changes_nothing(tools: str, keeping: bool) -> None:
    echo = f'"instructions":"say \\"type\\":\\"response.failed\\" \\ud83d","tools":{tools}'
    text = '{"type":"message","content":[{"type":"output_text","text":"half \\ud83d"}]}'
    told = [
        (f'event: {kind}\ndata: {{"type":"{kind}",' + f'"response":{{"id":"r",{echo},"output":[{output}],"usage":{usage}}}}}\n\n').encode()
        for kind, output, usage in (
            ("response.created", "", "null"),
            ("response.in_progress", "", "null"),
            ("response.completed", text, json.dumps(USAGE)),
        )
    ]
    ear = Listener()
    ear.keeping = keeping
    for event in told:
        ear.feed(event)
    assert (ear.ended, ear.error, ear.finish, ear.output_chars) == (True, None, Finish.STOP, 6)
    assert ear.usage is not None and ear.usage.output == 2
    assert (ear.final is not None) == keeping
    failed = ear.fail(GatewayError(Kind.UPSTREAM_TIMEOUT, "late"), "asked")
    assert b'"sequence_number":3' in failed and b'"id":"resp_r"' in failed
