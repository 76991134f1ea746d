"""Embeddings in nobody's dialect: the request, the answer, and vectors as numbers or as base64.

Two formats say them, `openai_embeddings` and `gemini_embeddings`. Where both sides speak the same one, the bytes pass
through and only a `Listener` hears them; everything here is for requests that have to be translated.

A vector is a tuple of numbers as JSON had them, or the bytes of little-endian float32 where the provider sent those: each
stays as it came until a client wants the other form, so nothing is rounded that need not be.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, Literal

from omni_connector.chat import Finish, ForeignPart, Json, Usage
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.values import dataclass
from omni_connector.wire import views
from omni_connector.wire.fields import Fields, integer

EmbeddingInput = str | tuple[int, ...] | ForeignPart
"""A text, the token ids of one, or what only one format can hold (a Gemini content with an image), kept whole for it."""
Vector = tuple[float, ...] | bytes
"""Numbers, or little-endian float32."""

_LARGEST = 1e6
"""No component of a real embedding is larger; int8 bytes read as float32 nearly always are."""


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """What one input asks for. `task` and `title` are Gemini's `taskType` and `title`; `extra` holds unknown fields."""

    dimensions: int | None = None
    task: str | None = None
    title: str | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """`single`: one bare input was sent, not a list of one, so the answer is bare too where the format has that form.
    `extra`: unknown top-level fields, for the same format only. `each`: the inputs' own options, where they differ."""

    wire: str
    model: str
    inputs: tuple[EmbeddingInput, ...]
    single: bool
    dimensions: int | None = None
    encoding: Literal["float", "base64"] = "float"
    task: str | None = None
    title: str | None = None
    user: str | None = None
    extra: Json = field(default_factory=dict)
    each: tuple[EmbeddingOptions, ...] = ()

    def is_batch(self, wire: str) -> bool:
        """Whether a target of that format is asked for many at once. A list of one, from another format, is one."""
        return not self.single and (wire == self.wire or len(self.inputs) > 1)

    def options(self, number: int) -> EmbeddingOptions:
        """What input `number` asks for."""
        return self.each[number] if self.each else EmbeddingOptions(self.dimensions, self.task, self.title)


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    """One vector for each input, in the inputs' order. `model` is the provider's word, "" where it says none."""

    vectors: tuple[Vector, ...]
    usage: Usage | None
    model: str


# ---------------------------------------------------------------- Reading


def dimensions_of(fields: Fields, key: str) -> int | None:
    """A positive integer. Raises GatewayError (BAD_REQUEST)."""
    number = fields.integer(key)
    if number is not None and number < 1:
        raise bad_request(f"`{fields.path(key)}` must be at least 1. Send the wanted length of a vector or leave it out.", fields.path(key))
    return number


def usage_of(raw: Any, *keys: str) -> Usage | None:
    """The first count of `keys` that the block states → usage. Embeddings have no output, and that is known: 0."""
    if not isinstance(raw, dict):
        return None
    counts = (integer(raw.get(key)) for key in keys)
    tokens = next((count for count in counts if count is not None and count >= 0), None)
    return None if tokens is None else Usage(input=tokens, output=0, raw=raw)


def failed(reason: str) -> GatewayError:
    """A provider's answer that cannot be used."""
    return GatewayError(Kind.UPSTREAM_FAILED, f"The provider answered without usable embeddings: {reason}")


def answered(vectors: Sequence[Vector], usage: Usage | None, model: str, request: EmbeddingRequest) -> EmbeddingAnswer:
    """Raises GatewayError (UPSTREAM_FAILED) when vectors are missing, too many or empty: a client pairs them by place."""
    if len(vectors) != len(request.inputs):
        raise failed(f"{len(vectors)} vectors for {len(request.inputs)} inputs.")
    if not all(vectors):
        raise failed("a vector is empty.")
    return EmbeddingAnswer(tuple(vectors), usage, model)


# ---------------------------------------------------------------- Numbers and base64


def from_base64(text: str, request: EmbeddingRequest) -> Vector:
    """A provider's base64 → float32 bytes, or numbers -128…127 where it is int8, which Perplexity sends unasked.

    Told apart by the wanted length, else by what float32 values would be. Raises GatewayError (UPSTREAM_FAILED).
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
        raise failed("a vector is neither numbers nor base64.") from None
    if len(raw) == request.dimensions:
        return _int8(raw)
    if _is_float32(raw):
        return raw
    if request.encoding == "base64" or len(raw) == 4 * (request.dimensions or 0):
        raise failed("a vector in base64 is not float32.")
    return _int8(raw)


def _int8(raw: bytes) -> tuple[float, ...]:
    return tuple(map(float, memoryview(raw).cast("b")))


def _is_float32(raw: bytes) -> bool:
    return len(raw) % 4 == 0 and all(abs(value) <= _LARGEST for value in _unpack(raw))  # NaN compares false


def _unpack(raw: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def to_floats(vector: Vector) -> tuple[float, ...]:
    return _unpack(vector) if isinstance(vector, bytes) else vector


def to_base64(vector: Vector) -> str:
    """Base64 of little-endian float32, as OpenAI's SDKs decode it. Raises GatewayError for numbers beyond float32."""
    if isinstance(vector, bytes):
        return base64.b64encode(vector).decode()
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise failed(f"the number {max(vector, key=math.fabs)!r} does not fit into float32.") from None


# ---------------------------------------------------------------- The pass-through lane's ear


class Ear:
    """Keeps usage and error of an answer that passes through, with the attributes of every format's Listener. An
    embedding has no words, so `output_chars` stays 0. `read`: the decoded answer → its usage; raises its error."""

    __slots__ = ("_pieces", "_read", "ended", "error", "finish", "first_output", "output_chars", "usage")

    def __init__(self, read: Callable[[Json], Usage | None]) -> None:
        self.usage: Usage | None = None
        self.finish: Finish | None = None
        self.error: GatewayError | None = None
        self.ended = False
        self.first_output = False
        self.output_chars = 0
        self._read = read
        self._pieces: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        """There is no stream of embeddings: pieces are gathered until `close`."""
        self._pieces.append(chunk)

    def close(self) -> None:
        if self._pieces:
            self.whole(b"".join(self._pieces))
            self._pieces.clear()

    def whole(self, body: Json | bytes) -> None:
        """A whole answer, as decoded JSON or bytes."""
        try:
            self.usage = self._read(_decoded(body) if isinstance(body, bytes) else body)
        except GatewayError as error:
            self.error = error
            return
        self.finish = Finish.STOP
        self.first_output = self.ended = True


def _decoded(body: bytes) -> Json:
    try:
        return views.decode(body)
    except GatewayError:  # its words are for a client's body
        raise failed("the answer is not a JSON object.") from None
