"""A stream that breaks after its first words is gone on with: one answer in the client's format, both accounts on the row."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import continuing
from omni_connector.call import Call
from omni_connector.chat import (
    ChatRequest,
    Delta,
    Event,
    Finish,
    Finished,
    Message,
    Origin,
    OutputFormat,
    PartEnd,
    PartStart,
    Sampling,
    TextPart,
    Usage,
)
from omni_connector.errors import GatewayError, Kind
from omni_connector.gateway import Gateway
from omni_connector.lanes import PassThrough
from tests.live.answers import CHAT, MESSAGES, Said, Tokens, chat_error
from tests.live.answers import Call as ToolCall
from tests.live.answers_more import GEMINI, RESPONSES, told
from tests.relaying import Client, House
from tests.replay.readers import READERS
from tests.replay.told import Told, events
from tests.serving import Answer, whole

Json = dict[str, Any]
WIRES = (CHAT, RESPONSES, MESSAGES, GEMINI)
WORDS = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun until evening."
SEAM = 42
"""A multiple of the pieces' size (7): pieces come whole, so the words sent are known."""


@pytest.fixture
async def house(migrated_home: Path, tmp_path: Path) -> AsyncIterator[House]:
    gateway = await Gateway.open(Path(shutil.copytree(migrated_home, tmp_path / "home")), {})
    gateway.ledger.start()
    await gateway.admin.set_config({"continue_broken_streams": True})
    yield House(gateway)
    await asyncio.gather(*gateway._tasks)
    await gateway.ledger.close()
    await gateway.close()


def theirs(wire: str, provider: str) -> str:
    """What an account of `provider` speaks to a client of `wire`."""
    if provider == "anthropic":
        return MESSAGES
    return RESPONSES if wire == RESPONSES else CHAT


def torn(said: Said, wire: str, pieces: int, *, hang: bool = False) -> Answer:
    """The answer up to and with its first `pieces` deltas of words, then nothing."""
    answer = told(said, wire, True)
    mark = {CHAT: b'"delta":{"content":', MESSAGES: b'"text_delta"', RESPONSES: b"event: response.output_text.delta"}[wire]
    spoken = [number for number, block in enumerate(answer.pieces) if isinstance(block, bytes) and mark in block]
    kept = answer.pieces[: spoken[pieces - 1] + 1]
    return replace(answer, pieces=kept, cut=not hang, hang=hang)


async def ask(house: House, wire: str, **more: Any) -> Client:
    """As `House.ask`, in any of the four formats."""
    call = house.call(wire=wire, streamed=True, **more)
    body: Json = {"model": "test-model", "stream": True, "max_output_tokens": 50, "input": "hi", **more}
    if wire == RESPONSES:
        call = replace(call, body=json.dumps(body).encode())
    elif wire == GEMINI:
        contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **more}
        call = replace(call, body=json.dumps(contents).encode(), model="test-model", stream=True)
    return await run(house, call)


async def run(house: House, call: Call) -> Client:
    client = Client()
    async with asyncio.timeout(30):
        await house.gateway.relay.run(call, client)
    assert client.ended
    assert all(exchange.closed for exchange in house.network.exchanges)
    assert (house.gateway.relay.active, house.gateway.relay.retrying) == (0, 0)
    assert all(house.gateway.pool.live(name).in_flight == 0 for name in house.ids.values())
    return client


def heard(client: Client, wire: str) -> Told:
    """The answer, by the readers that know nothing of the product; they check the order of the events too."""
    seen = events(client.body)
    READERS[wire].check(seen)
    answer: Told = READERS[wire].stream(seen)
    return answer


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("first", "second"), [("openai", "anthropic"), ("anthropic", "openai"), ("openai", "openai")])
async def test_the_next_account_goes_on(house: House, wire: str, first: str, second: str) -> None:
    begun = torn(Said(WORDS), theirs(wire, first), SEAM // 7)
    rest = told(Said(WORDS[SEAM:], tokens=Tokens(fresh=40, output=5)), theirs(wire, second), True)
    await house.account("a", begun, provider=first)
    await house.account("b", rest, provider=second)
    client = await ask(house, wire)
    answer = heard(client, wire)
    assert (answer.text, answer.finish, answer.error) == (WORDS, "stop", "")
    assert (continuing.NOTE in client.body) == (wire != GEMINI), "the seam is marked where the format lets it"
    assert client.headers["x-omni-account"] == "a"
    asked = json.dumps(house.network.bodies[1])
    assert json.dumps(WORDS[:SEAM])[1:-1] in asked and continuing.ASK in asked
    row = await house.row()
    assert (row["outcome"], row["flag"], row["account"]["label"]) == ("ok", "CONTINUED", "b")
    assert [(one["account"], one["kind"]) for one in row["attempts"]] == [("a", "upstream_failed"), ("b", None)]
    assert "went on with b" in row["route"]
    assert house.cooling() == {"a"}
    # What the torn answer used: its provider's word where it came (Anthropic's first event), else what was asked and heard.
    read = 21 if first == "anthropic" else row["usage"]["input"] - 40
    assert read > 0
    assert (row["usage"]["input"], row["usage"]["output"], row["usage"]["source"]) == (read + 40, -(-SEAM // 4) + 5, "counted")
    if wire != CHAT:  # chat completions tell the usage only when asked
        assert (answer.usage.input, answer.usage.output) == (read + 40, -(-SEAM // 4) + 5)


@pytest.mark.parametrize("wire", WIRES)
async def test_it_is_off_by_default(house: House, wire: str) -> None:
    await house.gateway.admin.set_config({"continue_broken_streams": False})
    await house.account("a", torn(Said(WORDS), theirs(wire, "openai"), 6))
    await house.account("b", told(Said("never"), theirs(wire, "openai"), True))
    client = await ask(house, wire)
    assert house.network.asked == ["a"]
    assert heard_error(client, wire)
    row = await house.row()
    assert (row["outcome"], row["flag"] != "CONTINUED") == ("cut", True)


def heard_error(client: Client, wire: str) -> bool:
    return bool(READERS[wire].stream(events(client.body)).error)


async def test_off_costs_nothing_and_on_only_where_it_may_help(house: House) -> None:
    lanes: list[object] = []
    relay = house.gateway.relay
    real = relay._prepare

    async def spied(*given: Any) -> Any:
        prepared = await real(*given)
        lanes.append(prepared.lane)
        return prepared

    relay._prepare = spied  # type: ignore[method-assign]
    await house.account("a", told(Said("all is well"), CHAT, True))
    await house.ask(streamed=True)
    await house.ask(streamed=True, response_format={"type": "json_object"})
    await house.ask(streamed=True, n=2)
    await house.gateway.admin.set_config({"continue_broken_streams": False})
    await house.ask(streamed=True)
    assert [type(lane) for lane in lanes] == [continuing.Told, PassThrough, PassThrough, PassThrough]


CALL = ToolCall("call_1", "look", {"place": "a rather long place"})


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    ("said", "pieces", "more"),
    [
        (Said("", calls=(CALL,)), 3, {}),
        (Said("", thoughts=WORDS, signature="c2ln"), 3, {}),
        (Said(WORDS), 3, {"response_format": {"type": "json_object"}}),
    ],
    ids=["tool", "thoughts", "json"],
)
async def test_nothing_but_text_is_gone_on_with(house: House, wire: str, provider: str, said: Said, pieces: int, more: Json) -> None:
    if wire == MESSAGES and more:
        more = {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}
    answer = told(said, theirs(wire, provider), True)
    keep = 5 if theirs(wire, provider) == MESSAGES else 3
    await house.account("a", replace(answer, pieces=answer.pieces[:keep], cut=True), provider=provider)
    await house.account("b", told(Said("never"), CHAT, True))
    client = await ask(house, wire, **more)
    assert house.network.asked == ["a"]
    assert heard_error(client, wire)
    assert (await house.row())["outcome"] == "cut"


async def test_thoughts_that_are_over_do_not_hinder(house: House) -> None:
    begun = told(Said(WORDS, thoughts="Let me see.", signature="c2ln"), MESSAGES, True)
    kept = begun.pieces[: next(n for n, block in enumerate(begun.pieces) if b"text_delta" in bytes(block)) + 6]  # type: ignore[arg-type]
    await house.account("a", replace(begun, pieces=kept, cut=True), provider="anthropic")
    rest = Said(WORDS[SEAM:], thoughts="How did it go on?", signature="c2ln", calls=(CALL,))
    await house.account("b", told(rest, MESSAGES, True), provider="anthropic")
    answer = heard(await ask(house, MESSAGES), MESSAGES)
    assert (answer.text, answer.thoughts, answer.order) == (WORDS, "Let me see.", ["thought", "text", "call"])
    assert ([call.name for call in answer.calls], answer.finish) == (["look"], "tool_calls")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_third_goes_on_where_the_second_breaks(house: House, wire: str) -> None:
    mine = theirs(wire, "openai")
    await house.account("a", torn(Said(WORDS), mine, 3))
    await house.account("refuses", chat_error(500, "boom"))
    await house.account("b", torn(Said(WORDS[21:]), mine, 3))
    await house.account("c", told(Said(WORDS[42:]), mine, True))
    client = await ask(house, wire)
    answer = heard(client, wire)
    assert (answer.text, answer.finish, house.network.asked) == (WORDS, "stop", ["a", "refuses", "b", "c"])
    row = await house.row()
    assert [(one["account"], one["kind"] is None) for one in row["attempts"]] == [
        ("a", False), ("refuses", False), ("b", False), ("c", True),
    ]  # fmt: skip
    assert row["usage"]["output"] == 6 + 6 + 9


@pytest.mark.parametrize("wire", WIRES)
async def test_where_nobody_goes_on_the_error_is_told(house: House, wire: str) -> None:
    mine = theirs(wire, "openai")
    await house.account("a", torn(Said(WORDS), mine, 6))
    await house.account("b", chat_error(500, "boom"))
    await house.account("c", whole({"no": "stream"}))
    client = await ask(house, wire)
    answer = READERS[wire].stream(events(client.body))
    assert "broke off" in answer.error and house.network.asked == ["a", "b", "c"]
    if wire != RESPONSES:  # its reader takes the words from the last event
        assert answer.text == WORDS[:SEAM]
    row = await house.row()
    assert (row["outcome"], row["account"]["label"], row["error"]["kind"]) == ("cut", "a", "upstream_failed")
    assert row["usage"]["output"] == -(-SEAM // 4)
    assert row["flag"] != "CONTINUED"


async def test_silence_is_gone_on_with_but_the_end_of_time_is_not(house: House) -> None:
    await house.account("a", torn(Said(WORDS), CHAT, 6, hang=True))
    await house.account("b", told(Said(WORDS[SEAM:]), CHAT, True))
    house.set(idle=0.05)
    assert heard(await ask(house, CHAT), CHAT).text == WORDS
    house.gateway.pool.clear(house.ids["a"])
    house.set(total=0.1)
    assert heard_error(await ask(house, CHAT), CHAT)
    assert house.network.asked == ["a", "b", "a"]


async def test_words_said_again_are_told_once(house: House) -> None:
    await house.account("a", torn(Said(WORDS), CHAT, 6))
    await house.account("b", told(Said(WORDS[15:]), CHAT, True))
    assert heard(await ask(house, CHAT), CHAT).text == WORDS


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        ("Hel", "lo", 0),
        ("Hello, wor", "Hello, world", 10),
        ("one two three", "two three four", 9),
        ("", "anything", 0),
        ("x" * 500, "x" * 500, 200),
        ("a sentence.", "Another sentence.", 0),
    ],
)
def test_repeated(before: str, after: str, size: int) -> None:
    assert continuing.repeated(before, after) == size


@pytest.mark.parametrize("target", [*WIRES, "array"])
@pytest.mark.parametrize("second", WIRES)
@pytest.mark.parametrize("first", WIRES)
def test_one_answer_of_any_two_formats_in_any_third(first: str, second: str, target: str) -> None:
    """The lanes alone, torn after every block of the first answer: either nobody may go on, or the answer is whole."""
    wire = GEMINI if target == "array" else target
    request = ChatRequest(wire, "m", (Message("user", (TextPart("hi"),)),), stream=True, include_usage=True)
    blocks = [block + b"\n\n" for block in re.split(rb"\r?\n\r?\n", b"".join(told(Said(WORDS), first, True).pieces)) if block]  # type: ignore[arg-type]
    tried = 0
    for cut in range(1, len(blocks), 2):
        lane = continuing.Told(first, wire, "m", request, Origin("p", "m"), as_array=target == "array")
        out = b"".join(lane.feed(block) for block in blocks[:cut]) + lane.close()
        sent = lane.sent.text
        if not continuing.can_go_on(lane, GatewayError(Kind.UPSTREAM_FAILED, "torn")):
            continue
        tried += 1
        assert WORDS.startswith(sent)
        # As the relay does: another one begins, says nothing, and leaves no trace.
        lane.continued(second, Origin("q", "n"), Usage(input=7, output=1)).feed(blocks[0] if second == first else b"")
        rest = told(Said(WORDS[len(sent) :] or " ", tokens=Tokens(fresh=40, output=5)), second, True)
        onward = lane.continued(second, Origin("q", "n"), Usage(input=7, output=1))
        out += lane.note + b"".join(onward.feed(piece) for piece in rest.pieces) + onward.close()  # type: ignore[arg-type]
        assert onward.complete
        if target == "array":
            answer = READERS[wire].whole(json.loads(out))
        else:
            READERS[wire].check(events(out))
            answer = READERS[wire].stream(events(out))
        assert (answer.text.rstrip(), answer.finish) == (WORDS, "stop")
        assert (answer.usage.input, answer.usage.output) == (47, 6)
    assert tried >= 5


def test_sent_text_may_be_gone_on_with_only_while_it_is_all() -> None:
    def after(*said: Event) -> int | None:
        sent = continuing.Sent()
        for event in said:
            sent.hear(event)
        return sent.open_text

    text, words = PartStart(0, "text"), Delta(0, "words")
    assert after(text, words) == 0
    assert after(PartStart(0, "reasoning"), PartEnd(0), PartStart(1, "text"), Delta(1, "words")) == 1
    assert after(text) is None, "nothing was said yet"
    assert after(text, words, PartEnd(0)) is None
    assert after(text, words, Finished(Finish.STOP)) is None
    assert after(text, words, PartStart(1, "reasoning")) is None
    assert after(text, words, PartStart(1, "tool_call", "c", "f")) is None
    assert after(PartStart(0, "refusal"), Delta(0, "no")) is None


def test_what_is_asked_of_the_next_one() -> None:
    request = ChatRequest(CHAT, "m", (Message("user", (TextPart("hi"),)),), stream=True)
    assert [message.role for message in continuing.onward(request, "so far").messages] == ["user", "assistant", "user"]
    assert continuing.onward(request, "so far", 5).max_tokens is None
    limited = replace(request, max_tokens=20)
    assert [continuing.onward(limited, "so far", spent).max_tokens for spent in (5, 25)] == [15, 1], "the limit is for both answers"
    assert continuing.is_wanted(request)
    assert not continuing.is_wanted(replace(request, stream=False))
    assert not continuing.is_wanted(replace(request, output=OutputFormat("json_schema")))
    assert not continuing.is_wanted(replace(request, sampling=Sampling(n=2)))


def test_counts_are_added() -> None:
    one, other = Usage(input=1, output=2, raw={"a": 1}), Usage(input=10, cache_read=5, raw={"b": 2})
    assert continuing.added(one, other) == Usage(input=11, cache_read=5, output=2)


@pytest.mark.parametrize(
    ("kind", "goes_on"),
    [
        (Kind.UPSTREAM_FAILED, True),
        (Kind.UPSTREAM_OVERLOADED, True),
        (Kind.ACCOUNT_RATE_LIMITED, True),
        (Kind.CONTENT_FILTERED, False),
        (Kind.CLIENT_LEFT, False),
        (Kind.INTERNAL, False),
    ],
)
def test_what_another_account_may_mend_is_gone_on_with(kind: Kind, goes_on: bool) -> None:
    lane = continuing.Told(CHAT, CHAT, "m", ChatRequest(CHAT, "m", (), stream=True), Origin("p", "m"))
    lane.feed(b"".join(piece for piece in torn(Said(WORDS), CHAT, 6).pieces if isinstance(piece, bytes)))
    assert continuing.can_go_on(lane, GatewayError(kind, "x")) is goes_on
    assert not continuing.can_go_on(None, GatewayError(kind, "x"))


async def test_a_client_that_leaves_is_not_gone_on_for(house: House) -> None:
    """The first account broke; while the next one is still silent the client hangs up."""
    await house.account("a", torn(Said(WORDS), CHAT, 6))
    await house.account("b", Answer(200, {"content-type": "text/event-stream"}, [], hang=True))
    await house.account("c", told(Said("never"), CHAT, True))
    task = asyncio.create_task(house.gateway.relay.run(house.call(streamed=True), Client()))
    async with asyncio.timeout(30):
        while house.network.asked != ["a", "b"]:
            await asyncio.sleep(0)
    task.cancel("client left")
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(30):
        while (await house.gateway.admin.requests({"limit": "1"}))["requests"][0]["state"] != "settled":
            await asyncio.sleep(0)
    row = await house.row()
    assert (row["outcome"], house.network.asked) == ("client_left", ["a", "b"])
    assert [one["account"] for one in row["attempts"]] == ["a", "b"]


def test_who_fails_before_its_first_words_leaves_no_trace() -> None:
    """A tool call that was only opened closes no text: what was rendered for it never went out."""
    request = ChatRequest(MESSAGES, "m", (Message("user", (TextPart("hi"),)),), stream=True)
    origin = Origin("p", "m")
    lane = continuing.Told(CHAT, MESSAGES, "m", request, origin)
    out = b"".join(lane.feed(piece) for piece in torn(Said(WORDS), CHAT, 6).pieces)  # type: ignore[arg-type]
    opened = lane.continued(CHAT, origin, Usage())
    blocks = [piece for piece in told(Said(calls=(CALL,)), CHAT, True).pieces if isinstance(piece, bytes)]
    assert b"".join(opened.feed(block) for block in blocks[:2]) == b""
    assert not opened.first_output and lane.sent.open_text == 0
    onward = lane.continued(CHAT, origin, Usage())
    out += b"".join(onward.feed(piece) for piece in told(Said(WORDS[SEAM:]), CHAT, True).pieces)  # type: ignore[arg-type]
    READERS[MESSAGES].check(events(out))
    answer = READERS[MESSAGES].stream(events(out))
    assert (answer.text, answer.calls) == (WORDS, [])
