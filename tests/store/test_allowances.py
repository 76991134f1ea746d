"""Limits decided in the database: exact whatever the order, and gone with the request that held them."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_connector.periods import NEVER
from omni_connector.secrets import new_id
from omni_connector.store import allowances, books, requests
from omni_connector.store.allowances import WINDOW, Ask, Claim, Granted, Hold, Refused
from omni_connector.store.engine import Database

NOW = 1_800_000_000_000
MONEY = Claim("key", "key_1", amount=1_000, start_at=NOW - 1000, end_at=NOW + 10**9)
Row = dict[str, Any]


def ask(request_id: str, *claims: Claim, most: int | None = 100, least: int = 10, at: int = NOW, tokens: int = 0) -> Ask:
    return Ask(request_id, at, claims, most, least, tokens)


class Desk:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = NOW

    async def admit(self, asked: Ask) -> Granted | Refused:
        (verdict,) = await self.db.tx(lambda conn: allowances.admit(conn, [asked], self.now))
        if isinstance(verdict, Refused) and verdict.why == "unread":
            claim = verdict.claim
            await self.db.tx(lambda conn: allowances.read(conn, [(claim.scope, claim.subject, claim.start_at, claim.end_at)]))
            return await self.admit(asked)
        return verdict

    async def open(self, request_id: str, at: int = NOW) -> None:
        row = {"id": request_id, "started_at": at, "process_id": "prc_1", "key_id": "key_1"}
        await self.db.tx(lambda conn: requests.insert_open(conn, [row]))

    async def settle(self, request_id: str, cost: int | None, **more: Any) -> None:
        row: Row = {"id": request_id, "settled_at": self.now, "outcome": "ok", "cost_nano": cost, **more}
        await self.db.tx(lambda conn: books.settle(conn, [row]))

    async def run(self, request_id: str, cost: int | None, *, at: int = NOW, **more: Any) -> None:
        await self.open(request_id, at)
        await self.settle(request_id, cost, **more)

    async def why(self, asked: Ask) -> str:
        verdict = await self.admit(asked)
        assert isinstance(verdict, Refused)
        return verdict.why


@pytest.fixture
def desk(db: Database) -> Desk:
    return Desk(db)


async def test_what_is_held_and_what_is_spent_never_exceed_the_budget(desk: Desk) -> None:
    await desk.run(new_id("req", NOW), 300)
    assert await desk.admit(ask("a", MONEY, most=500)) == Granted(500, ((MONEY, 300),))
    assert await desk.admit(ask("b", MONEY, most=500)) == Granted(200, ((MONEY, 300),)), "what is left, not what was wished"
    refused = await desk.admit(ask("c", MONEY))
    assert isinstance(refused, Refused) and (refused.why, refused.spent, refused.held) == ("held", 300, 700)
    await desk.open("a")
    await desk.settle("a", 120)
    assert await desk.admit(ask("c", MONEY, most=380)) == Granted(380, ((MONEY, 420),))
    assert await desk.admit(ask("c", MONEY, most=9999)) == Granted(380, ((MONEY, 420),)), "its own hold is not in its way"
    for name, cost in (("b", 200), ("c", 375)):
        await desk.open(name)
        await desk.settle(name, cost)
    assert await desk.why(ask("d", MONEY)) == "spent"
    assert await desk.admit(ask("d", MONEY, most=5, least=5)) == Granted(5, ((MONEY, 995),)), "to the last nano-dollar"
    assert await desk.why(ask("e", MONEY, most=None)) == "held", "what has an unknown price needs something that is left"


async def test_of_several_budgets_the_smallest_room_counts_and_a_refusal_holds_nothing(desk: Desk) -> None:
    small, other = replace(MONEY, scope="account", subject="acc_1", amount=50), replace(MONEY, scope="provider", subject="openai", amount=5)
    assert await desk.admit(ask("a", MONEY, small)) == Granted(50, ((MONEY, 0), (small, 0)))
    assert await desk.why(ask("b", MONEY, other)) == "spent"
    assert await desk.db.run(allowances.held) == [("account", "acc_1", 50), ("key", "key_1", 50)]
    assert await desk.admit(ask("a", MONEY)) == Granted(100, ((MONEY, 0),)), "it went on to another account"
    assert await desk.db.run(allowances.held) == [("key", "key_1", 100)]


async def test_rates_and_places(desk: Desk) -> None:
    limit = Claim("account", "acc_1", rpm=2, max_in_flight=2)
    for name in "ab":
        assert isinstance(await desk.admit(ask(name, limit, most=None)), Granted)
    assert await desk.why(ask("c", limit)) == "in_flight"
    for name in "ab":
        await desk.run(name, None)
    refused = await desk.admit(ask("c", limit))
    assert isinstance(refused, Refused) and (refused.why, refused.until_at) == ("rpm", NOW + WINDOW)
    desk.now = NOW + WINDOW
    assert isinstance(await desk.admit(ask("c", limit, at=desk.now)), Granted)
    desk.now = NOW - 3_600_000  # the clock was set back: what lies ahead counts no more
    assert isinstance(await desk.admit(ask("d", limit, at=desk.now)), Granted)


async def test_tokens_a_minute_as_estimated_and_then_as_used(desk: Desk) -> None:
    limit = Claim("key", "key_1", tpm=1000)
    assert isinstance(await desk.admit(ask("a", limit, tokens=5000)), Granted), "the first of a minute, whatever its size"
    assert await desk.why(ask("b", limit, tokens=1)) == "tpm"
    await desk.run("a", None, input=300, output=100)
    assert isinstance(await desk.admit(ask("b", limit, tokens=600)), Granted)
    assert await desk.why(ask("c", limit, tokens=1)) == "tpm"


async def test_a_period_is_summed_once_and_moved_by_every_settlement(desk: Desk) -> None:
    ids = [new_id("req", NOW + n) for n in range(4)]
    await desk.run(ids[0], 7, provider="openai", model="gpt-4o-2024-08-06", account_id="acc_1")
    await desk.run(ids[1], 9, at=NOW - 5000, provider="openai", model="gpt-4o", account_id="acc_2")
    everything = [("installation", ""), ("provider", "openai"), ("model", "gpt-4o"), ("account", "acc_1"), ("key", "key_1")]
    periods = [(*name, start, end) for name in everything for start, end in ((NOW - 1000, NOW + 1000), (0, NEVER))]
    assert await desk.db.run(lambda conn: allowances.known(conn, periods)) is None
    first = await desk.db.tx(lambda conn: allowances.read(conn, periods))
    assert [spent for *_, spent in first] == [7, 16, 7, 16, 7, 16, 7, 7, 7, 16]
    await desk.run(ids[2], 100, provider="openai", model="gpt-4o-mini", account_id="acc_1")
    await desk.run(ids[3], None, provider="openai", model="gpt-4o", account_id="acc_1")
    await desk.settle(ids[2], 5)
    found = await desk.db.run(lambda conn: allowances.known(conn, periods))
    assert found is not None and [spent for *_, spent in found] == [107, 116, 107, 116, 7, 16, 107, 107, 107, 116]
    await desk.db.tx(lambda conn: books.reprice(conn, [(ids[2], 1, "override"), (ids[0], None, "unknown")]))
    found = await desk.db.run(lambda conn: allowances.known(conn, periods))
    await desk.db.tx(allowances.forget)
    assert found is not None and found == await desk.db.tx(lambda conn: allowances.read(conn, periods))
    assert [spent for *_, spent in found] == [1, 10, 1, 10, 0, 9, 1, 1, 1, 10]


async def test_a_hold_ends_with_its_row_whatever_ends_it(desk: Desk) -> None:
    for name in ("settled", "recovered", "never opened"):
        assert isinstance(await desk.admit(ask(name, MONEY)), Granted)
    await desk.run("settled", 1)
    await desk.open("recovered")
    await desk.db.tx(lambda conn: books.recover(conn, ["prc_1"], NOW))
    assert await desk.db.run(allowances.held) == [("key", "key_1", 100)]
    await desk.db.tx(lambda conn: allowances.tidy(conn, NOW + WINDOW + 1))
    assert await desk.db.run(allowances.held) == []
    await desk.db.tx(lambda conn: allowances.tidy(conn, NOW + 20 * WINDOW))
    left = await desk.db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM holds").scalar())
    assert left == 0


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**9), workers=st.integers(1, 12), amount=st.integers(2_000, 6_000))
async def test_workers_never_spend_more_and_leave_little(db: Database, seed: int, workers: int, amount: int) -> None:
    """Requests begin and end in any order; each holds its worst case and costs anything up to that. (N × M against one budget.)"""
    rng = random.Random(seed)
    subject = new_id("key", NOW)
    money = Claim("key", subject, amount, 0, NEVER)
    desk, flying, spent, costly = Desk(db), dict[str, int](), 0, 100
    await db.tx(lambda conn: allowances.read(conn, [("key", subject, 0, NEVER)]))
    refused = 0
    while refused < 3 * workers or flying:
        if refused < 3 * workers and len(flying) < workers and rng.random() < 0.6:
            name = new_id("req", NOW)
            row = {"id": name, "started_at": NOW, "process_id": "prc_1", "key_id": subject}
            await db.tx(lambda conn, row=row: requests.insert_open(conn, [row]))
            verdict = await desk.admit(ask(name, money, most=costly, least=20))
            if isinstance(verdict, Granted):
                flying[name] = verdict.nano or 0
                continue
            refused += verdict.why == "spent"
            await desk.settle(name, None)
        elif flying:
            name = rng.choice(list(flying))
            cost = rng.randint(flying[name] // 2, flying.pop(name))
            spent += cost
            await desk.settle(name, cost)
        assert spent + sum(flying.values()) <= amount
    assert spent <= amount and spent > amount - 20 and spent >= 0.95 * amount


async def test_tokens_that_come_from_a_cache_are_tokens_of_the_prompt(desk: Desk) -> None:
    claim = Claim("key", "key_1", tpm=100)
    await desk.open("a")
    assert isinstance(await desk.admit(ask("a", claim, tokens=10)), Granted)
    await desk.settle("a", None, input=10, cache_read=50, cache_write=20, output=15)
    assert await desk.why(ask("b", claim, tokens=6)) == "tpm"
    assert isinstance(await desk.admit(ask("b", claim, tokens=5)), Granted)


async def test_who_was_taken_for_dead_and_used_nothing_has_spent_nothing(desk: Desk) -> None:
    await desk.open("a")
    assert isinstance(await desk.admit(ask("a", MONEY)), Granted)
    await desk.db.tx(lambda conn: conn.exec_driver_sql("UPDATE requests SET account_id = 'acc_1'"))
    await desk.db.tx(lambda conn: books.recover(conn, ["prc_1"], NOW, lambda row: (70, "override")))
    await desk.settle("a", None, told=True)
    row = await desk.db.run(lambda conn: requests.get(conn, "a"))
    assert row is not None and (row["outcome"], row["cost_nano"], row["price_source"]) == ("ok", None, None)


async def test_what_settles_while_a_period_is_summed_counts_in_it(desk: Desk) -> None:
    settled, go, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()
    await desk.open("a")

    def settle(conn: sa.Connection) -> None:
        books.settle(conn, [{"id": "a", "settled_at": NOW, "outcome": "ok", "cost_nano": 70}])
        loop.call_soon_threadsafe(settled.set)
        if conn.dialect.name == "sqlite":  # in a thread of its own there
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result(10)
        else:
            sa.util.await_only(go.wait())

    settling = asyncio.create_task(desk.db.tx(settle))
    await settled.wait()
    period = (MONEY.scope, MONEY.subject, MONEY.start_at, MONEY.end_at)
    other = await Database.open(desk.db.url.render_as_string(hide_password=False))
    reading = asyncio.create_task(other.tx(lambda conn: allowances.read(conn, [period])))
    await asyncio.wait({reading}, timeout=0.2)
    go.set()
    await settling
    assert await reading == [(*period, 70)]
    await other.close()
    assert await desk.db.tx(lambda conn: allowances.read(conn, [period])) == [(*period, 70)]


async def test_what_only_counted_money_leaves_nothing_behind(desk: Desk) -> None:
    rated = replace(MONEY, scope="installation", subject="", amount=None, rpm=100)
    for name, claims in (("a", (MONEY,)), ("b", (MONEY, rated))):
        await desk.open(name)
        assert isinstance(await desk.admit(ask(name, *claims)), Granted)
    rows: list[Row] = [{"id": name, "settled_at": NOW, "outcome": "ok", "cost_nano": 5} for name in "ab"]
    await desk.db.tx(lambda conn: books.settle(conn, rows, {"a": Hold.MONEY, "b": Hold.RATE}))
    left = await desk.db.run(lambda conn: [tuple(row) for row in conn.exec_driver_sql("SELECT request_id, open, nano FROM holds")])
    assert [(name, bool(is_open), nano) for name, is_open, nano in left] == [("b", False, 0)] * 2


async def test_where_there_are_no_limits_their_tables_are_not_touched(desk: Desk) -> None:
    said: list[str] = []
    for name in "abc":
        await desk.open(name)

    def settle(conn: sa.Connection, name: str, held: Any) -> None:
        sa.event.listen(conn, "before_cursor_execute", lambda _c, _k, statement, *_: said.append(statement))
        books.settle(conn, [{"id": name, "settled_at": NOW, "outcome": "ok", "cost_nano": 5}], held)

    await desk.db.tx(lambda conn: settle(conn, "a", {"a": Hold.NONE}))
    assert said and not [one for one in said if "holds" in one]
    if conn_name(desk) == "sqlite":
        assert not [one for one in said if one.lstrip().startswith(("SELECT spend", "UPDATE spend"))]
    # Of a row that somebody else opened nobody knows what it holds.
    said.clear()
    await desk.db.tx(lambda conn: settle(conn, "b", {}))
    assert [one for one in said if "holds" in one]
    # A budget that another process has just been given counts at once.
    await desk.db.tx(lambda conn: allowances.read(conn, [(MONEY.scope, MONEY.subject, MONEY.start_at, MONEY.end_at)]))
    await desk.db.tx(lambda conn: settle(conn, "c", {"c": Hold.NONE}))
    [(*_, spent)] = await desk.db.tx(lambda conn: allowances.read(conn, [(MONEY.scope, MONEY.subject, MONEY.start_at, MONEY.end_at)]))
    assert spent == 15


def conn_name(desk: Desk) -> str:
    return "sqlite" if desk.db.path is not None else "postgresql"


async def test_those_who_ask_together_are_counted_together(desk: Desk) -> None:
    """For the first time, in one commit: each sees what the ones before it hold."""
    limit = Claim("account", "acc_1", rpm=3)
    asks = [replace(ask(f"r{number}", MONEY, limit, most=400, tokens=5), again=False) for number in range(5)]
    await desk.db.tx(lambda conn: allowances.read(conn, [("key", "key_1", MONEY.start_at, MONEY.end_at)]))
    verdicts = await desk.db.tx(lambda conn: allowances.admit(conn, asks, NOW))
    granted = [verdict.nano for verdict in verdicts if isinstance(verdict, Granted)]
    assert granted == [400, 400, 200] and [verdict.why for verdict in verdicts if isinstance(verdict, Refused)] == ["held", "held"]
    assert await desk.db.run(allowances.held) == [("key", "key_1", 1000)]
    more = [replace(ask(f"s{number}", limit), again=False) for number in range(2)]
    assert [getattr(each, "why", "") for each in await desk.db.tx(lambda conn: allowances.admit(conn, more, NOW))] == ["rpm", "rpm"]
