"""Monthly partitions on PostgreSQL: which table a row is in, tables ahead of time, months that go as a whole, the way there and back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from omni_connector.secrets import new_id
from omni_connector.store import books, following, partitions, requests, rollups, schema, sums
from omni_connector.store.engine import Database, DatabaseError
from tests.postgres import Server

DAY = 86_400_000
NAMES = "SELECT tableoid::regclass::text AS part, id FROM requests ORDER BY id"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOW = at("2031-03-15")


@pytest.fixture
async def pg(postgres: Server) -> AsyncIterator[Database]:
    url = await postgres.fresh()
    database = await Database.open(url)
    yield database
    await database.close()
    await postgres.drop(url)  # its tables are not as they were


def config(conn: sa.Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(schema.MIGRATIONS))
    made.attributes["connection"] = conn
    return made


async def fill(db: Database, *times: int, settled: bool = True) -> list[str]:
    rows = [{"id": new_id("req", when), "started_at": when, "process_id": "p"} for when in times]
    ends = [{"id": row["id"], "settled_at": row["started_at"] + 1, "outcome": "ok", "cost_nano": 5} for row in rows]

    def write(conn: sa.Connection) -> None:
        requests.insert_open(conn, rows)
        books.settle(conn, ends if settled else [])

    await db.tx(write)
    return [str(row["id"]) for row in rows]


async def where(db: Database) -> dict[str, str]:
    """Id → the table it is in."""
    return {row.id: row.part for row in await db.run(lambda conn: conn.execute(sa.text(NAMES)).all())}


async def make(db: Database, now: int = NOW, ahead: int = 1) -> list[str]:
    wanted = await db.run(lambda conn: partitions.missing(conn, now, ahead))
    for part in wanted:
        assert await db.tx(lambda conn, one=part: partitions.make(conn, one))
    return [part.name for part in wanted]


async def drop(db: Database, before_ms: int | None, up_to: str | None = None) -> list[str]:
    found = await db.run(lambda conn: partitions.over(conn, before_ms, up_to))
    return [part.name for part in found if await db.tx(lambda conn, one=part: partitions.drop(conn, one, before_ms, up_to))]


async def test_sqlite_has_none(lite: Database) -> None:
    for ask in (partitions.parts, lambda conn: partitions.missing(conn, NOW), lambda conn: partitions.over(conn, NOW, None)):
        assert await lite.run(ask) == []
    assert not await lite.run(partitions.may_change)


async def test_a_new_database_has_the_months_that_come_and_everything_before(pg: Database) -> None:  # J-13
    found = await pg.run(partitions.parts)
    now = int(datetime.now(UTC).timestamp()) * 1000
    assert (found[0].name, found[0].low, found[0].begins_at) == ("requests_before", "", None)
    assert [part.name for part in found[1:]] == [f"requests_{month:y%Ym%m}" for month in _months(now, partitions.AHEAD + 1)]
    assert all(one.high == two.low for one, two in itertools.pairwise(found)), "without gaps"
    assert await pg.run(lambda conn: partitions.missing(conn, now)) == []
    assert await pg.run(partitions.may_change)


def _months(now: int, number: int) -> list[datetime]:
    first = datetime.fromtimestamp(now / 1000, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = [first]
    while len(found) < number:
        found.append(found[-1].replace(year=found[-1].year + found[-1].month // 12, month=found[-1].month % 12 + 1))
    return found


async def test_every_row_is_in_its_month_and_what_has_none_is_in_the_default(pg: Database) -> None:
    assert await make(pg) == ["requests_y2031m03", "requests_y2031m04"]
    times = [at("2020-01-01"), at("2031-02-28"), at("2031-03-01"), at("2031-03-31T23:59:59"), at("2031-04-01"), at("2031-05-01")]
    ids = await fill(pg, *times)
    tables = ["before", "default", "y2031m03", "y2031m03", "y2031m04", "default"]
    assert await where(pg) == {one: f"requests_{table}" for one, table in zip(ids, tables, strict=True)}
    # A page, one row, sums, and the tail go over all of them.
    assert [row["id"] for row in await pg.run(lambda conn: requests.list_requests(conn, limit=4))] == ids[:1:-1]
    assert (await pg.run(lambda conn: requests.get(conn, ids[1])) or {})["state"] == "settled"
    assert sum(row["requests"] for row in await pg.run(lambda conn: sums.usage(conn, "key", 0, at("2032-01-01")))) == 6
    assert len(await pg.run(lambda conn: following.since(conn, {}, 0))) == 6
    # The same row offered twice stays one: the key is the id alone.
    await pg.tx(lambda conn: requests.insert_open(conn, [{"id": ids[2], "started_at": 1, "process_id": "again"}]))
    assert len(await where(pg)) == 6


async def test_a_month_that_was_made_late_takes_over_its_rows(pg: Database) -> None:
    ids = await fill(pg, at("2031-03-10"), at("2031-05-10"))
    assert set((await where(pg)).values()) == {"requests_default"}
    await make(pg, ahead=0)
    assert await where(pg) == {ids[0]: "requests_y2031m03", ids[1]: "requests_default"}
    assert await pg.run(lambda conn: partitions.missing(conn, NOW, 0)) == []
    assert await pg.run(rollups.check) == []


async def test_two_processes_make_a_month_once_while_rows_are_written(pg: Database) -> None:
    (part,) = await pg.run(lambda conn: partitions.missing(conn, NOW, 0))
    work = [pg.tx(lambda conn: partitions.make(conn, part)) for _ in range(3)]
    made = await asyncio.gather(*work, *(fill(pg, NOW + number) for number in range(20)))
    assert sorted(made[:3]) == [False, False, True]  # type: ignore[type-var]
    assert set((await where(pg)).values()) == {"requests_y2031m03"}
    assert len(await where(pg)) == 20


async def test_a_month_that_somebody_detached_stays_his(pg: Database) -> None:
    await make(pg, ahead=0)
    await fill(pg, NOW)
    await pg.tx(lambda conn: conn.execute(sa.text("ALTER TABLE requests DETACH PARTITION requests_y2031m03")))
    await make(pg, ahead=0)
    assert [part.name for part in await pg.run(partitions.parts)][-1] == "requests_y2031m03_again"
    assert await pg.run(lambda conn: conn.execute(sa.text("SELECT count(*) FROM requests_y2031m03")).scalar()) == 1


async def test_a_month_goes_as_a_whole_when_all_of_it_is_old_and_its_sums_stay(pg: Database) -> None:
    await make(pg, ahead=1)
    await fill(pg, at("2031-03-10"), at("2031-03-20"), at("2031-04-10"))
    assert "requests_y2031m03" not in await drop(pg, at("2031-03-31")), "a day of it is not old enough"
    assert "requests_y2031m03" in await drop(pg, at("2031-04-01"))
    assert list((await where(pg)).values()) == ["requests_y2031m04"]
    (total,) = await pg.run(lambda conn: sums.usage(conn, "provider", 0, at("2032-01-01")))
    assert (total["requests"], total["cost_nano"]) == (3, 15), "what was used is known for good"
    assert await pg.run(rollups.check) == [], "hours whose rows are gone are not compared"
    assert await pg.run(rollups.whole_from) == at("2031-03-20") // requests.HOUR_MS + 1
    await fill(pg, at("2031-03-11"))  # a name from then is still taken
    assert sorted((await where(pg)).values()) == ["requests_default", "requests_y2031m04"]


async def test_nothing_goes_that_is_open_or_younger_than_its_name(pg: Database) -> None:
    await make(pg, ahead=0)
    (open_one,) = await fill(pg, at("2031-03-10"), settled=False)
    late = at("2031-06-01")
    assert "requests_y2031m03" not in await drop(pg, late)
    await pg.tx(lambda conn: books.settle(conn, [{"id": open_one, "settled_at": 1, "outcome": "ok"}]))
    await pg.tx(lambda conn: conn.execute(sa.text(f"UPDATE requests SET started_at = {late + 1}")))
    assert "requests_y2031m03" not in await drop(pg, late)
    # Beyond the number of rows that are kept, their age does not matter.
    assert "requests_y2031m03" in await drop(pg, None, new_id("req", at("2031-04-02")))


async def test_who_does_not_own_the_table_is_told_so(pg: Database, postgres: Server) -> None:
    name = pg.url.database
    await postgres.execute("DROP ROLE IF EXISTS omni_app")
    await postgres.execute("CREATE ROLE omni_app LOGIN")
    await postgres.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO omni_app", name)
    other = await Database.open(pg.url.set(drivername="postgresql", username="omni_app").render_as_string(False))
    try:
        assert not await other.run(partitions.may_change)
        (one,) = await fill(other, NOW)
        assert await where(other) == {one: "requests_default"}, "nothing is refused"
        with pytest.raises((DatabaseError, sa.exc.DBAPIError)):
            await make(other, ahead=0)
        await make(pg, ahead=0)
        assert await where(other) == {one: "requests_y2031m03"}
    finally:
        await other.close()
        await postgres.execute("DROP OWNED BY omni_app", name)
        await postgres.execute("DROP ROLE omni_app")


# ---------------------------------------------------------------- The migration


async def test_a_full_table_becomes_a_partition_as_it_is_and_goes_back(pg: Database) -> None:  # J-12
    now = int(datetime.now(UTC).timestamp()) * 1000

    def shape(conn: sa.Connection) -> list[str]:
        query = "SELECT replace(indexdef, ' ON ONLY ', ' ON ') FROM pg_indexes WHERE tablename = 'requests' ORDER BY 1"
        return list(conn.execute(sa.text(query)).scalars())

    before = await pg.run(shape)
    await pg.tx(lambda conn: command.downgrade(config(conn), "0011"))
    assert await pg.run(shape) == before
    assert await pg.run(partitions.parts) == []
    ids = await fill(pg, now - 400 * DAY, now - 1, now, now + 4000 * DAY)
    await pg.tx(lambda conn: conn.execute(sa.text("GRANT SELECT ON requests TO PUBLIC")))
    table = "SELECT oid FROM pg_class WHERE relname = 'requests{}'"
    (oid,) = await pg.run(lambda conn: conn.execute(sa.text(table.format(""))).scalars().all())
    assert await pg.migrate()
    assert await where(pg) == dict.fromkeys(ids[:3], "requests_before") | {ids[3]: "requests_default"}
    assert await pg.run(lambda conn: conn.execute(sa.text(table.format("_before"))).scalar()) == oid, "nothing was copied"
    assert await pg.run(shape) == before
    assert await pg.run(lambda conn: conn.execute(sa.text("SELECT has_table_privilege('public', 'requests', 'SELECT')")).scalar())
    await fill(pg, now + 40 * DAY)
    await pg.tx(lambda conn: command.downgrade(config(conn), "0011"))
    assert len(await where(pg)) == 5
    assert await pg.run(shape) == before and await pg.run(rollups.check) == []
    assert await pg.migrate()


async def test_bounds_hold_where_texts_are_sorted_by_a_language(postgres: Server) -> None:
    """In Danish, "aa" comes after "z": ids would be in wrong months."""
    name = "omni_test_danish"
    try:
        await postgres.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'da' LOCALE 'C'")
    except Exception as error:
        pytest.skip(f"this PostgreSQL has no ICU: {error}")
    database = await Database.open(postgres.url(name))
    try:
        await database.migrate()
        collation = (
            "SELECT 'zz' < 'aa', collation_name FROM information_schema.columns WHERE table_name = 'requests' AND column_name = 'id'"
        )
        assert tuple(await database.run(lambda conn: conn.execute(sa.text(collation)).one())) == (True, "C")
        await make(database, ahead=1)
        ids = await fill(database, *(at("2031-03-01") + number * DAY // 4 for number in range(31 * 4)))
        assert set((await where(database)).values()) == {"requests_y2031m03"}
        assert [row["id"] for row in await database.run(lambda conn: requests.list_requests(conn, limit=500))] == ids[::-1]
    finally:
        await database.close()
        await postgres.drop(postgres.url(name))


def test_a_part_tells_its_months() -> None:
    part = partitions.Part("x", "", partitions.id_floor("req", NOW))
    assert (part.begins_at, part.ends_at) == (None, NOW)
