"""Images, documents and sounds for Gemini, and which of them must be fetched first: this API takes bytes, and addresses only
where the provider's row says so (feature "url_images")."""

from __future__ import annotations

from collections.abc import Set

from omni_connector.chat import ChatRequest, Json, MediaPart, ToolResultPart
from omni_connector.errors import bad_request
from omni_connector.wire.gemini_words import NAME

_MAGIC = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lG", "image/gif"),
    ("UklG", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
"""First letters of base64 data → media type, for what came without one."""
_FALLBACK = {"image": "image/png", "document": "application/pdf", "audio": "audio/wav"}


def needs_bytes(request: ChatRequest) -> list[str]:
    """The addresses (http, https) whose bytes must stand in the request before it can be rendered for a target without
    "url_images"; each once, in order. A request of this format keeps its addresses: its provider reads them itself."""
    if request.wire == NAME:
        return []
    urls: dict[str, None] = {}
    for message in request.messages:
        for part in message.parts:
            for piece in part.parts if isinstance(part, ToolResultPart) else (part,):
                if isinstance(piece, MediaPart) and piece.url is not None and piece.url.lower().startswith(("http://", "https://")):
                    urls[piece.url] = None
    return list(urls)


def render_media(part: MediaPart, at: str, features: Set[str], own: bool) -> Json:
    """A media part as `inlineData`, `fileData` or text. Raises GatewayError (BAD_REQUEST) for what this target cannot read."""
    if part.text is not None:
        return {"text": f'<document name="{part.name}">\n{part.text}\n</document>' if part.name else part.text}
    if part.file_id is not None:
        if not own:
            raise bad_request(f"`{at}` names a file of another provider's account. Send the content itself.", at)
        return {"fileData": _typed(part, {"fileUri": part.file_id}, own)}
    if part.url is not None:
        if not own and "url_images" not in features:
            raise bad_request(f"`{at}` is an address, which this provider does not fetch. Send the content as base64.", at)
        return {"fileData": _typed(part, {"fileUri": part.url}, own)}
    data = part.data or ""
    media_type = part.media_type or next((kind for start, kind in _MAGIC if data.startswith(start)), _FALLBACK[part.kind])
    inline: Json = {"mimeType": media_type, "data": data}
    if own and part.name is not None:
        inline["displayName"] = part.name
    return {"inlineData": inline}


def _typed(part: MediaPart, file: Json, own: bool) -> Json:
    if part.media_type:
        file["mimeType"] = part.media_type
    if own and part.name is not None:
        file["displayName"] = part.name
    return file
