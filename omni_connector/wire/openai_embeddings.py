"""OpenAI's `POST /embeddings`, as a client's format and as an upstream's.

Sources: the API as typed by the vendor's SDK openai 3.52 (which asks for base64 unless told otherwise and decodes
little-endian float32), and recorded answers of compatible hosts: usage with a total only, data without `index`, int8.

A request rendered for this same format has the same values; `encoding_format: "float"` and nulls are left out.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from omni_connector.chat import ForeignPart, Json, Rendered, Usage
from omni_connector.errors import bad_request
from omni_connector.wire.embedding import (
    Ear,
    EmbeddingAnswer,
    EmbeddingInput,
    EmbeddingRequest,
    Vector,
    answered,
    dimensions_of,
    failed,
    from_base64,
    to_base64,
    to_floats,
    usage_of,
)
from omni_connector.wire.fields import Fields, integer, name_of
from omni_connector.wire.openai_chat_errors import error_in
from omni_connector.wire.openai_chat_words import loads

NAME = "openai-embeddings"
PATH = "/embeddings"

_TOKENS = ("prompt_tokens", "total_tokens")
"""Voyage and others state the total only, which is the same number here."""
_EXAMPLE = 'Send a text, for example "Hello", or a list of texts.'


class _Item(msgspec.Struct):
    embedding: tuple[float, ...] | str
    index: Any = None


class _Answer(msgspec.Struct):
    data: list[_Item] | None = None
    model: Any = None
    usage: Any = None
    error: Any = None


_DECODER = msgspec.json.Decoder(_Answer)


def path(model: str, batch: bool) -> str:
    """Below a provider's base URL. Model and number of inputs stand in the body."""
    del model, batch
    return PATH


# ---------------------------------------------------------------- Requests


def parse_request(body: Json, model: str = "") -> EmbeddingRequest:
    """Raises GatewayError (BAD_REQUEST with `param`). `model` wins over the body's own."""
    fields = Fields(body, "")
    named = fields.string("model") or ""
    inputs, single = _inputs(fields.take("input"))
    return EmbeddingRequest(
        wire=NAME,
        model=model or named,
        inputs=inputs,
        single=single,
        dimensions=dimensions_of(fields, "dimensions"),
        encoding=_encoding(fields),
        user=fields.string("user"),
        extra=fields.rest(),
    )


def _inputs(value: Any) -> tuple[tuple[EmbeddingInput, ...], bool]:
    """A text, a list of texts, the token ids of one text, or a list of such lists."""
    if isinstance(value, str):
        return (value,), True
    if value is None or value == []:
        raise bad_request(f"`input` is missing or empty. {_EXAMPLE}", "input")
    if not isinstance(value, list):
        raise bad_request(f"`input` must be a string or a list, not {name_of(value)}. {_EXAMPLE}", "input")
    if integer(value[0]) is not None:
        return (_tokens(value, "input"),), True
    return tuple(_input(item, f"input[{number}]") for number, item in enumerate(value)), False


def _input(value: Any, at: str) -> EmbeddingInput:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return _tokens(value, at)
    found = "an empty list" if value == [] else name_of(value)
    raise bad_request(f"`{at}` must be a string or a list of token ids, not {found}. {_EXAMPLE}", at)


def _tokens(value: list[Any], at: str) -> tuple[int, ...]:
    tokens = tuple(number for item in value if (number := integer(item)) is not None)
    if len(tokens) != len(value):
        raise bad_request(f"`{at}` mixes token ids with other values. Send integers only, or texts.", at)
    return tokens


def _encoding(fields: Fields) -> Literal["float", "base64"]:
    given = fields.string("encoding_format")
    if given is None or given == "float":
        return "float"
    if given == "base64":
        return "base64"
    raise bad_request(f'`encoding_format` {given!r} is unknown here. Send "float" or "base64".', "encoding_format")


def render_request(request: EmbeddingRequest, model: str, features: frozenset[str] = frozenset()) -> Rendered:
    """The body for an upstream. Raises GatewayError (BAD_REQUEST) for inputs that are not text, and for inputs that want
    vectors of different lengths. A task and a title are hints, so they are dropped and named. No feature changes anything."""
    del features
    texts = [_said(value, number, request) for number, value in enumerate(request.inputs)]
    body: Json = {"model": model, "input": texts[0] if request.single else texts}
    if request.user is not None:
        body["user"] = request.user
    dimensions = _dimensions(request)
    if dimensions is not None:
        body["dimensions"] = dimensions
    if request.encoding == "base64":
        body["encoding_format"] = "base64"
    if request.wire == NAME:
        return Rendered({**body, **request.extra})
    return Rendered(body, _unsaid(request))


def _said(value: EmbeddingInput, number: int, request: EmbeddingRequest) -> str | list[int]:
    if isinstance(value, ForeignPart):
        at = "content" if request.single else f"requests[{number}].content"
        raise bad_request(
            f"`{at}` holds more than text, and this model's provider embeds text only. Send text, or choose a Gemini model.", at
        )
    return value if isinstance(value, str) else list(value)


def _dimensions(request: EmbeddingRequest) -> int | None:
    wanted = [request.options(number).dimensions for number in range(len(request.inputs))]
    for number, dimensions in enumerate(wanted):
        if dimensions != wanted[0]:
            at = f"requests[{number}].outputDimensionality"
            raise bad_request(f"`{at}` differs from the first request's. This model's provider has one length for all; split them.", at)
    return wanted[0]


def _unsaid(request: EmbeddingRequest) -> tuple[str, ...]:
    """The names of what stays behind, in the words of Gemini, the only other format."""
    options = [request.options(number) for number in range(len(request.inputs))]
    names = dict.fromkeys(("taskType",) if any(option.task for option in options) else ())
    if any(option.title for option in options):
        names["title"] = None
    for extra in (request.extra, *(option.extra for option in options)):
        names.update(dict.fromkeys(name for key, value in extra.items() for name in _names(key, value)))
    return tuple(names)


def _names(key: str, value: Any) -> list[str]:
    """Of an object (`embedContentConfig`) its fields: what else was in it may have been said."""
    return [f"{key}.{inner}" for inner in value] if isinstance(value, dict) and value else [key]


# ---------------------------------------------------------------- Answers


def parse_answer(body: bytes, request: EmbeddingRequest) -> EmbeddingAnswer:
    """A provider's whole answer. Raises GatewayError: its own error where it states one, else UPSTREAM_FAILED."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
        raise error_in(loads(body)) or failed(str(reason)[:200]) from reason
    if answer.error or not answer.data:
        raise error_in(loads(body)) or failed("`data` is missing or empty.")
    vectors: list[Vector] = [
        from_base64(item.embedding, request) if isinstance(item.embedding, str) else item.embedding for item in _in_order(answer.data)
    ]
    model = answer.model if isinstance(answer.model, str) else ""
    return answered(vectors, usage_of(answer.usage, *_TOKENS), model, request)


def _in_order(items: list[_Item]) -> list[_Item]:
    """By `index`, where that numbers all of them; some hosts leave it out or write 0 everywhere."""
    places = {integer(item.index): item for item in items}
    if places.keys() != set(range(len(items))):
        return items
    return [places[number] for number in range(len(items))]


def render_answer(answer: EmbeddingAnswer, model: str, request: EmbeddingRequest) -> Json:
    """The body for a client, with vectors in the encoding it asked for. The format demands a usage: zeros where the provider states
    none."""
    form = to_base64 if request.encoding == "base64" else to_floats
    data = [{"object": "embedding", "index": index, "embedding": form(vector)} for index, vector in enumerate(answer.vectors)]
    tokens = answer.usage.prompt if answer.usage is not None else 0
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


class Listener(Ear):
    """The pass-through lane's ear."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(_hear)


def _hear(answer: Json) -> Usage | None:
    error = error_in(answer)
    if error is not None:
        raise error
    if not answer.get("data"):
        raise failed("`data` is missing or empty.")
    return usage_of(answer.get("usage"), *_TOKENS)
