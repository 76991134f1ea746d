"""Gemini's embedContent and batchEmbedContents: requests both ways, answers, and both translations to and from OpenAI."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.chat import Finish, ForeignPart, Usage
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import gemini_embeddings as wire
from omni_connector.wire import openai_embeddings
from omni_connector.wire.embedding import EmbeddingAnswer, EmbeddingOptions, EmbeddingRequest
from omni_connector.wire.gemini_generate import parse_error
from omni_connector.wire.views import encode
from tests.wire.gemini_reading import RECORDINGS

NAMES = st.sampled_from(wire.TASK_NUMBERS[1:])
CONTENTS = st.builds(lambda text: {"parts": [{"text": text}]}, st.text()) | st.just(
    {"role": "user", "parts": [{"text": "A map"}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}]}
)
OPTIONS = {"taskType": NAMES, "title": st.text(min_size=1), "outputDimensionality": st.integers(1, 3072), "newField": st.integers()}
BATCHES = st.fixed_dictionaries(
    {
        "requests": st.lists(
            st.fixed_dictionaries({"model": st.just("models/m"), "content": CONTENTS}, optional=OPTIONS), min_size=1, max_size=4
        )
    },
    optional={"newField": st.integers()},
)
CONFIGS = st.fixed_dictionaries({"autoTruncate": st.booleans()}, optional={"newField": st.integers()})
SINGLES = st.fixed_dictionaries({"content": CONTENTS}, optional={**OPTIONS, "embedContentConfig": CONFIGS})

KEYS = st.sampled_from(["embedding", "embeddings", "values", "statistics", "tokenCount", "usageMetadata", "predictions", "error", "code"])
ANSWERS = st.binary() | st.recursive(st.none() | st.floats() | st.text(), lambda inner: st.dictionaries(KEYS, inner) | st.lists(inner))
"""Bytes of anything, and JSON that comes near an answer."""


def text(value: str) -> dict[str, Any]:
    return {"parts": [{"text": value}]}


# ---------------------------------------------------------------- Requests


@given(BATCHES | SINGLES)
def test_a_request_rendered_again_has_the_same_values(body: dict[str, Any]) -> None:
    # J-02
    request = wire.parse_request(body, "m")
    assert request.single == ("content" in body)
    assert wire.render_request(request, "m").body == body


@pytest.mark.parametrize(
    "body",
    [
        {"model": "models/m", "content": text("Hi"), "taskType": "RETRIEVAL_QUERY", "title": "T", "outputDimensionality": 64},
        {"content": {"role": "user", **text("Hi")}, "task_type": 1, "title": "T", "output_dimensionality": 64},
        {"content": text("Hi"), "embedContentConfig": {"taskType": "RETRIEVAL_QUERY", "title": "T", "outputDimensionality": 64}},
        {
            "content": text("Hi"),
            "taskType": "CLUSTERING",
            "embed_content_config": {"task_type": "RETRIEVAL_QUERY", "title": "T", "output_dimensionality": 64},
        },
    ],
)
def test_every_spelling_of_a_request(body: dict[str, Any]) -> None:
    request = wire.parse_request(body, "m")
    assert request == EmbeddingRequest(wire.NAME, "m", ("Hi",), True, 64, task="RETRIEVAL_QUERY", title="T")


def test_the_texts_of_one_content_are_one_input() -> None:
    request = wire.parse_request({"content": {"parts": [{"text": "Low tide"}, {"text": ""}, {"text": "at six"}]}}, "m")
    assert request.inputs == ("Low tide\n\nat six",)


def test_a_content_with_an_image_is_for_this_format_only() -> None:
    content = {"parts": [{"text": "x"}, {"inline_data": {"mime_type": "image/png", "data": "eA=="}}]}
    request = wire.parse_request({"requests": [{"content": text("a")}, {"content": content}]}, "m")
    assert request.inputs == ("a", ForeignPart(wire.NAME, content))
    assert wire.render_request(request, "m").body["requests"][1]["content"] == content
    with pytest.raises(GatewayError) as caught:
        openai_embeddings.render_request(request, "m")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "requests[1].content")


def test_options_that_differ_stay_with_their_request() -> None:
    body = {"requests": [{"content": text("a"), "taskType": "CLUSTERING"}, {"content": text("b"), "title": "B"}]}
    request = wire.parse_request(body, "m")
    assert request.each == (EmbeddingOptions(task="CLUSTERING"), EmbeddingOptions(title="B"))
    rendered = openai_embeddings.render_request(request, "text-embedding-3-small")
    assert rendered.body == {"model": "text-embedding-3-small", "input": ["a", "b"]}
    assert rendered.dropped == ("taskType", "title")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "content"),
        ([], None),
        ({"content": "Hi"}, "content"),
        ({"content": {}}, "content.parts"),
        ({"content": {"parts": []}}, "content.parts"),
        ({"content": {"parts": ["Hi"]}}, "content.parts[0]"),
        ({"content": {"parts": [{"text": 3}]}}, "content.parts[0].text"),
        ({"content": text("a"), "taskType": []}, "taskType"),
        ({"content": text("a"), "outputDimensionality": -1}, "outputDimensionality"),
        ({"content": text("a"), "embedContentConfig": 1}, "embedContentConfig"),
        ({"content": text("a"), "embedContentConfig": {"title": 1}}, "embedContentConfig.title"),
        ({"requests": []}, "requests"),
        ({"requests": {}}, "requests"),
        ({"requests": [3]}, "requests[0]"),
        ({"requests": [{"content": text("a")}, {}]}, "requests[1].content"),
        ({"requests": [{"content": text("a"), "model": "models/a"}, {"content": text("a"), "model": "b"}]}, "requests[1].model"),
    ],
)
def test_mistakes_name_their_field(body: Any, param: str | None) -> None:
    with pytest.raises(GatewayError) as caught:
        wire.parse_request(body, "m")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, param)


def test_paths() -> None:
    assert wire.path("gemini-embedding-001", False) == "/models/gemini-embedding-001:embedContent"
    assert wire.path("models/a/../b", True) == "/models/a%2F..%2Fb:batchEmbedContents"


# ---------------------------------------------------------------- From an OpenAI client


def ask(**fields: Any) -> EmbeddingRequest:
    return openai_embeddings.parse_request({"model": "m", "input": "Hi", **fields})


def test_an_openai_request_for_gemini() -> None:
    # J-02
    rendered = wire.render_request(ask(dimensions=64, user="u", encoding_format="base64", input_type="query"), "models/g")
    assert rendered.body == {"content": text("Hi"), "outputDimensionality": 64}
    assert rendered.dropped == ("user", "input_type")
    rendered = wire.render_request(ask(input=["a", "b"], dimensions=64), "models/g", frozenset({"any"}))
    assert rendered.dropped == ()
    assert rendered.body == {
        "requests": [
            {"model": "models/g", "content": text("a"), "outputDimensionality": 64},
            {"model": "models/g", "content": text("b"), "outputDimensionality": 64},
        ]
    }


@pytest.mark.parametrize("given_", [[1, 2], [[1, 2]]])
def test_token_ids_mean_nothing_to_gemini(given_: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        wire.render_request(ask(input=given_), "g")
    assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "input")


# ---------------------------------------------------------------- Answers


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"embeddings": [{"values": [0.1, 2]}], "usageMetadata": {"promptTokenCount": 7}}, 7),
        ({"embedding": {"values": [0.1, 2]}, "usageMetadata": {"totalTokenCount": 7}}, 7),
        ({"embeddings": [{"values": [0.1, 2], "statistics": {"tokenCount": 3}}]}, 3),
        ({"predictions": [{"embeddings": {"values": [0.1, 2], "statistics": {"token_count": 3}}}]}, 3),
        ({"embedding": {"values": [0.1, 2], "statistics": {}}, "usageMetadata": []}, None),
    ],
)
def test_every_form_of_an_answer(body: dict[str, Any], tokens: int | None) -> None:
    answer = wire.parse_answer(json.dumps(body).encode(), ask())
    assert answer.vectors == ((0.1, 2.0),)
    assert (answer.usage.prompt if answer.usage else None) == tokens
    assert answer.usage is None or answer.usage.output == 0


def test_an_answer_for_each_call() -> None:
    single, batch = (wire.parse_request(body, "m") for body in ({"content": text("a")}, {"requests": [{"content": text("a")}]}))
    answer = EmbeddingAnswer(((0.5,),), Usage(input=2, output=0), "x")
    assert wire.render_answer(answer, "m", single) == {"embedding": {"values": (0.5,)}, "usageMetadata": {"promptTokenCount": 2}}
    assert wire.render_answer(EmbeddingAnswer((b"\0\0\0?",), None, ""), "m", batch) == {"embeddings": [{"values": (0.5,)}]}


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1), min_size=1, max_size=3), st.integers(0) | st.none())
def test_an_answer_told_through_the_other_format_and_back_is_the_same(vectors: list[list[float]], tokens: int | None) -> None:
    request = ask(input=["a"] * len(vectors))
    usage = {} if tokens is None else {"usageMetadata": {"promptTokenCount": tokens}}
    body = {"embeddings": [{"values": values} for values in vectors], **usage}
    told = openai_embeddings.render_answer(wire.parse_answer(encode(body), request), "m", request)
    assert [list(item["embedding"]) for item in told["data"]] == vectors
    if tokens is None:
        del told["usage"]
    back = wire.render_answer(openai_embeddings.parse_answer(encode(told), request), "m", request)
    assert json.loads(encode(back)) == body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.UPSTREAM_FAILED),
        (b"[1]", Kind.UPSTREAM_FAILED),
        (b'{"x":' * 100_000, Kind.UPSTREAM_FAILED),
        ({}, Kind.UPSTREAM_FAILED),
        ({"embedding": {}}, Kind.UPSTREAM_FAILED),
        ({"embeddings": [{"values": [1]}, {"values": [1]}]}, Kind.UPSTREAM_FAILED),
        ({"embedding": {"values": ["x"]}}, Kind.UPSTREAM_FAILED),
        ({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota"}}, Kind.ACCOUNT_RATE_LIMITED),
    ],
)
def test_answers_that_are_none(body: Any, kind: Kind) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(GatewayError) as caught:
        wire.parse_answer(raw, ask())
    assert caught.value.kind is kind


@given(ANSWERS)
def test_no_answer_raises_anything_else(body: Any) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    ear = wire.Listener()
    ear.whole(raw)
    try:
        wire.parse_answer(raw, ask())
    except GatewayError as error:
        assert error.kind is not Kind.INTERNAL


def test_the_ear() -> None:
    ear = wire.Listener()
    ear.whole(b'{"embeddings": [{"values": [1]}], "usageMetadata": {"promptTokenCount": 7}}')
    assert (ear.usage, ear.finish, ear.ended) == (Usage(input=7, output=0, raw={"promptTokenCount": 7}), Finish.STOP, True)
    for body in ({}, {"error": {"code": 500}}):
        ear = wire.Listener()
        ear.whole(body)
        assert ear.error is not None
        assert not ear.ended


# ---------------------------------------------------------------- The vendor's SDK


def sdk(content: bytes, version: str = "v1beta") -> tuple[Any, list[Any]]:
    """A client of google-genai whose every call gets this answer, and the list of what it asked."""
    genai = pytest.importorskip("google.genai")
    httpx2 = pytest.importorskip("httpx2")
    asked: list[Any] = []

    def answer(request: Any) -> Any:
        asked.append(request)
        return httpx2.Response(200, content=content, headers={"content-type": "application/json"})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    options = genai.types.HttpOptions(base_url="http://localhost", api_version=version, httpx_client=http)
    return genai.Client(api_key="k", http_options=options), asked


@pytest.mark.parametrize("version", ["v1beta", "v1"])
@pytest.mark.parametrize(
    ("model", "contents", "inputs"),
    [
        ("gemini-embedding-001", "a", ("a",)),
        ("gemini-embedding-001", ["a", "b"], ("a", "b")),
        ("gemini-embedding-2", ["a", "b"], ("a\nb",)),  # this SDK makes one content of them for models that see
    ],
)
def test_the_vendors_sdk_sends_what_we_read_and_reads_what_we_write(
    version: str, model: str, contents: Any, inputs: tuple[str, ...]
) -> None:
    # J-02
    config = {"task_type": "RETRIEVAL_DOCUMENT", "title": "T", "output_dimensionality": 2}
    client, asked = sdk(b'{"embeddings": [{"values": [1]}]}', version)
    client.models.embed_content(model=model, contents=contents, config=config)
    assert asked[0].url.path == f"/{version}" + wire.path(model, batch=True)
    request = wire.parse_request(json.loads(asked[0].content), model)
    assert request == EmbeddingRequest(wire.NAME, model, inputs, False, 2, task="RETRIEVAL_DOCUMENT", title="T")

    upstream = {"data": [{"embedding": [0.1, n], "index": n} for n in range(len(inputs))], "usage": {"prompt_tokens": 3}}
    answer = openai_embeddings.parse_answer(json.dumps(upstream).encode(), request)
    client, _ = sdk(encode(wire.render_answer(answer, model, request)), version)
    seen = client.models.embed_content(model=model, contents=contents)
    assert [vector.values for vector in seen.embeddings] == [[0.1, n] for n in range(len(inputs))]
    assert seen.usage_metadata.prompt_token_count == 3


# ---------------------------------------------------------------- Recordings


def recordings() -> list[Path]:
    return sorted(RECORDINGS.glob("gemini-embed--*.json")) if RECORDINGS.is_dir() else []


@pytest.mark.parametrize("file", recordings(), ids=lambda file: file.stem[14:50])
def test_recorded_exchanges(file: Path) -> None:
    exchange = json.loads(file.read_bytes())
    sent, got = exchange["request"]["body"], exchange["response"]
    if "requests" in sent:
        request = wire.parse_request(sent, exchange["model"])
        assert wire.render_request(request, exchange["model"]).body == sent
    else:  # Vertex' own `:predict`, of which only the answer is read
        request = ask()
    raw = encode(got["body"])
    if got["status"] != 200:
        assert parse_error(got["status"], got["headers"], raw).kind is Kind.UPSTREAM_MODEL_MISSING
        with pytest.raises(GatewayError):
            wire.parse_answer(raw, request)
        return
    answer = wire.parse_answer(raw, request)
    recorded = got["body"]["predictions"][0]["embeddings"]
    assert list(answer.vectors[0]) == recorded["values"]
    assert answer.usage is not None
    assert answer.usage.prompt == recorded["statistics"]["token_count"]
