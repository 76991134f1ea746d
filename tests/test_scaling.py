"""The simulation behind docs/scaling.md: it loses nothing, repeats itself, knows what queueing theory knows, and the page shows what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from math import factorial
from pathlib import Path

import pytest

from bench.scaling import SQLITE, Costs, Fleet, Load, queue, simulate
from bench.scaling_tables import tables, worker_us

PAGE = Path(__file__).resolve().parent.parent / "docs" / "scaling.md"
SMALL = Load(200, upstream_ms=50)


def erlang(rate: float, seconds: float, servers: int) -> float:
    """Mean wait of M/M/c: Erlang's C formula."""
    asked = rate * seconds
    full = asked**servers / factorial(servers) * servers / (servers - asked)
    return full / (sum(asked**n / factorial(n) for n in range(servers)) + full) / (servers / seconds - rate)


@pytest.mark.parametrize("costs", [Costs(), SQLITE, replace(Costs(), late_sums=True)])
def test_every_request_is_answered_and_has_its_two_entries(costs: Costs) -> None:
    found = simulate(SMALL, Fleet(2, 2), costs, 1000)
    assert (found.arrived, found.answered, found.opened, found.settled) == (1000, 1000, 1000, 1000)
    assert 0 < found.commits <= 2000 and len(found.added_ms) == 800 and min(found.added_ms) > 0


def test_a_seed_says_it_all() -> None:
    first, again, other = (simulate(SMALL, Fleet(1, 3), Costs(), 800, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.added_ms != other.added_ms


@pytest.mark.parametrize("rate, servers", [(5.0, 1), (16.0, 2), (80.0, 10)])
def test_a_plain_queue_waits_as_erlang_says(rate: float, servers: int) -> None:
    waits = [queue(rate, 0.1, servers, 30_000, seed) for seed in (1, 2, 3)]
    assert sum(waits) / 3 == pytest.approx(erlang(rate, 0.1, servers), rel=0.12)


def test_a_worker_alone_is_as_busy_as_its_work_and_waits_as_theory_says() -> None:
    """Without books: M/G/1, whose mean wait Pollaczek and Khinchine know. A request is two pieces of work, each uniform on half to one and a half."""
    free = replace(Costs(), commit_us=0, row_us=0, database_commit_us=0, database_row_us=0, trip_ms=0, flush_ms=0, gather_ms=0, request_us=10_000)
    found = simulate(Load(60, streams=0, upstream_ms=400), Fleet(), free, 20_000)
    assert found.busy["workers"] == pytest.approx(0.6, rel=0.05)
    piece, pieces = 0.005, 120
    wait = pieces * piece**2 * (1 + 1 / 12) / 2 / (1 - pieces * piece)
    assert sum(found.added_ms) / len(found.added_ms) / 1e3 == pytest.approx(2 * (wait + piece), rel=0.1)


def test_a_sum_that_all_add_to_gives_out_first() -> None:
    spread, one = (simulate(Load(500, streams=0, sums=sums, upstream_ms=50), Fleet(1, 8), Costs(), 2500) for sums in (500, 1))
    late = simulate(Load(500, streams=0, sums=1, upstream_ms=50), Fleet(1, 8), replace(Costs(), late_sums=True), 2500)
    assert one.first == "sums" and one.busy["sums"] > spread.busy["sums"] > late.busy["sums"] == 0
    assert one.added(0.5) > spread.added(0.5) >= late.added(0.5) * 0.9


@pytest.mark.slow
def test_the_page_shows_what_the_command_prints() -> None:
    page = PAGE.read_text("utf-8")
    assert tables() in page
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", page, re.M))
    assert told, "the page has no table of constants"
    costs = Costs()
    assert {name: float(value) for name, value in told.items()} == {name: float(getattr(costs, name)) for name in told}
    assert set(told) == set(vars(costs)) - {"late_sums", "postgresql"}
    assert f"{worker_us(Load(1), costs) / 1e3:.1f} ms" in page
