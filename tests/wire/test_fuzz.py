"""Broken, torn and strange bytes from upstreams, in every format: read or reported, never an exception; and the pass-through ear
hears what the parser reads. C-07, C-49"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from omni_connector.chat import Ended, Event, Failed, Fold, Origin, PartEnd, PartStart, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import PassThrough, Translated
from omni_connector.meter import COUNTS, Meter
from omni_connector.wire import TWO_WAY, passing
from tests.wire.arbitrary import CHAT, GEMINI, MESSAGES, ORIGIN, PLACES, RESPONSES, asked, cut

MANY = int(os.environ.get("MANY_EXAMPLES") or 0)
FEW = settings(deadline=None, derandomize=not MANY, max_examples=MANY or 60, phases=(Phase.generate, Phase.shrink))
TRANSCRIPTS = Path(__file__).parent / "transcripts"
RECORDINGS = Path(os.environ.get("OMNI_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "recordings")
PREFIX = {
    CHAT: ("openai_chat", "openai-chat"),
    RESPONSES: ("openai_responses", "openai-responses"),
    MESSAGES: ("anthropic", "anthropic-"),
    GEMINI: ("gemini", "gemini-"),
}
LARGEST = 8_000
each_wire = pytest.mark.parametrize("wire", TWO_WAY)


@cache
def streams(wire: str) -> tuple[bytes, ...]:
    """Our own transcripts, and every small recorded stream where recordings are at hand."""
    ours, theirs = PREFIX[wire]
    found = [path.read_bytes() for path in sorted(TRANSCRIPTS.glob(f"{ours}_*.sse"))]
    for path in sorted(RECORDINGS.glob(f"{theirs}*.json")) if RECORDINGS.is_dir() else ():
        raw = json.loads(path.read_text())["response"].get("sse")
        found += [raw.encode()] if isinstance(raw, str) and len(raw) < LARGEST else []
    return tuple(found)


@cache
def bodies(wire: str) -> tuple[Any, ...]:
    """Whole answers: recorded ones, and one of ours."""
    _, theirs = PREFIX[wire]
    events = TWO_WAY[wire].ResponseParser(ORIGIN).feed(streams(wire)[0])
    whole = Fold()
    for event in events:
        whole.feed(event)
    found = [TWO_WAY[wire].render_response(whole.response(), "m")]
    for path in sorted(RECORDINGS.glob(f"{theirs}*.json")) if RECORDINGS.is_dir() else ():
        body = json.loads(path.read_text())["response"].get("body")
        found += [body] if isinstance(body, dict) and len(str(body)) < LARGEST else []
    return tuple(found)


# ---------------------------------------------------------------- Mutations


def mutated(raw: bytes, seed: int) -> bytes:
    """A few bytes flipped, lines told twice, lost or swapped, pieces cut out, an end torn off, rubbish put in."""
    dice = random.Random(seed)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(raw) + 1)
        lines = raw.splitlines(keepends=True)
        number = dice.randrange(len(lines)) if lines else 0
        match dice.randrange(6):
            case 0:
                raw = raw[:place] + bytes([dice.randrange(256)]) + raw[place + 1 :]
            case 1:
                raw = raw[:place] + raw[place + dice.randint(1, 40) :]
            case 2:
                raw = b"".join([*lines[:number], *lines[number : number + 2], *lines[number:]])
            case 3:
                raw = b"".join([*lines[:number], *lines[number + 1 :]])
            case 4:
                raw = raw[:place] if dice.randrange(2) else raw[:place] + dice.randbytes(dice.randint(1, 9)) + raw[place:]
            case _:
                raw = raw.replace(b"\n", b"\r\n") if dice.randrange(2) else raw[place:] + raw[:place]
    return raw


_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    "x",
    "stop",
    "error",
    [],
    [None],
    [[]],
    [{}],
    {},
    {"text": 5},
    {"index": "a"},
    {"type": []},
)


def warped(value: Any, dice: random.Random, depth: int = 0) -> Any:
    """The same JSON with a value somewhere inside replaced or lost."""
    if isinstance(value, dict) and value and (depth < 2 or dice.randrange(4)):
        key = dice.choice([name for name in value if name != "index"] or list(value))
        rest = {name: one for name, one in value.items() if name != key}
        return rest if not dice.randrange(5) else {**value, key: warped(value[key], dice, depth + 1)}
    if isinstance(value, list) and value and dice.randrange(4):
        number = dice.randrange(len(value))
        return [*value[:number], warped(value[number], dice, depth + 1), *value[number + 1 :]]
    return dice.choice(_ODD)


def rearranged(raw: bytes, seed: int) -> bytes:
    """Events of a stream lost, told twice, swapped, or with strange values; each is still whole JSON."""
    dice = random.Random(seed)
    events = [block for block in raw.replace(b"\r\n", b"\n").split(b"\n\n") if block.strip()]
    for _ in range(dice.randint(1, 3)):
        number = dice.randrange(len(events)) if events else 0
        match dice.randrange(5):
            case 0:
                events = [*events[:number], *events[number + 1 :]]
            case 1:
                events = [*events[: number + 1], *events[number:]]
            case 2:
                events = [*events[:number], *events[number + 1 :], *events[number : number + 1]]
            case _:
                events[number : number + 1] = [_warp_event(event, dice) for event in events[number : number + 1]]
    return b"".join(event + b"\n\n" for event in events)


def _warp_event(event: bytes, dice: random.Random) -> bytes:
    head, mark, data = event.partition(b"data:")
    try:
        value = json.loads(data)
    except ValueError:
        return event
    told = warped(value, dice)
    if isinstance(told, dict) and isinstance(value, dict) and "type" in value:
        told["type"] = value["type"]  # an event may call itself by one name only
    return head + mark + b" " + json.dumps(told if isinstance(told, dict) else value, separators=(",", ":")).encode()


# ---------------------------------------------------------------- Never an exception


def check_order(events: list[Event]) -> None:
    """What renderers rely on: deltas only inside their part, nothing after the end or a failure."""
    opened: set[int] = set()
    for number, event in enumerate(events):
        if isinstance(event, PartStart):
            assert event.index not in opened
            opened.add(event.index)
        elif hasattr(event, "index"):
            assert event.index in opened, event
        if isinstance(event, PartEnd):
            opened.discard(event.index)
        if isinstance(event, Ended | Failed):
            assert number == len(events) - 1
    if events and isinstance(events[-1], Ended):
        assert not opened


def everything(wire: str, pieces: list[bytes]) -> None:
    parser, ear = TWO_WAY[wire].ResponseParser(ORIGIN, asked(wire)), TWO_WAY[wire].Listener()
    events: list[Event] = []
    for piece in pieces:
        events += parser.feed(piece)
        ear.feed(piece)
    events += parser.close()
    ear.close()
    assert isinstance(ear.output_chars, int) and not (ear.ended and ear.error)
    _ = ear.usage
    check_order(events)
    for there in TWO_WAY:
        for renderer in (TWO_WAY[there].ResponseRenderer("m", asked(there), origin=ORIGIN), TWO_WAY[there].ResponseRenderer("m")):
            told = b"".join(renderer.feed(event) for event in events)
            renderer.fail(GatewayError(Kind.UPSTREAM_FAILED, "x"))
            told.decode()
    for way in (PassThrough(wire, model="m", hide_usage=True), PassThrough(wire, model="", hide_usage=False)):
        for piece in pieces:
            way.feed(piece)
        way.close()
        way.fail(GatewayError(Kind.UPSTREAM_FAILED, "x"))
        way.reading(1)


@each_wire
@FEW
@given(data=st.data(), seed=st.integers(0, 2**32), places=PLACES)
def test_a_broken_stream_is_read_or_reported(wire: str, data: st.DataObject, seed: int, places: list[int]) -> None:
    raw = data.draw(st.sampled_from(range(len(streams(wire)))))
    everything(wire, cut(mutated(streams(wire)[raw], seed), places))


@each_wire
@FEW
@given(
    raw=st.binary(max_size=200) | st.text(max_size=60).map(lambda text: b"data: " + text.encode("utf-8", "replace") + b"\n\n"),
    places=PLACES,
)
def test_any_bytes_are_read_or_reported(wire: str, raw: bytes, places: list[int]) -> None:
    everything(wire, cut(raw, places))
    everything(wire, [b"data: ", *cut(raw, places), b"\n\n"])


@each_wire
@FEW
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_a_strange_whole_answer_is_read_or_reported(wire: str, data: st.DataObject, seed: int) -> None:
    body = bodies(wire)[data.draw(st.sampled_from(range(len(bodies(wire)))))]
    odd = warped(body, random.Random(seed))
    raw = json.dumps(odd).encode()
    ear = TWO_WAY[wire].Listener()
    ear.whole(odd)
    TWO_WAY[wire].Listener().whole(mutated(raw, seed))
    check_order(TWO_WAY[wire].ResponseParser(ORIGIN).whole(odd))
    TWO_WAY[wire].ResponseParser(ORIGIN).whole(mutated(raw, seed))
    for there in TWO_WAY:
        for text in (raw, mutated(raw, seed)):
            way = Translated(wire, there, "m", asked(there), ORIGIN)
            _documented(lambda way=way, text=text: way.whole(text))  # type: ignore[misc]
            _documented(lambda text=text, there=there: Translated(wire, there, "m", asked(there), ORIGIN).stream_whole(text))  # type: ignore[misc]
    _documented(lambda: PassThrough(wire, model="m", hide_usage=False).whole(raw))
    passing.rename_whole(mutated(raw, seed), "m")


def _documented(call: Callable[[], bytes]) -> None:
    try:
        call()
    except GatewayError as error:
        assert error.kind is Kind.UPSTREAM_FAILED


@each_wire
@FEW
@given(status=st.integers(100, 599), seed=st.integers(0, 2**32), raw=st.binary(max_size=60), wait=st.text(max_size=12))
def test_any_error_answer_is_classified(wire: str, status: int, seed: int, raw: bytes, wait: str) -> None:
    error = TWO_WAY[wire].render_error(GatewayError(Kind.RATE_LIMITED, "busy", retry_after=5.0))
    odd = json.dumps(warped(error, random.Random(seed))).encode()
    for body in (raw, odd, mutated(odd, seed), b"[" * 3000, b"<html>" + raw):
        found = TWO_WAY[wire].parse_error(status, {"retry-after": wait, "content-type": "application/json"}, body)
        assert isinstance(found, GatewayError) and isinstance(found.message, str)
        json.dumps(TWO_WAY[wire].render_error(found))
        assert found.retry_after is None or found.retry_after >= 0


# ---------------------------------------------------------------- The ear hears what the parser reads


@each_wire
@FEW
@given(data=st.data(), seed=st.integers(0, 2**32), places=PLACES)
def test_the_ear_agrees_with_the_parser_about_strange_streams(wire: str, data: st.DataObject, seed: int, places: list[int]) -> None:
    raw = rearranged(streams(wire)[data.draw(st.sampled_from(range(len(streams(wire)))))], seed)
    parser, ear, meter = TWO_WAY[wire].ResponseParser(Origin("p", "m")), TWO_WAY[wire].Listener(), Meter()
    for piece in cut(raw, places):
        meter.hear(parser.feed(piece))
        ear.feed(piece)
    meter.hear(parser.close())
    ear.close()
    assert (ear.error is None, ear.ended) == (meter.error is None, meter.ended)
    if meter.ended:
        assert ear.finish is meter.finish
        heard, read = ear.usage or Usage(), meter.usage or Usage()
        # Of Gemini's counts, which every chunk repeats, only the last are read: of strange ones it may know less, never something else.
        assert heard == read or (wire == GEMINI and all(getattr(heard, name) in (None, getattr(read, name)) for name in COUNTS))


@each_wire
@FEW
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_ear_agrees_with_the_parser_about_strange_whole_answers(wire: str, data: st.DataObject, seed: int) -> None:
    body = warped(bodies(wire)[data.draw(st.sampled_from(range(len(bodies(wire)))))], random.Random(seed))
    ear, meter = TWO_WAY[wire].Listener(), Meter()
    ear.whole(body)
    meter.hear(TWO_WAY[wire].ResponseParser(Origin("p", "m")).whole(body))
    assert (ear.error is None, ear.ended) == (meter.error is None, meter.ended)
    if meter.ended:
        assert (ear.finish, ear.usage) == (meter.finish, meter.usage)
