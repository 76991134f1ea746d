"""`POST /v1/ocr`: the text of a picture. No vendor's format, so its schema is ours: here and in docs/client-api.md.

Request, JSON: {"model"?, "image" | "image_url", "page"?}; `image` is base64 or a data URL. Or a multipart form with a file
`image` (or `file`) and the same names as plain fields. `page`, from 1, is a page of a PDF.

Answer: {"id", "object": "ocr.result", "model", "text", "blocks": [{"text", "confidence", "box", "page"?}], "width", "height",
"angle"}. `confidence` is 0 to 1, `box` four corners [x, y] in pixels, clockwise from the top left; what the provider does not say
is null. `angle`: degrees by which the page was found turned.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.values import dataclass
from omni_connector.wire import form_data, views
from omni_connector.wire.fields import Fields
from omni_connector.wire.raw_listen import media_type

NAME = "ocr"
PATH = "/v1/ocr"
MAX_IMAGE = 10 << 20
"""Bytes of one picture: what Aliyun takes at most."""
LONGEST_URL = 4096

_FORM = "multipart/form-data"
_FILES = ("image", "file")
_PLAIN = ("model", "image_url", "page")
_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_BLANKS = re.compile(r"\s+")
_HOW = "Send one picture: `image` (base64, a data URL, or a file of a form) or `image_url`."


@dataclass(frozen=True, slots=True)
class OcrRequest:
    """One of `image` and `url` is given. `ignored`: fields that mean nothing here."""

    model: str = ""
    image: bytes = field(default=b"", repr=False)
    url: str = field(default="", repr=False)
    page: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A line or word. `box`: four corners, or () where the provider does not say."""

    text: str
    confidence: float | None = None
    box: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class OcrAnswer:
    text: str
    blocks: tuple[Block, ...] = ()
    width: float | None = None
    height: float | None = None
    angle: float | None = None


# ---------------------------------------------------------------- Requests


def parse_request(body: bytes, content_type: str) -> OcrRequest:
    """Raises GatewayError: BAD_REQUEST with `param`, TOO_LARGE for a picture beyond MAX_IMAGE."""
    if media_type(content_type) == _FORM:
        return _form(body, content_type)
    fields = Fields(views.decode(body), "")
    model, url, page = fields.string("model"), fields.string("image_url"), fields.integer("page")
    image = fields.string("image")
    return _request(model, None if image is None else _bytes(image), url, page, tuple(fields.rest()))


def _form(body: bytes, content_type: str) -> OcrRequest:
    form = form_data.read(body, content_type)
    files = [part for part in form.parts if part.name in _FILES]
    if len(files) > 1:
        raise bad_request(f"The form holds {len(files)} pictures. {_HOW}", "image")
    image: bytes | None = None
    if files:
        content = body[files[0].start : files[0].end]
        image = _sized(content) if files[0].is_file else _bytes(content.decode("ascii", "replace"))
    told = {name: form.text(body, name) for name in _PLAIN}
    ignored = dict.fromkeys(part.name for part in form.parts if part.name not in (*_PLAIN, *_FILES))
    return _request(told["model"], image, told["image_url"], _page_number(told["page"]), tuple(ignored))


def _page_number(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise bad_request(f"`page` must be a whole number, not {text[:40]!r}.", "page")
    return int(text)


def _request(model: str | None, image: bytes | None, url: str | None, page: int | None, ignored: tuple[str, ...]) -> OcrRequest:
    if url and _DATA_URL.match(url):  # as chat formats write a picture
        if image is not None:
            raise bad_request(f"`image` and `image_url` are both given. {_HOW}", "image")
        image, url = _bytes(url), None
    if image is not None and url:
        raise bad_request(f"`image` and `image_url` are both given. {_HOW}", "image")
    if image is None and not url:
        raise bad_request(f"The picture is missing. {_HOW}", "image")
    if page is not None and page < 1:
        raise bad_request("`page` counts from 1.", "page")
    return OcrRequest((model or "").strip(), image or b"", _address(url) if url else "", page, ignored)


def _bytes(text: str) -> bytes:
    """Base64, with or without a data URL around it."""
    found = _DATA_URL.match(text)
    if found is None and text[:5].lower() == "data:":
        raise bad_request("`image` is a data URL that is not base64. Write data:image/png;base64,….", "image")
    encoded = text[found.end() :] if found else text
    if len(encoded) > MAX_IMAGE * 2:  # line breaks included; nothing that large is looked at twice
        raise _too_large()
    try:
        image = base64.b64decode(_BLANKS.sub("", encoded), validate=True)
    except (binascii.Error, ValueError):
        raise bad_request("`image` is not base64. Send the picture's bytes in base64, or its address as `image_url`.", "image") from None
    return _sized(image)


def _sized(image: bytes) -> bytes:
    if not image:
        raise bad_request(f"`image` is empty. {_HOW}", "image")
    if len(image) > MAX_IMAGE:
        raise _too_large()
    return image


def _too_large() -> GatewayError:
    return GatewayError(
        Kind.TOO_LARGE, f"`image` is larger than {MAX_IMAGE >> 20} MB. Scale it down, or send its pages singly.", param="image"
    )


def _address(url: str) -> str:
    """The provider fetches it, so it has to be one that anybody can reach; only its form is looked at here."""
    clean = url.strip()
    try:
        parts = urlsplit(clean)
        good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good or len(clean) > LONGEST_URL or not clean.isprintable():
        raise bad_request(
            "`image_url` is not an http(s) address. Send one that the provider can fetch, or the bytes as `image`.", "image_url"
        )
    return clean


# ---------------------------------------------------------------- Answers


def render_answer(answer: OcrAnswer, model: str, answer_id: str, page: int | None = None) -> Json:
    """The body for the client; `model` is the name it asked for."""
    return {
        "id": answer_id,
        "object": "ocr.result",
        "model": model,
        "text": answer.text,
        "blocks": [_block(block, page) for block in answer.blocks],
        "width": answer.width,
        "height": answer.height,
        "angle": answer.angle,
    }


def _block(block: Block, page: int | None) -> Json:
    told: Json = {"text": block.text, "confidence": block.confidence, "box": [list(corner) for corner in block.box] or None}
    return told if page is None else {**told, "page": page}


# ---------------------------------------------------------------- For those who read a provider's answer


def number(value: Any) -> float | None:
    """A finite JSON number, whole ones as int; everything else says nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else value


def share(percent: Any) -> float | None:
    """A confidence of 0 to 100 → 0 to 1."""
    found = number(percent)
    return None if found is None else round(min(100.0, max(0.0, found)) / 100, 4)


def corners(points: Any, x: str, y: str) -> tuple[tuple[float, float], ...]:
    """Four {x, y} objects → a box; () when they are not that."""
    if not isinstance(points, Sequence) or isinstance(points, str) or len(points) != 4:
        return ()
    found = [(number(point.get(x)), number(point.get(y))) for point in points if isinstance(point, dict)]
    box = tuple((left, top) for left, top in found if left is not None and top is not None)
    return box if len(box) == 4 else ()
