"""What a request costs on its way through: CPU and added latency beside going direct, and beside LiteLLM's proxy.

Quick, for one change at a time; `python -m bench.peers` compares with more programs, over more loads and rounds.

    python -m bench.overhead                                 omni-connector alone, beside direct
    python -m bench.overhead --litellm /path/to/venv         and LiteLLM from that virtual environment, on the same load

Load: POST of a 2 KB body, answered by a fixed 600-byte chat completion (whole) or by 100 chunks at once (stream), many at once
and then one at a time. CPU is user + system time of the server's processes per request, from the kernel's accounting. Read the figures as
ratios: they are made on the same machine, in the same minute. Everything stays on loopback and stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

import uvloop

from bench.loads import Figures, Mock, at_once
from bench.peer_programs import Ground, Program, litellm, ours
from bench.processes import memory_mb
from bench.wires import HOST

KINDS = (("whole", False), ("stream", True))


async def measured(program: Program, given: argparse.Namespace) -> dict[str, Figures]:
    """Many at once and one at a time, of each kind."""
    found: dict[str, Figures] = {}
    for connections, words in ((given.connections, ""), (1, ", alone")):
        for kind, stream in KINDS:
            data, mark = program.request(2_000, stream), program.mark(stream)
            found[kind + words] = await at_once(program, data, mark, given.seconds, connections)
    return found


async def measure(given: argparse.Namespace) -> dict[str, dict[str, Figures]]:
    upstream = await asyncio.get_running_loop().create_server(Mock, HOST, 0)
    running: list[Program] = []
    with tempfile.TemporaryDirectory() as home:
        ground = Ground(upstream.sockets[0].getsockname()[1], Path(home), None, {max(os.sched_getaffinity(0))})
        results = {}
        try:
            running.append(Program("direct", 0, ground.upstream))
            running.append(await ours("omni-connector", ground))
            if given.litellm:
                running.append(await litellm(given.litellm / "bin" / "litellm", ground))
            await asyncio.sleep(given.settle)
            for program in running:
                idle = memory_mb(program.pids)
                results[program.name] = await measured(program, given) | {"idle": {"memory_mb": idle}}
        finally:
            for program in running:
                program.end()
    upstream.close()
    return results


def show(results: dict[str, dict[str, Figures]]) -> None:
    print(f"{'':16}{'':16}{'CPU µs':>10}{'p50 ms':>10}{'p99 ms':>10}{'req/s':>10}")
    for name, kinds in results.items():
        for kind, f in kinds.items():
            if kind != "idle":
                print(f"{name:16}{kind:16}{f.get('cpu_us', 0):>10.0f}{f['p50_ms']:>10.2f}{f['p99_ms']:>10.2f}{f['per_s']:>10.0f}")
        print(f"{name:16}{'idle memory':16}{kinds['idle']['memory_mb']:>10.0f} MB")
    if "litellm" in results:
        for kind, _ in KINDS:
            ratio = results["litellm"][kind]["cpu_us"] / results["omni-connector"][kind]["cpu_us"]
            print(f"LiteLLM uses {ratio:.1f} times the CPU of omni-connector per {kind} request.")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="of each kind (default 4)")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds of rest before measuring")
    parser.add_argument("--litellm", type=Path, help="a virtual environment that has LiteLLM's proxy")
    show(uvloop.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
