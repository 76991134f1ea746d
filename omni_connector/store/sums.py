"""What requests added up to: sums by group over a span, and the activity of each account.

Whole hours are read from the hourly sums (`rollups`), the cut hours at the ends of a span and what is in flight from the rows: an answer
is exact to the millisecond and costs the same however many rows there are. Of an hour whose rows retention deleted only the whole is known:
it counts where it begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, tzinfo
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.store import rollups, tables
from omni_connector.store.filters import FAILED, IS_OPEN
from omni_connector.store.requests import HOUR_MS, Row
from omni_connector.store.rollups import SUMS
from omni_connector.store.tables import requests as r
from omni_connector.store.tables import usage_hours as h

Group = Literal["account", "model", "provider", "key", "client", "day", "hour"]
Span = tuple[int, int]
"""[from, to) in ms."""

MINUTE_MS = 60_000
NAMED: Mapping[str, tuple[str, str, sa.Column[Any], sa.Column[Any]]] = {
    "account": ("account_id", "account_label", tables.accounts.c.id, tables.accounts.c.label),
    "key": ("key_id", "key_name", tables.client_keys.c.id, tables.client_keys.c.name),
}
"""Group → id and name in rows and sums, id and name in the table of their own."""


def usage(conn: sa.Connection, group: Group, from_ms: int, to_ms: int, zone: tzinfo = UTC, provider: str | None = None) -> list[Row]:
    """Sums over requests started in [from_ms, to_ms), by one group, largest number of requests first (days and hours: in order).

    Rows: name (label, model, provider, key name, client, "YYYY-MM-DD" or "YYYY-MM-DDTHH:00Z"), id (account or key id, else None),
    requests (open ones too), failed, the five token counts, cost_nano (sum of the known prices), unpriced (settled requests with tokens
    and no price). Days are those of `zone`, hours of UTC. Accounts and keys go by their id and are told by their name of today, or by
    a last one when they are gone. `provider`: only its requests.
    """
    hours, edges = hours_and_edges(from_ms, to_ms, rollups.whole_from(conn))
    whole = _whole_hours(conn, group, hours, provider)
    if group == "day":
        whole, cut = _not_cut(whole, zone, rollups.whole_from(conn))
        edges = [*edges, *cut]
    found = [*whole, *settled_in(conn, group, edges, provider), *_open_in(conn, group, (from_ms, to_ms), provider)]
    sums = _merged(group, found, zone)
    names = names_of_today(conn, group) if group in NAMED else {}
    rows = [_row(group, of, names.get(of, name), figures) for of, (name, figures) in sums.items()]
    return sorted(rows, key=itemgetter("name") if group in ("day", "hour") else lambda row: (-row["requests"], row["name"]))


def hours_and_edges(from_ms: int, to_ms: int, whole_from: int) -> tuple[tuple[int, int], list[Span]]:
    """The hours [first, last) that are read whole, and the spans within hours that are read from rows."""
    first, last = -(-from_ms // HOUR_MS), -(-to_ms // HOUR_MS)
    edges: list[Span] = []
    if from_ms % HOUR_MS and first > whole_from:
        edges.append((from_ms, min(to_ms, first * HOUR_MS)))
    if to_ms % HOUR_MS and last > max(first, whole_from):
        last -= 1
        edges.append((last * HOUR_MS, to_ms))
    return (first, last), edges


def _not_cut(rows: Sequence[Row], zone: tzinfo, whole_from: int) -> tuple[list[Row], list[Span]]:
    """Sums of hours that lie in one day of the zone, and the spans of those that midnight cuts (where clocks differ by half hours)."""
    kept: list[Row] = []
    cut: list[Span] = []
    for row in rows:
        begin = row["grouped"]
        if begin // HOUR_MS >= whole_from and _day(begin, zone) != _day(begin + HOUR_MS - 1, zone):
            cut.append((begin, begin + HOUR_MS))
        else:
            kept.append(row)
    return kept, cut


def _whole_hours(conn: sa.Connection, group: Group, hours: tuple[int, int], provider: str | None) -> list[Row]:
    by, name = grouped(group, h)
    sums = (sa.func.sum(h.c[column]).label(column) for column in SUMS)
    within = [h.c.hour >= hours[0], h.c.hour < hours[1]]
    return _read(conn, sa.select(by.label("grouped"), name, *sums).where(*within), h, provider)


def settled_in(conn: sa.Connection, group: Group, spans: Sequence[Span], provider: str | None) -> Iterable[Row]:
    # One by one: asked for many at once, SQLite reads the whole table.
    for since, until in spans:
        yield from _from_rows(conn, group, [r.c.state == "settled", r.c.started_at >= since, r.c.started_at < until], provider)


def _open_in(conn: sa.Connection, group: Group, span: Span, provider: str | None) -> list[Row]:
    return _from_rows(conn, group, [IS_OPEN, r.c.started_at >= span[0], r.c.started_at < span[1]], provider)


def _from_rows(conn: sa.Connection, group: Group, conditions: Sequence[sa.ColumnElement[bool]], provider: str | None) -> list[Row]:
    by, name = grouped(group, r)
    return _read(conn, sa.select(by.label("grouped"), name, *rollups.sums_of_rows()).where(*conditions), r, provider)


def _read(conn: sa.Connection, query: sa.Select[Any], table: sa.Table, provider: str | None) -> list[Row]:
    if provider is not None:
        query = query.where(table.c.provider == provider)
    return [dict(row) for row in conn.execute(query.group_by("grouped")).mappings()]


def grouped(group: Group, table: sa.Table) -> tuple[sa.ColumnElement[Any], sa.Label[Any]]:
    """What is grouped by ("" for none; a moment in ms for days and hours), and a name for it."""
    if group in NAMED:
        of, name = NAMED[group][:2]
        return table.c[of] if table is h else sa.func.coalesce(r.c[of], ""), sa.func.max(table.c[name]).label("name")
    nameless: sa.Label[Any] = sa.literal_column("''").label("name")
    if group in ("day", "hour"):
        # Of rows the minute: no zone changes its day within one.
        return h.c.hour * HOUR_MS if table is h else r.c.started_at // MINUTE_MS * MINUTE_MS, nameless
    if group == "model" and table is r:
        return sa.func.coalesce(r.c.model, r.c.model_requested), nameless
    return table.c[group] if table is h else sa.func.coalesce(r.c[group], ""), nameless


def _merged(group: Group, found: Iterable[Row], zone: tzinfo) -> dict[str, tuple[str, list[int]]]:
    sums: dict[str, tuple[str, list[int]]] = {}
    for row in found:
        of = row["grouped"]
        if group == "day":
            of = _day(of, zone).isoformat()
        elif group == "hour":
            of = f"{datetime.fromtimestamp(of // 1000, UTC):%Y-%m-%dT%H:00Z}"
        name, figures = sums.get(of, ("", [0] * len(SUMS)))
        sums[of] = max(name, row["name"] or ""), [known + int(row[column]) for known, column in zip(figures, SUMS, strict=True)]
    # What a row was taken for before its process said what it was leaves sums of nothing behind.
    return {of: known for of, known in sums.items() if any(known[1])}


def _row(group: Group, of: str, name: str, figures: Sequence[int]) -> Row:
    named = group in NAMED
    return {"id": (of or None) if named else None, "name": name if named else of, **dict(zip(SUMS, figures, strict=True))}


def names_of_today(conn: sa.Connection, group: Group) -> dict[str, str]:
    _, _, of, name = NAMED[group]
    return {own: called for own, called in conn.execute(sa.select(of, name)) if called}


def _day(ms: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(ms // 1000, zone).date()


def account_activity(conn: sa.Connection, since_ms: int, per_account: int = 40) -> dict[str, Row]:
    """By account id: "heartbeat" (last settled requests, oldest first: at, ok, ms, flag) and, of requests started since
    `since_ms`, "requests", "failed", "cost_nano", "unpriced"."""
    found: dict[str, Row] = {
        account_id: {"heartbeat": [], "requests": 0, "failed": 0, "cost_nano": 0, "unpriced": 0}
        for account_id in conn.execute(sa.select(tables.accounts.c.id)).scalars()
    }
    for account_id, at, outcome, ms, flag in conn.execute(_newest(conn, per_account)):
        found[account_id]["heartbeat"].append({"at": at, "ok": outcome not in FAILED, "ms": ms, "flag": flag})
    for row in found.values():
        row["heartbeat"].sort(key=itemgetter("at"))  # an ORDER BY would make SQLite walk the table in that order
    for row in usage(conn, "account", since_ms, 1 << 62):
        if row["id"] in found:
            found[row["id"]] |= {key: row[key] for key in ("requests", "failed", "cost_nano", "unpriced")}
    return found


def _newest(conn: sa.Connection, per_account: int) -> sa.Select[Any]:
    """The settled ones of the newest rows of each account: account, begin, outcome, ms, flag."""
    columns = (r.c.account_id, r.c.started_at, r.c.outcome, r.c.duration_ms, r.c.flag)
    of, inner = tables.accounts.c.id, r.alias()
    if conn.dialect.name == "postgresql":
        # One walk of the index for each account; of the join below its planner expects a third of all rows, and reads them all.
        walk = sa.select(*columns, r.c.state).where(r.c.account_id == of).order_by(r.c.id.desc()).limit(per_account).lateral("walk")
        return (
            sa.select(*(walk.c[column.name] for column in columns))
            .select_from(tables.accounts.join(walk, sa.true()))
            .where(walk.c.state == "settled")
        )
    # The account's N-th newest row by index, then the rows from there on.
    nth = sa.select(inner.c.id).where(inner.c.account_id == of).order_by(inner.c.id.desc()).limit(1).offset(per_account - 1)
    # The limit keeps the planner from turning this inside out, which would read every request.
    begin = sa.select(of, sa.func.coalesce(nth.scalar_subquery(), "").label("since")).limit(1_000_000).subquery()
    joined = begin.join(r, sa.and_(r.c.account_id == begin.c.id, r.c.id >= begin.c.since))
    return sa.select(*columns).select_from(joined).where(r.c.state == "settled")
