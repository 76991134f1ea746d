"""One item at a time, in the API's order."""

from __future__ import annotations

from omni_connector.chat import Annotation, Delta, Json, Opaque, OpaqueDelta, Origin, PartEnd, PartStart, unseal
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM, open_encrypted
from omni_connector.wire.openai_responses_writers import CallWriter, MessageWriter, ThoughtWriter, WholeWriter, Writer

CLAUDE = Origin("anthropic", "claude")


def run(writer: Writer, *events: object, status: str = "completed") -> list[Json]:
    out = writer.open()
    for event in events:
        out += writer.write(event)  # type: ignore[arg-type]
    return out + writer.close(status)


def kinds(events: list[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def test_a_message_of_two_pieces() -> None:
    start = PartStart(0, "text", value={ITEM: {"id": "msg_1", "phase": "final_answer"}})
    writer = MessageWriter(2, start)
    note = {"type": "url_citation", "url_citation": {"url": "u"}}
    events = run(writer, start, Delta(0, "Hi"), Annotation(0, "", note), Annotation(0, "", {"type": "odd"}), PartEnd(0))
    assert kinds(events) == [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    assert all(event["output_index"] == 2 for event in events)
    assert events[0]["item"] == {
        "id": "msg_1",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
        "phase": "final_answer",
    }
    part = {"type": "output_text", "text": "Hi", "annotations": [{"type": "url_citation", "url": "u"}], "logprobs": []}
    assert writer.item == {**events[0]["item"], "status": "completed", "content": [part]}


def test_a_refusal() -> None:
    start = PartStart(0, "refusal")
    writer = MessageWriter(0, start)
    events = run(writer, start, Delta(0, "No."), Annotation(0, "", {"type": "file_citation"}), PartEnd(0), status="incomplete")
    assert kinds(events)[1:-1] == ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]
    assert (writer.item["content"], writer.item["status"]) == ([{"type": "refusal", "refusal": "No."}], "incomplete")
    assert writer.item["id"].startswith("msg_")


def test_a_thought_of_another_format_is_a_sealed_summary() -> None:  # law 1
    signature = Opaque("anthropic.signature", "c2ln", CLAUDE)
    start = PartStart(0, "reasoning")
    writer = ThoughtWriter(0, start, CLAUDE)
    events = run(writer, start, Delta(0, "Hm"), Delta(0, "."), OpaqueDelta(0, signature), PartEnd(0))
    assert kinds(events) == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
    ]
    assert writer.item["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert unseal(writer.item["encrypted_content"]) == signature
    bare = ThoughtWriter(0, start, CLAUDE)
    run(bare, start, Delta(0, "Hm."), PartEnd(0))
    assert unseal(bare.item["encrypted_content"]) == Opaque("none", "", CLAUDE)


def test_a_thought_of_this_format_stays_what_it_was() -> None:
    start = PartStart(0, "reasoning", value={ITEM: {"id": "rs_1"}})
    writer = ThoughtWriter(0, start, CLAUDE)
    run(writer, start, OpaqueDelta(0, Opaque(ENCRYPTED, "rs_1 gAAA", CLAUDE)), PartEnd(0))
    assert writer.item == {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}
    plain = ThoughtWriter(0, start, CLAUDE)
    run(plain, start, Delta(0, "Hm."), PartEnd(0))
    assert plain.item == {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}


def test_blank_lines_part_a_thought() -> None:
    start = PartStart(0, "reasoning")
    for deltas in (["One", "\n\n", "Two."], ["\n\n", "x", "\n\n", "\n\n", "y"], ["a", "\n\n"], ["\n\n"]):
        writer = ThoughtWriter(0, start, None)
        run(writer, start, *(Delta(0, text) for text in deltas), PartEnd(0))
        assert "\n\n".join(part["text"] for part in writer.item["summary"]) == "".join(deltas)
    writer = ThoughtWriter(0, start, None)
    run(writer, start, Delta(0, "One"), Delta(0, "\n\n"), Delta(0, "Two."), PartEnd(0))
    assert len(writer.item["summary"]) == 2


def test_known_parts_of_a_whole_thought() -> None:
    start = PartStart(0, "reasoning", value={ITEM: {"id": "rs_1", "summary": ["A\n\nB", "C"]}})
    writer = ThoughtWriter(0, start, None)
    run(writer, start, Delta(0, "A\n\nB\n\nC"), PartEnd(0))
    assert [part["text"] for part in writer.item["summary"]] == ["A\n\nB", "C"]
    raw = PartStart(0, "reasoning", value={ITEM: {"id": "rs_1", "content": ["X", "Y"], "summary": ["S"]}})
    writer = ThoughtWriter(0, raw, None)
    events = run(writer, raw, Delta(0, "X\n\nY"), PartEnd(0))
    assert writer.item["content"] == [{"type": "reasoning_text", "text": "X"}, {"type": "reasoning_text", "text": "Y"}]
    assert writer.item["summary"] == [{"type": "summary_text", "text": "S"}]
    assert kinds(events)[1:5] == ["content_part.added", "reasoning_text.delta", "reasoning_text.done", "content_part.done"]


def test_calls() -> None:
    start = PartStart(0, "tool_call", "c1", "hub__f", value={ITEM: {"id": "fc_1", "caller": {"type": "direct"}}})
    writer = CallWriter(1, start, ("hub", "f"))
    events = run(writer, start, Delta(0, "{"), Delta(0, "}"), PartEnd(0))
    assert kinds(events) == [
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    assert writer.item == {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "arguments": "{}",
        "call_id": "c1",
        "name": "f",
        "namespace": "hub",
        "caller": {"type": "direct"},
    }
    assert writer.companion(2) is None


def test_a_free_text_call_and_its_companion() -> None:
    start = PartStart(0, "tool_call", "", "exec", custom=True)
    writer = CallWriter(0, start, None)
    gemini = Opaque("gemini.signature", "eQ==", Origin("gemini", "g"))
    events = run(writer, start, Delta(0, "ls"), OpaqueDelta(0, gemini), PartEnd(0))
    assert kinds(events)[1:] == ["custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done"]
    assert (writer.item["type"], writer.item["input"]) == ("custom_tool_call", "ls")
    assert writer.item["id"].startswith("ctc_")
    assert writer.item["call_id"].startswith("call_")
    companion = writer.companion(1)
    assert companion is not None
    assert open_encrypted(companion.item["encrypted_content"], "") == ((), {writer.item["call_id"]: [gemini]})


def test_an_item_in_one_piece() -> None:
    value = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    events = run(WholeWriter(3, value), PartEnd(0), status="incomplete")
    assert kinds(events) == ["output_item.added", "output_item.done"]
    assert events[1]["item"] == value
