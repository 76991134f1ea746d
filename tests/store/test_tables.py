from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from omni_connector.store import tables
from omni_connector.store.engine import Database


def test_the_schema_can_be_written_for_both_databases() -> None:
    for table in tables.metadata.sorted_tables:
        for dialect in (postgresql.dialect(), sqlite.dialect()):
            assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=dialect))
        times = [column for column in table.columns if column.name.endswith(("_at", "_nano"))]
        assert all("BIGINT" in str(column.type.compile(postgresql.dialect())) for column in times)


def test_json_text_round_trip() -> None:
    value = {"a": [1, "ü", None], "b": {"c": 0.5}}
    assert tables.decode(tables.encode(value)) == value
    assert tables.encode(None) is tables.decode(None) is None


async def test_upsert_changes_only_what_it_names(db: Database) -> None:
    def write(conn: sa.Connection, value: str) -> str:
        tables.upsert(conn, tables.meta, [{"name": "x", "value": value}], ["name"], ["value"])
        return str(conn.execute(sa.select(tables.meta.c.value).where(tables.meta.c.name == "x")).scalar_one())

    assert [await db.tx(lambda conn, v=v: write(conn, v)) for v in ("1", "2")] == ["1", "2"]
