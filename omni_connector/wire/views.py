"""A quick look at a request body: what routing and the pass-through lane must know, without parsing the conversation.

The bytes stay the truth. A typed view checks the fields that a request stands or falls with (one scan in C), and
`splice` replaces top-level values while every other value keeps its exact bytes. The full parse (`parse_request`) is
done only when a request has to be translated.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from omni_connector.chat import ENVELOPE, Json
from omni_connector.errors import GatewayError, bad_request
from omni_connector.values import dataclass, quick

# ---------------------------------------------------------------- The typed views


class _Message(msgspec.Struct):
    role: str
    content: str | list[msgspec.Raw] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ChatView(msgspec.Struct):
    """OpenAI Chat Completions: the fields every request is judged by."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None
    stop: str | list[str] | None = None
    tools: list[msgspec.Raw] | None = None


class _MessagesView(msgspec.Struct):
    """Anthropic Messages: the fields every request is judged by."""

    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    system: str | list[msgspec.Raw] | None = None
    stop_sequences: list[str] | None = None
    tools: list[msgspec.Raw] | None = None


class _ResponsesView(msgspec.Struct):
    """OpenAI Responses: the fields every request is judged by. `input` may be missing beside a stored prompt or answer."""

    input: str | list[msgspec.Raw] | None = None
    model: str | None = None
    stream: bool | None = None
    instructions: str | list[msgspec.Raw] | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    prompt: msgspec.Raw = msgspec.Raw(b"null")  # a union with None would take nothing but null
    conversation: msgspec.Raw = msgspec.Raw(b"null")
    tools: list[msgspec.Raw] | None = None


class _GeminiView(msgspec.Struct):
    """Gemini generateContent: model and streaming stand in the URL, field names come in two spellings."""

    contents: msgspec.Raw = msgspec.Raw(b"null")
    tools: list[msgspec.Raw] | None = None


class _CompletionView(msgspec.Struct):
    """OpenAI's older Completions: a prompt (text, texts, or token ids) instead of messages."""

    prompt: msgspec.Raw = msgspec.Raw(b"null")
    model: str | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int | None = None


class _EmbeddingView(msgspec.Struct):
    """OpenAI embeddings: text, texts, or token ids."""

    input: msgspec.Raw = msgspec.Raw(b"null")
    model: str | None = None
    dimensions: int | None = None
    encoding_format: str | None = None


class _GeminiEmbeddingView(msgspec.Struct):
    """Gemini embedContent (`content`) and batchEmbedContents (`requests`)."""

    content: msgspec.Raw = msgspec.Raw(b"null")
    requests: list[msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    decoder: msgspec.json.Decoder[Any]
    subject: str
    """The field that holds the conversation."""
    hint: str


_SHAPES: Mapping[str, _Shape] = {
    "openai-chat": _Shape(msgspec.json.Decoder(_ChatView), "messages", "`model` and `messages`"),
    "anthropic-messages": _Shape(msgspec.json.Decoder(_MessagesView), "messages", "`model`, `max_tokens` and `messages`"),
    "openai-responses": _Shape(msgspec.json.Decoder(_ResponsesView), "input", "`model` and `input`"),
    "gemini-generate": _Shape(msgspec.json.Decoder(_GeminiView), "contents", "`contents`"),
    "openai-completions": _Shape(msgspec.json.Decoder(_CompletionView), "prompt", "`model` and `prompt`"),
    "openai-embeddings": _Shape(msgspec.json.Decoder(_EmbeddingView), "input", "`model` and `input`"),
    "gemini-embeddings": _Shape(msgspec.json.Decoder(_GeminiEmbeddingView), "content", "`content` or `requests`"),
}
WIRES = frozenset(_SHAPES)
"""The formats whose bodies can be looked at here; of all others only the bytes pass."""
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()

# Marks in a body's bytes, only looked for to know whether the model must see, hear or read, and whether JSON is to come. Every
# pattern begins with letters of its own, which is what makes a scan quick.
_TYPES = (re.compile(rb'"type"\s*:\s*"(image_url|image|input_image|file|document|input_file|input_audio|json_schema|json_object)"'),)
_GEMINI_TYPES = (
    re.compile(rb'"mime_?[tT]ype"\s*:\s*"(image/|audio/|application/pdf)'),
    re.compile(rb'"response_?[mM]ime_?[tT]ype"\s*:\s*"(application/json)"'),
)
_NEEDS: Mapping[str, frozenset[bytes]] = {
    "vision": frozenset({b"image_url", b"image", b"input_image", b"image/"}),
    "documents": frozenset({b"file", b"document", b"input_file", b"application/pdf"}),
    "audio": frozenset({b"input_audio", b"audio/"}),
    "json": frozenset({b"json_schema", b"json_object", b"application/json"}),
}
"""Capability → what asks for it."""
_SEALED, _SEALED_GEMINI = b'"' + ENVELOPE.encode(), b'"' + base64.b64encode(ENVELOPE.encode())
"""How an envelope of ours begins; in Gemini's signatures inside base64 (six bytes are eight characters of it)."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@quick(frozen=True, slots=True)
class View:
    """What the relay knows of a request before it is parsed."""

    model: str
    stream: bool
    include_usage: bool
    needs: Mapping[str, str]
    """Capability → where the request asks for it."""
    sealed: bool
    """True: an opaque value of another origin rides in it, so the body may not pass through as it is."""
    previous: str = ""
    """The earlier answer that it goes on from (`previous_response_id`)."""
    store: bool = True
    """Whether the answer may be kept for a later request (Responses: `store`)."""


def look(wire: str, body: bytes, model: str = "", stream: bool | None = None) -> View:
    """Check and summarise a request body. `model` and `stream` are what the URL says, where the format puts them there.

    Raises GatewayError (BAD_REQUEST with `param`) for what can never be served.
    """
    shape = _SHAPES[wire]
    try:
        view = shape.decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _wrong_type(str(error), shape.hint) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(_not_json(body, str(error), shape.hint)) from error
    except RecursionError as error:
        raise bad_request(_TOO_DEEP) from error
    _has_subject(view, shape)
    needs: dict[str, str] = {}
    if getattr(view, "tools", None):
        needs["tools"] = "tools"
    gemini = wire.startswith("gemini")
    marks: set[bytes] = set()
    if gemini or b'"type"' in body:
        marks = {mark for types in (_GEMINI_TYPES if gemini else _TYPES) for mark in types.findall(body)}
    for name, asking in _NEEDS.items() if marks else ():
        if marks & asking:
            needs[name] = shape.subject if name != "json" else _JSON_FIELD.get(wire, "response_format")
    options = getattr(view, "stream_options", None)
    include_usage = bool(options is not None and options.include_usage)
    asked = model or getattr(view, "model", None) or ""
    streamed = bool(getattr(view, "stream", None)) if stream is None else stream
    sealed = is_sealed(wire, body)
    if isinstance(view, _ResponsesView):
        return View(asked, streamed, include_usage, needs, sealed, view.previous_response_id or "", view.store is not False)
    return View(asked, streamed, include_usage, needs, sealed)


def is_sealed(wire: str, body: bytes) -> bool:
    """An envelope of ours stands in the body, so nobody but us can read it as it is."""
    return (_SEALED_GEMINI if wire.startswith("gemini") else _SEALED) in body


_JSON_FIELD = {"openai-responses": "text.format", "gemini-generate": "generationConfig", "anthropic-messages": "output_config.format"}
_TOO_DEEP = "The body is nested too deeply. Flatten it; about 1000 levels is the most JSON readers take."
_NOTHING = (b"null", b"[]", b'""', b"{}")


def _has_subject(view: Any, shape: _Shape) -> None:
    """There must be something to answer."""
    said = getattr(view, shape.subject) if getattr(view, "requests", None) is None else view.requests
    if isinstance(said, msgspec.Raw):
        if bytes(said).strip() in _NOTHING:
            raise bad_request(f"`{shape.subject}` is missing or empty. Send at least one message.", shape.subject)
        return
    if said:
        return
    if isinstance(view, _ResponsesView) and (
        view.previous_response_id or any(bytes(raw) != b"null" for raw in (view.prompt, view.conversation))
    ):
        return
    raise bad_request(f"`{shape.subject}` is empty. Send at least one message.", shape.subject)


def _not_json(body: bytes, reason: str, hint: str = "`model`") -> str:
    if not body.strip():
        return f"The body is empty. Send a JSON object with {hint}."
    return f"The body is not valid JSON: {reason[:200]}. Check quoting and commas near that place."


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")


def _wrong_type(reason: str, hint: str) -> GatewayError:
    """msgspec's words ("Expected `str`, got `int` - at `$.messages[0].role`") → ours, with the field as `param`."""
    found = _AT.search(reason)
    path = found["path"] if found else ""
    missing = re.search(r"missing required field `(\w+)`", reason)
    if missing:
        path = f"{path}.{missing[1]}".lstrip(".")
        return bad_request(f"`{path}` is missing. Add it.", path)
    words = (reason[: found.start()] if found else reason).replace("`", "")
    if not path:
        return bad_request(f"The body has the wrong type: {words}. Send a JSON object with {hint}.")
    return bad_request(f"`{path}` has the wrong type: {words}.", path)


# ---------------------------------------------------------------- Bodies


def decode(body: bytes) -> Json:
    """The whole body as values, for a request that has to be translated. Raises GatewayError (BAD_REQUEST)."""
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        value = _decode_kindly(body, str(error))
    except RecursionError as error:
        raise bad_request(_TOO_DEEP) from error
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.")
    return value


def _decode_kindly(body: bytes, reason: str) -> Any:
    """Half an emoji (a lone surrogate escape) is legal JSON that strict readers refuse: it becomes U+FFFD, as browsers do."""
    try:
        return _mend(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise bad_request(_not_json(body, reason)) from error


def _mend(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_mend(item) for item in value]
    if isinstance(value, dict):
        return {_mend(key): _mend(item) for key, item in value.items()}
    return value


def splice(body: bytes, changes: Mapping[str, Any]) -> bytes:
    """The same JSON object with some top-level values replaced or added; all others keep their exact bytes and order."""
    try:
        fields: dict[str, Any] = _RAW.decode(body)
    except UnicodeDecodeError as error:  # in a key that `look` passed over
        raise bad_request(_not_json(body, str(error))) from error
    fields.update(changes)
    return _ENCODER.encode(fields)


def encode(body: Json) -> bytes:
    """A rendered body → bytes. Lone surrogates that a model's half emoji left behind become U+FFFD."""
    try:
        return _ENCODER.encode(body)
    except UnicodeEncodeError:
        return _ENCODER.encode(_mend(body))
