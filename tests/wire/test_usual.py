"""What is counted without being read is what would have been read. The reference is the ear that never learns a shape."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.wire import openai_chat_listen, openai_completions_listen
from omni_connector.wire.usual import Usual, length

WORDS = st.one_of(
    st.text(max_size=8), st.sampled_from(["é☀", 'a "quote"', "back\\slash", "line\n\nline", "\u2028", "data: [DONE]", "\x7f", " "])
)
WRITTEN = ("one", "two", 'th"ree', "four")
PADDINGS = st.sampled_from([{}, {"obfuscation": "Ab3"}, {"obfuscation": "Zz99xx"}, {"p": "a"}, {"obfuscation": "a b"}, {"usage": None}])
ODD = [
    b"data: [DONE]\n\n",
    b": comment\n\n",
    b"\n",
    b"garbage\n\n",
    b"event: error\ndata: {}\n\n",
    b'data: {"error":{"message":"busy"}}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"a","of_the_host":1},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"\xff"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"\xe2\x82"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"\xac"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"a\tb"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"a\n\nb"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"a\nb"},"finish_reason":null}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"torn\n\n',
]


def chunk(delta: Any, *, separators: tuple[str, str] = (",", ":"), plain: bool = False, **more: Any) -> bytes:
    body = {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}
    return b"data: " + json.dumps(body, separators=separators, ensure_ascii=not plain).encode("utf-8", "replace") + b"\n\n"


def said(delta: Any) -> st.SearchStrategy[bytes]:
    return st.builds(
        lambda words, separators, plain, more: chunk(delta(words), separators=separators, plain=plain, **more),
        WORDS, st.sampled_from([(",", ":"), (", ", ": ")]), st.booleans(), PADDINGS,
    )  # fmt: skip


def completion(words: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "text": words, "delta": {"content": words}}]}).encode() + b"\n\n"


EVENTS = st.one_of(
    said(lambda words: {"content": words}),
    said(lambda words: {"content": words}),
    said(lambda words: {"reasoning_content": words}),
    said(lambda words: {"content": words, "reasoning": words}),
    said(lambda words: {"tool_calls": [{"index": 0, "function": {"arguments": words}}]}),
    said(lambda words: {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": words}}]}),
    st.builds(lambda words, number: chunk({"content": words}, created=number), WORDS, st.integers(0, 3)),
    st.builds(lambda words: chunk({"content": words}, usage={"prompt_tokens": 5, "completion_tokens": 1}), WORDS),
    st.builds(completion, WORDS),
    st.sampled_from(ODD),
)


def heard(ear: Any, raw: bytes, cuts: list[int]) -> list[Any]:
    told: list[Any] = []
    for start, end in pairwise([0, *sorted(cuts), len(raw)]):
        ear.feed(raw[start:end])
        told.append(
            (ear.usage, ear.finish, ear.error and (ear.error.kind, ear.error.message), ear.ended, ear.output_chars, ear.first_output)
        )
    ear.close()
    return [*told, ear.ended, ear.finish, ear.output_chars]


def ears(wire: Any) -> tuple[Any, Any]:
    plain = wire.Listener()
    plain._lessons = 0
    return wire.Listener(), plain


@pytest.mark.parametrize("wire", [openai_chat_listen, openai_completions_listen])
@given(events=st.lists(EVENTS, max_size=14), data=st.data())
def test_a_reading_is_the_same_with_and_without_it(wire: Any, events: list[bytes], data: st.DataObject) -> None:
    raw = b"".join(events)
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=6))
    learning, plain = ears(wire)
    assert heard(learning, raw, cuts) == heard(plain, raw, cuts)


def test_wherever_the_bytes_are_cut() -> None:
    raw = b"".join([
        chunk({"role": "assistant", "content": ""}), *(chunk({"content": words}, obfuscation=words[:1]) for words in WRITTEN),
        chunk({"content": "é☀"}, plain=True, obfuscation="q"), *ODD[6:8], b"data: [DONE]\n\n",
    ])  # fmt: skip
    for cut in range(len(raw)):
        learning, plain = ears(openai_chat_listen)
        assert heard(learning, raw, [cut]) == heard(plain, raw, [cut]), cut
    assert learning._shape is not None


def test_most_of_a_stream_is_not_read() -> None:
    read: list[bytes] = []

    class Ear(openai_chat_listen.Listener):
        def _hear(self, data: bytes, event: str = "") -> None:
            read.append(data)
            super()._hear(data, event)

    paddings: list[dict[str, Any]] = [{}, {"obfuscation": "aB3"}]
    for more in paddings:
        read.clear()
        ear = Ear()
        ear.feed(b"".join(chunk({"content": f"word {number}"}, **more) for number in range(100)))
        assert len(read) == 1 and ear.output_chars == sum(len(f"word {number}") for number in range(100))


def test_the_shape_of_an_event() -> None:
    event = b'data: {"a":"words","obfuscation":"xyz"}\n\n'
    shape = Usual(event, 12, 17)
    other = event.replace(b"words", b"").replace(b"xyz", b"12345")
    assert shape.run(b"x" + event + other + event + b"data:", 1) == ([b"words", b"", b"words"], 1 + 2 * len(event) + len(other))
    for odd in (b"wor\\n", b'wo"r'):
        assert shape.run(event + event.replace(b"words", odd), 0) == ([b"words"], len(event))
    assert shape.run(event.replace(b"xyz", b"x,z"), 0) == shape.run(event[:-1], 0) == ([], 0)
    assert Usual(b'data: {"a":"words"}\n\n', 12, 17).run(b'data: {"a":"b"}\n\n', 0) == ([b"b"], 17)


@pytest.mark.parametrize(
    ("words", "count"),
    [([b"ab", b"", "é☀".encode()], 4), ([b"\xe2\x82", b"\xac"], None), ([b"a\tb"], None), ([b"a\nb"], None), ([b"a b"], 3), ([b""], 0)],
)
def test_characters_are_counted_together(words: list[bytes], count: int | None) -> None:
    assert length(words) == count
