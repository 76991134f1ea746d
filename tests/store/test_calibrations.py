from __future__ import annotations

from omni_connector.store import calibrations
from omni_connector.store.engine import Database


async def test_kept_by_family_the_newest_stays(db: Database) -> None:
    await db.tx(lambda conn: calibrations.store(conn, [], 1))
    first = [{"family": "b", "seen": 1, "mean": 1.5, "spread": 0.25}, {"family": "a", "seen": 2, "mean": 0.5, "spread": 0.125}]
    await db.tx(lambda conn: calibrations.store(conn, first, 1))
    later = {"family": "b", "seen": 9, "mean": 1.25, "spread": 0.0625}
    await db.tx(lambda conn: calibrations.store(conn, [later], 2))
    assert await db.run(calibrations.load) == [first[1], later]
