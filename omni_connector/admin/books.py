"""Operations on the books: requests that were made, and what they added up to. (R-49)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, get_args

from omni_connector import providers
from omni_connector.admin import bodies, shapes, sheets
from omni_connector.admin.room import Room
from omni_connector.admin.when import DAY_MS, parse_when
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.periods import zone_of
from omni_connector.store import requests as table
from omni_connector.store import sums
from omni_connector.usage import usd

Json = dict[str, Any]
GROUPS: tuple[sums.Group, ...] = get_args(sums.Group)
FILTERS = ("protocol", "provider", "model", "account", "key", "status", "flag", "client", "text")
PAGE = 50
MAX_ROWS = 200
"""Of one page; a larger `limit` gets this many."""
FILE_ROWS = 500
"""That are read at once for a file."""
DEFAULT_SPAN_MS = 30 * DAY_MS
_SUMMED = ("requests", "failed", *table.TOKENS, "unpriced")


class Books(Room):
    async def requests(self, filters: Mapping[str, str] | None = None) -> Json:
        """GET /api/requests → {"requests": newest first, "next": id to pass as `before`, or null at the end}.

        A search that no index helps looks through so many rows a page: the page may be short or empty, and `next` tells to go on.
        """
        query, wanted = _read_filters(filters)
        rows, following = await self._page(wanted, query.before, min(query.limit or PAGE, MAX_ROWS))
        return {"requests": rows, "next": following}

    async def _page(self, wanted: Mapping[str, str], before: str | None, limit: int) -> tuple[list[Json], str | None]:
        # One more than asked for tells whether there is a next page.
        rows, floor = await self.db.run(lambda conn: table.page(conn, wanted, before, limit + 1))
        page = [shapes.request(row) for row in rows[:limit]]
        return page, page[-1]["id"] if len(rows) > limit else floor

    def requests_file(self, filters: Mapping[str, str] | None = None) -> tuple[str, AsyncIterator[bytes]]:
        """GET /api/requests?format=csv|jsonl → media type and the file piece by piece: all rows that the filters let through, newest
        first, or `limit` of them. Raises BAD_REQUEST at once."""
        query, wanted = _read_filters(filters)
        return sheets.TYPES[query.format], self._pieces(query, wanted)

    async def _pieces(self, query: bodies.RequestFilters, wanted: Mapping[str, str]) -> AsyncIterator[bytes]:
        yield sheets.request_titles(query.format).encode()
        left, before = query.limit, query.before
        while left is None or left > 0:
            rows, before = await self._page(wanted, before, FILE_ROWS if left is None else min(left, FILE_ROWS))
            yield sheets.request_lines(rows, query.format).encode()
            if before is None:
                return
            left = None if left is None else left - len(rows)

    async def request(self, request_id: str) -> Json:
        """GET /api/requests/{id} → the row as in the list, and `plan` (`Plan.as_json`; null while it is open). Raises NOT_FOUND."""
        row = await self.db.run(lambda conn: table.get(conn, request_id))
        if row is None:
            raise GatewayError(Kind.NOT_FOUND, f"There is no request {request_id!r}; it may be past the retention time.", param="id")
        return {**shapes.request(row), "plan": row["plan"]}

    async def usage_of(self, provider_id: str, params: Mapping[str, str] | None = None) -> Json:
        """GET /api/usage/{type} → the same of one provider. Raises NOT_FOUND."""
        provider = providers.get(provider_id).id
        return {"provider": provider, **await self.usage(params, provider)}

    async def usage(self, params: Mapping[str, str] | None = None, provider: str | None = None) -> Json:
        """GET /api/usage → sums per group over [from, to), the last 30 days when not said. Days, and times that are written without a
        zone, are those of `zone` (UTC when not said); hours are those of UTC.

        `cost_usd` adds the known prices; `unpriced` counts the requests it leaves out. It is null when nothing is known. `worth_usd`: what
        subscriptions paid for would have cost by the token, as far as that is known.
        """
        query = bodies.read_query({k: v for k, v in (params or {}).items() if v is not None}, bodies.UsageQuery)
        group = next((known for known in GROUPS if known == query.group), None)
        if group is None:
            raise bad_request(f"group: one of {', '.join(GROUPS)}, not {query.group!r}.", "group")
        now, named = self._clock(), bodies.zone_name(query.zone or "UTC", "zone")
        zone = zone_of(named)
        until = parse_when(query.to, now, "to", "back", zone) if query.to else now + 1
        since = parse_when(query.from_, now, "from", "back", zone) if query.from_ else max(0, until - DEFAULT_SPAN_MS)
        if since >= until:
            raise bad_request("from: it must lie before `to`.", "from")
        rows = await self.db.run(lambda conn: sums.usage(conn, group, since, until, zone, provider))
        total = {name: sum(row[name] for row in rows) for name in (*_SUMMED, "cost_nano", "shadow_nano")}
        return {
            "group": group,
            "currency": "USD",
            "from": since,
            "to": until,
            "zone": named,
            "rows": [{"name": row["name"], "id": row["id"], **_sums(row)} for row in rows],
            "total": _sums(total),
        }


def _read_filters(filters: Mapping[str, str] | None) -> tuple[bodies.RequestFilters, dict[str, str]]:
    """The query, and its filters that are set. Raises BAD_REQUEST naming the parameter."""
    query = bodies.read_query(filters or {}, bodies.RequestFilters)
    bodies.at_least(query.limit, 1, "limit")
    must_be_a_status(query.status)
    return query, {name: value for name in FILTERS if (value := getattr(query, name)) is not None}


def must_be_a_status(wanted: str | None) -> None:
    """Raises BAD_REQUEST."""
    if wanted and wanted not in ("ok", "failed", "open") and not (wanted.isdecimal() and len(wanted) == 3):
        raise bad_request(f"status: ok, failed, open or an HTTP status such as 429, not {wanted!r}.", "status")


def _sums(row: Mapping[str, Any]) -> Json:
    unknown = row["unpriced"] > 0 and row["cost_nano"] == 0
    cost, worth = None if unknown else usd(row["cost_nano"]), usd(row["shadow_nano"])
    return {**{name: row[name] for name in _SUMMED}, "cost_usd": cost, "worth_usd": worth}
