"""What is written down while the database takes nothing: durable, once, bounded, and found again by the next process."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import spill as module
from omni_connector.errors import GatewayError
from omni_connector.frames import Frame, left
from omni_connector.gateway import Gateway
from omni_connector.settings import Settings
from omni_connector.spill import ENDING, Spill

Row = dict[str, Any]


class Database:
    """Remembers what was carried over, as the real one does: the mark and the rows in one transaction."""

    def __init__(self) -> None:
        self.away = True
        self.marks: dict[str, int] = {}
        self.rows: list[str] = []
        self.gone: list[str] = []
        self.dies_after = False
        self.seen = asyncio.Event()

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        if self.away:
            raise OSError("away")
        for frame in frames:
            if frame.end > self.marks.get(file, 0):
                self.rows += [row["id"] for row in (*frame.opens, *frame.settles)]
                self.marks[file] = frame.end
        self.gone += [process_id] if last else []
        if self.dies_after:
            raise OSError("the answer to the commit never came")

    async def forget(self, file: str) -> None:
        self.marks.pop(file, None)
        self.seen.set()


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.001,))


def spill(folder: Path, name: str = "prc_1", *, server: bool = True, **changed: Any) -> Spill:
    return Spill(folder / "spill", name, lambda: replace(Settings(), **changed), lambda: 1_000, server=server)


async def kill(dead: Spill) -> None:
    """What of a process ends with it: its tasks, and its locks."""
    if dead._task is not None:
        dead._task.cancel()
        await asyncio.gather(dead._task, return_exceptions=True)
    assert dead._file is not None
    dead._file.close()


async def test_rows_wait_on_the_disk_and_go_over_by_themselves(tmp_path: Path, database: Database) -> None:
    mine = spill(tmp_path)
    await mine.begin(database.carry, database.forget)
    assert await mine.put([{"id": "a"}], [], []) and await mine.put([], [{"id": "b", "cost_nano": 7}], [{"value": b"\0\xff"}])
    (file,) = left(tmp_path / "spill", ENDING)
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    assert mine.away and mine.told() == {"since": 1_000, "bytes": file.stat().st_size, "rows": 2, "new_requests": True}
    database.away = False
    await asyncio.wait_for(database.seen.wait(), 30)
    assert (database.rows, database.marks, left(tmp_path / "spill", ENDING), mine.told()) == (["a", "b"], {}, [], None)
    database.away = True
    assert await mine.put([{"id": "c"}], [], []), "and again"
    told = mine.told()
    assert told is not None and (told["rows"], mine.rows) == (1, 3), "what waits, and all that ever did"
    database.away = False
    await mine.close()
    assert database.rows == ["a", "b", "c"]


async def test_nobody_waits_while_what_waited_is_carried_over(tmp_path: Path, database: Database) -> None:
    """An hour of entries may take minutes."""
    database.away, slow, begun = False, asyncio.Event(), asyncio.Event()

    async def carry(file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        begun.set()
        await slow.wait()
        await database.carry(file, frames, process_id, last, soon)

    mine = spill(tmp_path)
    await mine.put([{"id": "a"}], [], [])
    await mine.begin(carry, database.forget)
    await asyncio.wait_for(begun.wait(), 30)
    async with asyncio.timeout(30):
        assert await mine.needed() and await mine.put([{"id": "b"}], [], [])
    slow.set()
    await asyncio.wait_for(database.seen.wait(), 30)
    assert database.rows == ["a", "b"] and not mine.away
    await mine.close()


async def test_who_is_killed_leaves_it_to_the_next_start(tmp_path: Path, database: Database) -> None:
    dead, lives = spill(tmp_path), spill(tmp_path, "prc_2")
    await dead.put([{"id": "a"}], [], [])
    await lives.put([{"id": "b"}], [], [])
    await kill(dead)
    database.away = False
    heir = spill(tmp_path, "prc_3")
    await heir.begin(database.carry, database.forget)
    assert (database.rows, database.gone) == (["a"], ["prc_1"]), "the file of a process that lives is its own"
    await heir.close()
    await lives.close()
    (file,) = left(tmp_path / "spill", ENDING)
    assert file.name == "prc_2-1.spill"


async def test_a_commit_whose_answer_was_lost_counts_once(tmp_path: Path, database: Database) -> None:
    mine = spill(tmp_path)
    database.away, database.dies_after = False, True
    await mine.put([{"id": "a"}], [], [])
    await mine.begin(database.carry, database.forget)
    while not database.rows:
        await asyncio.sleep(0)
    await mine.put([{"id": "b"}], [], [])
    await kill(mine)
    database.dies_after = False
    await spill(tmp_path, "prc_2").begin(database.carry, database.forget)
    assert database.rows == ["a", "b"]


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 20])
async def test_a_torn_end_is_left_out_and_nothing_else(tmp_path: Path, database: Database, cut: int) -> None:
    dead = spill(tmp_path)
    await dead.put([{"id": "a"}], [], [])
    await dead.put([{"id": "b"}], [], [])
    await kill(dead)
    (file,) = left(tmp_path / "spill", ENDING)
    os.truncate(file, file.stat().st_size - cut)
    database.away = False
    await spill(tmp_path, "prc_2").begin(database.carry, database.forget)
    assert database.rows == ["a"] and left(tmp_path / "spill", ENDING) == []


async def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MB", 300)
    mine = spill(tmp_path, spill_mb=1)
    assert [await mine.put([{"id": "x" * 100}], [], []) for _ in range(3)] == [True, True, False]
    assert not spill(tmp_path, spill_mb=0).wanted and not await spill(tmp_path, spill_mb=0).put([{"id": "a"}], [], [])
    assert not await spill(tmp_path / "nowhere" / "at all").put([{"id": "a"}], [], []), "the disk refuses as well"
    await kill(mine)


def test_whether_new_requests_begin(tmp_path: Path) -> None:
    assert spill(tmp_path).takes_new and not spill(tmp_path, server=False).takes_new
    assert spill(tmp_path, server=False, spill_new_requests="yes").takes_new
    assert not spill(tmp_path, spill_new_requests="no").takes_new
    late = spill(tmp_path, spill_minutes=1)
    late.since = 1_000 - 60_000
    assert not late.takes_new, "the books may not wait for ever"
    late.since = 1_000 - 59_999
    assert late.takes_new


async def test_a_full_disk_under_sqlite(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered is on record beside the full disk, and in the books when there is room; nothing new begins meanwhile."""
    home, other = Path(shutil.copytree(migrated_home, tmp_path / "home")), tmp_path / "other disk"
    other.mkdir()
    (home / "omni.db").rename(other / "omni.db")
    gateway = await Gateway.open(home, {"OMNI_DATABASE_URL": f"sqlite:///{other}/omni.db"})
    await gateway.serve(jobs=False)
    row = {"started_at": 1, "process_id": gateway.process_id}
    await gateway.ledger.open({**row, "id": "req_a"})

    async def pages(most: str) -> None:
        await gateway.db.tx(lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={most}"))

    await pages("1")  # as many as there are: not one more
    await gateway.ledger.settle({"id": "req_a", "settled_at": 2, "outcome": "ok", "cost_nano": 7, "error_message": "x" * 50_000})
    await gateway.journal.landed()
    assert gateway.spill.away and not gateway.ledger.unsettled
    with pytest.raises(GatewayError, match="on record"):
        await gateway.ledger.open({**row, "id": "req_b"})
    assert (await gateway.admin.system())["database_away"]["new_requests"] is False
    await pages("1000000")
    while gateway.spill.away:
        await asyncio.sleep(0.005)
    await gateway.ledger.open({**row, "id": "req_c"})
    query = "SELECT id, state, cost_nano FROM requests ORDER BY id"
    found = await gateway.db.run(lambda conn: [tuple(one) for one in conn.exec_driver_sql(query)])
    assert found == [("req_a", "settled", 7), ("req_c", "open", None)]
    await gateway.close()
