"""The ear for completions that pass through: recorded answers, cut everywhere, and bytes that no provider should send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import sse
from omni_connector.wire.openai_completions import Listener, parse_error
from tests.wire.openai_chat_reading import RECORDINGS

USAGE = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10}


def listen(*chunks: bytes, close: bool = True) -> Listener:
    ear = Listener()
    for chunk in chunks:
        ear.feed(chunk)
    if close:
        ear.close()
    return ear


def heard(ear: Listener) -> tuple[Any, ...]:
    return ear.usage, ear.finish, ear.ended, ear.error and ear.error.message, ear.output_chars, ear.first_output


def chunk(text: str, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    body = {"id": "c", "choices": [{"text": text, "index": index, "logprobs": None, "finish_reason": finish}], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


STREAM = (
    chunk("Łódź ☀ ")
    + chunk('say "text":"x" and "usage"', 1)
    + chunk("", 1, "length")
    + chunk("", 0, "stop")
    + b"data: "
    + json.dumps({"choices": [], "usage": USAGE}).encode()
    + b"\n\ndata: [DONE]\n\n"
)
CHARS = len("Łódź ☀ ") + len('say "text":"x" and "usage"')


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_cut_at_every_byte(end: bytes) -> None:
    stream = STREAM.replace(b"\n", end)
    for at in range(len(stream) + 1):
        ear = listen(stream[:at], stream[at:])
        assert (ear.usage, ear.finish, ear.ended, ear.error) == (Usage(8, output=2, raw=USAGE), Finish.STOP, True, None), at
        assert (ear.output_chars, ear.first_output) == (CHARS, True)


def test_the_end_is_known_at_once() -> None:
    assert not listen(STREAM.removesuffix(b"data: [DONE]\n\n"), close=False).ended
    assert listen(STREAM.removesuffix(b"\n\n"), close=False).ended
    assert not listen(chunk("a")).ended
    assert listen(chunk("a", finish="stop")).ended
    assert not listen(b": keepalive\n\n", chunk(""), close=False).first_output


def test_text_that_is_told_twice_counts_once() -> None:
    both = {"choices": [{"index": 0, "text": "four", "delta": {"content": "four"}, "finish_reason": None}]}
    assert listen(b"data: " + json.dumps(both).encode() + b"\n\n").output_chars == 4


def test_failures() -> None:
    error = {"error": {"message": "broke", "type": "server_error"}}
    torn = listen(chunk("a"), b"data: " + json.dumps(error).encode() + b"\n\n", chunk("b"), b"data: [DONE]\n\n")
    assert torn.error is not None
    assert (torn.error.message, torn.ended, torn.finish, torn.output_chars) == ("broke", False, None, 1)
    bodies: tuple[Any, ...] = ({}, [], {"choices": []}, error, {"choices": [{"text": "a", "finish_reason": "error"}]})
    for body in bodies:
        ear = Listener()
        ear.whole(body)
        assert ear.error is not None
        assert not ear.ended


def test_a_whole_answer() -> None:
    body = {"choices": [{"text": "four", "finish_reason": "length"}, {"text": "more", "index": 1, "finish_reason": "stop"}], "usage": USAGE}
    for given_body in (body, json.dumps(body).encode()):
        ear = Listener()
        ear.whole(given_body)
        assert heard(ear) == (Usage(8, output=2, raw=USAGE), Finish.LENGTH, True, None, 8, True)


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("openai-completions--*.json")) if RECORDINGS.is_dir() else []


@pytest.mark.skipif(not recordings(), reason="no recordings beside the checkout")
@pytest.mark.parametrize("path", recordings(), ids=lambda path: path.stem[-30:])
def test_recorded_answers(path: Path) -> None:
    """What was said and how it ended, by a reading of the recording that shares nothing with the ear."""
    answer = json.loads(path.read_text("utf-8"))["response"]
    if answer["status"] >= 400:
        error = parse_error(answer["status"], answer["headers"], answer["body"])
        assert (error.kind, error.upstream_status) == (Kind.BAD_REQUEST, answer["status"])
        assert error.message == answer["body"]["error"]["message"]
        return
    lines = [line[6:] for line in answer.get("sse", "").splitlines() if line.startswith("data: {")]
    told = [answer["body"]] if not lines else [json.loads(line) for line in lines]
    choices = [choice for one in told for choice in one["choices"]]
    words = [choice["finish_reason"] for choice in choices if choice["index"] == 0 and choice["finish_reason"]]
    counts = [one["usage"] for one in told if one.get("usage")]
    expected = {"stop": Finish.STOP, "eos": Finish.STOP, "length": Finish.LENGTH}[words[-1]]
    chars = sum(len(choice["text"]) for choice in choices)
    ears = []
    if lines:
        data = answer["sse"].encode()
        ears = [listen(data[:at], data[at:]) for at in range(len(data) + 1)]
    else:
        ears = [Listener()]
        ears[0].whole(answer["body"])
    for ear in ears:
        assert (ear.finish, ear.ended, ear.error, ear.output_chars, ear.first_output) == (expected, True, None, chars, True)
        assert (ear.usage and (ear.usage.input, ear.usage.output)) == (
            (counts[-1]["prompt_tokens"], counts[-1]["completion_tokens"]) if counts else None
        )


# ---------------------------------------------------------------- Hostile bytes

KEYS = st.sampled_from(["choices", "text", "index", "finish_reason", "usage", "error", "message", "code", "prompt_tokens", "delta", "x"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "stop", "error", "a", "ü"])
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
LINES = (
    JSON.map(lambda value: b"data: " + json.dumps(value).encode())
    | st.binary(max_size=30)
    | st.sampled_from([b"", b"data: [DONE]", b"event: error", b'data: {"choices":[{"text":"\\ud800"}]}', b'data: {"text":' + b"[" * 2000])
)


@given(st.lists(LINES, max_size=8), st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r"]), st.integers(0, 100))
def test_no_bytes_raise_anything_but_a_gateway_error(lines: list[bytes], end: bytes, at: int) -> None:
    data = end.join(lines)
    try:
        ear = listen(data[:at], data[at:])
        assert ear.output_chars >= 0
        assert not (ear.ended and ear.error)
    except GatewayError as error:
        assert error.kind is Kind.UPSTREAM_FAILED


@given(JSON)
def test_no_whole_answer_raises(value: Any) -> None:
    for body in (value, json.dumps(value).encode()):
        ear = Listener()
        ear.whole(body)
        assert ear.ended is (ear.error is None)


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 1000)
    with pytest.raises(GatewayError):
        listen(*[b'data: {"text":"' + b"y" * 100] * 20)
