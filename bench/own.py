"""Ourselves against ourselves: two installations that differ in one thing, in turn on the same load; and every pair of formats.

Of each, the figures of the second beside those of the first.
"""

from __future__ import annotations

import asyncio
import atexit
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from bench import million
from bench.loads import FORMAT, Figures, at_once
from bench.peer_programs import MARKS, PATHS, Ground, Program, add_account, ours
from bench.processes import on_cores
from bench.wires import MODEL
from tests import postgres

CONNECTIONS = 20
SHARE = 0.5
"""Of a core for each worker, so that two of them and the clients have enough of two cores."""
KINDS: Mapping[str, tuple[str, str]] = {
    "chat": ("custom-openai", "/v1"),
    "responses": ("custom-responses", "/v1"),
    "anthropic": ("custom-anthropic", ""),
    "gemini": ("custom-gemini", "/v1beta"),
}
"""Format → the provider that speaks it, and what its base URL ends with."""
PAIRS = tuple((client, upstream) for client in KINDS for upstream in KINDS)
ROWS_DAYS, PLAN_BYTES = 90, 200


@dataclass(frozen=True, slots=True)
class Versus:
    """What differs. `share`: of a core, that each of its workers gets, wherever it runs; None: those of the servers."""

    title: str
    one: str
    other: str
    start: Callable[[str, Ground], Awaitable[Program]]
    share: float | None = None


async def _commit(name: str, ground: Ground) -> Program:
    return await ours(f"commit-{name}", ground, OMNI_GROUP_COMMIT_MS=name.partition(" ")[0])


async def _workers(name: str, ground: Ground) -> Program:
    return await ours(f"workers-{name}", ground, OMNI_WORKERS=name)


async def _workers_postgresql(name: str, ground: Ground) -> Program:
    """On a database of their own, of a server that flushes."""
    return await ours(f"workers-postgresql-{name}", ground, OMNI_WORKERS=name, OMNI_DATABASE_URL=await _postgresql().fresh())


@cache
def _postgresql() -> postgres.Server:
    if why := postgres.missing():
        raise RuntimeError(why)
    server = postgres.start()
    if isinstance(server, postgres.LocalServer):
        atexit.register(server.stop)
    return server


async def _accounts(name: str, ground: Ground) -> Program:
    return await ours(f"accounts-{name}", ground, accounts=int(name))


async def _others(name: str, ground: Ground) -> Program:
    return await ours(f"others-{name}", ground, accounts=10, others=int(name) - 10)


async def _rows(name: str, ground: Ground) -> Program:
    """Started once for its database, stopped while the rows are put in, and started again."""
    program = await ours(f"rows-{name}", ground, "--no-jobs", OMNI_RETENTION_ROWS="0", OMNI_KEEP_REQUESTS_MB="0")
    server = program.server
    if server is None or not int(name):
        return program
    try:
        server.terminate()
        await server.ended(60)
        await asyncio.to_thread(fill, server.home / "omni.db", int(name))
        with on_cores(ground.cores):
            server.spawn()
        await server.ready(120)
    except BaseException:
        server.kill()
        raise
    program.pid, program.port = server.pid, int(server.url.rpartition(":")[2])
    return program


def fill(path: Path, count: int) -> None:
    """Rows of a busy installation up to now, of the accounts and keys that are there, with their hourly sums."""
    million.NOW = int(time.time() * 1000)  # its rows end there
    conn = sqlite3.connect(path, isolation_level=None)
    conn.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; PRAGMA temp_store=MEMORY;")
    accounts = [row[0] for row in conn.execute("SELECT id FROM accounts")]
    keys = [row[0] for row in conn.execute("SELECT id FROM client_keys")]
    indexes = conn.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'requests' AND sql IS NOT NULL"
    ).fetchall()
    at = {name: million.COLUMNS.index(name) for name in ("account_id", "key_id")}

    def here(row: tuple[object, ...]) -> list[object]:
        told = list(row)
        for name, ids in (("account_id", accounts), ("key_id", keys)):
            told[at[name]] = ids[int(str(told[at[name]]).rpartition("_")[2]) % len(ids)]
        return told

    conn.execute("BEGIN")
    for name, _ in indexes:
        conn.execute(f"DROP INDEX {name}")
    marks = ", ".join("?" * len(million.COLUMNS))
    rows = (here(row) for row in million.made(count, ROWS_DAYS, PLAN_BYTES))
    conn.executemany(f"INSERT INTO requests ({', '.join(million.COLUMNS)}) VALUES ({marks})", rows)
    for _, sql in indexes:
        conn.execute(sql)
    conn.execute(million.FILL)
    conn.execute("COMMIT")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    conn.close()


def versus(rows: int) -> dict[str, Versus]:
    """The comparisons. `rows`: how many are put into the log of the second."""
    return {
        "commit": Versus("group commit", "0 ms", "5 ms", _commit),
        "workers": Versus(f"workers with {SHARE} of a core each", "1", "2", _workers, share=SHARE),
        "workers-pg": Versus(f"the same on PostgreSQL, {SHARE} of a core each", "1", "2", _workers_postgresql, share=SHARE),
        "accounts": Versus("accounts, of which 10 have the model", "10", "1000", _others),
        "pool": Versus("accounts that all have the model", "10", "1000", _accounts),
        "rows": Versus("rows in the log", "0", str(rows), _rows),
    }


async def turn(program: Program, seconds: float, connections: int = CONNECTIONS) -> Figures:
    return await at_once(program, program.request(2_000, False), program.mark(False), seconds, connections)


def workers_of(program: Program) -> list[int]:
    """The processes that serve: one alone, or those that the first one has started."""
    return program.pids[1:] or program.pids


# ---------------------------------------------------------------- Formats


async def translator(ground: Ground) -> Program:
    """One account for each format, each with a model of its own."""
    program = await ours("formats", ground)
    assert program.server is not None
    for wire, (provider, at) in KINDS.items():
        await add_account(program.server, ground.upstream, wire, provider, f"{MODEL}-{wire}", at)
    return program


async def translated(program: Program, client: str, upstream: str, stream: bool, seconds: float) -> Figures:
    speaker = replace(program, wire=client, path=PATHS[client], model=f"{MODEL}-{upstream}")
    return await at_once(speaker, speaker.request(2_000, stream, FORMAT), MARKS[client][stream], seconds, CONNECTIONS)
