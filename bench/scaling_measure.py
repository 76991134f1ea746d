"""The constants of docs/scaling.md, measured on the machine at hand: `python -m bench.scaling --measure`.

Everything happens in a temporary folder, on loopback and on a PostgreSQL of its own (tests/postgres.py), and is gone afterwards. What
counts is time on the processor (user + system, the kernel's accounting), so other work on the machine disturbs the figures little; waiting
does not count. What does depend on this very machine, the flush of its disk, is measured too, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench import million
from bench.loads import Crowd, Mock, at_once
from bench.peer_programs import Ground, Program, ours
from bench.processes import cpu_s, end, family, memory_mb
from bench.wires import CHUNKS, DONE, HEAD, HOST, LAST, Upstream, chunked, streamed
from omni_connector.booking import Booking
from omni_connector.budgets import Budgets
from omni_connector.journal import Journal
from omni_connector.secrets import new_id
from omni_connector.settings import Settings
from omni_connector.spill import Spill
from omni_connector.store.engine import Database
from omni_connector.store.requests import JSON_COLUMNS
from omni_connector.upkeep import make_months
from tests import postgres

Row = dict[str, Any]
Books = Booking | Journal
BATCHES = (1, 10, 50)
PLAN_BYTES = 700
OPENED = (
    "id",
    "started_at",
    "process_id",
    "wire",
    "path",
    "stream",
    "client",
    "key_id",
    "key_name",
    "model_requested",
    "est_input",
    "plan",
)
PACE_S = 0.02
SIZE = 2_000
CONNECTIONS = 20
AT_ONCE = 100
HELD_OPEN = 200
SIZES = "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'requests'::regclass"
DURABLE = "\nfsync=on\nfull_page_writes=on\n"


# ---------------------------------------------------------------- The books


def requests(count: int) -> Iterator[tuple[Row, Row]]:
    """A request's row as it is opened, and what settles it, as a busy installation has them (bench/million.py)."""
    # A day of one hour's length: the sums of an hour are shared as they would be under load.
    for values in million.made(count, 1, PLAN_BYTES):
        row: Row = dict(zip(million.COLUMNS, values, strict=True))
        row |= {name: json.loads(row[name]) for name in JSON_COLUMNS if row.get(name) is not None}
        row |= {"id": new_id("req", million.NOW), "started_at": million.NOW, "settled_at": million.NOW + 900, "stream": bool(row["stream"])}
        settle = {name: value for name, value in row.items() if name not in {*OPENED, "state"}}
        yield {name: row[name] for name in OPENED}, {"id": row["id"], **settle}


def server_cpu(process: int | None) -> float:
    """Seconds of a database server's processes, those included that have ended."""
    if process is None:
        return 0.0
    total = 0.0
    for pid in family(process):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(fields[place]) for place in ((11, 12, 13, 14) if pid == process else (11, 12))) / os.sysconf("SC_CLK_TCK")
    return total


def booking_of(db: Database) -> Booking:
    return Booking(db, Budgets(db, lambda: million.NOW), lambda _: None, lambda: million.NOW)


async def write(books: Books, batch: int, count: int, process: int | None) -> Row:
    """`count` requests through the ledger's hand, two entries each; every commit opens `batch` rows and settles `batch`."""
    rows = list(requests(count))
    waiting: list[Row] = []
    commits = 0
    begun, own, theirs = time.perf_counter(), time.process_time(), server_cpu(process)
    for at in range(0, count + batch, batch):
        some = rows[at : at + batch]
        await books.write([opened for opened, _ in some], waiting, [], [])
        waiting = [settled for _, settled in some]
        commits += 1
    if isinstance(books, Journal):
        await books.landed()
    took = time.perf_counter() - begun
    return {
        "batch": batch,
        "rows_per_s": round(2 * count / took),
        "commit_ms": round(took / commits * 1e3, 2),
        "worker_us_per_row": round((time.process_time() - own) / count / 2 * 1e6),
        "database_us_per_row": round((server_cpu(process) - theirs) / count / 2 * 1e6),
    }


async def sqlite_books(folder: Path, count: int) -> Row:
    path = folder / "books.db"
    db = await Database.open(f"sqlite:///{path}")
    await db.migrate()
    await db.checkpoint()
    blank = path.stat().st_size
    journal = Journal(folder / "spill", "prc_1", booking_of(db), Spill(folder / "spill", "prc_1", Settings, lambda: 0), lambda: False)
    journal.start()
    speeds = [await write(journal, batch, count, None) for batch in BATCHES]
    await journal.close()
    await db.checkpoint()
    size = path.stat().st_size - blank
    await db.close()
    return {"speeds": speeds, "bytes_per_row": round(size / count / len(BATCHES))}


async def postgres_books(count: int) -> Row:
    server = postgres.start()
    try:
        return await _postgres_books(server, count)
    finally:
        await asyncio.to_thread(server.close) if server.owned else None


async def _postgres_books(server: postgres.Server, count: int) -> Row:
    process: int | None = None
    if isinstance(server, postgres.LocalServer):
        server.stop()
        with (server.data / "postgresql.conf").open("a") as file:
            file.write(DURABLE)
        server.start()
        process = server._process.pid if server._process else None
    url = await server.fresh(blank=True)
    db = await Database.open(url)
    await db.migrate()
    await make_months(db, million.NOW)

    def size(conn: Any) -> int:
        return int(conn.exec_driver_sql(SIZES).scalar())

    blank = await db.run(size)
    speeds = [await write(booking_of(db), batch, count, process) for batch in BATCHES]
    grown = await db.run(size) - blank
    await db.close()
    name = url.rsplit("/", 1)[1]
    await server.execute("VACUUM FULL", name)
    db = await Database.open(url)
    packed = await db.run(size) - blank
    await db.close()
    trips = await _trips(server, url, name) if isinstance(server, postgres.LocalServer) else {}
    await server.drop(url)
    rows = count * len(BATCHES)
    return {"speeds": speeds, "bytes_per_row": round(grown / rows), "bytes_per_row_packed": round(packed / rows), **trips}


async def _trips(server: postgres.LocalServer, url: str, name: str) -> Row:
    """Statements of a commit that opens one row and settles one, and how many of them come after the hourly sum is locked."""
    await server.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
    db = await Database.open(url)
    path = server._folder / "log"
    booking = Booking(db, Budgets(db, lambda: million.NOW), lambda _: None, lambda: million.NOW)
    before, ended = 0, []
    for opened, settled in requests(3):  # the first ones also prepare the statements
        before = path.stat().st_size
        await booking.write([opened], ended, [], [])
        ended = [settled]
    said = [line for line in path.read_bytes()[before:].decode().splitlines() if "statement: " in line or "execute " in line]
    await db.close()
    at = next(number for number, line in enumerate(said) if "usage_hours" in line)
    return {"statements": len(said), "statements_under_lock": len(said) - at}


def flush_ms(folder: Path, times: int = 100) -> tuple[float, float]:
    """Median and 99th percentile of an append of 8 kB that is flushed."""
    taken = []
    with (folder / "flushed").open("ab", buffering=0) as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(b"x" * 8192)
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - begun) * 1e3)
    taken.sort()
    return round(median(taken), 2), round(taken[int(times * 0.99) - 1], 2)


# ---------------------------------------------------------------- Requests


class Paced(Upstream):
    """Streams chunk by chunk, PACE_S apart; `hold`: sends only the first one and then waits, as a model that thinks."""

    hold = False

    def answer(self, path: bytes, body: bytes) -> None:
        if not streamed(body):
            super().answer(path, body)
            return
        self.transport.write(HEAD % (b"200 OK", b"text/event-stream", b"transfer-encoding: chunked"))
        self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        for piece in (*CHUNKS, DONE):
            self.transport.write(chunked(piece))
            await asyncio.sleep(3600 if Paced.hold else PACE_S)
        self.transport.write(LAST)


class Listener(asyncio.Protocol):
    """A client that asks once and reads whatever comes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.heard = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._data)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if b"data: {" in data and not self.heard.done():
            self.heard.set_result(None)
        if b"[DONE]" in data and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        for waiting in (self.heard, self.ended):
            if not waiting.done():
                waiting.cancel()


async def server_figures(folder: Path, seconds: float) -> Row:
    found: Row = {"flush_ms": flush_ms(folder)}
    loop = asyncio.get_running_loop()
    for name, upstream, ask in (("plain", Mock, plain_figures), ("paced", Paced, paced_figures)):
        listening = await loop.create_server(upstream, HOST, 0)
        home = folder / name
        home.mkdir()
        program = await ours("omni-connector", Ground(listening.sockets[0].getsockname()[1], home, None, None))
        try:
            found |= await ask(program, seconds)
        finally:
            await asyncio.to_thread(end, program.pid)
            listening.close()
    return found


async def plain_figures(program: Program, seconds: float) -> Row:
    whole = await at_once(program, program.request(SIZE, False), program.mark(False), seconds, CONNECTIONS)
    burst = await at_once(program, program.request(SIZE, True), program.mark(True), seconds, CONNECTIONS)
    told = {f"whole_{name}": round(whole[name], 1) for name in ("cpu_us", "per_s", "p50_ms", "p99_ms")}
    return {**told, "burst_cpu_us": round(burst["cpu_us"]), "half_load": await half_load(program, seconds, whole["per_s"] / 2)}


async def paced_figures(program: Program, seconds: float) -> Row:
    del seconds
    await listen(program, 5)
    before = cpu_s(program.pids)
    await listen(program, AT_ONCE)
    paced = (cpu_s(program.pids) - before) / AT_ONCE * 1e6
    return {"paced_cpu_us": round(paced), "kb_per_open_stream": await open_streams(program)}


def stretch() -> float:
    """How much longer work takes by the clock than on the processor, because others want the processor too."""
    begun, own = time.perf_counter(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    return (time.perf_counter() - begun) / (time.process_time() - own)


async def half_load(program: Program, seconds: float, rate: float) -> Row:
    """Whole requests that arrive at random, `rate` a second, answered or not: what the simulation is held against."""
    rng, crowd, taken = random.Random(1), Crowd(program.port), list[float]()
    data = program.request(SIZE, False)

    async def ask() -> None:
        begun = time.perf_counter()
        await crowd.ask(data)
        taken.append((time.perf_counter() - begun) * 1e3)

    crowded = stretch()
    before, due, tasks = cpu_s(program.pids), time.perf_counter(), list[asyncio.Task[None]]()
    begun = due
    for _ in range(int(seconds * rate)):
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    took, used = time.perf_counter() - begun, cpu_s(program.pids) - before
    crowd.close()
    taken.sort()
    return {
        "stretch": round((crowded + stretch()) / 2, 2),
        "asked_per_s": round(rate),
        "answered_per_s": round(len(taken) / took),
        "cpu_us": round(used / len(taken) * 1e6),
        "p50_ms": round(median(taken), 1),
        "p99_ms": round(taken[int(len(taken) * 0.99) - 1], 1),
    }


async def connected(program: Program, count: int) -> list[Listener]:
    loop, data = asyncio.get_running_loop(), program.request(SIZE, True)
    return [(await loop.create_connection(lambda: Listener(data), HOST, program.port))[1] for _ in range(count)]


async def listen(program: Program, count: int) -> None:
    """So many streams at once, each to its end."""
    async with asyncio.timeout(120):
        await asyncio.gather(*(each.ended for each in await connected(program, count)))


async def open_streams(program: Program) -> int:
    """KB of the server's memory for each stream that is open and waits."""
    Paced.hold = True
    async with asyncio.timeout(120):
        await asyncio.gather(*(each.heard for each in await connected(program, 20)))
        before = memory_mb(program.pids)
        await asyncio.gather(*(each.heard for each in await connected(program, HELD_OPEN)))
        grown = memory_mb(program.pids) - before
    Paced.hold = False
    return round(grown * 1024 / HELD_OPEN)


async def measure(given: argparse.Namespace) -> Row:
    found: Row = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        found["flush_ms"] = flush_ms(folder)
        found["sqlite"] = await sqlite_books(folder, given.rows)
        why = postgres.missing()
        found["postgresql"] = why or await postgres_books(given.rows)
        found["server"] = {"whole_us": given.cpu} if given.cpu else await server_figures(folder, given.seconds)
    return found


def main(given: argparse.Namespace) -> None:
    print(json.dumps(asyncio.run(measure(given)), indent=1))
