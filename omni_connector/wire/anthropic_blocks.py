"""Content blocks of an Anthropic Messages request → parts, with errors in the vendor's dotted paths ("messages.2.content.0.text").

Blocks that only this format knows (server tools and their results, compaction, container uploads, and whatever comes
next) become `ForeignPart`s, kept whole. Unknown fields of known blocks ride in `extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from omni_connector.chat import ForeignPart, Json, MediaPart, Opaque, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from omni_connector.errors import GatewayError, bad_request
from omni_connector.wire.anthropic_words import NAME, REDACTED, SIGNATURE, from_wire_id, open_opaque, to_arguments


def wrong(path: str, problem: str, fix: str) -> GatewayError:
    """A caller's mistake in the dialect's manner: the field first, then the reason and the fix."""
    return bad_request(f"{path}: {problem}. {fix}.", path)


def kind_of(value: Any) -> str:
    """What JSON calls the value, for messages."""
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def string(owner: Json, key: str, path: str) -> str:
    """A field that must be there and be text."""
    value = owner.get(key)
    if not isinstance(value, str):
        got = f"must be a string, got {kind_of(value)}" if key in owner else "is missing"
        raise wrong(f"{path}.{key}", got, "Send a string")
    return value


def optional_object(owner: Json, key: str, path: str) -> Json | None:
    value = owner.get(key)
    if value is None or isinstance(value, dict):
        return value
    raise wrong(f"{path}.{key}", f"must be an object, got {kind_of(value)}", "Send an object or leave it out")


def rest(owner: Json, *known: str) -> Json:
    """The fields we have no word for."""
    left: Json = {}
    for key in owner:
        if key not in known:
            left[key] = owner[key]
    return left


# ---------------------------------------------------------------- Content


def parse_content(content: Any, path: str) -> tuple[Part, ...]:
    """`content` of a message or `system`: a string is one text block. Raises GatewayError (BAD_REQUEST)."""
    return _parse_blocks(content, path, _PARSERS)


def _parse_blocks(content: Any, path: str, parsers: Mapping[str, Callable[[Json, str], Part]]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        raise wrong(path, f"must be a string or a list of content blocks, got {kind_of(content)}", "Send text or blocks")
    return tuple([_plain(block) or _parse_block(block, f"{path}.{number}", parsers) for number, block in enumerate(content)])


def _plain(block: Any) -> TextPart | None:
    """The block that a long history has most of, read in short; None for all others."""
    if isinstance(block, dict) and len(block) == 2 and block.get("type") == "text":
        text = block.get("text")
        return TextPart(text) if isinstance(text, str) else None
    return None


def _parse_block(block: Any, path: str, parsers: Mapping[str, Callable[[Json, str], Part]]) -> Part:
    if not isinstance(block, dict):
        raise wrong(path, f"must be a content block, got {kind_of(block)}", 'Send an object such as {"type": "text", "text": "…"}')
    parser = parsers.get(string(block, "type", path))
    return ForeignPart(NAME, block) if parser is None else parser(block, path)


def _text(block: Json, path: str) -> TextPart:
    citations = block.get("citations")
    if citations is not None and not (isinstance(citations, list) and all(isinstance(one, dict) for one in citations)):
        raise wrong(f"{path}.citations", "must be a list of objects", "Send the citations as they were received, or leave them out")
    return TextPart(
        string(block, "text", path),
        cache=optional_object(block, "cache_control", path),
        citations=tuple(citations or ()),
        extra=rest(block, "type", "text", "cache_control", "citations"),
    )


_SOURCE_FIELDS: Mapping[str, tuple[str, Literal["data", "url", "file_id", "text"]]] = {
    "base64": ("data", "data"),
    "url": ("url", "url"),
    "file": ("file_id", "file_id"),
    "text": ("data", "text"),
}
"""`source.type` → the field that holds it, and ours."""


def _image(block: Json, path: str) -> Part:
    return _media(block, path, "image")


def _document(block: Json, path: str) -> Part:
    return _media(block, path, "document")


def _media(block: Json, path: str, kind: Literal["image", "document"]) -> Part:
    source = optional_object(block, "source", path)
    if source is None:
        raise wrong(f"{path}.source", "is missing", 'Send {"type": "base64" | "url" | "file", …}')
    cache = optional_object(block, "cache_control", path)
    title = block.get("title")
    name = title if isinstance(title, str) else None
    extra = rest(block, "type", "source", "cache_control", "title")
    source_type = string(source, "type", f"{path}.source")
    if kind == "document" and source_type == "content":
        # Own blocks inside a document: the text for those who know only text, the whole source for our own format.
        text = _plain_text(source.get("content"))
        return MediaPart(kind, text=text, name=name, cache=cache, extra={**extra, "source": source})
    if source_type not in _SOURCE_FIELDS:
        return ForeignPart(NAME, block)
    theirs, ours = _SOURCE_FIELDS[source_type]
    value = string(source, theirs, f"{path}.source")
    media_type = source.get("media_type")
    if source_type == "base64" and not isinstance(media_type, str):
        raise wrong(f"{path}.source.media_type", "is missing or not a string", 'Name it, for example "image/png"')
    media_type = media_type if isinstance(media_type, str) else ""
    return MediaPart(kind, media_type, name=name, cache=cache, extra=extra, **{ours: value})


def _plain_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block.get("text") for block in blocks if isinstance(block, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def _thinking(block: Json, path: str) -> ReasoningPart:
    signature = block.get("signature")
    if signature is not None and not isinstance(signature, str):
        raise wrong(f"{path}.signature", f"must be a string, got {kind_of(signature)}", "Send it as it was received")
    opaque: tuple[Opaque, ...] = () if signature is None else open_opaque(signature, SIGNATURE)
    return ReasoningPart(string(block, "thinking", path), opaque, rest(block, "type", "thinking", "signature"))


def _redacted(block: Json, path: str) -> ReasoningPart:
    return ReasoningPart("", open_opaque(string(block, "data", path), REDACTED), rest(block, "type", "data"))


def _tool_use(block: Json, path: str) -> ToolCallPart:
    value = block.get("input")
    if value is not None and not isinstance(value, dict):
        raise wrong(f"{path}.input", f"must be an object, got {kind_of(value)}", "Send the arguments as a JSON object, not as text")
    return ToolCallPart(
        from_wire_id(string(block, "id", path)),
        string(block, "name", path),
        to_arguments(value or {}),
        cache=optional_object(block, "cache_control", path),
        extra=rest(block, "type", "id", "name", "input", "cache_control"),
    )


def _tool_result(block: Json, path: str) -> ToolResultPart:
    content = block.get("content")
    return ToolResultPart(
        from_wire_id(string(block, "tool_use_id", path)),
        () if content is None else _parse_blocks(content, f"{path}.content", _RESULT_PARSERS),
        is_error=bool(block.get("is_error")),
        cache=optional_object(block, "cache_control", path),
        extra=rest(block, "type", "tool_use_id", "content", "is_error", "cache_control"),
    )


_RESULT_PARSERS: Mapping[str, Callable[[Json, str], Part]] = {"text": _text, "image": _image, "document": _document}
_PARSERS: Mapping[str, Callable[[Json, str], Part]] = {
    **_RESULT_PARSERS,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
