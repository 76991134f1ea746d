"""One connection: answers are read the same however they are cut, and what can be read in two ways is not read."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.direct import connection as module
from omni_connector.direct.answer import Answer
from omni_connector.direct.faults import Broke, BrokenOff, DirectError, Disconnected, NotHttp, Reset, Unreadable
from omni_connector.errors import GatewayError
from tests.direct.wire import Place, whole

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """In one piece, in two at every byte, and each byte alone."""
    yield [data]
    for at in range(1, len(data)):
        yield [data[:at], data[at:]]
    yield [bytes([byte]) for byte in data]


# ---------------------------------------------------------------- Answers that are read

GOOD: dict[str, tuple[bytes, int, bytes, bool]] = {
    "with a length": (OK + b"Content-Length: 5\r\nX-A:  b \t\r\n\r\nhello", 200, b"hello", True),
    "nothing in it": (OK + b"Content-Length: 0\r\n\r\n", 200, b"", True),
    "in chunks": (CHUNKED + b"5\r\nhello\r\n6;name=\"v\"\r\n world\r\n0\r\n\r\n", 200, b"hello world", True),
    "with trailers": (CHUNKED + b"2\r\nhi\r\n0\r\nX-Trailer: 1\r\nStatus: 500\r\n\r\n", 200, b"hi", True),
    "capital sizes": (OK + b"transfer-encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789", True),
    "said to be the last": (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi", 200, b"hi", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", False),
    "HTTP/1.0 that stays": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", True),
    "304 with the length of another": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, b"", True),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "after 100 and 103": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
        200, b"hi", True,
    ),
    "an upgrade nobody took": (OK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi", True),
    "compressed": (
        OK + b"Content-Encoding: GZIP\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (len(gzip.compress(b"hello", mtime=0)), gzip.compress(b"hello", mtime=0)),
        200, b"hello", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
async def test_an_answer_is_the_same_however_it_is_cut(name: str) -> None:
    data, status, body, stays = GOOD[name]
    for pieces in cuts(data):
        place = Place()
        answer = place.ask()
        place.feed(*pieces)
        assert (await whole(answer), answer.status) == (body, status), pieces
        assert place.heard == (["rest"] if stays else ["gone"]), pieces
        assert place.wire.is_cut is not stays


async def test_one_that_ends_with_the_connection() -> None:
    for pieces in cuts(OK + b"Content-Type: a\r\n\r\nhello"):
        place = Place()
        answer = place.ask()
        place.feed(*pieces)
        place.end()
        assert await whole(answer) == b"hello"
        assert place.heard == ["gone", "closed"]


async def test_headers_are_in_lower_case_and_the_last_of_a_name_stands() -> None:
    place = Place()
    answer = place.ask()
    place.feed(OK + b"X-One: a\r\nx-one: b\r\nSET-Cookie: \xc3\xa9\xff \r\nEmpty:\r\nContent-Length: 0\r\n\r\n")
    await answer.begun()
    assert answer.headers == {"x-one": "b", "set-cookie": "é\udcff", "empty": "", "content-length": "0"}


async def test_several_answers_on_one_connection() -> None:
    place = Place()
    for body in (b"one", b"two", b""):
        answer = place.ask()
        place.feed(OK + b"Content-Length: %d\r\nX-%s: 1\r\n\r\n%s" % (len(body), body or b"last", body))
        assert await whole(answer) == body
        assert len(answer.headers) == 2
    assert place.heard == ["rest"] * 3


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_chunks_of_any_size_in_pieces_of_any_size(chunks: list[bytes], data: st.DataObject) -> None:
    coded = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    places = sorted(data.draw(st.sets(st.integers(1, len(coded) - 1), max_size=6)))

    async def run() -> None:
        place = Place()
        answer = place.ask()
        place.feed(*(coded[a:b] for a, b in itertools.pairwise([0, *places, len(coded)])))
        assert await whole(answer) == b"".join(chunks)
        assert place.heard == ["rest"]

    asyncio.run(run())


# ---------------------------------------------------------------- Answers that are not

LENGTH = OK + b"Content-Length: 2\r\n"
BAD_HEADS: dict[str, bytes] = {
    "a length and chunks": LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "the length twice": LENGTH + b"Content-Length: 2\r\n\r\nhi",
    "two lengths": LENGTH + b"Content-Length: 3\r\n\r\nhi!",
    "two lengths in one": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "a negative length": OK + b"Content-Length: -2\r\n\r\nhi",
    "a length with a plus": OK + b"Content-Length: +2\r\n\r\nhi",
    "no figure": OK + b"Content-Length: 0x2\r\n\r\nhi",
    "a length beyond all numbers": OK + b"Content-Length: 99999999999999999999999\r\n\r\nhi",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": OK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a coding within chunks": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": OK + b"Transfer-Encoding: xchunked\r\n\r\nhi",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "a folded line": OK + b"X-A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "a folded first line": OK + b" X-A: b\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a value": OK + b"X-A: b\0c\r\nContent-Length: 2\r\n\r\nhi",
    "a control character in a value": OK + b"X-A: b\x01c\r\nContent-Length: 2\r\n\r\nhi",
    "NUL in a name": OK + b"X\0A: b\r\nContent-Length: 2\r\n\r\nhi",
    "a bare LF": OK + b"X-A: b\nContent-Length: 2\r\n\r\nhi",
    "a bare CR": OK + b"X-A: b\rContent-Length: 2\r\n\r\nhi",
    "a first line with a bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi",
    "a line without a colon": OK + b"nonsense\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a status of two figures": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a status of four": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nhi",
    "a status below all": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nhi",
    "another protocol from here": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "101 that hides an answer": b"HTTP/1.1 101 Switching\r\n\r\n" + LENGTH + b"\r\nhi",
    "a head without end": OK + b"X-A: " + b"a" * 70_000,
    "a head that is too long": OK + b"X-A: " + b"a" * 70_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "a first line without end": b"HTTP/1.1 200 " + b"O" * 70_000,
    "too many headers": OK + b"a: b\r\n" * 1001 + b"Content-Length: 2\r\n\r\nhi",
    "nothing but 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
}


@pytest.mark.parametrize("name", BAD_HEADS)
async def test_a_head_that_is_not_plain_http_is_refused(name: str) -> None:
    data = BAD_HEADS[name]
    ways = cuts(data) if len(data) < 1000 else [[data], [data[at : at + 1000] for at in range(0, len(data), 1000)]]
    for pieces in ways:
        place = Place()
        answer = place.ask()
        place.feed(*pieces)
        with pytest.raises(NotHttp):
            await answer.begun()
        assert place.heard == ["gone"] and place.wire.is_cut, pieces


BAD_BODIES: dict[str, tuple[bytes, bytes]] = {
    "no size": (CHUNKED + b"\r\nhi\r\n0\r\n\r\n", b""),
    "a size with a sign": (CHUNKED + b"+2\r\nhi\r\n0\r\n\r\n", b""),
    "a negative size": (CHUNKED + b"-2\r\nhi\r\n0\r\n\r\n", b""),
    "a size with 0x": (CHUNKED + b"0x2\r\nhi\r\n0\r\n\r\n", b""),
    "a size with a space": (CHUNKED + b"2 \r\nhi\r\n0\r\n\r\n", b""),
    "a size beyond all numbers": (CHUNKED + b"fffffffffffffffff\r\nhi\r\n0\r\n\r\n", b""),
    "a size that ends with LF": (CHUNKED + b"2\nhi\r\n0\r\n\r\n", b""),
    "LF in an extension": (CHUNKED + b"2;a=b\nc\r\nhi\r\n0\r\n\r\n", b""),
    "a chunk longer than its size": (CHUNKED + b"2\r\nhi!\r\n0\r\n\r\n", b"hi"),
    "a chunk that ends with LF": (CHUNKED + b"2\r\nhi\n0\r\n\r\n", b"hi"),
    "a trailer that says a length": (CHUNKED + b"2\r\nhi\r\n0\r\nContent-Length: 2\r\n\r\n", b"hi"),
    "a folded trailer": (CHUNKED + b"2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n", b"hi"),
    "an extension without end": (CHUNKED + b"2\r\nhi\r\n2;" + b"a" * 70_000, b"hi"),
    "trailers without end": (CHUNKED + b"2\r\nhi\r\n0\r\n" + b"A: bcdefghi\r\n" * 7_000, b"hi"),
    "a trailer without end": (CHUNKED + b"2\r\nhi\r\n0\r\nA: " + b"b" * 70_000, b"hi"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_body_whose_end_is_in_doubt_breaks_off(name: str) -> None:
    data, told = BAD_BODIES[name]
    ways = cuts(data) if len(data) < 1000 else [[data[at : at + 1000] for at in range(0, len(data), 1000)]]
    for pieces in ways:
        place = Place()
        answer = place.ask()
        place.feed(*pieces)
        await answer.begun()
        found = b""
        with pytest.raises(GatewayError, match="broke off"):
            while piece := await answer.read():
                found += piece
        assert found == told, pieces
        assert place.heard == ["gone"] and place.wire.is_cut


PARTS: dict[str, tuple[bytes, type[DirectError]]] = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", BrokenOff),
    "chunks": (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", BrokenOff),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n", BrokenOff),
}


@pytest.mark.parametrize("error", [None, ConnectionResetError(104, "reset")])
@pytest.mark.parametrize("name", PARTS)
async def test_an_answer_that_ends_too_early_broke_off(name: str, error: Exception | None) -> None:
    data, _ = PARTS[name]
    for at in range(1, len(data)):
        place = Place()
        answer = place.ask()
        place.feed(data[:at])
        place.end(error)
        try:
            await answer.begun()
        except BrokenOff:
            continue
        with pytest.raises(GatewayError, match="h: the answer broke off"):
            await whole(answer)


async def test_a_reset_is_no_end() -> None:
    place = Place()
    answer = place.ask()
    place.feed(OK + b"\r\nhello")
    place.end(ConnectionResetError(104, "reset"))
    assert await answer.read() == b"hello"
    with pytest.raises(GatewayError, match="broke off"):
        await answer.read()


async def test_a_connection_that_ends_without_an_answer() -> None:
    """A clean end may be asked again; a break only where the connection had been used before."""
    for error, used, expected in (
        (None, False, Disconnected), (None, True, Disconnected), (ConnectionResetError(), False, Broke),
        (ConnectionResetError(), True, Reset), (BrokenPipeError(), True, Reset), (OSError("TLS"), True, Broke),
    ):  # fmt: skip
        place = Place()
        if used:
            place.ask()
            place.feed(OK + b"Content-Length: 0\r\n\r\n")
        answer = place.ask()
        place.end(error)
        with pytest.raises(DirectError) as fault:
            await answer.begun()
        assert type(fault.value) is expected


async def test_a_compression_that_was_not_asked_for() -> None:
    place = Place()
    answer = place.ask()
    place.feed(LENGTH + b"Content-Encoding: br\r\n\r\nhi")
    with pytest.raises(Unreadable):
        await answer.begun()


# ---------------------------------------------------------------- What comes after the end

AFTER = {
    "a second answer": LENGTH + b"\r\nno",
    "the beginning of one": b"H",
    "nonsense": b"\x16\x03\x01",
    "its head": OK,
}


@pytest.mark.parametrize("name", AFTER)
@pytest.mark.parametrize("first", [LENGTH + b"\r\nhi", CHUNKED + b"2\r\nhi\r\n0\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"])
async def test_what_nobody_asked_for_is_never_an_answer(name: str, first: bytes) -> None:
    """However it is cut: the first answer stands, and the connection is not used again."""
    data = first + AFTER[name]
    for pieces in cuts(data):
        place = Place()
        answer = place.ask()
        place.feed(*pieces)
        assert await whole(answer) == (b"" if b" 204 " in first else b"hi")
        assert place.wire.is_cut and place.heard[-1] == "gone", pieces


async def test_head_has_no_body_whatever_it_says() -> None:
    for pieces in cuts(LENGTH + b"\r\n"):
        place = Place()
        answer = place.ask(is_head=True)
        place.feed(*pieces)
        assert (await whole(answer), answer.headers["content-length"]) == (b"", "2")
        assert place.wire.is_cut


# ---------------------------------------------------------------- Sending, waiting, stopping


async def test_a_small_body_goes_out_with_its_head() -> None:
    for size in (0, 100, module.JOINED + 1):
        place = Place()
        place.ask(b"x" * size)
        assert place.wire.sent == [b"HEAD" + b"x" * size]


async def test_a_large_body_goes_out_in_slices_as_there_is_room() -> None:
    place = Place()
    body = bytes(range(256)) * (module.SLICE // 256) * 3 + b"end"
    place.connection.pause_writing()
    answer = place.ask(body)
    assert place.wire.sent == [b"HEAD"]
    for count in (1, 2):
        place.wire.jams = place.connection.pause_writing
        place.connection.resume_writing()
        assert len(place.wire.sent) == 1 + count
    place.wire.jams = None
    place.connection.resume_writing()
    assert b"".join(place.wire.sent) == b"HEAD" + body
    assert max(map(len, place.wire.sent)) == module.SLICE
    place.feed(LENGTH + b"\r\nhi")
    assert await whole(answer) == b"hi" and place.heard == ["rest"]


async def test_an_answer_before_everything_was_sent_is_read_and_ends_the_connection() -> None:
    place = Place()
    place.connection.pause_writing()
    answer = place.ask(b"x" * (module.SLICE + 1))
    place.feed(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
    assert (await whole(answer), answer.status) == (b"no", 413)
    assert place.heard == ["gone"] and place.wire.is_cut


async def test_a_provider_waits_while_nobody_reads() -> None:
    place = Place()
    answer = place.ask()
    place.feed(OK + b"Content-Length: 1000000\r\n\r\n")
    fed = 0
    while not place.wire.is_paused:
        place.feed(b"x" * 10_000)
        fed += 10_000
    assert module.HIGH < fed <= module.HIGH + 10_000
    assert len(await answer.read()) == fed
    assert not place.wire.is_paused
    while fed < 1_000_000:
        place.feed(b"x" * 10_000)
        fed += 10_000
    assert place.heard == ["rest"] and not place.wire.is_paused
    assert len(await whole(answer)) == 1_000_000 - module.HIGH // 10_000 * 10_000 - 10_000


async def test_reading_can_be_cancelled_and_begun_again() -> None:
    place = Place()
    answer = place.ask()
    place.feed(LENGTH + b"\r\n")
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await answer.read()
    reading = asyncio.create_task(answer.read())
    await asyncio.sleep(0)
    place.feed(b"h")
    place.feed(b"i")
    assert (await reading, await answer.read(), await answer.read()) == (b"hi", b"", b"")


async def test_who_lets_go_early_cuts_off() -> None:
    place = Place()
    answer = place.ask()
    place.feed(LENGTH + b"\r\nh")
    answer.close()
    assert place.wire.is_cut and place.heard == ["gone"]
    with pytest.raises(GatewayError, match="broke off"):
        await answer.read()
    place.end()


async def test_who_lets_go_of_a_whole_answer_cuts_nothing() -> None:
    place = Place()
    answer = place.ask()
    place.feed(LENGTH + b"\r\nhi")
    other: Answer = place.ask()
    answer.close()
    place.feed(LENGTH + b"\r\nyo")
    assert await whole(other) == b"yo" and place.heard == ["rest", "rest"]
