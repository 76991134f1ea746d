"""Pictures in an answer, between the formats that have them: Gemini (`inlineData`), Responses (`image_generation_call`) and, as
OpenRouter began it, Chat Completions (`images`). Messages has no place for one in the assistant's turn.

Each format keeps its own block whole as a foreign part; only another one takes the picture out of it.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

from omni_connector.chat import Json
from omni_connector.wire.openai_chat_words import sniff, split_data_url

CHAT, RESPONSES, GEMINI = "openai-chat", "openai-responses", "gemini-generate"


class Picture(NamedTuple):
    """`data` is base64."""

    media_type: str
    data: str


def pictures_of(wire: str, block: Json) -> list[Picture]:
    """The pictures in a block that only the format `wire` knows; [] in any other block. Those that are told by an address are left out."""
    if wire == GEMINI:
        found = [_inline(block.get("inlineData"))]
    elif wire == RESPONSES and block.get("type") == "image_generation_call":
        found = [_result(block)]
    elif wire == CHAT:
        images = block.get("images")
        found = [_from_url(image) for image in (images if isinstance(images, list) else ())]
    else:
        found = []
    return [picture for picture in found if picture is not None]


def _inline(value: Any) -> Picture | None:
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        return None
    media_type = value.get("mimeType")
    return Picture(media_type, value["data"]) if isinstance(media_type, str) and media_type.startswith("image/") else None


def _result(item: Json) -> Picture | None:
    data, form = item.get("result"), item.get("output_format")
    if not isinstance(data, str) or not data:
        return None
    return Picture(f"image/{form}" if isinstance(form, str) else sniff(data) or "image/png", data)


def _from_url(image: Any) -> Picture | None:
    inner = image.get("image_url") if isinstance(image, dict) else None
    url = inner.get("url") if isinstance(inner, dict) else None
    told = split_data_url(url) if isinstance(url, str) and url.startswith("data:") else None
    return Picture(*told) if told is not None and told[0].startswith("image/") else None


def to_gemini(picture: Picture) -> Json:
    """A part of the content."""
    return {"inlineData": {"mimeType": picture.media_type, "data": picture.data}}


def to_chat(pictures: list[Picture], first: int) -> Json:
    """What stands in a message or delta; SDKs put deltas together by `index`, so `first` is the number of pictures before."""
    urls = (f"data:{picture.media_type};base64,{picture.data}" for picture in pictures)
    return {"images": [{"type": "image_url", "image_url": {"url": url}, "index": number} for number, url in enumerate(urls, first)]}


def to_responses(picture: Picture) -> Json:
    """An output item."""
    form = picture.media_type.removeprefix("image/")
    item_id = f"ig_{uuid.uuid4().hex}"
    return {"id": item_id, "type": "image_generation_call", "status": "completed", "output_format": form, "result": picture.data}
