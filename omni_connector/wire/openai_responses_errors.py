"""Errors of the Responses format. The bodies are those of the chat format, so its readers and writers are used; what only
this API and the Codex backend say (upstreams.md §1 and §6A "Errors") is added here, inside an answer as well as instead of one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import KINDS, GatewayError, Kind
from omni_connector.wire import openai_chat_errors
from omni_connector.wire.openai_chat_errors import render_error
from omni_connector.wire.openai_chat_words import loads

__all__ = ["answer_error", "failed_body", "parse_error", "render_error"]

_KINDS: Mapping[str, Kind] = {
    "usage_limit_reached": Kind.ACCOUNT_RATE_LIMITED,
    "usage_not_included": Kind.ACCOUNT_UNPAID,
    "server_error": Kind.UPSTREAM_FAILED,
    "vector_store_timeout": Kind.UPSTREAM_FAILED,
    "cyber_policy": Kind.CONTENT_FILTERED,
    "bio_policy": Kind.CONTENT_FILTERED,
    "misalignment_policy_violation": Kind.CONTENT_FILTERED,
    "image_content_policy_violation": Kind.CONTENT_FILTERED,
    "invalid_prompt": Kind.BAD_REQUEST,
    "data_residency_mismatch": Kind.BAD_REQUEST,
    "invalid_image": Kind.BAD_REQUEST,
    "invalid_image_format": Kind.BAD_REQUEST,
    "invalid_base64_image": Kind.BAD_REQUEST,
    "invalid_image_url": Kind.BAD_REQUEST,
    "invalid_image_mode": Kind.BAD_REQUEST,
    "image_too_large": Kind.BAD_REQUEST,
    "image_too_small": Kind.BAD_REQUEST,
    "image_parse_error": Kind.BAD_REQUEST,
    "image_file_too_large": Kind.BAD_REQUEST,
    "unsupported_image_media_type": Kind.BAD_REQUEST,
    "empty_image_file": Kind.BAD_REQUEST,
    "failed_to_download_image": Kind.BAD_REQUEST,
    "image_file_not_found": Kind.BAD_REQUEST,
    "invalid_encrypted_content": Kind.BAD_REQUEST,
    # Sign in with ChatGPT (§6B)
    "subscription_sharing_user_not_eligible": Kind.ACCOUNT_FORBIDDEN,
    "subscription_sharing_usage_limit_exceeded": Kind.ACCOUNT_RATE_LIMITED,
    "subscription_sharing_usage_unavailable": Kind.UPSTREAM_OVERLOADED,
    "subscription_sharing_user_unavailable": Kind.UPSTREAM_OVERLOADED,
    "subscription_sharing_unsupported_capability": Kind.BAD_REQUEST,
    "subscription_sharing_route_not_supported": Kind.ACCOUNT_FORBIDDEN,
    "subscription_sharing_invalid_user": Kind.ACCOUNT_REJECTED,
    "chatpass_v2_scope_not_authorized": Kind.ACCOUNT_REJECTED,
    "chatpass_v2_invalid_authorization_context": Kind.ACCOUNT_REJECTED,
}
"""Codes of this API (`response.error.code`, `error.type` at the Codex backend) that the chat format does not have."""
_WHOLE_ACCOUNT = frozenset({"usage_limit_reached", "subscription_sharing_usage_limit_exceeded", "subscription_sharing_user_not_eligible"})
"""What is said of the plan, so of all its models."""
_FIXES: Mapping[str, str] = {
    "subscription_sharing_usage_limit_exceeded": "See https://chatgpt.com/settings/usage for what is left of the plan and your cap.",
    "subscription_sharing_user_not_eligible": "It takes a ChatGPT Plus or Pro plan.",
    "chatpass_v2_scope_not_authorized": "Sign in again and allow the use of the plan.",
    "usage_not_included": "The plan of this account does not include it.",
}
"""Code → what its owner can do, said behind the provider's words."""
_CALLERS = frozenset({400, 404, 413, 415, 422})
"""Statuses that say that the request is wrong."""
_FLAGGED = re.compile(r"flagged|usage policy|policies", re.IGNORECASE)
_AT_CAPACITY = re.compile(r"model is at capacity", re.IGNORECASE)

_CODES: Mapping[Kind, str] = {
    Kind.BAD_REQUEST: "invalid_prompt",
    Kind.TOO_LARGE: "invalid_prompt",
    Kind.CONTENT_FILTERED: "invalid_prompt",
    Kind.CONTEXT_TOO_LONG: "context_length_exceeded",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.ACCOUNT_RATE_LIMITED: "rate_limit_exceeded",
    Kind.UPSTREAM_OVERLOADED: "server_is_overloaded",
    Kind.NO_ACCOUNT: "server_is_overloaded",
}
"""Kind → code inside a failed response, where clients know only this API's; "server_error" for all others."""


def parse_error(status: int, headers: Mapping[str, str], body: Any, now: float | None = None) -> GatewayError:
    """An upstream's error answer, classified. `body`: bytes, text or decoded JSON of any shape. `now`: Unix seconds."""
    value = loads(body if isinstance(body, str) else bytes(body)) if isinstance(body, bytes | bytearray | str) else body
    inner = _inner(value)
    detailed = bool(inner) and "error" not in value
    error = openai_chat_errors.parse_error(status, headers, {"error": inner} if detailed else body, now)
    return _refined(error, inner, now)


def answer_error(data: Any, now: float | None = None) -> GatewayError:
    """The error that an `error` event, a `response.failed` event or a failed response object tells."""
    data = data if isinstance(data, dict) else {}
    response = data.get("response")
    inner = response.get("error") if isinstance(response, dict) else data.get("error")
    if inner is None and data.get("type") == "error":
        # The event's own type is no code of the failure.
        inner = {key: value for key, value in data.items() if key != "type"}
    error = openai_chat_errors.error_in({"error": inner})
    if error is None:
        return GatewayError(Kind.UPSTREAM_FAILED, "The provider reported a failed answer without saying why.")
    return _refined(error, inner if isinstance(inner, dict) else {}, now)


def _inner(body: Any) -> Json:
    """What the error says of itself; the ChatGPT backends also write `detail` (§6A)."""
    inner = (body.get("error") or body.get("detail")) if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _refined(error: GatewayError, said: Json, now: float | None) -> GatewayError:
    named = next((word for key in ("code", "type") if isinstance(word := said.get(key), str) and word in _KINDS), None)
    if error.upstream_status in _CALLERS and named is not None and _KINDS[named] is Kind.UPSTREAM_FAILED:
        named = None  # the status counts: some hosts write "server_error" on each of their refusals
    if named is not None and error.kind not in (Kind.CONTEXT_TOO_LONG, Kind.CONTENT_FILTERED):
        error.kind = _KINDS[named]
        error.code = named
        if named == "invalid_prompt" and _FLAGGED.search(error.message):
            error.kind = Kind.CONTENT_FILTERED
    elif _AT_CAPACITY.search(error.message):
        error.kind, error.scope = Kind.UPSTREAM_OVERLOADED, "model"
    if named in _WHOLE_ACCOUNT:
        error.scope = "account"
    if named is not None and named in _FIXES:
        error.message = f"{error.message.rstrip('. ')}. {_FIXES[named]}"
    if named == "usage_limit_reached":
        _until_reset(error, said, now)
    if not KINDS[error.kind].retry:
        error.retry_after, error.stated = None, False
    return error


def _until_reset(error: GatewayError, said: Json, now: float | None) -> None:
    """A window of the plan is used up until the time that the body states."""
    seconds, moment = _number(said.get("resets_in_seconds")), _number(said.get("resets_at"))
    if seconds is None and moment is not None:
        seconds = moment - (time.time() if now is None else now)
    if seconds is not None:
        error.retry_after, error.stated = max(0.0, seconds), True


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 else None


def failed_body(error: GatewayError) -> Json:
    """GatewayError → `response.error`. The caller's faults keep the provider's more exact code where it is one of this API."""
    code = _CODES.get(error.kind, "server_error")
    if error.info.fault == "caller" and error.code is not None and error.code in _KINDS:
        code = error.code
    return {"code": code, "message": error.message}
