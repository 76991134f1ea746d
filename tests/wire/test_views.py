"""The quick look at a request: what it finds, what it refuses and how it says so, and bodies that keep their bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Opaque, Origin, seal
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.views import View, decode, encode, look, splice

Json = dict[str, Any]

CHAT, MESSAGES = "openai-chat", "anthropic-messages"
HI = {"role": "user", "content": "hi"}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def body(**fields: Any) -> bytes:
    return json.dumps({"messages": [HI], **fields}).encode()


def refused(raw: bytes, wire: str = CHAT) -> GatewayError:
    with pytest.raises(GatewayError) as told:
        look(wire, raw)
    assert told.value.kind is Kind.BAD_REQUEST
    return told.value


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
def test_a_plain_request(wire: str) -> None:
    assert look(wire, body()) == View("", False, False, {}, sealed=False)  # J-17
    assert look(wire, body(model="m", stream=True)) == View("m", True, False, {}, sealed=False)


def test_what_a_request_needs_is_seen_in_either_format() -> None:  # O-19
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}
    assert look(CHAT, body(messages=[image])).needs == {"vision": "messages"}
    block = {"role": "user", "content": [{"type": "image", "source": {}}, {"type": "document", "source": {}}]}
    assert look(MESSAGES, body(messages=[block])).needs == {"vision": "messages", "documents": "messages"}
    assert look(CHAT, body(tools=[{}], response_format={"type": "json_object"})).needs == {"tools": "tools", "json": "response_format"}
    assert look(CHAT, body(tools=[], stream_options={"include_usage": True})) == View("", False, True, {}, sealed=False)


def test_words_in_a_text_are_not_fields() -> None:
    talk = {"role": "user", "content": 'my file has "type": "image_url" and "type":"json_object" in it'}
    assert look(CHAT, body(messages=[talk])).needs == {}


def test_an_envelope_of_ours_is_noticed_so_that_it_is_opened() -> None:
    turn = {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": seal(Opaque("k", "v", Origin("a", "b")))}]}
    assert look(MESSAGES, body(messages=[turn, HI])).sealed


@pytest.mark.parametrize(
    ("raw", "param", "words"),
    [
        (b"", None, "empty"),
        (b"  \n", None, "empty"),
        (b"{", None, "not valid JSON"),
        (b'{"messages":[}', None, "not valid JSON"),
        (b"[]", None, "wrong type"),
        (b"null", None, "wrong type"),
        (b"{}", "messages", "missing"),
        (body(messages=[]), "messages", "empty"),
        (body(messages="hi"), "messages", "wrong type"),
        (body(messages=[{"content": "x"}]), "messages[0].role", "missing"),
        (body(messages=[HI, {"role": 5}]), "messages[1].role", "wrong type"),
        (body(model=5), "model", "wrong type"),
        (body(stream="yes"), "stream", "wrong type"),
        (body(temperature="hot"), "temperature", "wrong type"),
        (body(tools={}), "tools", "wrong type"),
        (b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "messages[0]", "wrong type"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"messages":[]}', None, "nested"),
        (b"\xff\xfe{}", None, "not valid JSON"),
        (b'{"messages":[{"role":"user","content":"\\ud800"}]}', None, "not valid JSON"),
    ],
)
def test_bad_bodies_are_explained(raw: bytes, param: str | None, words: str) -> None:  # C-39
    error = refused(raw)
    assert words in error.message
    assert error.param == param
    assert len(error.message) < 600


@pytest.mark.parametrize("more", [{"prompt": {"id": "pmpt_1"}}, {"conversation": "conv_1"}, {"conversation": {"id": "conv_1"}}])
def test_what_the_provider_keeps_may_stand_for_the_input(more: Json) -> None:
    for fields in ({"input": "hi", **more}, more):
        assert look("openai-responses", json.dumps({"model": "m", **fields}).encode()).model == "m"
    assert refused(json.dumps({"model": "m", **dict.fromkeys(more)}).encode(), "openai-responses").param == "input"


@given(
    st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")) | VALUES.map(json.dumps).map(str.encode)
)
def test_no_body_gets_past_the_look_by_breaking_it(raw: bytes) -> None:
    for wire in (CHAT, MESSAGES):
        try:
            look(wire, raw)
        except GatewayError as error:
            assert error.status == 400


@given(st.dictionaries(st.text(max_size=6), VALUES, max_size=5), st.dictionaries(st.text(max_size=6), VALUES, max_size=3))
def test_splicing_changes_what_it_says_and_nothing_else(fields: dict[str, Any], changes: dict[str, Any]) -> None:
    raw = json.dumps(fields, ensure_ascii=True).encode()
    assert json.loads(splice(raw, changes)) == {**fields, **changes}


def test_untouched_values_keep_their_exact_bytes() -> None:  # CONTRACT §4: unknown fields included
    odd = rb'{ "messages" : [ {"a":1.10, "b":1e2} ],"seed":12345678901234567890123,"model":"x", "f" : "\u00fc\/" }'
    spliced = splice(odd, {"model": "y"})
    for kept in (rb'[ {"a":1.10, "b":1e2} ]', rb"12345678901234567890123", rb'"\u00fc\/"'):
        assert kept in spliced
    assert list(json.loads(spliced)) == ["messages", "seed", "model", "f"]


@given(VALUES)
def test_decode_takes_objects_only(value: Any) -> None:
    raw = json.dumps(value).encode()
    if isinstance(value, dict):
        assert decode(raw) == value
        return
    with pytest.raises(GatewayError):
        decode(raw)


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    assert decode(b'{"a":["\\ud83d", {"\\udc00k": "ok \\ud83d\\ude00"}]}') == {"a": ["\ufffd", {"\ufffdk": "ok 😀"}]}
    assert json.loads(encode({"a": ["\ud83d"]})) == {"a": ["\ufffd"]}
    with pytest.raises(GatewayError):
        decode(b'{"a":"\\ud83d", }')
    with pytest.raises(GatewayError):
        decode(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}")


def test_the_words_of_the_reader_are_translated() -> None:
    assert refused(body(messages=[{"role": 5}])).message.startswith("`messages[0].role` has the wrong type: Expected str, got int.")


def test_what_a_gemini_request_needs_is_seen_in_both_spellings() -> None:  # O-19
    for mime, config, kind in (
        ("mimeType", "generationConfig", "responseMimeType"),
        ("mime_type", "generation_config", "response_mime_type"),
    ):
        parts = [
            {"inlineData": {mime: media, "data": "AAAA"}} for media in ("image/png", "audio/wav", "application/pdf", "application/json")
        ]
        raw = json.dumps({"contents": [{"parts": parts}], config: {kind: "application/json"}}).encode()
        assert set(look("gemini-generate", raw, "m", False).needs) == {"vision", "audio", "documents", "json"}
    talk = {"contents": [{"parts": [{"text": '"mimeType": "image/png"'}, {"inlineData": {"mimeType": "application/json", "data": ""}}]}]}
    assert look("gemini-generate", json.dumps(talk).encode(), "m", False).needs == {}
