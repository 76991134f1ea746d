"""What `python -m bench.scaling` prints: the tables of docs/scaling.md, one fleet, or the constants measured anew."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from bench.scaling import SQLITE, Costs, Fleet, Found, Load, simulate

LATE = replace(Costs(), late_sums=True)
NEAR = replace(Costs(), trip_ms=0.1, flush_ms=0.3)
"""A database on the same host, or rack, whose disk flushes quickly."""
BUSY = 0.6
"""How busy the processor of a worker is to be at most."""
NODE = 8
"""Workers of a node."""
MOST_MS = 250.0
"""What a database may add to the slowest request of a hundred."""
STEPS = (500, 700, 1000, 1500, 2000, 3000)
RATES = (10**2, 10**3, 10**4, 10**5, 10**6)
STAY_S = 4.0
"""How long a request is open, for memory: a provider that takes as long as they do, not the 0.3 s of the simulation."""
ROW_BYTES = 2000
"""A request in PostgreSQL with its indexes, between packed and as written."""
WORKER_MB, STREAM_KB, KEPT = 103, 38, 6
LOOKS_A_SECOND = 10 / 3
"""Of each worker at the version of the configuration."""
ROWS_A_COMMIT = 1.6
"""Where workers are no busier than BUSY."""

MEASURED = {"most": 1321.0, "asked": 661.0, "stretch": 1.03, "flush_ms": 0.38, "cpu_us": 1154.0, "p50": 7.1, "p99": 30.6}
"""One worker with SQLite (`--measure`: "whole_per_s", "half_load"): what the simulation is held against.
`stretch`: how much longer its work took by the clock, since the machine had other work."""


def worker_us(load: Load, costs: Costs) -> float:
    """A worker's time for a request of the mixture, its two rows included."""
    return costs.request_us + load.streams * load.chunks * costs.chunk_us + 2 * (costs.row_us + costs.commit_us / ROWS_A_COMMIT)


def workers_for(load: Load, costs: Costs) -> int:
    return ceil(load.rate * worker_us(load, costs) / 1e6 / BUSY)


def run(load: Load, costs: Costs) -> tuple[int, Found]:
    """A fleet as large as the load wants, three seconds of it."""
    workers = workers_for(load, costs)
    nodes = ceil(workers / NODE)
    return workers, simulate(load, Fleet(nodes, ceil(workers / nodes)), costs, max(2500, int(load.rate * 3)))


def carries(load: Load, costs: Costs) -> int:
    """Requests a second that one database takes within MOST_MS, of STEPS."""
    best = 0
    for rate in STEPS:
        if run(replace(load, rate=rate), costs)[1].added(0.99) > MOST_MS:
            break
        best = rate
    return best


CASES: Sequence[tuple[str, Load, Costs]] = (
    ("SQLite", Load(50), SQLITE),
    ("SQLite", Load(100), SQLITE),
    ("PostgreSQL", Load(100), Costs()),
    ("PostgreSQL", Load(1000), Costs()),
    ("PostgreSQL", Load(2000), Costs()),
    ("one sum for all", Load(300, sums=1), Costs()),
    ("one sum for all", Load(1000, sums=1), Costs()),
    ("near and quick", Load(2000), NEAR),
    ("nothing streamed", Load(1000, streams=0), Costs()),
    ("sums added up later", Load(2000), LATE),
)


def database_table() -> Iterator[str]:
    names = ("one database", "requests/s", "workers", "workers busy", "database busy", "flushing", "sum held", "rows a commit")
    yield "| " + " | ".join((*names, "added p50 ms", "p99 ms", "first")) + " |"
    yield "|---" * 11 + "|"
    for name, load, costs in CASES:
        workers, found = run(load, costs)
        busy = " | ".join(f"{min(share, 1):.0%}" for share in found.busy.values())
        rows = (found.opened + found.settled) / found.commits
        added = f"{found.added(0.5):.0f} | {found.added(0.99):.0f}"
        first = "the one writer" if found.first == "sums" and not costs.postgresql else found.first
        yield f"| {name} | {load.rate:,.0f} | {workers} | {busy} | {rows:.1f} | {added} | {first} |"


def fleet_table() -> Iterator[str]:
    load, costs = Load(1), Costs()
    each, near, late = (carries(load, each) for each in (costs, NEAR, LATE))
    most = f"{STEPS[-1]:,}: at least, more was not tried"
    yield f"Requests a second that one database carries within {MOST_MS:.0f} ms: {each:,}."
    yield f"Near and quick: {near:,}; sums added up later: {late:,} ({most})."
    yield ""
    yield "| requests/s | workers | nodes of 8 | databases | connections | open at once | memory GB | GB a day | looks/s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for rate in RATES:
        workers = workers_for(replace(load, rate=rate), costs)
        at_once = rate * STAY_S
        cells = (
            workers, ceil(workers / NODE), ceil(rate / each), workers * KEPT, at_once,
            workers * WORKER_MB / 1e3 + at_once * STREAM_KB / 1e6, rate * 86400 * ROW_BYTES / 1e9, workers * LOOKS_A_SECOND,
        )  # fmt: skip
        yield f"| {rate:,} | " + " | ".join(f"{cell:,.0f}" if cell >= 10 else f"{cell:.1g}" for cell in cells) + " |"


def check_table() -> Iterator[str]:
    """What was measured beside what is simulated for the same."""
    stretch = MEASURED["stretch"]
    times = ("request_us", "commit_us", "row_us")
    costs = replace(SQLITE, flush_ms=MEASURED["flush_ms"], **{name: getattr(SQLITE, name) * stretch for name in times})
    half, most = (simulate(Load(MEASURED[name], streams=0, upstream_ms=0.1), Fleet(), costs, 4000) for name in ("asked", "most"))
    cpu = half.busy["workers"] / MEASURED["asked"] * 1e6 / stretch
    yield "| one worker, SQLite, whole answers | measured | simulated |"
    yield "|---|---|---|"
    yield f"| busy at {MEASURED['most']:.0f} requests/s, the most it answered | 100% | {most.busy['workers']:.0%} |"
    yield f"| CPU µs a request at {MEASURED['asked']:.0f} requests/s | {MEASURED['cpu_us']:.0f} | {cpu:.0f} |"
    yield f"| added p50 ms there | {MEASURED['p50']:.0f} | {half.added(0.5):.0f} |"
    yield f"| added p99 ms there | {MEASURED['p99']:.0f} | {half.added(0.99):.0f} |"


def tables() -> str:
    return "\n".join((*database_table(), "", *fleet_table(), "", *check_table()))


def show(load: Load, fleet: Fleet, costs: Costs, seed: int) -> None:
    found = simulate(load, fleet, costs, max(2500, int(load.rate * 4)), seed)
    for name, share in found.busy.items():
        print(f"{name:10}{min(share, 1):6.0%}")
    print(f"added ms: p50 {found.added(0.5):.0f}, p99 {found.added(0.99):.0f}; rows a commit {2 * found.answered / found.commits:.1f}")
    print(f"first to give out: {found.first}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="How far the gateway grows (docs/scaling.md).")
    parser.add_argument("--table", action="store_true", help="the tables of docs/scaling.md")
    parser.add_argument("--rate", type=float, default=100, help="requests a second")
    parser.add_argument("--streams", type=float, default=0.5, help="share of them that streams")
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--sums", type=int, default=200, help="rows of the hourly sums that are in use")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="of each node")
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="measure the constants here")
    parser.add_argument("--rows", type=int, default=600, help="requests to write for each size of commit")
    parser.add_argument("--seconds", type=float, default=3, help="of each load of the server")
    parser.add_argument("--cpu", type=float, help="µs a request takes (bench/overhead.py); the server is then not measured")
    given = parser.parse_args()
    if given.measure:
        from bench import scaling_measure

        scaling_measure.main(given)
    elif given.table:
        print(tables())
    else:
        load = Load(given.rate, given.streams, given.chunks, sums=given.sums)
        show(load, Fleet(given.nodes, given.workers), SQLITE if given.sqlite else Costs(), given.seed)
