"""Compressed bytes come out as they went in, a bounded step at a time, or it is said that they are damaged."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_connector.direct.decoding import MEMBERS, STEP, Decoder


def raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "deflate without its header": raw}


def unpacked(decoder: Decoder, data: bytes) -> bytes:
    found = decoder.step(data)
    while decoder.is_pending:
        piece = decoder.step(b"")
        assert len(piece) <= STEP
        found += piece
    return found


@pytest.mark.parametrize("name", PACKED)
@given(st.binary(max_size=300), st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_it_comes_out_as_it_went_in(name: str, data: bytes, size: int) -> None:
    packed = PACKED[name](data)
    decoder = Decoder(name.split(maxsplit=1)[0])
    assert b"".join(unpacked(decoder, packed[at : at + size]) for at in range(0, len(packed), size)) == data
    assert decoder.is_whole


@pytest.mark.parametrize("name", PACKED)
def test_what_is_missing_is_noticed(name: str) -> None:
    packed = PACKED[name](b"hello world" * 10)
    for at in range(1, len(packed)):
        decoder = Decoder(name.split(maxsplit=1)[0])
        unpacked(decoder, packed[:at])
        assert not decoder.is_whole
    assert Decoder("gzip").is_whole, "an empty body is no beginning"


def test_each_event_comes_out_as_it_is_flushed() -> None:
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    decoder = Decoder("gzip")
    for text in (b"data: 1\n\n", b"data: 2\n\n"):
        assert unpacked(decoder, packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)) == text
    assert unpacked(decoder, packer.flush()) == b"" and decoder.is_whole


def test_a_bomb_goes_off_in_small_steps() -> None:
    decoder = Decoder("gzip")
    data = gzip.compress(b"\0" * (STEP * 20 + 7))
    assert len(data) < STEP // 20
    sizes = [len(decoder.step(data))]
    while decoder.is_pending:
        sizes.append(len(decoder.step(b"")))
    assert sum(sizes) == STEP * 20 + 7 and max(sizes) == STEP and decoder.is_whole


def test_parts_are_put_together_up_to_a_number() -> None:
    part = gzip.compress(b"ab")
    decoder = Decoder("gzip")
    assert unpacked(decoder, part * 3) == b"ababab" and decoder.is_whole
    assert unpacked(decoder, part) == b"ab"
    assert unpacked(Decoder("gzip"), gzip.compress(b"") * MEMBERS) == b""
    with pytest.raises(zlib.error):
        unpacked(Decoder("gzip"), gzip.compress(b"") * (MEMBERS + 1))


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("gzip", b"hello"),
        ("gzip", gzip.compress(b"a") + b"more"),
        ("gzip", gzip.compress(b"hello")[:-8] + b"12345678"),
        ("deflate", b"\xff\xff\xff"),
    ],
)
def test_what_is_damaged_is_said_to_be(coding: str, data: bytes) -> None:
    with pytest.raises(zlib.error):
        unpacked(Decoder(coding), data)
