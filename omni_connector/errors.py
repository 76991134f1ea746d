"""Every failure, once: kind, status, whose fault, and what happens next.

The table KINDS is the whole policy (DESIGN.md, law 2). `docs/errors.md` is generated from it, each wire format
holds one map from kind to its own vocabulary, and the relay reads `retry` and `cools` instead of guessing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import StrEnum
from typing import Any, Literal

from omni_connector.values import dataclass

Fault = Literal["caller", "account", "provider", "network", "us", "nobody"]


class Kind(StrEnum):
    """The name of a failure. One meaning each, in code, API, docs and dashboard."""

    BAD_REQUEST = "bad_request"
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_FILTERED = "content_filtered"
    TOO_LARGE = "too_large"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    MODEL_NOT_FOUND = "model_not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    BUDGET_SPENT = "budget_spent"
    RATE_LIMITED = "rate_limited"
    ACCOUNT_RATE_LIMITED = "account_rate_limited"
    ACCOUNT_REJECTED = "account_rejected"
    ACCOUNT_FORBIDDEN = "account_forbidden"
    ACCOUNT_UNPAID = "account_unpaid"
    UPSTREAM_MODEL_MISSING = "upstream_model_missing"
    UPSTREAM_OVERLOADED = "upstream_overloaded"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    NO_ACCOUNT = "no_account"
    CLIENT_LEFT = "client_left"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class KindInfo:
    """One row of the policy: HTTP status for the client, owner of the failure, and what the relay does next."""

    status: int
    fault: Fault
    retry: bool
    """True: another account may be tried as long as no byte has reached the client."""
    cools: bool
    """True: the account (or its model family) is taken out for a while."""
    flag: str
    """Short reason on the request row, after Envoy's response flags."""
    meaning: str


KINDS: Mapping[Kind, KindInfo] = {
    Kind.BAD_REQUEST: KindInfo(400, "caller", False, False, "BAD_REQUEST", "The request is malformed or a value is not allowed."),
    Kind.CONTEXT_TOO_LONG: KindInfo(400, "caller", False, False, "CONTEXT", "The conversation does not fit the model's window."),
    Kind.CONTENT_FILTERED: KindInfo(400, "caller", False, False, "FILTERED", "The provider's content policy refused the prompt."),
    Kind.TOO_LARGE: KindInfo(413, "caller", False, False, "TOO_LARGE", "The body is larger than this server or the provider accepts."),
    Kind.UNAUTHENTICATED: KindInfo(401, "caller", False, False, "NO_KEY", "The omni-key is missing, unknown, expired or revoked."),
    Kind.FORBIDDEN: KindInfo(403, "caller", False, False, "FORBIDDEN", "The omni-key may not use this model, provider or route."),
    Kind.NOT_FOUND: KindInfo(404, "caller", False, False, "NOT_FOUND", "There is no such route or object."),
    Kind.MODEL_NOT_FOUND: KindInfo(404, "caller", False, False, "NO_MODEL", "No connected account serves a model of that name."),
    Kind.METHOD_NOT_ALLOWED: KindInfo(405, "caller", False, False, "METHOD", "The route exists, but not for this HTTP method."),
    Kind.CONFLICT: KindInfo(409, "caller", False, False, "CONFLICT", "The change collides with something that exists already."),
    Kind.BUDGET_SPENT: KindInfo(402, "caller", False, False, "BUDGET", "The budget of this omni-key is spent."),
    Kind.RATE_LIMITED: KindInfo(429, "caller", False, False, "RATE_LIMIT", "This omni-key sends more than it is allowed to."),
    Kind.ACCOUNT_RATE_LIMITED: KindInfo(429, "account", True, True, "ACCOUNT_LIMIT", "The provider limits this account for now."),
    Kind.ACCOUNT_REJECTED: KindInfo(502, "account", True, True, "ACCOUNT_LOGIN", "The provider refuses the account's credential."),
    Kind.ACCOUNT_FORBIDDEN: KindInfo(
        502, "account", True, True, "ACCOUNT_DENIED", "The provider denies the account this model, region or service."
    ),
    Kind.ACCOUNT_UNPAID: KindInfo(502, "account", True, True, "ACCOUNT_UNPAID", "The account has no credit left."),
    Kind.UPSTREAM_MODEL_MISSING: KindInfo(
        502, "account", True, True, "UPSTREAM_MODEL", "The provider does not know this model for the account."
    ),
    Kind.UPSTREAM_OVERLOADED: KindInfo(503, "provider", True, True, "OVERLOADED", "The provider has no capacity right now."),
    Kind.UPSTREAM_UNREACHABLE: KindInfo(502, "network", True, True, "UNREACHABLE", "The provider could not be reached."),
    Kind.UPSTREAM_FAILED: KindInfo(502, "provider", True, True, "UPSTREAM", "The provider answered with an error or broke off."),
    Kind.UPSTREAM_TIMEOUT: KindInfo(504, "provider", True, True, "TIMEOUT", "The provider did not answer in time."),
    Kind.NO_ACCOUNT: KindInfo(503, "us", False, False, "NO_ACCOUNT", "No connected account can serve the request now."),
    Kind.CLIENT_LEFT: KindInfo(
        499, "nobody", False, False, "CLIENT_LEFT", "The client closed the connection before the answer was complete."
    ),
    Kind.INTERNAL: KindInfo(500, "us", False, False, "INTERNAL", "A fault of omni-connector itself."),
}


CALLER_STATUSES = (409, 413, 415, 422)
"""A provider's own word for a caller's mistake that is worth more than our 400."""


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """One line of the 503 breakdown: a candidate that was tried and failed, or was skipped, and why."""

    provider: str
    account: str
    status: int | None
    message: str
    skipped: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "account": self.account,
            "status": self.status,
            "message": self.message,
            "skipped": self.skipped,
        }


@dataclass(slots=True, eq=False)
class GatewayError(Exception):
    """The only exception that crosses rooms.

    `message` is safe to show: it names the field, the reason and the fix, and never holds a secret.
    `retry_after` is in seconds. `upstream_status` is what the provider answered, if it answered.
    """

    kind: Kind
    message: str
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None
    upstream_status: int | None = None
    scope: str | None = None
    """What the provider's error named: "account" or "model". None: the kind's usual scope."""
    stated: bool = False
    """True when `retry_after` is the provider's own time, not a guess."""
    failures: Sequence[ProviderFailure] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"

    @property
    def info(self) -> KindInfo:
        return KINDS[self.kind]

    @property
    def status(self) -> int:
        """HTTP status for the client: an account's fault that reaches the client is a 502/503, never its own 401."""
        if self.info.fault == "caller" and self.upstream_status in CALLER_STATUSES:
            return self.upstream_status
        return self.info.status


def bad_request(message: str, param: str | None = None) -> GatewayError:
    """A caller's mistake, in one call: the message names field, reason and fix."""
    return GatewayError(Kind.BAD_REQUEST, message, param=param)
