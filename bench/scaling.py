"""How far the gateway grows, on paper: a fleet simulated from measured constants. docs/scaling.md holds the table that this prints.

    python -m bench.scaling --table                    the tables of docs/scaling.md, the same to the last digit (seeded)
    python -m bench.scaling --rate 500 --workers 6     one database with its workers: what is busy, what it adds, what gives out first
    python -m bench.scaling --measure                  the constants, on the machine at hand (bench/scaling_measure.py; minutes)

A discrete-event simulation in plain Python. A request arrives (Poisson), a balancer takes nodes in turn and the system one of a node's
workers; the worker's processor serves one piece of work after the other. Its ledger has one commit under way, which takes along whatever
waits (omni_connector/ledger.py); the row is opened in one commit, and settled in a later one. In the database a commit takes time on one of
its cores, then the rows of the hourly sums it adds to (store/rollups.py), in order, each held until the commit is flushed; one flush serves
all that wait for it. SQLite: each worker flushes its journal; what is over goes into the file later, one worker at a time. Of a stream,
each tenth chunk stands for ten.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Then = Callable[[], Any]
RESOURCES = ("workers", "database", "flushes", "sums")
"""Processors of the workers, those of the database, its flushes, and the most wanted row of its hourly sums."""


@dataclass(frozen=True)
class Costs:
    """Times of the processor in µs, as measured; `trip_ms` and `cores` are assumed (docs/scaling.md says which is which)."""

    request_us: float = 550  # of a worker, without the books
    chunk_us: float = 65  # one that comes alone; of those that come together, one costs a tenth
    commit_us: float = 2400  # of a worker, for each commit
    row_us: float = 45  # and for each row in it
    database_commit_us: float = 1200
    database_row_us: float = 100
    flush_ms: float = 1.5  # median
    flush_sigma: float = 0.9  # of its logarithm
    trip_ms: float = 0.5  # to the database and back
    trips_before: int = 6  # before a commit has the first of its sums
    trips_holding: int = 4  # while it holds them
    cores: int = 16  # of a database
    gather_ms: float = 2.0  # how long the ledger lets rows gather (group_commit_ms)
    land_us: float = 0  # of a worker, and of the file's one writer, for a request whose entries go over from its journal
    late_sums: bool = False  # what would be if a job added sums up later: nobody holds them
    postgresql: bool = True


SQLITE = Costs(commit_us=300, row_us=12, land_us=60, database_commit_us=0, database_row_us=0, trip_ms=0, gather_ms=1, postgresql=False)


@dataclass(frozen=True)
class Load:
    """Requests a second; which share of them streams, with how many chunks so far apart; how long the provider takes to begin (median).
    Both times are shorter than real ones, so that fewer requests are open; a chunk costs what one costs that comes alone."""

    rate: float
    streams: float = 0.5
    chunks: int = 100
    pace_ms: float = 5
    upstream_ms: float = 300
    sums: int = 200  # rows of the hourly sums (key, account, model, program) in use; the n-th as often as 1/n


@dataclass(frozen=True)
class Fleet:
    nodes: int = 1
    workers: int = 1  # of each node


@dataclass
class Found:
    arrived: int = 0
    answered: int = 0
    opened: int = 0
    settled: int = 0
    commits: int = 0
    added_ms: list[float] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)  # resource → share of the time it was in use

    def added(self, share: float) -> float:
        times = sorted(self.added_ms)
        return times[min(len(times) - 1, int(len(times) * share))]

    @property
    def first(self) -> str:
        """What gives out first when more is asked. Never the flushes: the busier the disk, the more share one."""
        return max(self.busy.keys() - {"flushes"}, key=lambda name: (self.busy[name], name))


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Then]] = []
        self._number = itertools.count()

    def after(self, seconds: float, then: Then) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._number), then))

    def run(self) -> None:
        while self._due:
            self.now, _, then = heapq.heappop(self._due)
            then()


class Station:
    """Servers with one queue, first come first served."""

    def __init__(self, clock: Clock, servers: int = 1) -> None:
        self._clock, self._free = clock, servers
        self._queue: deque[tuple[float, Then]] = deque()
        self.busy_s = 0.0

    def use(self, seconds: float, then: Then) -> None:
        if not self._free:
            self._queue.append((seconds, then))
            return
        self._free -= 1
        self.busy_s += seconds
        self._clock.after(seconds, lambda: self._done(then))

    def _done(self, then: Then) -> None:
        self._free += 1
        if self._queue:
            self.use(*self._queue.popleft())
        then()


class Lock:
    """A row that one transaction holds until it has ended."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._queue = clock, deque[Then]()
        self._since: float | None = None
        self.busy_s = 0.0

    def take(self, then: Then) -> None:
        if self._since is not None:
            self._queue.append(then)
            return
        self._since = self._clock.now
        then()

    def free(self) -> None:
        self.busy_s += self._clock.now - (self._since or 0.0)
        self._since = None
        if self._queue:
            self.take(self._queue.popleft())


class Disk:
    """One flush after the other; each serves all that waited when it began."""

    def __init__(self, clock: Clock, seconds: Callable[[], float]) -> None:
        self._clock, self._seconds = clock, seconds
        self._waiting: list[Then] = []
        self._busy = False
        self.busy_s = 0.0

    def flush(self, then: Then) -> None:
        self._waiting.append(then)
        if not self._busy:
            self._begin()

    def _begin(self) -> None:
        self._busy = True
        served, self._waiting = self._waiting, []
        took = self._seconds()
        self.busy_s += took
        self._clock.after(took, lambda: self._end(served))

    def _end(self, served: list[Then]) -> None:
        self._busy = False
        if self._waiting:
            self._begin()
        for then in served:
            then()


class Database:
    def __init__(self, clock: Clock, costs: Costs, rng: random.Random, sums: int) -> None:
        self._clock, self._costs = clock, costs
        self.cores = Station(clock, costs.cores)
        self.disk = Disk(clock, lambda: rng.lognormvariate(0, costs.flush_sigma) * costs.flush_ms / 1e3)
        self.sums = [Lock(clock) for _ in range(sums)]
        self.writer = Station(clock)

    def commit(self, rows: int, sums: Sequence[int], then: Then) -> None:
        costs = self._costs
        if costs.late_sums or not costs.postgresql:  # before a file there is a journal, which has no sums
            sums = ()
        work = (costs.database_commit_us + costs.database_row_us * rows) / 1e6
        self._clock.after(costs.trip_ms * costs.trips_before / 1e3, lambda: self.cores.use(work, lambda: self._lock(sums, 0, then)))

    def _lock(self, sums: Sequence[int], at: int, then: Then) -> None:
        if at < len(sums):
            self.sums[sums[at]].take(lambda: self._lock(sums, at + 1, then))
            return
        trips = self._costs.trip_ms * self._costs.trips_holding / 1e3 if sums else 0.0
        self._clock.after(trips, lambda: self.disk.flush(lambda: self._end(sums, then)))

    def land(self, requests: int) -> None:
        """From a journal into the file, which nobody waits for."""
        self.writer.use(requests * self._costs.land_us / 1e6, lambda: None)

    def wanted(self) -> float:
        """Seconds for which the most wanted row of the sums was held, or a file was written to."""
        return max(lock.busy_s for lock in self.sums) if self._costs.postgresql else self.writer.busy_s

    def _end(self, sums: Sequence[int], then: Then) -> None:
        for number in sums:
            self.sums[number].free()
        then()


class Worker:
    def __init__(self, clock: Clock, costs: Costs, database: Database, found: Found) -> None:
        self._clock, self._costs, self._database, self._found = clock, costs, database, found
        self.processor = Station(clock)
        self._waiting: list[tuple[int | None, Then]] = []
        self._writing = False

    def write(self, sum_row: int | None, then: Then) -> None:
        """A row to open (None), or to settle with the sum it belongs to."""
        self._waiting.append((sum_row, then))
        if not self._writing:
            self._begin()

    def _begin(self) -> None:
        self._writing = True
        self._clock.after(self._costs.gather_ms / 1e3 if len(self._waiting) > 1 else 0.0, self._commit)

    def _commit(self) -> None:
        rows, self._waiting = self._waiting, []
        self._found.commits += 1
        sums = sorted({number for number, _ in rows if number is not None})
        work = (self._costs.commit_us + self._costs.row_us * len(rows)) / 1e6
        self.processor.use(work, lambda: self._database.commit(len(rows), sums, lambda: self._durable(rows)))

    def _durable(self, rows: list[tuple[int | None, Then]]) -> None:
        self._writing = False
        if self._waiting:
            self._begin()
        over = sum(number is not None for number, _ in rows)
        if self._costs.land_us and over:
            self.processor.use(over * self._costs.land_us / 1e6, lambda: self._database.land(over))
        for number, then in rows:
            self._found.opened += number is None
            self._found.settled += number is not None
            then()


def simulate(load: Load, fleet: Fleet, costs: Costs, requests: int = 6000, seed: int = 1) -> Found:
    """`requests` requests over one database; the first quarter is not counted in `added_ms`. All of them are answered."""
    rng, clock, found, looks = random.Random(seed), Clock(), Found(), list[tuple[float, ...]]()
    database = Database(clock, costs, rng, load.sums)
    workers = [[Worker(clock, costs, database, found) for _ in range(fleet.workers)] for _ in range(fleet.nodes)]
    weights = list(itertools.accumulate(1 / (1 + number) for number in range(load.sums)))

    def some(us: float) -> float:
        return us * rng.uniform(0.5, 1.5) / 1e6

    def arrive() -> None:
        number, begun = found.arrived, clock.now
        found.arrived += 1
        if found.arrived < requests:
            clock.after(rng.expovariate(load.rate), arrive)
        if found.arrived in {requests // 4, requests}:
            looks.append((clock.now, *in_use()))
        worker = rng.choice(workers[number % fleet.nodes])
        sum_row = rng.choices(range(load.sums), cum_weights=weights)[0]
        chunks = load.chunks if rng.random() < load.streams else 0
        away = rng.lognormvariate(0, 0.5) * load.upstream_ms / 1e3

        def opened() -> None:
            clock.after(away, lambda: heard(chunks))

        def heard(left: int) -> None:
            if left <= 0:
                worker.processor.use(some(costs.request_us / 2), lambda: worker.write(sum_row, answered))
                return
            together = min(10, left)
            worker.processor.use(some(costs.chunk_us * together), lambda: None)
            clock.after(load.pace_ms * together / 1e3, lambda: heard(left - together))

        def answered() -> None:
            found.answered += 1
            if number >= requests // 4:
                found.added_ms.append((clock.now - begun - away - chunks * load.pace_ms / 1e3) * 1e3)

        worker.processor.use(some(costs.request_us / 2), lambda: worker.write(None, opened))

    def in_use() -> tuple[float, ...]:
        processors = sum(worker.processor.busy_s for node in workers for worker in node) / fleet.nodes / fleet.workers
        return processors, database.cores.busy_s / costs.cores, database.disk.busy_s, database.wanted()

    clock.after(0.0, arrive)
    clock.run()
    before, after = looks
    span = after[0] - before[0]
    shares = [(now - then) / span for then, now in zip(before[1:], after[1:], strict=True)]
    found.busy = dict(zip(RESOURCES, shares, strict=True))
    return found


if __name__ == "__main__":
    from bench.scaling_tables import main

    main()
