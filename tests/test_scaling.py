"""The simulation behind docs/scaling.md: it loses nothing, repeats itself, agrees with queueing theory, and the page shows what it says."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from math import factorial
from pathlib import Path

import pytest

from bench.scaling import SQLITE, Clock, Costs, Fleet, Load, Station, simulate
from bench.scaling_tables import tables, worker_us

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"
SMALL = Load(200, upstream_ms=50)


def queue(rate: float, seconds: float, servers: int, count: int, seed: int) -> float:
    """Mean wait (s) before one of `servers` when both arrivals and service are exponential."""
    rng, clock = random.Random(seed), Clock()
    station = Station(clock, servers)
    waits: list[float] = []

    def arrive() -> None:
        begun, service = clock.now, rng.expovariate(1 / seconds)
        station.use(service, lambda: waits.append(clock.now - begun - service))
        if len(waits) < count:
            clock.after(rng.expovariate(rate), arrive)

    clock.after(0.0, arrive)
    clock.run()
    return sum(waits) / len(waits)


def erlang(rate: float, seconds: float, servers: int) -> float:
    """Mean wait of M/M/c: Erlang's C formula."""
    asked = rate * seconds
    full = asked**servers / factorial(servers) * servers / (servers - asked)
    return full / (sum(asked**n / factorial(n) for n in range(servers)) + full) / (servers / seconds - rate)


@pytest.mark.parametrize("costs", [Costs(), SQLITE, replace(Costs(), late_sums=True)])
def test_every_request_is_answered_and_has_its_two_entries(costs: Costs) -> None:
    found = simulate(SMALL, Fleet(2, 2), costs, 1000)
    assert (found.arrived, found.answered, found.opened, found.settled) == (1000, 1000, 1000, 1000)
    assert 0 < found.commits <= 2000 and len(found.added_ms) == 750 and min(found.added_ms) > 0


def test_a_seed_says_it_all() -> None:
    first, again, other = (simulate(SMALL, Fleet(1, 3), Costs(), 800, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.added_ms != other.added_ms


@pytest.mark.parametrize("rate, servers", [(5.0, 1), (16.0, 2), (80.0, 10)])
def test_a_plain_queue_waits_as_erlang_says(rate: float, servers: int) -> None:
    waits = [queue(rate, 0.1, servers, 30_000, seed) for seed in (1, 2, 3)]
    assert sum(waits) / 3 == pytest.approx(erlang(rate, 0.1, servers), rel=0.12)


def test_a_worker_is_as_busy_as_its_work() -> None:
    """Nobody is faster than two waits for it (M/G/1) and two pieces of work; commits that cost nothing still take their turn."""
    nothing = {"commit_us": 0, "row_us": 0, "database_commit_us": 0, "database_row_us": 0, "trip_ms": 0, "flush_ms": 0, "gather_ms": 0}
    found = simulate(Load(60, streams=0, upstream_ms=400), Fleet(), replace(Costs(), request_us=10_000, **nothing), 10_000)
    assert found.busy["workers"] == pytest.approx(0.6, rel=0.05)
    piece, a_second = 0.005, 120
    wait = a_second * piece**2 * (1 + 1 / 12) / 2 / (1 - a_second * piece)
    assert 2 * (wait + piece) < sum(found.added_ms) / len(found.added_ms) / 1e3 < 2 * (wait + piece) + 4 * wait


def test_a_sum_that_all_add_to_gives_out_first() -> None:
    spread, one = (simulate(Load(500, streams=0, sums=sums, upstream_ms=50), Fleet(1, 8), Costs(), 2500) for sums in (500, 1))
    late = simulate(Load(500, streams=0, sums=1, upstream_ms=50), Fleet(1, 8), replace(Costs(), late_sums=True), 2500)
    assert one.first == "sums" and one.busy["sums"] > spread.busy["sums"] > late.busy["sums"] == 0
    assert one.added(0.5) > spread.added(0.5) >= late.added(0.5) * 0.9


@pytest.mark.slow
def test_the_page_shows_what_the_command_prints() -> None:
    page = PAGE.read_text("utf-8")
    shown = tables().split("\n\n")
    assert len(shown) == 4 and not [part for part in shown if part not in page]
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, re.M))
    assert told, "the page has no table of constants"
    costs = Costs()
    assert {name: float(value) for name, value in told.items()} == {name: float(getattr(costs, name)) for name in told}
    assert set(told) == set(vars(costs)) - {"late_sums", "postgresql"}
    assert f"{worker_us(Load(1), costs) / 1e3:.1f} ms" in page
