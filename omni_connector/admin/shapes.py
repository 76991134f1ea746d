"""What the admin API answers: values of the store → the JSON that dashboard, CLI and scripts rely on.

Pure. No function here is given a secret it could leak, except `account`, which leaves `secret`, `headers` and
`proxy_url` out, and of a command's environment all but the names (the test reads every answer for them).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omni_connector.nodes import node_of
from omni_connector.providers import command_values
from omni_connector.snapshot import Account, ClientKey, Cooldown
from omni_connector.store.jobs import JobRow
from omni_connector.usage import usd
from omni_connector.values import dataclass

Json = dict[str, Any]
MODEL_SCOPE = "model:"


@dataclass(frozen=True, slots=True)
class TestResult:
    """What asking a provider for its models said. `status` is its HTTP status, None when it was never reached."""

    __test__ = False  # the name is the admin API's word; pytest shall not collect it

    ok: bool
    status: int | None
    message: str
    models: tuple[str, ...] = ()
    latency_ms: int = 0

    def as_json(self) -> Json:
        return {
            "ok": self.ok,
            "status": self.status,
            "message": self.message,
            "models": list(self.models),
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True, slots=True)
class Activity:
    """What an account did lately. `heartbeat`: oldest first."""

    in_flight: int = 0
    heartbeat: Sequence[Json] = ()
    requests_today: int = 0
    cost_today: str | None = "0.000000"
    last_used_at: int | None = None


def account(
    item: Account, provider_label: str, cooldowns: Iterable[Cooldown], activity: Activity, now_ms: int, families: Iterable[str] = ()
) -> Json:
    """`families`: the model families the account serves; when every one of them cools, so does the account.

    What the account says itself is shown, without what was set for its provider; only `status` knows that too.
    """
    own = item.own or item
    live = [c for c in cooldowns if c.until_at > now_ms]
    status, reason, leading = standing(item, live, set(families))
    return {
        "id": item.id,
        "provider": item.provider,
        "provider_label": provider_label,
        "demo": item.demo,
        "label": item.label,
        "auth": item.auth,
        "key_hint": item.key_hint,
        "access_until": item.access_until,
        "base_url": own.base_url,
        "models": list(item.models),
        "discovered": list(item.discovered),
        "serves": list(item.known_models),
        "prefix": item.prefix,
        "model_map": dict(own.model_map),
        "enabled": own.enabled,
        "priority": item.priority,
        "weight": item.weight,
        "max_in_flight": item.max_in_flight,
        "rpm": item.rpm,
        "tpm": item.tpm,
        "budget": item.budget,
        "options": _options(item),
        "proxy": bool(item.proxy_url),
        "status": status,
        "status_reason": reason,
        "cooldown": None if leading is None else cooldown(leading),
        "cooldowns": [cooldown(c) for c in live],
        "quota": [dict(q) for q in item.quota],
        "balance": item.balance,
        "in_flight": activity.in_flight,
        "last_used_at": activity.last_used_at,
        "created_at": item.created_at,
        "heartbeat": [dict(beat) for beat in activity.heartbeat],
        "requests_today": activity.requests_today,
        "cost_today": activity.cost_today,
    }


def _options(item: Account) -> Json:
    """Secrets in them are masked: what they stand for is kept, and never shown."""
    if item.auth == "cli":
        return command_values.shown(item.options)
    return {**item.options, "usage_key": command_values.MASK} if item.usage_key else dict(item.options)


def cooldown(item: Cooldown) -> Json:
    return {"until": item.until_at, "source": item.source, "scope": item.scope or "account", "reason": item.reason}


def standing(item: Account, live: Sequence[Cooldown], families: set[str]) -> tuple[str, str, Cooldown | None]:
    """Status word, its reason, and the cooldown that matters most: the account's own before a model family's."""
    whole = [c for c in live if not c.scope]
    leading = max(whole or live, key=lambda c: c.until_at, default=None)
    if not item.enabled:
        return "disabled", f"{item.switched_off or 'switched off'}.".capitalize(), leading
    if item.state == "needs_login":
        return "needs_login", item.state_reason or "The provider refuses the credential.", leading
    if item.state == "error":
        return "error", item.state_reason or "The account does not work.", leading
    if leading is None:
        return "ready", "", None
    if leading.source == "terminal" and not leading.scope:
        return "locked", leading.reason, leading
    cooling = {c.scope.removeprefix(MODEL_SCOPE) for c in live if c.scope.startswith(MODEL_SCOPE)}
    if whole or (cooling and cooling >= families):
        return "cooling", leading.reason, leading
    return "ready", f"Cooling for {', '.join(sorted(cooling))}: {leading.reason}", leading


def key(item: ClientKey, now_ms: int) -> Json:
    return {
        "id": item.id,
        "name": item.name,
        "hint": item.hint,
        "created_at": item.created_at,
        "expires_at": item.expires_at,
        "revoked_at": item.revoked_at,
        "last_used_at": item.last_used_at,
        "models": None if item.models is None else list(item.models),
        "providers": None if item.providers is None else list(item.providers),
        "rpm": item.rpm,
        "tpm": item.tpm,
        "max_in_flight": item.max_in_flight,
        "budget": item.budget,
        "status": item.status(now_ms),
    }


def job(row: JobRow) -> Json:
    return {
        "id": row.id,
        "kind": row.kind,
        "key": row.key,
        "due_at": row.due_at,
        "interval_s": None if row.interval_ms is None else row.interval_ms // 1000,
        "attempts": row.attempts,
        "state": row.state,
        "last_run_at": row.last_run_at,
        "last_ok_at": row.last_ok_at,
        "last_error": row.last_error,
        "lease_until": row.lease_until,
    }


def request(row: Mapping[str, Any]) -> Json:
    """A row of the `requests` table → the row people read. Works for open rows too, whose later columns are null."""
    # A recovered row has words but no kind: nothing failed that could be named.
    kind, words = row.get("error_kind"), row.get("error_message")
    error = {"kind": kind, "message": words} if kind or words else None
    return {
        "id": row["id"],
        "at": row["started_at"],
        "state": row["state"],
        "outcome": row.get("outcome"),
        "flag": row.get("flag"),
        "protocol": row.get("wire"),
        "path": row.get("path"),
        "stream": bool(row.get("stream")),
        "client": row.get("client"),
        "node": node_of(row.get("process_id") or ""),
        "key": {"id": row.get("key_id"), "name": row.get("key_name")},
        "model_requested": row.get("model_requested"),
        "model": row.get("model"),
        "provider": row.get("provider"),
        "account": {"id": row.get("account_id"), "label": row.get("account_label")},
        "http_status": row.get("http_status"),
        "attempts": row.get("attempts") or [],
        "skipped": row.get("skipped") or [],
        "route": row.get("route"),
        "dropped": row.get("dropped") or [],
        "first_token_ms": row.get("first_token_ms"),
        "duration_ms": row.get("duration_ms"),
        "usage": {
            "input": row.get("input"),
            "cache_read": row.get("cache_read"),
            "cache_write": row.get("cache_write"),
            "output": row.get("output"),
            "reasoning": row.get("reasoning"),
            "source": row.get("usage_source") or "none",
        },
        "cost": {"usd": usd(row.get("cost_nano")), "source": row.get("price_source"), "worth_usd": usd(row.get("shadow_nano"))},
        "error": error,
    }
