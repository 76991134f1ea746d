"""What limits still allow, decided in the database: so it holds across processes and nodes, whatever the concurrency.

A request that is let in leaves a row in `holds` for each limit it counts against: the money it may cost at most and the tokens it
is taken to use, until it is settled; its time counts for a minute. What is spent of a period is kept in `spend`, moved by the
transaction that settles a row. So at any moment spent + held is the most that can be spent, and a hold is given only within that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Literal

import sqlalchemy as sa

from omni_connector import catalog
from omni_connector.secrets import id_floor
from omni_connector.store import requests
from omni_connector.store.prebuilt import Prebuilt
from omni_connector.store.requests import HOUR_MS
from omni_connector.store.tables import holds as h
from omni_connector.store.tables import requests as r
from omni_connector.store.tables import spend as s
from omni_connector.store.tables import usage_hours as u
from omni_connector.values import dataclass

Row = dict[str, Any]
Spent = tuple[str, str, int, int, int]
"""Scope, subject, begin and end of the period (ms), nano-dollars spent in it."""
WINDOW = 60_000
"""Milliseconds in which requests and tokens a minute are counted, back from the request's own time."""
SOON_MS = 1_000
"""A request in flight may end at any moment: when to ask again."""
OLD_MS = 2 * WINDOW
KEPT_MS = 2 * 86_400_000
"""Sums of a period are kept this long after its end: every commit looks through them, and one that is asked for again is made again."""
_COUNTED = ("input", "cache_read", "cache_write", "output")
LOCK = 0x6F6D6E68
"""Advisory locks of limits on PostgreSQL ("omnh")."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One limit that a request counts against. `amount`: nano-dollars that may be spent in [start_at, end_at); None: no hard budget,
    or the request costs nothing."""

    scope: str
    subject: str
    amount: int | None = None
    start_at: int = 0
    end_at: int = 0
    rpm: int | None = None
    tpm: int | None = None
    max_in_flight: int | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request wants: `most` nano-dollars, and not less than `least`; None: what it costs is unknown. `at`: when it began (ms)."""

    request_id: str
    at: int
    claims: tuple[Claim, ...]
    most: int | None = None
    least: int = 0
    tokens: int = 0
    keeps: bool = False
    """What it holds for another account stays held: an answer that broke off may have to be paid there."""
    again: bool = True
    """It may hold something already. False: nobody has let it in before."""


class Hold(IntEnum):
    """What a request may have left in `holds`, as the process knows that opened it: nothing; what only counts until it is settled; or also
    its time and tokens, which count for a minute."""

    NONE = 0
    MONEY = 1
    RATE = 2


def hold_of(ask: Ask) -> Hold:
    if any(claim.rpm is not None or claim.tpm is not None for claim in ask.claims):
        return Hold.RATE
    return Hold.MONEY if ask.claims else Hold.NONE


@dataclass(frozen=True, slots=True)
class Granted:
    """`nano`: what it may cost; None: as much as it likes. `seen`: (claim, spent) of its budgets at that moment."""

    nano: int | None
    seen: tuple[tuple[Claim, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """`why`: "spent" (nothing left, or too little), "held" (requests in flight hold the rest), "rpm", "tpm", "in_flight", or "unread": what
    was spent in the period must be summed up first (`read`). `until_at`: when to ask again (ms), None: never by itself."""

    claim: Claim
    why: Literal["spent", "held", "rpm", "tpm", "in_flight", "unread"]
    until_at: int | None = None
    spent: int = 0
    held: int = 0


# ---------------------------------------------------------------- Letting in

_USED = Prebuilt(
    sa.select(
        sa.func.count(sa.case((h.c.open, 1))),
        sa.func.count(sa.case((h.c.at > sa.bindparam("new_since"), 1))),
        sa.func.coalesce(sa.func.sum(sa.case((h.c.at > sa.bindparam("new_since"), h.c.tokens))), 0),
        sa.func.coalesce(
            sa.func.sum(sa.case((sa.and_(h.c.at >= sa.bindparam("new_start_at"), h.c.at < sa.bindparam("new_end_at")), h.c.nano))), 0
        ),
        sa.func.min(sa.case((h.c.at > sa.bindparam("new_since"), h.c.at))),
        sa.select(s.c.spent_nano)
        .where(
            s.c.scope == sa.bindparam("new_scope"),
            s.c.subject == sa.bindparam("new_subject"),
            s.c.start_at == sa.bindparam("new_start_at"),
            s.c.end_at == sa.bindparam("new_end_at"),
        )
        .scalar_subquery(),
    ).where(
        h.c.scope == sa.bindparam("new_scope"),
        h.c.subject == sa.bindparam("new_subject"),
        h.c.request_id != sa.bindparam("new_request_id"),
        # A clock that was set back must not keep what lies ahead in the count for an hour.
        sa.or_(h.c.open, sa.and_(h.c.at > sa.bindparam("new_since"), h.c.at <= sa.bindparam("new_ahead"))),
    )
)
"""One statement, so that it sees one moment: a request that settles meanwhile counts as held or as spent, never as neither."""


def _hold_statement(dialect: Any) -> Any:
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in ("request_id", "scope", "subject", "at", "nano", "tokens")}
    insert = dialect.insert(h).values(**values, open=sa.true())
    # Who asks again may be there already; so may one whose commit went through unheard.
    changes = {name: insert.excluded[name] for name in ("at", "nano", "tokens", "open")}
    return insert.on_conflict_do_update(index_elements=["request_id", "scope", "subject"], set_=changes)


_HOLD = Prebuilt(_hold_statement)
_LET_GO = Prebuilt(sa.update(h).where(h.c.request_id == sa.bindparam("new_request_id"), h.c.open).values(open=sa.false(), nano=0, tokens=0))


@dataclass(slots=True)
class _Used:
    """What others use of a limit; of a budget in one period. `spent`: None: nobody has summed it up."""

    flying: int
    requests: int
    tokens: int
    held: int
    oldest: int | None
    spent: int | None

    def add(self, ask: Ask, nano: int, since: int) -> None:
        """One more was let in, who holds so much of this period."""
        self.flying += 1
        self.held += nano
        if ask.at > since:
            self.requests += 1
            self.tokens += ask.tokens
            self.oldest = ask.at if self.oldest is None else min(self.oldest, ask.at)


def admit(conn: sa.Connection, asks: Sequence[Ask], now: int) -> list[Granted | Refused]:
    """One after the other. A request that asks again (for its next account) lets go of what it held, let in or not; time it has used stays
    counted. One without claims only lets go."""
    _lock(conn, (claim for ask in asks for claim in ask.claims))
    again = {ask.request_id: _admit(conn, ask, now) for ask in asks if ask.again}
    # Each statement is a trip to the database's thread: those who ask for the first time share what was read, and one insertion.
    read: dict[Claim, _Used] = {}
    rows: list[Row] = []
    verdicts = [again[ask.request_id] if ask.again else _let_in(conn, ask, now, read, rows) for ask in asks]
    if rows:
        _HOLD.run(conn, rows)
    return verdicts


def _admit(conn: sa.Connection, ask: Ask, now: int) -> Granted | Refused:
    """Of a request that may hold something."""
    if not ask.keeps:
        _LET_GO.run(conn, [{"request_id": ask.request_id}])
    rows: list[Row] = []
    verdict = _let_in(conn, ask, now, {}, rows)
    if rows:
        _HOLD.run(conn, rows)
    return verdict


def _let_in(conn: sa.Connection, ask: Ask, now: int, read: dict[Claim, _Used], rows: list[Row]) -> Granted | Refused:
    """Adds what it holds to `rows`, and to what was `read` of the limits it counts against."""
    seen: list[tuple[Claim, int]] = []
    nano = ask.most
    for claim in ask.claims:
        if claim not in read:
            read[claim] = _read_used(conn, ask.request_id, claim, now)
        found = _judge(ask, claim, read[claim], now)
        if isinstance(found, Refused):
            return found
        spent, room = found
        if room is not None and nano is not None:
            nano = min(nano, room)
            seen.append((claim, spent))
    mine = [_row(ask, claim, nano) for claim in ask.claims]
    rows += mine
    for row in mine:
        for claim, used in read.items():
            if (claim.scope, claim.subject) == (row["scope"], row["subject"]):
                used.add(ask, row["nano"] if claim.start_at <= ask.at < claim.end_at else 0, now - WINDOW)
    return Granted(nano if seen else None, tuple(seen))


def _read_used(conn: sa.Connection, request_id: str, claim: Claim, now: int) -> _Used:
    row = {
        "request_id": request_id,
        "scope": claim.scope,
        "subject": claim.subject,
        "start_at": claim.start_at,
        "end_at": claim.end_at,
        "since": now - WINDOW,
        "ahead": now + WINDOW,
    }
    [(flying, requests, tokens, held, oldest, spent)] = _USED.rows(conn, row)
    return _Used(flying, requests, int(tokens), int(held), oldest, None if spent is None else int(spent))


def _judge(ask: Ask, claim: Claim, used: _Used, now: int) -> Refused | tuple[int, int | None]:
    """What is spent, and the room that is left (None: no budget counts here); or why the request is not let in."""
    again = now + WINDOW if used.oldest is None else used.oldest + WINDOW
    if claim.max_in_flight is not None and used.flying >= claim.max_in_flight:
        return Refused(claim, "in_flight", now + SOON_MS)
    if claim.rpm is not None and used.requests >= claim.rpm:
        return Refused(claim, "rpm", again)
    # The first of a minute is let in whatever its size: else it could never be.
    if claim.tpm is not None and used.tokens > 0 and used.tokens + ask.tokens > claim.tpm:
        return Refused(claim, "tpm", again)
    if claim.amount is None:
        return 0, None
    if used.spent is None:
        return Refused(claim, "unread")
    left = claim.amount - used.spent
    least = 1 if ask.most is None else ask.least
    if left < least:
        return Refused(claim, "spent", None, used.spent, used.held)
    if left - used.held < least:
        return Refused(claim, "held", now + SOON_MS, used.spent, used.held)
    return used.spent, left - used.held


def _row(ask: Ask, claim: Claim, nano: int | None) -> Row:
    return {
        "request_id": ask.request_id,
        "scope": claim.scope,
        "subject": claim.subject,
        "at": ask.at,
        "nano": (nano or 0) if claim.amount is not None else 0,
        "tokens": ask.tokens,
    }


def _lock(conn: sa.Connection, claims: Iterable[Claim]) -> None:
    """One transaction at a time decides about a limit. SQLite has one writer anyway."""
    if conn.dialect.name != "postgresql":
        return
    for scope, subject in sorted({(claim.scope, claim.subject) for claim in claims}):
        conn.execute(
            sa.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:name))"), {"lock": LOCK & 0x7FFFFFFF, "name": f"{scope}:{subject}"}
        )


# ---------------------------------------------------------------- Settling

_PERIODS = Prebuilt(
    sa.select(s.c.scope, s.c.subject, s.c.start_at, s.c.end_at, s.c.spent_nano).where(
        s.c.end_at > sa.bindparam("new_first"), s.c.start_at <= sa.bindparam("new_last")
    )
)
_SPEND = Prebuilt(
    sa.update(s)
    .where(
        s.c.scope == sa.bindparam("new_scope"),
        s.c.subject == sa.bindparam("new_subject"),
        s.c.start_at == sa.bindparam("new_start_at"),
        s.c.end_at == sa.bindparam("new_end_at"),
    )
    .values(spent_nano=s.c.spent_nano + sa.bindparam("new_nano"))
)
_CLOSE = Prebuilt(
    sa.update(h)
    .where(h.c.request_id == sa.bindparam("new_id"), h.c.open)
    .values(open=sa.false(), nano=0, tokens=sa.bindparam("new_tokens"))
)
_DROP = Prebuilt(sa.delete(h).where(h.c.request_id == sa.bindparam("new_id")))


def settle(conn: sa.Connection, rows: Sequence[Row], held: Mapping[str, Hold] | None = None) -> list[Spent]:
    """Rows that this transaction closes (`requests.BOOKED`): their holds are let go, their cost is spent. Returns the sums that moved.
    `held`: what they may hold, by their ids; of others nobody knows, so it is looked for."""
    known = held or {}
    rated = [row for row in rows if known.get(row["id"], Hold.RATE) is Hold.RATE]
    if rated:
        _CLOSE.run(conn, [{"id": row["id"], "tokens": sum(row[name] or 0 for name in _COUNTED)} for row in rated])
    if only_money := [row for row in rows if known.get(row["id"]) is Hold.MONEY]:
        _DROP.run(conn, only_money)
    # SQLite has one writer: whether there are sums was seen with the rows, and stays so. Elsewhere one may come about now.
    if not rows or (conn.dialect.name == "sqlite" and not any(row.get(requests.BUDGETS, True) for row in rows)):
        return []
    return move(conn, [(row, row["cost_nano"]) for row in rows if row["cost_nano"]])


def move(conn: sa.Connection, costs: Sequence[tuple[Row, int]]) -> list[Spent]:
    """Adds nano-dollars (negative ones where a row was priced anew) to every period that a row belongs to."""
    if not costs:
        return []
    if conn.dialect.name == "postgresql":
        # Who sums up a new period (`read`) waits for us, or we for him and then see it: else our cost would be in neither figure.
        conn.execute(sa.text("LOCK TABLE spend IN ROW EXCLUSIVE MODE"))
    times = [row["started_at"] for row, _ in costs]
    moved: list[Spent] = []
    for scope, subject, start, end, spent in _PERIODS.rows(conn, {"first": min(times), "last": max(times)}):
        more = sum(nano for row, nano in costs if start <= row["started_at"] < end and _counts(scope, subject, row))
        if more:
            moved.append((scope, subject, start, end, int(spent) + more))
            _SPEND.run(conn, [{"scope": scope, "subject": subject, "start_at": start, "end_at": end, "nano": more}])
    return moved


def _counts(scope: str, subject: str, row: Row) -> bool:
    match scope:
        case "key" | "account":
            return bool(row[f"{scope}_id"] == subject)
        case "provider":
            return bool(row["provider"] == subject)
        case "model":
            return row["model"] is not None and catalog.covers(subject, row["model"])
    return True


# ---------------------------------------------------------------- Periods


def read(conn: sa.Connection, periods: Iterable[tuple[str, str, int, int]]) -> list[Spent]:
    """What is spent in these periods (scope, subject, begin, end). One that nobody asked for yet is summed up from the rows, once: from
    then on every settlement moves it."""
    wanted = list(periods)
    known = _all(conn)
    if conn.dialect.name == "postgresql" and any(period not in known for period in wanted):
        # Whoever is settling now finishes first, and who comes after sees the new sum. Another may have summed up meanwhile.
        conn.execute(sa.text("LOCK TABLE spend IN SHARE ROW EXCLUSIVE MODE"))
        known = _all(conn)
    found: list[Spent] = []
    for period in wanted:
        if period not in known:
            known[period] = _summed(conn, *period)
            scope, subject, start, end = period
            conn.execute(sa.insert(s).values(scope=scope, subject=subject, start_at=start, end_at=end, spent_nano=known[period]))
        found.append((*period, known[period]))
    return found


def known(conn: sa.Connection, periods: Sequence[tuple[str, str, int, int]]) -> list[Spent] | None:
    """The same without writing; None when one of them was never summed up."""
    found = _all(conn)
    return [(*period, found[period]) for period in periods] if all(period in found for period in periods) else None


def _all(conn: sa.Connection) -> dict[tuple[Any, ...], int]:
    return {tuple(row[:4]): int(row[4]) for row in conn.execute(sa.select(s))}


def _summed(conn: sa.Connection, scope: str, subject: str, start: int, end: int) -> int:
    """Whole hours from the hourly sums, which also outlive the rows; what a zone cuts off of an hour from the rows."""
    first, last = -(-start // HOUR_MS), end // HOUR_MS
    hours = sa.select(u.c.model, sa.func.sum(u.c.cost_nano)).where(u.c.hour >= first, u.c.hour < last).group_by(u.c.model)
    sums = list(conn.execute(_of(hours, u, scope, subject)))
    for begin, until in ((start, first * HOUR_MS), (last * HOUR_MS, end)):
        if begin < until:
            sums += conn.execute(_of(_rows(begin, until), r, scope, subject))
    return sum(int(total) for model, total in sums if scope != "model" or (model is not None and catalog.covers(subject, model)))


def _rows(begin: int, until: int) -> sa.Select[Any]:
    # Ids sort by time: so the key of the table leads to these rows and no others.
    return (
        sa.select(r.c.model, sa.func.sum(r.c.cost_nano))
        .where(r.c.id >= id_floor("req", begin), r.c.started_at >= begin, r.c.started_at < until, r.c.cost_nano.is_not(None))
        .group_by(r.c.model)
    )


def _of(query: sa.Select[Any], table: sa.Table, scope: str, subject: str) -> sa.Select[Any]:
    match scope:
        case "key" | "account":
            return query.where(table.c[f"{scope}_id"] == subject)
        case "provider":
            return query.where(table.c.provider == subject)
    return query


def held(conn: sa.Connection) -> list[tuple[str, str, int]]:
    """Scope, subject, nano-dollars that requests in flight hold."""
    query = sa.select(h.c.scope, h.c.subject, sa.func.sum(h.c.nano)).where(h.c.open, h.c.nano > 0).group_by(h.c.scope, h.c.subject)
    return [(scope, subject, int(nano)) for scope, subject, nano in conn.execute(query)]


def tidy(conn: sa.Connection, now: int) -> None:
    """Lets go of what requests hold that are no longer open, forgets times that count no more and periods long past."""
    gone = ~sa.exists(sa.select(r.c.id).where(r.c.id == h.c.request_id, r.c.state == sa.literal_column("'open'")))
    conn.execute(sa.update(h).where(h.c.open, h.c.at < now - WINDOW, gone).values(open=sa.false(), nano=0))
    conn.execute(sa.delete(h).where(~h.c.open, sa.or_(h.c.at < now - OLD_MS, h.c.at > now + OLD_MS)))
    conn.execute(sa.delete(s).where(s.c.end_at < now - KEPT_MS))


def forget(conn: sa.Connection) -> None:
    """All sums: they are made anew from the rows when they are next asked for."""
    conn.execute(sa.delete(s))
