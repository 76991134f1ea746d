"""Images, documents and sounds for Gemini. Of requests in other formats this API takes bytes (`media_urls` says which must be
fetched first), and addresses only where it reads them itself or the provider's row says so (feature "url_images")."""

from __future__ import annotations

import re
from collections.abc import Set

from omni_connector.chat import Json, MediaPart
from omni_connector.errors import bad_request

_MAGIC = (
    ("iVBOR", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lG", "image/gif"),
    ("UklG", "image/webp"),
    ("JVBERi0", "application/pdf"),
)
"""First letters of base64 data → media type, for what came without one."""
_OWN_ADDRESSES = re.compile(
    r"https://generativelanguage\.googleapis\.com/|https://(?:(?:www\.|m\.)?youtube\.com|youtu\.be)/", re.IGNORECASE
)
_FALLBACK = {"image": "image/png", "document": "application/pdf", "audio": "audio/wav"}


def reads_itself(url: str) -> bool:
    """Addresses that this API's providers read whoever sends them: files of their own store, and YouTube."""
    return _OWN_ADDRESSES.match(url) is not None


def render_media(part: MediaPart, at: str, features: Set[str], own: bool) -> Json:
    """A media part as `inlineData`, `fileData` or text. Raises GatewayError (BAD_REQUEST) for what this target cannot read."""
    if part.text is not None:
        return {"text": f'<document name="{part.name}">\n{part.text}\n</document>' if part.name else part.text}
    if part.file_id is not None:
        if not own:
            raise bad_request(f"`{at}` names a file of another provider's account. Send the content itself.", at)
        return {"fileData": _typed(part, {"fileUri": part.file_id}, own)}
    if part.url is not None:
        if not own and "url_images" not in features and not reads_itself(part.url):
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
