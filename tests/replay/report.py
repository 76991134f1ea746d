"""Results as text: the table on the terminal, results.tsv beside this file, and the section of docs/wire-formats.md."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.replay.exceptions import WHY
from tests.replay.run import NONE, OTHER, WRONG, Result
from tests.replay.told import CHAT, FORMATS, GEMINI, MESSAGES, RESPONSES

HERE = Path(__file__).parent
RESULTS = HERE / "results.tsv"
PAGE = HERE.parents[1] / "docs" / "wire-formats.md"
COLUMNS = (*FORMATS, OTHER)
TITLES = {CHAT: "Chat", RESPONSES: "Responses", MESSAGES: "Messages", GEMINI: "Gemini", OTHER: "Its own"}
GOOD = ("bytes", "equal", "error", "read")
_BEGIN = "<!-- Written by `python -m tests.replay --write` from tests/replay/results.tsv; do not edit by hand. -->\n"
_END = "<!-- End of the generated section. -->\n"


def to_tsv(results: Iterable[Result]) -> str:
    lines = ["\t".join(("exchange", *COLUMNS, "not replayed because"))]
    lines += ["\t".join((one.exchange, *(one.cells.get(column, NONE) for column in COLUMNS), one.why_not)) for one in results]
    return "\n".join(lines) + "\n"


def from_tsv(text: str) -> list[Result]:
    results = []
    for line in text.splitlines()[1:]:
        exchange, *cells, why_not = line.split("\t")
        kept = {column: cell for column, cell in zip(COLUMNS, cells, strict=True) if cell != NONE}
        results.append(Result(exchange, kept, why_not=why_not))
    return results


# ---------------------------------------------------------------- Figures


def counted(results: Sequence[Result]) -> Counter[str]:
    """How often each word stands in a cell; a cell with several exceptions counts for each of them."""
    return Counter(word for one in results for cell in one.cells.values() for word in cell.split(", "))


def summary(results: Sequence[Result]) -> list[str]:
    cells = [cell for one in results for cell in one.cells.values()]
    words = counted(results)
    good, wrong = sum(cell in GOOD for cell in cells), words[WRONG]
    rest = len(cells) - good - wrong
    replayed = sum(bool(one.cells) for one in results)
    lines = [
        f"{len(results)} exchanges, {replayed} replayed in {len(cells)} checks: {good} without any difference ({_share(good, cells)}), "
        f"{rest} with a named exception ({_share(rest, cells)}), {wrong} failed ({_share(wrong, cells)}).",
        f"Same bytes {words['bytes']}, equal when folded {words['equal']}, errors {words['error']}, lists read {words['read']}.",
    ]
    lines += [f"Exception {name}: {words[name]}." for name in WHY if words[name]]
    return lines


def _share(count: int, cells: Sequence[str]) -> str:
    return f"{100 * count / max(1, len(cells)):.1f} %"


# ---------------------------------------------------------------- The terminal


def terminal(results: Sequence[Result]) -> str:
    width = min(60, max((len(one.exchange) for one in results), default=0))
    lines = [" ".join([f"{'exchange':{width}}", *(f"{TITLES[column]:10}" for column in COLUMNS)])]
    for one in results:
        name = one.exchange if len(one.exchange) <= width else one.exchange[: width - 21] + "…" + one.exchange[-20:]
        lines.append(" ".join([f"{name:{width}}", *(f"{one.cells.get(column, NONE):10}" for column in COLUMNS), one.why_not]).rstrip())
    for one in results:
        for column, words in one.wrong.items():
            lines += ["", f"{WRONG} {one.exchange} · {column}", *(f"    {line}" for line in words)]
    return "\n".join([*lines, "", *summary(results)])


# ---------------------------------------------------------------- The page


def section(results: Sequence[Result]) -> str:
    """What stands between the marks of the page."""
    words = counted(results)
    used = [name for name in WHY if words[name]]
    return "\n".join(
        [
            *summary(results)[:2],
            "",
            "In a cell: **bytes** — the recorded bytes came back, but for `model` and a terminal event that the provider forgot;",
            "**equal** — folded by the tests' own readers, the answer says the same (words, thoughts, calls and their exact arguments, the",
            "reason of the end, tokens, sources, pictures, order); **error** — class and words of the error were kept, and the books name",
            "its status; **read** — the provider's list was understood; a name — the exception below, and nothing else, made a difference.",
            "",
            "| Exception | Checks | What the client's format cannot express |",
            "| --- | --- | --- |",
            *(f"| {name} | {words[name]} | {_cell(WHY[name])} |" for name in used),
            "",
            "| Exchange | " + " | ".join(TITLES[column] for column in COLUMNS) + " |",
            "| --- |" + " --- |" * len(COLUMNS),
            *(f"| {one.exchange} | {' | '.join(one.cells.get(column, '') for column in COLUMNS)} |" for one in results if one.cells),
            "",
            "Not replayed:",
            "",
            *(f"- {_cell(why)}: {', '.join(one.exchange for one in results if one.why_not == why)}" for why in _reasons(results)),
            "",
        ]
    )


def _reasons(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(one.why_not for one in results if one.why_not))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def page(text: str, results: Sequence[Result]) -> str:
    """The page with its section written anew. Raises ValueError when the marks are gone."""
    found = re.search(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", text, re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE.name} has lost the marks of its generated section")
    return text[: found.start()] + f"{_BEGIN}\n{section(results)}\n{_END}" + text[found.end() :]
