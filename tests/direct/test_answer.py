"""What a caller sees of an answer: decoded, bounded, and with an end that can be trusted."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from omni_connector.direct.answer import Answer
from omni_connector.direct.decoding import STEP
from omni_connector.direct.faults import BrokenOff, NotHttp
from omni_connector.errors import GatewayError, Kind


class Source:
    def __init__(self) -> None:
        self.heard: list[str] = []

    def resume(self) -> None:
        self.heard.append("resume")

    def abort(self) -> None:
        self.heard.append("abort")


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
async def answer(source: Source) -> Answer:
    return Answer(source, "h", asyncio.get_running_loop())


async def test_what_waits_comes_joined_and_then_the_end(answer: Answer) -> None:
    answer.begin(200, {})
    for piece in (b"a", b"b"):
        answer.add(piece)
    answer.end()
    await answer.begun()
    assert [await answer.read() for _ in range(3)] == [b"ab", b"", b""]


async def test_what_came_is_read_before_the_fault(answer: Answer) -> None:
    answer.begin(200, {})
    answer.add(b"a")
    answer.fail(BrokenOff())
    assert await answer.read() == b"a"
    for _ in range(2):
        with pytest.raises(GatewayError, match="h: the answer broke off") as told:
            await answer.read()
        assert told.value.kind is Kind.UPSTREAM_FAILED


async def test_a_fault_wakes_who_waits(answer: Answer) -> None:
    waiting = asyncio.create_task(answer.begun())
    await asyncio.sleep(0)
    answer.fail(NotHttp())
    with pytest.raises(NotHttp):
        await waiting


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}, {"content-encoding": "gzip, gzip"}, {"content-encoding": "x"}])
async def test_what_is_not_known_to_be_packed_is_left_alone(answer: Answer, headers: dict[str, str]) -> None:
    answer.begin(200, headers)
    answer.add(b"\x1f\x8b")
    answer.end()
    assert await answer.read() == b"\x1f\x8b"


async def test_packed_pieces(answer: Answer) -> None:
    answer.begin(200, {"content-encoding": "GZip"})
    packed = gzip.compress(b"hello")
    answer.add(packed[:3])  # nothing comes of it yet
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    answer.add(packed[3:])
    answer.end()
    assert (await reading, await answer.read()) == (b"hello", b"")


async def test_packed_and_empty(answer: Answer) -> None:
    answer.begin(200, {"content-encoding": "gzip"})
    answer.end()
    assert await answer.read() == b""


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("data", [gzip.compress(b"hello")[:-1], b"no gzip"])
async def test_packed_and_damaged(answer: Answer, source: Source, data: bytes, complete: bool) -> None:
    answer.begin(200, {"content-encoding": "gzip"})
    answer.add(data)
    if complete:
        answer.end()
    elif data.startswith(b"\x1f"):
        answer.fail(BrokenOff())
    with pytest.raises(GatewayError, match="broke off"):
        while await answer.read():
            pass
    assert source.heard == ([] if complete or data.startswith(b"\x1f") else ["abort"])


async def test_a_bomb_is_unpacked_as_it_is_read(answer: Answer, source: Source) -> None:
    answer.begin(200, {"content-encoding": "gzip"})
    answer.add(gzip.compress(b"\0" * (STEP * 3)))
    answer.is_full = True
    assert [len(await answer.read()) for _ in range(2)] == [STEP] * 2
    answer.add(b"")
    assert source.heard == ["resume"], "while something is left of the first piece, no other is taken"
    answer.end()
    assert (len(await answer.read()), await answer.read()) == (STEP, b"")


async def test_what_was_raised_is_let_go(answer: Answer) -> None:
    answer.fail(NotHttp())
    with pytest.raises(NotHttp) as told:
        await answer.begun()
    assert told.value.__traceback__ is not None
    answer.close()
    with pytest.raises(GatewayError) as later:
        await answer.read()
    assert later.value.__cause__ is not told.value, "who is closed holds no frames of those who asked"
