"""The books: one row a request, opened before the upstream call and settled exactly once.

Rows are dicts of the columns of `tables.requests`; JSON columns (`JSON_COLUMNS`) hold lists or dicts on this side and
text in the database. Money is integer nano-dollars; a `cost_nano` of None means the price is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.secrets import id_floor
from omni_connector.store import filters as filtering
from omni_connector.store.filters import IS_OPEN
from omni_connector.store.prebuilt import Prebuilt
from omni_connector.store.tables import decode, encode, processes, spend
from omni_connector.store.tables import requests as t

Row = dict[str, Any]

COLUMNS = tuple(column.name for column in t.columns)
JSON_COLUMNS = ("attempts", "skipped", "dropped", "usage_raw", "plan")
LISTED = tuple(column for column in t.columns if column.name != "plan")
"""What a list reads of each row: plans are long, and only the page of one request shows them."""
TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")
MAX_PAGE = 500
SEARCHED = 10_000
"""Rows that one page looks at at most where no index leads to just what is asked for."""
HOUR_MS = 3_600_000
ORPHAN_MS = 6 * 3_600_000
"""An open row this old whose process is not even known any more cannot be running (a request lasts half an hour at most)."""

BOOKED = (
    "id", "started_at", "key_id", "key_name", "account_id", "account_label", "provider", "model", "model_requested", "client",
    "outcome", *TOKENS, "cost_nano", "usage_source", "shadow_nano",
)  # fmt: skip
"""Columns of a closed row that sums are made of."""
BUDGETS = "budgets"
"""Beside them, of a row that is just being closed: whether sums of budgets are kept at all."""
_AT_ONCE = 500
"""Parameters of one statement: databases bound their number."""

# What a caller may leave out at opening, where NULL is not allowed.
_OPEN: Row = {
    "started_at": 0,
    "state": "open",
    "process_id": "",
    "wire": "",
    "path": "",
    "stream": False,
    "client": "",
    "model_requested": "",
    "usage_source": "none",
}
_BLANK: Row = {**dict.fromkeys((*COLUMNS, "told", BUDGETS)), **_OPEN}
_WIDTH = len(_BLANK)
_KNOWN = frozenset((*COLUMNS, "told"))
_OF_THE_OPENING = frozenset(("id", "state", "started_at", "process_id"))
_SETTLED = tuple(name for name in COLUMNS if name not in _OF_THE_OPENING and name != "settled_at")
SERVED = ("account_id", "account_label", "provider", "model")
"""At opening: who is asked first, so that after a crash it is known whom it concerned. At settling: who it was, if anybody."""
TOLD = "told"
"""In a row that is settled: true when it says in full who served it, so also that nobody did."""


def _settled(name: str) -> sa.ColumnElement[Any]:
    value = sa.bindparam(f"new_{name}", type_=t.c[name].type)
    kept = sa.func.coalesce(value, t.c[name])
    if name not in SERVED:
        return kept
    return sa.case((sa.bindparam(f"new_{TOLD}", type_=sa.Boolean()), value), else_=kept)


_NEW = {name: sa.bindparam(f"new_{name}", type_=t.c[name].type) for name in COLUMNS}
_SETTLE = (
    sa.update(t)
    .where(t.c.id == sa.bindparam("new_id"), t.c.state == "open")
    .values(
        state="settled",
        settled_at=sa.bindparam("new_settled_at"),
        **{name: _settled(name) for name in _SETTLED},
    )
)


# A connection may break after the commit and before we hear of it, and spilled rows may be offered twice: what is there already stays.
_INSERTING = Prebuilt(lambda dialect: dialect.insert(t).values(_NEW).on_conflict_do_nothing(index_elements=["id"]))
_INSERTING_NEW = Prebuilt(sa.insert(t).values(_NEW))
_SETTLING = Prebuilt(_SETTLE)
_ANY_SPEND = Prebuilt(sa.select(sa.exists(sa.select(spend.c.scope))))


def _still_open(ids: sa.ColumnElement[bool]) -> Prebuilt:
    columns = (*(t.c[name] for name in BOOKED), sa.exists(sa.select(spend.c.scope)).label(BUDGETS))
    return Prebuilt(sa.select(*columns).where(ids, t.c.state == "open").with_for_update())


# Many ids as one parameter, so that the statement is always the same one.
_OPEN_ONES = {
    "sqlite": _still_open(t.c.id.in_(sa.select(sa.func.json_each(sa.bindparam("new_ids")).table_valued("value").c.value))),
    "postgresql": _still_open(t.c.id == sa.any_(sa.bindparam("new_ids", type_=sa.ARRAY(sa.String)))),
}
_IDS: Mapping[str, Callable[[Sequence[str]], Any]] = {"sqlite": encode, "postgresql": list}


def insert_open(conn: sa.Connection, rows: Sequence[Row]) -> None:
    """Opens `rows`; needed: id, started_at, process_id. One that is there already stays. Raises KeyError for an unknown column."""
    if rows:
        _known(rows)
        full = [_OPEN | {name: value for name, value in _encoded(row).items() if value is not None} for row in rows]
        _INSERTING.run(conn, full)


def settle(conn: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    """Closes open rows with what came of them; needed: id, settled_at, outcome. Returns those that it closed, with the columns BOOKED
    and BUDGETS.

    A row that is settled already stays as it is, so settling twice can neither change nor double an entry. A column that
    is left out or None keeps what it had at opening.
    """
    if not rows:
        return []
    _known(rows)
    still_open = _open_rows(conn, [row["id"] for row in rows])
    _SETTLING.run(conn, [_encoded(row) for row in rows])
    closed: list[Row] = []
    for row in rows:
        before = still_open.pop(row["id"], None)  # twice in one call: the first counts
        if before is not None:
            closed.append({**{name: _now(row, before, name) for name in BOOKED}, BUDGETS: before[BUDGETS]})
    return closed


def insert_closed(conn: sa.Connection, rows: Sequence[tuple[Row, Row]]) -> list[Row]:
    """What `insert_open` and `settle` make of rows of which neither is there yet, as one statement: (as opened, as settled) → closed rows,
    with the columns BOOKED and BUDGETS, among others. Raises IntegrityError when one is there, KeyError for an unknown column."""
    if not rows:
        return []
    [(budgets,)] = _ANY_SPEND.rows(conn, {})
    full = [_closed(opened, settled, bool(budgets)) for opened, settled in rows]
    _INSERTING_NEW.run_whole(conn, full)
    return full


def _closed(opened: Row, settled: Row, budgets: bool) -> Row:
    """With every column; JSON is text."""
    row = {**_BLANK, **opened, **settled, BUDGETS: budgets}
    if len(row) > _WIDTH:
        _known((opened, settled))
    # What the end says None of stays as it was at the beginning, and that as it is by itself.
    for name, value in opened.items():
        if row[name] is None:
            row[name] = value
    if settled.get(TOLD):
        for name in SERVED:
            row[name] = settled.get(name)
    for name, value in _OPEN.items():
        if row[name] is None:
            row[name] = value
    for name in JSON_COLUMNS:
        if row[name] is not None:
            row[name] = encode(row[name])
    row["state"] = "settled"
    return row


def _now(row: Row, before: Row, name: str) -> Any:
    told = name in SERVED and row.get(TOLD)
    return row.get(name) if told or row.get(name) is not None else before[name]


def _open_rows(conn: sa.Connection, ids: Sequence[str]) -> dict[str, Row]:
    """Those of the rows that are open, by id; nobody else closes them before this transaction ends."""
    dialect = conn.dialect.name
    found = _OPEN_ONES[dialect].rows(conn, {"ids": _IDS[dialect](ids)})
    return {row[0]: dict(zip((*BOOKED, BUDGETS), row, strict=True)) for row in found}


def _known(rows: Iterable[Row]) -> None:
    for row in rows:
        if not row.keys() <= _KNOWN:
            raise KeyError(f"no such column of requests: {', '.join(sorted(row.keys() - _KNOWN))}")


def _encoded(row: Row) -> Row:
    texts = {name: encode(row[name]) for name in JSON_COLUMNS if row.get(name) is not None}
    return {**row, **texts} if texts else row


def _decoded(row: sa.RowMapping) -> Row:
    found = dict(row)
    for name in JSON_COLUMNS:
        if found.get(name) is not None:
            found[name] = decode(found[name])
    return found


# ---------------------------------------------------------------- Reading


def decoded(rows: Iterable[sa.RowMapping]) -> list[Row]:
    """Rows with LISTED as columns, as `list_requests` gives them."""
    return [_decoded(row) for row in rows]


def get(conn: sa.Connection, request_id: str) -> Row | None:
    row = conn.execute(sa.select(t).where(t.c.id == request_id)).mappings().first()
    return None if row is None else _decoded(row)


def list_requests(
    conn: sa.Connection, filters: Mapping[str, str] | None = None, before_id: str | None = None, limit: int = 50
) -> list[Row]:
    """The rows of `page`."""
    return page(conn, filters, before_id, limit)[0]


def page(
    conn: sa.Connection, filters: Mapping[str, str] | None = None, before_id: str | None = None, limit: int = 50
) -> tuple[list[Row], str | None]:
    """Newest first, without `plan`; the next page begins before the last id. At most 500 rows, and one to see that there are more.

    `filters` (empty values do not filter): protocol, provider, model (requested or served), account (id or label),
    key (id or name), client, status ("ok", "failed", "open" or an HTTP status), flag, text (part of model, provider, label, key
    name, client, flag or error). Where no index leads to just these rows, SEARCHED rows are looked at: then the id down to which
    that went comes with them, and a page that is not full has a next one all the same, before this id. None: there is no more.
    """
    wanted = {name: value for name, value in (filters or {}).items() if value}
    way = filtering.way(conn, wanted, before_id, SEARCHED)
    conditions = list(way.seen)
    if before_id:
        conditions.append(t.c.id < before_id)
    if way.floor is not None:
        conditions.append(t.c.id >= way.floor)
    most = max(1, min(limit, MAX_PAGE + 1))
    if len(way.walks) == 1:
        conditions.append(way.walks[0])
    else:
        # One walk of each index, all newest first: an OR would read and sort all rows of both.
        walks = (sa.select(t.c.id).where(walk, *conditions).order_by(t.c.id.desc()).limit(most) for walk in way.walks)
        ids = sa.union(*(sa.select(walk.subquery().c.id) for walk in walks)).subquery()
        conditions = [t.c.id.in_(sa.select(ids.c.id))]
    query = sa.select(*LISTED).where(*conditions).order_by(t.c.id.desc()).limit(most)
    return [_decoded(row) for row in conn.execute(query).mappings()], way.floor


def spent(conn: sa.Connection, whom: Literal["account", "key"], ids: Sequence[str], from_ms: int, to_ms: int, but_not: str) -> Row:
    """Account or key id → nano-dollars of its requests that began in [from_ms, to_ms), without those of the process `but_not`."""
    by = t.c.account_id if whom == "account" else t.c.key_id
    query = (
        sa.select(by, sa.func.sum(t.c.cost_nano))
        # Ids sort by time: so the index on (account or key, id) leads to these rows and no others.
        .where(by.in_(ids), t.c.id >= id_floor("req", from_ms), t.c.started_at >= from_ms, t.c.started_at < to_ms)
        .where(t.c.process_id != but_not, t.c.cost_nano.is_not(None))
        .group_by(by)
    )
    return {name: int(total) for name, total in conn.execute(query)}


def oldest_open(conn: sa.Connection) -> int | None:
    """When the oldest request in flight, of any process, began (ms)."""
    # By id, which is by time: for a minimum SQLite would walk the index of all rows instead of the small one of open rows.
    found: int | None = conn.execute(sa.select(t.c.started_at).where(IS_OPEN).order_by(t.c.id).limit(1)).scalar()
    return found


# ---------------------------------------------------------------- Keeping house


Estimate = Callable[[Row], tuple[int | None, str | None]]
"""A row that is closed as an estimate → nano-dollars and their source; None: unknown."""


def recover(conn: sa.Connection, dead_process_ids: Sequence[str], now: int, estimate: Estimate | None = None) -> list[Row]:
    """Settles the open rows of processes that died, as estimates and marked; returns them, with the columns BOOKED.

    What was sent is known (`est_input`), what came back is not, so output is 0 and the source says "estimated". Rows of
    processes nobody remembers are settled once they are old.
    """
    forgotten = sa.and_(
        t.c.started_at < now - ORPHAN_MS,
        ~sa.exists(sa.select(processes.c.id).where(processes.c.id == t.c.process_id)),
    )
    orphans = sa.select(t.c.id).where(IS_OPEN, sa.or_(t.c.process_id.in_(dead_process_ids), forgotten)).with_for_update()
    ids = conn.execute(orphans).scalars().all()
    for begin in range(0, len(ids), _AT_ONCE):
        conn.execute(_recovery(ids[begin : begin + _AT_ONCE], now))
    rows = booked(conn, ids)
    for row in rows:
        cost, source = (None, None) if estimate is None or row["account_id"] is None else estimate(row)
        if cost is not None:
            row["cost_nano"] = cost
            conn.execute(sa.update(t).where(t.c.id == row["id"]).values(cost_nano=cost, price_source=source))
    return rows


def _recovery(ids: Sequence[str], now: int) -> sa.Update:
    return (
        sa.update(t)
        .where(t.c.id.in_(ids))
        .values(
            state="settled",
            outcome=RECOVERED,
            settled_at=now,
            flag="RECOVERED",
            usage_source="estimated",
            input=sa.func.coalesce(t.c.input, t.c.est_input),
            output=sa.func.coalesce(t.c.output, 0),
            error_message="The server process ended before this request did; its usage is an estimate.",
        )
    )


RECOVERED = "recovered"
"""The outcome of a row that a crash left open, or that seemed to be left."""


def reopen(conn: sa.Connection, ids: Sequence[str]) -> None:
    """Takes back what `recover` wrote on these rows: their process was only silent, and has come to say what they were."""
    for begin in range(0, len(ids), _AT_ONCE):
        conn.execute(
            sa.update(t)
            .where(t.c.id.in_(ids[begin : begin + _AT_ONCE]), t.c.outcome == RECOVERED)
            .values(
                state="open",
                outcome=None,
                settled_at=None,
                flag=None,
                error_message=None,
                input=None,
                output=None,
                usage_source="none",
                cost_nano=None,
                price_source=None,
            )
        )


def booked(conn: sa.Connection, ids: Sequence[str]) -> list[Row]:
    """Those of the rows that are closed, with the columns BOOKED; nobody else changes them before this transaction ends."""
    found: list[Row] = []
    for begin in range(0, len(ids), _AT_ONCE):
        query = sa.select(*(t.c[name] for name in BOOKED)).where(t.c.id.in_(ids[begin : begin + _AT_ONCE]), t.c.state == "settled")
        found += [dict(row) for row in conn.execute(query.order_by(t.c.id).with_for_update()).mappings()]
    return found
