"""Endpoints that pass byte for byte: images, audio, moderations, rerank. Only the model's name is read, and replaced.

Paths and fields: OpenAI's API as typed by the vendor's SDK 3.52; `/rerank` as Jina, Together, SiliconFlow and vLLM have it.
Requests are JSON or multipart forms; answers are JSON, server-sent events or a sound, told by their content-type (`RawListener`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from omni_connector.chat import Json
from omni_connector.errors import bad_request
from omni_connector.values import dataclass
from omni_connector.wire import form_data
from omni_connector.wire.fields import Fields
from omni_connector.wire.raw_listen import RawListener, media_type, usage_of

__all__ = ["RAW", "WIRES", "RawEndpoint", "RawListener", "look", "usage_of", "with_model"]

Purpose = Literal["image", "speech", "transcription", "moderation", "rerank"]

WIRES = frozenset({"openai-chat", "openai-responses"})
"""The formats whose providers can have such endpoints: all of them follow OpenAI's API."""

_VERSION = "/v1"
_FORM = "multipart/form-data"
_TRUE = frozenset({"true", "1"})
_ROUTING = ("model", "stream", "stream_format")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class RawEndpoint:
    """`path`: the client's; `upstream_path`: below a provider's base URL."""

    path: str
    upstream_path: str
    purpose: Purpose
    streams: bool = False
    """The client can ask for server-sent events."""
    binary: bool = False
    """The answer is a sound, to be passed on as it comes. (With `stream_format: "sse"` it is a stream of events.)"""
    needs_model: bool = True
    """False: the API has a default, so a request without a model is a good one."""
    wires: frozenset[str] = WIRES


def _endpoint(path: str, purpose: Purpose, *, streams: bool = False, binary: bool = False, needs_model: bool = True) -> RawEndpoint:
    return RawEndpoint(_VERSION + path, path, purpose, streams, binary, needs_model)


RAW: Mapping[str, RawEndpoint] = {
    endpoint.path: endpoint
    for endpoint in (
        _endpoint("/images/generations", "image", streams=True, needs_model=False),
        _endpoint("/images/edits", "image", streams=True, needs_model=False),
        _endpoint("/images/variations", "image", needs_model=False),
        _endpoint("/audio/speech", "speech", streams=True, binary=True),
        _endpoint("/audio/transcriptions", "transcription", streams=True),
        _endpoint("/audio/translations", "transcription"),
        _endpoint("/moderations", "moderation", needs_model=False),
        _endpoint("/rerank", "rerank"),
    )
}
"""Client path → endpoint; each also below /{provider}."""


def look(body: bytes, content_type: str, endpoint: RawEndpoint | None = None) -> tuple[str, bool]:
    """(model, whether a stream of events is asked for) of a request. The model is "" where none is named.

    Without `endpoint` nothing is known of what may be missing. Raises GatewayError (BAD_REQUEST) for a body that is neither a JSON
    object nor a sound form, for a wrong type, and for a missing model where `endpoint` needs one. An answer need not obey: whether it
    is a stream, its own content-type tells.
    """
    if media_type(content_type) == _FORM:
        form = form_data.read(body, content_type)
        told = {name: form.text(body, name) for name in _ROUTING}
        model = told["model"] or ""
        stream = (told["stream"] or "").strip().lower() in _TRUE or told["stream_format"] == "sse"
    else:
        fields = Fields(_routing_values(body, content_type), "")
        model = fields.string("model") or ""
        streamed = fields.boolean("stream") or False
        stream = fields.string("stream_format") == "sse" or streamed
    if endpoint is None:
        return model, stream
    if endpoint.needs_model and not model:
        raise bad_request("`model` is missing or empty. Name the model that is to answer.", "model")
    return model, stream and endpoint.streams


def with_model(body: bytes, content_type: str, model: str) -> bytes:
    """The same body for another model. A form keeps every other byte; a JSON object keeps every other value's exact bytes and order.
    The very same object comes back when nothing has to change. Raises as `look`."""
    if media_type(content_type) == _FORM:
        form = form_data.read(body, content_type)
        return body if form.text(body, "model") == model else form_data.with_field(body, form, "model", model)
    fields = _json_fields(body, content_type)
    wanted = _ENCODER.encode(model)
    if "model" in fields and bytes(fields["model"]) == wanted:
        return body
    fields["model"] = msgspec.Raw(wanted)
    return _ENCODER.encode(fields)


def _json_fields(body: bytes, content_type: str) -> dict[str, Any]:
    """Top-level values as they stand in the body; nothing is copied."""
    try:
        fields: dict[str, Any] = _FIELDS.decode(body)
    except msgspec.ValidationError as error:
        raise bad_request("The body must be a JSON object.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        known = media_type(content_type)
        hint = "" if "json" in known else f" Its content-type is {known[:80] or 'missing'}; send application/json or {_FORM}."
        raise bad_request(f"The body is not valid JSON: {str(error)[:200]}.{hint}") from error
    return fields


def _routing_values(body: bytes, content_type: str) -> Json:
    fields = _json_fields(body, content_type)
    try:
        return {name: msgspec.json.decode(fields[name]) for name in _ROUTING if name in fields}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"The body is not valid JSON: {str(error)[:200]}.") from error
