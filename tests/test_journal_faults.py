"""The journal: what could be lost, doubled or held up, and is not. R-13."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from omni_connector import journal as module
from omni_connector.frames import Frame, left
from omni_connector.journal import ENDING, Journal
from omni_connector.store.allowances import Ask, Claim
from omni_connector.store.engine import Database
from omni_connector.store.files import Away, DatabaseError
from tests.journaling import NOW, Paper, killed, opened, over, real, spill_of, states


@pytest.fixture
def paper() -> Paper:
    return Paper()


@pytest.fixture
async def journal(tmp_path: Path, paper: Paper) -> AsyncIterator[Journal]:
    made = Journal(tmp_path, "prc_1", paper, spill_of(tmp_path), lambda: False)
    made.start()
    yield made
    await made.close()


@pytest.fixture
async def db(migrated_home: Path, tmp_path: Path) -> AsyncIterator[Database]:
    home = Path(shutil.copytree(migrated_home, tmp_path / "home"))
    database = await Database.open(f"sqlite:///{home / 'omni.db'}")
    yield database
    await database.close()


async def test_a_reader_that_leaves_loses_nothing_and_who_comes_meanwhile_waits(
    journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_it, go_on = asyncio.Event(), asyncio.Event()
    land = paper.land

    async def slow(*said: Any) -> None:
        at_it.set()
        await go_on.wait()
        await land(*said)

    monkeypatch.setattr(paper, "land", slow)
    await journal.write([opened("a")], [over("a")], [], [])
    leaving = asyncio.create_task(journal.landed())
    await at_it.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    second = asyncio.create_task(journal.landed())
    await asyncio.sleep(0.01)
    assert not second.done(), "nothing waits any more, and yet it is not there"
    go_on.set()
    await second
    assert paper.done == [("land", ["a"], ["a"])] and journal.waiting == 0


async def test_a_reader_that_leaves_a_database_that_refuses_then_loses_nothing(
    journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_it, go_on = asyncio.Event(), asyncio.Event()
    land = paper.land

    async def refusing(*said: Any) -> None:
        at_it.set()
        await go_on.wait()
        raise DatabaseError("held by another process")

    monkeypatch.setattr(paper, "land", refusing)
    await journal.write([opened("a")], [over("a")], [], [])
    leaving = asyncio.create_task(journal.landed())
    await at_it.wait()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    go_on.set()
    async with journal._lane:
        assert journal.waiting == 2
        monkeypatch.setattr(paper, "land", land)
        await journal._empty(everything=True)
    assert paper.done == [("land", ["a"], ["a"])]


async def test_many_readers_share_a_landing(journal: Journal, paper: Paper) -> None:
    await journal.write([opened("a")], [], [], [])
    readers = [asyncio.create_task(journal.landed()) for _ in range(50)]
    await asyncio.gather(*readers)
    assert paper.done == [("land", ["a"], [])]


async def test_a_reader_does_not_wait_for_long(journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    go_on, land = asyncio.Event(), paper.land

    async def slow(*said: Any) -> None:
        await go_on.wait()
        await land(*said)

    monkeypatch.setattr(paper, "land", slow)
    await journal.write([opened("a")], [], [], [])
    await journal.landed()
    assert paper.done == []
    go_on.set()


async def test_what_ends_while_its_beginning_is_spilled_comes_after_it(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for a moment: the beginning is spilled, and the database is back before the spill has noticed."""
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a")], [], [], [])
    with monkeypatch.context() as patch:
        patch.setattr(journal._books, "land", _away)
        async with journal._lane:
            with pytest.raises(Away):
                await journal._empty(everything=True)
    journal.on = True  # as the first that goes over leaves it
    for keeps in ([], [{"kind": "response", "id": "r", "key_id": "", "body": b"", "created_at": NOW}]):
        with pytest.raises(Away):
            await journal.write([], [over("req_a")], keeps, [])
    assert await journal._spill.put([], [over("req_a")], ())
    await _back(journal)
    assert await states(db) == [("req_a", "settled", "ok", 7)] and journal.on
    await journal.close()


async def test_an_entry_on_its_way_to_the_file_while_the_database_goes_away_is_spilled_with_the_rest(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a")], [], [], [])
    append, begun, go_on = journal._append, threading.Event(), threading.Event()

    def slow(frame: bytes) -> Any:
        begun.set()
        go_on.wait()
        return append(frame)

    monkeypatch.setattr(journal, "_append", slow)
    ending = asyncio.ensure_future(journal.write([], [over("req_a")], [], []))
    await asyncio.to_thread(begun.wait)
    with monkeypatch.context() as patch:
        patch.setattr(journal._books, "land", _away)
        reading = asyncio.create_task(journal.landed())
        while journal.on:
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(ending, reading)
    assert journal._spill.away and journal.waiting == 0
    await _back(journal)
    assert await states(db) == [("req_a", "settled", "ok", 7)]
    await journal.close()


async def test_an_entry_on_its_way_to_the_file_when_all_ends_is_in_the_database_or_in_the_file(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = real(db)
    journal.start()
    append, landed = journal._append, threading.Event()

    def slow(frame: bytes) -> Any:
        landed.wait(0.2)
        return append(frame)

    land = journal._books.land

    async def and_then(*given: Any) -> None:
        await land(*given)
        landed.set()
        while not ending.done():
            await asyncio.sleep(0)

    await journal.write([opened("req_a")], [], [], [])
    monkeypatch.setattr(journal, "_append", slow)
    monkeypatch.setattr(journal._books, "land", and_then)
    ending = asyncio.ensure_future(journal.write([], [over("req_a")], [], []))
    await journal.close()
    assert ending.done()
    later = real(db, "prc_2")
    await later.inherit()
    assert await states(db) == [("req_a", "settled", "ok", 7)]


async def test_a_return_that_fails_again_does_not_wait_for_itself(journal: Journal, paper: Paper) -> None:
    """Who holds the spill wants the journal's lane, and the other way round."""
    spill = journal._spill
    await journal.write([opened("a")], [], [], [])
    await spill.put([opened("b")], [], ())
    paper.refuses = Away("the disk is full")
    async with spill._lock:
        with pytest.raises(Away):
            await asyncio.wait_for(journal.carry("f", [Frame(1, [], [], [])], "prc_1", False, False), 30)
    assert journal.waiting == 1, "it goes over before what was spilled after it"
    paper.refuses = None


async def _away(*said: Any) -> None:
    raise Away("the disk is full")


async def _back(journal: Journal) -> None:
    async def forget(file: str) -> None:
        await asyncio.sleep(0)

    await journal._spill.begin(journal.carry, forget)
    while journal._spill.away:
        await asyncio.sleep(0.01)
    await journal._spill.close()


async def test_rows_that_were_deleted_since_do_not_come_back(db: Database) -> None:
    """A file may be days old before it is large, and the sums outlive the rows: twice in them would be money that nobody spent."""
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a"), opened("req_b")], [over("req_a")], [], [])
    await journal.landed()
    await journal.write([opened("req_c")], [over("req_b")], [], [])
    async with journal._lane:
        await journal._empty(everything=False)  # c stays
    await db.tx(lambda conn: conn.exec_driver_sql("DELETE FROM requests"))
    killed(journal)
    await real(db, "prc_2").inherit()
    assert [row[:2] for row in await states(db)] == [("req_c", "settled")]
    total = await db.run(lambda conn: conn.exec_driver_sql("SELECT sum(cost_nano) FROM usage_hours").scalar())
    assert total == 14
    assert await db.run(lambda conn: conn.exec_driver_sql("SELECT name FROM meta WHERE name LIKE '%:prc_%'").fetchall()) == []


async def test_files_of_a_process_go_over_in_their_order(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 1)
    journal = real(db)
    journal._number = 8
    journal.start()
    await journal.write([opened("req_a")], [], [], [])
    await journal.write([], [over("req_a")], [], [])
    assert [path.name for path in left(journal._folder, ENDING)] == ["prc_1-9.journal", "prc_1-10.journal"]
    killed(journal)
    await real(db, "prc_2").inherit()
    assert await states(db) == [("req_a", "settled", "ok", 7)]


async def test_what_was_spilled_waits_for_the_journal_before_it(tmp_path: Path, paper: Paper) -> None:
    journal = Journal(tmp_path, "prc_1", paper, spill_of(tmp_path), lambda: False)
    journal.start()
    await journal.write([opened("a")], [], [], [])
    await journal._spill.put([], [over("a")], ())
    killed(journal)
    assert journal._spill._file is not None
    journal._spill._file.close()
    paper.refuses = DatabaseError("held by another process")
    second = Journal(tmp_path, "prc_2", paper, spill_of(tmp_path, "prc_2"), lambda: False)
    await second.inherit()
    paper.refuses = None
    await second._spill.begin(second.carry, paper.forget)
    assert paper.done == []
    await second._spill.close()
    third = Journal(tmp_path, "prc_3", paper, spill_of(tmp_path, "prc_3"), lambda: False)
    await third.inherit()
    await third._spill.begin(third.carry, paper.forget)
    assert paper.done == [("carry", ["a"], []), ("carry", [], ["a"])]
    await third._spill.close()


async def test_a_reader_is_not_held_up_by_what_others_have_only_begun(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    theirs, mine = real(db, "prc_1", siblings=True), real(db, "prc_2", siblings=True)
    theirs.start()
    mine.start()
    looks = _counted(mine, monkeypatch)
    await theirs.write([opened("req_a")], [], [], [])
    await mine.landed()
    assert looks() < module.LOOKS
    await theirs.close()
    await mine.close()
    assert await db.run(lambda conn: conn.exec_driver_sql("SELECT name FROM meta WHERE name LIKE '%:prc_%'").fetchall()) == []


async def test_a_worker_that_was_stopped_holds_up_a_reader_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "GATHER_S", 60.0)
    theirs, mine = real(db, "prc_1", siblings=True), real(db, "prc_2", siblings=True)
    theirs.start()
    mine.start()
    looks = _counted(mine, monkeypatch)
    await theirs.write([opened("req_a")], [over("req_a")], [], [])
    await mine.landed()
    assert looks() == module.LOOKS
    await mine.landed()
    assert looks() == module.LOOKS + 1
    await theirs.landed()
    await theirs.write([opened("req_b")], [over("req_b")], [], [])
    await mine.landed()
    assert looks() > module.LOOKS + 10, "it had come along since"
    await theirs.close()
    await mine.close()


def _counted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    count, reached = 0, journal._books.reached

    async def counting(files: Sequence[str]) -> dict[str, int]:
        nonlocal count
        count += 1
        return await reached(files)

    monkeypatch.setattr(journal._books, "reached", counting)
    return lambda: count


async def test_a_loop_that_was_closed_leaves_it_to_the_next_one(db: Database) -> None:
    """A host may end a loop without a word: the process lives on, and its files must not stay locked."""
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a")], [over("req_a")], [], [])
    assert journal._task is not None
    journal._task.cancel()
    journal.let_go()
    await real(db, "prc_2").inherit()
    assert await states(db) == [("req_a", "settled", "ok", 7)] and left(journal._folder, "") == []


async def test_it_can_be_begun_again_and_closed_unbegun(tmp_path: Path, paper: Paper) -> None:
    journal = Journal(tmp_path, "prc_1", paper, spill_of(tmp_path), lambda: False)
    await journal.close()
    for name in "ab":
        journal.start()
        await journal.write([opened(name)], [over(name)], [], [])
        await journal.landed()
        assert journal.on
        await journal.close()
    assert [entry[0] for entry in paper.done] == ["land", "land"] and left(tmp_path, "") == []


async def test_who_was_let_in_and_ends_while_the_database_is_away_is_forgotten(journal: Journal, paper: Paper) -> None:
    await journal.write([opened("a")], [], [], [Ask("a", NOW, (Claim("key", "key_1", max_in_flight=1),))])
    await journal.carry("f", [Frame(1, [], [over("a")], [])], "prc_1", False, False)
    assert journal._direct == set()


async def test_a_disk_that_refuses_is_not_asked_with_every_request(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def full(frame: bytes) -> None:
        tried.append(frame)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_append", full)
    for name in "abc":
        await journal.write([opened(name)], [], [], [])
    assert len(tried) == 1


async def test_a_file_that_cannot_be_removed_does_not_keep_it_busy(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "LARGE", 1)
    for name in "ab":
        await journal.write([opened(name)], [], [], [])
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        await journal.landed()
    assert journal._full == [] and journal.on
    await Journal(tmp_path, "prc_2", Paper(), spill_of(tmp_path, "prc_2"), lambda: False).inherit()
    assert [path.name for path in left(tmp_path, ENDING)] == ["prc_1-2.journal"], "the lock is gone"


async def test_where_there_are_no_such_files_the_database_does_it(tmp_path: Path, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POSSIBLE", False)
    journal = Journal(tmp_path, "prc_1", paper, spill_of(tmp_path), lambda: False)
    journal.start()
    await journal.write([opened("a")], [over("a")], [], [])
    await journal.close()
    assert paper.done == [("write", ["a"], ["a"])] and left(tmp_path, "") == []


async def test_what_a_reader_could_not_land_is_tried_again_by_itself(
    journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is on its way nothing waits, so the journal itself would rest until the next request."""
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "ALONE_S", 0.0)
    await journal.write([opened("a")], [], [], [])
    await asyncio.sleep(0.01)  # it has looked, and waits for the end
    go_on, land = asyncio.Event(), paper.land

    async def refusing(*said: Any) -> None:
        await go_on.wait()
        raise DatabaseError("held by another process")

    with monkeypatch.context() as patch:
        patch.setattr(paper, "land", refusing)
        reading = asyncio.create_task(journal.landed())
        await asyncio.sleep(0.01)
        journal._news.set()
        await asyncio.sleep(0.01)
        go_on.set()
        await reading
    monkeypatch.setattr(paper, "land", land)
    async with asyncio.timeout(30):
        while not paper.done:
            await asyncio.sleep(0.01)


async def test_what_comes_while_others_land_is_noted_soon(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    journal = real(db, siblings=True)
    land, second = journal._books.land, [opened("req_b")]

    async def meanwhile(*said: Any) -> None:
        if second:
            await journal.write([second.pop()], [], [], [])
        await land(*said)

    monkeypatch.setattr(journal._books, "land", meanwhile)
    journal.start()
    await journal.write([opened("req_a")], [over("req_a")], [], [])
    async with asyncio.timeout(30):
        while journal._noted != journal._reached():
            await asyncio.sleep(0.01)
    await journal.close()
