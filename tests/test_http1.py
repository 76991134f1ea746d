"""What is read from a line, piece by piece. How it compares with h11: tests/test_speaking.py."""

from __future__ import annotations

import contextlib
import random
import re

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.http1 import Asked, Parser, fault, is_websocket

HOST = (b"host", b"a")


def heard(*pieces: bytes, limit: int = 1000) -> list[object]:
    parser = Parser(limit)
    return [said for piece in pieces for said in parser.feed(piece)]


def get(*headers: bytes, line: bytes = b"GET /a HTTP/1.1") -> bytes:
    return b"\r\n".join([line, b"Host: a", *headers, b"", b""])


@pytest.mark.parametrize(
    ("version", "target", "headers", "status"),
    [
        ("1.1", b"/", [HOST], 0),
        ("1.1", b"/", [], 400),
        ("1.0", b"/", [], 0),
        ("1.0", b"/", [HOST, HOST], 400),
        ("0.9", b"/", [], 400),
        ("2.0", b"/", [HOST], 400),
        ("1.1", b"/a b", [HOST], 400),
        ("1.1", b"/\xfc", [HOST], 400),
        ("1.1", b"", [HOST], 400),
        ("1.1", b"/", [HOST, (b"transfer-encoding", b"Chunked")], 0),
        ("1.1", b"/", [HOST, (b"transfer-encoding", b"gzip, chunked")], 501),
        ("1.1", b"/", [HOST, *[(b"transfer-encoding", b"chunked")] * 2], 501),
    ],
)
def test_what_llhttp_lets_pass_is_looked_at(version: str, target: bytes, headers: list[tuple[bytes, bytes]], status: int) -> None:
    assert fault(version, target, headers) == status


def test_what_is_looked_at_and_refused_is_no_request() -> None:
    """It is the last that is read from this client."""
    assert heard(get(b"Host: b") + get()) == [400]
    assert heard(get(b"Transfer-Encoding: gzip, chunked", line=b"POST /a HTTP/1.1") + b"0\r\n\r\n" + get()) == [501]


def test_a_head_may_be_so_long_and_no_longer() -> None:
    assert heard(b"GET / HTTP/1.1\r\nX: ", b"a" * 900, b"a" * 100)[-1] == 431
    assert heard(get(*[b"X: a"] * 400)) == [431], "and when it comes in one piece"
    assert len(heard(get(b"X: a") * 200)) == 400, "which others may share"
    assert heard(*[b"\r\n"] * 501)[-1] == 431, "empty lines lead nowhere either"
    assert isinstance(heard(*[b"\r\n"] * 499, get())[0], Asked)


def test_between_the_pieces_of_a_body_is_no_room_to_hide() -> None:
    head = get(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1")
    assert heard(head, b"3;", *[b"x" * 100] * 11)[-1] == 431
    assert heard(head, b"0\r\n", *[b"X: a\r\n"] * 200)[-1] == 431
    assert heard(head, *[b"1\r\nx\r\n"] * 2000, b"0\r\n\r\n")[-1] == (b"", False)


def test_pieces_that_come_together_are_told_together() -> None:
    head = get(b"Transfer-Encoding: chunked", line=b"POST /a HTTP/1.1")
    asked, *body = heard(head + b"1\r\na\r\n2\r\nbc\r\n", b"1\r\nd\r\n", b"0\r\n\r\n" + get())
    assert isinstance(asked, Asked) and asked.method == "POST"
    assert body[:3] == [(b"abc", True), (b"d", True), (b"", False)] and len(body) == 5


def test_who_leaves_between_requests_breaks_nothing() -> None:
    parser = Parser(1000)
    assert parser.is_between
    parser.feed(get()[:5])
    assert not parser.is_between
    parser.feed(get()[5:])
    assert parser.is_between


def test_an_upgrade_changes_nothing_but_a_websocket() -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: %s"
    body = get(line=b"GET /smuggled HTTP/1.1")
    sent = get(upgrade % b"h2c", b"Content-Length: %d" % len(body), line=b"POST /a HTTP/1.1") + body + get()
    first, piece, second, _ = heard(sent)
    assert isinstance(first, Asked) and isinstance(second, Asked)
    assert (piece, second.target, first.upgrade) == ((body, False), b"/a", b"h2c")
    parser = Parser(1000)
    (asked,) = parser.feed(get(upgrade % b"WebSocket") + b"\x81\x00")
    assert isinstance(asked, Asked) and is_websocket(asked) and parser.rest == b"\x81\x00"
    assert parser.feed(get()) == []


def test_nothing_is_read_behind_what_was_refused() -> None:
    parser = Parser(1000)
    assert parser.feed(get(b"Host: b") + get()) == [400]
    assert parser.feed(get()) == []


# ---------------------------------------------------------------- Beside h11

SEEDS = (
    b"GET /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: u\r\n\r\n",
    b"POST /d HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
)
INSERTED = (
    b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b";", b",", b"0", b"5", b"-", b"+", b"x", b"0x", b"_", b"\x0b", b"\x0c", b"\x85",
    b"\xff",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Host: b\r\n",
    b"Connection: close\r\n", b"Upgrade: x\r\n", b"chunked", b"HTTP/1.1", b"\r\n\r\n", b"1.0",
)  # fmt: skip
BLANK = re.compile(rb"(?:^|(?<=\r\n\r\n)|(?<=hello))[\r\n]+(?=[A-Z]+ )")
"""Empty lines before a request, which h11 refuses (RFC 9112 §2.2: ignore them), and more than one space around its target."""
SPACES = re.compile(rb"(?<=[A-Z]) +(?=/)| +(?=HTTP/1\.)")


def by_h11(sent: bytes) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
    """The whole requests that h11 reads."""
    line, found, body = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 18), [], b""
    line.receive_data(sent)
    with contextlib.suppress(h11.RemoteProtocolError):
        while True:
            event = line.next_event()
            if isinstance(event, h11.Request):
                asked, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                found.append((asked.method, asked.target, list(asked.headers), body))
                line.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                line.send(h11.EndOfMessage())
                if line.our_state is not h11.DONE or line.their_state is not h11.DONE:
                    break
                line.start_next_cycle()
            else:
                break
    return found


def by_us(sent: bytes) -> list[tuple[bytes, bytes, list[tuple[bytes, bytes]], bytes]]:
    found, body = [], b""
    for said in Parser(1 << 18).feed(sent):
        if isinstance(said, Asked):
            asked, body = said, b""
        elif isinstance(said, tuple):
            body += said[0]
            if not said[1]:
                found.append((asked.method.encode(), asked.target, asked.headers, body))
    return found


@given(st.integers(0, 2**32))
def test_no_request_is_seen_that_h11_does_not_see(seed: int) -> None:
    """Smuggling needs two readers that disagree; what we accept, the stricter of two old readers accepts too, and reads alike."""
    chance = random.Random(seed)
    for _ in range(100):
        sent = b"".join(chance.choice(SEEDS) for _ in range(chance.randint(1, 3)))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(sent) + 1)
            match chance.randrange(3):
                case 0:
                    sent = sent[:at] + chance.choice(INSERTED) + sent[at:]
                case 1:
                    sent = sent[:at] + sent[at + chance.randint(1, 4) :]
                case _:
                    sent = sent[:at] + bytes([chance.randrange(256)]) + sent[at + 1 :]
        ours = by_us(sent)
        theirs = by_h11(SPACES.sub(b" ", BLANK.sub(b"", sent)))
        assert ours == theirs[: len(ours)], sent
