"""The text of a picture: what a client may send, what it gets, and what it is told when it is wrong. J-11"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.ocr import MAX_IMAGE, Block, OcrAnswer, OcrRequest, corners, number, parse_request, render_answer, share

Json = dict[str, Any]
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
B64 = base64.b64encode(PNG).decode()
JSON = "application/json"
FORM = "multipart/form-data; boundary=XX"


def asked(body: Json) -> OcrRequest:
    return parse_request(json.dumps(body).encode(), JSON)


def form(*parts: tuple[str, bytes]) -> bytes:
    """(disposition, content) → a form."""
    return b"".join(b"--XX\r\nContent-Disposition: form-data; " + d.encode() + b"\r\n\r\n" + c + b"\r\n" for d, c in parts) + b"--XX--\r\n"


@pytest.mark.parametrize(
    "image", [B64, f"data:image/png;base64,{B64}", "\n".join(B64[at : at + 76] for at in range(0, len(B64), 76)), f"DATA:;base64,{B64}"]
)
def test_a_picture_in_base64(image: str) -> None:  # J-11
    assert asked({"image": image, "model": " aliyun-ocr/RecognizeGeneral "}) == OcrRequest("aliyun-ocr/RecognizeGeneral", PNG)


def test_a_picture_by_address() -> None:
    assert asked({"image_url": " https://a.example/b.png?x=1 ", "page": 2}) == OcrRequest(url="https://a.example/b.png?x=1", page=2)
    assert asked({"image_url": f"data:image/png;base64,{B64}", "image": None}) == OcrRequest(image=PNG)


def test_a_picture_in_a_form() -> None:
    for name in ("image", "file"):
        body = form(('name="model"', b"m"), (f'name="{name}"; filename="a.png"', PNG), ('name="page"', b"3"), ('name="lang"', b"de"))
        assert parse_request(body, FORM) == OcrRequest("m", PNG, page=3, ignored=("lang",))
    assert parse_request(form(('name="image"', B64.encode())), FORM) == OcrRequest(image=PNG)
    assert parse_request(form(('name="image_url"', b"https://a.example/b.png")), FORM).url == "https://a.example/b.png"


def test_what_means_nothing_here_is_named() -> None:
    assert asked({"image": B64, "user": "me", "detail": "high"}).ignored == ("user", "detail")


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({}, "image", "missing"),
        ({"model": "m", "image": None}, "image", "missing"),
        ({"image": ""}, "image", "empty"),
        ({"image": "data:image/png;base64,"}, "image", "empty"),
        ({"image": "@@@"}, "image", "not base64"),
        ({"image": "abc"}, "image", "not base64"),
        ({"image": "é"}, "image", "not base64"),
        ({"image": "data:image/svg+xml,<svg/>"}, "image", "not base64"),
        ({"image": 5}, "image", "a string"),
        ({"image": B64, "image_url": "https://a.example"}, "image", "both"),
        ({"image": B64, "image_url": f"data:;base64,{B64}"}, "image", "both"),
        ({"image_url": "ftp://a.example/b"}, "image_url", "http"),
        ({"image_url": "https://"}, "image_url", "http"),
        ({"image_url": "https://[::1"}, "image_url", "http"),
        ({"image_url": "https://a.example/" + "x" * 5000}, "image_url", "http"),
        ({"image_url": "https://a.example/\n"}, None, ""),
        ({"image": B64, "page": 0}, "page", "from 1"),
        ({"image": B64, "page": "two"}, "page", "an integer"),
        ({"image": B64, "model": 4}, "model", "a string"),
    ],
)
def test_mistakes_are_said_plainly(body: Json, param: str | None, says: str) -> None:
    if param is None:  # blanks around an address are nobody's mistake
        assert asked(body).url
        return
    with pytest.raises(GatewayError, match=says) as told:
        asked(body)
    assert (told.value.kind, told.value.param) == (Kind.BAD_REQUEST, param)


def test_a_picture_may_be_too_large_in_every_form() -> None:
    most = bytes(MAX_IMAGE)
    assert asked({"image": base64.b64encode(most).decode()}).image == most
    large = most + b"1"
    for body, kind in (
        (json.dumps({"image": base64.b64encode(large).decode()}).encode(), JSON),
        (json.dumps({"image": "A" * (MAX_IMAGE * 2 + 4)}).encode(), JSON),
        (form(('name="image"; filename="a"', large)), FORM),
    ):
        with pytest.raises(GatewayError, match="10 MB") as told:
            parse_request(body, kind)
        assert (told.value.kind, told.value.status, told.value.param) == (Kind.TOO_LARGE, 413, "image")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON),
        (b"[]", JSON),
        (b"{", JSON),
        (b'{"image": "' + b"\xff" + b'"}', JSON),
        (b"[" * 5000, JSON),
        (b"", FORM),
        (form(('name="image"; filename="a"', PNG), ('name="file"; filename="b"', PNG)), FORM),
        (form(('name="image"; filename="a"', b"")), FORM),
        (form(('name="page"', b"1e3"), ('name="image"; filename="a"', PNG)), FORM),
        (PNG, "image/png"),
    ],
)
def test_a_broken_body_is_the_callers_fault(body: bytes, kind: str) -> None:
    with pytest.raises(GatewayError) as told:
        parse_request(body, kind)
    assert told.value.kind is Kind.BAD_REQUEST


@given(st.binary(max_size=300), st.sampled_from([JSON, FORM, ""]))
def test_no_body_breaks_the_reader(body: bytes, kind: str) -> None:
    try:
        parse_request(body, kind)
    except GatewayError as error:
        assert error.info.fault == "caller"


def test_the_answer() -> None:
    box = ((1, 2), (3, 2), (3, 4), (1, 4.5))
    answer = OcrAnswer("a\nb", (Block("a", 0.99, box), Block("b")), 100, 200, 1.5)
    assert render_answer(answer, "mine", "ocr_1") == {
        "id": "ocr_1",
        "object": "ocr.result",
        "model": "mine",
        "text": "a\nb",
        "blocks": [
            {"text": "a", "confidence": 0.99, "box": [[1, 2], [3, 2], [3, 4], [1, 4.5]]},
            {"text": "b", "confidence": None, "box": None},
        ],
        "width": 100,
        "height": 200,
        "angle": 1.5,
    }
    assert [block["page"] for block in render_answer(answer, "m", "x", 3)["blocks"]] == [3, 3]


def test_figures_that_say_nothing() -> None:
    assert [number(value) for value in (1, 2.0, 2.5, True, "3", None, float("nan"), float("inf"), [])] == [1, 2, 2.5, *[None] * 6]
    assert [share(value) for value in (99, 100, 0, 87.5, -3, 400, None)] == [0.99, 1, 0, 0.875, 0, 1, None]
    square = [{"x": 0, "y": 0}] * 4
    assert corners(square, "x", "y") == ((0, 0),) * 4
    for wrong in (None, "abcd", square[:3], [*square[:3], {"x": 1}], [*square[:3], 5], {"x": 1}):
        assert corners(wrong, "x", "y") == ()
