"""The books at a million rows: what the dashboard's questions take, and what the retention costs a request that is written meanwhile.

    python bench/million.py                        a million rows over 90 days, of which the retention then deletes the oldest 30
    python bench/million.py --rows 200000 --json
    python bench/million.py --database postgresql://…   the same on PostgreSQL, in monthly partitions; the database must be there and blank

Builds a database in a temporary directory (2 GB of disk for a million rows), asks it through the same door and with the same
functions as the server, and prints a table. Everything is deleted at the end,
but for a database that was named. Figures are ms, the median and the worst of several runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import runpy
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, get_args
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from omni_connector.secrets import new_id  # noqa: E402
from omni_connector.settings import load  # noqa: E402
from omni_connector.store import books, partitions, pruning, requests, rollups, server, sums  # noqa: E402
from omni_connector.store.engine import Database  # noqa: E402
from omni_connector.upkeep import Upkeep, make_months  # noqa: E402

DAY = 86_400_000
NOW = 1_800_000_123_456
PROVIDERS = ("openai", "anthropic", "gemini", "groq", "openrouter", "deepseek", "kimi", "demo")
ACCOUNTS = 20
KEYS = 12
CLIENTS = ("claude-code/2.1", "codex/0.60", "curl/8.7", "OpenAI/Python 2.8", "aider/0.90")
WIRES = ("openai-chat", "anthropic", "openai-responses", "gemini")
COLUMNS = (
    *("id", "started_at", "settled_at", "state", "outcome", "process_id", "wire", "path", "stream", "client", "key_id", "key_name"),
    *("model_requested", "model", "provider", "account_id", "account_label", "http_status", "flag", "error_kind", "error_message"),
    *("route", "attempts", "first_token_ms", "duration_ms", "est_input", "input", "cache_read", "output", "reasoning"),
    *("usage_source", "usage_raw", "cost_nano", "price_source", "plan"),
)
FILL: str = runpy.run_path(str(ROOT / "migrations" / "versions" / "0010_usage_hours.py"))["FILL"]
"""The hourly sums, made of the rows."""
PAGES: tuple[dict[str, str], ...] = (
    {},
    {"provider": "openai"},
    {"account": "acc_0"},
    {"account": "label0"},
    {"key": "key_3"},
    {"key": "name3"},
    {"model": "openai-model-1"},
    {"protocol": "anthropic"},
    {"client": "curl/8.7"},
    {"status": "ok"},
    {"status": "failed"},
    {"status": "open"},
    {"status": "429"},
    {"status": "204"},
    {"flag": "FALLBACK"},
    {"text": "model-1"},
    {"text": "is nowhere"},
    {"provider": "openai", "account": "acc_0"},
    {"provider": "anthropic", "account": "acc_0"},
    {"provider": "openai", "model": "openai-model-1"},
    {"provider": "openai", "status": "ok"},
    {"provider": "openai", "status": "failed"},
    {"account": "acc_0", "status": "failed"},
    {"account": "acc_0", "key": "key_3"},
    {"account": "acc_0", "text": "is nowhere"},
    {"model": "openai-model-1", "key": "key_3", "protocol": "anthropic"},
    {"provider": "demo", "account": "acc_0", "status": "429", "flag": "FALLBACK"},
)


@dataclass
class Figures:
    """Title → lines of (what, figures…)."""

    tables: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)

    def say(self, title: str, *cells: str) -> None:
        self.tables.setdefault(title, []).append(cells)

    def show(self) -> None:
        for title, lines in self.tables.items():
            print(f"\n{title}")
            widths = [max(len(line[column]) for line in lines if len(line) > column) for column in range(max(map(len, lines)))]
            for line in lines:
                print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip())


# ---------------------------------------------------------------- A database


def made(count: int, days: int, plan_bytes: int) -> Iterator[tuple[Any, ...]]:
    """Rows as a busy installation has them: a few accounts do most of the work, each key belongs to one program."""
    rng = random.Random(7)
    plan = json.dumps({"candidates": "x" * plan_bytes})
    attempts, raw = (
        json.dumps([{"account": "label0", "status": 200, "ms": 812}]),
        json.dumps({"prompt_tokens": 1200, "completion_tokens": 80}),
    )
    first = NOW - days * DAY
    accounts = rng.choices(range(ACCOUNTS), [1 / (1 + number) for number in range(ACCOUNTS)], k=count)
    keys = rng.choices(range(KEYS), [1 / (1 + number) for number in range(KEYS)], k=count)
    for number in range(count):
        at = first + number * (days * DAY) // count
        account, key, luck = accounts[number], keys[number], rng.random()
        provider = PROVIDERS[account % len(PROVIDERS)]
        model = f"{provider}-model-{(account + key) % 3}"
        bad = luck < 0.04
        status = 200 if not bad else 429 if luck < 0.02 else 503
        yield (
            *(new_id("req", at), at, at + 900, "settled", "failed" if bad else "ok", "prc_1", WIRES[key % 4], "/v1/chat/completions"),
            *(key % 2, CLIENTS[key % len(CLIENTS)], f"key_{key}", f"name{key}", "auto" if luck > 0.8 else model, model, provider),
            *(f"acc_{account}", f"label{account}", status, "FALLBACK" if 0.04 < luck < 0.06 else None, "rate_limited" if bad else None),
            *("The provider asks to wait." if bad else None, "cheapest healthy account", attempts, 300, 900, 1150),
            *(
                0 if bad else 1200,
                600 if luck > 0.5 else 0,
                0 if bad else 80,
                0,
                "reported",
                raw,
                None if bad else 1_830_000,
                "genai-prices",
            ),
            plan,
        )


async def build(path: Path, count: int, days: int, plan_bytes: int) -> Database:
    db = await Database.open(f"sqlite:///{path}")
    await db.migrate()
    await db.close()
    conn = sqlite3.connect(path, isolation_level=None)
    conn.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; PRAGMA temp_store=MEMORY;")
    indexes = conn.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'requests' AND sql IS NOT NULL"
    ).fetchall()
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    conn.execute("BEGIN")
    marks = ", ".join("?" * len(COLUMNS))
    conn.executemany(f"INSERT INTO requests ({', '.join(COLUMNS)}) VALUES ({marks})", made(count, days, plan_bytes))
    for number in range(ACCOUNTS):
        conn.execute(
            "INSERT INTO accounts (id, provider, label) VALUES (?, ?, ?)",
            (f"acc_{number}", PROVIDERS[number % len(PROVIDERS)], f"label{number}"),
        )
    for number in range(KEYS):
        conn.execute("INSERT INTO client_keys (id, name, hash) VALUES (?, ?, ?)", (f"key_{number}", f"name{number}", f"{number:064}"))
    for _, sql in indexes:
        conn.execute(sql)
    conn.execute(FILL)
    conn.execute("COMMIT")
    conn.execute("PRAGMA journal_mode=WAL")
    conn.close()
    return await Database.open(f"sqlite:///{path}")


async def build_on_server(url: str, count: int, days: int, plan_bytes: int) -> Database:
    db = await Database.open(url)
    await db.migrate()
    for part in await db.run(partitions.parts):  # those of today, not of the rows' time
        await db.tx(lambda conn, one=part: partitions.drop(conn, one, 0, None))  # type: ignore[misc]
    await make_months(db, NOW - days * DAY, days // 28 + 2)
    driver = await server.open_connection(db.url, None)
    stream = COLUMNS.index("stream")
    rows = ((*row[:stream], bool(row[stream]), *row[stream + 1 :]) for row in made(count, days, plan_bytes))
    await driver.copy_records_to_table("requests", records=rows, columns=COLUMNS)
    accounts = [(f"acc_{number}", PROVIDERS[number % len(PROVIDERS)], f"label{number}") for number in range(ACCOUNTS)]
    await driver.copy_records_to_table("accounts", records=accounts, columns=("id", "provider", "label"))
    keys = [(f"key_{number}", f"name{number}", f"{number:064}") for number in range(KEYS)]
    await driver.copy_records_to_table("client_keys", records=keys, columns=("id", "name", "hash"))
    await driver.execute(FILL)
    await driver.execute("VACUUM ANALYZE")
    await driver.close()
    return db


# ---------------------------------------------------------------- Questions


async def timed(db: Database, ask: Callable[[Any], Any], times: int) -> tuple[str, str, str]:
    """Median and worst ms by the clock, and the median of the processor's, which other work on the machine does not lengthen as much."""
    taken, used = [], []
    for _ in range(times):
        begun, cpu = time.perf_counter(), time.process_time()
        await db.run(ask)
        taken.append((time.perf_counter() - begun) * 1000)
        used.append((time.process_time() - cpu) * 1000)
    return f"{median(taken):.1f}", f"{max(taken):.1f}", f"{median(used):.1f}"


async def questions(db: Database, times: int, days: int, told: Figures) -> None:
    count = await db.run(lambda conn: conn.exec_driver_sql("SELECT count(*) FROM usage_hours").scalar())
    told.say("Overview", "", "median", "worst", "CPU")
    today = NOW - NOW % DAY
    told.say("Overview", "accounts with today's sums", *(await timed(db, lambda conn: sums.account_activity(conn, today), times)))
    told.say("Overview", "usage of the last 24 hours", *(await timed(db, lambda conn: sums.usage(conn, "model", NOW - DAY, NOW), times)))
    title = f"Pages of 50 (and at {days // 2} days back)"
    told.say(title, "", "median", "worst", "CPU", "back: median", "worst", "CPU")
    middle = new_id("req", NOW - days * DAY // 2)
    for filters in PAGES:
        here = await timed(db, lambda conn, w=filters: requests.page(conn, w, None, 51), times)  # type: ignore[misc]
        back = await timed(db, lambda conn, w=filters: requests.page(conn, w, middle, 51), times)  # type: ignore[misc]
        told.say(title, " ".join(f"{name}={value}" for name, value in filters.items()) or "all", *here, *back)
    title = f"Usage of 30 days to the millisecond ({count} hourly sums in all)"
    told.say(title, "", "median", "worst", "CPU")
    for group in get_args(sums.Group):
        spent = await timed(db, lambda conn, g=group: sums.usage(conn, g, NOW - 30 * DAY, NOW), times)  # type: ignore[misc]
        told.say(title, group, *spent)
    for zone in ("America/New_York", "Asia/Kolkata"):
        where = ZoneInfo(zone)
        told.say(title, f"day, {zone}", *(await timed(db, lambda conn, z=where: sums.usage(conn, "day", NOW - 30 * DAY, NOW, z), times)))  # type: ignore[misc]
    told.say("Check", "all sums against all rows", *(await timed(db, rollups.check, 1)))


def entries(number: int, age: int = 0) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    opens = [
        {"id": new_id("req", NOW - age), "started_at": NOW - age, "process_id": "prc_1", "key_id": f"key_{n % KEYS}", "client": "curl/8.7"}
        for n in range(number)
    ]
    ends = [
        {"id": row["id"], "settled_at": NOW, "outcome": "ok", "account_id": f"acc_{n % 3}", "provider": "openai", "model": f"m{n % 5}"}
        | {"input": 1200, "output": 80, "cost_nano": 1_830_000, "http_status": 200}
        for n, row in enumerate(opens)
    ]
    return opens, ends


async def writing(db: Database, told: Figures) -> None:
    """What the sums add to a settlement, in batches as the ledger writes them under load and alone."""
    told.say("µs per settled row", "", "with sums", "of that the sums")
    for size in (1, 20, 100):
        spent, within = [], []
        for _ in range(300 // size + 5):
            opens, ends = entries(size)
            await db.tx(lambda conn, rows=opens: requests.insert_open(conn, rows))  # type: ignore[misc]

            took, of_that = await db.tx(lambda conn, rows=ends: _settle(conn, rows))  # type: ignore[misc]
            spent.append(took)
            within.append(of_that)
        told.say("µs per settled row", f"{size} at once", f"{median(spent):.0f}", f"{median(within):.0f}")


def _settle(conn: Any, rows: Sequence[dict[str, Any]]) -> tuple[float, float]:
    begun = time.perf_counter()
    closed = requests.settle(conn, rows)
    middle = time.perf_counter()
    rollups.add(conn, closed)
    ended = time.perf_counter()
    return (ended - begun) / len(rows) * 1e6, (ended - middle) / len(rows) * 1e6


# ---------------------------------------------------------------- The retention


async def traffic(db: Database, waits: list[float], wholes: list[float], stop: asyncio.Event) -> None:
    """A request's two entries again and again: how long until it is the writer's turn, and until it is durable."""
    while not stop.is_set():
        opens, ends = entries(1)
        for work in (lambda conn, rows=opens: requests.insert_open(conn, rows), lambda conn, rows=ends: books.settle(conn, rows)):
            begun, turn = time.perf_counter(), 0.0

            def mine(conn: Any, work: Any = work) -> None:
                nonlocal turn
                turn = time.perf_counter()
                work(conn)

            await db.tx(mine)
            waits.append((turn - begun) * 1000)
            wholes.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.002)


async def beside(db: Database, work: Callable[[], Any]) -> tuple[list[float], list[float]]:
    waits: list[float] = []
    wholes: list[float] = []
    stop = asyncio.Event()
    writer = asyncio.create_task(traffic(db, waits, wholes, stop))
    await work()
    stop.set()
    await writer
    return waits, wholes


async def retention(db: Database, home: Path, keep_days: int, told: Figures) -> None:
    title = "A request written meanwhile, ms"
    told.say(title, "", "entries", "wait p50", "p99", "worst", "durable p50", "p99", "worst")
    for what, work in (("alone", lambda: asyncio.sleep(5)), ("beside the retention", None)):
        keeper = Upkeep(db, lambda: load({"OMNI_RETENTION_DAYS": str(keep_days)}, {}), home, lambda: NOW)
        deleted = 0

        async def passes(keeper: Upkeep = keeper) -> None:
            nonlocal deleted
            begun = time.perf_counter()
            before = (await db.run(pruning.size), await db.run(_count))
            while not (await keeper.retention()).startswith("0 request rows"):
                pass
            after = (await db.run(pruning.size), await db.run(_count))
            took = time.perf_counter() - begun
            deleted = before[1] - after[1]
            told.say("Retention", "", "rows", "file, MB", "of that in use, MB")
            for name, (size, rows) in (("before", before), ("after", after)):
                sizes = () if size is None else (f"{size.file / 1e6:.0f}", f"{size.used / 1e6:.0f}")
                told.say("Retention", name, str(rows), *sizes)
            for part in await db.run(partitions.parts):
                told.say("Retention", "", part.name, f"{part.bytes / 1e6:.0f}")
            told.say("Retention", "took", f"{took:.0f} s, beside the writer, with room given back")
            told.say("Retention", "longest step", f"{keeper.longest_ms:.1f} ms")

        waits, wholes = await beside(db, work or passes)
        both = [
            f"{value:.1f}"
            for taken in (sorted(waits), sorted(wholes))
            for value in (median(taken), taken[int(len(taken) * 0.99)], taken[-1])
        ]
        told.say(title, what, str(len(waits)), *both)


def _count(conn: Any) -> int:
    return int(conn.exec_driver_sql("SELECT count(*) FROM requests").scalar())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=90, help="over which the rows are spread")
    parser.add_argument("--keep", type=int, default=60, help="days that the retention keeps")
    parser.add_argument("--plan", type=int, default=800, metavar="BYTES", help="of the plan in each row")
    parser.add_argument("--times", type=int, default=7, help="each question is asked")
    parser.add_argument("--folder", type=Path, help="in which the temporary directory is made")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--database", metavar="URL", help="a blank PostgreSQL database, which is left full")
    given = parser.parse_args()
    told = Figures()
    with tempfile.TemporaryDirectory(prefix="omni-million-", dir=given.folder) as name:
        home = Path(name)
        begun = time.perf_counter()
        if given.database:
            db = await build_on_server(given.database, given.rows, given.days, given.plan)
        else:
            db = await build(home / "omni.db", given.rows, given.days, given.plan)
        told.say("Made", f"{given.rows} rows over {given.days} days", f"{time.perf_counter() - begun:.0f} s")
        await questions(db, given.times, given.days, told)
        await writing(db, told)
        await retention(db, home, given.keep, told)
        await db.close()
    if given.json:
        print(json.dumps(told.tables, indent=1))
    else:
        told.show()


if __name__ == "__main__":
    asyncio.run(main())
