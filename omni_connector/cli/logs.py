"""`omni-connector logs`: the server's log, or with --requests the requests as they come."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from omni_connector.cli.base import Stop, json_option
from omni_connector.cli.desk import Desk, open_desk
from omni_connector.cli.office import home
from omni_connector.cli.output import count, money, say, show, when

Json = dict[str, Any]
LOG_FILE = "omni-connector.log"
POLL_S = 0.3
REMEMBERED = 2000
"""Requests that were told, to tell none twice."""
FILTERS = ("status", "model", "account", "provider", "protocol", "key", "client", "flag", "text")


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on as lines come, until Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, 200), default=20, show_default=True, help="How many of the last ones.")
@click.option("--requests", is_flag=True, help="Requests instead of log lines.")
@click.option("--only", multiple=True, metavar="FILTER=VALUE", help=f"Only requests with this: {', '.join(FILTERS)}. Can be repeated.")
@json_option
def logs(follow: bool, lines: int, requests: bool, only: tuple[str, ...], as_json: bool) -> None:
    """The last lines of the server's log, or of its requests.

    With --json: one document; with -f as well: one JSON document a line. A request is told when it is settled.

    \b
    Examples:
      omni-connector logs -f
      omni-connector logs -f --requests
      omni-connector logs -f --only status=failed --only model=gpt-5.5 --json
    """
    try:
        if requests or only:
            wanted = _filters(only)
            asyncio.run(_follow(lines, wanted, as_json) if follow else _requests(lines, wanted, as_json))
        else:
            _log(follow, lines, as_json)
    except KeyboardInterrupt:
        if not follow:  # there it is the only way to end it, and no failure
            raise


def _log(follow: bool, lines: int, as_json: bool) -> None:
    path = home() / "logs" / LOG_FILE
    if not path.is_file():
        raise Stop(f"There is no log yet ({path}). The server writes it when it runs.")
    with path.open("r", encoding="utf-8", errors="replace") as file:
        last = [line.rstrip("\n") for line in deque(file, maxlen=lines)]
        if as_json and not follow:
            show({"file": str(path), "lines": last}, True, lambda _: None)
            return
        read_to = file.tell()
    for line in last:
        _say_line(line, as_json)
    if follow:
        for line in tail(path, read_to):
            _say_line(line, as_json)


def _say_line(line: str, as_json: bool) -> None:
    say(json.dumps({"line": line}, ensure_ascii=False) if as_json else line)


def tail(path: Path, read_to: int, pause: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """Lines written after `read_to`, for ever; goes on with the new file when the log is rotated."""
    while True:
        with path.open("r", encoding="utf-8", errors="replace") as file:
            file.seek(read_to)
            yield from _until_rotated(file, path, pause)
        read_to = 0


def _until_rotated(file: TextIO, path: Path, pause: Callable[[float], None]) -> Iterator[str]:
    held = ""
    while True:
        piece = file.readline()
        held += piece
        if held.endswith("\n"):
            yield held.rstrip("\n")
            held = ""
        elif not piece:
            pause(POLL_S)
            if _rotated(file, path):
                return


def _rotated(file: TextIO, path: Path) -> bool:
    """Whether `path` is another file by now, or this one was emptied."""
    try:
        now = path.stat()
    except OSError:
        return False  # between two names; look again later
    mine = os.fstat(file.fileno())
    return (now.st_ino, now.st_dev) != (mine.st_ino, mine.st_dev) or now.st_size < file.tell()


# ---------------------------------------------------------------- requests


def _filters(only: tuple[str, ...]) -> dict[str, str]:
    """Raises Stop for what is no filter."""
    found = dict(item.partition("=")[::2] for item in only)
    wrong = next((name for name, value in found.items() if name not in FILTERS or not value), None)
    if wrong is not None:
        raise Stop(f"--only {wrong}: write FILTER=VALUE with one of {', '.join(FILTERS)}, for example --only status=failed.")
    return found


async def _requests(lines: int, filters: dict[str, str], as_json: bool) -> None:
    async with open_desk() as desk:
        rows = await _last(desk, filters, lines)
    if as_json:
        show({"requests": rows}, True, lambda _: None)
        return
    for row in reversed(rows):
        say(request_line(row))
    if not rows:
        say("No such request." if filters else "No request yet.")


async def _last(desk: Desk, filters: dict[str, str], lines: int) -> list[Json]:
    """The last requests, newest first. A search may take several pages."""
    rows: list[Json] = []
    before: str | None = None
    while len(rows) < lines:
        page = await desk.call("requests", {**filters, "limit": str(lines - len(rows)), "before": before or ""})
        rows += page["requests"]
        before = page["next"]
        if before is None:
            break
    return rows


async def _follow(lines: int, filters: dict[str, str], as_json: bool) -> None:
    """Every request once, when it is settled; the last ones first. A server that ends or starts meanwhile is no end: the books are."""
    place, told = "", deque[str](maxlen=REMEMBERED)
    began = f"{time.time_ns() // 1_000_000}-"
    while True:
        async with open_desk() as desk:
            rows = desk.follow({**filters, **({} if place else {"lines": str(lines)})}, place)
            async for one in rows:
                if one is None:
                    continue
                place, row = one
                if row["id"] not in told:  # who comes back is told a few once more
                    say(json.dumps(row, ensure_ascii=False) if as_json else request_line(row))
                    told.append(row["id"])
        place = place or began
        await asyncio.sleep(POLL_S)


def request_line(row: Json) -> str:
    """One request on one line: when, who, what was asked, who served it, how it ended."""
    served = f"{row['account']['label']}/{row['model']}" if row["account"]["label"] else "–"
    if row["state"] == "open":
        end = "…"
    elif row["error"]:
        end = f"{row['http_status']} {row['flag'] or ''} {row['error']['message']}"
    else:
        usage = row["usage"]
        tokens = f"{count(usage['input'])}→{count(usage['output'])} tokens"
        end = f"{row['http_status']} {row['flag'] or 'ok'} {tokens} {money(row['cost']['usd'])}"
    took = "" if row["duration_ms"] is None else f" {row['duration_ms'] / 1000:.1f} s"
    line = f"{when(row['at'])} {row['key']['name'] or '–'} {row['protocol']} {row['model_requested'] or '–'} → {served}{took} {end}"
    return "".join(c if c.isprintable() else " " for c in line)
