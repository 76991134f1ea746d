from __future__ import annotations

from omni_connector.store import settings as rows
from omni_connector.store.engine import Database


async def test_every_change_moves_the_version_once(db: Database) -> None:
    steps = [
        lambda conn: rows.set_setting(conn, "strategy", "cost"),
        lambda conn: rows.set_setting(conn, "strategy", "lru"),
        lambda conn: rows.set_alias(conn, "fast", ["groq/a", "b"]),
        lambda conn: rows.set_chain(conn, "solid", [["a", "b"], ["c"]]),
        lambda conn: rows.delete_setting(conn, "strategy"),
    ]
    versions = []
    for step in steps:
        await db.tx(step)
        versions.append(await db.run(rows.config_version))
    assert versions == [1, 2, 3, 4, 5]
    assert await db.run(rows.get_aliases) == {"fast": ("groq/a", "b")}
    assert await db.run(rows.get_chains) == {"solid": (("a", "b"), ("c",))}
    assert await db.run(rows.all_settings) == {}


async def test_deleting_what_is_not_there_changes_nothing(db: Database) -> None:
    for delete in (rows.delete_setting, rows.delete_alias, rows.delete_chain):
        assert await db.tx(lambda conn, delete=delete: delete(conn, "x")) is False
    assert await db.run(rows.config_version) == 0


async def test_own_facts_are_no_configuration(db: Database) -> None:
    await db.tx(lambda conn: rows.set_meta(conn, "password", "a"))
    await db.tx(lambda conn: rows.set_meta(conn, "password", "b"))
    assert await db.run(lambda conn: rows.get_meta(conn, "password")) == "b"
    assert await db.run(lambda conn: rows.get_meta(conn, "other")) is None
    assert await db.run(rows.config_version) == 0
