"""OpenAI's embeddings: requests both ways, answers of proper and of loose hosts, the vendor's SDK as reader."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from omni_connector.chat import Finish, ForeignPart, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import openai_embeddings as wire
from omni_connector.wire.embedding import EmbeddingAnswer, EmbeddingOptions, EmbeddingRequest, to_floats
from omni_connector.wire.openai_chat import parse_error
from omni_connector.wire.views import encode
from tests.wire.gemini_reading import RECORDINGS

TOKENS = st.lists(st.integers(0, 200_000), min_size=1, max_size=5)
BODIES = st.fixed_dictionaries(
    {"model": st.text(min_size=1), "input": st.text() | st.lists(st.text(), min_size=1) | TOKENS | st.lists(TOKENS, min_size=1)},
    optional={
        "dimensions": st.integers(1, 4096),
        "encoding_format": st.just("base64"),
        "user": st.text(),
        "input_type": st.text() | st.integers() | st.lists(st.booleans()),
    },
)

KEYS = st.sampled_from(["data", "embedding", "index", "usage", "model", "error", "object", "prompt_tokens", "message", "code"])
ANSWERS = st.binary() | st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner))
"""Bytes of anything, and JSON that comes near an answer."""


def gemini(**fields: Any) -> EmbeddingRequest:
    """A request of a Gemini client."""
    return EmbeddingRequest(**{"wire": "gemini-embeddings", "model": "m", "inputs": ("a", "b"), "single": False, **fields})


# ---------------------------------------------------------------- Requests


@given(BODIES)
def test_a_request_rendered_again_has_the_same_values(body: dict[str, Any]) -> None:
    # J-02
    rendered = wire.render_request(wire.parse_request(body), body["model"])
    assert rendered.body == body
    assert rendered.dropped == ()


def test_what_is_left_out() -> None:
    body = {"model": "m", "input": "Hi", "encoding_format": "float", "user": None, "dimensions": None}
    assert wire.render_request(wire.parse_request(body, "served"), "n", frozenset({"any"})).body == {"model": "n", "input": "Hi"}
    assert wire.parse_request(body, "served").model == "served"
    assert wire.path("m", True) == wire.path("m", False) == "/embeddings"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"),
        ({"input": []}, "input"),
        ({"input": 3}, "input"),
        ({"input": {}}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [[1, 2.5]]}, "input[0]"),
        ({"input": ["a", {"text": "b"}]}, "input[1]"),
        ({"input": ["a", []]}, "input[1]"),
        ({"input": [True]}, "input[0]"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "9"}, "dimensions"),
        ({"input": "a", "encoding_format": "base64_int8"}, "encoding_format"),
        ({"input": "a", "model": 3}, "model"),
        ([], None),
    ],
)
def test_mistakes_name_their_field(body: Any, param: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        wire.parse_request(body)
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_hints_of_gemini_are_dropped_by_name() -> None:
    request = gemini(
        extra={"x": 1, "embedContentConfig": {"autoTruncate": False}},
        each=(EmbeddingOptions(64, "RETRIEVAL_QUERY"), EmbeddingOptions(64, None, "Tides", {"y": {}})),
    )
    rendered = wire.render_request(request, "m")
    assert rendered.body == {"model": "m", "input": ["a", "b"], "dimensions": 64}
    assert rendered.dropped == ("taskType", "title", "x", "embedContentConfig.autoTruncate", "y")


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (gemini(each=(EmbeddingOptions(64), EmbeddingOptions(65))), "requests[1].outputDimensionality"),
        (gemini(inputs=("a", ForeignPart("gemini-embeddings", {}))), "requests[1].content"),
        (gemini(inputs=(ForeignPart("gemini-embeddings", {}),), single=True), "content"),
    ],
)
def test_what_would_change_the_meaning_is_refused(request_: EmbeddingRequest, param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        wire.render_request(request_, "m")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


# ---------------------------------------------------------------- Answers


def read(body: Any, **fields: Any) -> EmbeddingAnswer:
    return wire.parse_answer(body if isinstance(body, bytes) else json.dumps(body).encode(), gemini(**fields))


@pytest.mark.parametrize(
    "data",
    [
        [{"embedding": [2], "index": 1}, {"embedding": [1], "index": 0}],
        [{"embedding": [1.0]}, {"embedding": [2.0]}],
        [{"embedding": [1.0], "index": 0}, {"embedding": [2.0], "index": 0}],
        [{"embedding": [1.0], "index": 1}, {"embedding": [2.0], "index": 2}],
        [{"embedding": [1.0], "index": "?"}, {"embedding": [2.0], "index": None, "object": 3}],
    ],
)
def test_vectors_stand_in_the_order_of_the_inputs(data: list[Any]) -> None:
    assert read({"data": data}) == EmbeddingAnswer(((1.0,), (2.0,)), None, "")


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 5, "total_tokens": 5}, {"total_tokens": 5}, {"prompt_tokens": 5.0, "total_tokens": None}]
)
def test_usage_of_every_kind(usage: dict[str, Any]) -> None:
    body = {"data": [{"embedding": [1]}, {"embedding": [2]}], "usage": usage, "model": "embed-english-v3.0"}
    answer = read(body)
    assert answer.usage == Usage(input=5, output=0, raw=usage)
    assert answer.model == "embed-english-v3.0"
    ear = wire.Listener()
    ear.whole(body)
    assert (ear.usage, ear.finish, ear.ended, ear.error) == (answer.usage, Finish.STOP, True, None)


def test_numbers_stay_exact() -> None:
    numbers = b"[0.0001,-1.5e-9,0.1,-0.0,1,0.025784462690353394]"
    answer = read(b'{"data":[{"embedding":' + numbers + b"}]}", inputs=("a",))
    rendered = wire.render_answer(answer, "m", gemini())
    assert list(map(repr, rendered["data"][0]["embedding"])) == ["0.0001", "-1.5e-09", "0.1", "-0.0", "1.0", "0.025784462690353394"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.UPSTREAM_FAILED),
        (b"<html>", Kind.UPSTREAM_FAILED),
        (b"[" * 100_000, Kind.UPSTREAM_FAILED),
        (b'{"x":' * 100_000, Kind.UPSTREAM_FAILED),
        (b'{"data": [{"embedding": "\xff"}]}', Kind.UPSTREAM_FAILED),
        ({"data": []}, Kind.UPSTREAM_FAILED),
        ({"data": [{"embedding": [1]}]}, Kind.UPSTREAM_FAILED),
        ({"data": [{"embedding": [None]}, {"embedding": [1]}]}, Kind.UPSTREAM_FAILED),
        ({"data": [{"embedding": [[1]]}, {"embedding": [[1]]}]}, Kind.UPSTREAM_FAILED),
        (b'{"data": [{"embedding": [1e999]}]}', Kind.UPSTREAM_FAILED),
        ({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, Kind.ACCOUNT_UNPAID),
        ({"object": "error", "message": "loading", "code": 503}, Kind.UPSTREAM_OVERLOADED),
    ],
)
def test_answers_that_are_none(body: Any, kind: Kind) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert caught.value.kind is kind


@given(ANSWERS)
def test_no_answer_raises_anything_else(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    ear = wire.Listener()
    ear.whole(raw)
    try:
        wire.parse_answer(raw, gemini())
    except GatewayError as error:
        assert error.kind is not Kind.INTERNAL


@pytest.mark.parametrize("body", [{}, {"data": []}, {"error": {"message": "x"}}])
def test_the_ear_hears_failure(body: dict[str, Any]) -> None:
    ear = wire.Listener()
    ear.whole(body)
    assert ear.error is not None
    assert not ear.ended


# ---------------------------------------------------------------- The vendor's SDK


def sdk(answer: bytes) -> tuple[openai.OpenAI, list[Any]]:
    asked: list[Any] = []

    def respond(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content))
        return httpx2.Response(200, content=answer, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(respond))
    return openai.OpenAI(api_key="k", base_url="http://localhost/v1", http_client=http), asked


SINGLE = tuple(struct.unpack("<3f", struct.pack("<3f", 0.1, -0.25, 1e-5)))


@pytest.mark.parametrize("vector", [SINGLE, struct.pack("<3f", *SINGLE)])
@pytest.mark.parametrize("encoding", [openai.omit, "float", "base64"])
def test_the_vendors_sdk_sends_what_we_read_and_reads_what_we_write(vector: Any, encoding: Any) -> None:
    # J-02
    client, asked = sdk(b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[1]}],"model":"m"}')
    client.embeddings.create(model="asked", input=["Hi"], encoding_format=encoding, dimensions=3)
    request = wire.parse_request(asked[0])
    assert (request.inputs, request.single, request.dimensions, request.model) == (("Hi",), False, 3, "asked")
    assert request.encoding == ("float" if encoding == "float" else "base64")

    body = wire.render_answer(EmbeddingAnswer((vector,), Usage(input=2, output=0), "served"), "asked", request)
    client, _ = sdk(encode(body))
    answer = client.embeddings.create(model="asked", input=["Hi"], encoding_format=encoding)
    found: Any = answer.data[0].embedding
    if encoding == "base64":
        found = list(struct.unpack("<3f", base64.b64decode(found)))
    assert found == list(SINGLE)
    assert (answer.model, answer.object, answer.data[0].index) == ("asked", "list", 0)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (2, 2)


def test_an_answer_without_usage_is_complete_for_the_vendors_type() -> None:
    body = wire.render_answer(EmbeddingAnswer(((1.0,), (2.0,)), None, ""), "m", gemini())
    assert CreateEmbeddingResponse.model_validate(body).usage.total_tokens == 0


# ---------------------------------------------------------------- Recordings


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("openai-embeddings--*.json")) if RECORDINGS.is_dir() else []


@pytest.mark.parametrize("file", recordings(), ids=lambda file: file.stem[19:60])
def test_recorded_exchanges(file: Path) -> None:
    exchange = json.loads(file.read_bytes())
    sent, got = exchange["request"]["body"], exchange["response"]
    request = wire.parse_request(sent)
    assert wire.render_request(request, sent["model"]).body == sent
    if got["status"] != 200:
        error = parse_error(got["status"], got["headers"], encode(got["body"]))
        assert error.message
        with pytest.raises(GatewayError):
            wire.parse_answer(encode(got["body"]), request)
        return
    answer = wire.parse_answer(encode(got["body"]), request)
    recorded = got["body"]
    assert answer.usage is not None
    assert (answer.usage.prompt, answer.usage.total) == (recorded["usage"]["prompt_tokens"],) * 2
    assert answer.model == recorded["model"]
    told = wire.render_answer(answer, recorded["model"], request)["data"]
    for one, other in zip(told, recorded["data"], strict=True):
        wanted = other["embedding"]
        if exchange["upstream"] == "perplexity":
            wanted = [float(value) for value in struct.unpack("256b", base64.b64decode(wanted))]
        assert list(one["embedding"]) == list(wanted)
    if request.encoding == "base64":
        assert abs(sum(value * value for value in to_floats(answer.vectors[0])) - 1) < 1e-5
