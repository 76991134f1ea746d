"""Bytes of a stream → chunks, in both forms and with bare errors behind them."""

from __future__ import annotations

import json

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.gemini_frames import Frames
from tests.wire.gemini_reading import NAMES, array, transcript


def frames(chunks: list[bytes]) -> list[bytes]:
    reader = Frames()
    return [text for chunk in chunks for text in reader.feed(chunk)] + reader.close()


def every_way(data: bytes) -> list[bytes]:
    whole = frames([data])
    assert frames([data[place : place + 1] for place in range(len(data))]) == whole
    for place in range(len(data)):
        assert frames([data[:place], data[place:]]) == whole
    return whole


@pytest.mark.parametrize("name", NAMES)
def test_events_however_they_are_cut(name: str) -> None:
    found = every_way(transcript(name))
    assert len(found) == transcript(name).count(b"data: ") + (name == "broken_off")
    assert every_way(transcript(name).replace(b"\r\n", b"\n")) == found
    assert all(isinstance(json.loads(text), dict) for text in found)


def test_an_array_however_it_is_cut() -> None:
    assert [json.loads(text) for text in every_way(array())] == [json.loads(text) for text in frames([transcript("thought_call")])]


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b'{"error":{"code":1}}', [b'{"error":{"code":1}}']),
        (b'\xef\xbb\xbf [{"error": "}]{\\"\\\\"}\n]', [b'{"error": "}]{\\"\\\\"}']),
        (b'[{"a":{"b":[{}]}}\n,\r\n{"c":1}', [b'{"a":{"b":[{}]}}', b'{"c":1}']),
        (b'[{"a":1},{"b":', [b'{"a":1}']),
        (b'data: {"a":1}\r\n\r\n[{"error":{}}]', [b'{"a":1}', b'{"error":{}}']),
        (b'data: {"a":1}\n{"error":{}}', [b'{"a":1}', b'{"error":{}}']),
        (b'data: {"a":\ndata: 1}\n\n', [b'{"a":\n1}']),
        (b'data: {"a":1}', [b'{"a":1}']),
        (b"[]", []),
        (b"}}}]", []),
        (b"<html>", []),
        (b"", []),
    ],
)
def test_forms(data: bytes, texts: list[bytes]) -> None:
    assert every_way(data) == texts


def test_an_element_without_end_does_not_eat_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    reader = Frames()
    with pytest.raises(GatewayError) as caught:
        for _ in range(20):
            reader.feed(b'[{"text":"long long')
    assert caught.value.kind is Kind.UPSTREAM_FAILED
