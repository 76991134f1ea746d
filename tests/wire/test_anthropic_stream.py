"""Answers of an upstream → events: transcripts, cut anywhere."""

from __future__ import annotations

import json

import pytest

from omni_connector.chat import (
    Annotation,
    ChatRequest,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    ForeignPart,
    Opaque,
    Origin,
    PartEnd,
    PartStart,
    ReasoningPart,
    Started,
    TextPart,
    Tool,
    ToolCallPart,
    Usage,
    fold,
)
from omni_connector.errors import Kind
from omni_connector.wire.anthropic_messages import NAME, ResponseParser
from tests.wire.anthropic_reading import ORIGIN, parse, parts_of, read, transcript

CITATION = {
    "type": "web_search_result_location",
    "url": "https://example.com/lights",
    "title": "Lights",
    "encrypted_index": "xyz=",
    "cited_text": "1884",
}


def test_thoughts_text_and_calls() -> None:
    # C-08, C-09
    response = read([transcript("thinking_tool")])
    usage = response.usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) == (412, 2048, 64, 97, 31)
    assert usage.raw["service_tier"] == "standard"
    assert (response.id, response.model) == ("msg_01Harbour", "claude-opus-4-8")
    assert response.choices == (
        Choice(
            (
                ReasoningPart("The tide table will tell.", (Opaque("anthropic.signature", "Eq0BsIgNaTuRe+/==", ORIGIN),)),
                ReasoningPart("", (Opaque("anthropic.redacted", "EmwKrEdAcTeD=", ORIGIN),)),
                TextPart("Ich schaue für Sie nach — einen Moment. 🌊"),
                ToolCallPart("toolu_01Tide", "tide_table", '{"harbour": "Cuxhaven"}', extra={"caller": {"type": "direct"}}),
                ToolCallPart("toolu_02Now", "now", "{}"),
            ),
            Finish.TOOL_CALLS,
            raw_finish="tool_use",
        ),
    )


def test_server_tools_compaction_citations_and_what_is_new() -> None:
    response = read([transcript("server_tool")])
    assert parts_of(response) == (
        ForeignPart(NAME, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "lighthouse"}}),
        ForeignPart(
            NAME,
            {
                "type": "web_search_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": [
                    {"type": "web_search_result", "title": "Lights", "url": "https://example.com/lights", "encrypted_content": "abc="}
                ],
            },
        ),
        ForeignPart(NAME, {"type": "compaction", "content": "They spoke of lights."}),
        TextPart("Built in 1884.", citations=(CITATION,)),
    )
    assert response.choices[0].finish is Finish.PAUSE
    assert response.choices[0].extra == {"container": {"id": "container_9"}, "context_management": {"applied_edits": []}}
    assert response.usage is not None
    assert (response.usage.input, response.usage.output, response.usage.cache_read) == (1090, 90, 7)


def test_an_error_inside_the_stream_ends_it() -> None:
    events = parse([transcript("overloaded") + b'event: message_stop\ndata: {"type":"message_stop"}\n\n'])
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.kind, events[-1].error.message) == (Kind.UPSTREAM_OVERLOADED, "Overloaded")
    assert Delta(0, "The storm") in events


def test_loose_hosts_are_understood() -> None:
    response = read([transcript("loose_host")])
    assert parts_of(response) == (
        TextPart("Moin aus\u2028Kiel"),
        ReasoningPart("(late thought)"),
        ToolCallPart("call.9", "wave", '{"height":2}'),
    )
    assert response.usage is not None
    assert (response.usage.input, response.usage.output) == (33, 8)


@pytest.mark.parametrize("name", ["thinking_tool", "server_tool", "overloaded", "loose_host"])
def test_cut_at_every_byte(name: str) -> None:
    data = transcript(name)
    # By their text: errors are compared by identity.
    whole = repr(parse([data]))
    assert repr(parse([data[place : place + 1] for place in range(len(data))])) == whole
    for place in range(0, len(data), 7):
        assert repr(parse([data[:place], data[place:]])) == whole


def test_a_cut_stream_has_no_end() -> None:
    data = transcript("thinking_tool")
    assert not any(isinstance(event, Ended) for event in parse([data[: data.index(b"event: message_delta")]]))


def test_a_stream_that_told_its_reason_is_complete_without_its_last_event() -> None:  # clients.md finding 9
    """Clients repeat a request in a loop whose answer has no end; with its reason told, nothing of this answer is missing."""
    data = transcript("thinking_tool")
    assert repr(parse([data[: data.index(b"event: message_stop")]])) == repr(parse([data]))


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.STOP),
        ("max_tokens", Finish.LENGTH),
        ("stop_sequence", Finish.STOP_SEQUENCE),
        ("tool_use", Finish.TOOL_CALLS),
        ("pause_turn", Finish.PAUSE),
        ("refusal", Finish.REFUSAL),
        ("model_context_window_exceeded", Finish.CONTEXT),
        ("something_new", Finish.OTHER),
        (None, Finish.OTHER),
    ],
)
def test_every_stop_reason_whole_and_streamed(reason: str | None, finish: Finish) -> None:
    details = {"type": "refusal", "category": "cyber"}
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "A"}],
        "stop_reason": reason,
        "stop_sequence": "END" if reason == "stop_sequence" else None,
        "stop_details": details if reason == "refusal" else None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    (choice,) = fold(ResponseParser(ORIGIN).whole(body)).choices
    assert (choice.finish, choice.raw_finish, choice.stop_sequence) == (finish, reason, body["stop_sequence"])
    assert choice.extra == ({"stop_details": details} if reason == "refusal" else {})
    end = f'{{"type":"message_delta","delta":{{"stop_reason":{"null" if reason is None else chr(34) + reason + chr(34)}}}}}'
    streamed = parse([b'data: {"type":"message_start","message":{}}\n\ndata: ' + end.encode() + b'\n\ndata: {"type":"message_stop"}\n\n'])
    assert fold(streamed).choices[0].finish is finish


def test_a_whole_answer_takes_the_same_path() -> None:
    body = {
        "id": "msg_1",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "S="},
            {"type": "redacted_thinking", "data": "D="},
            {"type": "text", "text": "A", "citations": [CITATION]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": [1]}},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        ],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    events = ResponseParser(ORIGIN).whole(body)
    assert events[0] == Started("msg_1", "m")
    assert Annotation(2, NAME, CITATION) in events
    assert ResponseParser(ORIGIN).whole(json.dumps(body).encode()) == events
    assert fold(events) == ChatResponse(
        "msg_1",
        "m",
        0,
        (
            Choice(
                (
                    ReasoningPart("hm", (Opaque("anthropic.signature", "S=", ORIGIN),)),
                    ReasoningPart("", (Opaque("anthropic.redacted", "D=", ORIGIN),)),
                    TextPart("A", citations=(CITATION,)),
                    ToolCallPart("t", "f", '{"a":[1]}'),
                    ForeignPart(NAME, {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
                ),
                Finish.STOP,
                raw_finish="end_turn",
            ),
        ),
        Usage(input=3, output=4, raw={"input_tokens": 3, "output_tokens": 4}),
    )


@pytest.mark.parametrize(
    "body", [{}, {"type": "error", "error": {"type": "api_error", "message": "x"}}, {"content": "x"}, {"error": "busy"}]
)
def test_a_body_that_is_no_message_is_a_failure(body: dict[str, object]) -> None:
    (event,) = ResponseParser(ORIGIN).whole(body)
    assert isinstance(event, Failed)
    assert event.error.kind is Kind.UPSTREAM_FAILED


def test_free_text_tools_get_their_text_back() -> None:
    request = ChatRequest("openai-responses", "m", (), tools=(Tool("custom", "apply"),))
    parser = ResponseParser(Origin("anthropic", "m"), request)
    start = b'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"apply","input":{}}}\n\n'
    piece = b'data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"%s"}}\n\n'
    events = parser.feed(
        start + piece % b'{\\"input\\": \\"*** Be' + piece % b'gin\\\\n\\"}' + b'data: {"type":"content_block_stop","index":0}\n\n'
    )
    assert events == [PartStart(0, "tool_call", "t", "apply", True), Delta(0, "*** Begin\n"), PartEnd(0)]
    call = {"type": "tool_use", "id": "t", "name": "apply", "input": {"other": 1}}
    kept = fold(ResponseParser(ORIGIN, request).whole({"content": [call], "stop_reason": "tool_use"}))
    assert parts_of(kept) == (ToolCallPart("t", "apply", '{"other":1}', custom=True),)


def test_junk_between_events_is_skipped() -> None:
    junk = b'data: [1]\n\ndata: {broken\n\ndata: {"type":"content_block_delta","index":9,"delta":{"type":"x"}}\n\ndata: {"type":"ping"}\n\n'
    junk += b'data: {"type":"content_block_start","index":0,"content_block":7}\n\ndata: {"type":"content_block_stop","index":"x"}\n\n'
    assert parse([junk]) == []
