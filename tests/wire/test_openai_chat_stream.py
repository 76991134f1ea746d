"""An upstream's answer → events: real-world oddities, each in a transcript or a chunk of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from omni_connector.chat import (
    Annotation,
    ChatResponse,
    Choice,
    Delta,
    Ended,
    Failed,
    Finish,
    ForeignPart,
    Opaque,
    Origin,
    PartStart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    fold,
    unfold,
)
from omni_connector.errors import Kind
from omni_connector.wire import openai_chat_parts
from omni_connector.wire.openai_chat import NAME, Listener, ResponseParser, ResponseRenderer, render_response
from omni_connector.wire.openai_chat_details import entries_of
from omni_connector.wire.openai_chat_words import DETAIL, EXTRA_CONTENT
from tests.wire.openai_chat_reading import ORIGIN, check_events, folded, parse, read, request, transcript


def only(response_chunks: list[bytes] | bytes, asked: Any = None) -> Choice:
    (choice,) = read([response_chunks] if isinstance(response_chunks, bytes) else response_chunks, asked).choices
    return choice


def sse_of(*deltas: dict[str, Any], finish: str | None = "stop", done: bool = True) -> bytes:
    bodies = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    if finish is not None:
        bodies.append({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return b"".join(b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies) + (b"data: [DONE]\n\n" if done else b"")


def whole(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> Choice:
    body = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more}
    events = ResponseParser(ORIGIN).whole(body)
    check_events(events)
    (choice,) = fold(events).choices
    return choice


# ---------------------------------------------------------------- Transcripts


def test_a_proper_stream() -> None:  # C-08, C-09
    response = read([transcript("proper")])
    assert (response.id, response.model, response.created) == ("chatcmpl-1", "vendor-model-0901", 1760000001)
    assert response.extra == {"system_fingerprint": "fp_1"}
    (choice,) = response.choices
    assert choice.parts == (
        TextPart("Let me look – ☀."),
        ToolCallPart("call_a", "sky", '{"town":"Łódź"}'),
        ToolCallPart("call_b", "clock", "{}"),
    )
    assert choice.finish is Finish.TOOL_CALLS
    usage = response.usage
    assert usage is not None
    assert (usage.input, usage.cache_read, usage.output, usage.reasoning, usage.total) == (20, 30, 20, 4, 70)


def test_a_loose_host() -> None:
    """CR LF, comments, no index, null and "" contents, role and usage in every chunk, index 0 for two calls, arguments as an
    object, id with every fragment, finish "stop" beside calls, no blank line at the end and no [DONE]."""
    response = read([transcript("loose_host")])
    (choice,) = response.choices
    assert choice.parts == (
        ReasoningPart("Two calls."),
        ToolCallPart("t1", "sky", '{"town":"Ulm"}'),
        ToolCallPart("t2", "clock", '{"zone":"CET"}'),
    )
    assert (choice.finish, choice.raw_finish) == (Finish.TOOL_CALLS, "stop")
    assert response.usage is not None
    assert (response.usage.input, response.usage.cache_read, response.usage.output) == (2, 3, 9)
    assert response.created == 1760000002


def test_interleaved_calls_come_out_in_a_row() -> None:
    events = parse([transcript("interleaved_calls")])
    check_events(events)
    assert fold(events).choices[0].parts == (ToolCallPart("a", "one", '{"n":1}'), ToolCallPart("b", "two", '{"n":2}'))
    first = [event for event in events if isinstance(event, Delta) and event.index == 0]
    assert [event.text for event in first] == ['{"n":', "1}"], "the first call is not held back"


def test_reasoning_details_are_merged_and_kept_for_replay() -> None:
    first, text, second = only(transcript("reasoning_details")).parts
    assert text == TextPart("Done.")
    assert isinstance(first, ReasoningPart)
    assert isinstance(second, ReasoningPart)
    assert (first.text, second.text) == ("Thinking.", "")
    assert [(opaque.kind, opaque.origin) for opaque in (*first.opaque, *second.opaque)] == [(DETAIL, ORIGIN)] * 2
    assert json.loads(first.opaque[0].value) == {
        "type": "reasoning.text",
        "text": "Thinking.",
        "signature": "c2ln",
        "format": "anthropic-claude-v1",
        "index": 0,
    }
    assert json.loads(second.opaque[0].value)["data"] == "ZW5j"


def test_an_error_in_the_middle() -> None:
    events = parse([transcript("error_midway")])
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert failed.error.kind is Kind.UPSTREAM_FAILED
    assert failed.error.message == "Upstream went away"
    assert not any(isinstance(event, Ended) for event in events)


def test_half_an_emoji_becomes_whole() -> None:
    assert only(transcript("emoji_cut")).parts == (TextPart("Hi 😀 and \ufffd alone end \ufffd"),)


@pytest.mark.parametrize("name", ["proper", "loose_host", "interleaved_calls", "reasoning_details", "error_midway", "emoji_cut"])
def test_cutting_anywhere_changes_nothing(name: str) -> None:
    data = transcript(name)
    expected = folded(parse([data]))
    for at in range(len(data)):
        found = folded(parse([data[:at], data[at:]]))
        if expected.error is None:
            assert found.response() == expected.response(), at
            assert found.ended
        else:
            assert found.error is not None
            assert found.error.message == expected.error.message


# ---------------------------------------------------------------- How it ends


def test_a_stream_that_just_stops_is_cut() -> None:
    data = sse_of({"content": "Half"}, finish=None, done=False)
    assert not any(isinstance(event, Ended) for event in parse([data]))


def test_done_without_a_finish_reason_is_an_end() -> None:
    assert only(sse_of({"content": "x"}, finish=None)).finish is Finish.STOP
    call = {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    assert only(sse_of(call, finish=None)).finish is Finish.TOOL_CALLS


@pytest.mark.parametrize("data", [b"data: [DONE]\n\n", b'data: {"choices":[],"usage":null}\n\ndata: [DONE]\n\n'])
def test_an_end_without_an_answer_is_a_failure(data: bytes) -> None:
    (event,) = [event for event in parse([data]) if isinstance(event, Failed)]
    assert event.error.kind is Kind.UPSTREAM_FAILED


def test_broken_json_is_a_failure_and_noise_is_not() -> None:
    (failed,) = parse([b'data: {"id": "x", "choices": [{\n\n'])
    assert isinstance(failed, Failed)
    assert only(b"data: keep-alive\n\ndata:\n\n" + sse_of({"content": "x"})).parts == (TextPart("x"),)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", Finish.STOP),
        ("eos", Finish.STOP),
        ("length", Finish.LENGTH),
        ("content_filter", Finish.FILTER),
        ("sensitive", Finish.FILTER),
        ("model_context_window_exceeded", Finish.CONTEXT),
        ("function_call", Finish.TOOL_CALLS),
        ("tool_call", Finish.TOOL_CALLS),
        ("something_new", Finish.OTHER),
    ],
)
def test_finish_reasons(word: str, reason: Finish) -> None:
    streamed = only(sse_of({"content": "x"}, finish=word))
    assert (streamed.finish, streamed.raw_finish) == (reason, word)
    assert whole({"content": "x"}, word).finish is reason


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("error", Kind.UPSTREAM_FAILED),
        ("network_error", Kind.UPSTREAM_FAILED),
        ("insufficient_system_resource", Kind.UPSTREAM_OVERLOADED),
    ],
)
def test_finish_reasons_that_are_failures(word: str, kind: Kind) -> None:
    for events in (
        parse([sse_of({"content": "x"}, finish=word)]),
        ResponseParser(ORIGIN).whole({"choices": [{"message": {"content": "x"}, "finish_reason": word}]}),
    ):
        error = folded(events).error
        assert error is not None
        assert error.kind is kind
        assert not folded(events).ended


def test_the_stop_string_that_was_hit() -> None:
    data = sse_of({"content": "x"}, finish=None, done=False)
    data += b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop","stop_reason":"###"}]}\n\n'
    choice = only(data, request(stop=["###"]))
    assert (choice.finish, choice.stop_sequence) == (Finish.STOP_SEQUENCE, "###")
    assert only(data).finish is Finish.STOP


# ---------------------------------------------------------------- Tool calls


def test_calls_without_index_id_or_type() -> None:
    one = {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "g", "arguments": None}}]}
    first, second = only(sse_of(one)).parts
    assert isinstance(first, ToolCallPart)
    assert isinstance(second, ToolCallPart)
    assert (first.name, first.arguments, second.name, second.arguments) == ("f", "{}", "g", "")
    assert first.id.startswith("call_")
    assert second.id.startswith("call_")
    assert first.id != second.id


def test_two_whole_calls_under_index_0_without_ids() -> None:
    data = sse_of(
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":1}'}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"a":2}'}}]},
    )
    assert [part.arguments for part in only(data).parts if isinstance(part, ToolCallPart)] == ['{"a":1}', '{"a":2}']


def test_a_fragment_that_repeats_the_name_stays_in_its_call() -> None:
    data = sse_of(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ":1}"}}]},
        {"tool_calls": [{"index": 0, "id": "", "function": {"name": "", "arguments": ""}}]},
    )
    assert only(data).parts == (ToolCallPart("a", "f", '{"a":1}'),)


def test_custom_and_legacy_calls() -> None:
    custom = {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "run", "input": ""}}]}
    more = {"tool_calls": [{"index": 0, "custom": {"input": "ls -l"}}]}
    assert only(sse_of(custom, more, finish="tool_calls")).parts == (ToolCallPart("a", "run", "ls -l", custom=True),)
    legacy = ({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}})
    (part,) = only(sse_of(*legacy, finish="function_call")).parts
    assert isinstance(part, ToolCallPart)
    assert (part.name, part.arguments) == ("f", "{}")


def test_a_function_that_stands_in_for_a_custom_tool() -> None:
    asked = request(tools=[{"type": "custom", "custom": {"name": "run"}}])
    data = sse_of(
        {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "run", "arguments": '{"input": "l'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 's \\"x\\""}'}}]},
    )
    assert only(data, asked).parts == (ToolCallPart("a", "run", 'ls "x"', custom=True),)


def test_googles_thought_signature_on_a_call() -> None:
    google = {"google": {"thought_signature": "c2ln"}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": google}
    (part,) = whole({"content": None, "tool_calls": [call]}, "tool_calls").parts
    assert part == ToolCallPart("a", "f", "{}", opaque=(Opaque(EXTRA_CONTENT, json.dumps(google, separators=(",", ":")), ORIGIN),))


# ---------------------------------------------------------------- Contents


def test_contents_of_other_shapes() -> None:
    mistral = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "Yes."}]
    assert whole({"content": mistral}).parts == (ReasoningPart("Hm."), TextPart("Yes."))
    assert whole({"content": {"title": "é"}}).parts == (TextPart('{"title":"é"}'),)
    assert whole({"content": None}).parts == ()
    assert whole({"content": "", "refusal": "No."}).parts == (RefusalPart("No."),)
    assert whole({"content": "a", "reasoning": "same", "reasoning_content": "same"}).parts == (ReasoningPart("same"), TextPart("a"))
    images = {"images": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    assert whole({"content": None, **images}).parts == (ForeignPart(NAME, images),)


def test_citations() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A", "start_index": 0, "end_index": 1}}
    events = parse([sse_of({"content": "x"}, {"annotations": [note]})])
    check_events(events)
    assert Annotation(0, NAME, note) in events
    assert whole({"content": "x", "annotations": [note]}).parts == (TextPart("x", citations=(note,)),)


def test_several_choices_and_logprobs() -> None:  # C-08
    def chunk(number: int, text: str, finish: str | None = None) -> bytes:
        logprobs = {"content": [{"token": text}]} if text else None
        choice = {"index": number, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "c", "choices": [choice]}).encode() + b"\n\n"

    data = chunk(0, "a") + chunk(1, "b") + chunk(0, "c") + chunk(1, "", "length") + chunk(0, "", "stop") + b"data: [DONE]\n\n"
    one, two = fold(parse([data])).choices
    assert (one.parts, one.finish) == ((TextPart("ac"),), Finish.STOP)
    assert (two.parts, two.finish) == ((TextPart("b"),), Finish.LENGTH)
    assert one.extra["logprobs"] == {"content": [{"token": "a"}, {"token": "c"}]}


def test_azure_opens_with_an_empty_chunk() -> None:
    opening = b'data: {"choices":[],"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    response = read([opening + sse_of({"content": "x"})])
    assert (response.id, response.model) == ("c", "m")
    assert response.extra == {"prompt_filter_results": [{"prompt_index": 0}]}


@pytest.mark.parametrize("body", [{"choices": []}, {}, [], None, "x", b"<html>", {"error": {"message": "no", "code": 503}}])
def test_a_whole_answer_without_an_answer_fails(body: Any) -> None:
    (event,) = ResponseParser(ORIGIN).whole(body)
    assert isinstance(event, Failed)
    assert event.error.kind in {Kind.UPSTREAM_FAILED, Kind.UPSTREAM_OVERLOADED}


def test_parts_of_a_whole_answer_open_in_order() -> None:
    events = ResponseParser(ORIGIN).whole(
        {"choices": [{"message": {"content": "t", "reasoning_content": "r", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}}]}
    )
    assert [event.kind for event in events if isinstance(event, PartStart)] == ["reasoning", "text", "tool_call"]


def test_a_thought_that_is_told_and_sealed_is_one_thought() -> None:
    """An installation of our own upstream tells each thought as words, and then once more with its proof."""
    minted = Origin("anthropic", "claude")
    thoughts = [ReasoningPart(f"Thought {n}.", (Opaque("anthropic.signature", f"c2ln{n}", minted),)) for n in range(2)]
    answer = ChatResponse("c", "m", 1, (Choice((*thoughts, TextPart("So.")), Finish.STOP),))
    renderer = ResponseRenderer("m")
    streamed = b"".join(renderer.feed(event) for event in unfold(answer))
    for cut in range(0, len(streamed), 97):
        found = only([streamed[:cut], streamed[cut:]]).parts
        assert [part.text for part in found if isinstance(part, ReasoningPart)] == ["Thought 0.", "Thought 1."]
        assert all(len(part.opaque) == 1 for part in found if isinstance(part, ReasoningPart))
    # Whole, all thoughts are one text, with the proofs of each.
    (thought, _) = fold(ResponseParser(ORIGIN).whole(render_response(answer, "m"))).choices[0].parts
    assert isinstance(thought, ReasoningPart) and (thought.text, len(thought.opaque)) == ("Thought 0.Thought 1.", 2)
    # Sealed words that nobody told before are words.
    (entry,) = entries_of(thoughts[0], 0)
    (alone, _) = only(sse_of({"reasoning_details": [entry]}, {"content": "So."})).parts
    assert isinstance(alone, ReasoningPart) and alone.text == "Thought 0."


def test_what_was_said_so_far_is_not_said_again() -> None:  # Perplexity: `message` beside each delta
    told = ["One", " two", " three"]
    chunks: list[dict[str, Any]] = []
    for number, text in enumerate(told):
        delta, message = {"content": text}, {"role": "assistant", "content": "".join(told[: number + 1])}
        one, other = ({"message": message}, {"delta": delta}) if number % 2 else ({"delta": delta}, {"message": message})
        chunks.append({"id": "c", "model": "m", "choices": [{"index": 0, **one, **other}]})
    last = {"index": 0, "message": {"content": "".join(told)}, "finish_reason": "stop"}
    for end in (last, {**last, "delta": {"content": ""}}):
        data = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in [*chunks, {"choices": [end]}])
        assert only(data).parts == (TextPart("One two three"),)
        ear = Listener()
        ear.feed(data)
        ear.close()
        assert (ear.output_chars, ear.finish, ear.first_output) == (len("One two three"), Finish.STOP, True)
    # A host that answers with one event in the form of a whole answer has said it once.
    whole = b'data: {"choices":[{"index":0,"message":{"role":"assistant","content":"One"},"finish_reason":"stop"}]}\n\n'
    ear = Listener()
    ear.feed(whole)
    assert (only(whole).parts, ear.output_chars) == ((TextPart("One"),), 3)


def test_pages_that_were_read_for_the_answer_are_citations() -> None:
    """Perplexity names them beside the choices, in every chunk; xAI by their addresses alone."""
    pages = [{"url": "https://example.com/a", "title": "A", "snippet": "…"}, {"url": "https://example.com/b", "title": "B"}]
    note = {"type": "url_citation", "url_citation": {"url": "https://example.com/b", "title": "B", "start_index": 0, "end_index": 1}}
    wanted = {"type": "source", "url": "https://example.com/a", "title": "A"}
    more: dict[str, Any] = {"search_results": pages, "citations": [page["url"] for page in pages]}
    assert whole({"content": "x", "annotations": [note]}, **more).parts == (TextPart("x", citations=(note, wanted)),)
    chunks = [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": end}], **more}
        for end in (None, "stop")
    ]
    stream = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    assert [part.citations for part in only(stream).parts] == [(wanted, {"type": "source", "url": "https://example.com/b", "title": "B"})]  # type: ignore[union-attr]
    assert whole({"content": "x"}, citations=["https://example.com/a", 3]).parts == (
        TextPart("x", citations=({"type": "source", "url": "https://example.com/a"},)),
    )
    assert whole({"content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, **more).parts[0].id == "1"  # type: ignore[union-attr]


@pytest.mark.parametrize("reason", [Finish.STOP, Finish.OTHER])
def test_a_call_is_to_be_run_whatever_the_provider_thinks_of_it(reason: Finish) -> None:
    response = ChatResponse("x", "m", 0, (Choice((ToolCallPart("1", "f", "{}"),), reason),))
    assert render_response(response, "m")["choices"][0]["finish_reason"] == "tool_calls"
    renderer = ResponseRenderer("m")
    assert b'"finish_reason":"tool_calls"' in b"".join(renderer.feed(event) for event in unfold(response))


@pytest.mark.parametrize("odd", [5, "x", [5], {"a": 1}, [{"url": 5}, {"url_citation": {"url": {}}}]])
def test_odd_pictures_and_sources_are_no_failure(odd: Any) -> None:
    """C-23: whatever a provider sends in these fields, the words arrive."""
    choice = whole({"content": "x", "images": odd, "annotations": odd}, search_results=odd, citations=odd)
    assert TextPart("x") in [replace(part, citations=()) for part in choice.parts if isinstance(part, TextPart)]
    response = ChatResponse("x", "m", 0, (choice,))
    assert render_response(response, "m")["choices"][0]["message"]["content"] == "x"
    renderer = ResponseRenderer("m")
    assert b'"content":"x"' in b"".join(renderer.feed(event) for event in unfold(response))


def test_pieces_of_a_call_do_not_make_its_arguments_be_read_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read_again: list[Any] = []
    monkeypatch.setattr(openai_chat_parts, "loads", read_again.append)
    parser = ResponseParser(ORIGIN)
    for fragment in ({"id": "c", "function": {"name": "f"}}, *[{"function": {"arguments": " 1"}}] * 50):
        chunk = {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **fragment}]}}]}
        parser.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    assert not read_again
