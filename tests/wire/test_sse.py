from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.sse import Decoder, ServerEvent, encode


def events(*chunks: bytes) -> list[tuple[str, bytes]]:
    decoder = Decoder()
    found = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()
    return [(event.event, event.data) for event in found]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"data: a\n\n", [("", b"a")]),
        (b"data:a\n\n", [("", b"a")]),
        (b"data:  a \n\n", [("", b" a ")]),
        (b"data: a\ndata: b\n\n", [("", b"a\nb")]),
        (b"data\n\n", [("", b"")]),
        (b"data\ndata: a\n\n", [("", b"\na")]),
        (b"event: ping\ndata: {}\n\n", [("ping", b"{}")]),
        (b"event: lost\n\ndata: a\n\n", [("", b"a")]),
        (b": comment\n\n: another\ndata: a\n\n", [("", b"a")]),
        (b"id: 7\nretry: 10\nunknown: x\ndata: a\n\n", [("", b"a")]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [("", b"a"), ("", b"b")]),
        (b"data: a\r\rdata: b\r\r", [("", b"a"), ("", b"b")]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [("", b"a"), ("", b"b")]),
        (b"data: a", [("", b"a")]),
        (b"data: a\n", [("", b"a")]),
        (b"data: a\n\ndata: b", [("", b"a"), ("", b"b")]),
        (b"", []),
        (b"\n\n\n", []),
        # Line separators of Unicode are text, not line ends: a naive splitlines would tear this JSON.
        ('data: {"t":"a\u2028b\u0085c\x0bd\x1ce"}\n\n'.encode(), [("", '{"t":"a\u2028b\u0085c\x0bd\x1ce"}'.encode())]),
    ],
)
def test_decoding(data: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert events(data) == expected
    assert events(*(data[at : at + 1] for at in range(len(data)))) == expected, "one byte at a time"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_split_anywhere_gives_the_same(line_end: bytes) -> None:
    data = 'event: x\ndata: {"a":"é☀"}\n\n: c\n\ndata: 1\ndata: 2\n\ndata: [DONE]\n\n'.encode().replace(b"\n", line_end)
    expected = [("x", '{"a":"é☀"}'.encode()), ("", b"1\n2"), ("", b"[DONE]")]
    for at in range(len(data) + 1):
        assert events(data[:at], data[at:]) == expected, at


@given(st.lists(st.tuples(st.sampled_from(["", "ping", "error"]), st.text().map(str.encode)), max_size=5), st.lists(st.integers(0, 500)))
def test_encode_and_decode_are_opposites(wanted: list[tuple[str, bytes]], places: list[int]) -> None:
    one_line = [(name, data.replace(b"\n", b"").replace(b"\r", b"")) for name, data in wanted]
    data = b"".join(encode(text, name) for name, text in one_line)
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    assert events(*(data[start:end] for start, end in pairwise(edges))) == one_line


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    decoder = Decoder()
    with pytest.raises(GatewayError) as caught:
        for _ in range(200):
            decoder.feed(b"data: 0123456789\n")
    assert caught.value.kind is Kind.UPSTREAM_FAILED
    assert Decoder().feed(b"data: " + b"x" * 900 + b"\n\n") == [ServerEvent("", b"x" * 900)]
