"""What tests of the journal share: rows, a database on paper, a process that is killed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omni_connector.booking import Booking
from omni_connector.budgets import Budgets
from omni_connector.frames import Frame
from omni_connector.journal import Journal
from omni_connector.settings import Settings
from omni_connector.spill import Spill
from omni_connector.store.allowances import Ask, Granted
from omni_connector.store.engine import Database

NOW = 1_800_000_000_000
Row = dict[str, Any]


def opened(name: str, process_id: str = "prc_1") -> Row:
    return {"id": name, "started_at": NOW, "process_id": process_id, "est_input": 5, "account_id": "acc_1", "model": "m", "provider": "p"}


def over(name: str, **more: Any) -> Row:
    return {"id": name, "settled_at": NOW + 9, "outcome": "ok", "cost_nano": 7, "input": 3, "output": 2, **more}


class Paper:
    """Remembers transactions. `refuses`: raised by each of them."""

    def __init__(self) -> None:
        self.done: list[tuple[str, list[str], list[str]]] = []
        self.refuses: Exception | None = None

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Granted]:
        self._note("write", opens, settles)
        return [Granted(None) for _ in asks]

    async def land(self, opens: Sequence[Row], settles: Sequence[Row], reached: Mapping[str, int], done: Mapping[str, int]) -> None:
        self._note("land", opens, settles)

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        for frame in frames:
            self._note("carry", frame.opens, frame.settles)

    async def reached(self, files: Sequence[str]) -> dict[str, int]:
        return {}

    async def forget(self, file: str) -> None:
        pass

    def _note(self, how: str, opens: Sequence[Row], settles: Sequence[Row]) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.done.append((how, [row["id"] for row in opens], [row["id"] for row in settles]))


def spill_of(folder: Path, process_id: str = "prc_1") -> Spill:
    return Spill(folder, process_id, Settings, lambda: NOW)


def real(db: Database, process_id: str = "prc_1", siblings: bool = False) -> Journal:
    assert db.path is not None
    folder = db.path.parent / "spill"
    booking = Booking(db, Budgets(db, lambda: NOW), lambda name: None, lambda: NOW)
    return Journal(folder, process_id, booking, spill_of(folder, process_id), lambda: siblings)


def killed(journal: Journal) -> None:
    """As a killed process leaves it: nothing is written any more, and the lock is gone."""
    assert journal._task is not None and journal._thread is not None
    journal._task.cancel()
    journal._thread.close()
    for file in journal._files():
        file.close()


async def states(db: Database) -> list[tuple[str, str, str | None, int | None]]:
    query = "SELECT id, state, outcome, cost_nano FROM requests ORDER BY id"
    return [tuple(row) for row in await db.run(lambda conn: conn.exec_driver_sql(query).fetchall())]
