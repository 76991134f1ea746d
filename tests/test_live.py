"""Live events: a snapshot, then deltas; slow readers go, silence is filled, the end is an end. C-92, C-98"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
import pytest

from omni_connector import live as module
from omni_connector.live import QUEUE, Live, encode


def read(event: bytes) -> tuple[str, object]:
    name, data, end, rest = event.split(b"\n")
    assert (name[:7], data[:6], end, rest) == (b"event: ", b"data: ", b"", b"")
    return name[7:].decode(), msgspec.json.decode(data[6:])


async def heard(stream: AsyncGenerator[bytes, None]) -> tuple[str, object]:
    return read(await asyncio.wait_for(anext(stream), 30))


async def test_the_snapshot_comes_first_and_nothing_falls_between() -> None:
    live = Live()

    async def snapshot() -> dict[str, int]:
        live.publish("request", {"id": "during"})  # it changes while the picture is being taken
        return {"version": 1}

    async with contextlib.aclosing(live.stream(snapshot)) as stream:
        assert await heard(stream) == ("snapshot", {"version": 1})
        assert await heard(stream) == ("request", {"id": "during"})
        live.publish("account", {"label": "ü\n"})
        assert await heard(stream) == ("account", {"label": "ü\n"})


async def test_everybody_hears_everything_and_leaves_no_trace() -> None:
    live = Live()
    assert not live.listening
    live.publish("request", {"nobody": "listens"})
    streams = [live.stream(dict) for _ in range(3)]
    for stream in streams:
        assert await heard(stream) == ("snapshot", {})
    live.publish("key", {"id": 1})
    for stream in streams:
        assert await heard(stream) == ("key", {"id": 1})
        await stream.aclose()
    assert not live.listening


async def test_a_slow_reader_is_sent_away_and_holds_nobody_up() -> None:
    live = Live()
    slow, quick = live.stream(dict), live.stream(dict)
    await heard(slow)
    await heard(quick)
    for number in range(QUEUE + 50):
        live.publish("request", number)
        assert await heard(quick) == ("request", number)
    told = [read(event) async for event in slow]  # it ends, so the browser comes back for a new snapshot
    assert told == [("request", number) for number in range(1, QUEUE)]
    assert live.listening
    await quick.aclose()
    assert not live.listening


async def test_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.005)
    live = Live()
    async with contextlib.aclosing(live.stream(dict)) as stream:
        await heard(stream)
        assert await anext(stream) == b": still here\n\n"
        assert await anext(stream) == b": still here\n\n"
        live.publish("request", 1)
        assert await heard(stream) == ("request", 1)


async def test_closing_ends_every_stream_even_a_full_one() -> None:
    live = Live()
    full, idle = live.stream(dict), live.stream(dict)
    await heard(full)
    for number in range(QUEUE):
        live.publish("request", number)
    await heard(idle)
    live.close()
    assert [event async for event in idle] == []
    assert len([event async for event in full]) == QUEUE - 1
    assert not live.listening


def test_an_event_is_one_line_of_data() -> None:
    assert encode("x", {"text": "a\nb\r\n"}) == b'event: x\ndata: {"text":"a\\nb\\r\\n"}\n\n'


async def test_who_follows_the_books_is_woken_by_requests_and_by_the_end() -> None:
    live = Live()
    assert await live.next_request(0.001)
    waiting = asyncio.create_task(live.next_request(60))
    await asyncio.sleep(0)
    assert live.listening
    live.publish("account", {})
    await asyncio.sleep(0)
    assert not waiting.done()
    live.publish("request", {})
    live.publish("request", {})
    assert await waiting
    assert not live.listening
    waiting = asyncio.create_task(live.next_request(60))
    await asyncio.sleep(0)
    live.close()
    assert not await waiting
    assert not await live.next_request(60)


async def test_who_is_sent_away_may_come_back() -> None:
    """A password was changed: what was open ends, and what is opened then does not."""
    live = Live()
    stream = live.stream(dict)
    await heard(stream)
    waiting = asyncio.create_task(live.next_request(60))
    await asyncio.sleep(0)
    era = live.era
    live.send_away()
    assert not await waiting
    assert [event async for event in stream] == []
    assert live.era != era
    assert await live.next_request(0.001), "whoever follows from now on goes on"
    again = live.stream(dict)
    await heard(again)
    live.publish("request", 1)
    assert await heard(again) == ("request", 1)
