"""Errors of Code Assist: Gemini's, with reasons of its own in ErrorInfo (domain cloudcode-pa.googleapis.com; upstreams.md §4, §5).

Those that only the account's owner can end say what to do, with the address that Google gives.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from omni_connector.chat import Json
from omni_connector.errors import GatewayError, Kind
from omni_connector.wire import gemini_errors
from omni_connector.wire.gemini_words import camel, loads
from omni_connector.wire.retry_after import go_duration

VALIDATION, UNSUPPORTED = "VALIDATION_REQUIRED", "UNSUPPORTED_CLIENT"
UNSUPPORTED_ADVICE = (
    "Google serves this sign-in only to accounts with a Gemini Code Assist Standard or Enterprise licence since 2026-06-18. "
    "With another account use an API key (provider gemini)."
)
_RESET = re.compile(r"\breset(?:s)? (?:after|in) ((?:\d+(?:\.\d+)?(?:ms|[dhms])\s?)+)", re.IGNORECASE)
_WAITING = (Kind.ACCOUNT_RATE_LIMITED, Kind.UPSTREAM_OVERLOADED)


def parse_error(status: int, headers: Mapping[str, str], body: Any, now: float | None = None) -> GatewayError:
    """As `gemini_errors.parse_error`. The order in which a wait is believed: RetryInfo, quotaResetDelay, then the time stamp and
    the words "reset after 1h2m3s". What the owner must do concerns the whole account."""
    found = gemini_errors.parse_error(status, headers, body, now)
    reason, metadata = _info(body)
    if found.kind in _WAITING and found.retry_after is None:
        found.retry_after = _reset(metadata, found.message, time.time() if now is None else now)
        found.stated = found.retry_after is not None
    if reason == VALIDATION:
        found.kind, found.scope = Kind.ACCOUNT_FORBIDDEN, "account"
        found.message = validation_message(found.message, next(iter(found.details.get("links", ())), ""))
    elif reason == UNSUPPORTED or UNSUPPORTED in found.message:
        found.kind, found.scope, found.code = Kind.ACCOUNT_FORBIDDEN, "account", UNSUPPORTED
        found.message = _sentences(found.message, UNSUPPORTED_ADVICE)
    return found


def error_in(chunk: Json) -> GatewayError | None:
    """As `gemini_errors.error_in`, for a chunk out of its wrapper."""
    plain = gemini_errors.error_in(chunk)
    if plain is None:
        return None
    found = parse_error(plain.upstream_status or 500, {}, {"error": chunk["error"]})
    found.message = found.message if _info(chunk)[0] in (VALIDATION, UNSUPPORTED) else plain.message
    return found


def validation_message(words: str, link: str) -> str:
    """What Google says, and where the owner verifies the account."""
    where = f"open {link} in a browser that is signed in to it" if link else "open Gemini Code Assist or Antigravity with it"
    return _sentences(words or "Google wants this account to be verified.", f"To verify the account, {where}; then try again.")


def _sentences(*parts: str) -> str:
    return " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part)


def _info(body: Any) -> tuple[str, Json]:
    """Reason and metadata of the body's ErrorInfo."""
    value = loads(bytes(body)) if isinstance(body, bytes | bytearray) else loads(body) if isinstance(body, str) else body
    if isinstance(value, list):
        value = value[0] if value else None
    error = value.get("error") if isinstance(value, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith(".ErrorInfo"):
            metadata = detail.get("metadata")
            return str(detail.get("reason") or ""), camel(metadata) if isinstance(metadata, dict) else {}
    return "", {}


def _reset(metadata: Json, message: str, now: float) -> float | None:
    stamp = metadata.get("quotaResetTimeStamp")
    try:
        wait = datetime.fromisoformat(stamp).timestamp() - now if isinstance(stamp, str) else 0.0
    except (ValueError, OverflowError):
        wait = 0.0
    if wait > 0:
        return wait
    told = _RESET.search(message)
    return go_duration(re.sub(r"\s", "", told[1].lower())) if told else None
