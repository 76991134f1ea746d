"""The ledger's hand in the database: everything that one group commit writes, in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from omni_connector import prices, usage
from omni_connector.budgets import Budgets
from omni_connector.chat import Usage
from omni_connector.frames import Frame
from omni_connector.ledger import BARE, Verdict
from omni_connector.snapshot import Account
from omni_connector.store import allowances, books, kept, requests, settings
from omni_connector.store.allowances import Ask, Hold, Spent
from omni_connector.store.engine import Database
from omni_connector.store.files import DatabaseError

log = logging.getLogger("omni.booking")
Row = dict[str, Any]
CARRIED = "spilled:"
"""Facts of that prefix: how far a file of entries is in the database, with all that it says (bytes)."""
LANDED = "landed:"
"""The same of what it says of requests that are over."""


class Booking:
    """`write` is what `Ledger` wants; `account`: by its id, None when it is gone."""

    def __init__(self, db: Database, budgets: Budgets, account: Callable[[str], Account | None], now: Callable[[], int]) -> None:
        self._db = db
        self._budgets = budgets
        self._account = account
        self._now = now
        self._held: dict[str, Hold] = {}
        """What the requests that are open in this process may hold. Nobody else asks for them."""

    async def write(self, opens: Sequence[Row], settles: Sequence[Row], keeps: Sequence[Row], asks: Sequence[Ask]) -> Sequence[Verdict]:
        """Rows to open, rows to settle, rows to keep; what the limits say to those who ask."""
        asking = {ask.request_id for ask in asks}
        for row in opens:
            self._held.setdefault(row["id"], Hold.NONE)
        for ask in asks:
            self._held[ask.request_id] = max(self._held.get(ask.request_id, Hold.RATE), allowances.hold_of(ask))

        def write(conn: Any) -> tuple[list[Verdict], list[Spent]]:
            requests.insert_open(conn, opens)
            # Who ends makes room for who begins; who left while he was asking holds nothing.
            spent = books.settle(conn, [row for row in settles if row["id"] not in asking], self._held)
            verdicts = allowances.admit(conn, asks, self._now()) if asks else []
            spent += books.settle(conn, [row for row in settles if row["id"] in asking], self._held)
            kept.put(conn, keeps)
            return verdicts, spent

        verdicts, spent = await self._db.tx(write, soon=True)
        for row in settles:
            self._held.pop(row["id"], None)
        self._budgets.note(spent)
        return verdicts

    async def land(self, opens: Sequence[Row], settles: Sequence[Row], reached: Mapping[str, int], done: Mapping[str, int]) -> None:
        """What was in the journal (journal.py)."""

        def note(conn: Any) -> None:
            facts = {prefix + file: str(size) for prefix, files in ((LANDED, reached), (CARRIED, done)) for file, size in files.items()}
            settings.set_metas(conn, facts)

        def write(conn: Any) -> list[Spent]:
            spent = books.put(conn, opens, settles)
            note(conn)
            return spent

        try:
            self._budgets.note(await self._db.tx(write))
            return
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - any of the rows may be the reason
            log.error("entries of the journal are written one by one: %s", error)
        settled = {row["id"]: row for row in settles}
        opened = {row["id"] for row in opens}
        frames = [Frame(0, [row], [settled[row["id"]]] if row["id"] in settled else [], []) for row in opens]
        frames += [Frame(0, [], [row], []) for row in settles if row["id"] not in opened]
        await _each(frames, self._stored)
        await self._db.tx(note)

    async def _stored(self, frame: Frame) -> None:
        self._budgets.note(await self._db.tx(partial(_put, frame=frame)))

    async def reached(self, files: Sequence[str]) -> dict[str, int]:
        """How far the journals of other workers are in the database (bytes)."""
        found = await self._db.run(lambda conn: [settings.get_meta(conn, LANDED + file) for file in files], soon=True)
        return {file: int(size or 0) for file, size in zip(files, found, strict=True)}

    def estimate(self, row: Mapping[str, Any]) -> tuple[int | None, str | None]:
        """What a row that a crash left open costs at least, its prompt: nano-dollars and the source of the price. None: unknown."""
        account = self._account(row["account_id"])
        if account is None:
            return None, None
        found = prices.price(Usage(input=row["input"]), account, row["model"] or "")
        return usage.nano(found.cost), found.source

    # ------------------------------------------------------------ what was written down while the database was away (spill.py)

    async def carry(self, file: str, frames: Sequence[Frame], process_id: str, last: bool, soon: bool) -> None:
        """Each frame once, whoever comes with it how often. A row that the database does not even take alone is settled without its
        figures, else left out, and logged. `last`: the process is gone, so what it left open is closed. Raises DatabaseError (Away)."""
        try:
            await self._carry(file, frames, process_id if last else "", soon)
            return
        except DatabaseError:
            raise
        except Exception as error:  # noqa: BLE001 - any of the frames may be the reason
            log.error("entries of the books are carried over one by one: %s", error)
        await _each(frames, lambda frame: self._carry(file, [frame], process_id if last and frame.end == frames[-1].end else "", soon))

    async def _carry(self, file: str, frames: Sequence[Frame], gone: str, soon: bool) -> None:
        def write(conn: Any) -> list[Spent]:
            done = int(settings.get_meta(conn, CARRIED + file) or 0)
            spent: list[Spent] = []
            for frame in _together([frame for frame in frames if frame.end > done]):
                spent += _put(conn, frame)
            settings.set_meta(conn, CARRIED + file, str(max([done, *(frame.end for frame in frames)])))
            if gone:
                books.recover(conn, [gone], self._now(), self.estimate)
            return spent

        self._budgets.note(await self._db.tx(write, soon=soon))

    async def forget(self, file: str) -> None:
        """It is gone, and so may be what was noted about it."""

        def write(conn: Any) -> None:
            for prefix in (CARRIED, LANDED):
                settings.take_meta(conn, prefix + file)

        await self._db.tx(write)


def _put(conn: Any, frame: Frame) -> list[Spent]:
    """Each row once: those that are there, or settled, already stay as they are."""
    requests.insert_open(conn, frame.opens)
    spent = books.settle(conn, frame.settles)
    kept.put(conn, frame.keeps)
    return spent


async def _each(frames: Sequence[Frame], write: Callable[[Frame], Awaitable[None]]) -> None:
    """One by one, each as much of it as the database takes. Raises what it says when it does not even take nothing."""
    for frame in frames:
        bare = [{name: row[name] for name in BARE if name in row} for row in frame.settles]
        nothing = replace(frame, opens=(), settles=(), keeps=())
        for attempt in (frame, replace(frame, keeps=()), replace(frame, settles=bare, keeps=()), nothing):
            try:
                await write(attempt)
                break
            except DatabaseError:
                raise
            except Exception as error:
                log.error("requests %s could not be carried over: %s", [row["id"] for row in (*frame.opens, *frame.settles)], error)
                if attempt is nothing:
                    raise


def _together(frames: Sequence[Frame]) -> list[Frame]:
    """As few frames as say the same: several nodes may come with their entries at once, and all requests wait for who holds the sums of
    this hour. A request that is settled twice is so in two of them."""
    merged: list[Frame] = []
    names: set[str] = set()
    for frame in frames:
        settled = {row["id"] for row in frame.settles}
        if not merged or settled & names:
            merged.append(Frame(frame.end, [], [], []))
            names = set()
        names |= settled
        last = merged[-1]
        merged[-1] = Frame(frame.end, [*last.opens, *frame.opens], [*last.settles, *frame.settles], [*last.keeps, *frame.keeps])
    return merged
