"""Vectors as numbers and as base64, and what every answer must hold."""

from __future__ import annotations

import array
import base64
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Usage
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.wire.embedding import (
    Ear,
    EmbeddingOptions,
    EmbeddingRequest,
    answered,
    dimensions_of,
    from_base64,
    to_base64,
    to_floats,
    usage_of,
)
from omni_connector.wire.fields import Fields

SINGLES = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40)


def asked(**fields: object) -> EmbeddingRequest:
    return EmbeddingRequest(**{"wire": "openai-embeddings", "model": "m", "inputs": ("Hi",), "single": True, **fields})  # type: ignore[arg-type]


@given(SINGLES)
def test_numbers_become_what_openai_sdks_decode_and_come_back(values: list[float]) -> None:
    # J-02
    text = to_base64(tuple(values))
    assert array.array("f", base64.b64decode(text)).tolist() == values  # the SDK's own decoding
    vector = from_base64(text, asked(encoding="base64"))
    assert list(to_floats(vector)) == values
    assert to_base64(vector) == text


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_doubles_are_rounded_to_float32_or_refused(values: list[float]) -> None:
    try:
        expected = [struct.unpack("<f", struct.pack("<f", value))[0] for value in values]
    except OverflowError:
        with pytest.raises(GatewayError, match="does not fit into float32"):
            to_base64(tuple(values))
        return
    assert list(to_floats(base64.b64decode(to_base64(tuple(values))))) == expected


NORMAL = b"".join(struct.pack("<f", math.sin(n) / 8) for n in range(64))
INT8 = struct.pack("256b", *(round(40 * math.sin(n)) for n in range(256)))


@pytest.mark.parametrize(
    ("raw", "dimensions", "is_int8"),
    [(NORMAL, None, False), (NORMAL, 64, False), (NORMAL, 256, True), (INT8, 256, True), (INT8, None, True), (INT8[:255], None, True)],
)
def test_int8_is_told_from_float32(raw: bytes, dimensions: int | None, is_int8: bool) -> None:
    vector = from_base64(base64.b64encode(raw).decode(), asked(dimensions=dimensions))
    assert vector == (tuple(map(float, struct.unpack(f"{len(raw)}b", raw))) if is_int8 else raw)


NOT_A_NUMBER = base64.b64encode(struct.pack("<2f", math.nan, 1)).decode()


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("not base64", asked()),
        ("é", asked()),
        ("AAA", asked()),
        (NOT_A_NUMBER, asked(encoding="base64")),
        (NOT_A_NUMBER, asked(dimensions=2)),
        ("AAAAAAA=", asked(encoding="base64")),
    ],
)
def test_base64_that_is_no_vector(text: str, request_: EmbeddingRequest) -> None:
    with pytest.raises(GatewayError) as caught:
        from_base64(text, request_)
    assert caught.value.kind is Kind.UPSTREAM_FAILED


def test_every_input_has_its_vector() -> None:
    two = asked(inputs=("a", "b"), single=False)
    assert answered([(1.0,), b"\0\0\0\0"], None, "m", two).vectors == ((1.0,), b"\0\0\0\0")
    for vectors, reason in (([(1.0,)], "1 vectors for 2 inputs"), ([(1.0,)] * 3, "3 vectors"), ([(1.0,), ()], "empty")):
        with pytest.raises(GatewayError, match=reason):
            answered(vectors, None, "m", two)


def test_options_are_shared_or_each_inputs_own() -> None:
    assert asked(dimensions=3, task="CLUSTERING", extra={"x": 1}).options(0) == EmbeddingOptions(3, "CLUSTERING")
    own = (EmbeddingOptions(1), EmbeddingOptions(title="t"))
    assert asked(inputs=("a", "b"), each=own).options(1) is own[1]


def test_small_readers() -> None:
    assert dimensions_of(Fields({"d": 256.0}, "x"), "d") == 256
    with pytest.raises(GatewayError) as caught:
        dimensions_of(Fields({"d": 0}, "x"), "d")
    assert caught.value.param == "x.d"
    assert usage_of({"total": 3}, "prompt", "total") == Usage(input=3, output=0, raw={"total": 3})
    assert usage_of({"prompt": -1, "total": "3"}, "prompt", "total") is usage_of(None, "prompt") is None


def test_the_ear_hears_a_whole_answer_in_pieces() -> None:
    # Without an output count of 0 the ledger would book the usage as a guess.
    ear = Ear(lambda body: Usage(input=body["n"], output=0))
    ear.close()
    for piece in (b'{"n"', b": 7}"):
        ear.feed(piece)
    ear.close()
    ear.close()
    assert (ear.usage, ear.finish, ear.ended, ear.first_output, ear.output_chars) == (Usage(input=7, output=0), Finish.STOP, True, True, 0)


def test_the_ear_hears_errors() -> None:
    def refuse(_: object) -> Usage:
        raise bad_request("no")

    for body, kind in ((b"<html>", Kind.UPSTREAM_FAILED), (b"[]", Kind.UPSTREAM_FAILED), (b"{}", Kind.BAD_REQUEST)):
        ear = Ear(refuse)
        ear.whole(body)
        assert ear.error is not None
        assert (ear.error.kind, ear.finish, ear.ended) == (kind, None, False)
