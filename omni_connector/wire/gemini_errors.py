"""Errors of the Gemini format, both ways: an upstream's answer → GatewayError, GatewayError → the client's body.

Status first; the body's google.rpc details (ErrorInfo, RetryInfo, QuotaFailure) where the status is ambiguous
(upstreams.md §3, which follows gemini-cli's own classification).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire.fields import integer
from omni_connector.wire.gemini_words import camel, loads
from omni_connector.wire.retry_after import go_duration, stated_wait

STATUS_WORD: Mapping[Kind, str] = {
    Kind.BAD_REQUEST: "INVALID_ARGUMENT",
    Kind.CONTEXT_TOO_LONG: "INVALID_ARGUMENT",
    Kind.CONTENT_FILTERED: "INVALID_ARGUMENT",
    Kind.TOO_LARGE: "INVALID_ARGUMENT",
    Kind.UNAUTHENTICATED: "UNAUTHENTICATED",
    Kind.FORBIDDEN: "PERMISSION_DENIED",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.MODEL_NOT_FOUND: "NOT_FOUND",
    Kind.METHOD_NOT_ALLOWED: "UNIMPLEMENTED",
    Kind.CONFLICT: "ALREADY_EXISTS",
    Kind.BUDGET_SPENT: "RESOURCE_EXHAUSTED",
    Kind.RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Kind.ACCOUNT_RATE_LIMITED: "RESOURCE_EXHAUSTED",
    Kind.ACCOUNT_REJECTED: "FAILED_PRECONDITION",
    Kind.ACCOUNT_FORBIDDEN: "FAILED_PRECONDITION",
    Kind.ACCOUNT_UNPAID: "FAILED_PRECONDITION",
    Kind.UPSTREAM_MODEL_MISSING: "FAILED_PRECONDITION",
    Kind.UPSTREAM_OVERLOADED: "UNAVAILABLE",
    Kind.UPSTREAM_UNREACHABLE: "UNAVAILABLE",
    Kind.UPSTREAM_FAILED: "INTERNAL",
    Kind.UPSTREAM_TIMEOUT: "DEADLINE_EXCEEDED",
    Kind.NO_ACCOUNT: "UNAVAILABLE",
    Kind.CLIENT_LEFT: "CANCELLED",
    Kind.INTERNAL: "INTERNAL",
}

_STATUS: Mapping[int, Kind] = {
    401: Kind.ACCOUNT_REJECTED,
    402: Kind.ACCOUNT_UNPAID,
    403: Kind.ACCOUNT_FORBIDDEN,
    408: Kind.UPSTREAM_TIMEOUT,
    413: Kind.TOO_LARGE,
    422: Kind.BAD_REQUEST,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
    529: Kind.UPSTREAM_OVERLOADED,
}
_CODE: Mapping[str, int] = {
    "INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "OUT_OF_RANGE": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404, "ABORTED": 409, "ALREADY_EXISTS": 409, "RESOURCE_EXHAUSTED": 429, "CANCELLED": 499, "INTERNAL": 500,
    "UNKNOWN": 500, "DATA_LOSS": 500, "UNIMPLEMENTED": 501, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}  # fmt: skip
"""google.rpc status word → the HTTP status it stands for, for errors inside an answer."""

_REASON: Mapping[str, Kind] = {
    "API_KEY_INVALID": Kind.ACCOUNT_REJECTED,
    "API_KEY_EXPIRED": Kind.ACCOUNT_REJECTED,
    "ACCESS_TOKEN_EXPIRED": Kind.ACCOUNT_REJECTED,
    "ACCESS_TOKEN_TYPE_UNSUPPORTED": Kind.ACCOUNT_REJECTED,
    "CREDENTIALS_MISSING": Kind.ACCOUNT_REJECTED,
    "CONSUMER_SUSPENDED": Kind.ACCOUNT_FORBIDDEN,
    "SERVICE_DISABLED": Kind.ACCOUNT_FORBIDDEN,
    "BILLING_DISABLED": Kind.ACCOUNT_UNPAID,
    "INSUFFICIENT_G1_CREDITS_BALANCE": Kind.ACCOUNT_UNPAID,
    "MODEL_CAPACITY_EXHAUSTED": Kind.UPSTREAM_OVERLOADED,
    "MODEL_CAPACITY_EXCEEDED": Kind.UPSTREAM_OVERLOADED,
}
"""ErrorInfo.reason that says more than its status."""

_BAD_KEY = re.compile(r"API key (?:not valid|expired|not found|invalid)|API key was reported as leaked|valid API key", re.I)
_UNPAID = re.compile(r"billing|prepay\w* credits|credits? (?:are|is) depleted|spend(?:ing)? (?:cap|limit)|insufficient.{0,20}credit", re.I)
_PLACE = re.compile(r"(?:user )?location is not supported|not available in your (?:country|region)", re.I)
_TOO_LONG = re.compile(r"token count.{0,60}exceeds|exceeds the maximum (?:number of )?tokens|context (?:length|window)", re.I | re.S)
_TOO_LARGE = re.compile(r"payload size exceeds|request (?:entity|body) (?:is )?too large", re.I)
_NO_MODEL = re.compile(r"\bmodels?[/ `].{0,300}?(?:not found|not supported|does not exist)|model.{0,40}not (?:found|exist)", re.I | re.S)
_NO_QUOTA = re.compile(r"\blimit: 0\b")
_TITLE = re.compile(r"<title[^>]*>\s*(.*?)\s*</title>", re.I | re.S)
_MAX_WORDS = 2000

MINUTE_S = 60.0
DAY_RESET_S = 8 * 3600
"""Daily quotas start anew at midnight Pacific time (documentation of rate limits): 08:00 UTC, an hour late in summer."""


# ---------------------------------------------------------------- An upstream's answer


def parse_error(status: int, headers: Mapping[str, str], body: Any, now: float | None = None) -> GatewayError:
    """An error answer, classified. `body`: bytes, text or decoded JSON, also wrapped in an array. `now`: Unix seconds.

    A quota of nothing ("limit: 0") is ACCOUNT_FORBIDDEN for the model: the plan does not include it, waiting is no help, and
    the account's other models work. `scope` is "model" or "account" where the quota names it.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    said = _Said(body)
    kind = _classify(status, said)
    found = GatewayError(kind, said.message or f"The provider answered {status} without a message.", upstream_status=status)
    found.code = said.reason or said.status or None
    if kind is Kind.BAD_REQUEST:
        found.param = said.field
    if kind is Kind.ACCOUNT_FORBIDDEN and _quota_is_nothing(said):
        found.scope = "model"
    if kind in (Kind.ACCOUNT_RATE_LIMITED, Kind.UPSTREAM_OVERLOADED):
        moment = time.time() if now is None else now
        found.retry_after = _wait(lower, said, moment)
        found.stated = found.retry_after is not None
        found.scope = said.scope
    if said.links:
        found.details = {"links": said.links}
    return found


def error_in(chunk: Any) -> GatewayError | None:
    """The error inside a chunk or a whole body that came with HTTP 200; None when there is none."""
    error = chunk.get("error") if isinstance(chunk, dict) else None
    if not error:
        return None
    said = _Said({"error": error})
    status = said.code or _CODE.get(said.status, 500)
    found = parse_error(status, {}, {"error": error})
    if not said.message:
        found.message = "The provider reported an error inside its answer, without a message."
    return found


class _Said:
    """What an error body says."""

    def __init__(self, body: Any) -> None:
        value = loads(bytes(body) if isinstance(body, bytearray) else body) if isinstance(body, bytes | bytearray | str) else body
        if isinstance(value, list):
            value = value[0] if value else None
        error = value.get("error") if isinstance(value, dict) else None
        error = error if isinstance(error, dict) else {"message": error} if isinstance(error, str) else {}
        details = error.get("details")
        self._details = [camel(item) for item in details if isinstance(item, dict)] if isinstance(details, list) else []
        self.structured = bool(error)
        self.message = (_text(error.get("message")) or ("" if self.structured else _plain(body)))[:_MAX_WORDS]
        self.status = _text(error.get("status"))
        number = integer(error.get("code"))
        self.code = number if number is not None and 400 <= number <= 599 else None
        info = self._detail("ErrorInfo")
        self.reason = _text(info.get("reason"))
        metadata = info.get("metadata")
        self.metadata: Json = metadata if isinstance(metadata, dict) else {}
        violations = _objects(self._detail("QuotaFailure").get("violations"))
        self.quotas = [" ".join(filter(None, (_text(one.get("quotaId")), _text(one.get("quotaMetric"))))) for one in violations]
        self.quotas.append(_text(self.metadata.get("quota_limit")))
        self.retry_delay = _text(self._detail("RetryInfo").get("retryDelay")) or _text(self.metadata.get("quotaResetDelay"))
        fields = _objects(self._detail("BadRequest").get("fieldViolations"))
        self.field = next((field for one in fields if (field := _text(one.get("field")))), None)
        links = (_text(link.get("url")) for link in _objects(self._detail("Help").get("links")))
        self.links = [link for link in (*links, _text(self.metadata.get("validation_link"))) if link]

    def _detail(self, name: str) -> Json:
        return next((item for item in self._details if _text(item.get("@type")).endswith(f".{name}")), {})

    def has_quota(self, word: str) -> bool:
        return any(word in quota for quota in self.quotas)

    @property
    def scope(self) -> str | None:
        """Whom the quota shuts out: one model, or the whole account (project)."""
        if self.has_quota("PerModel"):
            return "model"
        return "account" if self.has_quota("PerProject") or self.has_quota("PerUser") else None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _objects(value: Any) -> list[Json]:
    return [camel(item) for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _plain(body: Any) -> str:
    text = body if isinstance(body, str) else bytes(body[:20000]).decode("utf-8", "replace") if isinstance(body, bytes | bytearray) else ""
    if text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        return f"The provider answered with a web page{': ' + title[1][:200] if title else ''}."
    return text.strip()[:500]


def _classify(status: int, said: _Said) -> Kind:
    if said.reason in _REASON:
        return _REASON[said.reason]
    handlers: Mapping[int, Callable[[_Said], Kind]] = {400: _refused, 403: _denied, 404: _missing, 429: _exhausted}
    if status in handlers:
        return handlers[status](said)
    if status in _STATUS:
        return _STATUS[status]
    # 499 is a call that the provider cancelled on its own side.
    return Kind.UPSTREAM_FAILED if status >= 499 or status < 400 else Kind.BAD_REQUEST if said.structured else Kind.UPSTREAM_FAILED


def _refused(said: _Said) -> Kind:
    """A 400: mostly the caller's fault, but bad keys, places and plans are told this way too."""
    if _BAD_KEY.search(said.message):
        return Kind.ACCOUNT_REJECTED
    if _PLACE.search(said.message):
        return Kind.ACCOUNT_FORBIDDEN
    if said.status == "FAILED_PRECONDITION" and _UNPAID.search(said.message):
        return Kind.ACCOUNT_UNPAID
    if _TOO_LONG.search(said.message):
        return Kind.CONTEXT_TOO_LONG
    return Kind.TOO_LARGE if _TOO_LARGE.search(said.message) else Kind.BAD_REQUEST


def _denied(said: _Said) -> Kind:
    if _BAD_KEY.search(said.message):
        return Kind.ACCOUNT_REJECTED
    return Kind.ACCOUNT_UNPAID if _UNPAID.search(said.message) else Kind.ACCOUNT_FORBIDDEN


def _missing(said: _Said) -> Kind:
    """A 404 that names no model: a file or cached content of the caller's, or, without the API's own words, a wrong address."""
    if _NO_MODEL.search(said.message):
        return Kind.UPSTREAM_MODEL_MISSING
    return Kind.NOT_FOUND if said.structured else Kind.UPSTREAM_FAILED


def _exhausted(said: _Said) -> Kind:
    if _quota_is_nothing(said):
        return Kind.ACCOUNT_FORBIDDEN
    return Kind.ACCOUNT_UNPAID if re.search(r"prepay|credits? (?:are|is) depleted|spend", said.message, re.I) else Kind.ACCOUNT_RATE_LIMITED


def _quota_is_nothing(said: _Said) -> bool:
    return bool(_NO_QUOTA.search(said.message)) or said.metadata.get("quota_limit_value") == "0"


def _wait(headers: Mapping[str, str], said: _Said, now: float) -> float | None:
    """Seconds until the provider may be asked again; None when it does not say.

    The short delay that comes with a spent daily quota is not believed: the quota's own end counts.
    """
    delay = go_duration(said.retry_delay) if said.retry_delay else None
    if delay is None:
        delay = stated_wait(headers, said.message, now)
    if said.has_quota("PerDay") or said.has_quota("Daily"):
        return max(delay or 0.0, (DAY_RESET_S - now) % 86400)
    if delay is None and said.has_quota("PerMinute"):
        return MINUTE_S
    return delay


# ---------------------------------------------------------------- The client's body

_TOO_MANY_TOKENS = "The input token count exceeds the maximum number of tokens allowed"
_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
_RETRY = "type.googleapis.com/google.rpc.RetryInfo"
_FIELD = "type.googleapis.com/google.rpc.BadRequest"


def render_error(error: GatewayError) -> Json:
    """{"error": {"code", "message", "status", "details": […], "provider_failures"?}}."""
    message = error.message
    if error.kind is Kind.CONTEXT_TOO_LONG and not _TOO_LONG.search(message):
        # Clients of this format compact the conversation when they read these words.
        message = f"{_TOO_MANY_TOKENS}: {message}"
    details: list[Json] = [{"@type": _INFO, "reason": error.kind.value.upper(), "domain": "omni-connector"}]
    if error.param is not None:
        details.append({"@type": _FIELD, "fieldViolations": [{"field": error.param, "description": error.message}]})
    if error.retry_after is not None:
        details.append({"@type": _RETRY, "retryDelay": f"{error.retry_after:.3f}".rstrip("0").rstrip(".") + "s"})
    body: Json = {"code": error.status, "message": message, "status": STATUS_WORD[error.kind], "details": details}
    if error.failures:
        body["provider_failures"] = [failure.as_json() for failure in error.failures]
    return {"error": body}
