"""From the figures of a comparison to its tables: medians, ratios of what was measured in the same round, goals, Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Rounds = Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]
"""Load → program → one set of figures for each round."""

BEGIN = "<!-- Written by `python -m bench.peers --write`; do not edit by hand. -->"
END = "<!-- End of the generated section. -->"
OURS = "omni"
FAST = ("omni-uvicorn", "omni-granian")
"""The servers of the extra `fast`; the first that was measured stands for them."""


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of a load. `places`: digits after the point."""

    title: str
    load: str
    figure: str
    places: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: tuple[Column, ...]


TABLES: tuple[Table, ...] = (
    Table(
        "CPU in µs, of a request or of a stream of 100 chunks",
        (
            Column("2 KB whole", "whole", "cpu_us"),
            Column("burst of 100", "burst", "cpu_us"),
            Column("paced × 20", "paced20", "cpu_us"),
            Column("paced × 200", "paced200", "cpu_us"),
            Column("200 KB", "200k", "cpu_us"),
            Column("2 MB", "2m", "cpu_us"),
        ),
    ),
    Table(
        "Time and memory",
        (
            Column("requests/s", "whole", "per_s"),
            Column("one core could, by CPU", "whole", "core_per_s"),
            Column("added at half load, p50 ms", "half", "added_p50_ms", 2),
            Column("p99 ms", "half", "added_p99_ms", 2),
            Column("first chunk after, ms", "paced20", "first_ms", 2),
            Column("200 streams: chunk late p99, ms", "paced200", "late_ms", 1),
            Column("streams/s", "paced200", "per_s"),
            Column("memory idle, MB", "idle", "memory_mb"),
            Column("with 200 streams", "paced200", "memory_mb"),
            Column("with 500 open", "open500", "memory_mb"),
        ),
    ),
)
RATIOS: tuple[tuple[str, str, str], ...] = (
    ("2 KB whole", "whole", "cpu_us"),
    ("burst of 100", "burst", "cpu_us"),
    ("a chunk of a burst", "burst", "chunk_us"),
    ("paced × 200", "paced200", "cpu_us"),
    ("200 KB", "200k", "cpu_us"),
    ("2 MB", "2m", "cpu_us"),
)
SIDES, ARROW, NONE = ("one", "other"), " → ", "–"
BESIDE = (("CPU", "cpu_us"), ("requests/s", "per_s"), ("p50", "p50_ms"), ("p99", "p99_ms"))


@dataclass(frozen=True, slots=True)
class Goal:
    """`against`: the program whose figure is one; None: the figure itself counts. `least`: it is to be that at least, otherwise at most."""

    title: str
    load: str
    figure: str
    against: str | None
    default: float
    fast: float
    least: bool = False


GOALS: tuple[Goal, ...] = (
    Goal("CPU, 2 KB whole, of LiteLLM's", "whole", "cpu_us", "litellm", 1 / 30, 1 / 60),
    Goal("CPU, 2 KB whole, of Portkey's", "whole", "cpu_us", "portkey", 0.26, 0.13),
    Goal("CPU, 2 KB whole, of TensorZero's", "whole", "cpu_us", "tensorzero", 1.4, 0.7),
    Goal("CPU, burst of 100, of LiteLLM's", "burst", "cpu_us", "litellm", 1 / 110, 1 / 160),
    Goal("CPU, burst of 100, of Portkey's", "burst", "cpu_us", "portkey", 0.27, 0.19),
    Goal("CPU, burst of 100, of TensorZero's", "burst", "cpu_us", "tensorzero", 0.42, 0.3),
    Goal("200 paced streams, chunk late p99, ms", "paced200", "late_ms", None, 10, 5),
    Goal("500 streams open, memory, MB", "open500", "memory_mb", None, 200, 200),
    Goal("added at half load, p50, ms", "half", "added_p50_ms", None, 1.5, 1),
    Goal("added at half load, p99, ms", "half", "added_p99_ms", None, 6, 4),
)
"""Of one program beside the others. Those of ourselves beside ourselves are in OWN_GOALS."""
OWN_GOALS: tuple[Goal, ...] = (
    Goal("chat → Anthropic, 100 chunks, of the pass-through lane's CPU", "chat → anthropic, 100 chunks", "cpu_us", "one", 3, 3),
    Goal("2 workers, of one's requests/s", "workers", "per_s", "one", 1.7, 1.7, least=True),
    Goal("1000 accounts of which 10 have the model, of 10's CPU", "accounts", "cpu_us", "one", 1.1, 1.1),
    Goal("1000 accounts that all have the model, of 10's CPU", "pool", "cpu_us", "one", 1.1, 1.1),
    Goal("a full log, of an empty one's CPU", "rows", "cpu_us", "one", 1.1, 1.1),
)


# ---------------------------------------------------------------- Figures


def derived(figures: Mapping[str, float]) -> dict[str, float]:
    """With what follows from them: requests/s that one core could do by its CPU, and the CPU of a chunk."""
    told = dict(figures)
    if cpu := told.get("cpu_us"):
        told |= {"core_per_s": 1e6 / cpu, "chunk_us": cpu / 100}
    return told


def middle(rounds: Rounds, load: str, program: str, figure: str) -> float | None:
    """Median over the rounds; None when it was not measured."""
    values = [told[figure] for one in rounds.get(load, {}).get(program, ()) if figure in (told := derived(one))]
    return median(values) if values else None


def ratio(rounds: Rounds, load: str, figure: str, ours: str, other: str) -> float | None:
    """Median of the ratios of each round, ours by the other's: what disturbs a round disturbs both."""
    programs = rounds.get(load, {})
    pairs = zip(programs.get(ours, ()), programs.get(other, ()), strict=False)
    values = [a[figure] / b[figure] for a, b in ((derived(a), derived(b)) for a, b in pairs) if figure in a and b.get(figure)]
    return median(values) if values else None


def reached(goal: Goal, value: float, fast: bool) -> bool:
    limit = goal.fast if fast else goal.default
    return value >= limit if goal.least else value <= limit


def fastest(programs: Sequence[str]) -> str | None:
    return next((name for name in FAST if name in programs), None)


# ---------------------------------------------------------------- Markdown


def number(value: float | None, places: int = 0) -> str:
    """As people write it; small ratios as a part of one."""
    if value is None:
        return NONE
    return f"{value:,.{places}f}".replace(",", " ") if places or abs(value) >= 10 or value == 0 else f"{value:.3g}"


def part(value: float | None) -> str:
    """A ratio: 0.42, 3.1, or 1/63 where it is small."""
    if value is None:
        return NONE
    return f"1/{1 / value:.0f}" if 0 < value < 0.05 else f"{value:.2f}"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *map(list, lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows) + "\n"


def markdown(rounds: Rounds, own: Rounds, versions: Mapping[str, str], absent: Mapping[str, str], note: str) -> str:
    """All tables. `own`: comparison → "one" and "other"; `note`: how it was measured."""
    names = list(versions)
    parts = [note]
    for one in TABLES:
        columns = [c for c in one.columns if any(middle(rounds, c.load, name, c.figure) is not None for name in names)]
        lines = [
            [f"{name} {versions[name]}".strip(), *(number(middle(rounds, c.load, name, c.figure), c.places) for c in columns)]
            for name in names
        ]
        if columns:
            parts += [f"### {one.title}", table(["", *(column.title for column in columns)], lines)]
    others = [name for name in names if name != "direct" and not name.startswith(OURS)]
    if others:
        lines = [
            [f"{mine}, {title}", *(part(ratio(rounds, load, figure, mine, other)) for other in others)]
            for mine in names
            if mine.startswith(OURS)
            for title, load, figure in RATIOS
        ]
        parts += ["### Our CPU as a part of theirs", table(["", *others], [line for line in lines if {*line[1:]} != {NONE}])]
    if versus := [name for name in own if ARROW not in name]:
        lines = [[name, *(number(middle(own, name, side, "cpu_us")) for side in SIDES), *_beside(own, name, BESIDE)] for name in versus]
        head = ["second beside first", "first, CPU µs", "second, CPU µs", *(f"{title} ×" for title, _ in BESIDE)]
        parts += ["### Ourselves beside ourselves", table(head, lines)]
    if translated := list(dict.fromkeys(name.partition(",")[0] for name in own if ARROW in name)):
        lines = [[pair, *_translated(own, f"{pair}, whole"), *_translated(own, f"{pair}, 100 chunks")] for pair in translated]
        head = ["client → upstream", "whole, CPU µs", "× passed through", "100 chunks, CPU µs", "× passed through"]
        parts += ["### Every pair of formats", table(head, lines)]
    parts += ["### Goals", goals(rounds, own, names)]
    if absent:
        parts.append("Not measured: " + "; ".join(f"{name} ({why})" for name, why in absent.items()) + ".\n")
    return "\n\n".join(one.strip() for one in parts) + "\n"


def _beside(own: Rounds, name: str, figures: Sequence[tuple[str, str]]) -> list[str]:
    return [part(ratio(own, name, figure, "other", "one")) for _, figure in figures]


def _translated(own: Rounds, name: str) -> list[str]:
    """The CPU of a pair, and how much that is of the lane in which the same client's requests pass through."""
    return [number(middle(own, name, "other", "cpu_us")), part(ratio(own, name, "cpu_us", "other", "one"))]


def goals(rounds: Rounds, own: Rounds, names: Sequence[str]) -> str:
    """Goal, measured, reached: with the default server and with a fast one."""
    fast, lines = fastest(names), []
    for goal in GOALS:
        cells = [goal.title]
        for name, limit in ((OURS, goal.default), (fast, goal.fast)):
            value = _value(rounds, goal, name) if name else None
            cells += _cells(goal, value, limit, name == fast)
        lines.append(cells)
    for goal in OWN_GOALS:
        load = next((name for name in own if name.startswith(goal.load)), "")
        value = ratio(own, load, goal.figure, "other", "one")
        lines.append([goal.title, *_cells(goal, value, goal.default, False), "", "", ""])
    return table(["", "goal", "default", "", "goal", fast or "fast", ""], lines)


def _value(rounds: Rounds, goal: Goal, name: str) -> float | None:
    if goal.against is None:
        return middle(rounds, goal.load, name, goal.figure)
    return ratio(rounds, goal.load, goal.figure, name, goal.against)


def _cells(goal: Goal, value: float | None, limit: float, fast: bool) -> list[str]:
    said = f"{'≥' if goal.least else '≤'} {part(limit)}"
    if value is None:
        return [said, NONE, ""]
    return [said, part(value), "yes" if reached(goal, value, fast) else "no"]


def write(page: Path, text: str) -> None:
    """Puts it between the marks of the page. Raises ValueError when it has none."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no generated section: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")
