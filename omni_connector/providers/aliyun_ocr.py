"""Aliyun OCR (product ocr-api, version 2021-07-07): requests signed by hand, answers and errors read. Pure: clock and nonce are arguments.

Source: the vendor's SDK alibabacloud-ocr-api20210707 3.1.3 for parameters and ACS3-HMAC-SHA256. The inner fields of an answer, the
error codes and the values of `Type` and `OutputCoordinate` are general knowledge, not verified with a live account.

A credential is "AccessKeyId:AccessKeySecret", with ":SecurityToken" behind it for a temporary one (STS).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from omni_connector.chat import Json
from omni_connector.errors import KINDS, GatewayError, Kind, bad_request
from omni_connector.values import dataclass
from omni_connector.wire.ocr import Block, OcrAnswer, OcrRequest, corners, number, share
from omni_connector.wire.retry_after import stated_wait

WIRE = "aliyun-ocr"
VERSION = "2021-07-07"
ALGORITHM = "ACS3-HMAC-SHA256"
BINARY = "application/octet-stream"

GENERAL, ALL_TEXT = "RecognizeGeneral", "RecognizeAllText"
ALL_TEXT_DEFAULT = "General"
MODELS = (GENERAL, *(f"{ALL_TEXT}-{kind}" for kind in ("General", "Advanced", "Table", "IdCard", "Invoice")))
"""What an account is asked for unless its owner lists more: an action, or RecognizeAllText and one of its types."""

CODES: tuple[tuple[re.Pattern[str], Kind], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), kind)
    for pattern, kind in (
        (r"InvalidTimeStamp|Timestamp\.Expired", Kind.INTERNAL),
        (r"SignatureNonceUsed", Kind.UPSTREAM_FAILED),
        (r"InvalidAccessKey|AccessKeyId|SignatureDoesNotMatch|IncompleteSignature|SecurityToken", Kind.ACCOUNT_REJECTED),
        (r"Throttling|QpsLimit|FlowControl|TooManyRequests", Kind.ACCOUNT_RATE_LIMITED),
        (r"balance|arrear|overdue|InDebt|quotaExhausted|NoResourcePackage", Kind.ACCOUNT_UNPAID),
        (r"ServiceNotOpen|NotOpen|noPermission|Forbidden|AuthorizationFail", Kind.ACCOUNT_FORBIDDEN),
        (r"InvalidAction|InvalidVersion|InvalidApi|UnsupportedOperation", Kind.UPSTREAM_MODEL_MISSING),
        (r"exceededImageSize|imageTooLarge|BodyTooLarge|EntityTooLarge", Kind.TOO_LARGE),
        (r"unmatchedImageType|illegalImage|image|invalidInputParameter|Missing|InvalidParameter|IllegalParam", Kind.BAD_REQUEST),
        (r"ServiceUnavailable|ServiceBusy|SystemBusy", Kind.UPSTREAM_OVERLOADED),
        (r"timeout", Kind.UPSTREAM_TIMEOUT),
    )
)
"""Error code → kind; the first that fits. A code that nobody knows goes by the status."""
STATUSES: Mapping[int, Kind] = {
    400: Kind.BAD_REQUEST,
    401: Kind.ACCOUNT_REJECTED,
    402: Kind.ACCOUNT_UNPAID,
    403: Kind.ACCOUNT_FORBIDDEN,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.TOO_LARGE,
    429: Kind.ACCOUNT_RATE_LIMITED,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
}
CLOCK = "The clock of this machine is more than 15 minutes off, so the provider refuses its signatures. Set it right."
_MOST_WORDS = 500


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    """Of a temporary credential (STS), else ""."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A signed POST. The signature holds for exactly this body, and for 15 minutes."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


# ---------------------------------------------------------------- Signing


def access_key(secret: str) -> AccessKey:
    """Raises GatewayError (ACCOUNT_REJECTED) for what is no such credential."""
    parts = [part.strip() for part in secret.split(":", 2)]
    if len(parts) < 2 or not parts[0] or not parts[1] or not secret.isascii():
        raise GatewayError(
            Kind.ACCOUNT_REJECTED, "The credential must be AccessKeyId:AccessKeySecret, with :SecurityToken for a temporary one."
        )
    return AccessKey(*parts)


def host_of(url: str) -> str:
    """The Host header that a transport sends for this address."""
    parts = urlsplit(url)
    usual = {"https": ":443", "http": ":80"}.get(parts.scheme, "")
    host = parts.netloc.rpartition("@")[2].lower()
    return host.removesuffix(usual) if usual else host


def canonical_query(query: Mapping[str, str]) -> str:
    """Sorted, percent-encoded but for unreserved characters (RFC 3986)."""
    return "&".join(f"{quote(name, safe='')}={quote(query[name], safe='')}" for name in sorted(query))


def signed_headers(
    method: str, host: str, path: str, query: Mapping[str, str], body: bytes, action: str, key: AccessKey, now: float, nonce: str
) -> dict[str, str]:
    """The headers of one call, signature included (ACS3-HMAC-SHA256). `now`: Unix seconds; `nonce`: never used before."""
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "host": host,
        "content-type": BINARY,
        "x-acs-action": action,
        "x-acs-version": VERSION,
        "x-acs-date": datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": digest,
    }
    if key.token:
        headers["x-acs-security-token"] = key.token
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    request = "\n".join((method, path, canonical_query(query), lines, signed, digest))
    words = f"{ALGORITHM}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(key.secret.encode(), words.encode(), hashlib.sha256).hexdigest()
    return {
        **headers,
        "accept": "application/json",
        "authorization": f"{ALGORITHM} Credential={key.id},SignedHeaders={signed},Signature={signature}",
    }


# ---------------------------------------------------------------- Requests


def build(base_url: str, secret: str, asked: OcrRequest, model: str, now: float, nonce: str) -> Outgoing:
    """One picture to be read. Raises GatewayError: BAD_REQUEST for what the model cannot do, ACCOUNT_REJECTED as `access_key`."""
    action, query = _action(model)
    if asked.url:
        query["Url"] = asked.url
    if asked.page is not None:
        if action != ALL_TEXT:
            raise bad_request(f"`page` needs a model of {ALL_TEXT}; {model} reads one picture.", "page")
        query["PageNo"] = str(asked.page)
    return _post(base_url, secret, action, query, asked.image, now, nonce)


def question(base_url: str, secret: str, now: float, nonce: str) -> Outgoing:
    """A call without a picture: it reads nothing and costs nothing, and its refusal tells whether the credential is good."""
    return _post(base_url, secret, GENERAL, {}, b"", now, nonce)


def _post(base_url: str, secret: str, action: str, query: Mapping[str, str], body: bytes, now: float, nonce: str) -> Outgoing:
    base = base_url.rstrip("/")
    path = f"{urlsplit(base).path}/"
    headers = signed_headers("POST", host_of(base), path, query, body, action, access_key(secret), now, nonce)
    told = canonical_query(query)
    return Outgoing(f"{base}/?{told}" if told else f"{base}/", headers, body)


def _action(model: str) -> tuple[str, dict[str, str]]:
    """ "RecognizeAllText-Table" → the action and its parameters."""
    action, _, kind = model.partition("-")
    if action == ALL_TEXT:
        return ALL_TEXT, {"Type": kind or ALL_TEXT_DEFAULT, "OutputCoordinate": "points"}
    if model == GENERAL:
        return GENERAL, {}
    raise bad_request(f"`model` {model!r} is none of this provider's: use {', '.join(MODELS)}, or {ALL_TEXT}-TYPE.", "model")


# ---------------------------------------------------------------- Answers


def parse_answer(body: bytes) -> OcrAnswer:
    """A whole answer of either action. Raises GatewayError: its own error where it states one, else UPSTREAM_FAILED."""
    told = _object(body)
    data = told.get("Data")
    if isinstance(data, str):  # RecognizeGeneral: JSON inside a JSON string
        data = _object(data)
    if not isinstance(data, dict) or not data:
        if told.get("Code"):
            raise parse_error(200, {}, body)
        raise GatewayError(Kind.UPSTREAM_FAILED, "The provider answered without a result.")
    return _all_text(data) if "SubImages" in data or "Content" in data else _general(data)


def _general(data: Json) -> OcrAnswer:
    blocks = tuple(_word(word) for word in _objects(data.get("prism_wordsInfo")))
    text = data.get("content")
    words = text if isinstance(text, str) else "\n".join(block.text for block in blocks)
    return OcrAnswer(words, blocks, number(data.get("width")), number(data.get("height")), number(data.get("angle")))


def _word(word: Json) -> Block:
    return Block(_text(word.get("word")), share(word.get("prob")), corners(word.get("pos"), "x", "y"))


def _all_text(data: Json) -> OcrAnswer:
    """A picture may hold several documents: their blocks come one after the other, and the first one's angle is told."""
    parts = _objects(data.get("SubImages"))
    blocks = tuple(_detail(block) for part in parts for block in _objects(_inner(part, "BlockInfo").get("BlockDetails")))
    text = data.get("Content")
    words = text if isinstance(text, str) else "\n".join(block.text for block in blocks)
    angle = number(parts[0].get("Angle")) if parts else None
    return OcrAnswer(words, blocks, number(data.get("Width")), number(data.get("Height")), angle)


def _detail(block: Json) -> Block:
    return Block(_text(block.get("BlockContent")), share(block.get("BlockConfidence")), corners(block.get("BlockPoints"), "X", "Y"))


def _objects(value: Any) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _inner(value: Json, name: str) -> Json:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _object(text: bytes | str) -> Json:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    shown = (text if isinstance(text, str) else text.decode("utf-8", "replace")).strip()[:200]
    raise GatewayError(Kind.UPSTREAM_FAILED, f"The provider answered with something that is not JSON: {shown!r}")


# ---------------------------------------------------------------- Errors


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """{Code, Message, …} → GatewayError, by the code first: many refusals share one status."""
    try:
        told = _object(body)
    except GatewayError:
        told = {}
    code, words = _text(told.get("Code")), _text(told.get("Message"))
    kind = next((kind for pattern, kind in CODES if pattern.search(code)), None) if code else None
    kind = kind or STATUSES.get(status, Kind.UPSTREAM_FAILED)
    said = ": ".join(filter(None, (code, words)))[:_MOST_WORDS] or f"The provider answered HTTP {status} without a message."
    if kind is Kind.INTERNAL:
        said = f"{CLOCK} It said: {said}"
    error = GatewayError(kind, said, code=code or None, upstream_status=status, param="image" if kind is Kind.TOO_LARGE else None)
    if KINDS[kind].fault == "account" and kind is not Kind.UPSTREAM_MODEL_MISSING:
        error.scope = "account"  # keys, credit, rights and rates are those of the account, whatever it was asked to read
    if KINDS[kind].retry:
        wait = stated_wait({name.lower(): value for name, value in headers.items()}, words)
        error.retry_after, error.stated = wait, wait is not None
    return error


def accepts(error: GatewayError) -> bool:
    """Whether the refusal of `question` shows that the credential is good: only the missing picture was complained about."""
    return error.kind is Kind.BAD_REQUEST
