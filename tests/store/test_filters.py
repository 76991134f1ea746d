"""Filters of the log together: the same rows whatever way is gone, and a page never looks at more than it may. (P-06)"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.snapshot import Account
from omni_connector.store import accounts, requests
from omni_connector.store.engine import Database
from omni_connector.store.requests import Row
from tests.store.test_requests import book, opened

FILTERS = {
    "provider": "openai",
    "account": "acc_1",
    "key": "laptop",
    "model": "gpt-5",
    "protocol": "anthropic",
    "status": "failed",
    "flag": "FALLBACK",
    "client": "curl/8",
    "text": "GPT",
}


def _rows() -> list[tuple[Row, Row | None]]:
    """Rows that meet or miss each filter in every mixture, more or less."""
    made: list[tuple[Row, Row | None]] = []
    for number in range(128):
        hit = [bool(number * (place + 3) // 7 % 2) for place in range(9)]
        start = opened(
            number, wire="anthropic" if hit[0] else "gemini", key_id="key_1" if hit[1] else "key_2", client="curl/8" if hit[2] else "sdk"
        )
        end = {
            "provider": "openai" if hit[3] else "groq",
            "account_id": "acc_1" if hit[4] else None,
            "model": "gpt-5" if hit[5] else "o9",
            "outcome": "failed" if hit[6] else "ok",
            "http_status": 503 if hit[6] else 200,
            "flag": "FALLBACK" if hit[7] else None,
            "key_name": "laptop" if hit[1] else "phone",
        }
        made.append(({**start, "model_requested": "gpt-5" if hit[8] else "auto"}, end if number % 9 else None))
    return made


def _meets(row: Row, name: str) -> bool:
    match name:
        case "account" | "provider":
            return bool(row[{"account": "account_id", "provider": "provider"}[name]] == FILTERS[name])
        case "key":
            return bool(row["key_name"] == "laptop")
        case "model":
            return "gpt-5" in (row["model"], row["model_requested"])
        case "protocol":
            return bool(row["wire"] == "anthropic")
        case "status":
            return bool(row["outcome"] == "failed")
        case "text":
            return any("gpt" in (row[place] or "") for place in ("model", "model_requested"))
    return bool(row[name] == FILTERS[name])


async def _walk(db: Database, filters: dict[str, str], limit: int) -> list[str]:
    found: list[str] = []
    before: str | None = None
    for _ in range(300):
        rows, floor = await db.run(lambda conn, at=before: requests.page(conn, filters, at, limit))  # type: ignore[misc]
        found += [row["id"] for row in rows]
        before = rows[-1]["id"] if len(rows) == limit else floor
        if before is None:
            return found
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("searched", [5, 10_000])
async def test_any_filters_together_find_every_row_once(db: Database, searched: int, monkeypatch: pytest.MonkeyPatch) -> None:  # P-06
    monkeypatch.setattr(requests, "SEARCHED", searched)
    await book(db, *_rows())
    rows = await db.run(lambda conn: requests.list_requests(conn, limit=500))
    for names in (*itertools.combinations(FILTERS, 1), *itertools.combinations(FILTERS, 2), *list(itertools.combinations(FILTERS, 4))[::9]):
        wanted = {name: FILTERS[name] for name in names}
        expected = [row["id"] for row in rows if all(_meets(row, name) for name in names)]
        assert await _walk(db, wanted, 40) == expected, wanted


async def test_names_of_several_accounts_and_statuses_that_no_index_has(db: Database, vault: Any) -> None:
    await db.tx(lambda conn: accounts.insert(conn, vault, Account(id="acc_1", provider="demo", label="one")))
    await book(db, *_rows())
    everything = await db.run(lambda conn: requests.list_requests(conn, limit=500))
    assert await _walk(db, {"account": "one", "status": "200"}, 7) == [
        row["id"] for row in everything if row["account_id"] == "acc_1" and row["http_status"] == 200
    ]
    assert await _walk(db, {"status": "nonsense", "provider": "openai"}, 7) == []


async def test_several_filters_follow_one_index_and_stop_in_time(lite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one with the fewest rows leads; nothing is sorted, and the table is not read."""
    monkeypatch.setattr(requests, "SEARCHED", 20)
    await book(lite, *((opened(number), {"provider": "openai", "account_id": "acc_1" if number % 3 else "acc_2"}) for number in range(200)))
    plans: list[str] = []

    def ask(conn: sa.Connection) -> tuple[list[Row], str | None]:
        def explain(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
            rows = conn.connection.cursor()
            rows.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[3] for row in rows.fetchall())

        sa.event.listen(conn, "before_cursor_execute", explain)
        return requests.page(conn, {"provider": "openai", "account": "acc_2", "status": "503"}, None, 10)

    rows, floor = await lite.tx(ask)
    # 20 of acc_2's rows lie in the newest 60, and no row at all has that status: so all of it is known.
    assert (rows, floor) == ([], None)
    assert all("USING" in plan and "TEMP" not in plan for plan in plans), plans
    rows, floor = await lite.run(lambda conn: requests.page(conn, {"provider": "openai", "account": "acc_2", "flag": ""}, None, 50))
    assert (len(rows), floor) == (20, rows[-1]["id"])
