"""Endpoints of which only bytes pass: the table, what is read of a request, and a model replaced in it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import form_data
from omni_connector.wire.raw import RAW, RawListener, look, usage_of, with_model
from tests.wire.openai_chat_reading import RECORDINGS

JSON = "application/json"
SPEECH, IMAGES, MODERATIONS = RAW["/v1/audio/speech"], RAW["/v1/images/generations"], RAW["/v1/moderations"]
SOUND = ("a.wav", b"RIFF\x00\r\n--", "audio/wav")
ANSWERS: dict[str, tuple[str, bytes]] = {
    "/v1/audio/speech": ("audio/mpeg", b"\xff\xfb\x00"),
    "/v1/images/variations": (JSON, b'{"created":1,"data":[]}'),
    "/v1/moderations": (JSON, b'{"id":"x","model":"m","results":[]}'),
}


def sent(path: str, call: Any) -> httpx2.Request:
    """The request that the vendor's SDK makes, caught before any network."""
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        content_type, body = ANSWERS.get(path, (JSON, b'{"text":"hi"}'))
        return httpx2.Response(200, headers={"content-type": content_type}, content=body)

    client = httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)
    call(openai.OpenAI(api_key="omni-x", base_url="http://127.0.0.1/v1", http_client=client, max_retries=0))
    (request,) = seen
    return request


@pytest.mark.parametrize(
    ("path", "call", "stream"),
    [
        ("/v1/audio/transcriptions", lambda api: api.audio.transcriptions.create(model="a/b", file=SOUND), False),
        ("/v1/audio/transcriptions", lambda api: api.audio.transcriptions.create(model="a/b", file=SOUND, stream=True), True),
        ("/v1/audio/translations", lambda api: api.audio.translations.create(model="a/b", file=SOUND), False),
        ("/v1/images/edits", lambda api: api.images.edit(model="a/b", image=SOUND, prompt="x"), False),
        ("/v1/images/edits", lambda api: api.images.edit(model="a/b", image=SOUND, prompt="x", stream=True), True),
        ("/v1/images/variations", lambda api: api.images.create_variation(model="a/b", image=SOUND), False),
        ("/v1/images/generations", lambda api: api.images.generate(model="a/b", prompt="x"), False),
        ("/v1/images/generations", lambda api: api.images.generate(model="a/b", prompt="x", stream=True), True),
        ("/v1/audio/speech", lambda api: api.audio.speech.create(model="a/b", input="x", voice="v"), False),
        ("/v1/audio/speech", lambda api: api.audio.speech.create(model="a/b", input="x", voice="v", stream_format="sse"), True),
        ("/v1/moderations", lambda api: api.moderations.create(model="a/b", input="x"), False),
    ],
)
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the vendor marks whisper-1 and dall-e-2 so
def test_what_the_sdk_sends_is_understood(path: str, call: Any, stream: bool) -> None:
    request = sent(path, call)
    body, content_type = request.content, request.headers["content-type"]
    assert request.url.path == path
    assert look(body, content_type, RAW[path]) == ("a/b", stream)
    changed = with_model(body, content_type, "served-1")
    assert look(changed, content_type, RAW[path]) == ("served-1", stream)
    if content_type == JSON:
        assert json.loads(changed) == {**json.loads(body), "model": "served-1"}
    else:
        assert changed == body.replace(b"a/b", b"served-1")
    assert with_model(body, content_type, "a/b") is body


def test_the_table() -> None:
    assert all(path == endpoint.path == f"/v1{endpoint.upstream_path}" for path, endpoint in RAW.items())
    assert {endpoint.purpose for endpoint in RAW.values()} == {"image", "speech", "transcription", "moderation", "rerank"}
    assert [path for path, endpoint in RAW.items() if endpoint.binary] == ["/v1/audio/speech"]


def test_a_missing_model() -> None:
    assert look(b'{"input":"x"}', JSON, MODERATIONS) == ("", False)
    assert look(b'{"model":null}', JSON, IMAGES) == ("", False)
    assert look(b"{}", JSON) == ("", False)
    for path in ("/v1/audio/speech", "/v1/rerank", "/v1/audio/transcriptions"):
        with pytest.raises(GatewayError) as caught:
            look(b'{"model":""}', JSON, RAW[path])
        assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "model")


def test_streams_are_only_seen_where_there_are_any() -> None:
    asked = b'{"model":"m","stream":true}'
    assert look(asked, JSON) == look(asked, JSON, IMAGES) == ("m", True)
    assert look(asked, JSON, MODERATIONS) == ("m", False)
    assert look(b'{"model":"m","stream_format":"audio"}', JSON, SPEECH) == ("m", False)


def test_json_keeps_its_bytes() -> None:
    body = b'{"input": {"a" : 1.50, "b":[ 1e2 ]},"model":"m" , "x":"\\u00e9\xc3\xa9"}'
    assert with_model(body, JSON, "n\xe9") == b'{"input":{"a" : 1.50, "b":[ 1e2 ]},"model":"n\xc3\xa9","x":"\\u00e9\xc3\xa9"}'
    assert with_model(b'{"input":1}', "", "m") == b'{"input":1,"model":"m"}'
    assert look(b'{"model":"m"}', "application/x-www-form-urlencoded") == ("m", False)  # what curl -d says of JSON


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", JSON, "not valid JSON"),
        (b"[1]", JSON, "JSON object"),
        (b'{"model":5}', JSON, "`model` must be a string"),
        (b'{"stream":"true"}', JSON, "`stream` must be a boolean"),
        (b'{"model":"\xff"}', JSON, "not valid JSON"),
        (b'{"\xff":1}', JSON, "not valid JSON"),
        (b'{"a":' + b"[" * 100_000, JSON, "not valid JSON"),
        (b"model=a&prompt=b", "application/x-www-form-urlencoded", "send application/json or multipart/form-data"),
        (b"x", "", "missing"),
        (b'{"model":"m"}', "multipart/form-data", "boundary"),
    ],
)
def test_a_bad_body_is_refused_with_the_fix(body: bytes, content_type: str, words: str) -> None:
    with pytest.raises(GatewayError) as caught:
        look(body, content_type)
    assert caught.value.kind is Kind.BAD_REQUEST
    assert words in caught.value.message


@given(st.binary(max_size=40) | st.sampled_from([b'{"model":', b'{"model":"\\ud800"}', b'{"a":1,"a":2}']), st.sampled_from([JSON, "x", ""]))
def test_no_body_raises_anything_but_a_bad_request(body: bytes, content_type: str) -> None:
    for act in (lambda: look(body, content_type), lambda: with_model(body, content_type, "m")):
        try:
            act()
        except GatewayError as error:
            assert error.kind is Kind.BAD_REQUEST


def recordings() -> list[Any]:
    found = (
        sorted(path for kind in ("images", "moderations") for path in RECORDINGS.glob(f"openai-{kind}--*.json"))
        if RECORDINGS.is_dir()
        else []
    )
    return [pytest.param(json.loads(path.read_text("utf-8")), id=path.stem[-30:]) for path in found]


@pytest.mark.skipif(not recordings(), reason="no recordings beside the checkout")
@pytest.mark.parametrize("recorded", recordings())
def test_recorded_exchanges(recorded: dict[str, Any]) -> None:
    request, answer = recorded["request"], recorded["response"]
    body = json.dumps(request["body"]).encode()
    assert look(body, JSON, RAW[request["path"]]) == (recorded["model"], False)
    told = json.dumps(answer["body"]).encode()
    content_type = answer["headers"]["content-type"]
    for at in range(len(told) + 1):
        ear = RawListener(content_type)
        ear.feed(told[:at])
        ear.feed(told[at:])
        ear.close()
        assert (ear.error is not None) == (answer["status"] >= 400)
        assert ear.ended == (answer["status"] < 400)
    usage = usage_of(told, content_type)
    assert (usage.raw if usage else None) == answer["body"].get("usage")


def test_forms_go_through_their_own_reader() -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n'
    kind = "multipart/form-data; boundary=b"
    assert look(body, kind, IMAGES) == ("", False)
    changed = with_model(body, kind, "m")
    assert look(changed, kind) == ("m", False)
    assert form_data.read(changed, kind).text(changed, "prompt") == "x"
