"""Where conversations were answered last, over a restart."""

from __future__ import annotations

from pathlib import Path

from omni_connector.store import homes
from omni_connector.store.engine import Database


async def test_the_newest_are_there_again(tmp_path: Path) -> None:
    db = await Database.open(f"sqlite:///{tmp_path / 'omni.db'}")
    await db.migrate()
    await db.tx(lambda conn: homes.store(conn, [("a", "acc_1", 10, 100), ("b", "acc_2", 20, None)]))
    await db.tx(lambda conn: homes.store(conn, [("a", "acc_3", 30, 120)]))
    assert await db.run(homes.load) == [("b", "acc_2", 20, None), ("a", "acc_3", 30, 120)]
    assert await db.tx(lambda conn: homes.prune(conn, 25)) == 1
    assert await db.run(homes.load) == [("a", "acc_3", 30, 120)]
    await db.tx(lambda conn: homes.store(conn, []))
    await db.close()
