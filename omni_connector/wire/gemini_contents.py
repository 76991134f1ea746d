"""`contents` and `systemInstruction` of a Gemini request → messages, in either spelling.

Many clients drop the ids of calls and results on the way back (clients.md, finding 17): a call without one gets an id made
of its place and name, a result is paired by its id, else by name and order, so every other format sees whole pairs.
Parts that only this format knows (executableCode, video, toolCall, …) become `ForeignPart`s, kept whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from omni_connector.chat import ForeignPart, Json, MediaPart, Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, name_of, wrong
from omni_connector.wire.gemini_calls import from_response, is_made_up, make_id, to_arguments
from omni_connector.wire.gemini_signatures import open_signature
from omni_connector.wire.gemini_words import NAME, camel, dumps

MediaKind = Literal["image", "document", "audio"]

_EXTENSIONS: tuple[tuple[MediaKind, re.Pattern[str]], ...] = (
    ("image", re.compile(r"\.(?:png|jpe?g|gif|webp|heic|heif|bmp)(?:[?#]|\Z)", re.I)),
    ("audio", re.compile(r"\.(?:mp3|wav|m4a|ogg|flac|aac)(?:[?#]|\Z)", re.I)),
)
_VIDEO = re.compile(r"\.(?:mp4|mov|webm|mpe?g|avi|mkv)(?:[?#]|\Z)|(?:youtube\.com|youtu\.be)/", re.I)
_STORED = re.compile(r"gs://|files/|https://generativelanguage\.googleapis\.com/", re.I)
"""Files of the provider's own stores: only an account that owns them can read them."""
_STANDARD = str.maketrans("-_", "+/")


class Contents:
    """Reads the contents of one request in order; remembers its calls. Raises GatewayError (BAD_REQUEST).

    Empty texts, and contents that hold nothing else, are left out: some clients send one beside a `systemInstruction` that
    says it all, and only this API takes them.
    """

    def __init__(self) -> None:
        self._number = 0
        self._waiting: list[tuple[str, str]] = []
        """(id, name) of calls without a result so far."""

    def messages(self, value: Any) -> list[Message]:
        contents = [value] if isinstance(value, dict) else value
        if contents is None or contents == []:
            raise bad_request(
                '`contents` is missing or empty. Send for example [{"role": "user", "parts": [{"text": "Hello"}]}].', "contents"
            )
        if not isinstance(contents, list):
            raise wrong("contents", contents, "a list of contents")
        messages = [self._content(content, f"contents[{number}]") for number, content in enumerate(contents)]
        return [message for message in messages if message.parts]

    def system(self, value: Any, at: str) -> tuple[Message, ...]:
        """A content object, a list of parts, or plain text."""
        if value is None or value in ("", []):
            return ()
        content = {"parts": [{"text": value}]} if isinstance(value, str) else {"parts": value} if isinstance(value, list) else value
        fields = Fields(camel(content) if isinstance(content, dict) else content, at)
        fields.take("role")
        parts = self._parts(fields, at)
        return (Message("system", parts, extra=fields.rest()),) if parts else ()

    # ------------------------------------------------------------ Contents and parts

    def _content(self, value: Any, at: str) -> Message:
        fields = Fields(camel(value) if isinstance(value, dict) else value, at)
        given = fields.string("role")
        parts = self._parts(fields, at)
        role = _role(given, parts, at)
        kinds = {type(part) for part in parts}
        results = ToolResultPart in kinds
        if role == "assistant" and results:
            raise bad_request(f"`{at}` has the role model and a functionResponse. Send results with the role user.", f"{at}.role")
        if role == "user" and ToolCallPart in kinds:
            raise bad_request(f"`{at}` has the role {given} and a functionCall. Send calls with the role model.", f"{at}.role")
        if role == "user" and results and len(kinds) == 1:
            return Message("tool", parts, extra=fields.rest())
        return Message(role, parts, extra=fields.rest())

    def _parts(self, fields: Fields, at: str) -> tuple[Part, ...]:
        value = fields.take("parts")
        parts = [value] if isinstance(value, dict | str) else value
        if parts is None:
            return ()
        if not isinstance(parts, list):
            raise wrong(f"{at}.parts", parts, "a list of parts")
        return tuple(
            [piece for number, part in enumerate(parts) for piece in _plain_text(part) or self._part(part, f"{at}.parts[{number}]")]
        )

    def _part(self, value: Any, at: str) -> tuple[Part, ...]:
        if isinstance(value, str):
            return (TextPart(value),) if value else ()
        if not isinstance(value, dict):
            raise bad_request(f'`{at}` must be a part such as {{"text": "…"}}, not {name_of(value)}.', at)
        part = camel(value)
        if part.get("functionCall") is not None:
            return self._call(part, at)
        if part.get("functionResponse") is not None:
            return self._result(part, at)
        for key, parse in _PARSERS.items():
            if part.get(key) is not None:
                return parse(part, at)
        return (ForeignPart(NAME, part),) if any(item is not None for item in part.values()) else ()

    # ------------------------------------------------------------ Calls and results

    def _call(self, part: Json, at: str) -> tuple[Part, ...]:
        fields = _inner(part, "functionCall", at)
        name = fields.required("name", '"get_weather"')
        call_id = fields.string("id") or make_id(self._number, name)
        self._number += 1
        self._waiting.append((call_id, name))
        args = fields.object("args") or {}
        extra = _rest(part, "functionCall", "thoughtSignature", "thought")
        inner = fields.rest()
        if inner:
            extra["functionCall"] = inner
        return (ToolCallPart(call_id, name, to_arguments(args), opaque=open_signature(_signature(part, at)), extra=extra),)

    def _result(self, part: Json, at: str) -> tuple[Part, ...]:
        fields = _inner(part, "functionResponse", at)
        given, name = fields.string("id"), fields.required("name", '"get_weather"')
        response = fields.take("response")
        if isinstance(response, dict):
            text, is_error = from_response(response)
        else:
            text, is_error = ("" if response is None else response if isinstance(response, str) else dumps(response).decode()), False
        media = self._parts(fields, f"{at}.functionResponse")
        texts: tuple[Part, ...] = (TextPart(text),) if text else ()
        extra = _rest(part, "functionResponse", "thoughtSignature", "thought")
        inner = fields.rest()
        if inner:
            extra["functionResponse"] = inner
        return (ToolResultPart(self._pair(given, name), (*texts, *media), is_error, name, extra=extra),)

    def _pair(self, given: str | None, name: str) -> str:
        """The id of the call that a result answers."""
        same_id = (call for call in self._waiting if call[0] == given)
        same_name = (call for call in self._waiting if call[1] == name and (given is None or is_made_up(call[0])))
        found = next(same_id, None) or next(same_name, None)
        if found is None and given is None and self._waiting:
            found = self._waiting[0]
        if found is None:
            self._number += 1
            return given or make_id(self._number - 1, name)
        self._waiting.remove(found)
        return found[0]


def _role(given: str | None, parts: tuple[Part, ...], at: str) -> Literal["user", "assistant"]:
    match given.lower() if given else None:
        case "model":
            return "assistant"
        case "user" | "function":
            return "user"
        case None:
            return "assistant" if any(isinstance(part, ToolCallPart) for part in parts) else "user"
        case _:
            raise bad_request(f"`{at}.role` is {str(given)[:40]!r}. Please use a valid role: user, model.", f"{at}.role")


def _inner(part: Json, key: str, at: str) -> Fields:
    value = part[key]
    return Fields(camel(value) if isinstance(value, dict) else value, f"{at}.{key}")


def _rest(part: Json, *known: str) -> Json:
    left: Json = {}
    for key, value in part.items():
        if key not in known and value is not None:
            left[key] = value
    return left


def _signature(part: Json, at: str) -> str:
    value = part.get("thoughtSignature")
    if value is None or isinstance(value, str):
        return value or ""
    raise wrong(f"{at}.thoughtSignature", value, "a string")


# ---------------------------------------------------------------- Text and media


def _plain_text(part: Any) -> tuple[Part, ...]:
    """The part that a long history has most of, read in short; () for all others."""
    text = part.get("text") if isinstance(part, dict) and len(part) == 1 else None
    return (TextPart(text),) if isinstance(text, str) and text else ()


def _text(part: Json, at: str) -> tuple[Part, ...]:
    """A signature on plain text becomes a thought of its own behind it: other formats have a place for those."""
    text = part["text"]
    if not isinstance(text, str):
        raise wrong(f"{at}.text", text, "a string")
    opaque = open_signature(_signature(part, at))
    extra = _rest(part, "text", "thought", "thoughtSignature")
    if part.get("thought") is True:
        return (ReasoningPart(text, opaque, extra),) if text or opaque else ()
    words: tuple[Part, ...] = (TextPart(text, extra=extra),) if text else ()
    return (*words, ReasoningPart("", opaque)) if opaque else words


def _inline(part: Json, at: str) -> tuple[Part, ...]:
    fields = _inner(part, "inlineData", at)
    data = fields.string("data")
    media_type = (fields.string("mimeType") or "").lower()
    if data is None:
        raise bad_request(f"`{at}.inlineData.data` is missing. Send the bytes as base64.", f"{at}.inlineData.data")
    kind = _kind(media_type, "")
    if kind is None:
        return (ForeignPart(NAME, part),)
    name, extra = fields.string("displayName"), _rest(part, "inlineData", "thought", "thoughtSignature")
    return (MediaPart(kind, media_type.split(";")[0], data=_standard(data), name=name, extra=extra),)


def _file(part: Json, at: str) -> tuple[Part, ...]:
    fields = _inner(part, "fileData", at)
    uri = fields.required("fileUri", '"https://example.com/a.png"')
    media_type = (fields.string("mimeType") or "").lower()
    kind = _kind(media_type, uri)
    if kind is None:
        return (ForeignPart(NAME, part),)
    name, extra = fields.string("displayName"), _rest(part, "fileData", "thought", "thoughtSignature")
    if _STORED.match(uri) or "://" not in uri:
        return (MediaPart(kind, media_type, file_id=uri, name=name, extra=extra),)
    return (MediaPart(kind, media_type, url=uri, name=name, extra=extra),)


_PARSERS: Mapping[str, Callable[[Json, str], tuple[Part, ...]]] = {"inlineData": _inline, "fileData": _file, "text": _text}


def _kind(media_type: str, uri: str) -> MediaKind | None:
    """None for what no other format can show: video, and types that say nothing."""
    head = media_type.partition("/")[0]
    if head in ("image", "audio"):
        return "image" if head == "image" else "audio"
    if head == "video" or (not media_type and _VIDEO.search(uri)):
        return None
    return next((kind for kind, ending in _EXTENSIONS if not media_type and ending.search(uri)), "document")


def _standard(data: str) -> str:
    """Base64 in the usual alphabet: the vendor's SDK sends the URL-safe one, which other providers refuse."""
    if "-" in data or "_" in data:
        data = data.translate(_STANDARD)
    return data if len(data) % 4 == 0 else data.rstrip("=") + "=" * (-len(data.rstrip("=")) % 4)
