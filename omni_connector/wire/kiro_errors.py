"""Errors of Kiro's interface: AWS JSON ({"__type", "message", "reason"}) as an answer, and as exceptions inside a stream.

The reason says most, then the type, then the status: AWS answers 400 to much that is nobody's malformed request. Sources: upstreams.md
§9; the classification in Amazon's open-source command line ("Input is too long.", INSUFFICIENT_MODEL_CAPACITY, MONTHLY_REQUEST_COUNT).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import KINDS, GatewayError, Kind
from omni_connector.wire.event_stream import Frame
from omni_connector.wire.kiro_words import loads
from omni_connector.wire.retry_after import stated_wait

REASONS: Mapping[str, Kind] = {
    "MONTHLY_REQUEST_COUNT": Kind.ACCOUNT_RATE_LIMITED,
    "DAILY_REQUEST_COUNT": Kind.ACCOUNT_RATE_LIMITED,
    "OVERAGE_REQUEST_LIMIT_EXCEEDED": Kind.ACCOUNT_RATE_LIMITED,
    "CONTENT_LENGTH_EXCEEDS_THRESHOLD": Kind.CONTEXT_TOO_LONG,
    "INSUFFICIENT_MODEL_CAPACITY": Kind.UPSTREAM_OVERLOADED,
    "MODEL_TEMPORARILY_UNAVAILABLE": Kind.UPSTREAM_OVERLOADED,
    "INVALID_MODEL_ID": Kind.UPSTREAM_MODEL_MISSING,
    "TEMPORARILY_SUSPENDED": Kind.ACCOUNT_FORBIDDEN,
}
QUOTA = frozenset({"MONTHLY_REQUEST_COUNT", "DAILY_REQUEST_COUNT", "OVERAGE_REQUEST_LIMIT_EXCEEDED"})
"""They count for all models of the account."""
TYPES: Mapping[str, Kind] = {
    "ThrottlingException": Kind.ACCOUNT_RATE_LIMITED,
    "TooManyRequestsException": Kind.ACCOUNT_RATE_LIMITED,
    "ServiceQuotaExceededException": Kind.ACCOUNT_RATE_LIMITED,
    "LimitExceededException": Kind.ACCOUNT_RATE_LIMITED,
    "ExpiredTokenException": Kind.ACCOUNT_REJECTED,
    "UnauthorizedException": Kind.ACCOUNT_REJECTED,
    "UnrecognizedClientException": Kind.ACCOUNT_REJECTED,
    "InvalidTokenException": Kind.ACCOUNT_REJECTED,
    "AccessDeniedException": Kind.ACCOUNT_FORBIDDEN,
    "ValidationException": Kind.BAD_REQUEST,
    "SerializationException": Kind.BAD_REQUEST,
    "ServiceUnavailableException": Kind.UPSTREAM_OVERLOADED,
    "ModelNotReadyException": Kind.UPSTREAM_OVERLOADED,
    "InternalServerException": Kind.UPSTREAM_OVERLOADED,
    "ResourceNotFoundException": Kind.UPSTREAM_FAILED,
}
STATUS: Mapping[int, Kind] = {
    400: Kind.BAD_REQUEST,
    401: Kind.ACCOUNT_REJECTED,
    402: Kind.ACCOUNT_UNPAID,
    403: Kind.ACCOUNT_FORBIDDEN,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.TOO_LARGE,
    422: Kind.BAD_REQUEST,
    429: Kind.ACCOUNT_RATE_LIMITED,
    504: Kind.UPSTREAM_TIMEOUT,
}
"""Other statuses: from 500 on the provider has no capacity, below it failed."""

_TOO_LONG = re.compile(r"input is too long|(?:context|content) length|too many tokens", re.IGNORECASE)
_NO_MODEL = re.compile(r"(?:invalid|unknown|unsupported) model|model[^.\n]{0,80}(?:not found|not available|not supported)", re.IGNORECASE)
_TOKEN = re.compile(r"token[^.\n]{0,60}(?:expired|invalid)|(?:expired|invalid)[^.\n]{0,40}token", re.IGNORECASE)
_AMBIGUOUS = (Kind.BAD_REQUEST, Kind.ACCOUNT_FORBIDDEN)
"""What only words tell apart: both come for a credential that has ended and for a model that is not there."""
_MALFORMED = re.compile(r"improperly formed request", re.IGNORECASE)
_HINT = "The provider does not say what; long tool descriptions, odd schemas and broken histories are known causes."
_MAX_WORDS = 2000


def parse_error(status: int, headers: Mapping[str, str], body: Any, now: float | None = None) -> GatewayError:
    """An error answer, classified. `body`: bytes, text or decoded JSON. `now`: Unix seconds."""
    lower = {name.lower(): value for name, value in headers.items()}
    said = _said(body)
    name = _type(said.get("__type") or said.get("code") or lower.get("x-amzn-errortype"))
    found = _error(status, name, said, f"The provider answered HTTP {status} without a message.")
    found.upstream_status = status
    if KINDS[found.kind].retry:
        _wait(found, said, lower, time.time() if now is None else now)
    return found


def error_in(frame: Frame, now: float | None = None) -> GatewayError | None:
    """The error that a frame tells; None for an ordinary event."""
    kind = frame.text(":message-type")
    if kind not in ("exception", "error"):
        return None
    said = _said(frame.payload)
    name = _type(frame.text(":exception-type") or frame.text(":error-code") or said.get("__type"))
    if not said.get("message") and frame.text(":error-message"):
        said = {**said, "message": frame.text(":error-message")}
    found = _error(0, name, said, f"The provider ended its answer with {name or 'an error'}, without a message.")
    if KINDS[found.kind].retry:
        _wait(found, said, {}, time.time() if now is None else now)
    return found


def _error(status: int, name: str, said: Json, without: str) -> GatewayError:
    message, reason = _text(said, "message", "Message", "error")[:_MAX_WORDS], _text(said, "reason")
    kind = _kind(status, name, reason, message)
    if kind is Kind.BAD_REQUEST and _MALFORMED.search(message):
        message = f"{message} {_HINT}"
    scope = "account" if reason in QUOTA else None
    return GatewayError(kind, message or without, code=reason or name or None, scope=scope)


def _kind(status: int, name: str, reason: str, message: str) -> Kind:
    if reason in REASONS:
        return REASONS[reason]
    if _TOO_LONG.search(message):
        return Kind.CONTEXT_TOO_LONG
    otherwise = STATUS.get(status, Kind.UPSTREAM_OVERLOADED if status >= 500 else Kind.UPSTREAM_FAILED)
    kind = otherwise if status in (401, 413, 429) else TYPES.get(name, otherwise)
    if kind in _AMBIGUOUS and _TOKEN.search(message):
        return Kind.ACCOUNT_REJECTED
    if kind in _AMBIGUOUS and _NO_MODEL.search(message):
        return Kind.UPSTREAM_MODEL_MISSING
    return kind


def _wait(error: GatewayError, said: Json, headers: Mapping[str, str], now: float) -> None:
    """What the provider says about when: the end of its quota, else as everybody says it."""
    reset = said.get("nextDateReset")
    if isinstance(reset, int | float) and not isinstance(reset, bool) and now < reset < now + 400 * 86_400:
        error.retry_after, error.stated = float(reset) - now, True
        return
    error.retry_after = stated_wait(headers, error.message, now)
    error.stated = error.retry_after is not None


def _said(body: Any) -> Json:
    value = loads(bytes(body)) if isinstance(body, bytes | bytearray) else loads(body) if isinstance(body, str) else body
    if isinstance(value, dict):
        inner = value.get("error")
        return inner if isinstance(inner, dict) else value
    raw = body.decode("utf-8", "replace") if isinstance(body, bytes | bytearray) else body if isinstance(body, str) else ""
    text = "an HTML page instead of JSON" if raw.lstrip()[:1] == "<" else raw.strip()[:500]
    return {"message": text} if text else {}


def _text(said: Json, *names: str) -> str:
    return next((value.strip() for name in names if isinstance(value := said.get(name), str) and value.strip()), "")


def _type(value: Any) -> str:
    """ "com.amazon.coral.service#ThrottlingException:http://…" → "ThrottlingException"; of a stream "throttlingException"."""
    if not isinstance(value, str):
        return ""
    name = value.rsplit("#", 1)[-1].split(":", 1)[0].strip()[:80]
    return name[:1].upper() + name[1:]
