"""Events → a client's stream: the order clients demand, and what has no place in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import (
    Annotation,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Event,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Opaque,
    OpaqueDelta,
    Origin,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    ToolCallPart,
    Usage,
    UsageSeen,
    seal,
    unfold,
    unseal,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.anthropic_messages import ResponseRenderer, parse_request, render_response
from omni_connector.wire.anthropic_words import is_foreign_page
from tests.wire.anthropic_reading import check_stream, parts_of, read

OTHER = Origin("openai", "gpt-5.5")


def stream(events: Iterable[Event], renderer: ResponseRenderer | None = None) -> bytes:
    renderer = renderer or ResponseRenderer("asked")
    return b"".join(renderer.feed(event) for event in events)


def answer(*parts: Any, finish: Finish = Finish.STOP, raw: str | None = "stop", **more: Any) -> ChatResponse:
    return ChatResponse("chatcmpl-1", "served", 0, (Choice(parts, finish, raw_finish=raw, **more),), Usage(7, 2, None, 5, 1))


def test_an_answer_of_an_openai_host() -> None:
    # C-08, C-09, O-01, R-05: usage comes last there, and calls take turns.
    events: list[Event] = [
        Started("chatcmpl-1", "served", 5),
        PartStart(0, "text"),
        Delta(0, "Let me "),
        Delta(0, "see."),
        PartStart(1, "tool_call", "call_a", "f"),
        PartStart(2, "tool_call", "functions.g:1", "g"),
        Delta(2, '{"b":'),
        Delta(1, '{"a":1}'),
        PartEnd(0),
        Delta(2, "2}"),
        PartEnd(2),
        PartEnd(1),
        Finished(Finish.TOOL_CALLS, raw="tool_calls"),
        UsageSeen(Usage(input=10, cache_read=4, output=6, reasoning=2)),
        Ended(),
    ]
    bodies = check_stream(stream(events))
    assert bodies[0] == {
        "type": "message_start",
        "message": {
            "id": "msg_chatcmpl-1",
            "type": "message",
            "role": "assistant",
            "model": "asked",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0},
        },
    }
    assert [body["type"].removeprefix("content_block_") for body in bodies[1:-2]] == [
        *("start", "delta", "delta", "stop", "start", "delta", "stop", "start", "delta", "delta", "stop")
    ]
    assert bodies[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 6,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
    assert bodies[-1] == {"type": "message_stop"}
    parts = parts_of(read([stream(events)]))
    assert parts == (
        TextPart("Let me see."),
        ToolCallPart("call_a", "f", '{"a":1}'),
        ToolCallPart("omni_ZnVuY3Rpb25zLmc6MQ", "g", '{"b":2}'),
    )


@given(st.data())
def test_parts_in_any_interleaving_come_one_after_the_other(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 4))
    kinds = data.draw(st.lists(st.sampled_from(["text", "reasoning", "tool_call"]), min_size=count, max_size=count))
    queues: list[list[Event]] = []
    for index, kind in enumerate(kinds):
        pieces = data.draw(st.lists(st.text("ab🌊", max_size=3), max_size=3))
        queues.append([PartStart(index, kind, f"id{index}", "f"), *(Delta(index, piece) for piece in pieces), PartEnd(index)])  # type: ignore[arg-type]
    expected = [
        (kind, "".join(event.text for event in queue if isinstance(event, Delta))) for kind, queue in zip(kinds, queues, strict=True)
    ]
    mixed: list[Event] = [Started("x", "m")]
    while any(queues):
        mixed.append(data.draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    bodies = check_stream(stream([*mixed, Finished(Finish.STOP), Ended()]))
    told: dict[int, str] = {}
    for body in bodies:
        if body["type"] == "content_block_start":
            told[body["index"]] = ""
        elif body["type"] == "content_block_delta":
            delta = body["delta"]
            told[body["index"]] += delta.get("text", "") + delta.get("thinking", "") + delta.get("partial_json", "")
    assert sorted(told.values()) == sorted(text for kind, text in expected if text or kind == "tool_call")


def test_proofs_go_bare_to_their_own_format_and_sealed_from_others() -> None:
    signature = Opaque("anthropic.signature", "Eq0B+/==", Origin("anthropic", "claude-x"))
    secrets = (Opaque("openai.encrypted", "gAAA", OTHER), Opaque("openai.id", "rs_1", OTHER))
    parts = (
        ReasoningPart("a", (signature,)),
        ReasoningPart("", (Opaque("anthropic.redacted", "D==", signature.origin),)),
        ReasoningPart("b", secrets),
        ReasoningPart("", secrets[:1]),
        ReasoningPart("c"),
        ReasoningPart(""),
    )
    content = render_response(answer(*parts), "asked", origin=OTHER)["content"]
    assert content[0] == {"type": "thinking", "thinking": "a", "signature": "Eq0B+/=="}
    assert content[1] == {"type": "redacted_thinking", "data": "D=="}
    assert content[2] == {"type": "thinking", "thinking": "b", "signature": ",".join(seal(secret) for secret in secrets)}
    assert content[3] == {"type": "thinking", "thinking": "", "signature": seal(secrets[0])}
    assert (content[4]["thinking"], unseal(content[4]["signature"])) == ("c", Opaque("none", "", OTHER))
    assert len(content) == 5
    # And back from the client, each with its origin.
    (message,) = parse_request({"messages": [{"role": "assistant", "content": content}]}).messages
    assert message.parts == (
        ReasoningPart("a", (Opaque("anthropic.signature", "Eq0B+/=="),)),
        ReasoningPart("", (Opaque("anthropic.redacted", "D=="),)),
        ReasoningPart("b", secrets),
        ReasoningPart("", secrets[:1]),
        ReasoningPart("c", (Opaque("none", "", OTHER),)),
    )


@pytest.mark.parametrize(
    ("parts", "finish", "raw", "reason"),
    [
        ((TextPart("A"),), Finish.STOP, "stop", "end_turn"),
        ((TextPart("A"),), Finish.LENGTH, "length", "max_tokens"),
        ((TextPart("A"),), Finish.FILTER, "content_filter", "refusal"),
        ((TextPart("A"),), Finish.CONTEXT, None, "model_context_window_exceeded"),
        ((TextPart("A"),), Finish.PAUSE, "pause_turn", "pause_turn"),
        ((TextPart("A"),), Finish.OTHER, None, "end_turn"),
        ((ToolCallPart("t", "f", "{}"),), Finish.STOP, "stop", "tool_use"),
        ((ToolCallPart("t", "f", "{}"),), Finish.STOP, "end_turn", "end_turn"),
        ((RefusalPart("No."),), Finish.STOP, "stop", "refusal"),
    ],
)
def test_stop_reasons(parts: Any, finish: Finish, raw: str | None, reason: str) -> None:
    whole = render_response(answer(*parts, finish=finish, raw=raw), "asked")
    assert whole["stop_reason"] == reason
    assert whole["content"]


def test_a_whole_answer() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}}
    page = {"type": "page_location", "cited_text": "x", "document_index": 0}
    response = answer(
        TextPart("A", citations=(page, {"type": "url_citation"})),
        TextPart(""),
        ToolCallPart("", "f", "[1]"),
        ToolCallPart("c", "apply", '*** "Begin"\n', custom=True, extra={"caller": {"type": "direct"}}),
        ForeignPart("anthropic-messages", search),
        ForeignPart("anthropic-messages", {"type": "compaction", "content": "sum"}),
        ForeignPart("gemini-generate", {"executableCode": {}}),
        finish=Finish.STOP_SEQUENCE,
        stop_sequence="END",
        extra={"stop_details": {"type": "x"}, "context_management": {"applied_edits": []}, "logprobs": 1},
    )
    whole = render_response(response, "asked")
    assert whole["content"][1]["id"].startswith("toolu_")
    del whole["content"][1]["id"]
    assert whole == {
        "id": "msg_chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "asked",
        "content": [
            {"type": "text", "text": "A", "citations": [page]},
            {"type": "tool_use", "name": "f", "input": {"_raw_arguments": "[1]"}},
            {"type": "tool_use", "id": "c", "name": "apply", "input": {"input": '*** "Begin"\n'}, "caller": {"type": "direct"}},
            search,
            {"type": "compaction", "content": "sum"},
        ],
        "stop_reason": "stop_sequence",
        "stop_sequence": "END",
        "stop_details": {"type": "x"},
        "context_management": {"applied_edits": []},
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }
    check_stream(stream(unfold(response)))


def test_pages_that_other_formats_cite() -> None:
    """The vendor's encrypted index cannot be forged: our seal stands in its place, and it does not go to the vendor."""
    notes = (
        {"type": "url_citation", "url_citation": {"url": "https://example.com/a", "title": "A", "start_index": 0}},
        {"type": "grounding", "url": "https://example.com/b", "cited_text": "said"},
        {"type": "file_citation", "filename": "test.txt"},
    )
    response = answer(TextPart("A", citations=notes))
    check_stream(stream(unfold(response)))
    one, other = render_response(response, "asked")["content"][0]["citations"]
    assert (one["type"], one["url"], one["title"], one["cited_text"]) == ("web_search_result_location", "https://example.com/a", "A", "")
    assert (other["url"], other["title"], other["cited_text"]) == ("https://example.com/b", None, "said")
    assert unseal(one["encrypted_index"]) is not None and is_foreign_page(one) and is_foreign_page(other)


def test_only_the_first_choice_is_told() -> None:
    response = ChatResponse("x", "m", 0, (Choice((TextPart("A"),), Finish.STOP), Choice((TextPart("B"),), Finish.LENGTH)))
    whole = render_response(response, "asked")
    assert (whole["content"], whole["stop_reason"]) == ([{"type": "text", "text": "A"}], "end_turn")


@pytest.mark.parametrize(
    "before",
    [
        [PartStart(0, "text"), Delta(0, "The st")],
        [PartStart(0, "reasoning"), Delta(0, "hm")],
        [PartStart(0, "tool_call", "t", "f", True), Delta(0, "x")],
        [PartStart(0, "text"), PartStart(1, "text"), Delta(1, "waits")],
        [],
    ],
)
def test_a_failure_closes_what_is_open_and_has_no_clean_end(before: list[Event]) -> None:
    # C-45, O-20
    renderer = ResponseRenderer("asked")
    data = stream([Started("x", "m"), *before], renderer) + renderer.fail(GatewayError(Kind.UPSTREAM_OVERLOADED, "Busy."))
    bodies = check_stream(data, failed=True)
    assert bodies[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}}
    assert renderer.feed(Ended()) == b""
    assert renderer.fail(GatewayError(Kind.INTERNAL, "x")) == b""


def test_an_error_inside_the_answer_fails_the_stream() -> None:
    renderer = ResponseRenderer("asked")
    data = stream([Started("x", "m"), PartStart(0, "text"), Delta(0, "a"), Failed(GatewayError(Kind.UPSTREAM_FAILED, "Broke."))], renderer)
    assert check_stream(data, failed=True)[-1]["error"]["message"] == "Broke."


def test_parts_left_open_are_closed_at_the_end() -> None:
    events: list[Event] = [
        PartStart(0, "reasoning"),
        OpaqueDelta(0, Opaque("anthropic.signature", "S", OTHER)),
        PartStart(1, "text"),
        Annotation(1, "", {"type": "char_location"}),
        Ended(),
    ]
    bodies = check_stream(stream([Started("msg_9", "m", usage=Usage(input=3)), *events]))
    assert bodies[0]["message"]["id"] == "msg_9"
    assert bodies[0]["message"]["usage"]["input_tokens"] == 3
    assert [body["content_block"]["type"] for body in bodies if "content_block" in body] == ["thinking", "text"]
