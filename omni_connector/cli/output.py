"""How answers look: JSON for programs, tables for people (rich on a terminal, plain aligned columns in a pipe)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

Json = dict[str, Any]
MARKS = {"ok": "✓", "warn": "!", "fail": "✗"}


def show(answer: Json, as_json: bool, render: Callable[[Json], None]) -> None:
    """Print `answer`: as one JSON document, or through `render`."""
    if as_json:
        say(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        render(answer)


def say(text: str = "") -> None:
    """A line of the answer: standard output."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def note(text: str) -> None:
    """A line about the answer (hints, warnings): standard error, so that pipes stay clean."""
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=sys.stderr)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()) -> None:
    """Columns named in `right` are numbers. In a pipe nothing is cut and nothing is coloured."""
    lines = [[_cell(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        _rich_table(columns, lines, right)
        return
    widths = [max(len(cell) for cell in column) for column in zip(columns, *lines, strict=True)]
    for line in (list(columns), *lines):
        cells = [c.rjust(w) if name in right else c.ljust(w) for c, w, name in zip(line, widths, columns, strict=True)]
        say("  ".join(cells).rstrip())


def _rich_table(columns: Sequence[str], lines: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        grid.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for line in lines:
        # Text, not markup: a label such as "[red]" is a label.
        grid.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in line))
    Console(highlight=False).print(grid)


_STYLES = {
    "ready": "green",
    "active": "green",
    "ok": "green",
    "cooling": "yellow",
    "expired": "yellow",
    "disabled": "dim",
    "revoked": "dim",
    "locked": "red",
    "needs_login": "red",
    "error": "red",
    "failed": "red",
}


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Name and value, one a line; what is not known is left out."""
    known = [(name, _cell(value)) for name, value in pairs if value not in (None, "", [], {}, ())]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        say(f"{name.ljust(width)}  {value}")


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items()) or "–"
    # What providers and clients said is shown, not obeyed: no terminal control sequences from their text.
    return "".join(c if c.isprintable() else " " for c in str(value))


def few(items: Sequence[str], most: int = 3) -> str:
    """The first names of a long list, and how many more there are."""
    if len(items) <= most:
        return ", ".join(items) or "–"
    return f"{', '.join(items[:most])} +{len(items) - most}"


def when(ms: int | None) -> str:
    """Milliseconds UTC → local time, to the minute."""
    return "–" if ms is None else datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def span(seconds: float) -> str:
    """Seconds → "3 d 4 h", "5 min", "12 s": two units at most."""
    left = max(0, round(seconds))
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= size or (name == "s" and not parts):
            parts.append(f"{left // size} {name}")
            left %= size
        if len(parts) == 2:
            break
    return " ".join(parts)


def count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def budget_words(budget: Json | None) -> str | None:
    """ "$5 a month (Europe/Berlin), soft, $1.230000 spent, $0.010000 in flight, renewed 2026-08-01 …"; "total" is never renewed."""
    if budget is None:
        return None
    said = f"${budget['amount']} " + ("in total" if budget["period"] == "total" else f"a {budget['period']}")
    said += f" ({budget['zone']})" if budget.get("zone") and budget["period"] != "total" else ""
    said += ", soft" if budget.get("mode") == "soft" else ""
    said += f", {money(budget['spent_usd'])} spent" if "spent_usd" in budget else ""
    said += f", {money(budget['held_usd'])} in flight" if float(budget.get("held_usd") or 0) else ""
    return said + (f", renewed {when(budget['resets_at'])}" if budget.get("resets_at") else "")


def money(usd: str | None) -> str:
    return "unknown" if usd is None else f"${usd}"
