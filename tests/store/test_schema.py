from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from omni_connector.store import schema
from omni_connector.store.engine import Database, DatabaseError
from omni_connector.store.tables import metadata


async def test_blank_to_head_gives_the_tables_of_the_code(db: Database) -> None:
    def differences(conn: sa.Connection) -> list[object]:
        # The partitions of a table are no tables of their own.
        opts = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
        return compare_metadata(MigrationContext.configure(conn, opts=opts), metadata)

    assert await db.run(differences) == []


def shape(conn: sa.Connection) -> dict[str, object]:
    """What Alembic's comparison leaves out: order, defaults, keys, conditions of indexes."""
    found: dict[str, object] = {}
    for table in sorted(metadata.tables):
        for pragma in ("table_info", "foreign_key_list", "index_list"):
            listed = [row[1:] for row in conn.exec_driver_sql(f"PRAGMA {pragma}({table})")]
            found[f"{table} {pragma}"] = listed if pragma == "table_info" else sorted(map(str, listed))
    return found


async def test_the_migrations_tables_are_those_of_the_code_to_the_last_default(lite: Database) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.begin() as conn:
        metadata.create_all(conn)
        expected = shape(conn)
    engine.dispose()
    assert await lite.run(shape) == expected


def test_there_is_one_head_and_the_cheap_reading_of_it_agrees() -> None:
    assert ScriptDirectory(str(schema.MIGRATIONS)).get_heads() == [schema.head()]


def test_head_follows_the_chain(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('revision = "a"\ndown_revision = None\n')
    (tmp_path / "b.py").write_text("revision: str = 'b'\ndown_revision: str | None = 'a'\n")
    assert schema.head(tmp_path) == "b"
    (tmp_path / "c.py").write_text('revision = "c"\ndown_revision = "a"\n')
    with pytest.raises(DatabaseError, match="2 newest migrations"):
        schema.head(tmp_path)


async def test_a_newer_releases_database_is_refused_unchanged(db: Database) -> None:
    await db.tx(lambda conn: conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(DatabaseError, match=r"revision '9999'.*newer release"):
        await db.migrate()
    assert await db.run(schema.current) == "9999"


async def test_down_and_up_again(db: Database) -> None:
    from alembic import command
    from alembic.config import Config

    def down(conn: sa.Connection) -> list[str]:
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.attributes["connection"] = conn
        command.downgrade(config, "base")
        return sa.inspect(conn).get_table_names()

    assert await db.tx(down) == ["alembic_version"]
    assert await db.migrate()
