from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from omni_connector.secrets import new_id
from omni_connector.snapshot import Account
from omni_connector.store import accounts, books, jobs, requests, sums
from omni_connector.store import settings as rows
from omni_connector.store.engine import Database
from omni_connector.store.requests import Row

START = 1_763_700_000_000  # 2025-11-21 UTC
DAY = 86_400_000


def opened(number: int, **more: Any) -> Row:
    at = START + number * 1000
    return {"id": new_id("req", at), "started_at": at, "process_id": "prc_1", "model_requested": "auto", **more}


def settled(row: Row, **more: Any) -> Row:
    return {"id": row["id"], "settled_at": row["started_at"] + 500, "outcome": "ok", "http_status": 200, **more}


async def book(db: Database, *pairs: tuple[Row, Row | None]) -> list[str]:
    await db.tx(lambda conn: requests.insert_open(conn, [row for row, _ in pairs]))
    closing = [settled(row, **end) for row, end in pairs if end is not None]
    await db.tx(lambda conn: books.settle(conn, closing))
    return [row["id"] for row, _ in pairs]


async def found(db: Database, **filters: str) -> list[str]:
    return [row["id"] for row in await db.run(lambda conn: requests.list_requests(conn, filters, None, 500))]


async def test_a_row_opens_and_settles_with_everything(db: Database) -> None:
    row = opened(1, wire="openai-chat", path="/v1/chat/completions", stream=True, client="curl/8", key_id="key_1", est_input=9)
    await book(db, (row, {
        "model": "m", "attempts": [{"account": "a", "status": 429}], "skipped": [], "dropped": ["logit_bias"],
        "input": 10, "output": 0, "usage_source": "reported", "usage_raw": {"n": 1}, "cost_nano": 10**12, "price_source": "p",
    }))  # fmt: skip
    stored = await db.run(lambda conn: requests.get(conn, row["id"]))
    assert stored is not None
    expected = {**dict.fromkeys(requests.COLUMNS), **row, "client": "curl/8", "state": "settled", "outcome": "ok", "http_status": 200}
    expected |= {
        "settled_at": row["started_at"] + 500, "model": "m", "attempts": [{"account": "a", "status": 429}], "skipped": [],
        "dropped": ["logit_bias"], "input": 10, "output": 0, "usage_source": "reported", "usage_raw": {"n": 1},
        "cost_nano": 10**12, "price_source": "p",
    }  # fmt: skip
    assert stored == expected
    assert await db.run(rows.config_version) == 0
    assert await db.run(lambda conn: requests.get(conn, "req_x")) is None


async def test_settling_happens_exactly_once(db: Database) -> None:
    first, second = opened(1), opened(2)
    await db.tx(lambda conn: requests.insert_open(conn, [first, second]))
    assert await db.tx(lambda conn: len(requests.settle(conn, [settled(first, cost_nano=5)]))) == 1
    again = [settled(first, cost_nano=7, state="open", outcome="failed"), settled(second), settled(opened(3))]
    assert await db.tx(lambda conn: len(requests.settle(conn, again))) == 1
    stored = await db.run(lambda conn: requests.get(conn, first["id"]))
    assert stored is not None
    assert (stored["cost_nano"], stored["outcome"], stored["state"]) == (5, "ok", "settled")


async def test_settling_keeps_what_it_does_not_mention(db: Database) -> None:
    row = opened(1, route="sticky", model="m1", key_name="laptop")
    await book(db, (row, {"model": "m2", "route": None}))
    stored = await db.run(lambda conn: requests.get(conn, row["id"]))
    assert stored is not None
    assert (stored["route"], stored["model"], stored["key_name"]) == ("sticky", "m2", "laptop")


async def test_a_misspelt_column_is_refused(db: Database) -> None:
    for write in (requests.insert_open, requests.settle):
        with pytest.raises(KeyError, match="cost_usd"):
            await db.tx(lambda conn, write=write: write(conn, [opened(1, cost_usd=1)]))
    await db.tx(lambda conn: requests.insert_open(conn, []))
    assert await db.tx(lambda conn: requests.settle(conn, [])) == []


async def test_filters(db: Database) -> None:
    ok, failed, left, still = await book(
        db,
        (opened(1, wire="openai-chat", key_id="key_1", key_name="laptop", client="curl/8"), {"model": "gpt-5", "provider": "openai"}),
        (
            opened(2, wire="anthropic", model_requested="claude"),
            {"outcome": "failed", "http_status": 503, "flag": "NO_ACCOUNT", "error_message": "100% of_them are out", "account_id": "acc_1"},
        ),
        (opened(3, account_id="acc_1", account_label="main"), {"outcome": "client_left", "http_status": 499}),
        (opened(4, model="100 percent"), None),
    )
    assert await found(db) == [still, left, failed, ok]
    for filters, expected in (
        ({"protocol": "anthropic"}, [failed]),
        ({"provider": "openai"}, [ok]),
        ({"model": "gpt-5"}, [ok]),
        ({"model": "claude"}, [failed]),
        ({"account": "acc_1"}, [left, failed]),
        ({"account": "main"}, [left]),
        ({"key": "key_1"}, [ok]),
        ({"key": "laptop"}, [ok]),
        ({"status": "ok"}, [ok]),
        ({"status": "failed"}, [failed]),
        ({"status": "open"}, [still]),
        ({"status": "499"}, [left]),
        ({"status": "nonsense"}, []),
        ({"flag": "NO_ACCOUNT"}, [failed]),
        ({"client": "curl/8"}, [ok]),
        ({"client": "curl"}, []),
        ({"text": "CURL"}, [ok]),
        ({"text": "no_acc"}, [failed]),
        ({"text": "MAI"}, [left]),
        ({"text": "100%"}, [failed]),
        ({"text": "of_them"}, [failed]),
        ({"text": "ofXthem"}, []),
        ({"text": "' OR 1=1 --"}, []),
        ({"account": "acc_1", "status": "499", "flag": ""}, [left]),
    ):
        assert await found(db, **filters) == expected, filters
    with pytest.raises(KeyError):
        await found(db, colour="red")


async def test_pages_follow_each_other_without_gap_or_overlap(db: Database) -> None:
    ids = await book(db, *((opened(number), {}) for number in range(25)))
    pages: list[str] = []
    before = None
    while page := await db.run(lambda conn, before=before: requests.list_requests(conn, {}, before, 10)):
        pages += [row["id"] for row in page]
        before = pages[-1]
    assert pages == ids[::-1]


async def test_open_rows_of_dead_processes_are_settled_as_estimates(db: Database) -> None:
    now = START + 10 * 3_600_000
    await db.tx(lambda conn: jobs.beat(conn, "prc_2", "host", 2, now))
    dead, alive, done, forgotten = await book(
        db,
        (opened(1, est_input=40), None),
        (opened(2, process_id="prc_2"), None),
        (opened(3, est_input=40), {"cost_nano": 1}),
        (opened(4, process_id="prc_0"), None),
    )
    assert await db.tx(lambda conn: len(requests.recover(conn, ["prc_1"], now))) == 2
    assert await db.tx(lambda conn: requests.recover(conn, ["prc_1"], now)) == []
    get: Callable[[str], Any] = lambda row_id: db.run(lambda conn: requests.get(conn, row_id))  # noqa: E731
    row = await get(dead)
    words = ("state", "outcome", "flag", "usage_source", "input", "output", "cost_nano", "settled_at")
    assert [row[word] for word in words] == ["settled", "recovered", "RECOVERED", "estimated", 40, 0, None, now]
    assert (await get(alive))["state"] == "open"
    assert (await get(done))["outcome"] == "ok"
    assert (await get(forgotten))["outcome"] == "recovered"


FILTERS = (
    *(("status", value) for value in ("open", "failed", "429")),
    ("protocol", "openai-chat"),
    ("provider", "openai"),
    ("model", "gpt-5"),
    ("account", "acc_1"),
    ("key", "key_1"),
    ("flag", "NO_ACCOUNT"),
)


@pytest.mark.parametrize(("name", "value"), FILTERS)
async def test_a_filter_goes_by_its_index_in_the_order_of_the_page(lite: Database, name: str, value: str) -> None:  # P-06
    """Neither all rows are read nor all matching ones sorted, however many there are."""
    plans: list[str] = []

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith("SELECT"):
            rows = conn.connection.cursor()
            rows.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[3] for row in rows.fetchall())

    def ask(conn: sa.Connection) -> None:
        sa.event.listen(conn, "before_cursor_execute", explain)
        requests.list_requests(conn, {name: value}, None, 50)

    await lite.tx(ask)
    walks = [plan for plan in plans if "ix_requests" in plan]
    assert walks, plans
    assert all("SEARCH" in plan or "ix_requests_open" in plan or "ix_requests_failed" in plan for plan in walks), plans
    if name != "model":  # whose two walks, each as short as the page, are put in order
        assert not any("TEMP B-TREE" in plan for plan in plans), plans


async def test_a_search_looks_at_so_many_rows_and_says_where_to_go_on(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:  # P-06
    monkeypatch.setattr(requests, "SEARCHED", 10)
    ids = await book(db, *((opened(number, client="curl/8" if number == 3 else "sdk"), {}) for number in range(25)))
    seen: list[str] = []
    before: str | None = None
    pages = 0
    while True:
        rows, before = await db.run(lambda conn, before=before: requests.page(conn, {"client": "curl/8"}, before, 5))
        seen += [row["id"] for row in rows]
        pages += 1
        if before is None:
            break
    assert (seen, pages) == ([ids[3]], 3)
    assert await db.run(lambda conn: requests.page(conn, {"account": "acc_1", "text": ""})) == ([], None)


async def test_an_accounts_name_of_today_finds_all_its_rows(db: Database, vault: Any) -> None:  # P-06
    await db.tx(lambda conn: accounts.insert(conn, vault, Account(id="acc_1", provider="demo", label="new")))
    old, gone = await book(
        db,
        (opened(1), {"account_id": "acc_1", "account_label": "old"}),
        (opened(2), {"account_id": "acc_2", "account_label": "deleted"}),
    )
    assert await found(db, account="new") == [old]
    assert await found(db, account="old") == [old]
    assert await found(db, account="deleted") == [gone]


async def test_the_dashboards_questions_do_not_read_the_whole_table(lite: Database) -> None:
    plans: list[str] = []

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE")):
            rows = conn.connection.cursor()
            rows.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            plans.extend(row[3] for row in rows.fetchall())

    def ask(conn: sa.Connection) -> None:
        sa.event.listen(conn, "before_cursor_execute", explain)
        sums.account_activity(conn, START)
        requests.list_requests(conn, {}, "req_x", 50)
        for name, value in FILTERS:
            requests.list_requests(conn, {name: value}, None, 50)
            requests.list_requests(conn, {name: value, "protocol": "openai-chat"}, "req_x", 50)
        requests.recover(conn, ["prc_1"], START)
        sums.usage(conn, "account", START, START + DAY)

    await lite.tx(ask)
    assert any("requests" in plan for plan in plans)
    assert [
        plan for plan in plans if plan.startswith("SCAN requests") and not plan.endswith(("ix_requests_open", "ix_requests_failed"))
    ] == []


async def test_what_was_spent_since_by_whom(db: Database) -> None:
    mine = {"account_id": "acc_a", "cost_nano": 7}
    pairs = [(opened(n, key_id="key_1", process_id=f"prc_{n % 2}"), {**mine, "cost_nano": 10**n}) for n in range(5)]
    await book(db, *pairs, (opened(5, key_id="key_2"), {"account_id": "acc_b"}), (opened(6, account_id="acc_a"), None))

    async def spent(whom: Any, ids: list[str], first: int, last: int, but_not: str = "") -> Row:
        bounds = START + first * 1000, START + last * 1000
        return await db.run(lambda conn: requests.spent(conn, whom, ids, *bounds, but_not))

    assert await spent("account", ["acc_a", "acc_b"], 0, 9) == {"acc_a": 11111}
    assert await spent("account", ["acc_a"], 1, 3) == {"acc_a": 110}
    assert await spent("key", ["key_1"], 0, 9, "prc_1") == {"key_1": 10101}
    assert await spent("key", ["key_2"], 0, 9) == {}
    assert await db.run(requests.oldest_open) == START + 6000

    def plan(conn: sa.Connection) -> str:
        seen: list[str] = []
        sa.event.listen(conn, "before_cursor_execute", lambda *call: seen.append(call[2]))
        requests.oldest_open(conn)
        return " ".join(str(row) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {seen[0]}", (1, 0)))

    if db.path is not None:
        assert "ix_requests_open" in await db.run(plan), "not a walk through all rows"
