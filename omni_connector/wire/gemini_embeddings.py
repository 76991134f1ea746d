"""Gemini's `:embedContent` and `:batchEmbedContents`, as a client's format and as an upstream's.

Sources: the API reference, the vendor's SDK google-genai 3.4 (which always sends batches, and for Vertex puts the options
into `embedContentConfig`), and recorded answers, one of them of Vertex' `:predict`, whose answers are read too.

A request rendered for this same format has the same values. These forms are made one: camelCase; task types as words; the
options beside the content (`embedContentConfig` keeps only what has no place there); a content of texts as one part, its texts
on lines of their own, without role.
"""

from __future__ import annotations

import urllib.parse
from typing import Any

import msgspec

from omni_connector.chat import ForeignPart, Json, Rendered, Usage
from omni_connector.errors import bad_request
from omni_connector.values import dataclass
from omni_connector.wire.embedding import (
    Ear,
    EmbeddingAnswer,
    EmbeddingInput,
    EmbeddingOptions,
    EmbeddingRequest,
    answered,
    dimensions_of,
    failed,
    to_floats,
    usage_of,
)
from omni_connector.wire.fields import Fields, integer, wrong
from omni_connector.wire.gemini_errors import error_in
from omni_connector.wire.gemini_words import PATH, camel, loads, word_of

NAME = "gemini-embeddings"

TASK_NUMBERS = (
    "TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY", "CLASSIFICATION", "CLUSTERING",
    "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
)  # fmt: skip
"""Numbers of the enum, which clients with `$alt=json;enum-encoding=int` send in place of words."""

_CONFIG = "embedContentConfig"
_TOKENS = ("promptTokenCount", "totalTokenCount")
_EXAMPLE = '{"parts": [{"text": "Hello"}]}'


class _Vector(msgspec.Struct):
    values: tuple[float, ...] = ()
    statistics: Any = None


class _Prediction(msgspec.Struct):
    embeddings: _Vector


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Vector | None = None
    embeddings: list[_Vector] | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Answer)


def path(model: str, batch: bool) -> str:
    """Below a provider's base URL. `batch`: many at once. The id is one path segment."""
    segment = urllib.parse.quote(model.removeprefix("models/"), safe="")
    return f"{PATH}/{segment}:{'batchEmbedContents' if batch else 'embedContent'}"


# ---------------------------------------------------------------- Requests


@dataclass(frozen=True, slots=True)
class _One:
    """One request: of a batch, or the body of `:embedContent`."""

    content: EmbeddingInput
    options: EmbeddingOptions
    model: str


def parse_request(body: Json, model: str = "") -> EmbeddingRequest:
    """Either form: a body with `requests` is a batch. `model` is the URL's. Raises GatewayError (BAD_REQUEST with `param`)."""
    fields = Fields(camel(body) if isinstance(body, dict) else body, "")
    if not fields.has("requests"):
        one = _one(fields)
        options = one.options
        return EmbeddingRequest(
            wire=NAME,
            model=model or one.model,
            inputs=(one.content,),
            single=True,
            dimensions=options.dimensions,
            task=options.task,
            title=options.title,
            extra=options.extra,
        )
    requests = fields.items("requests")
    if not requests:
        raise bad_request(f'`requests` is empty. Send at least one, for example {{"content": {_EXAMPLE}}}.', "requests")
    ones = [_one(Fields(camel(item) if isinstance(item, dict) else item, f"requests[{at}]")) for at, item in enumerate(requests)]
    _same_model(ones)
    first = ones[0].options
    alike = not first.extra and all(one.options == first for one in ones)
    named = fields.string("model") or ones[0].model
    return EmbeddingRequest(
        wire=NAME,
        model=model or named.removeprefix("models/"),
        inputs=tuple(one.content for one in ones),
        single=False,
        dimensions=first.dimensions if alike else None,
        task=first.task if alike else None,
        title=first.title if alike else None,
        extra=fields.rest(),
        each=() if alike else tuple(one.options for one in ones),
    )


def _one(fields: Fields) -> _One:
    """The options stand beside the content, or in a config of their own, which then has the say."""
    content = _content(fields.take("content"), fields.path("content"))
    model = (fields.string("model") or "").removeprefix("models/")
    config = Fields(camel(fields.object(_CONFIG) or {}), fields.path(_CONFIG))
    beside, inside = _options(fields), _options(config)
    extra = {**fields.rest(), **({_CONFIG: config.rest()} if config.rest() else {})}
    options = EmbeddingOptions(
        inside.dimensions or beside.dimensions,
        inside.task or beside.task,
        inside.title or beside.title,
        extra,
    )
    return _One(content, options, model)


def _options(fields: Fields) -> EmbeddingOptions:
    given = fields.take("taskType")
    task = word_of(given, TASK_NUMBERS)
    if given is not None and given != "" and task is None:
        raise wrong(fields.path("taskType"), given, "a string")
    return EmbeddingOptions(dimensions_of(fields, "outputDimensionality"), task, fields.string("title"))


def _same_model(ones: list[_One]) -> None:
    """The API demands it too; the URL's model serves them all."""
    named = [(number, one.model) for number, one in enumerate(ones) if one.model]
    for number, model in named:
        if model != named[0][1]:
            at = f"requests[{number}].model"
            raise bad_request(f"`{at}` differs from the others. One batch has one model; send a batch for each.", at)


def _content(value: Any, at: str) -> EmbeddingInput:
    """A content of texts → text; one with anything else is kept whole for this format."""
    if value is None:
        raise bad_request(f"`{at}` is missing. Send one, for example {_EXAMPLE}.", at)
    fields = Fields(value, at)
    parts = fields.items("parts")
    if not parts:
        raise bad_request(f"`{at}.parts` is missing or empty. Send at least one part with text, for example {_EXAMPLE}.", f"{at}.parts")
    texts = []
    for number, item in enumerate(parts):
        text = Fields(item, f"{at}.parts[{number}]").string("text")
        if text is None:
            return ForeignPart(NAME, value)
        texts.append(text)
    return "\n".join(texts)


def render_request(request: EmbeddingRequest, model: str, features: frozenset[str] = frozenset()) -> Rendered:
    """The body for `path(model, request.is_batch(NAME))`. Raises GatewayError (BAD_REQUEST) for token ids. `user` has no place and is
    dropped; the encoding is ours to give. No feature changes anything."""
    del features
    own = request.wire == NAME
    ones = [_request(value, request.options(number)) for number, value in enumerate(request.inputs)]
    dropped = () if own else (*(("user",) if request.user is not None else ()), *request.extra)
    extra = request.extra if own else {}
    if not request.is_batch(NAME):
        return Rendered({**ones[0], **extra}, dropped)
    name = f"models/{model.removeprefix('models/')}"
    return Rendered({"requests": [{"model": name, **one} for one in ones], **extra}, dropped)


def _request(value: EmbeddingInput, options: EmbeddingOptions) -> Json:
    if isinstance(value, tuple):
        raise bad_request("`input` holds token ids, and this model's provider reads text only. Send the text itself.", "input")
    one: Json = {"content": value.value if isinstance(value, ForeignPart) else {"parts": [{"text": value}]}}
    if options.task is not None:
        one["taskType"] = options.task
    if options.title is not None:
        one["title"] = options.title
    if options.dimensions is not None:
        one["outputDimensionality"] = options.dimensions
    return {**one, **options.extra}


# ---------------------------------------------------------------- Answers


def parse_answer(body: bytes, request: EmbeddingRequest) -> EmbeddingAnswer:
    """A provider's whole answer, of either call. Raises GatewayError: its own error where it states one, else UPSTREAM_FAILED."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
        raise error_in(loads(body)) or failed(str(reason)[:200]) from reason
    found = answer.embeddings or [item.embeddings for item in answer.predictions or ()]
    if not found and answer.embedding is not None:
        found = [answer.embedding]
    if answer.error or not found:
        raise error_in(loads(body)) or failed("there is no `embedding`.")
    usage = usage_of(answer.usage_metadata, *_TOKENS) or _counted([item.statistics for item in found])
    return answered([item.values for item in found], usage, "", request)


def _counted(statistics: list[Any]) -> Usage | None:
    """Vertex counts the tokens of each vector; None unless all are counted."""
    counts = [integer(camel(item).get("tokenCount")) if isinstance(item, dict) else None for item in statistics]
    known = [count for count in counts if count is not None and count >= 0]
    return Usage(input=sum(known), output=0) if known and len(known) == len(counts) else None


def render_answer(answer: EmbeddingAnswer, model: str, request: EmbeddingRequest) -> Json:
    """The body for a client: `embedding` for a single request, `embeddings` for a batch. The format has no place for the model."""
    del model
    vectors = [{"values": to_floats(vector)} for vector in answer.vectors]
    body: Json = {"embedding": vectors[0]} if request.single else {"embeddings": vectors}
    if answer.usage is not None:
        body["usageMetadata"] = {"promptTokenCount": answer.usage.prompt}
    return body


class Listener(Ear):
    """The pass-through lane's ear."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_hear)


def _hear(answer: Json) -> Usage | None:
    error = error_in(answer)
    if error is not None:
        raise error
    vectors = answer.get("embeddings") or answer.get("embedding") or answer.get("predictions")
    if not vectors:
        raise failed("there is no `embedding`.")
    return usage_of(answer.get("usageMetadata"), *_TOKENS)
