"""What a Responses client is told: order, ids, the object, failures (C-23, O-13)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from omni_connector.chat import (
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    Finished,
    ForeignPart,
    Opaque,
    Origin,
    Part,
    PartEnd,
    PartStart,
    ReasoningPart,
    RefusalPart,
    Started,
    TextPart,
    ToolCallPart,
    Usage,
    unfold,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.openai_responses import ResponseRenderer, parse_request, render_response
from omni_connector.wire.openai_responses_words import NAME
from tests.wire.openai_responses_reading import NAMES, bodies, check_stream, parse, request, stream, tell, transcript, without_logprobs

CLAUDE = Origin("anthropic", "claude")
SIGNATURE = Opaque("anthropic.signature", "c2ln", CLAUDE)
GEMINI = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))
RICH = ChatResponse(
    "msg_01",
    "claude-x",
    1_760_000_000,
    (
        Choice(
            (
                ReasoningPart("Let me think.", (SIGNATURE,)),
                TextPart("Łódź ☀"),
                ToolCallPart("call_a", "sky", '{"town": "Łódź"}', opaque=(GEMINI,)),
                ToolCallPart("call_b", "run", "ls -l", custom=True),
            ),
            Finish.TOOL_CALLS,
        ),
    ),
    Usage(10, 20, 5, 30, 7),
)


def answer(*parts: Part, finish: Finish = Finish.STOP, **fields: Any) -> ChatResponse:
    return ChatResponse("x", "m", 1, (Choice(parts, finish, **fields),))


def test_the_order_of_a_stream() -> None:  # C-08
    last = check_stream(stream(RICH, request(), CLAUDE))
    assert [item["type"] for item in last["output"]] == ["reasoning", "message", "function_call", "reasoning", "custom_tool_call"]
    ids = [item["id"] for item in last["output"]]
    assert [item_id.split("_")[0] for item_id in ids] == ["rs", "msg", "fc", "rs", "ctc"]
    assert len(set(ids)) == len(ids)
    assert (last["id"], last["model"], last["created_at"], last["status"]) == ("resp_msg_01", "asked-for", 1_760_000_000, "completed")
    assert last["usage"] == {
        "input_tokens": 35,
        "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
        "output_tokens": 30,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 65,
    }


def test_whole_answers_are_the_last_object_of_the_stream() -> None:
    body = render_response(RICH, "asked-for", request(), lambda: 1_700_000_000)
    told = check_stream(stream(RICH, request(), CLAUDE))

    def without_ids(value: dict[str, Any]) -> Any:
        return [{key: one for key, one in item.items() if key not in {"id", "encrypted_content"}} for item in value["output"]]

    assert without_ids(body) == without_ids(told)
    assert {key: value for key, value in body.items() if key != "output"} == {key: value for key, value in told.items() if key != "output"}


@pytest.mark.parametrize("name", NAMES)
def test_transcripts_can_be_told_to_a_client(name: str) -> None:
    last = check_stream(tell(parse([transcript(name)])))
    original = json.loads(transcript(name).split(b"data: ")[-1 if name != "loose_host" else -2])["response"]
    if original.get("output"):
        assert without_logprobs(last["output"]) == without_logprobs(original["output"])
    if "output_tokens_details" in (original.get("usage") or {}) and original["usage"]["input_tokens_details"]:
        assert last["usage"]["input_tokens"] == original["usage"]["input_tokens"]
    if name == "proper":
        assert (last["store"], last["service_tier"], last["completed_at"]) == (False, "default", 1_790_000_009)
        assert last["instructions"] == "Be a harbour pilot."


def test_a_call_that_was_cut_short_is_told_as_such() -> None:
    last = check_stream(tell(parse([transcript("incomplete")])))
    assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert [item["status"] for item in last["output"]] == ["completed", "incomplete"]


@pytest.mark.parametrize(
    ("finish", "raw", "status", "reason"),
    [
        (Finish.STOP, "stop", "completed", None),
        (Finish.CONTEXT, None, "incomplete", "max_output_tokens"),
        (Finish.FILTER, "content_filter", "incomplete", "content_filter"),
        (Finish.REFUSAL, "refusal", "incomplete", "content_filter"),
        (Finish.OTHER, "max_messages", "incomplete", "max_messages"),
        (Finish.OTHER, None, "completed", None),
        (Finish.PAUSE, "pause_turn", "completed", None),
    ],
)
def test_how_it_ended(finish: Finish, raw: str | None, status: str, reason: str | None) -> None:
    last = check_stream(stream(answer(TextPart("Hi"), finish=finish, raw_finish=raw)))
    assert (last["status"], (last["incomplete_details"] or {}).get("reason")) == (status, reason)


def test_words_in_a_row_are_one_message() -> None:
    last = check_stream(stream(answer(TextPart("One."), TextPart("Two."), RefusalPart("No."), ReasoningPart("Hm."), TextPart("Three."))))
    assert [item["type"] for item in last["output"]] == ["message", "reasoning", "message"]
    assert [part["type"] for part in last["output"][0]["content"]] == ["output_text", "output_text", "refusal"]


def test_calls_have_the_names_their_client_gave() -> None:  # clients.md, finding 6
    tools = [
        {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]},
        {"type": "namespace", "name": "hub", "tools": [{"type": "function", "name": "f"}]},
    ]
    asked = parse_request({"input": [{"type": "additional_tools", "role": "developer", "tools": tools}, {"role": "user", "content": "x"}]})
    parts = (ToolCallPart("c1", "exec", "ls", custom=True), ToolCallPart("c2", "hub__f", "{}"), ToolCallPart("c3", "unknown", "{}"))
    last = check_stream(stream(answer(*parts, finish=Finish.TOOL_CALLS), asked))
    assert [(item["type"], item["name"], item.get("namespace")) for item in last["output"]] == [
        ("custom_tool_call", "exec", "functions"),
        ("function_call", "f", "hub"),
        ("function_call", "unknown", None),
    ]
    assert last["tools"] == []


def test_the_request_is_echoed() -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}, {"type": "web_search"}],
        "tool_choice": {"type": "function", "name": "f"},
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_output_tokens": 99,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "previous_response_id": "resp_0",
        "truncation": "auto",
        "store": False,
        "user": "u",
        "service_tier": "flex",
        "prompt_cache_key": "k",
    }
    body = render_response(answer(TextPart("Hi")), "m", request(**fields))
    assert {key: body[key] for key in fields} == fields


def test_without_a_request_the_defaults_are_told() -> None:
    body = render_response(answer(TextPart("Hi")), "m")
    assert (body["tool_choice"], body["tools"], body["parallel_tool_calls"], body["temperature"]) == ("auto", [], True, 1.0)
    assert (body["text"], body["instructions"], body["usage"]["total_tokens"]) == ({"format": {"type": "text"}}, None, 0)


def test_log_probabilities_reach_the_last_object() -> None:
    entry = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105], "top_logprobs": []}
    body = render_response(answer(TextPart("Hi"), extra={"logprobs": {"content": [entry]}}), "m")
    assert body["output"][0]["content"][0]["logprobs"] == [entry]


def test_items_of_other_providers_have_no_place() -> None:
    parts = (ForeignPart("anthropic-messages", {"type": "server_tool_use"}), ForeignPart(NAME, {"type": "web_search_call", "id": "ws_1"}))
    last = check_stream(stream(answer(*parts, TextPart("Hi"))))
    assert [item["type"] for item in last["output"]] == ["web_search_call", "message"]


def test_foreign_citations_become_url_citations() -> None:
    web = {"type": "web_search_result_location", "url": "https://a.example", "title": "A"}
    last = check_stream(stream(answer(TextPart("Hi", citations=(web, {"type": "char_location"})))))
    assert last["output"][0]["content"][0]["annotations"] == [
        {"type": "url_citation", "start_index": 0, "end_index": 2, "url": "https://a.example", "title": "A"}
    ]


def test_parts_that_overlap_are_told_in_a_row() -> None:
    one, two = PartStart(0, "tool_call", "a", "f"), PartStart(1, "tool_call", "b", "g")
    said = [Delta(1, "{"), Delta(0, "{}"), Delta(1, "}"), PartEnd(1), PartEnd(0)]
    mixed = [Started("", "x"), one, two, *said, Finished(Finish.TOOL_CALLS), Ended()]
    last = check_stream(tell(mixed))
    assert [(item["name"], item["arguments"]) for item in last["output"]] == [("f", "{}"), ("g", "{}")]


def test_other_choices_are_not_told() -> None:
    two = ChatResponse("x", "m", 1, (Choice((TextPart("One."),), Finish.STOP), Choice((TextPart("Two."),), Finish.LENGTH)))
    last = check_stream(stream(two))
    assert (len(last["output"]), last["status"]) == (1, "completed")


@pytest.mark.parametrize("taken", range(len(list(unfold(RICH))) - 1))
def test_a_failure_ends_a_stream_without_a_clean_end(taken: int) -> None:  # clients.md, finding 9
    renderer = ResponseRenderer("m", request(stream=True), lambda: 1)
    data = b"".join(renderer.feed(event) for event in list(unfold(RICH))[:taken])
    data += renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "The provider broke off."))
    last = check_stream(data, failed=True)
    assert last["error"] == {"code": "server_error", "message": "The provider broke off."}
    assert renderer.feed(Ended()) == renderer.fail(GatewayError(Kind.INTERNAL, "again")) == b""


def test_a_call_is_never_complete_in_a_failed_answer() -> None:
    renderer = ResponseRenderer("m", None, lambda: 1)
    events = [Started("", "x"), PartStart(0, "tool_call", "a", "f"), Delta(0, "{}"), PartEnd(0)]
    data = b"".join(renderer.feed(event) for event in events) + renderer.feed(Failed(GatewayError(Kind.UPSTREAM_OVERLOADED, "Busy.")))
    kinds = [event["type"] for event in bodies(data)]
    assert "response.output_item.done" not in kinds
    assert bodies(data)[-1]["response"]["error"]["code"] == "server_is_overloaded"


def test_a_stream_with_nothing_in_it_is_still_one() -> None:
    assert check_stream(ResponseRenderer("m", None, lambda: 1).feed(Ended()))["output"] == []


def test_half_an_emoji_never_leaves_as_broken_json() -> None:
    data = tell([Started("", "x"), PartStart(0, "text"), Delta(0, "a\ud83d"), PartEnd(0), Ended()])
    data.decode("utf-8")
    check_stream(data)


@pytest.mark.parametrize(
    ("finish", "raw", "known"), [(Finish.STOP, None, True), (Finish.LENGTH, None, True), (Finish.OTHER, "queued", False)]
)
def test_the_final_object_is_at_hand_when_the_answer_is_over(finish: Finish, raw: str | None, known: bool) -> None:  # C-23
    renderer = ResponseRenderer("m", request(), lambda: 1)
    last: Any = None
    for event in unfold(answer(TextPart("Hi"), finish=finish, raw_finish=raw)):
        assert renderer.final is None
        for data in renderer.events(event):
            last = data.get("response", last)
    assert renderer.final == (last if known else None)
    renderer.events(Failed(GatewayError(Kind.UPSTREAM_FAILED, "late")))
    assert renderer.final == (last if known else None)


def test_a_failed_answer_has_no_final_object() -> None:
    renderer = ResponseRenderer("m")
    renderer.events(Started("x", "m"))
    renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "no"))
    assert renderer.final is None
