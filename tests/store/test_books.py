"""Closing rows: each passes once, with what it was at opening and what came of it."""

from __future__ import annotations

from typing import Any

import pytest

from omni_connector.store import allowances, books, rollups
from omni_connector.store import requests as table
from omni_connector.store.engine import Database


async def test_each_row_is_closed_once(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[dict[str, Any]] = []
    monkeypatch.setattr(books, "_closed", lambda conn, rows, held=None: passed.extend(rows) or [])
    rows = [{"id": f"req_{n}", "started_at": 5, "process_id": "prc_1", "key_id": "key_1", "est_input": 9} for n in range(3)]
    await db.tx(lambda conn: table.insert_open(conn, rows))
    closing: dict[str, Any] = {"id": "req_0", "settled_at": 7, "outcome": "ok", "account_id": "acc_1", "cost_nano": 3}
    await db.tx(lambda conn: books.settle(conn, [closing, {**closing, "cost_nano": 8}]))
    await db.tx(lambda conn: books.settle(conn, [closing, {**closing, "id": "req_1"}]))
    assert await db.tx(lambda conn: books.recover(conn, ["prc_1"], 9)) == 1
    assert await db.tx(lambda conn: books.recover(conn, ["prc_1"], 9)) == 0
    assert [(row["id"], row["started_at"], row["key_id"], row["account_id"], row["outcome"], row["cost_nano"]) for row in passed] == [
        ("req_0", 5, "key_1", "acc_1", "ok", 3),
        ("req_1", 5, "key_1", "acc_1", "ok", 3),
        ("req_2", 5, "key_1", None, "recovered", None),
    ]


async def test_who_was_only_silent_says_what_it_was_after_all(db: Database) -> None:
    row = {"id": "req_0", "started_at": 5, "process_id": "prc_1", "key_id": "key_1", "est_input": 9}
    closing: dict[str, Any] = {
        "id": "req_0",
        "settled_at": 70,
        "outcome": "ok",
        "account_id": "acc_1",
        "input": 21,
        "output": 4,
        "cost_nano": 3,
    }
    period = ("key", "key_1", 0, 100)
    await db.tx(lambda conn: table.insert_open(conn, [row]))
    await db.tx(lambda conn: allowances.read(conn, [period]))
    await db.tx(lambda conn: books.recover(conn, ["prc_1"], 60))
    assert await db.tx(lambda conn: books.settle(conn, [closing])) == [(*period, 3)]
    assert await db.tx(lambda conn: books.settle(conn, [{**closing, "cost_nano": 8}])) == []
    found = await db.run(lambda conn: table.get(conn, "req_0"))
    assert found is not None and found | closing == found and (found["flag"], found["error_message"]) == (None, None)
    assert await db.run(rollups.check) == []
