"""Aliyun OCR: signatures against a vector worked out apart, requests, answers, errors. J-11"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omni_connector.errors import GatewayError, Kind
from omni_connector.providers import PROVIDERS, Provider, aliyun_ocr, models_request, request_headers
from omni_connector.providers.aliyun_ocr import (
    MODELS,
    accepts,
    access_key,
    build,
    canonical_query,
    host_of,
    parse_answer,
    parse_error,
    question,
    signed_headers,
)
from omni_connector.snapshot import Account
from omni_connector.wire.ocr import Block, OcrRequest
from tests import aliyun

NOW = 1_795_000_000.9  # 2026-11-18T11:06:40Z
NONCE = "3156853299f313e23d1673dc12e1703d"
SECRET = "LTAI5tExampleKeyId:AnExampleSecret+/="
BASE = "https://ocr-api.cn-hangzhou.aliyuncs.com"
ROW: Provider = PROVIDERS["aliyun-ocr"]


def test_the_signature_is_the_documented_one() -> None:  # J-11
    """Every line written out by hand, from reference §16."""
    body = b"\x89PNG"
    digest = hashlib.sha256(body).hexdigest()
    canonical = (
        "POST\n/\nOutputCoordinate=points&Type=Advanced&Url=https%3A%2F%2Fa.example%2Fb%20c~d%2A.png%3Fx%3D1%2B1\n"
        "content-type:application/octet-stream\nhost:ocr-api.cn-hangzhou.aliyuncs.com\nx-acs-action:RecognizeAllText\n"
        f"x-acs-content-sha256:{digest}\nx-acs-date:2026-11-18T11:06:40Z\nx-acs-security-token:tok\n"
        f"x-acs-signature-nonce:{NONCE}\nx-acs-version:2021-07-07\n\n"
        "content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version\n" + digest
    )
    words = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    expected = hmac.new(b"AnExampleSecret+/=", words.encode(), hashlib.sha256).hexdigest()
    query = {"Url": "https://a.example/b c~d*.png?x=1+1", "Type": "Advanced", "OutputCoordinate": "points"}
    headers = signed_headers("POST", host_of(BASE), "/", query, body, "RecognizeAllText", access_key(f"{SECRET}:tok"), NOW, NONCE)
    signed = "content-type;host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version"
    assert headers["authorization"] == f"ACS3-HMAC-SHA256 Credential=LTAI5tExampleKeyId,SignedHeaders={signed},Signature={expected}"
    assert headers["accept"] == "application/json"


def test_an_empty_body_has_the_well_known_hash_of_nothing() -> None:
    headers = signed_headers("POST", "h", "/", {}, b"", "RecognizeGeneral", access_key("i:s"), NOW, "n")
    assert headers["x-acs-content-sha256"] == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert headers["authorization"].endswith("Signature=" + aliyun.signature("s", "POST", "/", headers, b""))
    assert "x-acs-security-token" not in headers


def test_only_unreserved_characters_stay_as_they_are() -> None:
    assert canonical_query({"b": "-_.~", "a": "é /*+", "A": ""}) == "A=&a=%C3%A9%20%2F%2A%2B&b=-_.~"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://H.example", "h.example"),
        ("https://h.example:443/x", "h.example"),
        ("http://h.example:443", "h.example:443"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]:80", "[::1]"),
    ],
)
def test_the_signed_host_is_the_sent_one(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize("secret", ["", "only-an-id", ":x", "x:", " : ", "id:sécret"])
def test_what_is_no_credential(secret: str) -> None:
    with pytest.raises(GatewayError, match="AccessKeyId:AccessKeySecret") as told:
        access_key(secret)
    assert told.value.kind is Kind.ACCOUNT_REJECTED
    assert secret.strip(": ") == "" or secret not in told.value.message


def test_a_credential_is_not_shown() -> None:
    key = access_key(f"{SECRET}:token-of-mine")
    assert (key.id, key.secret, key.token) == ("LTAI5tExampleKeyId", "AnExampleSecret+/=", "token-of-mine")
    built = build(BASE, SECRET, OcrRequest(image=b"x"), MODELS[0], NOW, NONCE)
    assert "AnExample" not in repr(key) + repr(built)
    assert "Signature" not in repr(built)


def test_the_picture_is_the_body_or_an_address() -> None:
    built = build(BASE, SECRET, OcrRequest(image=b"bytes"), "RecognizeGeneral", NOW, NONCE)
    assert (built.url, built.body, built.headers["x-acs-action"]) == (f"{BASE}/", b"bytes", "RecognizeGeneral")
    built = build(f"{BASE}/", SECRET, OcrRequest(url="https://a.example/b?c=d&e", page=2), "RecognizeAllText-Table", NOW, NONCE)
    parts = urlsplit(built.url)
    assert (parts.path, built.body) == ("/", b"")
    query = {"Type": ["Table"], "OutputCoordinate": ["points"], "Url": ["https://a.example/b?c=d&e"], "PageNo": ["2"]}
    assert parse_qs(parts.query) == query
    assert build(BASE, SECRET, OcrRequest(image=b"x"), "RecognizeAllText", NOW, NONCE).url.endswith("Type=General")


def test_what_a_model_cannot_do() -> None:
    with pytest.raises(GatewayError, match="RecognizeGeneral, ") as told:
        build(BASE, SECRET, OcrRequest(image=b"x"), "gpt-5", NOW, NONCE)
    assert (told.value.kind, told.value.param) == (Kind.BAD_REQUEST, "model")
    with pytest.raises(GatewayError, match="RecognizeAllText") as told:
        build(BASE, SECRET, OcrRequest(image=b"x", page=1), "RecognizeGeneral", NOW, NONCE)
    assert told.value.param == "page"


# ---------------------------------------------------------------- Answers


def bytes_of(body: Any) -> bytes:
    return json.dumps(body).encode()


def test_an_answer_of_recognize_general() -> None:
    answer = parse_answer(bytes_of(aliyun.answer(aliyun.GENERAL, as_text=True)))
    assert (answer.text, answer.width, answer.height, answer.angle) == ("Invoice 42 三元", 100, 200, 1.5)
    assert answer.blocks[0] == Block("Invoice 42", 0.99, ((10, 12), (90, 12), (90, 30), (10, 30)))
    assert answer == parse_answer(bytes_of(aliyun.answer(aliyun.GENERAL, as_text=False)))


def test_an_answer_of_recognize_all_text() -> None:
    answer = parse_answer(bytes_of(aliyun.answer(aliyun.ALL_TEXT, as_text=False)))
    assert (answer.text, answer.width, answer.height, answer.angle) == ("a b", 60, 50, 90)
    assert answer.blocks == (Block("a", 0.98, ((0, 0), (9, 0), (9, 5), (0, 5))), Block("b", 1.0))


def test_an_answer_without_its_text_is_put_together() -> None:
    data = {"prism_wordsInfo": [{"word": "a"}, "odd", {"word": 5}, {"word": "b", "pos": "x", "prob": "99"}]}
    assert parse_answer(bytes_of({"Data": data})).text == "a\n\nb"
    assert parse_answer(bytes_of({"Data": {"SubImages": [{"BlockInfo": 5}, 5]}})).blocks == ()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"Data": null}', b'{"Data": ""}', b'{"Data": "["}', b'{"Data": 5}', b"[" * 5000]
)
def test_no_result_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(GatewayError) as told:
        parse_answer(body)
    assert told.value.kind is Kind.UPSTREAM_FAILED
    assert len(told.value.message) < 600


def test_a_refusal_may_come_with_200() -> None:
    with pytest.raises(GatewayError, match="wait") as told:
        parse_answer(bytes_of({"Code": "Throttling", "Message": "wait", "Data": None}))
    assert told.value.kind is Kind.ACCOUNT_RATE_LIMITED


# ---------------------------------------------------------------- Errors


@pytest.mark.parametrize(
    ("status", "code", "kind", "scope"),
    [
        (404, "InvalidAccessKeyId.NotFound", Kind.ACCOUNT_REJECTED, "account"),
        (403, "InvalidAccessKeyId.Inactive", Kind.ACCOUNT_REJECTED, "account"),
        (400, "SignatureDoesNotMatch", Kind.ACCOUNT_REJECTED, "account"),
        (400, "InvalidSecurityToken.Expired", Kind.ACCOUNT_REJECTED, "account"),
        (400, "SignatureNonceUsed", Kind.UPSTREAM_FAILED, None),
        (400, "InvalidTimeStamp.Expired", Kind.INTERNAL, None),
        (400, "Throttling.User", Kind.ACCOUNT_RATE_LIMITED, "account"),
        (503, "Throttling", Kind.ACCOUNT_RATE_LIMITED, "account"),
        (400, "ocrServiceNotOpen", Kind.ACCOUNT_FORBIDDEN, "account"),
        (401, "noPermission", Kind.ACCOUNT_FORBIDDEN, "account"),
        (403, "Forbidden.RAM", Kind.ACCOUNT_FORBIDDEN, "account"),
        (400, "insufficientBalance", Kind.ACCOUNT_UNPAID, "account"),
        (403, "Account.Arrearage", Kind.ACCOUNT_UNPAID, "account"),
        (404, "InvalidAction.NotFound", Kind.UPSTREAM_MODEL_MISSING, None),
        (400, "unmatchedImageType", Kind.BAD_REQUEST, None),
        (400, "illegalImageUrl", Kind.BAD_REQUEST, None),
        (400, "MissingParameter", Kind.BAD_REQUEST, None),
        (400, "exceededImageSize", Kind.TOO_LARGE, None),
        (503, "ServiceUnavailable", Kind.UPSTREAM_OVERLOADED, None),
        (500, "InternalError", Kind.UPSTREAM_FAILED, None),
        (418, "neverHeardOf", Kind.UPSTREAM_FAILED, None),
        (400, "neverHeardOf", Kind.BAD_REQUEST, None),
        (403, "neverHeardOf", Kind.ACCOUNT_FORBIDDEN, "account"),
        (429, "", Kind.ACCOUNT_RATE_LIMITED, "account"),
        (504, "", Kind.UPSTREAM_TIMEOUT, None),
        (502, "", Kind.UPSTREAM_FAILED, None),
    ],
)
def test_errors_have_their_owner(status: int, code: str, kind: Kind, scope: str | None) -> None:
    error = parse_error(status, {}, bytes_of(aliyun.complaint(code, "in words")))
    assert (error.kind, error.scope, error.upstream_status) == (kind, scope, status)
    assert "in words" in error.message


def test_errors_in_other_shapes() -> None:
    assert parse_error(502, {}, b"<html>").message == "The provider answered HTTP 502 without a message."
    assert parse_error(429, {"Retry-After": "7"}, b"{}").retry_after == 7
    assert parse_error(429, {"Retry-After": "7"}, b"{}").stated
    assert "clock of this machine" in parse_error(400, {}, bytes_of({"Code": "InvalidTimeStamp.Expired"})).message
    assert len(parse_error(400, {}, bytes_of({"Code": "SignatureDoesNotMatch", "Message": "x" * 9000})).message) <= 500


# ---------------------------------------------------------------- The row


def test_the_row_lists_what_can_be_built() -> None:
    assert ROW.default_models == MODELS
    assert ROW.wire == aliyun_ocr.WIRE
    for model in MODELS:
        build(BASE, SECRET, OcrRequest(image=b"x"), model, NOW, NONCE)


def test_the_credential_never_travels() -> None:
    account = Account("acc_1", ROW.id, "main", secret=SECRET, access=SECRET, wire=ROW.wire)
    sent = [request_headers(ROW, account), models_request(ROW, account)[1], question(BASE, SECRET, NOW, NONCE).headers]
    assert "AnExampleSecret" not in json.dumps([dict(each) for each in sent])


def test_a_question_without_a_picture_tells_a_good_key_from_a_bad_one() -> None:
    assert question(BASE, SECRET, NOW, NONCE).body == b""
    assert accepts(parse_error(400, {}, bytes_of({"Code": "missingImage"})))
    assert not accepts(parse_error(404, {}, bytes_of({"Code": "InvalidAccessKeyId.NotFound"})))
    assert not accepts(parse_error(403, {}, bytes_of({"Code": "ocrServiceNotOpen"})))
