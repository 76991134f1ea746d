"""An upstream's answer → events: proper streams, and what hosts leave out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import (
    ChatRequest,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    ForeignPart,
    Opaque,
    PartStart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    Usage,
    fold,
)
from omni_connector.errors import Kind
from omni_connector.wire.openai_responses import ResponseParser
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, NAME
from tests.wire.openai_responses_reading import NAMES, ORIGIN, folded, parse, read, request, sse_of, transcript

NOTE = {
    "type": "url_citation",
    "url_citation": {"start_index": 18, "end_index": 26, "url": "https://tides.example/cux", "title": "Tides"},
}


def only(data: bytes, asked: ChatRequest | None = None) -> Choice:
    (choice,) = read([data], asked).choices
    return choice


def whole(body: Any, asked: ChatRequest | None = None) -> Choice:
    (choice,) = fold(ResponseParser(ORIGIN, asked).whole(body)).choices
    return choice


def completed(**fields: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", **fields}}


def test_a_proper_stream() -> None:
    response = read([transcript("proper")])
    (choice,) = response.choices
    assert (response.id, response.model, response.created) == ("resp_0a1", "gpt-5.5-2026-04-01", 1_790_000_000)
    assert choice.parts == (
        ReasoningPart(
            "**Looking at the tide**\n\nHigh water is at noon.\n\nSo I ask for the depth.",
            (Opaque(ENCRYPTED, "rs_0a2 gAAAAABfinal", ORIGIN),),
            {ITEM: {"id": "rs_0a2"}},
        ),
        TextPart("Flut um 12:04 🌊, sagt das Amt.", citations=(NOTE,), extra={ITEM: {"id": "msg_0a3", "phase": "commentary"}}),
        ToolCallPart(
            "call_depth", "depth", '{"berth": "Pier \\"7\\"", "draught": 11.50}', extra={ITEM: {"id": "fc_0a4", "namespace": "harbour"}}
        ),
        ToolCallPart("call_exec", "exec", 'print("ahoy")\n', custom=True, extra={ITEM: {"id": "ctc_0a5"}}),
    )
    assert (choice.finish, choice.raw_finish) == (Finish.TOOL_CALLS, "completed")
    assert response.extra["store"] is False
    assert choice.extra["response"]["service_tier"] == "default"
    usage = response.usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning, usage.web_searches) == (40, 64, 16, 75, 32, 2)


def test_the_codex_backend_tells_only_whole_items() -> None:  # upstreams.md §6A
    choice = only(transcript("codex"))
    assert choice.parts == (
        ReasoningPart("Short.", (Opaque(ENCRYPTED, "gAAAAABcodex", ORIGIN),), {ITEM: {}}),
        TextPart("Casting off.", extra={ITEM: {}}),
        ToolCallPart("call_c", "exec", "ls", custom=True, extra={ITEM: {}}),
    )
    assert choice.finish is Finish.TOOL_CALLS


def test_a_loose_host() -> None:
    response = read([transcript("loose_host")])
    (choice,) = response.choices
    assert choice.parts == (
        ReasoningPart("Ebb 🌊, then.", extra={ITEM: {"id": "r1", "content": []}}),
        TextPart("Two calls.", extra={ITEM: {"id": "m1"}}),
        ToolCallPart("c1", "wind", "{}", extra={ITEM: {"id": "f1"}}),
        ToolCallPart("c2", "sea", '{"a":1}', extra={ITEM: {"id": "f2"}}),
    )
    assert response.usage is not None
    assert response.usage.total == 13


def test_an_answer_that_was_cut_short() -> None:
    choice = only(transcript("incomplete"))
    assert choice.parts[0] == RefusalPart("I cannot say.", {ITEM: {"id": "msg_i"}})
    assert (choice.finish, choice.raw_finish) == (Finish.LENGTH, "max_output_tokens")


def test_provider_run_tools_are_whole_items() -> None:
    choice = only(transcript("hosted"))
    search, code, one, two = choice.parts
    assert isinstance(search, ForeignPart)
    assert isinstance(code, ForeignPart)
    assert (search.wire, search.value["type"], code.value["code"]) == (NAME, "web_search_call", "print(1)")
    assert (one, two) == (TextPart("One.", extra={ITEM: {"id": "msg_h"}}), TextPart(" Two."))
    assert choice.finish is Finish.STOP


def test_a_failed_answer() -> None:
    found = folded(parse([transcript("failed")]))
    assert found.error is not None
    assert (found.error.kind, found.error.retry_after, found.ended) == (Kind.ACCOUNT_RATE_LIMITED, 2.5, False)
    events = parse([sse_of({"type": "error", "code": "server_error", "message": "Oops."}, completed(output=[]))])
    assert [type(event) for event in events] == [Failed]


@pytest.mark.parametrize("name", [*NAMES, "failed"])
def test_wherever_bytes_are_cut(name: str) -> None:
    data = transcript(name)
    wanted = [str(event) for event in parse([data])]
    for at in range(0, len(data) + 1, 1 if len(data) < 4000 else 3):
        assert [str(event) for event in parse([data[:at], data[at:]])] == wanted


def test_a_stream_without_its_end_was_cut() -> None:
    data = transcript("proper")
    events = parse([data[: data.index(b"event: response.completed")]])
    assert not any(isinstance(event, Ended | Failed) for event in events)


def test_nothing_follows_the_end() -> None:
    data = transcript("hosted")
    assert parse([data + b"data: [DONE]\n\n" + data]) == parse([data])


def test_only_the_end_tells_everything() -> None:
    output = json.loads(transcript("proper").split(b"data: ")[-1])["response"]["output"]
    data = sse_of({"type": "response.created", "response": {"id": "r"}}, completed(output=output))
    proper = only(transcript("proper"))
    told = only(data)
    assert [type(part) for part in told.parts] == [type(part) for part in proper.parts]
    assert told.parts[1:] == proper.parts[1:]
    # Nothing is told twice.
    item = {"type": "response.output_item.done", "output_index": 1, "item": output[1]}
    assert [type(part) for part in only(sse_of(item, completed(output=output))).parts] == [
        TextPart,
        ReasoningPart,
        ToolCallPart,
        ToolCallPart,
    ]


def test_whole_answers_take_the_same_path() -> None:
    body = json.loads(transcript("proper").split(b"data: ")[-1])["response"]
    found, streamed = whole(body), only(transcript("proper"))
    assert found.parts[1:] == streamed.parts[1:]
    thought = found.parts[0]
    assert isinstance(thought, ReasoningPart)
    assert thought.text == streamed.parts[0].text  # type: ignore[union-attr]
    # Where the parts of a thought begin is known only here.
    assert thought.extra[ITEM]["summary"][1] == "So I ask for the depth."
    assert found.finish is streamed.finish


def test_a_stand_in_becomes_a_free_text_call_again() -> None:  # clients.md, finding 6
    asked = request(tools=[{"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]}])
    item = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "exec"}
    done = {**item, "arguments": '{"input": "ls -l"}'}
    pieces = [{"type": "response.function_call_arguments.delta", "output_index": 0, "delta": text} for text in ('{"input": ', '"ls -l"}')]
    data = sse_of(
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        *pieces,
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        completed(output=[]),
    )
    wanted = (ToolCallPart("c1", "exec", "ls -l", custom=True, extra={ITEM: {"id": "fc_1"}}),)
    assert only(data, asked).parts == wanted
    assert whole({"output": [done]}, asked).parts == wanted


def test_namespaces_become_the_names_tools_have_here() -> None:
    asked = request(tools=[{"type": "namespace", "name": "hub", "tools": [{"type": "function", "name": "f"}]}])
    call = {"type": "function_call", "call_id": "c1", "name": "f", "namespace": "hub", "arguments": "{}"}
    (part,) = whole({"output": [call]}, asked).parts
    assert part == ToolCallPart("c1", "hub__f", "{}", extra={ITEM: {"namespace": "hub"}})


def test_a_call_waits_for_its_name() -> None:
    delta = {"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{}"}
    done = {"type": "response.output_item.done", "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f"}}
    assert only(sse_of(delta, done, completed())).parts == (ToolCallPart("c1", "f", "{}", extra={ITEM: {"id": "fc_1"}}),)
    assert only(sse_of(delta, completed())).parts == ()


def test_indexes_that_are_used_again_are_new_items() -> None:
    def item(number: int) -> dict[str, Any]:
        content = [{"type": "output_text", "text": f"{number}."}]
        return {"type": "message", "id": f"m{number}", "role": "assistant", "content": content}

    events = [{"type": "response.output_item.done", "output_index": 0, "item": item(number)} for number in range(2)]
    parts = only(sse_of(*events, completed(output=[]))).parts
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["0.", "1."]
    added = [{"type": "response.output_item.added", "output_index": 0, "item": {**item(n), "content": []}} for n in range(2)]
    deltas = [{"type": "response.output_text.delta", "output_index": 0, "delta": f"{n}."} for n in range(2)]
    parts = only(sse_of(added[0], deltas[0], added[1], deltas[1], completed())).parts
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["0.", "1."]


def test_citations_are_told_once() -> None:
    note = {"type": "url_citation", "url": "u", "start_index": 0, "end_index": 1, "title": "t"}
    added = {"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0, "annotation": note}
    content = [{"type": "output_text", "text": "Hi", "annotations": [note, {**note, "url": "v"}]}]
    done = {"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "content": content}}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
    (part,) = only(sse_of(delta, added, done, completed())).parts
    assert isinstance(part, TextPart)
    assert [citation["url_citation"]["url"] for citation in part.citations] == ["u", "v"]


def test_log_probabilities_take_the_chat_formats_shape() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    choice = whole({"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hi", "logprobs": [entry]}]}]})
    assert choice.extra["logprobs"] == {"content": [entry]}


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "Oops."}, "output": []}, Kind.UPSTREAM_FAILED),
        ({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, Kind.ACCOUNT_REJECTED),
        ({"status": "failed"}, Kind.UPSTREAM_FAILED),
        ({"id": "r"}, Kind.UPSTREAM_FAILED),
        (b"<html>", Kind.UPSTREAM_FAILED),
        ([], Kind.UPSTREAM_FAILED),
    ],
)
def test_whole_failures(body: Any, kind: Kind) -> None:
    found = folded(ResponseParser(ORIGIN).whole(body))
    assert found.error is not None
    assert (found.error.kind, found.ended) == (kind, False)


def test_a_background_answer_is_not_done() -> None:
    found = fold(ResponseParser(ORIGIN).whole({"id": "resp_1", "status": "queued", "output": [], "usage": None}))
    assert (found.usage, found.choices[0].finish, found.choices[0].raw_finish) == (None, Finish.OTHER, "queued")


def test_errors_without_a_type() -> None:
    (event,) = parse([sse_of({"error": {"message": "Busy.", "code": "server_is_overloaded"}})])
    assert isinstance(event, Failed)
    assert event.error.kind is Kind.UPSTREAM_OVERLOADED
    events = parse([sse_of({"type": "brand.new", "x": 1}, {"type": "codex.rate_limits"}, completed(output=[]))])
    assert [type(event).__name__ for event in events] == ["Started", "Finished", "Ended"]


def test_usage_is_told_before_the_finish() -> None:
    events = parse([sse_of(completed(usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}))])
    names = [type(event).__name__ for event in events]
    assert names == ["Started", "UsageSeen", "Finished", "Ended"]
    assert fold(events).usage == Usage(1, None, None, 2, None, raw={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3})


def test_words_come_at_once() -> None:
    parser = ResponseParser(ORIGIN)
    events = parser.feed(sse_of({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}))
    assert [type(event).__name__ for event in events] == ["Started", "PartStart", "Delta"]
    started = parser.feed(
        sse_of({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "f"}})
    )
    assert any(isinstance(event, PartStart) and event.kind == "tool_call" for event in started)
    assert isinstance(events[2], Delta)
