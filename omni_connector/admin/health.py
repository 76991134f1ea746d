"""How well the accounts are, for people and for monitoring systems: read from memory, nothing is asked of the database. (C-77)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from omni_connector import catalog, providers
from omni_connector.admin import bodies, shapes
from omni_connector.admin.accounts import Accounts
from omni_connector.admin.catalogue import STATUSES
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.routing.pool import Live
from omni_connector.snapshot import Account

Json = dict[str, Any]
Standing = tuple[Account, str, str]
"""An account, its status and the reason."""

PARAMS = ("provider", "account", "customName", "max_unhealthy", "unhealthRatioThreshold")
"""`customName` and `unhealthRatioThreshold` are the names that AIClient2API's forks know for `account` and `max_unhealthy`."""


class Health(Accounts):
    def standing(self) -> list[Standing]:
        """Every account, the preferred ones first."""
        ordered = sorted(self._snapshot().accounts, key=lambda a: (-a.priority, a.label.lower()))
        return [self._stands(account) for account in ordered]

    async def provider_health(self, params: Mapping[str, str] | None = None) -> Json:
        """GET /provider_health[?provider=ID&account=LABEL&max_unhealthy=0.5]: the accounts, by provider, without those that nobody
        connected. (C-77)

        `healthy`: somebody can serve, and no more than `max_unhealthy` (a share, 0 to 1) of those that are switched on cannot.
        Raises BAD_REQUEST for a parameter that is none, NOT_FOUND for a provider or account that is not connected.
        """
        query = dict(params or {})
        most = _share(query)
        rows = self._chosen(query)
        found: Json = {}
        for provider in dict.fromkeys(account.provider for account, _, _ in rows):
            mine = [row for row in rows if row[0].provider == provider]
            found[provider] = {**_sums(mine), "accounts": [self._told(*row) for row in mine]}
        sums = _sums(rows)
        return {**sums, "healthy": sums["ready"] > 0 and sums["unhealthy_ratio"] <= most, "providers": found}

    def _stands(self, account: Account) -> Standing:
        families = {catalog.family(model) for model in account.known_models}
        live = [item for item in self._cooldowns(account.id) if item.until_at > self._clock()]
        status, reason, _ = shapes.standing(account, live, families)
        return account, status, reason

    def _chosen(self, query: Mapping[str, str]) -> list[Standing]:
        rows = self.standing()
        if wanted := query.get("provider", ""):
            provider = providers.get(wanted).id
            rows = _only([row for row in rows if row[0].provider == provider], f"No account of {wanted!r} is connected.", "provider")
        if wanted := query.get("account", "") or query.get("customName", ""):
            rows = _only([row for row in rows if wanted in (row[0].label, row[0].id)], f"There is no account {wanted!r}.", "account")
        return rows

    def _told(self, account: Account, status: str, reason: str) -> Json:
        return {"id": account.id, "label": account.label, "status": status, "status_reason": reason, **counted(self._live(account.id))}


def _only(rows: list[Standing], words: str, param: str) -> list[Standing]:
    if not rows:
        raise GatewayError(Kind.NOT_FOUND, words, param=param)
    return rows


def _share(query: Mapping[str, str]) -> float:
    """The share of accounts that may be out. Raises BAD_REQUEST for it, and for a parameter that is none."""
    for name in query:
        if name not in PARAMS:
            raise bad_request(f"{name}: there is no such parameter{bodies.did_you_mean(name, PARAMS)}.", name)
    name = next((name for name in ("max_unhealthy", "unhealthRatioThreshold") if query.get(name)), "")
    try:
        share = float(query[name]) if name else 1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise bad_request(f"{name}: a share from 0 to 1, for example 0.5.", name)
    return share


def _sums(rows: Sequence[Standing]) -> Json:
    """`unhealthy_ratio`: of those that are switched on, which cannot serve now."""
    found = [status for _, status, _ in rows]
    wanted = [status for status in found if status != "disabled"]
    ready = wanted.count("ready")
    return {
        "status": overall(found),
        "ready": ready,
        "total": len(wanted),
        "unhealthy_ratio": round(1 - ready / len(wanted), 4) if wanted else 0.0,
        "counts": counts(found),
    }


def counted(live: Live) -> Json:
    """The last requests of an account in this process (at most pool.RECENT): how many, how many failed, and the last failure. (C-99)"""
    failed = [outcome for outcome in live.recent if not outcome.ok]
    recent = len(live.recent)
    return {
        "recent": recent,
        "errors": len(failed),
        "success_rate": round(1 - len(failed) / recent, 4) if recent else None,
        "last_error_at": failed[-1].at if failed else None,
        "last_error": failed[-1].flag if failed else None,
    }


def counts(statuses: Iterable[str]) -> Json:
    found = Counter(statuses)
    return {status: found.get(status, 0) for status in STATUSES}


def overall(statuses: Iterable[str]) -> str:
    """ "ok", "degraded", "down" or "empty". What is switched off on purpose is no trouble."""
    wanted = [status for status in statuses if status != "disabled"]
    if not wanted:
        return "empty"
    ready = sum(status == "ready" for status in wanted)
    return "ok" if ready == len(wanted) else "degraded" if ready else "down"
