"""What the pass-through lane does to bytes: exactly what it says, however they are cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import FORMATS, sse
from omni_connector.wire.passing import (
    TERMINAL,
    ArrayEditor,
    StreamEditor,
    fail_stream,
    looks_like_events,
    rename_whole,
    request_body,
    until_end,
    without_torn,
)

CHAT, MESSAGES = "openai-chat", "anthropic-messages"


def chunk(text: str = "hi", model: str = "served-1", **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    return json.dumps({"id": "c", "model": model, "choices": choices, **more}, separators=(",", ":"), ensure_ascii=False).encode()


USAGE = chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})
START = b'{"type":"message_start","message":{"id":"m","model":"served-1","usage":{"input_tokens":3}}}'
TALK = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"my \\"model\\":\\"served-1\\" is nice"}}'


def lines(*data: bytes, end: bytes = b"\n\n") -> bytes:
    return b"".join(b"data: " + each + end for each in data)


def edit(raw: bytes, *cuts: int, wire: str = CHAT, model: str = "asked", hide: bool = False) -> bytes:
    editor = StreamEditor(wire, model=model, hide_usage=hide)
    edges = [0, *sorted(cuts), len(raw)]
    pieces = [editor.feed(raw[start:end]) for start, end in pairwise(edges)]
    return b"".join([*pieces, editor.close()])


def events(raw: bytes) -> list[Any]:
    decoder = sse.Decoder()
    found = [*decoder.feed(raw), *decoder.close()]
    return [each.data if each.data == b"[DONE]" else json.loads(each.data) for each in found]


# ---------------------------------------------------------------- Streams


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("hide", [False, True])
def test_split_at_every_byte(end: bytes, hide: bool) -> None:
    raw = lines(chunk(""), chunk("Grüße 🌍"), chunk('say "model":"served-1"'), USAGE, b"[DONE]", end=end)
    whole = edit(raw, hide=hide)
    for cut in range(len(raw) + 1):
        assert events(edit(raw, cut, hide=hide)) == events(whole), cut
    byte_by_byte = edit(raw, *range(len(raw)), hide=hide)
    assert events(byte_by_byte) == events(whole)
    said = events(whole)
    assert [each["model"] for each in said[:-1]] == ["asked"] * (3 if hide else 4)
    assert said[2]["choices"][0]["delta"]["content"] == 'say "model":"served-1"', "what a model says is nobody's field"
    assert said[-1] == b"[DONE]"


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_nothing_is_touched_when_nothing_has_to_change(end: bytes) -> None:
    raw = b": comment" + end + lines(chunk("a"), chunk("b", odd=[1.10, None]), USAGE, b"[DONE]", end=end)
    for cut in range(len(raw)):
        assert edit(raw, cut, model="served-1") == raw


def test_only_the_first_event_of_a_messages_stream_names_the_model() -> None:
    raw = b"event: message_start\n" + lines(START) + b"event: content_block_delta\n" + lines(TALK) + TERMINAL[MESSAGES]
    expected = raw.replace(b'"model":"served-1"', b'"model":"asked"', 1)
    for cut in range(len(raw)):
        assert edit(raw, cut, wire=MESSAGES) == expected


def test_what_comes_out_is_always_whole_blocks() -> None:
    """A keep-alive or an error event may be written between any two pieces."""
    raw = lines(chunk("a"), chunk("b"), end=b"\r\n\r\n") + lines(USAGE)
    editor = StreamEditor(CHAT, model="asked", hide_usage=True)
    for byte in raw:
        out = editor.feed(bytes([byte]))
        assert not out or out.endswith((b"\n\n", b"\r\n\r\n"))
    assert editor.close() == b""


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n", b"\r"])
def test_a_last_block_without_its_blank_line_is_completed(tail: bytes) -> None:
    assert edit(lines(chunk("a")) + b"data: " + chunk("b") + tail) == lines(chunk("a", model="asked"), chunk("b", model="asked"))
    assert edit(lines(chunk("a")) + b"data: " + USAGE + tail, hide=True) == lines(chunk("a", model="asked"))
    assert edit(b"\n" + tail) in (b"", b"\n\n")
    assert edit(b'data: {"candidates":[]}' + tail, wire="gemini-generate") == b'data: {"candidates":[]}\r\n\r\n'


@pytest.mark.parametrize("spaced", [False, True])
def test_only_the_chunk_that_is_nothing_but_usage_is_hidden(spaced: bool) -> None:
    usage = json.dumps(json.loads(USAGE)).encode() if spaced else USAGE
    beside = chunk("last words", usage={"completion_tokens": 2})
    broken = chunk(choices=[], error={"message": "busy"}, usage={"prompt_tokens": 1})
    kept = [chunk("a"), beside, broken]
    said = events(edit(lines(chunk("a"), usage, beside, broken, b"[DONE]"), hide=True))
    assert said == [*(json.loads(each.replace(b"served-1", b"asked")) for each in kept), b"[DONE]"]


@pytest.mark.parametrize(
    "names",
    [
        ("", "served-1", "served-1"),  # Azure: the first chunk carries the content filter's verdict and no name
        ("served-1", "served-1", "served-2"),  # a router that changes its mind
        ('quo"te', 'quo"te', "ü"),
    ],
)
def test_the_requested_name_is_given_back_whatever_the_chunks_call_it(names: tuple[str, ...]) -> None:
    raw = lines(*(chunk(str(number), name) for number, name in enumerate(names)), b"[DONE]")
    for cut in (0, 10, len(raw) // 2, len(raw) - 3):
        assert {each["model"] for each in events(edit(raw, cut))[:-1]} == {"asked"}
    assert {each["model"] for each in events(edit(raw, *range(0, len(raw), 7)))[:-1]} == {"asked"}


JSON_TEXT = st.text(max_size=12)


@given(
    st.lists(JSON_TEXT, max_size=6),
    st.integers(0, 2),
    st.sampled_from(["served-1", "asked"]),
    st.lists(st.integers(0, 2000), max_size=6),
    st.booleans(),
    st.sampled_from([b"\n\n", b"\r\n\r\n"]),
)
def test_any_stream_any_cuts(texts: list[str], nameless: int, served: str, cuts: list[int], hide: bool, end: bytes) -> None:
    chunks = [chunk(text, "" if number < nameless else served) for number, text in enumerate(texts)]
    raw = lines(*chunks, USAGE.replace(b"served-1", served.encode()), end=end)
    said = events(edit(raw, *(min(cut, len(raw)) for cut in cuts), hide=hide))
    assert [each["choices"][0]["delta"]["content"] for each in said if each["choices"]] == texts
    assert {each["model"] for each in said} <= {"asked"}
    assert sum(not each["choices"] for each in said) == (0 if hide else 1)


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=5), st.booleans(), st.sampled_from([CHAT, MESSAGES]))
def test_rubbish_passes_and_is_never_lost(raw: bytes, cuts: list[int], hide: bool, wire: str) -> None:
    edited = edit(raw, *(min(cut, len(raw)) for cut in cuts), wire=wire, hide=hide)
    assert edited.rstrip(b"\r\n") == raw.rstrip(b"\r\n") or not raw.strip()


END: dict[str, bytes] = {
    CHAT: b"data: [DONE]",
    MESSAGES: b'event: message_stop\ndata: {"type": "message_stop"}',
    "openai-responses": b'event: response.completed\ndata: {"type":"response.completed","response":{"id":"r"}}',
}


@pytest.mark.parametrize("wire", END)
@pytest.mark.parametrize("after", [b"", b"data: {", b'data: {"model":"x"}\n\n', b": late\n\n", b"garbage"])
@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"\r"])
def test_nothing_follows_the_terminal_event(wire: str, after: bytes, line: bytes) -> None:  # C-49
    before = lines(TALK, chunk('say "message_stop" or data: [DONE]'))
    stream = (before + END[wire] + b"\n\n").replace(b"\n", line)
    assert until_end(wire, stream + after) == (stream, True)
    # Half a block behind its data line is cut off too, and the blank line given that clients wait for.
    assert until_end(wire, stream[: -len(line)] + after.lstrip(b"\r\n")) == (stream, True)
    assert until_end(wire, before) == (before, False)
    assert until_end("gemini-generate", stream) == (stream, wire != CHAT)
    assert until_end("openai-completions", stream + after)[1] == (wire == CHAT)


@pytest.mark.parametrize(
    ("block", "kept"),
    [(b"data: [DONE]\n\n", True), (b'data: {"a":1}\n\n', True), (b'data: {"a":\n\n', False), (b"data: [1]\n\n", False), (b"", False)],
)
def test_a_torn_block_is_left_out_where_something_follows_it(block: bytes, kept: bool) -> None:
    assert without_torn(block) == (block if kept else b"")


# ---------------------------------------------------------------- Whole bodies


def test_a_body_goes_out_as_it_came_unless_something_must_change() -> None:
    raw = b'{ "messages" : [ {"role":"user", "content":"hi"} ] , "odd" : 1.10 }'
    assert request_body("openai-chat", raw, model=None, ask_usage=False) is raw
    changed = request_body("openai-chat", raw, model="theirs", ask_usage=True)
    assert json.loads(changed) == {**json.loads(raw), "model": "theirs", "stream_options": {"include_usage": True}}
    assert b'[ {"role":"user", "content":"hi"} ]' in changed
    assert b"1.10" in changed


@pytest.mark.parametrize("given_", [None, {}, {"include_usage": False, "other": 1}])
def test_usage_is_asked_for_without_losing_other_stream_options(given_: Any) -> None:
    raw = json.dumps({"stream_options": given_}).encode()
    changed = request_body("openai-chat", raw, model=None, ask_usage=True)
    assert json.loads(changed)["stream_options"] == {
        **(given_ or {}),
        "include_usage": True,
    }


def test_the_name_of_a_whole_answer() -> None:
    assert rename_whole(b'{"model": "x", "n": 1.10, "deep":{"model":"x"}}', "asked") == b'{"model":"asked","n":1.10,"deep":{"model":"x"}}'
    for kept in (b'{"n": 1}', b"no json", b"[1]", b"[" * 5000, b""):
        assert rename_whole(kept, "asked") == kept


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
def test_the_last_word_of_a_failed_stream(wire: str) -> None:  # CONTRACT §4: a stream that fails never ends cleanly
    told = fail_stream(wire, GatewayError(Kind.UPSTREAM_FAILED, "it broke\noff"))
    assert told.endswith(b"\n\n")
    assert told.startswith(b"event: error\n") == (wire == MESSAGES)
    (event,) = events(told)
    assert event == json.loads(json.dumps(FORMATS[wire].render_error(GatewayError(Kind.UPSTREAM_FAILED, "it broke\noff"))))


# ---------------------------------------------------------------- A stream as one array (Gemini without alt=sse)

ELEMENTS = [b'{"candidates": [{"content": {"parts": [{"text": "a, ] b"}]}, "index": 0}]}', b'{"usageMetadata":{"totalTokenCount":1.0}}']


def as_array(raw: bytes, *cuts: int) -> bytes:
    editor = ArrayEditor()
    edges = [0, *sorted(cuts), len(raw)]
    return b"".join([*(editor.feed(raw[start:end]) for start, end in pairwise(edges)), editor.close(), editor.end()])


# C-25
def test_chunks_become_elements_with_their_own_bytes() -> None:
    raw = lines(*ELEMENTS, end=b"\r\n\r\n")
    for cut in range(len(raw) + 1):
        assert as_array(raw, cut) == b"[" + b",\r\n".join(ELEMENTS) + b"]", cut
    assert as_array(b"") == b"[]"


def test_an_array_stays_as_it_is() -> None:
    raw = b"[" + b"\n,\n".join(ELEMENTS) + b"\n]\n"
    assert {as_array(raw, cut) for cut in range(len(raw) + 1)} == {raw}


@pytest.mark.parametrize("told", [b"", lines(ELEMENTS[0], end=b"\r\n\r\n")])
def test_an_array_that_fails_is_still_one(told: bytes) -> None:
    editor = ArrayEditor()
    raw = editor.feed(told) + editor.close() + editor.fail(GatewayError(Kind.UPSTREAM_FAILED, "broke off"))
    value = json.loads(raw)
    assert [one["error"]["message"] for one in value if "error" in one] == ["broke off"]
    assert value[-1]["candidates"][0]["finishReason"] == "OTHER"


@pytest.mark.parametrize(
    ("first", "is_stream"),
    [
        (b"data: {}", True),
        (b"\xef\xbb\xbfevent: x", True),
        (b": hello", True),
        (b"\n id: 3", True),
        (b'{"data":1}', False),
        (b"[", False),
        (b"", False),
    ],
)
def test_a_stream_is_told_by_its_first_bytes(first: bytes, is_stream: bool) -> None:
    assert looks_like_events(first) is is_stream


ENDS = ("data: [DONE]", "data:[DONE]", 'data: {"x": "[DONE]"}', 'data: {"type": "message_stop"}', 'data: {"type":"response.completed"}')
LINES = (*ENDS, "data: [DONE] [DONE]", "[DONE]", "xdata: [DONE]", "event: message_stop", ": [DONE]", "data: a", "")


@given(lines=st.lists(st.tuples(st.sampled_from(LINES), st.sampled_from(("\n", "\r", "\r\n"))), max_size=9), last=st.sampled_from(LINES))
def test_the_end_is_where_a_plain_reader_of_lines_finds_it(lines: list[tuple[str, str]], last: str) -> None:
    """Whatever stands around it: the search for the word is only quicker."""
    blocks = "".join([line + ending for line, ending in lines] + [last])
    for wire, ends in ((CHAT, ENDS[:2]), (MESSAGES, ENDS[3:]), ("openai-responses", ENDS[3:]), ("gemini-generate", ENDS[3:])):
        wanted, begin = (blocks, False), 0
        for line in blocks.splitlines(keepends=True):
            begin += len(line)
            if line.rstrip("\r\n") in ends:
                ending = line[len(line.rstrip("\r\n")) :] or "\n"
                blank = next((blank for blank in ("\r\n", "\n", "\r") if blocks.startswith(blank, begin)), ending)
                wanted = (blocks[:begin].rstrip("\r\n") + ending + blank, True)
                break
        assert until_end(wire, blocks.encode()) == (wanted[0].encode(), wanted[1])
