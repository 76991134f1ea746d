"""A whole folder of recordings, replayed: what came of every exchange in every format."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.replay import wires
from tests.replay.checks import PROVIDER, check
from tests.replay.compare import Verdict
from tests.replay.recordings import NotARecording, Recording, files, load
from tests.replay.stage import Play, Stage, stage
from tests.replay.told import FORMATS

AT_ONCE = 6
OTHER = "other"
"""The column of exchanges that are not chat: replayed in their own format, or read on the provider's side."""
NONE = "-"
WRONG = "FAIL"


@dataclass
class Result:
    """`cells`: a format, or OTHER → "bytes", "equal", "error", names of exceptions, WRONG; `wrong`: why."""

    exchange: str
    cells: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    why_not: str = ""
    """Why it is not replayed at all."""

    def put(self, column: str, good: str, verdict: Verdict) -> None:
        """A second look at the same column counts."""
        self.cells[column] = WRONG if verdict.wrong else ", ".join(dict.fromkeys(verdict.exceptions)) or good
        self.wrong.pop(column, None)
        if verdict.wrong:
            self.wrong[column] = verdict.wrong


async def replay(folder: Path, home: Path) -> list[Result]:
    """`home`: an empty folder for the gateway."""
    results: dict[str, Result] = {}
    found: list[Recording] = []
    for path in files(folder):
        result = results[path.stem] = Result(path.stem)
        try:
            recording = load(path)
        except NotARecording as error:
            result.why_not = f"no recorded exchange: {error}"
            continue
        if recording.format and _understood(recording, result):
            found.append(recording)
        elif not recording.format:
            _sort_other(recording, result, found)
    async with stage(home) as here:
        await _play_all(here, found, results)
    return list(results.values())


def _understood(recording: Recording, result: Result) -> bool:
    """A recording that the readers do not understand fails: either they lack something or it is damaged."""
    try:
        _ = recording.failed
    except Exception as error:
        result.cells = {recording.format: WRONG}
        result.wrong = {recording.format: [f"the recorded answer cannot be read: {type(error).__name__}: {error}"]}
        return False
    return True


def _sort_other(recording: Recording, result: Result, found: list[Recording]) -> None:
    way = wires.how(recording)
    if isinstance(way, str):
        result.why_not = way
    elif isinstance(way, wires.Passed):
        found.append(recording)
    else:
        verdict = Verdict()
        wires.listed(recording, verdict)
        result.put(OTHER, "read", verdict)


async def _play_all(here: Stage, recordings: Sequence[Recording], results: dict[str, Result]) -> None:
    """Answers share an account per format. Failures cool their account, so each has one of its own, as has in a second look whatever
    went wrong: it may have suffered from somebody else's failure."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def shared(play: Play) -> None:
        async with gate:
            if not await _chat(play, results[play.recording.name]):
                await _alone(here, play.recording, play.client, results)

    async def alone(recording: Recording, client: str) -> None:
        async with gate:
            await _alone(here, recording, client, results)

    for name in FORMATS:
        plays = [here.play(one, client) for one in recordings if one.format == name and _calm(one) for client in FORMATS]
        if plays:
            async with here.account(PROVIDER[name], plays):
                await asyncio.gather(*map(shared, plays))
    rest = [(one, FORMATS if one.format else (OTHER,)) for one in recordings if not one.format or not _calm(one)]
    await asyncio.gather(*(alone(one, client) for one, clients in rest for client in clients))


def _calm(recording: Recording) -> bool:
    return not recording.failed and not recording.breaks_off


async def _alone(here: Stage, recording: Recording, client: str, results: dict[str, Result]) -> None:
    result = results[recording.name]
    way = wires.how(recording)
    play = here.play(recording, client)
    async with here.account(way.provider if isinstance(way, wires.Passed) else PROVIDER[recording.format], [play]):
        if client != OTHER:
            await _chat(play, result)
        elif isinstance(way, wires.Passed):
            verdict = Verdict()
            result.why_not = await _guarded(wires.passed(way, play, verdict), verdict) or ""
            if not result.why_not:
                result.put(OTHER, "error" if recording.status >= 400 else "equal" if way.anew else "bytes", verdict)


async def _chat(play: Play, result: Result) -> bool:
    """Whether all was well."""
    recording, verdict = play.recording, Verdict()
    await _guarded(check(play, verdict), verdict)
    good = "error" if not _calm(recording) else "bytes" if recording.format == play.client else "equal"
    result.put(play.client, good, verdict)
    return not verdict.wrong


async def _guarded(work: Awaitable[Any], verdict: Verdict) -> Any:
    """A check that breaks is a check that fails."""
    try:
        return await work
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        verdict.wrong.append(f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})")
        return None
