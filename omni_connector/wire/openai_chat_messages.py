"""The `messages` of a chat request → canonical messages.

Kinder than the API in what agents really send: `content` null, "" or absent beside tool calls, list contents in tool
messages, `index` and `name` where they do not belong (kept in `extra`), the legacy `function` role, Mistral's thinking
parts. An assistant's reasoning comes first, then its words, then its calls.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, get_args

from omni_connector.chat import (
    ForeignPart,
    Json,
    MediaPart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from omni_connector.errors import bad_request
from omni_connector.wire.fields import Fields, wrong
from omni_connector.wire.openai_chat_details import restore, text_of
from omni_connector.wire.openai_chat_words import AUDIO_TYPE, DETAIL, EXTRA_CONTENT, NAME, dumps, split_data_url

_ROLES: Mapping[str, Role] = {role: role for role in get_args(Role)}
_PLAIN: Mapping[str, Role] = {role: role for role in ("system", "developer", "user")}
_PLAIN_KEYS = frozenset({"role", "content"})
_RESULT_KEYS = frozenset({"role", "tool_call_id", "content"})
_CALL_KEYS = frozenset({"id", "type", "function"})
_FUNCTION_KEYS = frozenset({"name", "arguments"})


def parse_messages(value: Any) -> tuple[Message, ...]:
    """Raises GatewayError (BAD_REQUEST) naming the message and field."""
    if not isinstance(value, list):
        if value is None:
            raise bad_request("`messages` is missing. Send a list of messages.", "messages")
        raise wrong("messages", value, "a list")
    if not value:
        raise bad_request("`messages` is empty. Send at least one message.", "messages")
    legacy = _LegacyCalls()
    return tuple([_plain(item) or _message(Fields(item, f"messages[{number}]"), legacy) for number, item in enumerate(value)])


def _plain(item: Any) -> Message | None:
    """The messages that a long history consists of, read in short; None for all others, which `_message` reads."""
    content = item.get("content") if isinstance(item, dict) else None
    if not isinstance(content, str):
        return None
    role = item.get("role")
    if item.keys() == _PLAIN_KEYS and isinstance(role, str) and role in _PLAIN:
        return Message(_PLAIN[role], (TextPart(content),))
    if role == "tool" and item.keys() == _RESULT_KEYS and isinstance(item["tool_call_id"], str) and item["tool_call_id"]:
        return Message("tool", (ToolResultPart(item["tool_call_id"], (TextPart(content),)),))
    return None


class _LegacyCalls:
    """The old `function_call` has no id; ids are made up in order, and results find theirs by the function's name."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[str, deque[str]] = {}

    def called(self, name: str) -> str:
        self._count += 1
        call_id = f"call_function_{self._count}"
        self._waiting.setdefault(name, deque()).append(call_id)
        return call_id

    def answered(self, name: str) -> str:
        waiting = self._waiting.get(name)
        return waiting.popleft() if waiting else self.called(name)


def _message(fields: Fields, legacy: _LegacyCalls) -> Message:
    role = fields.required("role", '"user"')
    if role == "function":
        return _legacy_result(fields, legacy)
    if role not in _ROLES:
        path = fields.path("role")
        raise bad_request(f"`{path}` is {role[:40]!r}. Use system, developer, user, assistant or tool.", path)
    match role:
        case "tool":
            return _tool_message(fields)
        case "assistant":
            return _assistant(fields, legacy)
        case _:
            name = fields.string("name")
            if not fields.has("content"):
                path = fields.path("content")
                raise bad_request(f"`{path}` is missing. Send a string or a list of content parts.", path)
            return Message(_ROLES[role], _marked(_content(fields), fields), name, fields.rest())


def _marked(parts: tuple[Part, ...], fields: Fields) -> tuple[Part, ...]:
    """A cache marker on the message belongs to its last part."""
    cache = fields.object("cache_control")
    if cache is None or not parts or not isinstance(parts[-1], TextPart | MediaPart):
        return parts
    return (*parts[:-1], replace(parts[-1], cache=cache))


# ---------------------------------------------------------------- Tool results


def _tool_message(fields: Fields) -> Message:
    call_id = fields.required("tool_call_id", '"call_abc"')
    name = fields.string("name")
    parts = _marked(_content(fields), fields)
    return Message("tool", (ToolResultPart(call_id, parts, name=name),), extra=fields.rest())


def _legacy_result(fields: Fields, legacy: _LegacyCalls) -> Message:
    name = fields.required("name", '"get_weather"')
    parts = _content(fields)
    return Message("tool", (ToolResultPart(legacy.answered(name), parts, name=name),), extra=fields.rest())


# ---------------------------------------------------------------- The assistant


def _assistant(fields: Fields, legacy: _LegacyCalls) -> Message:
    name = fields.string("name")
    words = tuple([part for part in _content(fields) if not (isinstance(part, TextPart) and not part.text)])
    calls = _calls(fields)
    if fields.spent():
        return Message("assistant", (*words, *calls), name)
    words = _annotated(_marked(words, fields), fields)
    refusal = fields.string("refusal")
    refusals = (RefusalPart(refusal),) if refusal else ()
    if fields.has("function_call"):
        inner = fields.inner("function_call")
        called = inner.required("name", '"get_weather"')
        calls.append(ToolCallPart(legacy.called(called), called, _arguments(inner, "arguments"), extra=inner.rest()))
    thoughts, by_call = _reasoning(fields)
    done = tuple(replace(call, opaque=(*call.opaque, *by_call[call.id])) if call.id in by_call else call for call in calls)
    return Message("assistant", (*thoughts, *words, *refusals, *done), name, fields.rest())


def _annotated(parts: tuple[Part, ...], fields: Fields) -> tuple[Part, ...]:
    notes = tuple(note for note in fields.items("annotations") or () if isinstance(note, dict))
    if not notes or not parts or not isinstance(parts[-1], TextPart):
        return parts
    return (*parts[:-1], replace(parts[-1], citations=notes))


def _calls(fields: Fields) -> list[ToolCallPart]:
    path = fields.path("tool_calls")
    return [_plain_call(item) or _call(item, f"{path}[{number}]") for number, item in enumerate(fields.items("tool_calls") or ())]


def _plain_call(value: Any) -> ToolCallPart | None:
    """The usual call, read in short; None for all others."""
    if not (isinstance(value, dict) and value.keys() == _CALL_KEYS and value["type"] == "function"):
        return None
    inner, call_id = value["function"], value["id"]
    if not (isinstance(inner, dict) and inner.keys() == _FUNCTION_KEYS and isinstance(call_id, str)):
        return None
    name, arguments = inner["name"], inner["arguments"]
    return ToolCallPart(call_id, name, arguments) if isinstance(name, str) and name and isinstance(arguments, str) else None


def _call(value: Any, at: str) -> ToolCallPart:
    fields = Fields(value, at)
    call_id = fields.string("id") or ""
    custom = fields.string("type") == "custom"
    opaque: tuple[Opaque, ...] = ()
    google = fields.object("extra_content")
    if google is not None:
        opaque = (Opaque(EXTRA_CONTENT, dumps(google)),)
    cache = fields.object("cache_control")
    inner = fields.inner("custom" if custom else "function")
    name = inner.required("name", '"get_weather"')
    arguments = _arguments(inner, "input" if custom else "arguments")
    # `index` and `parsed_arguments` are leftovers of the client SDK's own stream accumulator, not part of a call.
    inner.take("parsed_arguments")
    fields.take("index")
    return ToolCallPart(call_id, name, arguments, custom, opaque, cache, _nested(fields, "function", inner))


def _arguments(fields: Fields, key: str) -> str:
    """Text as it is; an object, which some clients send, as its JSON text."""
    value = fields.take(key)
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, dict):
        return dumps(value)
    raise wrong(fields.path(key), value, "a string of JSON")


def _reasoning(fields: Fields) -> tuple[list[ReasoningPart], dict[str, list[Opaque]]]:
    """Thoughts in a replayed message: sealed entries as they were, else one part of text and the provider's own entries.

    Under which names the text came is kept (`extra["fields"]`), since servers take only the one they gave.
    """
    entries = fields.items("reasoning_details") or []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise wrong(f"{fields.path('reasoning_details')}[{number}]", entry, "an object")
    content, plain = fields.string("reasoning_content"), fields.string("reasoning")
    sealed, by_call, own = restore(entries)
    if sealed:
        return sealed, by_call
    opaque = tuple(Opaque(DETAIL, dumps(entry)) for entry in own)
    text = content or plain or "".join(map(text_of, own))
    if not text and not opaque:
        return [], by_call
    names = [name for name, given in (("reasoning_content", content), ("reasoning", plain)) if given]
    extra: Json = {} if names in ([], ["reasoning_content"]) else {"fields": names}
    return [ReasoningPart(text, opaque, extra)], by_call


# ---------------------------------------------------------------- Content


def _content(fields: Fields) -> tuple[Part, ...]:
    value = fields.take("content")
    if value is None:
        return ()
    if isinstance(value, str):
        return (TextPart(value),)
    path = fields.path("content")
    if isinstance(value, list):
        return tuple(_part(item, f"{path}[{number}]") for number, item in enumerate(value))
    raise wrong(path, value, "a string or a list of content parts")


def _part(value: Any, at: str) -> Part:
    fields = Fields(value, at)
    kind = fields.required("type", '"text"')
    reader = _PARTS.get(kind)
    return reader(fields) if reader is not None else ForeignPart(NAME, value)


def _text(fields: Fields) -> Part:
    path = fields.path("text")
    text = fields.string("text")
    if text is None:
        raise bad_request(f"`{path}` is missing. Send the text as a string.", path)
    return TextPart(text, fields.object("cache_control"), extra=fields.rest())


def _refusal(fields: Fields) -> Part:
    return RefusalPart(fields.string("refusal") or "")


def _thinking(fields: Fields) -> Part:
    """Mistral: {"type": "thinking", "thinking": [{"type": "text", "text": …}]}."""
    pieces = fields.items("thinking") or []
    return ReasoningPart("".join(str(piece.get("text") or "") for piece in pieces if isinstance(piece, dict)))


def _image(fields: Fields) -> Part:
    path = fields.path("image_url")
    value = fields.take("image_url")
    inner = Fields({"url": value} if isinstance(value, str) else value, path)
    url = inner.required("url", '"https://…" or "data:image/png;base64,…"')
    detail = inner.string("detail")
    cache = fields.object("cache_control")
    extra = _nested(fields, "image_url", inner)
    if url[:5].lower() != "data:":
        return MediaPart("image", url=url, detail=detail, cache=cache, extra=extra)
    media_type, data = _data(url, inner.path("url"))
    return MediaPart("image", media_type, data, detail=detail, cache=cache, extra=extra)


def _file(fields: Fields) -> Part:
    inner = fields.inner("file")
    name = inner.string("filename")
    file_id, data = inner.string("file_id"), inner.string("file_data")
    cache = fields.object("cache_control")
    extra = _nested(fields, "file", inner)
    if data is None:
        if not file_id:
            path = inner.path("file_data")
            raise bad_request(f"`{path}` is missing. Send `file_data` (a data: URL) or `file_id`.", path)
        return MediaPart("document", file_id=file_id, name=name, cache=cache, extra=extra)
    if data.startswith(("http://", "https://")):
        return MediaPart("document", url=data, name=name, cache=cache, extra=extra)
    if data[:5].lower() == "data:":
        media_type, data = _data(data, inner.path("file_data"))
    else:
        media_type = "application/pdf" if (name or "").lower().endswith(".pdf") else ""
    return MediaPart("document", media_type, data, name=name, cache=cache, extra=extra)


def _audio(fields: Fields) -> Part:
    """{"data", "format"} as OpenAI has it; a bare string (base64 or URL) as Mistral has it, known by its empty media type."""
    value = fields.take("input_audio")
    if isinstance(value, str):
        if value.startswith(("http://", "https://")):
            return MediaPart("audio", url=value, extra=fields.rest())
        return MediaPart("audio", data=value, extra=fields.rest())
    inner = Fields(value, fields.path("input_audio"))
    data = inner.required("data", "base64 text")
    kind = inner.required("format", '"wav"')
    cache = fields.object("cache_control")
    return MediaPart("audio", AUDIO_TYPE.get(kind, f"audio/{kind}"), data, cache=cache, extra=_nested(fields, "input_audio", inner))


_PARTS: Mapping[str, Callable[[Fields], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "thinking": _thinking,
    "image_url": _image,
    "file": _file,
    "input_audio": _audio,
}


def _data(url: str, path: str) -> tuple[str, str]:
    split = split_data_url(url)
    if split is None:
        raise bad_request(f"`{path}` is not a data: URL. Write it as data:<media type>;base64,<data>.", path)
    return split


def _nested(fields: Fields, key: str, inner: Fields) -> Json:
    """Unknown fields of a part, those of its inner object below the inner object's name."""
    rest, deeper = fields.rest(), inner.rest()
    return {**rest, key: deeper} if deeper else rest
