"""The ledger: one commit for many, durable when awaited, alive after failures. R-13."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from omni_connector import ledger as ledger_module
from omni_connector.errors import GatewayError, Kind
from omni_connector.ledger import Ledger


class Disk:
    """Remembers transactions; `broken` makes it refuse that many writes."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[Any], list[Any]]] = []
        self.broken = 0
        self.gate: asyncio.Event | None = None

    async def write(self, opens: Any, settles: Any) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            self.broken -= 1
            raise OSError("disk full")
        self.commits.append((list(opens), list(settles)))


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
