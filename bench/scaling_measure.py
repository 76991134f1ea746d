"""The constants of docs/scaling.md, measured on the machine at hand: `python -m bench.scaling --measure`.

Everything happens in a temporary folder, on loopback and on a PostgreSQL of its own (tests/postgres.py), and is gone afterwards. What counts is
time on the processor (user + system, the kernel's accounting), so other work on the machine disturbs the figures little; waiting does not
count. What does depend on this very machine, the flush of its disk, is measured too, and said.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from bench import million, overhead
from omni_connector.booking import Booking
from omni_connector.budgets import Budgets
from omni_connector.secrets import new_id
from omni_connector.store.engine import Database
from omni_connector.store.requests import JSON_COLUMNS
from omni_connector.upkeep import make_months
from tests import postgres

Row = dict[str, Any]
BATCHES = (1, 10, 50)
PLAN_BYTES = 700
OPENED = ("id", "started_at", "process_id", "wire", "path", "stream", "client", "key_id", "key_name", "model_requested", "est_input", "plan")
PACE_S = 0.02
CHUNKS = len(overhead.CHUNKS)
AT_ONCE = 100
HELD_OPEN = 200
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
    for pid in overhead.tree(process):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(int(fields[place]) for place in ((11, 12, 13, 14) if pid == process else (11, 12))) / os.sysconf("SC_CLK_TCK")
    return total


async def write(db: Database, batch: int, count: int, process: int | None) -> Row:
    """`count` requests through the ledger's hand, two entries each; in a steady state every commit opens `batch` rows and settles `batch`."""
    booking = Booking(db, Budgets(db, lambda: million.NOW), lambda _: None, lambda: million.NOW)
    rows = list(requests(count))
    waiting: list[Row] = []
    commits = 0
    begun, own, theirs = time.perf_counter(), time.process_time(), server_cpu(process)
    for at in range(0, count + batch, batch):
        some = rows[at : at + batch]
        await booking.write([opened for opened, _ in some], waiting, [], [])
        waiting = [settled for _, settled in some]
        commits += 1
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
    speeds = [await write(db, batch, count, None) for batch in BATCHES]
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
        return int(conn.exec_driver_sql("SELECT pg_database_size(current_database())").scalar())

    blank = await db.run(size)
    speeds = [await write(db, batch, count, process) for batch in BATCHES]
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
    await server.execute(f'ALTER DATABASE "{name}" SET log_statement = \'all\'')
    db = await Database.open(url)
    path = server._folder / "log"
    [(first, ended), (second, _)] = requests(2)
    booking = Booking(db, Budgets(db, lambda: million.NOW), lambda _: None, lambda: million.NOW)
    await booking.write([first], [], [], [])
    before = path.stat().st_size
    await booking.write([second], [ended], [], [])
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


class Paced(overhead.UpstreamProtocol):
    """Streams chunk by chunk, PACE_S apart; `hold`: sends only the first one and then waits, as a model that thinks."""

    hold = False

    def _answer(self, stream: bool) -> None:
        if not stream:
            super()._answer(stream)
            return
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")  # type: ignore[attr-defined]
        self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        for piece in (*overhead.CHUNKS, b"data: [DONE]\n\n"):
            self._transport.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")  # type: ignore[attr-defined]
            await asyncio.sleep(3600 if Paced.hold else PACE_S)
        self._transport.write(b"0\r\n\r\n")  # type: ignore[attr-defined]


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


async def server_figures(folder: Path, count: int, port: int) -> Row:
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(overhead.UpstreamProtocol, "127.0.0.1", 0)
    paced = await loop.create_server(Paced, "127.0.0.1", 0)
    found: Row = {}
    found["flush_ms"] = flush_ms(folder)
    for name, upstream in (("at once", plain), ("paced", paced)):
        process, key = overhead.start_omni(folder / name.replace(" ", "-"), upstream.sockets[0].getsockname()[1], port)
        try:
            await asyncio.to_thread(overhead.wait_for, f"http://127.0.0.1:{port}/health", process, 90)
            await asyncio.sleep(3)
            pids = overhead.tree(process.pid)
            if upstream is plain:
                whole = await overhead.load(port, key, stream=False, count=count, connections=20, pids=pids)
                burst = await overhead.load(port, key, stream=True, count=count, connections=20, pids=pids)
                found |= {"whole_us": round(whole.cpu_us), "whole_per_s": round(whole.per_s), "burst_us": round(burst.cpu_us)}
                found |= {"whole_p50_ms": round(whole.p50_ms, 1), "whole_p99_ms": round(whole.p99_ms, 1)}
                found["half_load"] = await half_load(port, key, pids, count, whole.per_s / 2)
            else:
                await listen(port, key, 5)
                before = overhead.cpu_seconds(pids)
                await listen(port, key, AT_ONCE)
                found["paced_us"] = round((overhead.cpu_seconds(pids) - before) / AT_ONCE * 1e6)
                found["kb_per_open_stream"] = await open_streams(port, key, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 5)
            except Exception:
                process.kill()
    plain.close()
    paced.close()
    return found


def stretch() -> float:
    """How much longer work takes by the clock than on the processor, because others want the processor too."""
    begun, own = time.perf_counter(), time.process_time()
    while time.process_time() - own < 0.3:
        pass
    return (time.perf_counter() - begun) / (time.process_time() - own)


async def half_load(port: int, key: str, pids: list[int], count: int, rate: float) -> Row:
    """Whole requests that arrive on their own, `rate` a second, whether or not the last was answered: what the simulation is held against."""
    loop = asyncio.get_running_loop()
    data = overhead.request_bytes(port, key, False)
    free: list[overhead.ClientProtocol] = []
    taken: list[float] = []

    async def ask() -> None:
        client = free.pop() if free else (await loop.create_connection(overhead.ClientProtocol, "127.0.0.1", port))[1]
        begun = time.perf_counter()
        await client.ask(data)
        taken.append((time.perf_counter() - begun) * 1e3)
        free.append(client)

    crowded = stretch()
    before, begun = overhead.cpu_seconds(pids), time.perf_counter()
    tasks = []
    rng = random.Random(1)
    due = begun
    for _ in range(count):
        due += rng.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask()))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - begun
    used = overhead.cpu_seconds(pids) - before
    taken.sort()
    return {
        "stretch": round((crowded + stretch()) / 2, 2),
        "asked_per_s": round(rate),
        "answered_per_s": round(count / took),
        "cpu_us": round(used / count * 1e6),
        "p50_ms": round(median(taken), 1),
        "p99_ms": round(taken[int(count * 0.99) - 1], 1),
    }


async def listen(port: int, key: str, count: int) -> None:
    """So many streams at once, each to its end."""
    loop = asyncio.get_running_loop()
    data = overhead.request_bytes(port, key, True)
    made = [(await loop.create_connection(lambda: Listener(data), "127.0.0.1", port))[1] for _ in range(count)]
    async with asyncio.timeout(120):
        await asyncio.gather(*(each.ended for each in made))


async def open_streams(port: int, key: str, pid: int) -> int:
    """KB of the server's memory for each stream that is open and waits."""
    Paced.hold = True
    loop = asyncio.get_running_loop()
    data = overhead.request_bytes(port, key, True)

    async def open_some(count: int) -> None:
        made = [(await loop.create_connection(lambda: Listener(data), "127.0.0.1", port))[1] for _ in range(count)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.heard for each in made))

    await open_some(20)
    before = overhead.memory_mb(pid)
    await open_some(HELD_OPEN)
    grown = overhead.memory_mb(pid) - before
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
        found["server"] = {"whole_us": given.cpu} if given.cpu else await server_figures(folder, given.count, given.port)
    return found


def main(given: argparse.Namespace) -> None:
    print(json.dumps(asyncio.run(measure(given)), indent=1))
