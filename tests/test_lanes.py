"""The two lanes, on both formats: names, usage, ends and failures. C-07, C-46, C-49"""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, Json, Opaque, Origin, unseal
from omni_connector.errors import GatewayError, Kind
from omni_connector.lanes import Gathered, Lane, PassThrough, Translated, decode_answer, error_body
from omni_connector.wire import FORMATS
from tests.live.answers import CHAT, MESSAGES, Said, Tokens

SAID = Said("Hallo, Wörld 🌍!", tokens=Tokens(fresh=21, output=9))
ORIGIN = Origin("test", "test-model")
ASKED = "asked-model"
WAYS = [(CHAT, CHAT), (MESSAGES, MESSAGES), (CHAT, MESSAGES), (MESSAGES, CHAT)]
BODIES: dict[str, Json] = {
    CHAT: {"model": ASKED, "messages": [{"role": "user", "content": "hi"}], "stream_options": {"include_usage": True}},
    MESSAGES: {"model": ASKED, "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]},
}
ASKING: dict[str, Json] = {
    **BODIES,
    "openai-responses": {"model": ASKED, "input": "hi"},
    "gemini-generate": {"model": ASKED, "contents": [{"parts": [{"text": "hi"}]}]},
}
each_way = pytest.mark.parametrize(("source", "target"), WAYS)


def lane(source: str, target: str, *, streamed: bool = True) -> Lane:
    if source == target:
        return PassThrough(source, model=ASKED, hide_usage=False)
    return Translated(source, target, ASKED, FORMATS[target].parse_request({**BODIES[target], "stream": streamed}), ORIGIN)


def said(wire: str, *, streamed: bool) -> bytes:
    return b"".join(piece for piece in SAID.answer(wire, streamed).pieces if isinstance(piece, bytes))


def events(raw: bytes) -> list[Json]:
    assert raw.endswith(b"\n\n")
    data = [line[5:] for line in raw.split(b"\n") if line.startswith(b"data:")]
    return [json.loads(line) for line in data if line.strip() != b"[DONE]"]


def text_of(raw: bytes, wire: str) -> str:
    if wire == CHAT:
        return "".join(choice["delta"].get("content") or "" for event in events(raw) for choice in event["choices"])
    return "".join(event["delta"].get("text", "") for event in events(raw) if event["type"] == "content_block_delta")


def models(raw: bytes) -> set[str]:
    return {event["model"] for event in events(raw) if "model" in event} | {
        event["message"]["model"] for event in events(raw) if "message" in event
    }


@each_way
@given(data=st.data())
def test_a_stream_is_the_same_however_it_is_cut(source: str, target: str, data: st.DataObject) -> None:
    raw = said(source, streamed=True)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
    way, out = lane(source, target), b""
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        out += way.feed(raw[start:end])
        assert not out or out.endswith(b"\n\n"), "whole blocks only: a keep-alive or an error must be able to follow"
    assert way.ended and way.complete and way.first_output and way.error is None
    out += way.close()
    assert text_of(out, target) == SAID.text
    assert models(out) == {ASKED}
    assert (out.count(b"[DONE]"), out.count(b"event: message_stop")) == ((1, 0) if target == CHAT else (0, 1))
    reading = way.reading(5)
    assert (reading.usage.input, reading.usage.output, reading.source, reading.finish) == (21, 9, "reported", Finish.STOP)


@each_way
def test_closing_twice_adds_nothing(source: str, target: str) -> None:
    way = lane(source, target)
    way.feed(said(source, streamed=True))
    way.close()
    assert way.close() == b""


@each_way
def test_whole_answers(source: str, target: str) -> None:
    way = lane(source, target, streamed=False)
    answer = json.loads(way.whole(said(source, streamed=False)))
    assert answer["model"] == ASKED
    assert SAID.text in json.dumps(answer, ensure_ascii=False)
    reading = way.reading(5)
    assert (reading.usage.input, reading.usage.output, reading.source) == (21, 9, "reported")


@pytest.mark.parametrize("target", [MESSAGES, "openai-responses", "gemini-generate"])
def test_a_thought_without_a_proof_is_marked_with_its_thinker_also_in_a_whole_answer(target: str) -> None:  # law 1
    answer = {"choices": [{"message": {"content": "Hi", "reasoning_content": "Hm."}, "finish_reason": "stop"}]}
    asked = FORMATS[target].parse_request(ASKING[target])
    told = Translated(CHAT, target, ASKED, asked, ORIGIN).whole(json.dumps(answer).encode())
    marks = [text for text in _texts(json.loads(told)) if (opened := _opened(text)) is not None and opened.origin == ORIGIN]
    assert len(marks) == 1


def _texts(value: object) -> list[str]:
    if isinstance(value, dict | list):
        return [text for inner in (value.values() if isinstance(value, dict) else value) for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def _opened(text: str) -> Opaque | None:
    try:
        return unseal(text) or unseal(base64.b64decode(text + "==").decode())
    except ValueError:
        return None


@each_way
def test_the_torso_of_an_answer_is_not_complete(source: str, target: str) -> None:
    raw = said(source, streamed=True)
    way = lane(source, target)
    out = way.feed(raw[: len(raw) // 2]) + way.close()
    assert not way.complete and not way.ended
    assert b"[DONE]" not in out and b"message_stop" not in out
    assert way.reading(5).source == "counted"


@each_way
def test_a_failure_inside_a_stream_is_told_in_its_own_words_and_never_ends_it_cleanly(source: str, target: str) -> None:
    raw = said(source, streamed=True)
    way = lane(source, target)
    way.feed(raw[: len(raw) // 2])
    told = way.fail(GatewayError(Kind.UPSTREAM_TIMEOUT, "it fell silent"))
    assert told.endswith(b"\n\n")
    assert "it fell silent" in json.dumps(events(told)[-1])
    assert (b"event: error" in told) == (target == MESSAGES)
    assert b"[DONE]" not in told and b"message_stop" not in told


@each_way
def test_an_error_of_the_provider_inside_a_stream_is_noticed_and_not_passed_on(source: str, target: str) -> None:
    error = {"error": {"message": "busy", "type": "server_error"}}
    raw = f"data: {json.dumps(error)}\n\n" if source == CHAT else f"event: error\ndata: {json.dumps({'type': 'error', **error})}\n\n"
    way = lane(source, target)
    way.feed(raw.encode())
    assert way.error is not None
    assert way.error.info.fault == "provider"
    assert not way.complete


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
def test_a_stream_that_lacks_only_its_terminal_event_is_ended_properly(wire: str) -> None:  # C-49
    raw = said(wire, streamed=True)
    torn = raw[: raw.rindex(b"data: [DONE]" if wire == CHAT else b"event: message_stop")]
    way = lane(wire, wire)
    out = way.feed(torn)
    assert not way.ended
    assert way.complete
    out += way.close()
    assert out.endswith(b"data: [DONE]\n\n" if wire == CHAT else b'data: {"type":"message_stop"}\n\n')


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_stream_that_lacks_only_its_last_line_breaks_is_whole_and_ends_once(wire: str, lost: int) -> None:
    raw = said(wire, streamed=True)
    way = lane(wire, wire)
    out = way.feed(raw[:-lost])
    out += way.close()
    assert way.complete
    assert text_of(out, wire) == SAID.text
    assert (out.count(b"[DONE]"), out.count(b"event: message_stop")) == ((1, 0) if wire == CHAT else (0, 1))


def test_a_finish_reason_in_the_last_torn_block_still_counts() -> None:
    raw = said(CHAT, streamed=True)
    torn = raw[: raw.index(b'"finish_reason":"stop"')]
    torn = raw[: raw.index(b"\n\n", len(torn))]  # the block with the finish reason, without its blank line
    way = lane(CHAT, CHAT)
    out = way.feed(torn)
    out += way.close()
    assert way.complete
    assert out.count(b'"finish_reason":"stop"') == 1
    assert out.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize("late", [b'data: {"late', b'data: {"late":1}\n\n', b"event: x\ndata: la"])
def test_nothing_is_passed_on_behind_the_terminal_event(wire: str, late: bytes) -> None:  # C-49
    raw = said(wire, streamed=True)
    for cut in (0, len(raw) - 3, len(raw)):
        way = lane(wire, wire)
        out = way.feed(raw[:cut]) + way.feed(raw[cut:] + late)
        out += way.feed(late) + way.close()
        assert way.complete and text_of(out, wire) == SAID.text
        assert (
            b"late" not in out
            and out == out[: out.rindex(b"DONE]" if wire == CHAT else b"}")] + (b"DONE]" if wire == CHAT else b"}") + b"\n\n"
        )


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
def test_half_an_event_is_not_passed_on_with_an_end_of_ours(wire: str) -> None:
    raw = said(wire, streamed=True)
    torn = raw[: raw.rindex(b"data: [DONE]" if wire == CHAT else b"event: message_stop")] + b'data: {"half'
    way = lane(wire, wire)
    out = way.feed(torn) + way.close()
    assert way.complete and text_of(out, wire) == SAID.text
    assert b"half" not in out


@pytest.mark.parametrize(("source", "target"), [*WAYS, (CHAT, "openai-responses"), (MESSAGES, "gemini-generate")])
def test_a_streamed_answer_is_gathered_into_the_whole_one_that_was_asked_for(source: str, target: str) -> None:
    asked = FORMATS[target].parse_request(ASKING[target])
    raw, way = said(source, streamed=True), Gathered(source, target, ASKED, asked, ORIGIN)
    assert b"".join(way.feed(raw[at : at + 7]) for at in range(0, len(raw), 7)) + way.close() + way.close() == b""
    assert way.complete and way.first_output and way.error is None
    told = json.loads(way.whole_answer())
    assert SAID.text in json.dumps(told, ensure_ascii=False)
    reading = way.reading(5)
    assert (reading.usage.input, reading.usage.output, reading.source) == (21, 9, "reported")
    # Where the provider answers whole after all, the same comes of it.
    whole = json.loads(Gathered(source, target, ASKED, asked, ORIGIN).whole(said(source, streamed=False)))
    assert (
        SAID.text in json.dumps(whole, ensure_ascii=False)
        and {"usage", "usageMetadata"} & whole.keys() == {"usage", "usageMetadata"} & told.keys()
    )


@pytest.mark.parametrize("source", [CHAT, MESSAGES])
def test_a_torso_or_a_failure_is_never_gathered_into_an_answer(source: str) -> None:
    raw = said(source, streamed=True)
    way = Gathered(source, MESSAGES, ASKED, FORMATS[MESSAGES].parse_request(BODIES[MESSAGES]), ORIGIN)
    way.feed(raw[: raw.index(b"\n\n", len(raw) // 2) + 2])
    way.close()
    assert not way.complete
    with pytest.raises(GatewayError, match="broke off"):
        way.whole_answer()
    way = Gathered(source, MESSAGES, ASKED, FORMATS[MESSAGES].parse_request(BODIES[MESSAGES]), ORIGIN)
    way.feed(b'event: error\ndata: {"type":"error","error":{"message":"busy","type":"overloaded_error"}}\n\n')
    assert way.error is not None
    with pytest.raises(GatewayError, match="busy"):
        way.whole_answer()


def test_usage_that_only_we_asked_for_is_counted_and_kept_from_the_client() -> None:  # C-48
    raw = said(CHAT, streamed=True)
    way = PassThrough(CHAT, model=ASKED, hide_usage=True)
    out = b"".join(way.feed(raw[at : at + 11]) for at in range(0, len(raw), 11)) + way.close()
    assert text_of(out, CHAT) == SAID.text
    assert all(event["choices"] for event in events(out))
    assert way.reading(0).usage.output == 9


def test_a_whole_answer_can_be_told_as_a_stream() -> None:
    for source, target in [*WAYS, (CHAT, CHAT)]:
        way = Translated(source, target, ASKED, FORMATS[target].parse_request({**BODIES[target], "stream": True}), ORIGIN)
        out = way.stream_whole(said(source, streamed=False))
        assert way.complete and text_of(out, target) == SAID.text
        assert models(out) == {ASKED}


@pytest.mark.parametrize("target", [CHAT, MESSAGES])
def test_a_stream_in_the_form_of_one_array_is_a_stream(target: str) -> None:
    """Google's form without `alt=sse`, from a host that does not know the option."""
    chunks: list[Json] = [{"candidates": [{"content": {"parts": [{"text": word}]}}]} for word in ("Hel", "lo")]
    chunks[-1]["candidates"][0]["finishReason"] = "STOP"
    way = Translated("gemini-generate", target, ASKED, FORMATS[target].parse_request({**BODIES[target], "stream": True}), ORIGIN)
    out = way.stream_whole(json.dumps(chunks).encode())
    assert way.complete and text_of(out, target) == "Hello"
    with pytest.raises(GatewayError):
        Translated(CHAT, target, ASKED, FORMATS[target].parse_request(BODIES[target]), ORIGIN).stream_whole(b'[{"choices":[]}]')


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"[]", b"null", b'"x"', b"\xff", b"[" * 5000])
def test_an_answer_that_is_no_json_object_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as told:
        decode_answer(body)
    assert told.value.kind is Kind.UPSTREAM_FAILED
    assert len(told.value.message) < 1200


@each_way
@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, {"content": 5}, {"choices": "x", "usage": [], "content": [None]}])
def test_a_strange_whole_answer_never_breaks_the_lane(source: str, target: str, body: Json) -> None:
    way = lane(source, target, streamed=False)
    try:
        told = way.whole(json.dumps(body).encode())
    except GatewayError as error:
        assert error.kind is Kind.UPSTREAM_FAILED
    else:
        assert way.error is not None or json.loads(told)


def test_error_bodies_fit_the_format() -> None:  # C-46
    error = GatewayError(Kind.MODEL_NOT_FOUND, "no such model", param="model")
    assert json.loads(error_body(CHAT, error))["error"]["status"] == 404
    assert json.loads(error_body(MESSAGES, error))["error"]["type"] == "not_found_error"
