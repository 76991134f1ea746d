"""What translation costs, for each pair of formats, beside the pass-through lane. No network, no disk.

    python bench/codecs.py                          all pairs
    python bench/codecs.py --quick                  fewer rounds: some 20 seconds
    python bench/codecs.py --pair anthropic:gemini  one pair, client's format first (chat, responses, anthropic, gemini)
    python bench/codecs.py --json                   the figures for a program
    python bench/codecs.py --memory                 200 MB of stream through every lane: does it stay flat? (minutes)

CPU time of this process, the best of several rounds, so read it as the cost on a quiet machine. Of a request: what happens
between the body's bytes and those for the upstream. Of a stream: one feed for each network chunk, first to last, divided by
the number of deltas. A figure above the aim is marked with "!".
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

# The checkout need not be installed, and a file named codecs.py must not stand in the standard library's way.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench import codec_answers as answers  # noqa: E402
from bench import codec_requests as requests  # noqa: E402
from omni_connector.lanes import PassThrough, Translated  # noqa: E402
from omni_connector.wire import FORMATS, call_marks, media_urls, parse_request, passing, views  # noqa: E402

REQUEST_AIM = 50.0
"""Milliseconds of CPU that a conversation of 2 MB may cost."""
CHUNK_AIM = 40.0
"""Microseconds of CPU that a delta may cost."""
MEMORY_AIM = 20.0
"""MB by which memory may grow while a stream passes."""
MODEL = "bench-model"


@dataclass(frozen=True, slots=True)
class Rounds:
    large: int
    small: int
    streams: int


FULL, QUICK = Rounds(9, 300, 9), Rounds(3, 60, 3)


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds for the large requests, microseconds for all others. `pass_…`: the pass-through lane with the same bytes."""

    client: str
    upstream: str
    large_ms: float
    pass_large_ms: float
    dense_ms: float
    pass_dense_ms: float
    small_us: float
    pass_small_us: float
    text_100_us: float
    pass_text_100_us: float
    text_us: float
    pass_text_us: float
    thought_us: float
    pass_thought_us: float
    call_us: float
    pass_call_us: float
    whole_us: float
    pass_whole_us: float


def best(rounds: int, work: Callable[[], object]) -> float:
    """Seconds of CPU, the least of several rounds."""
    work()
    gc.collect()
    least = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    return least


# ---------------------------------------------------------------- What is measured


def _asked(client: str) -> tuple[str, bool | None]:
    """Model and streaming as the URL says them, where the format puts them there."""
    return (MODEL, True) if client == requests.GEMINI else ("", None)


def translate(client: str, upstream: str, body: bytes) -> bytes:
    """A request on its way to an upstream of another format, as the relay prepares it."""
    model, stream = _asked(client)
    view = views.look(client, body, model, stream)
    request = parse_request(client, views.decode(body), view.model, view.stream)
    target = requests.target(upstream)
    call_marks.wanted(request)
    media_urls.urls_needed(request, upstream, target.features)
    return views.encode(FORMATS[upstream].render_request(request, target.origin.model, target).body)


def pass_on(client: str, body: bytes) -> bytes:
    """A request on its way to an upstream of the same format that knows the model by another name."""
    model, stream = _asked(client)
    views.look(client, body, model, stream)
    return passing.request_body(client, body, model="served-model", ask_usage=False)


def lanes(client: str, upstream: str) -> tuple[Callable[[], Translated], Callable[[], PassThrough]]:
    """Makers of both lanes, for answers to an agent's request. The pass-through lane gives the requested name back."""
    body = requests.conversation(requests.Size(requests.LARGE.system, requests.LARGE.tools, 0), client, upstream)
    request = parse_request(client, views.decode(body), MODEL, True)
    origin = requests.target(upstream).origin
    return lambda: Translated(upstream, client, MODEL, request, origin), lambda: PassThrough(upstream, model=MODEL, hide_usage=False)


def run(lane: Translated | PassThrough, chunks: list[bytes]) -> bytes:
    out = b"".join([*map(lane.feed, chunks), lane.close()])
    if not lane.complete or lane.error is not None:
        raise SystemExit(f"the stream did not come through: {lane.error or out[-300:]!r}")
    return out


def measure(client: str, upstream: str, rounds: Rounds) -> Figures:
    figures: dict[str, float] = {}
    large, dense, small = (requests.conversation(size, client, upstream) for size in (requests.LARGE, requests.DENSE, requests.SMALL))
    figures["large_ms"] = best(rounds.large, lambda: translate(client, upstream, large)) * 1e3
    figures["pass_large_ms"] = best(rounds.large, lambda: pass_on(client, large)) * 1e3
    figures["dense_ms"] = best(rounds.large, lambda: translate(client, upstream, dense)) * 1e3
    figures["pass_dense_ms"] = best(rounds.large, lambda: pass_on(client, dense)) * 1e3
    figures["small_us"] = best(rounds.small, lambda: translate(client, upstream, small)) * 1e6
    figures["pass_small_us"] = best(rounds.small, lambda: pass_on(client, small)) * 1e6
    translated, passed = lanes(client, upstream)
    for kind, count, name in (("text", 100, "text_100"), ("text", 1000, "text"), ("thought", 1000, "thought"), ("call", 1000, "call")):
        chunks = answers.stream(upstream, kind, count).chunks
        times = rounds.streams * (1000 // count)
        figures[f"{name}_us"] = best(times, lambda chunks=chunks: run(translated(), chunks)) / count * 1e6  # type: ignore[misc]
        figures[f"pass_{name}_us"] = best(times, lambda chunks=chunks: run(passed(), chunks)) / count * 1e6  # type: ignore[misc]
    answer = answers.whole(upstream)
    figures["whole_us"] = best(rounds.small, lambda: translated().whole(answer)) * 1e6
    figures["pass_whole_us"] = best(rounds.small, lambda: passed().whole(answer)) * 1e6
    return Figures(requests.SHORT[client], requests.SHORT[upstream], **figures)


# ---------------------------------------------------------------- Memory


def memory_mb() -> float:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def grown(client: str, upstream: str, megabytes: int, kind: str) -> tuple[float, float]:
    """MB by which memory grew at most while the deltas of a stream of that size passed, and at its end."""
    translated, passed = lanes(client, upstream)
    lane = passed() if client == upstream else translated()
    stream = answers.stream(upstream, kind, 2000)
    piece = b"".join(stream.deltas)
    size = 64 * 1024
    pieces = [piece[at : at + size] for at in range(0, len(piece), size)]
    for chunk in (*stream.head, *pieces):
        lane.feed(chunk)
    gc.collect()
    before = most = memory_mb()
    for _ in range(megabytes * 2**20 // len(piece)):
        for chunk in pieces:
            lane.feed(chunk)
        most = max(most, memory_mb())
    for chunk in stream.tail:
        lane.feed(chunk)
    lane.close()
    return most - before, max(most, memory_mb()) - before


def show_memory(pairs: list[tuple[str, str]], megabytes: int) -> None:
    print(f"{'MB grown by ' + str(megabytes) + ' MB of':28}{'text':>8}{'at its end':>12}{'thoughts':>10}{'at their end':>14}")
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for client, upstream in pairs:
            told = [pool.apply(grown, (client, upstream, megabytes, kind)) for kind in ("text", "thought")]
            name = f"{requests.SHORT[upstream]} → {requests.SHORT[client]}" + (" (passed)" if client == upstream else "")
            (text, text_end), (thought, thought_end) = told
            print(
                f"{name:28}{marked(text, MEMORY_AIM):>8}{text_end:>12.1f}{marked(thought, MEMORY_AIM):>10}{thought_end:>14.1f}", flush=True
            )


# ---------------------------------------------------------------- Telling it


def marked(value: float, aim: float, digits: int = 1) -> str:
    return f"{value:.{digits}f}{'!' if value > aim else ' '}"


HEAD = (
    "client",
    "upstream",
    "2 MB ms",
    "×",
    "dense ms",
    "×",
    "2 kB µs",
    "×",
    "text/100",
    "text",
    "×",
    "thought",
    "×",
    "call",
    "×",
    "whole µs",
    "×",
)
WIDTHS = (11, 11, 9, 6, 10, 6, 9, 6, 10, 8, 6, 9, 6, 8, 6, 10, 6)


def show_head() -> None:
    print("".join(f"{word:>{width}}" if n > 1 else f"{word:{width}}" for n, (word, width) in enumerate(zip(HEAD, WIDTHS, strict=True))))


def show(f: Figures) -> None:
    """One line: each figure, and how many times the pass-through lane's it is."""
    cells = (
        f.client,
        f.upstream,
        marked(f.large_ms, REQUEST_AIM),
        f"{f.large_ms / f.pass_large_ms:.1f}",
        marked(f.dense_ms, REQUEST_AIM),
        f"{f.dense_ms / f.pass_dense_ms:.1f}",
        f"{f.small_us:.0f}",
        f"{f.small_us / f.pass_small_us:.1f}",
        marked(f.text_100_us, CHUNK_AIM),
        marked(f.text_us, CHUNK_AIM),
        f"{f.text_us / f.pass_text_us:.1f}",
        marked(f.thought_us, CHUNK_AIM),
        f"{f.thought_us / f.pass_thought_us:.1f}",
        marked(f.call_us, CHUNK_AIM),
        f"{f.call_us / f.pass_call_us:.1f}",
        f"{f.whole_us:.0f}",
        f"{f.whole_us / f.pass_whole_us:.1f}",
    )
    print(
        "".join(f"{word:>{width}}" if n > 1 else f"{word:{width}}" for n, (word, width) in enumerate(zip(cells, WIDTHS, strict=True))),
        flush=True,
    )


def pairs_of(wanted: str | None) -> list[tuple[str, str]]:
    full = {short: wire for wire, short in requests.SHORT.items()}
    if wanted is None:
        return [(client, upstream) for client in requests.WIRES for upstream in requests.WIRES]
    client, _, upstream = wanted.partition(":")
    if client not in full or upstream not in full:
        raise SystemExit(f"--pair takes CLIENT:UPSTREAM of {', '.join(full)}")
    return [(full[client], full[upstream])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--pair", help="only this one, as CLIENT:UPSTREAM")
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the stream for --memory")
    args = parser.parse_args()
    pairs = pairs_of(args.pair)
    if args.memory:
        show_memory(pairs, args.megabytes)
        return
    figures: list[dict[str, Any]] = []
    if not args.json:
        print("Requests: whole body. Streams: µs a delta. ×: how many times the pass-through lane.")
        show_head()
    for client, upstream in pairs:
        told = measure(client, upstream, QUICK if args.quick else FULL)
        figures.append(asdict(told))
        if not args.json:
            show(told)
    if args.json:
        print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
