"""Errors of the Anthropic Messages format, both ways: an upstream's answer → GatewayError, GatewayError → the client's body.

Status first; the body is read where the status is ambiguous or the host is a compatible one with codes of its own
(upstreams.md §2, §10, §11).
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.anthropic_words import loads_object
from omni_connector.wire.retry_after import in_words, stated_wait, until_date

ERROR_TYPE: Mapping[Kind, str] = {
    Kind.BAD_REQUEST: "invalid_request_error",
    Kind.CONTEXT_TOO_LONG: "invalid_request_error",
    Kind.CONTENT_FILTERED: "invalid_request_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.METHOD_NOT_ALLOWED: "invalid_request_error",
    Kind.CONFLICT: "invalid_request_error",
    Kind.BUDGET_SPENT: "billing_error",
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.ACCOUNT_RATE_LIMITED: "rate_limit_error",
    Kind.ACCOUNT_REJECTED: "api_error",
    Kind.ACCOUNT_FORBIDDEN: "api_error",
    Kind.ACCOUNT_UNPAID: "api_error",
    Kind.UPSTREAM_MODEL_MISSING: "api_error",
    Kind.UPSTREAM_OVERLOADED: "overloaded_error",
    Kind.UPSTREAM_UNREACHABLE: "api_error",
    Kind.UPSTREAM_FAILED: "api_error",
    Kind.UPSTREAM_TIMEOUT: "timeout_error",
    Kind.NO_ACCOUNT: "api_error",
    Kind.CLIENT_LEFT: "api_error",
    Kind.INTERNAL: "api_error",
}

_STATUS: Mapping[int, Kind] = {
    400: Kind.BAD_REQUEST,
    401: Kind.ACCOUNT_REJECTED,
    402: Kind.ACCOUNT_UNPAID,
    403: Kind.ACCOUNT_FORBIDDEN,
    404: Kind.NOT_FOUND,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.TOO_LARGE,
    422: Kind.BAD_REQUEST,
    429: Kind.ACCOUNT_RATE_LIMITED,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
    524: Kind.UPSTREAM_TIMEOUT,
    529: Kind.UPSTREAM_OVERLOADED,
}
_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
    "timeout_error": 504,
}
"""Error type → the status it stands for, where there is no other: errors inside a stream and a 400 of a compatible host."""

_CODE: Mapping[str, Kind] = {
    # Moonshot / Kimi
    "exceeded_current_quota_error": Kind.ACCOUNT_UNPAID,
    "engine_overloaded_error": Kind.UPSTREAM_OVERLOADED,
    # Zhipu / Z.ai
    "1000": Kind.ACCOUNT_REJECTED,
    "1001": Kind.ACCOUNT_REJECTED,
    "1002": Kind.ACCOUNT_REJECTED,
    "1003": Kind.ACCOUNT_REJECTED,
    "1004": Kind.ACCOUNT_REJECTED,
    "1113": Kind.ACCOUNT_UNPAID,
    "1211": Kind.UPSTREAM_MODEL_MISSING,
    "1301": Kind.CONTENT_FILTERED,
    "1302": Kind.ACCOUNT_RATE_LIMITED,
    "1303": Kind.ACCOUNT_RATE_LIMITED,
    "1304": Kind.ACCOUNT_RATE_LIMITED,
    "1305": Kind.UPSTREAM_OVERLOADED,
    "1308": Kind.ACCOUNT_RATE_LIMITED,
    "1309": Kind.ACCOUNT_UNPAID,
    "1310": Kind.ACCOUNT_RATE_LIMITED,
    # Anthropic's `details.error_code`
    "organization_on_hold": Kind.ACCOUNT_FORBIDDEN,
}
"""Codes that say more than their status. Only looked at for an error (4xx, 5xx)."""

_TOO_LONG = re.compile(r"prompt is too long|exceeds? (?:the )?(?:model'?s? )?(?:maximum )?context|context (?:window|length|limit)", re.I)
_UNPAID = re.compile(
    r"credit balance is too low|insufficient[ _](?:balance|quota|credit)|spend[ _-]limit|no resource package|arrears", re.I
)
_FILTERED = re.compile(r"content[ _]filter(?:ing|ed)?|content policy|usage policy|sensitive content", re.I)
_NO_MODEL = re.compile(r"^model\s*:|(?:unknown|invalid|no such) model|model\b.{0,80}?(?:not found|does not exist|not exist)", re.I | re.S)
_FAST_MODE = re.compile(r"(?=.*fast mode)(?=.*credit)", re.I | re.S)
_FIELD = re.compile(r"((?:messages|system|tools|tool_choice|thinking|output_config|output_format|metadata|stop_sequences|mcp_servers"
                    r"|container|context_management|max_tokens|temperature|top_p|top_k|model|stream)(?:[.\[\]\w]*))\s*: ")  # fmt: skip
"""The API begins its messages with the field they are about."""

_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")
_TEXT_LIMIT = 500


# ---------------------------------------------------------------- An upstream's answer


def parse_error(status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
    """An error answer → GatewayError with the provider's own words, its code, and its own waiting time where it told one.

    `scope` of a limit is "account" or "model" when the headers of a subscription's windows name it, else None.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    data = loads_object(body)
    error = _error_object(data)
    message = _message(error, data, body) or f"The provider answered {status} without a message."
    code = _code(error)
    kind = _classify(status, _text(error.get("type")), code, message)
    found = GatewayError(kind, message, _param(kind, message), code, upstream_status=status, details=_details(error, data, lower))
    if kind in (Kind.ACCOUNT_RATE_LIMITED, Kind.UPSTREAM_OVERLOADED):
        found.retry_after = retry_after(lower, message)
        found.stated = found.retry_after is not None
        found.scope = _scope(lower)
    return found


def error_in_answer(body: Any) -> GatewayError:
    """An error that came with status 200: an `error` event, or a body that is no message. The type stands for the status."""
    data = body if isinstance(body, dict) else None
    error = _error_object(data)
    if not error:
        return GatewayError(Kind.UPSTREAM_FAILED, "The provider answered 200, but with something that is no message.")
    kind_text = _text(error.get("type"))
    message = _message(error, data, b"") or f"The provider reported {kind_text or 'an error'} without a message."
    code = _code(error)
    kind = _classify(_TYPE.get(kind_text, 500), kind_text, code, message)
    return GatewayError(kind, message, _param(kind, message), code, details=_details(error, data, {}))


def _error_object(data: Json | None) -> Json:
    error = (data or {}).get("error")
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message(error: Json, data: Json | None, body: bytes) -> str:
    said = _text(error.get("message")) or _text((data or {}).get("message")) or _text((data or {}).get("msg"))
    if said:
        return said
    text = body[: 4 * _TEXT_LIMIT].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title>\s*(.*?)\s*</title>", text, re.I | re.S)
        return f"The provider answered with a web page{': ' + title[1] if title else ''}."
    return text[:_TEXT_LIMIT]


def _code(error: Json) -> str | None:
    details = error.get("details")
    for value in (details.get("error_code") if isinstance(details, dict) else None, error.get("code"), error.get("type")):
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value):
            return str(value)
    return None


def _details(error: Json, data: Json | None, headers: Mapping[str, str]) -> Json:
    details = error.get("details")
    request_id = _text((data or {}).get("request_id")) or headers.get("request-id", "")
    return {**(details if isinstance(details, dict) else {}), **({"request_id": request_id} if request_id else {})}


def _classify(status: int, kind: str, code: str | None, message: str) -> Kind:
    if code is not None and code in _CODE:
        return _CODE[code]
    if status in (400, 422):
        return _refused(kind, message)
    if status == 404:
        return Kind.UPSTREAM_MODEL_MISSING if _NO_MODEL.search(message) else _missing(kind)
    if status == 429:
        if _FAST_MODE.search(message):
            # Asking to buy credits for a mode the caller chose: no account can serve it as it is.
            return Kind.BAD_REQUEST
        return Kind.ACCOUNT_UNPAID if _UNPAID.search(message) else Kind.ACCOUNT_RATE_LIMITED
    if status == 403 and _UNPAID.search(message):
        return Kind.ACCOUNT_UNPAID
    if status >= 500 and kind == "overloaded_error":
        return Kind.UPSTREAM_OVERLOADED
    return _STATUS.get(status, Kind.UPSTREAM_FAILED)


def _refused(kind: str, message: str) -> Kind:
    """A 400: usually the caller's fault, but the account's credit and compatible hosts' other errors hide in it."""
    if _UNPAID.search(message):
        return Kind.ACCOUNT_UNPAID
    if _TOO_LONG.search(message):
        return Kind.CONTEXT_TOO_LONG
    stands_for = _TYPE.get(kind, 400)
    if stands_for not in (400, 404):
        return _STATUS.get(stands_for, Kind.UPSTREAM_FAILED)
    if _FILTERED.search(message):
        return Kind.CONTENT_FILTERED
    if _NO_MODEL.search(message):
        return Kind.UPSTREAM_MODEL_MISSING
    return Kind.BAD_REQUEST


def _missing(kind: str) -> Kind:
    """A 404 that names no model: a file or container of the caller's, or, without the API's own words, a wrong address."""
    return Kind.NOT_FOUND if kind == "not_found_error" else Kind.UPSTREAM_FAILED


def _param(kind: Kind, message: str) -> str | None:
    if kind is not Kind.BAD_REQUEST:
        return None
    field = _FIELD.match(message)
    return field[1] if field else None


# ---------------------------------------------------------------- When to come back


def retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds until the provider says it may be tried again; None when it does not say. Names in lower case.

    In this order: retry-after-ms and retry-after, the window of a subscription that is used up, the latest reset among the
    limits with nothing left, the message. Times of day are compared to the answer's own `date`.
    """
    wait = stated_wait(headers, "")
    if wait is not None:
        return wait
    moment = None
    if headers.get("anthropic-ratelimit-unified-status") == "rejected":
        moment = _float(headers.get("anthropic-ratelimit-unified-reset"))
    if moment is None:
        resets = [_rfc3339(headers.get(f"anthropic-ratelimit-{limit}-reset", "")) for limit in _LIMITS if _used_up(headers, limit)]
        moment = max((reset for reset in resets if reset is not None), default=None)
    if moment is not None:
        return max(0.0, moment - _now(headers))
    words = in_words(message)
    return words if words is not None else until_date(message, _now(headers))


def _used_up(headers: Mapping[str, str], limit: str) -> bool:
    return _float(headers.get(f"anthropic-ratelimit-{limit}-remaining")) == 0


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None


def _now(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return time.time()


def _rfc3339(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_ACCOUNT_WINDOWS = ("5h", "7d")
_WINDOW = re.compile(r"anthropic-ratelimit-unified-(.+)-status\Z")
_CLAIMS: Mapping[str, str] = {"five_hour": "account", "seven_day": "account"}


def _scope(headers: Mapping[str, str]) -> str | None:
    """Whom a subscription's window shuts out: the account (five hours, seven days) or one model family ("seven_day_opus")."""
    claim = headers.get("anthropic-ratelimit-unified-representative-claim")
    if claim:
        return _CLAIMS.get(claim, "model")
    windows = [found[1] for name, value in headers.items() if value == "rejected" and (found := _WINDOW.match(name))]
    if not windows:
        return None
    return "account" if any(window in _ACCOUNT_WINDOWS for window in windows) else "model"


# ---------------------------------------------------------------- The client's body


def render_error(error: GatewayError) -> Json:
    """{"type": "error", "error": {"type", "message", "details"?, "provider_failures"?}, "request_id"?}."""
    message = error.message
    if error.kind is Kind.CONTEXT_TOO_LONG and "prompt is too long" not in message.lower():
        # Clients of this format compact the conversation when they read these words.
        message = f"prompt is too long: {message}"
    body: Json = {"type": ERROR_TYPE[error.kind], "message": message}
    details = {key: value for key, value in error.details.items() if key != "request_id"}
    if details:
        body["details"] = details
    if error.failures:
        body["provider_failures"] = [failure.as_json() for failure in error.failures]
    answer: Json = {"type": "error", "error": body}
    if error.details.get("request_id"):
        answer["request_id"] = error.details["request_id"]
    return answer
