"""doctor, the books: sums that are wrong, and a file that cannot shrink."""

from __future__ import annotations

from omni_connector.doctor.books import LARGE, books, room, sums
from omni_connector.store.engine import Database
from omni_connector.store.pruning import Size


async def test_sound_books(tmp_path: object) -> None:
    db = await Database.open(f"sqlite:///{tmp_path}/omni.db")
    await db.migrate()
    assert [(finding.level, finding.what) for finding in await books(db)] == [("ok", "usage")]
    await db.close()


def test_wrong_sums_are_counted_by_hour() -> None:
    found = sums([{"hour": 1}, {"hour": 1}, {"hour": 2}])
    assert (found.level, found.message) == ("warn", "The sums of usage differ from the requests in 2 hours.")
    assert "usage-check" in found.fix


def test_a_large_file_that_never_shrinks() -> None:
    assert room(None) == room(Size(LARGE, 0, True)) == room(Size(LARGE - 1, 0, False)) == []
    (found,) = room(Size(LARGE, 0, False))
    assert found.level == "warn" and "256 MiB" in found.message and "backup" in found.fix
