"""Content parts of the Responses format → canonical parts (client's side): of messages, and of tool outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from omni_connector.chat import ForeignPart, Json, MediaPart, Part, RefusalPart, TextPart
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_words import AUDIO_TYPE, split_data_url
from omni_connector.wire.openai_responses_words import NAME, to_cache, to_citation

_TEXTS = ("input_text", "output_text", "text")
PART = "content_part"
"""Key in a ForeignPart's value: it stands for an unknown content part, not for an item."""


def parse_content(value: Any, path: str) -> tuple[Part, ...]:
    """A string or a list of parts; null is nothing. Raises GatewayError (BAD_REQUEST)."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    if isinstance(value, list):
        return tuple([_plain_text(item) or _part(item, f"{path}[{number}]") for number, item in enumerate(value)])
    raise wrong(path, value, "a string or a list of content parts")


def _plain_text(value: Any) -> TextPart | None:
    """The part that a long history has most of, read in short; None for all others."""
    if isinstance(value, dict) and len(value) == 2 and value.get("type") in _TEXTS:
        text = value.get("text")
        return TextPart(text) if isinstance(text, str) else None
    return None


def _part(value: Any, at: str) -> Part:
    if isinstance(value, str):
        return TextPart(value)
    fields = Fields(value, at)
    kind = fields.required("type", '"input_text"')
    reader = _PARTS.get(kind)
    if reader is None:
        return ForeignPart(NAME, {"type": kind, PART: value})
    cache = to_cache(value.get("prompt_cache_breakpoint")) if kind != "refusal" else None
    if cache is not None:
        fields.take("prompt_cache_breakpoint")
    part = reader(fields)
    return part if cache is None or isinstance(part, RefusalPart) else replace(part, cache=cache)


def _text(fields: Fields) -> TextPart:
    path = fields.path("text")
    text = fields.string("text")
    if text is None:
        raise bad_request(f"`{path}` is missing. Send the text as a string.", path)
    notes = tuple(to_citation(note) for note in fields.items("annotations") or () if isinstance(note, dict))
    return TextPart(text, citations=notes, extra=_filled(fields.rest()))


def _filled(extra: Json) -> Json:
    """Without the empty lists that SDKs write out ("logprobs": [])."""
    return {key: value for key, value in extra.items() if value != []}


def _refusal(fields: Fields) -> RefusalPart:
    return RefusalPart(fields.string("refusal") or "", fields.rest())


def _image(fields: Fields) -> MediaPart:
    path = fields.path("image_url")
    url = fields.take("image_url")
    if isinstance(url, dict):
        # The chat format's way of writing it, which some clients keep.
        url = url.get("url")
    if url is not None and not isinstance(url, str):
        raise wrong(path, url, "a string")
    file_id, detail = fields.string("file_id"), fields.string("detail")
    extra = fields.rest()
    if url is None:
        if file_id is None:
            raise bad_request(f"`{path}` is missing. Send `image_url` (https or data:) or `file_id`.", path)
        return MediaPart("image", file_id=file_id, detail=detail, extra=extra)
    if url[:5].lower() != "data:":
        return MediaPart("image", url=url, detail=detail, extra=extra)
    media_type, data = _data(url, path)
    return MediaPart("image", media_type, data, detail=detail, extra=extra)


def _file(fields: Fields) -> MediaPart:
    name, detail = fields.string("filename"), fields.string("detail")
    data, url, file_id = fields.string("file_data"), fields.string("file_url"), fields.string("file_id")
    path = fields.path("file_data")
    extra = fields.rest()
    if data:
        media_type = "application/pdf" if (name or "").lower().endswith(".pdf") else ""
        if data[:5].lower() == "data:":
            media_type, data = _data(data, path)
        return MediaPart("document", media_type, data, name=name, detail=detail, extra=extra)
    if url:
        return MediaPart("document", url=url, name=name, detail=detail, extra=extra)
    if file_id:
        return MediaPart("document", file_id=file_id, name=name, detail=detail, extra=extra)
    raise bad_request(f"`{path}` is missing. Send `file_data` (a data: URL), `file_url` or `file_id`.", path)


def _audio(fields: Fields) -> MediaPart:
    inner = fields.inner("input_audio")
    data, kind = inner.required("data", "base64 text"), inner.required("format", '"wav"')
    deeper = inner.rest()
    extra = {**fields.rest(), "input_audio": deeper} if deeper else fields.rest()
    return MediaPart("audio", AUDIO_TYPE.get(kind, f"audio/{kind}"), data, extra=extra)


_PARTS: Mapping[str, Callable[[Fields], TextPart | MediaPart | RefusalPart]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
}


def _data(url: str, path: str) -> tuple[str, str]:
    split = split_data_url(url)
    if split is None:
        raise bad_request(f"`{path}` is not a data: URL. Write it as data:<media type>;base64,<data>.", path)
    return split
