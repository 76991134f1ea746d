"""The ear for bytes that pass: usage in every shape that is known, errors, and silence about everything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import raw_listen, sse
from omni_connector.wire.raw_listen import RawListener, usage_of

JSON, SSE = "application/json; charset=utf-8", "text/event-stream"
IMAGE_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 4160,
    "total_tokens": 4210,
}


def listen(content_type: str, *chunks: bytes) -> RawListener:
    ear = RawListener(content_type)
    for chunk in chunks:
        ear.feed(chunk)
    ear.close()
    return ear


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"data": [], "usage": IMAGE_USAGE}, Usage(50, None, None, 4160, raw=IMAGE_USAGE)),
        ({"usage": {"input_tokens": 9, "output_tokens": 2, "input_token_details": {"cached_tokens": 4}}}, Usage(5, 4, None, 2)),
        ({"usage": {"type": "duration", "seconds": 3}}, Usage()),
        ({"usage": {"cost_in_usd_ticks": 200000000}}, Usage()),
        ({"usage": {"total_tokens": 56}}, Usage(56, output=0)),
        ({"usage": {"prompt_tokens": 56, "total_tokens": 56}}, Usage(56, output=0)),
        ({"usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}, Usage(5, output=1)),
        ({"usage": {"input_tokens": -1, "output_tokens": "2", "total_tokens": 4.0}}, Usage(4, output=0)),
        ({"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 7, "output_tokens": 0}}}, Usage(7, output=0)),
        ({"meta": {"billed_units": {"search_units": 1}}}, Usage()),
        ({"meta": {"api_version": {"version": "2"}}}, None),
        ({"usage": None, "meta": []}, None),
        ({"usage": {}}, None),
        ({"text": "hi"}, None),
    ],
)
def test_usage(answer: dict[str, Any], usage: Usage | None) -> None:
    body = json.dumps(answer).encode()
    heard = usage_of(body, JSON)
    told = answer.get("usage") or {key: value for key, value in (answer.get("meta") or {}).items() if key != "api_version"}
    assert heard == (None if usage is None else Usage(usage.input, usage.cache_read, None, usage.output, raw=told))
    streamed = listen(SSE, b'data: {"type":"x","usage":{"total_tokens":1}}\n\ndata: ' + body + b"\n\ndata: [DONE]\n\n")
    assert streamed.usage == (heard or Usage(1, output=0, raw={"total_tokens": 1}))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_stream_cut_at_every_byte(end: bytes) -> None:
    done = {"type": "image_generation.completed", "b64_json": "AAAA", "usage": IMAGE_USAGE}
    stream = b'event: image_generation.partial_image\ndata: {"type":"image_generation.partial_image","b64_json":"AA"}\n\n'
    stream = (stream + b"event: x\ndata: " + json.dumps(done).encode() + b"\n\n").replace(b"\n", end)
    for at in range(len(stream) + 1):
        ear = listen(SSE, stream[:at], stream[at:])
        assert (ear.usage, ear.finish, ear.ended, ear.error) == (Usage(50, output=4160, raw=IMAGE_USAGE), Finish.STOP, True, None)
        assert (ear.first_output, ear.output_chars) == (True, 0)


def test_it_ends_at_the_end_of_the_bytes_and_not_before() -> None:
    for content_type in (JSON, SSE, "audio/mpeg", ""):
        ear = RawListener(content_type)
        assert not ear.first_output
        ear.feed(b'data: {"type":"speech.audio.done"}\n\n')
        assert (ear.first_output, ear.ended, ear.finish) == (True, False, None)
        ear.close()
        assert (ear.ended, ear.finish) == (True, Finish.STOP)
    assert not listen(SSE, b": still here\n\n").first_output


def test_sound_and_text_are_not_looked_into() -> None:
    for content_type in ("audio/mpeg", "application/octet-stream", "text/plain"):
        ear = listen(content_type, b'{"error":{"message":"x"},"usage":{"total_tokens":1}}')
        assert (ear.error, ear.usage, ear.ended) == (None, None, True)


@pytest.mark.parametrize(
    "event",
    [
        b'event: error\ndata: {"message":"broke","code":"x"}\n\n',
        b'data: {"type":"error","message":"broke"}\n\n',
        b'event: error\ndata: {"type":"error","error":{"message":"broke"}}\n\n',
        b'data: {"error":"broke"}\n\n',
    ],
)
def test_an_error_in_a_stream(event: bytes) -> None:
    ear = listen(SSE, event, b'data: {"usage":{"total_tokens":1}}\n\n')
    assert ear.error is not None
    assert ear.error.message == "broke"
    assert (ear.ended, ear.finish, ear.first_output, ear.usage) == (False, None, False, None)


def test_whole_answers() -> None:
    for body in ({"usage": {"total_tokens": 3}}, b'{"usage":{"total_tokens":3}}'):
        ear = RawListener(JSON)
        ear.whole(body)
        assert (ear.usage, ear.ended, ear.first_output) == (Usage(3, output=0, raw={"total_tokens": 3}), True, True)
    failed = RawListener(JSON)
    failed.whole({"error": {"message": "no", "type": "invalid_request_error"}})
    assert failed.error is not None
    assert (failed.error.kind, failed.error.message, failed.ended) == (Kind.BAD_REQUEST, "no", False)


def test_memory_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_listen, "MAX_KEPT", 100)
    ear = listen(JSON, b'{"b64":"' + b"A" * 200, b'","usage":{"total_tokens":1}}')
    assert (ear.usage, ear.ended) == (None, True)
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    with pytest.raises(GatewayError):
        listen(SSE, b"data: " + b"A" * 200)


KEYS = st.sampled_from(["usage", "meta", "error", "type", "tokens", "billed_units", "input_tokens", "total_tokens", "message"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "error", "a"])
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)


@given(VALUES, st.binary(max_size=20), st.sampled_from([JSON, SSE, "audio/wav"]))
def test_no_bytes_raise(value: Any, junk: bytes, content_type: str) -> None:
    told = json.dumps(value).encode()
    for chunks in ((told,), (b"data: " + told, b"\n\n" + junk), (b"event: error\ndata: ", told, b"\r\n\r\n"), (junk, told)):
        ear = listen(content_type, *chunks)
        assert ear.ended is (ear.error is None)
