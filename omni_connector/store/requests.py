"""The books: one row a request, opened before the upstream call and settled exactly once.

Rows are dicts of the columns of `tables.requests`; JSON columns (`JSON_COLUMNS`) hold lists or dicts on this side and
text in the database. Money is integer nano-dollars; a `cost_nano` of None means the price is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector.secrets import id_floor
from omni_connector.store import tables
from omni_connector.store.tables import decode, encode, processes
from omni_connector.store.tables import requests as t

Row = dict[str, Any]
Group = Literal["account", "model", "provider", "key", "client", "day", "hour"]

COLUMNS = tuple(column.name for column in t.columns)
JSON_COLUMNS = ("attempts", "skipped", "dropped", "usage_raw", "plan")
LISTED = tuple(column for column in t.columns if column.name != "plan")
"""What a list reads of each row: plans are long, and only the page of one request shows them."""
TOKENS = ("input", "cache_read", "cache_write", "output", "reasoning")
MAX_PAGE = 500
SEARCHED = 20_000
"""Rows that one page looks through at most where no index leads to what is asked for."""
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ORPHAN_MS = 6 * 3_600_000
"""An open row this old whose process is not even known any more cannot be running (a request lasts half an hour at most)."""

BOOKED = (
    "id", "started_at", "key_id", "key_name", "account_id", "account_label", "provider", "model", "model_requested", "client",
    "outcome", *TOKENS, "cost_nano", "usage_source",
)  # fmt: skip
"""Columns of a closed row that sums are made of."""
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
_KNOWN = frozenset(COLUMNS)
_FIXED = ""
"""Stands for "no column": a parameter of the statement itself."""
_SETTLED = tuple(name for name in COLUMNS if name not in {"id", "state", "started_at", "settled_at", "process_id"})
_INSERT = sa.insert(t).values({name: sa.bindparam(f"new_{name}", type_=t.c[name].type) for name in COLUMNS})
_SETTLE = (
    sa.update(t)
    .where(t.c.id == sa.bindparam("new_id"), t.c.state == "open")
    .values(
        state="settled",
        settled_at=sa.bindparam("new_settled_at"),
        **{name: sa.func.coalesce(sa.bindparam(f"new_{name}", type_=t.c[name].type), t.c[name]) for name in _SETTLED},
    )
)


class _Prebuilt:
    """A statement compiled once a dialect and given plain tuples: this is the hot path of the books, and SQLAlchemy's
    own handling of parameters costs three times as much as the database (20 of 35 µs a row)."""

    def __init__(self, statement: sa.Insert | sa.Update) -> None:
        self._statement = statement
        self._built: dict[str, tuple[str, tuple[tuple[str, Any], ...]]] = {}

    def run(self, conn: sa.Connection, rows: Sequence[Row]) -> None:
        """Runs for all rows. Parameters called "new_<column>" come from the row, others are fixed."""
        dialect = conn.dialect.name
        if dialect not in self._built:
            compiled = self._statement.compile(dialect=conn.dialect)
            parameters = tuple(
                (name.removeprefix("new_") if name.startswith("new_") else _FIXED, compiled.params[name])
                for name in compiled.positiontup or ()
            )
            self._built[dialect] = (compiled.string, parameters)
        sql, parameters = self._built[dialect]
        values = [tuple([row.get(column, default) for column, default in parameters]) for row in map(_encoded, rows)]
        conn.exec_driver_sql(sql, values)


_INSERTING = _Prebuilt(_INSERT)
_SETTLING = _Prebuilt(_SETTLE)


def insert_open(conn: sa.Connection, rows: Sequence[Row]) -> None:
    """Opens `rows`; needed: id, started_at, process_id. Raises KeyError for a column that does not exist."""
    if rows:
        _known(rows)
        _INSERTING.run(conn, [_OPEN | {name: value for name, value in row.items() if value is not None} for row in rows])


def settle(conn: sa.Connection, rows: Sequence[Row]) -> list[Row]:
    """Closes open rows with what came of them; needed: id, settled_at, outcome. Returns those that it closed, with the columns BOOKED.

    A row that is settled already stays as it is, so settling twice can neither change nor double an entry. A column that
    is left out or None keeps what it had at opening.
    """
    if not rows:
        return []
    _known(rows)
    still_open = _open_rows(conn, [row["id"] for row in rows])
    _SETTLING.run(conn, rows)
    closed: list[Row] = []
    for row in rows:
        before = still_open.pop(row["id"], None)  # twice in one call: the first counts
        if before is not None:
            closed.append({name: before[name] if row.get(name) is None else row[name] for name in BOOKED})
    return closed


def _open_rows(conn: sa.Connection, ids: Sequence[str]) -> dict[str, Row]:
    """Those of the rows that are open, by id; nobody else closes them before this transaction ends."""
    found: dict[str, Row] = {}
    for begin in range(0, len(ids), _AT_ONCE):
        query = sa.select(*(t.c[name] for name in BOOKED)).where(t.c.id.in_(ids[begin : begin + _AT_ONCE]), t.c.state == "open")
        found |= {row["id"]: dict(row) for row in conn.execute(query.with_for_update()).mappings()}
    return found


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


def get(conn: sa.Connection, request_id: str) -> Row | None:
    row = conn.execute(sa.select(t).where(t.c.id == request_id)).mappings().first()
    return None if row is None else _decoded(row)


def list_requests(
    conn: sa.Connection, filters: Mapping[str, str] | None = None, before_id: str | None = None, limit: int = 50
) -> list[Row]:
    """Newest first, without `plan`; the next page begins before the last id. At most 500 rows, and one to see that there are more.

    `filters` (empty values do not filter): protocol, provider, model (requested or served), account (id or label),
    key (id or name), client, status ("ok", "failed", "open" or an HTTP status), flag, text (part of model, provider, label, key
    name, client, flag or error). Where no index leads to the rows only the newest SEARCHED ones are looked through: see `search_floor`.
    """
    wanted = {name: value for name, value in (filters or {}).items() if value}
    model = wanted.pop("model", None)
    conditions = [_filter(conn, name, value) for name, value in wanted.items()]
    if before_id:
        conditions.append(t.c.id < before_id)
    if (floor := search_floor(conn, wanted, before_id)) is not None:
        conditions.append(t.c.id >= floor)
    most = max(1, min(limit, MAX_PAGE + 1))
    if model is not None:
        # One walk of each index, both newest first: an OR would read and sort all rows of the model.
        walks = (sa.select(t.c.id).where(column == model, *conditions).order_by(t.c.id.desc()).limit(most) for column in _MODELS)
        ids = sa.union(*(sa.select(walk.subquery().c.id) for walk in walks)).subquery()
        conditions = [t.c.id.in_(sa.select(ids.c.id))]
    query = sa.select(*LISTED).where(*conditions).order_by(t.c.id.desc()).limit(most)
    return [_decoded(row) for row in conn.execute(query).mappings()]


_MODELS = (t.c.model, t.c.model_requested)
_NAMED: Mapping[str, tuple[str, sa.Column[Any], sa.Column[Any], sa.Column[Any], sa.Column[Any]]] = {
    "account": ("acc_", t.c.account_id, t.c.account_label, tables.accounts.c.id, tables.accounts.c.label),
    "key": ("key_", t.c.key_id, t.c.key_name, tables.client_keys.c.id, tables.client_keys.c.name),
}
"""Filter → how its ids begin, the id and the name in a request's row, the id and the name in the table of their own."""


def search_floor(conn: sa.Connection, filters: Mapping[str, str], before_id: str | None = None) -> str | None:
    """The id down to which `list_requests` looks with these filters, None where it looks through all rows. A page that is not full
    then has a next one all the same: before this id."""
    if not any(_unled(conn, name, value) for name, value in filters.items() if value):
        return None
    query = sa.select(t.c.id).order_by(t.c.id.desc()).limit(1).offset(SEARCHED - 1)
    found: str | None = conn.execute(query.where(t.c.id < before_id) if before_id else query).scalar()
    return found


def _unled(conn: sa.Connection, name: str, value: str) -> bool:
    """Whether no index leads to what the filter asks for."""
    return name in ("text", "client") or (name in _NAMED and not value.startswith(_NAMED[name][0]) and not _ids_of(conn, name, value))


def _ids_of(conn: sa.Connection, name: str, value: str) -> Sequence[str]:
    """The ids of an account or key that has this name now."""
    _, _, _, own_id, own_name = _NAMED[name]
    return conn.execute(sa.select(own_id).where(own_name == value)).scalars().all()


def _filter(conn: sa.Connection, name: str, value: str) -> sa.ColumnElement[bool]:
    match name:
        case "protocol":
            return t.c.wire == value
        case "provider" | "flag" | "client":
            return t.c[name] == value
        case "account" | "key":
            begins, by_id, by_name, _, _ = _NAMED[name]
            if value.startswith(begins):
                return by_id == value
            # Under its name of today all its rows; a name that nobody has any more finds the rows that were booked under it.
            ids = _ids_of(conn, name, value)
            return by_id.in_(ids) if len(ids) > 1 else by_id == ids[0] if ids else by_name == value
        case "status":
            return _status(value)
        case "text":
            return sa.or_(*(place.icontains(value, autoescape=True) for place in _SEARCHED_IN))
    raise KeyError(f"no such filter: {name}")


_SEARCHED_IN = (
    t.c.model_requested,
    t.c.model,
    t.c.provider,
    t.c.account_label,
    t.c.key_name,
    t.c.client,
    t.c.flag,
    t.c.error_message,
)


def _status(value: str) -> sa.ColumnElement[bool]:
    match value:
        case "ok":
            return t.c.outcome == "ok"
        case "open":
            return IS_OPEN
        case "failed":
            return HAS_FAILED
    if not (value.isdecimal() and len(value) == 3):
        return sa.false()
    same = t.c.http_status == int(value)
    # The index holds errors only, and a database has to see that these are some.
    return sa.and_(same, t.c.http_status >= sa.literal_column("400")) if value >= "400" else same


IS_OPEN = t.c.state == sa.literal_column("'open'")
"""Written out, not as a parameter: only so does the database see that the small index of open rows holds them all."""
FAILED = ("failed", "cut")
"""Outcomes that count as failures: a client that left, or a row recovered after a crash, says nothing of the account."""
HAS_FAILED = t.c.outcome.in_([sa.literal_column(f"'{outcome}'") for outcome in FAILED])
"""Written out for the same reason as `IS_OPEN`."""


def usage(conn: sa.Connection, group: Group, from_ms: int, to_ms: int, day_offset_ms: int = 0, provider: str | None = None) -> list[Row]:
    """Sums over requests started in [from_ms, to_ms), by one group, largest number of requests first (days and hours: in order).

    Rows: name (label, model, provider, key name, client, "YYYY-MM-DD" or "YYYY-MM-DDTHH:00Z"), id (account or key id, else None),
    requests, failed, the five token counts, cost_nano (sum of the known prices), unpriced (settled requests with tokens and no price).
    `day_offset_ms` shifts days from UTC to the reader's zone. `provider`: only its requests.
    """
    by: sa.ColumnElement[Any]
    name: sa.ColumnElement[Any]
    match group:
        case "account":
            by, name = t.c.account_id, sa.func.max(t.c.account_label)
        case "key":
            by, name = t.c.key_id, sa.func.max(t.c.key_name)
        case "model":
            by, name = sa.func.coalesce(t.c.model, t.c.model_requested), sa.null()
        case "provider":
            by, name = t.c.provider, sa.null()
        case "client":
            by, name = t.c.client, sa.null()
        case "day":
            by, name = (t.c.started_at + day_offset_ms) // DAY_MS, sa.null()
        case "hour":
            by, name = t.c.started_at // HOUR_MS, sa.null()
    query = (
        sa.select(by.label("grouped"), name.label("name"), *_sums())
        .where(t.c.started_at >= from_ms, t.c.started_at < to_ms)
        .where(*([t.c.provider == provider] if provider is not None else []))
        .group_by("grouped")
        .order_by("grouped" if group in ("day", "hour") else sa.desc("requests"))
    )
    return [_sum_row(group, row) for row in conn.execute(query).mappings()]


def _sums() -> list[sa.Label[Any]]:
    def count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((condition, 1), else_=0))

    unpriced = sa.and_(t.c.state == "settled", t.c.cost_nano.is_(None), sa.or_(t.c.input > 0, t.c.output > 0))
    return [
        sa.func.count().label("requests"),
        count(t.c.outcome.in_(FAILED)).label("failed"),
        *(sa.func.coalesce(sa.func.sum(t.c[name]), 0).label(name) for name in (*TOKENS, "cost_nano")),
        count(unpriced).label("unpriced"),
    ]


def _sum_row(group: Group, row: sa.RowMapping) -> Row:
    found: Row = {key: int(row[key]) for key in ("requests", "failed", *TOKENS, "cost_nano", "unpriced")}
    named = group in {"account", "key"}
    name = row["name"] if named else row["grouped"]
    if group in ("day", "hour"):
        name = _moment(int(name), group)
    return {"id": row["grouped"] if named else None, "name": name or "", **found}


def _moment(number: int, unit: Literal["day", "hour"]) -> str:
    if unit == "day":
        return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
    return f"{datetime(1970, 1, 1) + timedelta(hours=number):%Y-%m-%dT%H:00Z}"


def account_activity(conn: sa.Connection, since_ms: int, per_account: int = 40) -> dict[str, Row]:
    """By account id: "heartbeat" (last settled requests, oldest first: at, ok, ms, flag) and, of requests started since
    `since_ms`, "requests", "failed", "cost_nano", "unpriced"."""
    found: dict[str, Row] = {
        account_id: {"heartbeat": [], "requests": 0, "failed": 0, "cost_nano": 0, "unpriced": 0}
        for account_id in conn.execute(sa.select(tables.accounts.c.id)).scalars()
    }
    # The account's N-th newest row by index, then the rows from there on.
    inner = t.alias()
    nth = (
        sa.select(inner.c.id)
        .where(inner.c.account_id == tables.accounts.c.id)
        .order_by(inner.c.id.desc())
        .limit(1)
        .offset(per_account - 1)
        .scalar_subquery()
    )
    # The limit keeps both planners from turning this inside out, which would read every request.
    begin = sa.select(tables.accounts.c.id, sa.func.coalesce(nth, "").label("since")).limit(1_000_000).subquery()
    beats = (
        sa.select(t.c.account_id, t.c.started_at, t.c.outcome, t.c.duration_ms, t.c.flag)
        .select_from(begin.join(t, sa.and_(t.c.account_id == begin.c.id, t.c.id >= begin.c.since)))
        .where(t.c.state == "settled")
    )
    for account_id, at, outcome, ms, flag in conn.execute(beats):
        found[account_id]["heartbeat"].append({"at": at, "ok": outcome not in FAILED, "ms": ms, "flag": flag})
    for row in found.values():
        row["heartbeat"].sort(key=itemgetter("at"))  # an ORDER BY would make SQLite walk the table in that order
    for row in usage(conn, "account", since_ms, 1 << 62):
        if row["id"] in found:
            found[row["id"]] |= {key: row[key] for key in ("requests", "failed", "cost_nano", "unpriced")}
    return found


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


def recover(conn: sa.Connection, dead_process_ids: Sequence[str], now: int) -> list[Row]:
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
    return [row for begin in range(0, len(ids), _AT_ONCE) for row in _booked(conn, ids[begin : begin + _AT_ONCE])]


def _recovery(ids: Sequence[str], now: int) -> sa.Update:
    return (
        sa.update(t)
        .where(t.c.id.in_(ids))
        .values(
            state="settled",
            outcome="recovered",
            settled_at=now,
            flag="RECOVERED",
            usage_source="estimated",
            input=sa.func.coalesce(t.c.input, t.c.est_input),
            output=sa.func.coalesce(t.c.output, 0),
            error_message="The server process ended before this request did; its usage is an estimate.",
        )
    )


def _booked(conn: sa.Connection, ids: Sequence[str]) -> list[Row]:
    return [dict(row) for row in conn.execute(sa.select(*(t.c[name] for name in BOOKED)).where(t.c.id.in_(ids))).mappings()]


def prune(conn: sa.Connection, before_ms: int | None = None, keep_rows: int | None = None, chunk: int = 5000) -> int:
    """Deletes at most `chunk` settled rows older than `before_ms` or beyond the newest `keep_rows`; returns how many.

    One chunk a transaction: call again until it returns 0, so that writers get in between.
    """
    too_old: list[sa.ColumnElement[bool]] = []
    if before_ms is not None:
        too_old.append(t.c.started_at < before_ms)
    if keep_rows is not None:
        newest_gone = sa.select(t.c.id).order_by(t.c.id.desc()).limit(1).offset(max(0, keep_rows))
        last = conn.execute(newest_gone).scalar()
        if last is not None:
            too_old.append(t.c.id <= last)
    if not too_old:
        return 0
    oldest = sa.select(t.c.id).where(t.c.state == "settled", sa.or_(*too_old)).order_by(t.c.id).limit(chunk)
    ids = conn.execute(oldest).scalars().all()
    return conn.execute(sa.delete(t).where(t.c.id.in_(ids))).rowcount if ids else 0
