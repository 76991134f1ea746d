"""What a caller sees of an answer: decoded, bounded, and with an end that can be trusted."""

from __future__ import annotations

import asyncio
import gzip
from contextvars import Context, ContextVar

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


# ---------------------------------------------------------------- Passed on in the turn that brings it

NUMBER: ContextVar[str] = ContextVar("NUMBER", default="nobody's")


class Taker:
    """Takes pieces; wants no more after one that ends with "."."""

    def __init__(self) -> None:
        self.taken = b""
        self.number = ""

    def __call__(self, piece: bytes) -> bool:
        self.taken += piece
        self.number = NUMBER.get()
        if piece == b"?":
            raise ZeroDivisionError
        return not piece.endswith(b".")


@pytest.fixture
async def taker(answer: Answer) -> Taker:
    answer.begin(200, {})
    return Taker()


def come(answer: Answer, *pieces: bytes) -> None:
    for piece in pieces:
        answer.add(piece)
    answer.wake()


async def passing(answer: Answer, taker: Taker) -> asyncio.Task[bool]:
    """A task that waits for pieces to pass on."""
    task = asyncio.create_task(answer.pass_on(taker))
    await asyncio.sleep(0)
    return task


async def test_pieces_are_taken_without_a_turn_of_the_loop(answer: Answer, taker: Taker) -> None:
    answer.add(b"a")
    NUMBER.set("ours")
    task = await passing(answer, taker)
    assert (taker.taken, taker.number) == (b"a", "ours")
    Context().run(come, answer, b"b", b"c")
    assert (taker.taken, taker.number) == (b"abc", "ours"), "logged as what the task does, wherever it is called from"
    come(answer, b"d.")
    come(answer, b"e")
    assert taker.taken == b"abcd.", "it wants no more"
    assert await task and answer.size == 1
    task = await passing(answer, taker)
    answer.add(b"f")
    answer.end()
    assert taker.taken == b"abcd.ef" and not await task
    assert not await answer.pass_on(taker)


@pytest.mark.parametrize("last", [b"a.", b"?"])
async def test_who_is_interrupted_hears_later_what_became_of_it(answer: Answer, taker: Taker, last: bytes) -> None:
    task = await passing(answer, taker)
    task.cancel()
    come(answer, last)
    with pytest.raises(asyncio.CancelledError):
        await task
    come(answer, b"b")
    assert taker.taken == last
    if last == b"?":
        with pytest.raises(ZeroDivisionError):
            await answer.pass_on(taker)
    else:
        assert await answer.pass_on(taker)
    await passing(answer, taker)
    assert taker.taken == last + b"b"


async def test_what_taking_raised_and_nobody_hears_is_let_go(answer: Answer, taker: Taker) -> None:
    task = await passing(answer, taker)
    task.cancel()
    come(answer, b"?")
    with pytest.raises(asyncio.CancelledError):
        await task
    answer.close()
    assert answer._raised is None, "its frames hold us"


async def test_what_taking_raises_is_raised_where_it_is_waited_for(answer: Answer, taker: Taker) -> None:
    task = await passing(answer, taker)
    come(answer, b"?")
    with pytest.raises(ZeroDivisionError):
        await task
    answer.add(b"?")
    with pytest.raises(ZeroDivisionError):
        await answer.pass_on(taker)


async def test_what_came_is_passed_on_before_the_fault(answer: Answer, taker: Taker) -> None:
    task = await passing(answer, taker)
    answer.add(b"a")
    answer.fail(BrokenOff())
    assert taker.taken == b"a"
    with pytest.raises(GatewayError, match="broke off"):
        await task


async def test_packed_pieces_are_passed_on_unpacked(answer: Answer, taker: Taker) -> None:
    answer.begin(200, {"content-encoding": "gzip"})
    task = await passing(answer, taker)
    packed = gzip.compress(b"hello")
    come(answer, packed[:3])
    come(answer, packed[3:])
    answer.end()
    assert not await task and taker.taken == b"hello"
