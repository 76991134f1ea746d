"""The journal: durable at once, in the database a moment later, the same rows and sums either way, and nothing lost or doubled whatever
ends the process. R-13."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni_connector import journal as module
from omni_connector.frames import left
from omni_connector.journal import ENDING, Journal
from omni_connector.store import books, requests, rollups
from omni_connector.store.allowances import Ask, Claim, Granted
from omni_connector.store.engine import Database
from omni_connector.store.files import Away, DatabaseError
from tests.journaling import NOW, Paper, Row, killed, opened, over, real, spill_of, states


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


async def test_what_is_over_goes_over_with_its_beginning_and_what_is_not_waits(journal: Journal, paper: Paper, tmp_path: Path) -> None:
    await journal.write([opened("a"), opened("b")], [], [], [])
    await journal.write([], [over("a")], [], [])
    assert paper.done == [] and journal.waiting == 3
    async with journal._lane:
        await journal._empty(everything=False)
    assert paper.done == [("land", ["a"], ["a"])]
    await journal.landed()
    assert paper.done[1:] == [("land", ["b"], [])]
    await journal.close()
    assert left(tmp_path, "") == []


async def test_it_lands_by_itself(journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "ALONE_S", 0.0)
    await journal.write([opened("a")], [over("a")], [], [])
    while not paper.done:
        await asyncio.sleep(0)
    monkeypatch.setattr(module, "OPEN_S", 0.0)
    await journal.write([opened("b")], [], [], [])
    while len(paper.done) < 2:
        await asyncio.sleep(0)
    assert paper.done == [("land", ["a"], ["a"]), ("land", ["b"], [])]


async def test_little_waits_for_more_and_plenty_for_nothing(journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "ALONE_S", 60.0)
    monkeypatch.setattr(module, "PLENTY", 2)
    await journal.write([opened("a")], [over("a")], [], [])
    await asyncio.sleep(0.01)
    assert paper.done == []
    await journal.write([opened("b")], [over("b")], [], [])
    async with asyncio.timeout(30):
        while not paper.done:
            await asyncio.sleep(0)
    await journal.write([opened("c")], [over("c")], [], [])
    await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        await journal.close()
    assert paper.done == [("land", ["a", "b"], ["a", "b"]), ("land", ["c"], ["c"])], "it does not wait when all ends"


async def test_what_limits_are_asked_for_goes_straight_after_what_came_before(journal: Journal, paper: Paper) -> None:
    claim = Claim("key", "key_1", max_in_flight=1)
    await journal.write([opened("a")], [], [], [])
    assert await journal.write([opened("b")], [], [], [Ask("b", NOW, (claim,))]) == [Granted(None)]
    assert paper.done == [("land", ["a"], []), ("write", ["b"], [])]
    await journal.write([], [over("b")], [], [])
    assert paper.done[2:] == [("write", [], ["b"])], "who waits for what it holds waits no longer than that"
    await journal.write([], [over("a")], [{"kind": "response"}], [])
    assert paper.done[3:] == [("write", [], ["a"])], "a later request may come to another process"


async def test_a_database_that_goes_away_has_all_of_it_spilled(journal: Journal, paper: Paper, tmp_path: Path) -> None:
    await journal.write([opened("a")], [over("a")], [], [])
    paper.refuses = Away("the disk is full")
    await journal.landed()
    assert journal._spill.away and journal.waiting == 0 and not journal.on
    paper.refuses = None
    await journal._spill.begin(journal.carry, paper.forget)
    while journal._spill.away:
        await asyncio.sleep(0.01)
    assert paper.done == [("carry", ["a"], ["a"])] and journal.on
    await journal._spill.close()


async def test_a_database_that_refuses_otherwise_is_asked_again_and_the_callers_hear_of_it(journal: Journal, paper: Paper) -> None:
    await journal.write([opened("a")], [over("a")], [], [])
    paper.refuses = DatabaseError("held by another process")
    await journal.landed()
    assert (journal.waiting, journal.on) == (2, False)
    with pytest.raises(DatabaseError):
        await journal.write([opened("b")], [], [], [])
    paper.refuses = None
    await journal.write([opened("c")], [], [], [])
    assert paper.done == [("land", ["a"], ["a"]), ("write", ["c"], [])] and journal.on


async def test_a_disk_that_refuses_leaves_it_to_the_database(journal: Journal, paper: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(frame: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "_append", full)
    await journal.write([opened("a")], [], [], [])
    await journal.write([{**opened("b"), "client": "\ud800"}], [], [], [])
    assert paper.done == [("write", ["a"], []), ("write", ["b"], [])]


async def test_a_large_file_is_followed_by_another_one(journal: Journal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "LARGE", 10)
    for name in "abc":
        await journal.write([opened(name)], [], [], [])
    assert len(left(tmp_path, ENDING)) == 3
    async with journal._lane:
        await journal._empty(everything=True)
    assert [path.name for path in left(tmp_path, ENDING)] == ["prc_1-3.journal"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
_MAYBE = {
    name: st.none() | kind
    for name, kind in {
        "key_id": _TEXT, "key_name": _TEXT, "account_id": _TEXT, "account_label": _TEXT, "provider": _TEXT, "model": _TEXT,
        "route": _TEXT, "est_input": st.integers(0, 9), "client": _TEXT,
    }.items()
}  # fmt: skip
_AFTER = {
    name: st.none() | kind
    for name, kind in {
        "told": st.booleans(), "account_id": _TEXT, "account_label": _TEXT, "provider": _TEXT, "model": _TEXT, "flag": _TEXT,
        "attempts": st.lists(_TEXT, max_size=1), "skipped": st.lists(_TEXT, max_size=1),
        "usage_raw": st.dictionaries(_TEXT, _TEXT, max_size=1),
        "plan": st.dictionaries(_TEXT, _TEXT, max_size=1), "input": st.integers(0, 9), "cost_nano": st.integers(0, 9), "route": _TEXT,
        "usage_source": st.sampled_from(["reported"]), "shadow_nano": st.integers(0, 9), "state": st.just("settled"),
    }.items()
}  # fmt: skip


async def test_rows_and_sums_are_the_same_as_those_written_in_two_steps(db: Database) -> None:
    number = iter(range(10**6))

    def both(conn: Any, begun: Row, ended: Row) -> None:
        name, twin = (f"req_{next(number):08}" for _ in range(2))
        for which, how in ((name, books.put), (twin, _in_two_steps)):
            how(conn, [{**opened(which), **begun}], [{**over(which), **ended, "id": which}])
        first, second = [requests.get(conn, which) for which in (name, twin)]
        assert first is not None and second is not None
        assert {**first, "id": ""} == {**second, "id": ""}

    @given(st.fixed_dictionaries({}, optional=_MAYBE), st.fixed_dictionaries({}, optional=_AFTER))
    def check(begun: Row, ended: Row) -> None:
        cases.append((begun, ended))

    cases: list[tuple[Row, Row]] = []
    check()

    def all_of_them(conn: Any) -> None:
        for case in cases:
            both(conn, *case)

    await db.tx(all_of_them)
    assert await db.run(rollups.check) == []


def _in_two_steps(conn: Any, opens: Sequence[Row], settles: Sequence[Row]) -> None:
    requests.insert_open(conn, opens)
    books.settle(conn, settles)


async def test_who_reads_sees_what_was_said_before(db: Database) -> None:
    journal = real(db)
    journal.start()
    db.settled = journal.landed
    await journal.write([opened("req_a")], [over("req_a")], [], [])
    with sqlite3.connect(str(db.path)) as beside:
        assert beside.execute("SELECT count(*) FROM requests").fetchone() == (0,), "not yet in the database"
    beside.close()
    assert await states(db) == [("req_a", "settled", "ok", 7)]
    await journal.close()


async def test_a_killed_process_leaves_nothing_undone(db: Database) -> None:
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a"), opened("req_b"), opened("req_c")], [], [], [])
    await journal.write([], [over("req_a")], [], [])
    await journal.landed()
    await journal.write([opened("req_d")], [over("req_b"), over("req_d", cost_nano=11)], [], [])
    killed(journal)
    for name in ("prc_2", "prc_3"):  # the second one finds nothing to do
        await real(db, name).inherit()
        assert await states(db) == [
            ("req_a", "settled", "ok", 7),
            ("req_b", "settled", "ok", 7),
            ("req_c", "settled", "recovered", None),
            ("req_d", "settled", "ok", 11),
        ]
        assert await db.run(rollups.check) == []
    assert left(journal._folder, "") == []


async def test_a_row_that_cannot_be_stored_holds_up_no_other(db: Database) -> None:
    journal = real(db)
    journal.start()
    await journal.write([opened("req_a"), opened("req_b")], [], [], [])
    await journal.write([opened("req_c")], [over("req_b", cost_nano=2**63), over("req_a")], [], [])
    await journal.landed()
    assert await states(db) == [("req_a", "settled", "ok", 7), ("req_b", "settled", "ok", None), ("req_c", "open", None, None)]
    assert await db.run(rollups.check) == [] and journal.on
    await journal.close()


async def test_a_reader_beside_another_worker_sees_what_that_has_settled(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    theirs, mine = real(db, "prc_1", siblings=True), real(db, "prc_2", siblings=True)
    theirs.start()
    mine.start()
    db.settled = mine.landed
    await theirs.write([opened("req_a"), opened("req_b")], [over("req_a")], [], [])
    assert ("req_a", "settled", "ok", 7) in await states(db)
    await theirs.close()
    await mine.close()
    assert [row[:2] for row in await states(db)] == [("req_a", "settled"), ("req_b", "open")]
