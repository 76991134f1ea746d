"""What a request costs here and in other gateways: the same loads in turn, on the same machine, in the same minutes.

    python -m bench.peers --rounds 1 --seconds 0.5                       ourselves, nginx as the floor, and going direct
    python -m bench.peers --make-environments ~/peers                    makes what is missing of the others (pip, npm), and measures all
    python -m bench.peers --environments ~/peers --markdown --write      the tables, and into docs/performance.md
    python -m bench.peers --only omni,litellm --loads whole,burst,pairs

Programs: direct, nginx, omni (Hypercorn), omni-uvicorn, omni-granian, tensorzero, portkey, claude-code-router, litellm; one that is not
there is left out, with a word why. Loads: whole, half, burst, paced20, paced200, open500, 200k, 2m; and of ourselves beside ourselves:
pairs (every pair of formats), commit, workers, workers-pg, accounts, pool, rows (--rows 10000000 for ten million).
One core is the servers', the others are the clients' and the upstream's. In each round every program gets every load, so a ratio is of
figures of the same minute; what is printed is the median of the rounds. CPU is user + system time of a program's processes, from the
kernel's accounting. Everything stays on loopback and stops by itself; Ctrl-C ends all that was started.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvloop

from bench import environments, own
from bench.environments import Absent
from bench.loads import LOADS, Figures, Mock, Turn
from bench.peer_programs import STARTS, Ground, Program, start
from bench.peer_tables import markdown, write
from bench.processes import memory_mb
from bench.shares import shared
from bench.wires import HOST

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
WARM_S, REST_S = 1.0, 2.0
OWN = ("pairs", "commit", "workers", "workers-pg", "accounts", "pool", "rows")
MEASURED = dict[str, dict[str, list[Figures]]]
"""Load → program → one set of figures for each round."""


@dataclass
class Comparison:
    given: argparse.Namespace
    ground: Ground
    running: list[Program] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    peers: MEASURED = field(default_factory=dict)
    beside: MEASURED = field(default_factory=dict)
    """The same of ourselves beside ourselves: comparison → "one" and "other"."""

    async def run(self) -> None:
        try:
            await self._programs()
            for number in range(self.given.rounds):
                await self._round(number)
        finally:
            self.end()
        for name, one in own.versus(self.given.rows).items():
            if name in self.given.loads:
                await self._versus(name, one)
        if "pairs" in self.given.loads:
            await self._pairs()

    def end(self) -> None:
        while self.running:
            self.running.pop().end()

    async def _programs(self) -> None:
        """Starts all, warms them up, and looks at their memory at rest."""
        loads = [name for name in self.given.loads if name in LOADS]
        for name in self.given.only if loads else ():
            try:
                program = await start(name, self.ground)
            except Absent as why:
                self._without(name, str(why))
                continue
            self.running.append(program)
            self.versions[name] = program.version
            say(f"{name} {program.version} is up")
        direct = next((program for program in self.running if program.name == "direct"), None)
        if direct is None:
            return
        await asyncio.sleep(REST_S)
        for program in list(self.running):
            self.peers.setdefault("idle", {})[program.name] = [{"memory_mb": memory_mb(program.pids)}] if program.pid else []
            try:
                for load in ("whole", "burst"):
                    await LOADS[load].drive(Turn(program, direct, min(WARM_S, self.given.seconds), {}))
            except (RuntimeError, OSError) as why:
                self._without(program.name, str(why))
                self.running.remove(program)
                program.end()

    def _without(self, name: str, why: str) -> None:
        self.absent[name] = " ".join(why.split())[:200]
        self.versions.pop(name, None)
        say(f"{name} is left out: {self.absent[name]}")

    def _told(self, number: int, load: str, name: str, figures: Figures) -> None:
        if not self.given.markdown:
            words = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
            say(f"round {number + 1}  {load:10} {name:24} {words}")

    async def _round(self, number: int) -> None:
        """Every load for every program; who begins changes from round to round."""
        turns = self.running[number % max(1, len(self.running)) :] + self.running[: number % max(1, len(self.running))]
        so_far: dict[str, dict[str, Figures]] = {}
        for load in (name for name in LOADS if name in self.given.loads):
            for program in turns:
                mine = so_far.setdefault(program.name, {})
                turn = Turn(program, next(one for one in turns if one.name == "direct"), self.given.seconds, mine)
                try:
                    mine[load] = await LOADS[load].drive(turn)
                except (RuntimeError, OSError, KeyError) as why:
                    say(f"round {number + 1}, {load}, {program.name}: {why!r:.300}")
                    continue
                self.peers.setdefault(load, {}).setdefault(program.name, []).append(mine[load])
                self._told(number, load, program.name, mine[load])

    async def _versus(self, name: str, one: own.Versus) -> None:
        title = f"{name}: {one.title}, {one.other} beside {one.one}"
        ground = replace(self.ground, cores=None) if one.share else self.ground
        connections = own.CONNECTIONS * (2 if one.share else 1)
        sides = self.beside.setdefault(title, {"one": [], "other": []})
        try:
            with clients_on(None if one.share else clients_cores()), contextlib.ExitStack() as around:
                programs = []
                for side in (one.one, one.other):
                    programs.append(await one.start(side, ground))
                    self.running.append(programs[-1])
                if one.share:
                    around.enter_context(shared([pid for program in programs for pid in own.workers_of(program)], one.share))
                for program in programs:
                    await own.turn(program, min(WARM_S, self.given.seconds), connections)
                for number in range(self.given.rounds):
                    for side, program in zip(sides, programs, strict=True):
                        sides[side].append(await own.turn(program, self.given.seconds, connections))
                        self._told(number, name, program.name, sides[side][-1])
        except RuntimeError as why:
            self._without(name, str(why))
        finally:
            self.end()

    async def _pairs(self) -> None:
        """Every pair of formats, beside the lane that the same client's requests pass through untouched."""
        program = await own.translator(self.ground)
        self.running.append(program)
        seconds = self.given.seconds / 2
        try:
            for number in range(self.given.rounds):
                for stream, what in ((False, "whole"), (True, "100 chunks")):
                    passing: dict[str, Figures] = {}
                    for client, upstream in sorted(own.PAIRS, key=lambda pair: (pair[0], pair[0] != pair[1])):
                        figures = await own.translated(program, client, upstream, stream, seconds)
                        passing.setdefault(client, figures)  # its own format comes first
                        sides = self.beside.setdefault(f"{client} → {upstream}, {what}", {"one": [], "other": []})
                        sides["one"].append(passing[client])
                        sides["other"].append(figures)
                        self._told(number, what, f"{client} → {upstream}", figures)
        finally:
            self.end()


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


# ---------------------------------------------------------------- The machine


def clients_cores() -> set[int] | None:
    """All cores but the servers'; None on a machine with one."""
    cores = sorted(os.sched_getaffinity(0) | _ALL)
    return set(cores[:-1]) or None


_ALL = os.sched_getaffinity(0)


class clients_on:  # noqa: N801
    """Where this process runs meanwhile."""

    def __init__(self, cores: set[int] | None) -> None:
        self.cores = cores or _ALL

    def __enter__(self) -> None:
        self.before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores)

    def __exit__(self, *_: object) -> None:
        os.sched_setaffinity(0, self.before)


def note(given: argparse.Namespace) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(_ALL)} cores, {memory:.0f} GB, {platform.system()} {platform.machine()}, Python {platform.python_version()}; median of "
        f"{given.rounds} rounds of {given.seconds:g} s for each load and program; one core is the servers'; load of the machine when it "
        f"began {given.load:.1f}. Streams are 100 chunks; paced ones have 10 ms between two.\n"
    )


# ---------------------------------------------------------------- Command


async def measure(given: argparse.Namespace) -> Comparison:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    loop.add_signal_handler(signal.SIGTERM, me.cancel)  # as Ctrl-C: what was started is ended
    upstream = await loop.create_server(Mock, HOST, 0, backlog=2048)
    folder = given.make_environments or given.environments
    if given.make_environments:
        for name in (name for name in environments.PACKAGES if name in given.only):
            say(f"making {name}, where it is missing")
            try:
                await asyncio.to_thread(environments.make, given.make_environments, name)
            except Absent as why:
                say(f"{name}: {why}")
    with tempfile.TemporaryDirectory(prefix="omni-peers-") as home, clients_on(clients_cores()):
        cores = {max(_ALL)} if len(_ALL) > 1 else None
        comparison = Comparison(given, Ground(upstream.sockets[0].getsockname()[1], Path(home), folder, cores))
        try:
            await comparison.run()
        except asyncio.CancelledError:
            me.uncancel()  # what was measured until then is told
            comparison.stopped = True
    upstream.close()
    return comparison


def names(text: str, known: Sequence[str]) -> list[str]:
    """In the order of `known`. Raises ArgumentTypeError for one that is not known."""
    asked = [name.strip() for name in text.split(",")]
    if wrong := [name for name in asked if name not in known]:
        raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: not one of {', '.join(known)}")
    return [name for name in known if name in asked]


def main() -> int:
    loads = (*LOADS, *OWN)
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=lambda text: names(text, tuple(STARTS)), default=list(STARTS), metavar="NAME,…")
    parser.add_argument("--loads", type=lambda text: names(text, loads), default=list(loads), metavar="NAME,…")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load, for each program, in each round (default 2)")
    parser.add_argument("--rows", type=int, default=1_000_000, help="in the full log (default a million)")
    parser.add_argument("--environments", type=Path, metavar="DIR", help="where the environments of the others are")
    parser.add_argument("--make-environments", type=Path, metavar="DIR", help="the same, and makes those that are missing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes every figure of every round")
    parser.add_argument("--markdown", action="store_true", help="prints the tables alone, without what is told meanwhile")
    parser.add_argument("--write", type=Path, nargs="?", const=PAGE, metavar="FILE", help="puts the tables into docs/performance.md")
    given = parser.parse_args()
    given.load = os.getloadavg()[0]
    for name in ("direct", "whole"):  # what latency is compared with, and what half a load is half of
        chosen = given.only if name == "direct" else given.loads
        if name not in chosen and ("half" in given.loads or name == "direct"):
            chosen.insert(0, name)
    found = uvloop.run(measure(given))
    text = markdown(found.peers, found.beside, found.versions, found.absent, note(given))
    if given.json:
        told_all = {"versions": found.versions, "absent": found.absent, "peers": found.peers, "own": found.beside, "note": note(given)}
        given.json.write_text(json.dumps(told_all, indent=1))
    print(text)
    if found.stopped:
        say("stopped; all that was started has ended")
        return 130
    if given.write:
        write(given.write, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
