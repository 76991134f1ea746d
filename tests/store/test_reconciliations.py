from __future__ import annotations

from datetime import date
from typing import Any

from omni_connector.secrets import new_id
from omni_connector.store import books, reconciliations, requests
from omni_connector.store.engine import Database

DAY_MS = 86_400_000
START = 20_000 * DAY_MS
DAY = date(2024, 10, 4)


async def test_one_row_a_day_and_account(db: Database) -> None:
    row: dict[str, Any] = {"account_id": "acc_1", "day": "2024-10-04", "label": "a", "theirs_nano": None, "ours_nano": 5, "at": 1}
    for more in (
        row,
        {**row, "day": "2024-10-03"},
        {**row, "account_id": "acc_2", "label": "b"},
        {**row, "theirs_nano": 7, "state": "equal"},
    ):
        await db.tx(lambda conn, more=more: reconciliations.put(conn, more))  # type: ignore[misc]
    listed = await db.run(lambda conn: reconciliations.listed(conn, "2024-10-04"))
    assert [(one["account_id"], one["theirs_nano"], one["state"]) for one in listed] == [("acc_1", 7, "equal"), ("acc_2", None, "unknown")]
    assert len(await db.run(lambda conn: reconciliations.listed(conn, ""))) == 3
    assert await db.tx(lambda conn: reconciliations.prune(conn, "2024-10-04")) == 1


async def test_what_the_books_say_of_a_day(db: Database) -> None:
    async def book(at: int, account: str, cost: int | None, tokens: int = 5) -> None:
        name = new_id("req", at)
        await db.tx(lambda conn: requests.insert_open(conn, [{"id": name, "started_at": at, "process_id": "p"}]))
        closed = {"id": name, "settled_at": at + DAY_MS, "outcome": "ok", "account_id": account, "input": tokens, "cost_nano": cost}
        await db.tx(lambda conn: books.settle(conn, [closed]))

    for at, account, cost in ((START - 1, "a", 1), (START, "a", 20), (START + DAY_MS - 1, "b", 300), (START + DAY_MS, "b", 4_000)):
        await book(at, account, cost)
    await book(START + 1, "c", 50_000)
    await book(START + 2, "a", None)
    await book(START + 3, "a", None, tokens=0)
    assert await db.run(lambda conn: reconciliations.booked(conn, ["a", "b"], DAY)) == (320, 1)
    assert await db.run(lambda conn: reconciliations.booked(conn, ["nobody"], DAY)) == (0, 0)
