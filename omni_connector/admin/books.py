"""Operations on the books: requests that were made, and what they added up to. (R-49)"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import tzinfo
from typing import Any, get_args

from omni_connector import providers
from omni_connector.admin import bodies, shapes, sheets
from omni_connector.admin.room import Room
from omni_connector.admin.when import DAY_MS, parse_when
from omni_connector.errors import GatewayError, Kind, bad_request
from omni_connector.periods import zone_of
from omni_connector.store import bars, sums
from omni_connector.store import requests as table
from omni_connector.usage import usd

Json = dict[str, Any]
Row = table.Row
GROUPS: tuple[sums.Group, ...] = get_args(sums.Group)
FILTERS = ("protocol", "provider", "model", "account", "key", "status", "flag", "client", "text")
PAGE = 50
MAX_ROWS = 200
"""Of one page; a larger `limit` gets this many."""
FILE_ROWS = 500
"""That are read at once for a file."""
DEFAULT_SPAN_MS = 30 * DAY_MS
MOST_BARS = 1500
"""Of one answer: two months of hours, four years of days."""
LARGEST = 7
"""Groups that bars are told of one by one, by each measure; the rest are added up."""
_SUMMED = ("requests", "failed", *table.TOKENS, "unpriced")
_ADDED = (*_SUMMED, "cost_nano", "shadow_nano")
_READ_AND_WRITTEN = ("input", "cache_read", "cache_write", "output")
_MEASURES: tuple[Callable[[Mapping[str, Any]], int], ...] = (
    lambda row: int(row["requests"]),
    lambda row: sum(row[name] for name in _READ_AND_WRITTEN),
    lambda row: int(row["cost_nano"] + row["shadow_nano"]),
)


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

        `bucket` (with a group that is no time) tells how the rows come about over time, too: "bars", one for each hour or day, and
        "series", whose lists hold a figure for each bar, of the largest LARGEST by requests, by tokens and by what they cost or are
        worth; "others" has the rest together, null when there are none.
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
        over: Json = {}
        if query.bucket is None:
            rows = await self.db.run(lambda conn: sums.usage(conn, group, since, until, zone, provider))
        else:
            rows, over = await self._over_time(group, query.bucket, (since, until), zone, provider)
        total = {name: sum(row[name] for row in rows) for name in _ADDED}
        return {
            "group": group,
            "currency": "USD",
            "from": since,
            "to": until,
            "zone": named,
            "rows": [{"name": row["name"], "id": row["id"], **_sums(row)} for row in rows],
            "total": _sums(total),
            **over,
        }

    async def _over_time(
        self, group: sums.Group, bucket: bars.Bucket, span: sums.Span, zone: tzinfo, provider: str | None
    ) -> tuple[list[Row], Json]:
        if group in ("day", "hour"):
            raise bad_request(f"bucket: with a group that is no time, not {group!r}.", "bucket")
        if (span[1] - span[0]) // (table.HOUR_MS if bucket == "hour" else DAY_MS) > MOST_BARS:
            raise bad_request(f"bucket: at most {MOST_BARS} bars; ask for a shorter time.", "bucket")
        places = bars.places(bucket, *span, zone)
        found = await self.db.run(lambda conn: bars.usage(conn, group, places, span, provider))
        rows: dict[str | None, Row] = {}
        totals = [_nothing() for _ in places]
        parts: dict[str | None, list[Row]] = {}
        for place, row in found:
            of = row["id"] if group in sums.NAMED else row["name"]
            if of not in rows:
                rows[of], parts[of] = {**row, **_nothing()}, [_nothing() for _ in places]
            rows[of]["name"] = max(rows[of]["name"], row["name"])
            for into in (rows[of], totals[place], parts[of][place]):
                _add(into, row)
        ranked = sorted(rows.items(), key=lambda one: (-one[1]["requests"], one[1]["name"]))
        large = {of for measure in _MEASURES for of, _ in sorted(ranked, key=lambda one: -measure(one[1]))[:LARGEST]}
        others = [_nothing() for _ in places]
        for of in rows.keys() - large:
            for into, part in zip(others, parts[of], strict=True):
                _add(into, part)
        return [row for _, row in ranked], {
            "bucket": bucket,
            "bars": [{"name": name, **_sums(figures)} for (name, _, _), figures in zip(places, totals, strict=True)],
            "series": [{"name": row["name"], "id": row["id"], **_figures(parts[of])} for of, row in ranked if of in large],
            "others": {"count": len(rows.keys() - large), **_figures(others)} if rows.keys() - large else None,
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


def _nothing() -> Row:
    return dict.fromkeys(_ADDED, 0)


def _add(into: Row, row: Row) -> None:
    for name in _ADDED:
        into[name] += row[name]


def _figures(parts: Sequence[Row]) -> Json:
    """A figure for each bar."""
    return {
        "requests": [part["requests"] for part in parts],
        "tokens": [sum(part[name] for name in _READ_AND_WRITTEN) for part in parts],
        "cost_usd": [usd(part["cost_nano"]) for part in parts],
        "worth_usd": [usd(part["shadow_nano"]) for part in parts],
    }


def _sums(row: Mapping[str, Any]) -> Json:
    unknown = row["unpriced"] > 0 and row["cost_nano"] == 0
    cost, worth = None if unknown else usd(row["cost_nano"]), usd(row["shadow_nano"])
    return {**{name: row[name] for name in _SUMMED}, "cost_usd": cost, "worth_usd": worth}
