"""The ledger: one commit for many, durable when awaited, alive after failures. R-13."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from omni_connector import ledger as ledger_module
from omni_connector import logs
from omni_connector.errors import GatewayError, Kind
from omni_connector.frames import Frame
from omni_connector.ledger import Ledger, gathering_s
from omni_connector.settings import Settings
from omni_connector.spill import Spill
from omni_connector.store.allowances import Ask, Claim, Granted
from omni_connector.store.files import Away, DatabaseError, Silent


class Disk:
    """Remembers transactions; `broken` makes it refuse that many writes."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[Any], list[Any]]] = []
        self.kept: list[list[Any]] = []
        self.asked: list[str] = []
        self.broken = 0
        self.gate: asyncio.Event | None = None

    async def write(self, opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            self.broken -= 1
            raise OSError("disk full")
        self.commits.append((list(opens), list(settles)))
        self.kept.append(list(keeps))
        self.asked += [ask.request_id for ask in asks]
        return [Granted(None) for _ in asks]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "RETRIES", (0.0, 0.0))


async def test_rows_that_wait_share_one_commit() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    book = Ledger(disk.write, gather=0)
    book.start()
    first = book.open({"id": "a"})
    await asyncio.sleep(0)
    rest = [book.open({"id": str(n)}) for n in range(50)] + [book.settle({"id": "a"})]
    disk.gate.set()
    await asyncio.gather(first, *rest)
    assert len(disk.commits) <= 2
    assert sum(len(opens) for opens, _ in disk.commits) == 51
    assert [row["id"] for _, settles in disk.commits for row in settles] == ["a"]
    await book.close()


async def test_a_row_opened_and_settled_at_once_is_opened_first() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    book.open({"id": "x"})
    await book.settle({"id": "x"})
    opens, settles = disk.commits[0]
    assert (opens, settles) == ([{"id": "x"}], [{"id": "x"}])
    await book.close()


async def test_a_refused_open_fails_the_request_and_a_refused_settlement_is_kept() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    disk.broken = 3
    with pytest.raises(GatewayError) as refused:
        await book.open({"id": "a"})
    assert refused.value.kind is Kind.INTERNAL
    disk.broken = 3
    with pytest.raises(GatewayError):
        await book.settle({"id": "b"})
    await book.settle({"id": "c"})  # the disk is back: what was held goes first
    assert [row["id"] for _, settles in disk.commits for row in settles] == ["b", "c"]
    await book.close()


async def test_where_a_future_answers_nobody_needs_a_task_and_a_refusal_is_tried_again() -> None:
    disk, told = Disk(), list[str]()

    def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> Any:
        names = [row["id"] for row in (*opens, *settles)]
        told.extend(names)
        if told.count("raised") == 1 and "raised" in names:
            raise ValueError("at once")
        answer = asyncio.get_running_loop().create_future()
        if told.count("failed") == 1 and "failed" in names:
            answer.set_exception(OSError("later"))
        else:
            disk.commits.append((list(opens), list(settles)))
            answer.set_result(())
        return answer

    book = Ledger(write, gather=0)
    book.start()
    await book.open({"id": "a"})
    assert [task for task in asyncio.all_tasks() if task.get_name() == "ledger"] == []
    await book.open({"id": "raised"})
    await book.settle({"id": "failed"})
    await book.close()
    assert disk.commits == [([{"id": "a"}], []), ([{"id": "raised"}], []), ([], [{"id": "failed"}])]
    assert not book.open({"id": "late"}).done() and book.commits == 3


@pytest.mark.parametrize("kind", ["future", "coroutine"])
async def test_what_it_says_is_no_request_s(kind: str) -> None:
    """A request that comes first would else be named in all lines of those after it."""
    named = list[str]()

    async def refuse() -> None:
        named.append(logs.request_id.get())
        raise OSError("disk full")

    def write(*given: Any) -> Any:
        named.append(logs.request_id.get())
        return asyncio.ensure_future(refuse()) if kind == "future" else refuse()

    book = Ledger(write, gather=0)
    book.start()
    for name in ("req_a", "req_b"):
        await book.rest()
        logs.request_id.set(name)
        with pytest.raises(GatewayError):
            await book.open({"id": name})
    await book.close()
    assert len(named) == 12 and set(named) == {""}


async def test_closing_writes_what_nobody_waits_for() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=1)
    book.start()
    for n in range(5):
        book.settle({"id": str(n)})
    await book.close()
    assert sum(len(settles) for _, settles in disk.commits) == 5


async def test_a_caller_that_is_cancelled_leaves_the_row_with_the_writer() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    book = Ledger(disk.write, gather=0)
    book.start()

    async def caller() -> None:
        await book.open({"id": "gone"})

    task = asyncio.create_task(caller())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    disk.gate.set()
    await book.settle({"id": "gone"})
    assert [row["id"] for opens, _ in disk.commits for row in opens] == ["gone"]
    await book.close()


async def test_a_row_that_cannot_be_stored_holds_up_nobody() -> None:
    """One impossible value (a count beyond 64 bits) used to fail every later commit as well."""
    disk = Disk()

    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if any(row.get("input") == 2**70 for row in (*opens, *settles)):
            raise OverflowError("Python int too large to convert to SQLite INTEGER")
        return await disk.write(opens, settles, keeps, asks)

    book = Ledger(write, gather=0)
    book.start()
    poison = book.settle({"id": "poison", "outcome": "ok", "settled_at": 1, "input": 2**70})
    beside = [book.open({"id": "new"}), book.settle({"id": "fine"})]
    await asyncio.gather(*beside)
    with pytest.raises(GatewayError):
        await poison
    alone = book.settle({"id": "alone", "outcome": "ok", "input": 2**70})
    with pytest.raises(GatewayError):
        await alone  # whether it is the row or the disk cannot be told yet
    await book.settle({"id": "later"})
    assert book.unsettled == []
    written = [row for _, settles in disk.commits for row in settles]
    assert [row["id"] for row in written] == ["fine", "poison", "later", "alone"]
    assert written[1] == {"id": "poison", "outcome": "ok", "settled_at": 1}
    await book.close()


async def test_an_outage_is_told_apart_from_a_bad_row_and_closing_tries_once_more() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    disk.broken = 3 + 3  # the tries of the batch, then the probes
    waiting = [book.settle({"id": str(n)}) for n in range(10)]
    assert all(isinstance(told, GatewayError) for told in await asyncio.gather(*waiting, return_exceptions=True))
    assert len(book.unsettled) == 10
    assert disk.broken == 0
    await book.close()
    assert sum(len(settles) for _, settles in disk.commits) == 10


async def test_what_is_kept_shares_the_commit_of_its_settlement() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    await book.settle({"id": "a"}, [{"kind": "response", "id": "resp_1"}])
    await book.settle({"id": "b"})
    assert disk.commits == [([], [{"id": "a"}]), ([], [{"id": "b"}])]
    assert disk.kept == [[{"kind": "response", "id": "resp_1"}], []]
    await book.close()


@pytest.mark.parametrize("beside", [0, 3])
async def test_a_kept_row_that_cannot_be_stored_costs_no_settlement(beside: int, caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk()

    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if any(kept["id"] == "poison" for kept in keeps):
            raise ValueError("no such bytes")
        return await disk.write(opens, settles, keeps, asks)

    book = Ledger(write, gather=0)
    book.start()
    row = {"id": "a", "outcome": "ok", "input": 7}
    good, bad = {"kind": "call", "id": "good"}, {"kind": "response", "id": "poison"}
    await asyncio.gather(book.settle(row, [bad, good]), *(book.settle({"id": str(n)}, [{"id": f"k{n}"}]) for n in range(beside)))
    assert sorted(each["id"] for _, settles in disk.commits for each in settles) == sorted(["a", *map(str, range(beside))])
    assert row in [each for _, settles in disk.commits for each in settles], "with its figures"
    assert sorted(each["id"] for kept in disk.kept for each in kept) == sorted(["good", *(f"k{n}" for n in range(beside))])
    assert "a response that was to be kept could not be" in caplog.text
    await book.close()


async def test_after_an_outage_only_settlements_are_offered_again() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    disk.broken = 3 + 1  # the tries of the batch, then the row alone
    with pytest.raises(GatewayError):
        await book.settle({"id": "a"}, [{"id": "k"}])
    assert book.unsettled == [{"id": "a"}]
    await book.settle({"id": "b"})
    assert (disk.commits, disk.kept) == ([([], [{"id": "a"}, {"id": "b"}])], [[]])
    await book.close()


async def test_limits_are_asked_in_the_commit_that_opens_the_row() -> None:
    disk = Disk()
    book = Ledger(disk.write, gather=0)
    book.start()
    opened, verdict = book.open({"id": "a"}), book.ask(Ask("a", 0, ()))
    await opened
    assert await verdict == Granted(None) and (disk.asked, book.commits) == (["a"], 1)
    assert await book.ask(Ask("b", 0, ())) == Granted(None), "for its next account, without a row"
    await book.close()


async def test_nobody_is_let_in_whose_row_is_not_open() -> None:
    disk = Disk()

    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if any(row["id"] == "poison" for row in opens):
            raise OverflowError("no such number")
        return await disk.write(opens, settles, keeps, asks)

    book = Ledger(write, gather=0)
    book.start()
    rows = [book.open({"id": name}) for name in ("a", "poison")]
    asks = [book.ask(Ask(name, 0, ())) for name in ("a", "poison")]
    found = await asyncio.gather(*rows, *asks, return_exceptions=True)
    assert [isinstance(each, GatewayError) for each in found] == [False, True, False, True] and disk.asked == ["a"]
    disk.broken = 100
    assert isinstance((await asyncio.gather(book.ask(Ask("c", 0, ())), return_exceptions=True))[0], GatewayError)
    disk.broken = 0
    await book.close()


async def test_who_asks_while_it_closes_is_answered() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    book = Ledger(disk.write, gather=0)
    book.start()
    first = book.open({"id": "a"})
    await asyncio.sleep(0)
    closing = asyncio.create_task(book.close())
    await asyncio.sleep(0)
    second = book.ask(Ask("a", 0, ()))
    disk.gate.set()
    await asyncio.gather(first, closing)
    assert second.done() and second.result() == Granted(None)


# ---------------------------------------------------------------- The database is away


class Gone(Disk):
    """A database that is away until `back`."""

    def __init__(self) -> None:
        super().__init__()
        self.back = False

    async def write(self, opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if not self.back:
            raise Away("away")
        return await super().write(opens, settles, keeps, asks)


async def asked(book: Ledger, name: str, *claims: Claim) -> Any:
    opened, verdict = book.open({"id": name}), book.ask(Ask(name, 0, claims, most=5))
    return await asyncio.gather(opened, verdict, return_exceptions=True)


@pytest.mark.parametrize("new", ["yes", "no"])
async def test_while_the_database_is_away_the_books_are_on_the_disk(tmp_path: Path, new: str) -> None:
    disk, stored = Gone(), replace(Settings(), spill_new_requests=new)
    side = Spill(tmp_path / "spill", "prc_1", lambda: stored, lambda: 0)
    book = Ledger(disk.write, gather=0, spill=side)
    book.start()
    await book.settle({"id": "a", "outcome": "ok"}, [{"kind": "response", "value": b"x"}])
    assert side.away and not book.unsettled
    free, paid = await asked(book, "b", Claim("key", "k", rpm=5)), await asked(book, "c", Claim("key", "k", amount=9))
    if new == "yes":
        assert free == [None, Granted(None)] and paid[0] is None and "budget" in paid[1].message
    else:
        assert all(isinstance(one, GatewayError) for one in (*free, *paid))
    carried: list[Frame] = []

    async def carry(file: str, frames: Any, process_id: str, last: bool, soon: bool) -> None:
        carried.extend(frames)

    async def forget(file: str) -> None: ...

    disk.back = True
    await side.begin(carry, forget)
    await side.close()
    assert [row["id"] for frame in carried for row in (*frame.opens, *frame.settles)] == (["a", "b", "c"] if new == "yes" else ["a"])
    assert carried[0].keeps == [{"kind": "response", "value": b"x"}] and not side.away
    await book.settle({"id": "d"})
    assert disk.commits == [([], [{"id": "d"}])]
    await book.close()


async def test_where_the_disk_refuses_as_well_it_is_offered_again(tmp_path: Path) -> None:
    disk, stored = Gone(), replace(Settings(), spill_mb=0)
    book = Ledger(disk.write, gather=0, spill=Spill(tmp_path, "prc_1", lambda: stored, lambda: 0))
    book.start()
    with pytest.raises(GatewayError):
        await book.settle({"id": "a"})
    assert [row["id"] for row in book.unsettled] == ["a"]
    disk.back = True
    await book.close()
    assert disk.commits == [([], [{"id": "a"}])]


async def test_rest_waits_for_what_nobody_waits_for() -> None:
    disk = Disk()
    disk.gate = asyncio.Event()
    ledger = Ledger(disk.write, gather=0)
    await ledger.rest()  # it has not begun
    ledger.start()
    await ledger.rest()
    ledger.open({"id": "req_1"})
    ledger.settle({"id": "req_1"})
    resting = asyncio.create_task(ledger.rest())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not resting.done()
    disk.gate.set()
    await resting
    assert sum(len(opens) + len(settles) for opens, settles in disk.commits) == 2
    await ledger.close()
    await ledger.rest()


async def test_a_database_that_does_not_answer_is_not_waited_for_twice(tmp_path: Path) -> None:
    """Whoever waits has waited long; and those that come next do not wait at all."""
    tries = 0

    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        nonlocal tries
        tries += 1
        raise Silent("silent")

    side = Spill(tmp_path / "spill", "prc_1", Settings, lambda: 0, server=True)
    book = Ledger(write, gather=0, spill=side)
    book.start()
    assert await asked(book, "a", Claim("key", "k", rpm=5)) == [None, Granted(None)]
    assert await asked(book, "b") == [None, Granted(None)]
    _, verdict = await asked(book, "c", Claim("key", "k", amount=9))
    assert tries == 1 and isinstance(verdict, GatewayError)
    await book.close()


def test_how_long_rows_wait_for_others() -> None:
    assert [gathering_s(ms, server=False) for ms in (-1, 0, 5)] == [0.001, 0, 0.005]
    assert [gathering_s(ms, server=True) for ms in (-1, 0, 5)] == [0.002, 0, 0.005]


async def test_a_settlement_that_met_a_held_database_keeps_its_figures() -> None:
    """Others got in a moment later: that says nothing against the row."""
    refusals = [DatabaseError("held by another process")] * 4
    disk = Disk()

    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        if refusals:
            raise refusals.pop()
        return await disk.write(opens, settles, keeps, asks)

    book = Ledger(write, gather=0)
    book.start()
    ends = [book.settle({"id": name, "settled_at": 1, "outcome": "ok", "cost_nano": 7}) for name in "ab"]
    await asyncio.gather(*ends, return_exceptions=True)
    await book.close()
    assert sorted((row["id"], row.get("cost_nano")) for _, settles in disk.commits for row in settles) == [("a", 7), ("b", 7)]


async def test_what_is_refused_to_the_end_waits_on_the_disk(tmp_path: Path) -> None:
    async def write(opens: Any, settles: Any, keeps: Any, asks: Any) -> list[Any]:
        raise DatabaseError("held by another process")

    spill = Spill(tmp_path, "prc_1", Settings, lambda: 0)
    book = Ledger(write, gather=0, spill=spill)
    book.start()
    book.settle({"id": "a", "settled_at": 1, "outcome": "ok", "cost_nano": 7})
    await book.close()
    assert book.unsettled == [] and spill._file is not None
    assert [row for frame in spill._file.frames(0) for row in frame.settles] == [
        {"id": "a", "settled_at": 1, "outcome": "ok", "cost_nano": 7}
    ]
    spill._file.close()


async def test_who_left_is_not_missed_when_its_row_is_refused() -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    disk = Disk()
    disk.broken = 100
    book = Ledger(disk.write, gather=0)
    book.start()
    book.settle({"id": "a"})
    book.ask(Ask("a", 0, ()))
    book.open({"id": "b"})
    await book.rest()
    disk.broken = 0
    await book.close()
    gc.collect()
    assert said == []
