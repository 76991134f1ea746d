"""A copy between the engines: every kind of value in every table, there and back, interrupted anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.store import copying, jobs
from omni_connector.store.copying import FROM, Step, copy, tables
from omni_connector.store.engine import Database
from omni_connector.store.settings import get_meta, set_setting
from omni_connector.store.tables import accounts, cooldowns, metadata
from tests.postgres import Server

Row = dict[str, Any]
TEXTS = ("", "a", "Ä 漢 🙂", "null\0byte", "'; --", "Z\n\t\\")


@pytest.fixture
async def server_side(postgres: Server) -> AsyncIterator[Database]:
    url = await postgres.fresh()
    database = await Database.open(url)
    yield database
    await database.close()
    postgres.done(url)


@pytest.fixture
async def blank(tmp_path: Path, sqlite_template: bytes) -> AsyncIterator[Database]:
    path = tmp_path / "back.db"
    path.write_bytes(sqlite_template)
    database = await Database.open(f"sqlite:///{path}")
    yield database
    await database.close()


def value(column: sa.Column[Any], n: int) -> Any:
    if column.primary_key or column.unique:
        return n if isinstance(column.type, sa.Integer | sa.BigInteger) else f"{'zZäA_'[n % 5]}{n}"
    if column.nullable and n % 4 == 0:
        return None
    match column.type:
        case sa.LargeBinary():
            return bytes([0, n % 256, 255]) * n
        case sa.Boolean():
            return n % 2 == 0
        case sa.Float():
            return (n - 3) / 7
        case sa.BigInteger():
            return (-1) ** n * (2**62 + n)
        case sa.Integer():
            return n
        case sa.String(length=int()):
            return f"w{n}"
    return TEXTS[n % len(TEXTS)] + str(n)


def fill(conn: sa.Connection, each: int) -> None:
    for table in metadata.sorted_tables:
        rows = [{column.name: value(column, n) for column in table.columns} for n in range(1, each + 1)]
        if table is cooldowns:
            rows = [{**row, "account_id": value(accounts.c.id, n)} for n, row in enumerate(rows, 1)]
        conn.execute(sa.insert(table), rows)


async def contents(database: Database) -> dict[str, set[tuple[Any, ...]]]:
    def read(conn: sa.Connection) -> dict[str, set[tuple[Any, ...]]]:
        return {table.name: {copying._plain(dict(row)) for row in conn.execute(sa.select(table)).mappings()} for table in tables()}

    return await database.run(read)


async def test_there_and_back_is_the_same(lite: Database, server_side: Database, blank: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BATCH", 3)
    await lite.tx(lambda conn: fill(conn, 8))
    steps: list[Step] = []
    there = await copy(lite, server_side, "file", resume=False, tell=steps.append)
    back = await copy(server_side, blank, "server", resume=False, tell=lambda _: None)
    assert await contents(lite) == await contents(server_side) == await contents(blank)
    assert there.rows == back.rows and there.rows["requests"] == 8
    assert "processes" not in there.rows
    assert Step("copy", "usage_hours", 3, 8) in steps and Step("compare", "usage_hours", 8, 8) in steps
    assert await server_side.run(lambda conn: get_meta(conn, FROM)) is None
    again = await Database.open(server_side.url.render_as_string(hide_password=False))
    await again.tx(lambda conn: set_setting(conn, "after", "1"))
    await again.close()


@pytest.mark.parametrize("dies_at", [1, 9, 30, 60])
async def test_it_goes_on_where_it_was_interrupted(
    lite: Database, server_side: Database, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr(copying, "BATCH", 3)
    await lite.tx(lambda conn: fill(conn, 8))
    left = dies_at

    def tell(_: Step) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await copy(lite, server_side, "file", resume=False, tell=tell)
    with pytest.raises(GatewayError, match="--resume"):
        await copy(lite, server_side, "file", resume=False, tell=lambda _: None)
    with pytest.raises(GatewayError, match="of another database"):
        await copy(lite, server_side, "elsewhere", resume=True, tell=lambda _: None)
    await copy(lite, server_side, "file", resume=True, tell=lambda _: None)
    assert await contents(lite) == await contents(server_side)


async def test_what_is_not_empty_is_left_alone(lite: Database, server_side: Database) -> None:
    await server_side.tx(lambda conn: set_setting(conn, "strategy", "cost"))
    before = await contents(server_side)
    with pytest.raises(GatewayError, match="not empty: its table settings") as caught:
        await copy(lite, server_side, "file", resume=True, tell=lambda _: None)
    assert caught.value.kind is Kind.CONFLICT and await contents(server_side) == before


async def test_a_difference_is_found_and_named(lite: Database, server_side: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await lite.tx(lambda conn: fill(conn, 2))

    real = copying._compare

    async def forged(source: Database, target: Database, how: Any) -> Any:
        await target.tx(lambda conn: conn.execute(sa.update(accounts).values(label=accounts.c.label + "!")))
        return await real(source, target, how)

    monkeypatch.setattr(copying, "_compare", forged)
    with pytest.raises(GatewayError, match="table accounts, the row"):
        await copy(lite, server_side, "file", resume=False, tell=lambda _: None)
    assert await server_side.run(lambda conn: get_meta(conn, FROM)) == "file", "it stays unfinished"


async def test_who_works_on_it_is_counted(db: Database) -> None:
    await db.tx(lambda conn: jobs.beat(conn, "prc_1", "here", 1, 100_000))
    assert [await copying.busy(db, now) for now in (100_001, 100_000 + copying.BUSY_MS)] == [1, 0]
