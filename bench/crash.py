"""What is left after a crash: kill -9 at every place where a request waits, and everything else that can befall the books.

    python -m bench.crash                     all of it, 100 rounds of what is random
    python -m bench.crash --rounds 10         fewer
    python -m bench.crash --only every-place  one kind (names: see below)
    python -m bench.crash --postgresql        the kinds that are about processes and the clock, on a PostgreSQL of its own

Real server processes on a real SQLite home, clients over HTTP, the upstream here. After each blow the server starts again, and then
the books are held against what the clients have received whole: each such answer is there, settled, once, with its exact tokens and
cost; no row is open; what was interrupted is an estimate marked RECOVERED; sums equal the rows. Ends with code 1 when one is not so.
`disk-full` and `read-only` mount a small tmpfs and are left out where that is not permitted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from omni_connector import restoring
from omni_connector.store import files
from tests import postgres
from tests.crashing import BACK, RELAY, STORAGE, Doomed, Order
from tests.killing import SCENES, Ground, ground, rows_of
from tests.live.test_crash import Load, look

CLIENTS_S = (0.03, 0.6)
"""A random blow falls this much after the clients began, in seconds."""
PLAIN = SCENES["whole"]
TOLD = ("put on record", "disk is full", "the disk that holds")
"""What a client reads whose request could not be written down."""


class Impossible(Exception):
    """This machine does not let us try it."""


@dataclass
class Run:
    there: Ground
    rng: random.Random
    rounds: int


# ---------------------------------------------------------------- Kills


async def every_place(run: Run) -> str:
    """SIGKILL at each place at which the request waits, and at each at which a transaction of its does; before and after what it
    waits for is done."""
    there = run.there
    for scene in SCENES.values():
        for where in (RELAY, STORAGE):
            for late in (False, True):
                step = 0
                while True:
                    server = await there.start(where=where, step=step, late=late)
                    await there.check()
                    await there.one_round(server, scene)
                    if server.places <= step:
                        break
                    step += 1
    return f"{there.rounds} kills, {there.killed} of them inside the request"


async def under_load(run: Run) -> str:
    """SIGKILL at a random instant under 16 clients; every eighth time once more while it gets up."""
    load = Load(run.there.key)
    for number in range(run.rounds):
        server = await run.there.start()
        await _recovered(run.there, load)
        await _blow(run, load, server, [server])
        if number % 8 == 7:
            server = await run.there.nest.server(Order(str(run.there.home)))
            await asyncio.sleep(run.rng.uniform(0.0, 0.4))
            await run.there.end(server)
    assert not load.wrong, load.wrong[:3]
    return f"{len(load.received)} whole answers"


async def two_processes(run: Run) -> str:
    """Two servers on one home, both under load; one is killed, the other works on."""
    first, second = Load(run.there.key), Load(run.there.key)
    for _ in range(run.rounds):
        dying, living = await run.there.start(), await run.there.nest.server(Order(str(run.there.home)))
        await living.ready()
        stop = asyncio.Event()
        work = asyncio.create_task(second.run(living.url, stop, run.rng))
        await _blow(run, first, dying, [dying])
        again = await run.there.start()  # recovers what the dead one left, and nothing of the living one
        await asyncio.sleep(0.05)
        stop.set()
        await work
        first.received |= second.received
        await _recovered(run.there, first)
        await run.there.end(again)
        await run.there.end(living)
    assert not first.wrong and not second.wrong, (first.wrong + second.wrong)[:3]
    return f"{len(first.received)} whole answers, {len(second.received)} of them beside the one that died"


async def _blow(run: Run, load: Load, server: Doomed, dying: list[Doomed]) -> None:
    stop = asyncio.Event()
    work = asyncio.create_task(load.run(server.url, stop, run.rng))
    await asyncio.sleep(run.rng.uniform(*CLIENTS_S))
    for each in dying:
        each.kill()
    stop.set()
    await work
    for each in dying:
        await each.dead()


async def _recovered(there: Ground, load: Load) -> None:
    there.received |= load.received
    await there.check()


# ---------------------------------------------------------------- The disk


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A disk of that size at `folder`. Raises Impossible."""
    folder.mkdir(exist_ok=True)
    options = ["-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", *options], check=False, capture_output=True).returncode:
        raise Impossible("mounting a tmpfs is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Every byte that is left, to the last."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        size = 1 << 16
        while size:
            try:
                while file.write(b"x" * size) == size:
                    pass
                size //= 2
            except OSError:
                size //= 2
    return ballast


async def disk_full(run: Run) -> str:
    """The disk fills up under load, and is freed again; every fourth time the server is killed while it is full."""
    there, load, told, words = run.there, Load(run.there.key), 0, ""
    rounds = max(1, run.rounds // 10)
    server = await there.start()
    for number in range(rounds):
        stop = asyncio.Event()
        work = asyncio.create_task(load.run(server.url, stop, run.rng))
        await asyncio.sleep(0.1)
        ballast = fill(there.home.parent)
        await asyncio.sleep(run.rng.uniform(0.5, 3.0))
        if number % 4 == 3:
            await there.end(server)
            words = await _full_start(there)
            ballast.unlink()
            server = await there.start()
            stop.set()
            await work
            stop = asyncio.Event()
            work = asyncio.create_task(load.run(server.url, stop, run.rng))
        else:
            ballast.unlink()
        before = len(load.received)
        async with asyncio.timeout(10):  # it goes on by itself
            while len(load.received) < before + 20 and not work.done():
                await asyncio.sleep(0.01)
        stop.set()
        await work
        told += len(load.wrong)
        strange = [words for words in load.wrong if not any(part in words.lower() for part in TOLD)]
        assert not strange, strange[:3]
        load.wrong.clear()
        load.received |= there.received
        reply = await there.ask(server, PLAIN)
        assert reply is not None and reply.status == 200
        # What could not be written then has been offered again with this one.
        await _recovered(there, load)
    await there.end(server)
    said = f"{len(load.received)} whole answers, {told} requests were told that they could not be put on record"
    return f"{rounds} times; {said}; a start then says: {words}"


async def _full_start(there: Ground) -> str:
    """What a start on a full disk says; "" when it works all the same."""
    server = await there.nest.server(_elsewhere(there))
    try:
        await server.ready(5)
        words = ""
    except AssertionError:
        words = server.output.read_text()
        assert "Traceback" not in words and words, words
    await there.end(server)
    server.output.unlink()
    return words.strip().replace(str(there.home), "HOME")


async def read_only(run: Run) -> str:
    """Killed under load, the disk comes back read-only (as it does after an error); then it is mended. A disk on which a file is open for
    writing cannot be made read-only, so that is not tried."""
    there, load = run.there, Load(run.there.key)
    server = await there.start()
    await _blow(run, load, server, [server])
    disk, before = str(there.home.parent), (there.home / "omni.db").read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        words = await _refused(there)
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert (there.home / "omni.db").read_bytes() == before
    server = await there.start()
    await _recovered(there, load)
    await there.end(server)
    return f"a start there says: {words}"


def _elsewhere(there: Ground) -> Order:
    """What it says goes elsewhere, since nothing can be written beside the home."""
    return Order(str(there.home), output=str(Path(tempfile.gettempdir()) / f"crash-{os.getpid()}.output"))


async def _refused(there: Ground) -> str:
    server = await there.nest.server(_elsewhere(there))
    code, words = await server.dead(), server.output.read_text()
    server.output.unlink()
    assert code == 1, words
    assert "Traceback" not in words, words
    return words.strip().replace(str(there.home), "HOME")


async def damaged_page(run: Run) -> str:
    """One page of the database is overwritten with noise. The start refuses, names the newest good copy, and touches nothing."""
    there = run.there
    server = await there.start()
    for _ in range(30):
        assert await there.ask(server, PLAIN) is not None
    server.terminate()
    await server.dead()
    database = there.home / "omni.db"
    (there.home / "backups").mkdir(exist_ok=True)
    files.snapshot(database, there.home / "backups" / f"omni-{time.time_ns() // 1_000_000}.db")
    good, rows, refused, harmless = database.read_bytes(), rows_of(there.home), 0, 0
    for _ in range(run.rounds):
        page = run.rng.randrange(len(good) // 4096)
        bad = good[: page * 4096] + run.rng.randbytes(4096) + good[(page + 1) * 4096 :]
        for tail in ("-wal", "-shm"):
            database.with_name(database.name + tail).unlink(missing_ok=True)
        database.write_bytes(bad)
        server = await there.nest.server(Order(str(there.home)))
        try:
            await server.ready(10)
        except AssertionError:
            words = server.output.read_text()
            assert await server.dead() == 1, words
            assert "Traceback" not in words and "damaged" in words and "omni-connector restore --snapshot omni-" in words, words
            assert database.read_bytes() == bad, "the damaged file was changed"
            refused += 1
            continue
        await there.end(server)
        assert rows_of(there.home) == rows, f"page {page}: rows are gone, and nobody said so"
        harmless += 1
    copy = next((there.home / "backups").glob("omni-*.db")).name
    await restoring.restore(there.home, {}, copy=copy, now_ms=time.time_ns() // 1_000_000)
    server = await there.start()
    await there.check()
    await there.end(server)
    return f"{refused} starts refused with the copy to restore, {harmless} pages held nothing that is read; restored: all rows"


async def torn_log(run: Run) -> str:
    """Power loss, approximately: killed, then the write-ahead log cut off at an arbitrary byte."""
    there = run.there
    server = await there.start()
    for _ in range(60):
        await there.ask(server, PLAIN)
    await there.end(server)
    home = there.home
    log = (home / "omni.db-wal").read_bytes()
    assert len(log) > 50_000, "nothing in the log"
    seen: list[tuple[int, set[str]]] = []
    for length in [*sorted(run.rng.randrange(len(log)) for _ in range(run.rounds)), len(log)]:
        copy = home.parent / "torn"
        copy.mkdir(exist_ok=True)
        shutil.copy(home / "omni.db", copy / "omni.db")
        (copy / "omni.db-wal").write_bytes(log[:length])
        (copy / "omni.db-shm").unlink(missing_ok=True)
        with closing(sqlite3.connect(copy / "omni.db")) as conn:
            assert [row[0] for row in conn.execute("PRAGMA integrity_check")] == ["ok"]
            settled = {row[0] for row in conn.execute("SELECT id FROM requests WHERE state = 'settled'")}
        assert not seen or seen[-1][1] <= settled, "a longer log knows less"
        seen.append((length, settled))
    assert set(there.received) <= seen[-1][1], "the whole log has everything"
    return f"{len(seen)} lengths of a log of {len(log)} bytes: always sound, always a beginning of history, whole: all rows"


# ---------------------------------------------------------------- The clock


async def clock_back(run: Run) -> str:
    """The clock jumps back by an hour under load."""
    there, load = run.there, Load(run.there.key)
    server = await there.start()
    limited = (await server.admin("POST", "/api/keys", {"name": "limited", "rpm": 3}))["key"]
    busy, there.key = there.key, limited
    for _ in range(3):
        await there.ask(server, PLAIN)
    there.key = busy
    stop = asyncio.Event()
    work = asyncio.create_task(load.run(server.url, stop, run.rng))
    await asyncio.sleep(0.5)
    before = len(load.received)
    os.kill(server.pid, BACK)
    await asyncio.sleep(0.7)
    stop.set()
    await work
    assert not load.wrong, load.wrong[:3]
    assert len(load.received) > before + 20, "it goes on"
    await _recovered(there, load)
    waits = await _waits(server, limited)
    with closing(look(await there.books())) as conn:
        (least,) = conn.execute("SELECT MIN(duration_ms) FROM requests").fetchone()
    assert least >= 0
    await there.end(server)
    server = await there.start()
    await _recovered(there, load)
    await there.end(server)
    assert waits <= 60, f"a key of 3 requests a minute waits for {waits:g} s"
    return f"{len(load.received)} whole answers, no duration below 0 ms; a key at its limit a minute waits {waits:g} s"


async def _waits(server: Doomed, key: str) -> float:
    """Seconds until this key may ask again."""
    from tests.live.processes import Line

    async with Line.open(server.url) as line:
        reply = await line.ask("POST", PLAIN.path, PLAIN.body("number 0."), {"Authorization": f"Bearer {key}"})
    return float(reply.headers.get("retry-after", "0"))


# ---------------------------------------------------------------- All of it


Kind = Callable[[Run], Awaitable[str]]
KINDS: dict[str, tuple[Kind, int]] = {
    "every-place": (every_place, 0),
    "under-load": (under_load, 0),
    "two-processes": (two_processes, 0),
    "disk-full": (disk_full, 24),
    "read-only": (read_only, 24),
    "damaged-page": (damaged_page, 0),
    "torn-log": (torn_log, 0),
    "clock-back": (clock_back, 0),
}
"""Name → what is done, and the megabytes of a disk of its own (0: none)."""
ON_A_SERVER = ("every-place", "under-load", "clock-back")
"""Kinds that are the same whichever database has the books."""


@contextlib.asynccontextmanager
async def place(folder: Path, megabytes: int, database: str) -> AsyncIterator[Ground]:
    with small_disk(folder, megabytes) if megabytes else contextlib.nullcontext():
        async with ground(folder / "home", database) as there:
            yield there


async def measure(name: str, rounds: int, seed: int, database: str = "") -> bool:
    kind, megabytes = KINDS[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            async with place(Path(folder), megabytes, database) as there:
                said = await kind(Run(there, random.Random(seed), rounds))
                rows = ", ".join(f"{count} {outcome}" for outcome, count in sorted(there.outcomes.items()))
        except Impossible as reason:
            print(f"{name:14} not tried: {reason}", flush=True)
            return True
        except Exception:
            traceback.print_exc()
            print(f"{name:14} BROKEN (seed {seed})", flush=True)
            return False
    print(f"{name:14} holds: {said} [rows: {rows or 'none'}; {time.monotonic() - began:.0f} s]", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="of each kind that is random (disk-full: a tenth)")
    parser.add_argument("--only", choices=KINDS, help="one kind")
    parser.add_argument("--postgresql", action="store_true", help=f"on a PostgreSQL: {', '.join(ON_A_SERVER)}")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if given.postgresql:
        return on_a_server([given.only] if given.only else ON_A_SERVER, given.rounds, given.seed)
    names = [given.only] if given.only else list(KINDS)
    held = [asyncio.run(measure(name, given.rounds, given.seed)) for name in names]
    return 0 if all(held) else 1


def on_a_server(names: Sequence[str], rounds: int, seed: int) -> int:
    if reason := postgres.missing():
        print(reason)
        return 1
    server = postgres.start()
    try:
        held = [asyncio.run(measure(name, rounds, seed, asyncio.run(server.fresh(blank=True)))) for name in names]
    finally:
        server.close()
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
