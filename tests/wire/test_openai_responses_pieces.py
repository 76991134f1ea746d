"""Items → parts, told once, by whatever comes first."""

from __future__ import annotations

from typing import Any

from omni_connector.chat import Delta, Event, Opaque, OpaqueDelta, PartEnd, PartStart
from omni_connector.wire.openai_responses_pieces import Item, Pieces
from omni_connector.wire.openai_responses_words import ENCRYPTED, ITEM
from tests.wire.openai_responses_reading import ORIGIN


def pieces(custom: tuple[str, ...] = (), **flat: Any) -> tuple[Pieces, list[Event]]:
    events: list[Event] = []
    return Pieces(ORIGIN, events.append, custom=frozenset(custom), flat={("hub", "f"): "hub__f"}), events


def test_half_an_emoji_waits_for_the_other_half() -> None:
    made, events = pieces()
    item = Item({"type": "message"})
    for text in ("a\ud83c", "\udf0a", "b\ud83c"):
        made.say(item, ("content", 0), "text", text)
    made.finish(item, {})
    texts = [event.text for event in events if isinstance(event, Delta)]
    assert texts == ["a", "🌊", "b", "\ufffd"]


def test_a_thoughts_parts_are_set_apart_by_a_delta_of_their_own() -> None:
    made, events = pieces()
    item = Item({"type": "reasoning", "id": "rs_1"})
    for place, text in ((0, "One"), (0, "."), (1, "Two.")):
        made.think(item, "summary", place, text)
    made.finish(item, {"type": "reasoning", "summary": [], "encrypted_content": "gAAA"})
    assert events == [
        PartStart(0, "reasoning", value={ITEM: {"id": "rs_1"}}),
        *(Delta(0, text) for text in ("One", ".", "\n\n", "Two.")),
        OpaqueDelta(0, Opaque(ENCRYPTED, "rs_1 gAAA", ORIGIN)),
        PartEnd(0),
    ]


def test_an_encrypted_thought_has_no_words() -> None:
    made, events = pieces()
    made.finish(Item({}), {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA", "status": "completed"})
    assert events == [
        PartStart(0, "reasoning", value={ITEM: {"id": "rs_1"}}),
        OpaqueDelta(0, Opaque(ENCRYPTED, "rs_1 gAAA", ORIGIN)),
        PartEnd(0),
    ]


def test_a_call_is_opened_at_once_and_ends_once() -> None:
    made, events = pieces()
    item = Item({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "namespace": "hub", "caller": {"type": "direct"}})
    made.open(item)
    made.argue(item, "{")
    made.argue(item, "}")
    made.finish(item, {"arguments": "{}", "status": "completed"})
    made.finish(item, {"arguments": "{}"})
    kept = {"id": "fc_1", "namespace": "hub", "caller": {"type": "direct"}}
    assert events == [
        PartStart(0, "tool_call", "c", "hub__f", value={ITEM: kept}),
        Delta(0, "{"),
        Delta(0, "}"),
        PartEnd(0),
    ]
    assert made.called


def test_what_the_end_of_a_call_says() -> None:
    made, events = pieces(custom=("exec",))
    made.finish(Item({}), {"type": "function_call", "id": "fc_1", "name": "exec", "arguments": {"input": "ls"}})
    made.finish(Item({}), {"type": "custom_tool_call", "call_id": "c2", "name": "exec", "input": "pwd"})
    made.finish(Item({}), {"type": "function_call", "call_id": "c3"})
    made.finish(Item({"type": "web_search_call"}), {})
    starts = [(event.id, event.custom) for event in events if isinstance(event, PartStart)]
    assert starts == [("fc_1", True), ("c2", True)]
    assert [event.text for event in events if isinstance(event, Delta)] == ["ls", "pwd"]
