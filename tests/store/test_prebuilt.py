"""Statements that are compiled once."""

from __future__ import annotations

import sqlalchemy as sa

from omni_connector.store.engine import Database
from omni_connector.store.prebuilt import Prebuilt
from omni_connector.store.tables import meta

PUT = Prebuilt(sa.insert(meta).values(name=sa.bindparam("new_name"), value=sa.bindparam("new_value")))
FIND = Prebuilt(sa.select(meta.c.name, meta.c.value).where(meta.c.name >= sa.bindparam("new_from"), meta.c.value != sa.literal("no")))


async def test_parameters_come_from_the_rows_and_constants_stay(db: Database) -> None:
    await db.tx(lambda conn: PUT.run(conn, [{"name": "zz1", "value": "a", "other": 1}, {"name": "zz2", "value": "no"}]))
    assert await db.run(lambda conn: FIND.rows(conn, {"from": "zz"})) == [("zz1", "a")]
