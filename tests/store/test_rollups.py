"""Hourly sums equal the rows after any history; where they do not, that is found and can be mended. (C-80, C-105)"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omni_connector.secrets import new_id
from omni_connector.store import books, pruning, requests, rollups, schema, sums
from omni_connector.store.engine import Database
from omni_connector.store.requests import Row
from omni_connector.store.tables import usage_hours
from tests.store.test_requests import DAY, START, book, opened

HOUR = 3_600_000

_COUNT = st.none() | st.integers(0, 10**9)
_WHO = {
    "key_id": st.sampled_from([None, "key_1", "key_2"]),
    "account_id": st.sampled_from([None, "acc_1", "acc_2"]),
    "provider": st.sampled_from([None, "openai", "groq"]),
    "model": st.sampled_from([None, "m", "n"]),
    "key_name": st.sampled_from([None, "laptop"]),
}
_OPEN = st.fixed_dictionaries({"minute": st.integers(0, 400), "client": st.sampled_from(["", "curl/8"]), "est_input": _COUNT})
_END = st.fixed_dictionaries(
    {
        "outcome": st.sampled_from(["ok", "failed", "cut", "client_left"]),
        **dict.fromkeys((*requests.TOKENS, "cost_nano", "shadow_nano"), _COUNT),
        **_WHO,
    }
)
_NUMBERS = st.lists(st.integers(0, 40), min_size=1, max_size=6)
_STEP = st.one_of(
    st.tuples(st.just("open"), st.lists(_OPEN, min_size=1, max_size=8)),
    st.tuples(st.just("settle"), st.lists(st.tuples(st.integers(0, 40), _END), min_size=1, max_size=8)),
    st.tuples(st.just("recover"), st.none()),
    st.tuples(st.just("reprice"), st.lists(st.tuples(st.integers(0, 40), _COUNT), min_size=1, max_size=6)),
    st.tuples(st.just("prune"), st.integers(0, 400)),
    st.tuples(st.just("undone"), st.lists(st.tuples(st.integers(0, 40), _END), min_size=1, max_size=3)),
)


class _World:
    """A database, and beside it what any bookkeeper would have written down."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.ids: list[str] = []
        self.rows: dict[str, Row] = {}
        self.open: set[str] = set()
        self.silent: set[str] = set()
        """Taken for dead: what their process says later is true."""

    async def step(self, kind: str, what: Any) -> None:
        await getattr(self, f"_{kind}")(what)

    def _id(self, number: int) -> str:
        return self.ids[number % len(self.ids)] if self.ids else "req_none"

    async def _open(self, rows: Sequence[Row]) -> None:
        for row in rows:
            at = START + row["minute"] * 60_000
            new = {"id": new_id("req", at), "started_at": at, "process_id": "prc_1", "client": row["client"], "est_input": row["est_input"]}
            self.ids.append(new["id"])
            self.open.add(new["id"])
            self.rows[new["id"]] = {**dict.fromkeys(requests.BOOKED), "model_requested": "auto", "state": "open", **new}
        written = [dict(self.rows[one]) for one in self.ids[-len(rows) :]]
        await self.db.tx(lambda conn: requests.insert_open(conn, written))

    async def _settle(self, ends: Sequence[tuple[int, Row]]) -> None:
        closing = [{"id": self._id(number), "settled_at": START, **end} for number, end in ends]
        await self.db.tx(lambda conn: books.settle(conn, closing))
        for row in closing:
            if row["id"] in self.silent:
                self.silent.discard(row["id"])
                self.rows[row["id"]] |= {"input": None, "output": None, "cost_nano": None}
                self.open.add(row["id"])
            if row["id"] in self.open:
                self.open.discard(row["id"])
                self.rows[row["id"]] |= {name: value for name, value in row.items() if value is not None} | {"state": "settled"}

    async def _undone(self, ends: Sequence[tuple[int, Row]]) -> None:
        closing = [{"id": self._id(number), "settled_at": START, **end} for number, end in ends]

        def fail(conn: sa.Connection) -> None:
            books.settle(conn, closing)
            raise ValueError

        with contextlib.suppress(ValueError):
            await self.db.tx(fail)

    async def _recover(self, _: None) -> None:
        await self.db.tx(lambda conn: books.recover(conn, ["prc_1"], START))
        for name in self.open:
            row = self.rows[name]
            row |= {"state": "settled", "outcome": "recovered", "input": row["est_input"], "output": 0}
        self.silent |= self.open
        self.open.clear()

    async def _reprice(self, changes: Sequence[tuple[int, int | None]]) -> None:
        named = [(self._id(number), cost, "again") for number, cost in changes]
        there = {row["id"] for row in await self.db.run(lambda conn: requests.list_requests(conn, limit=500))}
        await self.db.tx(lambda conn: books.reprice(conn, named))
        for name, cost, _ in named:
            if name in there and name not in self.open:
                self.rows[name]["cost_nano"] = cost

    async def _prune(self, minute: int) -> None:
        before = START + minute * 60_000
        gone = await self.db.run(lambda conn: pruning.oldest(conn, before, limit=4))
        await self.db.tx(lambda conn: pruning.delete(conn, gone))
        self.silent -= {row["id"] for row in gone}

    def expected(self, by: str, other: str = "") -> dict[str, tuple[int, int, int, int, int]]:
        found: dict[str, list[int]] = {}
        for row in self.rows.values():
            tokens = (row["input"] or 0) > 0 or (row["output"] or 0) > 0
            figures = (
                1,
                row["outcome"] in ("failed", "cut"),
                row["cache_write"] or 0,
                row["cost_nano"] or 0,
                row["state"] == "settled" and row["cost_nano"] is None and tokens,
            )
            known = found.setdefault(row[by] or (row[other] if other else ""), [0] * 5)
            found[row[by] or (row[other] if other else "")] = [have + more for have, more in zip(known, figures, strict=True)]
        return {name: (one, two, three, four, five) for name, (one, two, three, four, five) in found.items()}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=st.lists(_STEP, max_size=14))
def test_the_sums_equal_the_rows_after_any_history(sqlite_template: bytes, history: list[tuple[str, Any]]) -> None:  # R-49, C-105
    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "omni.db"
            path.write_bytes(sqlite_template)
            db = await Database.open(f"sqlite:///{path}")
            world = _World(db)
            for kind, what in history:
                await world.step(kind, what)
                assert await db.run(rollups.check) == []
            # And they remember what was deleted.
            for group, by, other in (("account", "account_id", ""), ("provider", "provider", ""), ("model", "model", "model_requested")):
                rows = await db.run(lambda conn, group=group: sums.usage(conn, group, START - START % HOUR, START + DAY))
                figures = ("requests", "failed", "cache_write", "cost_nano", "unpriced")
                told = {row["id" if group == "account" else "name"] or "": tuple(row[name] for name in figures) for row in rows}
                assert told == world.expected(by, other), group
            await db.close()

    asyncio.run(live())


async def test_a_batch_becomes_few_sums(db: Database) -> None:
    await book(db, *((opened(number, key_id="key_1", key_name=f"name{number % 2}"), {"input": 2, "cost_nano": 3}) for number in range(40)))
    rows = await db.run(lambda conn: [dict(row) for row in conn.execute(sa.select(usage_hours)).mappings()])
    assert [(row["hour"], row["requests"], row["input"], row["cost_nano"], row["key_name"], row["account_id"]) for row in rows] == [
        (START // HOUR, 40, 80, 120, "name1", "")
    ]


async def test_a_difference_is_found_and_mended(db: Database) -> None:
    await book(db, *((opened(number * 3600), {"account_id": "acc_1", "cost_nano": 5, "input": 1}) for number in range(50)))
    assert await db.run(rollups.check) == []
    hour = (START + 30 * HOUR) // HOUR

    def spoil(conn: sa.Connection) -> None:
        conn.execute(sa.update(usage_hours).where(usage_hours.c.hour == hour).values(cost_nano=6))
        conn.execute(sa.delete(usage_hours).where(usage_hours.c.hour == hour + 1))

    await db.tx(spoil)
    found = await db.run(rollups.check)
    assert [(one["hour"], one["account_id"], one["rows"]["cost_nano"], one["sums"]["cost_nano"]) for one in found] == [
        (hour, "acc_1", 5, 6),
        (hour + 1, "acc_1", 5, 0),
    ]
    assert await db.tx(lambda conn: rollups.rebuild(conn, [one["hour"] for one in found])) == 2
    assert await db.run(rollups.check) == []
    # What was deleted cannot be made anew from rows, so it stays.
    gone = await db.run(lambda conn: pruning.oldest(conn, START + 10 * HOUR, limit=100))
    await db.tx(lambda conn: pruning.delete(conn, gone))
    assert await db.tx(lambda conn: rollups.rebuild(conn, [START // HOUR])) == 0
    assert sum(row["requests"] for row in await db.run(lambda conn: sums.usage(conn, "model", 0, 1 << 62))) == 50


async def test_a_clock_that_was_wrong_by_decades_does_not_make_the_check_long(lite: Database) -> None:
    rows = [{"id": f"req_{number}", "started_at": number * 900_000_000_000, "process_id": "p"} for number in range(3)]
    await lite.tx(lambda conn: requests.insert_open(conn, rows))
    await lite.tx(lambda conn: books.settle(conn, [{"id": row["id"], "settled_at": 1, "outcome": "ok"} for row in rows]))

    def count(conn: sa.Connection) -> int:
        seen: list[str] = []
        sa.event.listen(conn, "before_cursor_execute", lambda *call: seen.append(call[2]))
        assert rollups.check(conn) == []
        return len(seen)

    assert await lite.run(count) < 40


async def test_two_processes_add_to_the_same_sums(db: Database) -> None:
    other = await Database.open(db.url.render_as_string(hide_password=False)) if db.path is None else db
    rows = [opened(number, key_id=f"key_{number % 3}") for number in range(60)]
    await db.tx(lambda conn: requests.insert_open(conn, rows))

    async def settle(number: int) -> None:
        mine = [{"id": row["id"], "settled_at": 1, "outcome": "ok", "cost_nano": 1} for row in rows[number * 10 : number * 10 + 12]]
        await (db, other)[number % 2].tx(lambda conn: books.settle(conn, mine[:: -1 if number % 2 else 1]))

    await asyncio.gather(*(settle(number) for number in range(6)))
    assert await db.run(rollups.check) == []
    assert {row["id"]: row["cost_nano"] for row in await db.run(lambda conn: sums.usage(conn, "key", START, START + DAY))} == {
        "key_0": 20, "key_1": 20, "key_2": 20,
    }  # fmt: skip
    if other is not db:
        await other.close()


def test_the_migration_makes_the_sums_of_the_rows_that_are_there(tmp_path: Path) -> None:
    path = tmp_path / "omni.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as old:
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.attributes["connection"] = old
        command.upgrade(config, "0009")
    engine.dispose()
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.executemany(
            "INSERT INTO requests (id, started_at, state, outcome, key_id, model, model_requested, input, cost_nano, key_name) "
            "VALUES (?, ?, ?, ?, ?, ?, 'auto', ?, ?, ?)",
            [
                ("req_1", START, "settled", "ok", "key_1", "m", 5, 7, "laptop"),
                ("req_2", START + 1, "settled", "cut", None, None, 5, None, None),
                ("req_3", START + HOUR, "settled", "ok", None, None, None, None, None),
                ("req_4", START + HOUR, "open", None, None, None, None, None, None),
            ],
        )

    async def look() -> tuple[list[Row], list[Row]]:
        db = await Database.open(f"sqlite:///{path}")
        assert await db.migrate()
        found = await db.run(rollups.check), await db.run(lambda conn: sums.usage(conn, "key", START - START % HOUR, START + DAY))
        await db.close()
        return found

    differences, told = asyncio.run(look())
    assert differences == []
    assert [(row["id"], row["name"], row["requests"], row["failed"], row["cost_nano"], row["unpriced"]) for row in told] == [
        (None, "", 3, 1, 0, 1),
        ("key_1", "laptop", 1, 0, 7, 0),
    ]
