"""Operations on the books: requests that were made, and what they added up to. (R-49)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from omni_connector.admin import bodies, shapes
from omni_connector.admin.room import Room
from omni_connector.admin.when import DAY_MS, parse_when
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.store import requests as table
from omni_connector.usage import usd

Json = dict[str, Any]
GROUPS: tuple[table.Group, ...] = get_args(table.Group)
MAX_ROWS = 200
"""Of one page; a larger `limit` gets this many."""
DEFAULT_SPAN_MS = 30 * DAY_MS
_SUMMED = ("requests", "failed", *table.TOKENS, "unpriced")


class Books(Room):
    async def requests(self, filters: Mapping[str, str] | None = None) -> Json:
        """GET /api/requests → {"requests": newest first, "next": id to pass as `before`, or null at the end}."""
        query = bodies.read_query(filters or {}, bodies.RequestFilters)
        limit = min(bodies.at_least(query.limit, 1, "limit") or 1, MAX_ROWS)
        if query.status and query.status not in ("ok", "failed", "open") and not (query.status.isdecimal() and len(query.status) == 3):
            raise bad_request(f"status: ok, failed, open or an HTTP status such as 429, not {query.status!r}.", "status")
        wanted = {
            name: value
            for name in ("protocol", "provider", "model", "account", "key", "status", "flag", "text")
            if (value := getattr(query, name)) is not None
        }
        # One more than asked for tells whether there is a next page.
        rows = await self.db.run(lambda conn: table.list_requests(conn, wanted, query.before, limit + 1))
        page = rows[:limit]
        return {"requests": [shapes.request(row) for row in page], "next": page[-1]["id"] if len(rows) > limit else None}

    async def request(self, request_id: str) -> Json:
        """GET /api/requests/{id} → the row as in the list, and `plan` (`Plan.as_json`; null while it is open). Raises NOT_FOUND."""
        row = await self.db.run(lambda conn: table.get(conn, request_id))
        if row is None:
            raise GatewayError(Kind.NOT_FOUND, f"There is no request {request_id!r}; it may be past the retention time.", param="id")
        return {**shapes.request(row), "plan": row["plan"]}

    async def usage(self, params: Mapping[str, str] | None = None) -> Json:
        """GET /api/usage → sums per group over [from, to), the last 30 days when not said. Days are UTC days.

        `cost_usd` adds the known prices; `unpriced` counts the requests it leaves out. It is null when nothing is known.
        """
        query = bodies.read_query({k: v for k, v in (params or {}).items() if v is not None}, bodies.UsageQuery)
        group = next((known for known in GROUPS if known == query.group), None)
        if group is None:
            raise bad_request(f"group: one of {', '.join(GROUPS)}, not {query.group!r}.", "group")
        now = self._clock()
        until = parse_when(query.to, now, "to", "back") if query.to else now + 1
        since = parse_when(query.from_, now, "from", "back") if query.from_ else max(0, until - DEFAULT_SPAN_MS)
        if since >= until:
            raise bad_request("from: it must lie before `to`.", "from")
        rows = await self.db.run(lambda conn: table.usage(conn, group, since, until))
        total = {name: sum(row[name] for row in rows) for name in (*_SUMMED, "cost_nano")}
        return {
            "group": group,
            "from": since,
            "to": until,
            "rows": [{"name": row["name"], "id": row["id"], **_sums(row)} for row in rows],
            "total": _sums(total),
        }


def _sums(row: Mapping[str, Any]) -> Json:
    unknown = row["unpriced"] > 0 and row["cost_nano"] == 0
    return {**{name: row[name] for name in _SUMMED}, "cost_usd": None if unknown else usd(row["cost_nano"])}
