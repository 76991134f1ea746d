"""The readers of this folder: all four hear the same in the same answer, and a broken one is found out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.live.answers import Call, Said, Tokens
from tests.live.answers_more import told as tell
from tests.replay import read_chat
from tests.replay.compare import FIELDS, Verdict, compare, difference
from tests.replay.readers import READERS, read_answer
from tests.replay.told import CHAT, FORMATS, GEMINI, MESSAGES, RESPONSES, Counts, Event, Source, Told, Unexpected, events, exact
from tests.replay.told import Call as Heard

SAID = Said(
    text="Łódź is sunny.",
    thoughts="Let me see.",
    calls=(Call("c1", "sky", {"town": "Łódź", "days": [1, 2.5, None]}), Call("c2", "sky", {})),
    tokens=Tokens(fresh=20, cached=5, output=9, reasoning=4),
)


def raw(wire: str, streamed: bool, said: Said = SAID) -> bytes:
    return b"".join(piece for piece in tell(said, wire, streamed).pieces if isinstance(piece, bytes))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wire", FORMATS)
def test_all_hear_the_same(wire: str, streamed: bool) -> None:
    told = read_answer(wire, raw(wire, streamed), streamed=streamed)
    assert (told.text, told.thoughts, told.finish, told.order) == (SAID.text, SAID.thoughts, "tool_calls", ["thought", "text", "call"])
    assert [(call.name, call.arguments) for call in told.calls] == [("sky", exact(call.arguments)) for call in SAID.calls]
    usage = told.usage
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == (25, 9, 5, 4)
    if streamed and wire != GEMINI:  # our fixture tells Gemini's ids and usage as Google does, in every chunk
        READERS[wire].check(events(raw(wire, streamed)))


@pytest.mark.parametrize("wire", [CHAT, RESPONSES, MESSAGES])
def test_a_stream_that_breaks_the_grammar_is_found_out(wire: str) -> None:
    """Without its last event, without its first one, and with two events swapped."""
    told = events(raw(wire, True))
    begun = told if wire != CHAT else [*told[:3], Event("", {**told[0].data, "id": "another"}), *told[3:]]
    for broken in (told[:-1], begun[1:], [*told[:2], told[-2], *told[2:-2], told[-1]]):
        with pytest.raises(AssertionError):
            READERS[wire].check(broken)


def test_gemini_grammar() -> None:
    last: dict[str, Any] = {"responseId": "r", "modelVersion": "m", "candidates": [{"finishReason": "STOP"}], "usageMetadata": {}}
    more = {"responseId": "r", "modelVersion": "m", "candidates": [{"content": {"parts": [{"text": "a"}]}}]}
    read = READERS[GEMINI].check
    read([Event("", more), Event("", last)])
    early, silent = {**more, "usageMetadata": {}}, {key: value for key, value in last.items() if key != "usageMetadata"}
    for broken in ([more], [last, more], [{**more, "responseId": "x"}, last], [early, silent]):
        with pytest.raises(Unexpected):
            read([Event("", chunk) for chunk in broken])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":1,"b":2}', '{"b":2,"a":1}'),
        ('{"a":[]}', '{"a":{}}'),
        ('{"a":12345678901234567890}', '{"a":12345678901234567000}'),
        ("{", "{}"),
    ],
)
def test_arguments_that_are_not_the_same(one: str, other: str) -> None:
    assert exact(one) != exact(other)
    assert exact(one) == exact(f" {one} ") or one == "{"


def test_arguments_that_are_the_same() -> None:
    assert exact("") == exact("{}") == exact({})
    assert exact('{"a": "\\u0141\\n", "b": 1.50}') == exact('{"a":"Ł\\n","b":1.5}')


CHANGES: dict[str, Callable[[Told], Told]] = {
    "text": lambda told: replace(told, text=told.text + " "),
    "thoughts": lambda told: replace(told, thoughts=""),
    "calls": lambda told: replace(told, calls=[call._replace(arguments="{}") for call in told.calls]),
    "call ids": lambda told: replace(told, calls=[Heard("", call.name, call.arguments) for call in told.calls]),
    "finish": lambda told: replace(told, finish="stop"),
    "stop sequence": lambda told: replace(told, stop_sequence="END"),
    "sources": lambda told: replace(told, sources=[Source("https://example.com", "A")]),
    "log probabilities": lambda told: replace(told, logprobs=[("a", -0.5)]),
    "media": lambda told: replace(told, media=["image/png 1a2b3c4d"]),
    "hosted": lambda told: replace(told, hosted=["web_search_call"]),
    "order": lambda told: replace(told, order=["text", "thought", "call"]),
    "choices": lambda told: replace(told, others=[told]),
    "usage": lambda told: replace(told, usage=Counts(25, 9, 4, 0, 4)),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("client", FORMATS)
def test_a_difference_in_any_field_is_wrong(name: str, client: str) -> None:
    """Nothing is heard that was not said, in no format: exceptions only take away."""
    said = read_answer(CHAT, raw(CHAT, False), streamed=False)
    verdict = Verdict()
    compare(said, CHANGES[name](said), client, verdict)
    assert verdict.wrong and all(line.startswith(name) for line in verdict.wrong) and not verdict.exceptions
    assert CHANGES.keys() - {"usage"} == FIELDS.keys()


def test_an_exception_names_exactly_what_is_heard_instead() -> None:
    said = Told(text="x", finish="pause", hosted=["server_tool_use"])
    for finish, wrong in (("stop", False), ("length", True)):
        verdict = Verdict()
        compare(said, Told(text="x", finish=finish), CHAT, verdict)
        assert bool(verdict.wrong) is wrong and "hosted" in verdict.exceptions


def test_hosts_of_chat_completions_that_leave_out_the_index() -> None:
    calls = [{"id": name, "function": {"name": "f", "arguments": f'{{"n":"{name}"}}'}} for name in "ab"]
    chunks = [{"choices": [{"index": 0, "delta": {"tool_calls": [{**call, "index": 0}]}}]} for call in calls]
    chunks.append({"choices": [{"index": 0, "delta": {"tool_calls": [{"id": "c", "function": {"name": "g", "arguments": {"x": 1}}}]}}]})
    told = read_chat.stream([Event("", chunk) for chunk in chunks])
    assert [(call.id, call.arguments) for call in told.calls] == [("a", '{"n":"a"}'), ("b", '{"n":"b"}'), ("c", '{"x":1}')]


def test_a_difference_is_told_from_where_it_begins() -> None:
    assert difference("a" * 90 + "b", "a" * 90 + "c") == f"at 90: said {'a' * 20 + 'b'!r}, heard {'a' * 20 + 'c'!r}"
