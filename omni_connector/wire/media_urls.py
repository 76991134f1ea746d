"""Pictures, documents and sounds that a request names by address, for targets that must be given the bytes.

Every provider of a format can read data; addresses it reads only where the format has a word for them and the provider fetches
them. `urls_needed` says what is missing, somebody with a network fetches it, `with_bytes` puts it in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from typing import Literal

from omni_connector.chat import ChatRequest, MediaPart, Message, Part, ToolResultPart
from omni_connector.wire.code_assist_words import NAME as CODE_ASSIST
from omni_connector.wire.gemini_media import reads_itself
from omni_connector.wire.gemini_words import NAME as GEMINI

MediaKind = Literal["image", "document", "audio"]

FETCHED_THERE: Mapping[str, frozenset[str]] = {
    "openai-chat": frozenset({"image"}),
    "openai-responses": frozenset({"image", "document"}),
    "anthropic-messages": frozenset({"image", "document"}),
    "gemini-generate": frozenset(),
    "code-assist": frozenset(),
}
"""Wire format → kinds of media that its providers fetch themselves, unless their features say "bytes_only"."""
_WORDS: Mapping[str, str] = {"image": "url_images", "document": "document_urls"}
"""Kind → the feature word by which a provider fetches it although its format's others do not."""
_HTTPS_ONLY = frozenset({"anthropic-messages"})
"""Formats whose vendor answers "Only HTTPS URLs are supported" to http://."""


def urls_needed(request: ChatRequest, wire: str, features: Set[str]) -> tuple[str, ...]:
    """The http(s) addresses whose bytes must stand in `request` before it is rendered for a target of this format and these
    features; each once, in order. A request in the target's own format means its addresses for the target, which reads them
    itself or says why not, but for a provider that is known to take bytes only."""
    own = request.wire == wire
    needed = {
        part.url: None
        for _, part in _media(request)
        if part.url is not None and _is_address(part.url) and not _read_there(part, wire, features, own)
    }
    return tuple(needed)


def place_of(request: ChatRequest, url: str) -> str:
    """The message that names `url` first ("messages[2]"), for the `param` of an error about it."""
    return next((f"messages[{number}]" for number, part in _media(request) if part.url == url), "messages")


def with_bytes(request: ChatRequest, fetched: Mapping[str, tuple[str, str]]) -> ChatRequest:
    """The request with data in place of the addresses in `fetched`: url → (media type, base64). Everything else is the same."""
    if not fetched:
        return request
    return replace(request, messages=tuple(_message(message, fetched) for message in request.messages))


# ---------------------------------------------------------------- Looking


def _media(request: ChatRequest) -> Iterator[tuple[int, MediaPart]]:
    for number, message in enumerate(request.messages):
        for part in message.parts:
            for piece in part.parts if isinstance(part, ToolResultPart) else (part,):
                if isinstance(piece, MediaPart):
                    yield number, piece


def _is_address(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def _read_there(part: MediaPart, wire: str, features: Set[str], own: bool) -> bool:
    if "bytes_only" in features:
        return False
    url = part.url or ""
    if own or (wire in (GEMINI, CODE_ASSIST) and reads_itself(url)):
        return True
    if wire in _HTTPS_ONLY and url[:8].lower() != "https://":
        return False
    return part.kind in FETCHED_THERE.get(wire, frozenset()) or _WORDS.get(part.kind, "") in features


# ---------------------------------------------------------------- Putting in


def _message(message: Message, fetched: Mapping[str, tuple[str, str]]) -> Message:
    parts = tuple(_part(part, fetched) for part in message.parts)
    return message if parts == message.parts else replace(message, parts=parts)


def _part(part: Part, fetched: Mapping[str, tuple[str, str]]) -> Part:
    if isinstance(part, ToolResultPart):
        return replace(part, parts=tuple(_part(piece, fetched) for piece in part.parts))
    if not isinstance(part, MediaPart) or part.url is None or part.url not in fetched:
        return part
    media_type, data = fetched[part.url]
    return replace(part, kind=_kind(media_type), media_type=media_type, data=data, url=None)


def _kind(media_type: str) -> MediaKind:
    """What came decides: a PDF that was called a picture is a document to every other format."""
    if media_type.startswith("image/"):
        return "image"
    return "audio" if media_type.startswith("audio/") else "document"
