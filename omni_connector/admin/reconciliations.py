"""Operations on what providers say was spent, beside what the books say. (R-49)"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from omni_connector.admin import bodies
from omni_connector.admin.room import Room
from omni_connector.reconciling import KEPT_DAYS, LEAST, SHARE, reader, why_not
from omni_connector.store import reconciliations as table
from omni_connector.usage import usd

Json = dict[str, Any]
DAYS = 30


class Since(Struct, forbid_unknown_fields=True, kw_only=True):
    """GET /api/reconciliations: how many days back."""

    days: int | None = None


class Reconciliations(Room):
    async def reconciliations(self, params: Mapping[str, str] | None = None) -> Json:
        """GET /api/reconciliations[?days=30] → {"days": [one account's day, newest first], "accounts": [each account whose provider tells
        what was spent], "tolerance": {"usd", "share"}}.

        A day: {"day" of UTC, "account": {"id", "label"}, "provider", "state", "words", "scope", "theirs_usd" or null, "ours_usd",
        "difference_usd" or null, "unpriced", "at" ms}. State: equal; differs; more (than our books: others may use the same organisation);
        unknown. Scope: organisation, or the part of it that options.usage_project names.
        An account: {"id", "label", "provider", "compared", "words": why not}.
        """
        days = bodies.at_least(bodies.read_query(params or {}, Since).days, 1, "days", KEPT_DAYS) or DAYS
        since = str(datetime.fromtimestamp(self._clock() / 1000, UTC).date() - timedelta(days=days))
        rows = await self.db.run(lambda conn: table.listed(conn, since))
        known = {account.id: account for account in self._snapshot().accounts}
        labels: Mapping[str, str] = {account.id: account.label for account in known.values()}
        told = [account for account in known.values() if reader(account) is not None]
        return {
            "days": [_shape(row, labels.get(str(row["account_id"]), str(row["label"]))) for row in rows],
            "accounts": [
                {
                    "id": account.id,
                    "label": account.label,
                    "provider": account.provider,
                    "compared": account.enabled and bool(account.usage_key),
                    "words": why_not(account) or ("" if account.enabled else "switched off"),
                }
                for account in sorted(told, key=lambda one: one.label.lower())
            ],
            "tolerance": {"usd": f"{LEAST:f}", "share": f"{SHARE:f}"},
        }


def _shape(row: Mapping[str, Any], label: str) -> Json:
    theirs, ours = row["theirs_nano"], row["ours_nano"]
    return {
        "day": row["day"],
        "account": {"id": row["account_id"], "label": label},
        "provider": row["provider"],
        "state": row["state"],
        "words": row["words"],
        "scope": row["scope"],
        "theirs_usd": usd(theirs),
        "ours_usd": usd(ours),
        "difference_usd": None if theirs is None or ours is None else usd(theirs - ours),
        "unpriced": row["unpriced"],
        "at": row["at"],
    }
