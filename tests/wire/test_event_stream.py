"""AWS event streams. P-22"""

from __future__ import annotations

import struct
import uuid
from itertools import pairwise
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.event_stream import MAX_FRAME, MAX_HEADERS, Decoder, Frame
from tests.event_frames import Byte, Long, Short, Timestamp, frame

EMPTY = bytes.fromhex("000000100000000005c248eb7d98c8ff")
"""The empty message of AWS's published test vectors."""
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(lambda name: len(name.encode()) < 256)
VALUES = (
    st.booleans()
    | st.integers(-128, 127).map(Byte)
    | st.integers(-(2**15), 2**15 - 1).map(Short)
    | st.integers(-(2**31), 2**31 - 1)
    | st.integers(-(2**63), 2**63 - 1).map(Long)
    | st.integers(-(2**63), 2**63 - 1).map(Timestamp)
    | st.binary(max_size=300)
    | st.text(st.characters(codec="utf-8"), max_size=60)
    | st.uuids()
)
FRAMES = st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=200)), max_size=5)


def bytewise(data: bytes) -> list[Frame]:
    decoder = Decoder()
    return [found for byte in data for found in decoder.feed(bytes([byte]))]


def test_the_vector_that_aws_publishes() -> None:
    assert Decoder().feed(EMPTY) == [Frame({}, b"")]
    assert frame({}) == EMPTY, "the encoder of the tests is right too"


@given(FRAMES, st.lists(st.integers(0, 10**6), max_size=6))
def test_what_is_written_is_read_however_it_is_split(frames: list[Any], places: list[int]) -> None:
    data = b"".join(frame(headers, payload) for headers, payload in frames)
    wanted = [
        Frame({name: item.bytes if isinstance(item, uuid.UUID) else item for name, item in headers.items()}, payload)
        for headers, payload in frames
    ]
    decoder = Decoder()
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    assert [found for start, end in pairwise(edges) for found in decoder.feed(data[start:end])] == wanted
    assert decoder.pending == 0
    assert bytewise(data) == wanted


def test_text_of_a_header() -> None:
    (found,) = Decoder().feed(frame({":event-type": "x", "n": 5}))
    assert (found.text(":event-type"), found.text("n"), found.text("none")) == ("x", "", "")


def test_every_wrong_bit_is_found() -> None:
    good = frame({":message-type": "event"}, b'{"content":"Hi"}')
    for place in range(len(good)):
        decoder = Decoder()
        with pytest.raises(GatewayError) as caught:
            decoder.feed(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        assert caught.value.kind is Kind.UPSTREAM_FAILED and "checksum" in caught.value.message


def test_what_is_cut_is_known() -> None:
    good = frame({"a": True}, b"payload")
    for place in range(1, len(good)):
        decoder = Decoder()
        assert decoder.feed(good[:place]) == [] and decoder.pending == place
    decoder = Decoder()
    assert len(decoder.feed(good + good[:3])) == 1 and decoder.pending == 3


def prelude(total: int, headers: int) -> bytes:
    head = struct.pack(">II", total, headers)
    return head + struct.pack(">I", crc32(head))


@pytest.mark.parametrize(
    ("total", "headers"),
    [(15, 0), (0, 0), (MAX_FRAME + 1, 0), (2**32 - 1, 0), (20, 5), (16, 2**32 - 1), (MAX_HEADERS + 100, MAX_HEADERS + 1)],
)
def test_impossible_lengths_are_refused_before_anything_is_collected(total: int, headers: int) -> None:
    with pytest.raises(GatewayError, match="frame of"):
        Decoder().feed(prelude(total, headers))


def test_what_is_no_event_stream_is_refused_at_once() -> None:
    with pytest.raises(GatewayError, match="checksum"):
        Decoder().feed(b'{"message": "no"}')


def raw(head: bytes) -> bytes:
    body = prelude(16 + len(head), len(head)) + head
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize(
    "head",
    [
        b"\x05ab",
        b"\x01a",
        b"\x01a\x0a",
        b"\x01a\x07\x00\x05ab",
        b"\x01a\x07\x00",
        b"\x01a\x04\x00",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
    ],
)
def test_headers_that_cannot_be_read(head: bytes) -> None:
    with pytest.raises(GatewayError, match="header") as caught:
        Decoder().feed(raw(head))
    assert caught.value.kind is Kind.UPSTREAM_FAILED
