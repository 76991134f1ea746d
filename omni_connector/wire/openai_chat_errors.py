"""Errors of chat-completions providers → GatewayError, and back for clients (CONTRACT §4).

Status first; codes and words only where the status is ambiguous. Sources of codes: OpenAI's error guide, Moonshot
(exceeded_current_quota_error, engine_overloaded_error), Zhipu (1113, 1301…1310), DashScope (Arrearage,
data_inspection_failed), Azure (DeploymentNotFound), and recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import KINDS, GatewayError, Kind
from omni_connector.values import dataclass
from omni_connector.wire.fields import integer
from omni_connector.wire.openai_chat_words import loads
from omni_connector.wire.retry_after import stated_wait

WORDS: Mapping[Kind, tuple[str, str]] = {
    Kind.BAD_REQUEST: ("invalid_request_error", "bad_request"),
    Kind.CONTEXT_TOO_LONG: ("invalid_request_error", "context_length_exceeded"),
    Kind.CONTENT_FILTERED: ("invalid_request_error", "content_filter"),
    Kind.TOO_LARGE: ("request_too_large", "request_too_large"),
    Kind.UNAUTHENTICATED: ("authentication_error", "invalid_api_key"),
    Kind.FORBIDDEN: ("permission_denied", "permission_denied"),
    Kind.NOT_FOUND: ("not_found", "not_found"),
    Kind.MODEL_NOT_FOUND: ("not_found", "model_not_found"),
    Kind.METHOD_NOT_ALLOWED: ("invalid_request_error", "method_not_allowed"),
    Kind.CONFLICT: ("invalid_request_error", "conflict"),
    Kind.BUDGET_SPENT: ("budget_exceeded", "budget_exceeded"),
    Kind.RATE_LIMITED: ("rate_limit_exceeded", "rate_limit_exceeded"),
    Kind.ACCOUNT_RATE_LIMITED: ("rate_limit_exceeded", "account_rate_limited"),
    Kind.ACCOUNT_REJECTED: ("upstream_error", "account_rejected"),
    Kind.ACCOUNT_FORBIDDEN: ("upstream_error", "account_forbidden"),
    Kind.ACCOUNT_UNPAID: ("upstream_error", "account_unpaid"),
    Kind.UPSTREAM_MODEL_MISSING: ("upstream_error", "upstream_model_missing"),
    Kind.UPSTREAM_OVERLOADED: ("service_unavailable", "upstream_overloaded"),
    Kind.UPSTREAM_UNREACHABLE: ("upstream_error", "upstream_unreachable"),
    Kind.UPSTREAM_FAILED: ("upstream_error", "upstream_failed"),
    Kind.UPSTREAM_TIMEOUT: ("upstream_timeout", "upstream_timeout"),
    Kind.NO_ACCOUNT: ("service_unavailable", "no_account"),
    Kind.CLIENT_LEFT: ("client_closed_request", "client_closed_request"),
    Kind.INTERNAL: ("internal_error", "internal_error"),
}
"""Kind → (`type`, `code`). A caller's own error may carry the provider's more exact `code` instead."""

_UNPAID = frozenset(
    {
        "insufficient_quota",
        "insufficient_balance",
        "insufficient_user_quota",
        "exceeded_current_quota_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "payment_required",
        "1113",
        "1309",
        "arrearage",
    }
)
_RATE = frozenset(
    {"rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "tokens", "requests", "1302", "1303", "1304", "1308", "1310"}
)
_WHOLE_ACCOUNT = frozenset({"1308", "1310"})
"""Plan windows of GLM: they count for every model of the account."""
_OVERLOADED = frozenset({"engine_overloaded_error", "server_is_overloaded", "overloaded_error", "overloaded", "slow_down", "1305"})
_FILTERED = frozenset(
    {"content_filter", "content_policy_violation", "responsibleaipolicyviolation", "data_inspection_failed", "datainspectionfailed", "1301"}
)
_TOO_LONG = frozenset(
    {"context_length_exceeded", "too_many_prompt_tokens", "exceed_context_size_error", "model_max_prompt_tokens_exceeded"}
)
_NO_MODEL = frozenset({"model_not_found", "deploymentnotfound", "model_not_available", "model_not_supported", "1211"})
_REJECTED = frozenset(
    {"invalid_api_key", "authentication_error", "invalid_authentication_error", "unauthorized", "1000", "1001", "1002", "1003", "1004"}
)

_TOO_LONG_WORDS = re.compile(
    r"context (?:length|window|size)|(?:prompt|input|messages?) (?:is |are )?too long|reduce the length|too many (?:prompt |input )?tokens",
    re.IGNORECASE,
)
_FILTERED_WORDS = re.compile(r"content (?:management )?policy|moderation|flagged|safety (?:policy|system)", re.IGNORECASE)
_NO_MODEL_WORDS = re.compile(
    r"model[^.\n]{0,120}(?:does not exist|not exist|not found|not available|has been deprecated|not supported)"
    r"|(?:invalid|unknown|no such|not a valid) model|deployment[^.\n]{0,80}does not exist",
    re.IGNORECASE,
)
_REJECTED_WORDS = re.compile(r"(?:incorrect|invalid) api key|api key (?:is )?(?:not valid|invalid|expired)", re.IGNORECASE)
_MODEL_WORD = re.compile(r"\bmodel\b", re.IGNORECASE)
_NO_ENDPOINT_WORDS = re.compile(r"^(?:unknown request|invalid) url\b", re.IGNORECASE)
"""Groq and OpenAI of a path they do not have; whatever the caller sent, the path was ours."""

_MAX_WORDS = 2000
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Said:
    """What an error body says, in whichever of the many shapes."""

    message: str = ""
    codes: frozenset[str] = frozenset()
    code: str | None = None
    param: str | None = None
    status: int | None = None
    reasons: bool = False
    structured: bool = False
    raw: str = ""


# ---------------------------------------------------------------- From a provider


def parse_error(status: int, headers: Mapping[str, str], body: Any, now: float | None = None) -> GatewayError:
    """An error answer, classified. `body`: bytes, text or decoded JSON of any shape. `now`: Unix seconds, for HTTP dates."""
    lower = {name.lower(): value for name, value in headers.items()}
    said = _read(body)
    kind = _classify(status, said)
    message = said.message or f"The provider answered HTTP {status} without a message."
    if kind is Kind.UPSTREAM_FAILED and status in {404, 405}:
        message = f"The provider has no such endpoint (HTTP {status}); check the account's base URL. It said: {said.message or 'nothing'}"
    error = GatewayError(kind, message, param=said.param, code=said.code, upstream_status=status, scope=_scope(kind, said))
    if KINDS[kind].retry:
        wait = stated_wait({**lower, **_inner_headers(body)}, f"{said.message} {said.raw}", now)
        error.retry_after, error.stated = wait, wait is not None
    return error


def error_in(body: Any, *, event: str = "") -> GatewayError | None:
    """The error inside a chunk or a whole body that came with HTTP 200; None when there is none."""
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if not inner and not isinstance(body.get("choices"), list):
        named = event == "error" or body.get("object") == "error" or body.get("type") == "error"
        inner = body if named else None
    if not inner:
        choices = body.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            inner = inner or (isinstance(choice, dict) and choice.get("error"))
    if not inner:
        return None
    said = _read(inner if isinstance(inner, dict) and "error" in inner else {"error": inner})
    error = parse_error(said.status or 0, {}, {"error": inner})
    if not said.message:
        error.message = "The provider reported an error inside its answer, without a message."
    error.upstream_status = said.status
    return error


def _classify(status: int, said: _Said) -> Kind:
    codes, text = said.codes, said.message
    if status in {400, 404, 409, 410, 413, 422} or (status < 400 and not codes & (_RATE | _OVERLOADED | _UNPAID)):
        return _caller_or_account(status, said)
    match status:
        case 401:
            return Kind.ACCOUNT_UNPAID if codes & _UNPAID else Kind.ACCOUNT_REJECTED
        case 402:
            return Kind.ACCOUNT_UNPAID
        case 405:
            return Kind.UPSTREAM_FAILED
        case 403:
            if codes & _UNPAID:
                return Kind.ACCOUNT_UNPAID
            return Kind.CONTENT_FILTERED if said.reasons or codes & _FILTERED or _FILTERED_WORDS.search(text) else Kind.ACCOUNT_FORBIDDEN
        case 408:
            return Kind.UPSTREAM_TIMEOUT
        case 503 | 529:
            return Kind.UPSTREAM_OVERLOADED
    if codes & _UNPAID:
        return Kind.ACCOUNT_UNPAID
    if codes & _OVERLOADED:
        return Kind.UPSTREAM_OVERLOADED
    if status == 429 or status < 400:
        return Kind.ACCOUNT_RATE_LIMITED
    return Kind.UPSTREAM_FAILED if status >= 500 else Kind.BAD_REQUEST


def _caller_or_account(status: int, said: _Said) -> Kind:
    """The ambiguous statuses: mostly the caller's mistake, but hosts also use them for models, keys and balances."""
    codes, text = said.codes, said.message
    if codes & _UNPAID:
        return Kind.ACCOUNT_UNPAID
    if codes & _TOO_LONG or _TOO_LONG_WORDS.search(text):
        return Kind.CONTEXT_TOO_LONG
    if codes & _FILTERED or (status == 400 and said.reasons) or (status in {400, 422} and _FILTERED_WORDS.search(text)):
        return Kind.CONTENT_FILTERED
    if codes & _NO_MODEL or (status in {404, 410} and _MODEL_WORD.search(text)) or _NO_MODEL_WORDS.search(text):
        # "not supported" about a parameter or tool of a model is the caller's matter, not a missing model.
        return Kind.BAD_REQUEST if said.param not in {None, "model"} else Kind.UPSTREAM_MODEL_MISSING
    if codes & _REJECTED or _REJECTED_WORDS.search(text):
        return Kind.ACCOUNT_REJECTED
    if status == 413:
        return Kind.ACCOUNT_RATE_LIMITED if codes & _RATE else Kind.TOO_LARGE
    if status == 404 and (not said.structured or _NO_ENDPOINT_WORDS.search(text)):
        return Kind.UPSTREAM_FAILED
    if status < 400:
        return Kind.BAD_REQUEST if "invalid_request_error" in codes else Kind.UPSTREAM_FAILED
    return Kind.UPSTREAM_FAILED if status == 409 else Kind.BAD_REQUEST


def _scope(kind: Kind, said: _Said) -> str | None:
    if said.codes & _WHOLE_ACCOUNT:
        return "account"
    if kind is Kind.ACCOUNT_FORBIDDEN and _MODEL_WORD.search(said.message):
        return "model"
    return None


# ---------------------------------------------------------------- The shapes of error bodies


def _read(body: Any) -> _Said:
    if isinstance(body, bytes | bytearray | str):
        text = body if isinstance(body, str) else bytes(body).decode("utf-8", "replace")
        value = loads(text)
        if not isinstance(value, dict | list):
            return _Said(_plain(text))
        body = value
    if isinstance(body, list):
        body = body[0] if body else {}
    return _read_object(body) if isinstance(body, dict) else _Said()


def _read_object(body: Json) -> _Said:
    """{"error": {…}}, {"error": "text"}, {"detail": …}, {"errors": […]}, {"object": "error", …}, {"message", "code"}."""
    outer = body
    inner = body.get("error")
    if isinstance(inner, dict) and isinstance(inner.get("error"), dict):
        inner = inner["error"]
    errors = body.get("errors")
    if not inner and isinstance(errors, list) and errors:
        inner = errors[0]
    said = inner if isinstance(inner, dict) else {**outer, "message": inner} if isinstance(inner, str) else outer
    metadata = said.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    message = _text(said.get("message")) or _text(said.get("msg")) or _detail(said.get("detail")) or _detail(said.get("details"))
    raw = _text(metadata.get("raw"))
    if raw and (not message or message == "Provider returned error"):
        message = f"{message}: {raw}" if message else raw
    named = [_code(said.get(key)) for key in ("code", "type", "status")]
    number = next((value for key in ("status_code", "status", "code") if (value := _status(said.get(key))) is not None), None)
    return _Said(
        message=message[:_MAX_WORDS],
        codes=frozenset(name.lower() for name in named if name),
        code=named[0] or named[1],
        param=said["param"] if isinstance(said.get("param"), str) else None,
        status=number,
        reasons=isinstance(metadata.get("reasons"), list) and bool(metadata["reasons"]),
        structured="error" in body or "code" in said or "type" in said,
        raw=str(said)[:_MAX_WORDS],
    )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _code(value: Any) -> str | None:
    """Codes are words, or numbers as text (GLM: "1302"); an HTTP status in this place is no code."""
    if isinstance(value, str):
        return None if not value or _status(value) is not None else value
    number = integer(value)
    return str(number) if number is not None and _status(number) is None else None


def _status(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) == 3 else None
    number = integer(value)
    return number if number is not None and 400 <= number <= 599 else None


def _detail(value: Any) -> str:
    """FastAPI: a text, or a list of {"loc": [...], "msg"}."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list):
        return ""
    lines = []
    for item in value[:5]:
        if isinstance(item, dict):
            places = item.get("loc")
            place = ".".join(str(step) for step in places) if isinstance(places, list) else ""
            lines.append(": ".join(filter(None, (place, _text(item.get("msg"))))))
    return "; ".join(filter(None, lines))


def _plain(text: str) -> str:
    """HTML → its title; other text as it is, shortened."""
    if "<html" in text[:2000].lower() or text.lstrip()[:1] == "<":
        title = _TITLE.search(text[:20000])
        return f"an HTML page: {' '.join(title[1].split())}"[:300] if title else "an HTML page instead of JSON"
    return text.strip()[:500]


def _inner_headers(body: Any) -> dict[str, str]:
    """OpenRouter repeats rate-limit headers of the provider behind it in `error.metadata.headers`."""
    value = loads(bytes(body)) if isinstance(body, bytes | bytearray) else body
    for key in ("error", "metadata", "headers"):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        return {}
    return {name.lower(): text for name, text in value.items() if isinstance(name, str) and isinstance(text, str)}


# ---------------------------------------------------------------- For a client


def render_error(error: GatewayError) -> Json:
    """{"error": {message, type, code, param, status}}, with `provider_failures` where candidates were tried.

    The provider's own code is passed on only for the caller's faults: "invalid_api_key" of an account would make a
    client doubt its omni-key. Error types of other formats ("not_found_error") are no codes here, and that a conversation
    is too long has one name that clients act on.
    """
    word, code = WORDS[error.kind]
    own = error.info.fault == "caller" and error.kind is not Kind.CONTEXT_TOO_LONG
    if own and error.code is not None and not error.code.endswith("_error"):
        code = error.code
    body: Json = {"message": error.message, "type": word, "code": code, "param": error.param, "status": error.status}
    if error.failures:
        body["provider_failures"] = [failure.as_json() for failure in error.failures]
    return {"error": body}
