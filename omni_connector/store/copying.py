"""One database into another, whatever the two engines are: table by table, in batches, each of which is durable together with the note of
how far it went; and the comparison of the two, row by row, when it is done.

Rows are read in the order of their keys as the source sorts them, and found again in the target by their keys: the two engines may
sort texts differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.store.engine import Database
from omni_connector.store.settings import get_meta, set_meta
from omni_connector.store.tables import decode, encode, meta, metadata, processes, upsert
from omni_connector.values import dataclass

Row = dict[str, Any]
BATCH = 500
BATCHES = {"kept": 20, "requests": 200, "oauth_flows": 100}
"""Tables whose rows are large."""
LEFT_OUT = {processes.name}
"""Who lives is no fact of the other database."""
MARK = "moving:"
"""Facts of that prefix are notes of a copy under way; they are gone when it is done."""
FROM = MARK + "from"
BUSY_MS = 30_000


@dataclass(frozen=True, slots=True)
class Step:
    """For whoever watches. `phase`: "copy" or "compare"; `done` of `total` rows of `table`."""

    phase: str
    table: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Copied:
    """What was compared: table → rows, and the SHA-256 over all rows in the order of the source."""

    rows: Mapping[str, int]
    sha256: str


Progress = Callable[[Step], None]


def tables() -> list[sa.Table]:
    """In an order in which what is pointed at comes first."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


async def busy(database: Database, now: int) -> int:
    """How many processes work on it, as far as it knows."""
    query = sa.select(sa.func.count()).select_from(processes).where(processes.c.seen_at > now - BUSY_MS)
    return await database.run(lambda conn: _number(conn, query))


async def copy(source: Database, target: Database, whence: str, *, resume: bool, tell: Progress) -> Copied:
    """Both at the newest schema, and nobody else at work on them. `whence`: what the source is called, without its password.

    Raises GatewayError CONFLICT for a target that holds something already (unless it is an unfinished copy of the same source and `resume`
    says so), INTERNAL when the two are not equal at the end: then the copy stays unfinished.
    """
    await target.tx(lambda conn: _begin(conn, whence, resume))
    for table in tables():
        await _copy_table(source, target, table, tell)
    compared = await _compare(source, target, tell)
    await target.tx(lambda conn: conn.execute(sa.delete(meta).where(meta.c.name.startswith(MARK, autoescape=True))))
    return compared


def _begin(conn: sa.Connection, whence: str, resume: bool) -> None:
    before = get_meta(conn, FROM)
    if before is not None:
        if before != whence:
            raise GatewayError(Kind.CONFLICT, f"The target holds an unfinished copy of another database ({before}). Empty it first.")
        if not resume:
            raise GatewayError(Kind.CONFLICT, "The target holds an unfinished copy of this database: go on with --resume, or empty it.")
        return
    for table in tables():
        query = sa.select(sa.literal(1)).select_from(table).limit(1)
        # A blank database has facts of its own making.
        if table.name != meta.name and conn.execute(query).first() is not None:
            raise GatewayError(Kind.CONFLICT, f"The target is not empty: its table {table.name} has rows. Nothing was changed.")
    set_meta(conn, FROM, whence)


async def _copy_table(source: Database, target: Database, table: sa.Table, tell: Progress) -> None:
    total = await source.run(lambda conn: _number(conn, _count(table)))
    noted = decode(await target.run(lambda conn: get_meta(conn, MARK + table.name)))
    last, done = (tuple(noted["last"]), int(noted["done"])) if noted else (None, 0)
    tell(Step("copy", table.name, done, total))
    while rows := await source.run(lambda conn, after=last: page(conn, table, after)):  # type: ignore[misc]
        last, done = _key(table, rows[-1]), done + len(rows)

        def write(conn: sa.Connection, rows: Sequence[Row] = rows, last: tuple[Any, ...] = last, done: int = done) -> None:
            names = [column.name for column in table.columns if not column.primary_key]
            if table is meta:
                upsert(conn, table, rows, ["name"], names)
            else:
                conn.execute(sa.insert(table), rows)
            set_meta(conn, MARK + table.name, encode({"last": last, "done": done}) or "")

        await target.tx(write)
        tell(Step("copy", table.name, done, total))


def page(conn: sa.Connection, table: sa.Table, after: tuple[Any, ...] | None) -> list[Row]:
    """The next rows by key, behind the key `after`."""
    keys = list(table.primary_key.columns)
    query = sa.select(table).order_by(*keys).limit(BATCHES.get(table.name, BATCH))
    if table is meta:
        query = query.where(~meta.c.name.startswith(MARK, autoescape=True))
    if after is not None:
        query = query.where(keys[0] > after[0] if len(keys) == 1 else sa.tuple_(*keys) > sa.tuple_(*map(sa.literal, after)))
    return [dict(row) for row in conn.execute(query).mappings()]


def _count(table: sa.Table) -> sa.Select[Any]:
    query = sa.select(sa.func.count()).select_from(table)
    return query.where(~meta.c.name.startswith(MARK, autoescape=True)) if table is meta else query


def _number(conn: sa.Connection, query: sa.Select[Any]) -> int:
    return int(conn.execute(query).scalar_one())


def _key(table: sa.Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key.columns)


# ---------------------------------------------------------------- Are they equal?


async def _compare(source: Database, target: Database, tell: Progress) -> Copied:
    digest = hashlib.sha256()
    counts: dict[str, int] = {}
    for table in tables():
        counts[table.name] = await _compare_table(source, target, table, digest.update, tell)
    return Copied(counts, digest.hexdigest())


async def _compare_table(source: Database, target: Database, table: sa.Table, add: Callable[[bytes], None], tell: Progress) -> int:
    ours, theirs = [await database.run(lambda conn: _number(conn, _count(table))) for database in (source, target)]
    if ours != theirs:
        raise _different(table, f"{ours} rows here and {theirs} there")
    last, done = None, 0
    while rows := await source.run(lambda conn, after=last: page(conn, table, after)):  # type: ignore[misc]
        found = await target.run(lambda conn, these=rows: _of(conn, table, these))  # type: ignore[misc]
        for row in rows:
            plain = _plain(row)
            if found.get(_key(table, row)) != plain:
                raise _different(table, f"the row {_key(table, row)} differs")
            add(repr(plain).encode("utf-8", "surrogatepass"))
        last, done = _key(table, rows[-1]), done + len(rows)
        tell(Step("compare", table.name, done, ours))
    return done


def _of(conn: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The same rows of the other database, by key."""
    keys = list(table.primary_key.columns)
    wanted = [_key(table, row) for row in rows]
    where = keys[0].in_([key[0] for key in wanted]) if len(keys) == 1 else sa.tuple_(*keys).in_(wanted)
    found = [dict(row) for row in conn.execute(sa.select(table).where(where)).mappings()]
    return {_key(table, row): _plain(row) for row in found}


def _plain(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """PostgreSQL takes the character 0 in no text: it was left out (`server.engine`)."""
    return tuple(value.replace("\0", "") if isinstance(value, str) else value for value in row.values())


def _different(table: sa.Table, how: str) -> GatewayError:
    return GatewayError(Kind.INTERNAL, f"The copy is not equal to its source: table {table.name}, {how}. The source is as it was.")
