"""What clients ask and what they are answered, written down when the user switches that on (`prompt_log_mode`). (C-59, C-60)

One JSON line a call: at, id, path, protocol, client, key, status, request, answer; `cut` names the bodies that were longer than
`prompt_log_kb`. Known forms of secrets are masked (`secrets.redact`); a secret that a streamed answer spells over several events is
not seen. Bodies that are no text (pictures, sounds, forms) are told by their size. Nothing waits for the writing: it is done by one thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

from omni_connector import secrets
from omni_connector.call import Call, Headers, Sink
from omni_connector.settings import Settings
from omni_connector.values import dataclass

log = logging.getLogger("omni.prompts")

FOLDER = Path("logs") / "prompts"
"""Below OMNI_HOME. A folder of its own: everything in it is old after `prompt_log_days`, whatever it was called."""
FILE_BYTES = 10_000_000
"""At this size, and at midnight UTC, the file is put aside and another one begun."""
MOST_FILES = 50
WAITING = 200
"""Calls that wait to be written at most; while the disk is slower than the clients, further ones are left out."""
WAITING_BYTES = 64 << 20
"""The same in bytes: 200 bodies of the largest kind that `prompt_log_kb` allows would be gigabytes."""
MARGIN = 4096
"""Bytes that are looked at beyond the cut, and not written: a secret across the cut is masked, not halved."""
TEXT = ("json", "text/", "event-stream", "x-ndjson")
DAY_S = 86_400


@dataclass(slots=True)
class Part:
    """One body, as much of it as may be written. `size`: of all of it."""

    most: int
    kind: str = ""
    size: int = 0
    held: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        self.size += len(data)
        if (room := self.most + MARGIN - len(self.held)) > 0:
            self.held += data[:room]

    @property
    def cut(self) -> bool:
        return self.size > self.most

    def text(self) -> str:
        if self.kind and not any(word in self.kind for word in TEXT):
            return f"[{self.size} bytes of {self.kind.partition(';')[0]}]"
        words = secrets.redact(self.held.decode("utf-8", "replace"))
        return words[: min(self.most, max(0, len(words) - MARGIN))] if len(self.held) > self.most else words


class Heard:
    """A sink that remembers what goes through it."""

    __slots__ = ("_sink", "answer", "status")

    def __init__(self, sink: Sink, most: int) -> None:
        self._sink = sink
        self.answer = Part(most)
        self.status: int | None = None

    @property
    def started(self) -> bool:
        return self._sink.started

    @started.setter
    def started(self, value: bool) -> None:
        self._sink.started = value

    def _begin(self, status: int, headers: Headers) -> None:
        self.status = status
        self.answer.kind = next((value.decode("latin-1") for name, value in headers if name == b"content-type"), "")

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        self._begin(status, headers)
        self.answer.add(body)
        await self._sink.whole(status, headers, body)

    async def start(self, status: int, headers: Headers) -> None:
        self._begin(status, headers)
        await self._sink.start(status, headers)

    def say(self, data: bytes) -> bool:
        said = self._sink.say(data)
        if said:
            self.answer.add(data)
        return said

    async def write(self, data: bytes) -> None:
        self.answer.add(data)
        await self._sink.write(data)

    async def end(self, data: bytes = b"") -> None:
        self.answer.add(data)
        await self._sink.end(data)


class Prompts:
    """Of one process. `settings` are asked anew with every call, so switching it on or off is effective at once."""

    def __init__(self, home: Path, settings: Callable[[], Settings], now: Callable[[], int]) -> None:
        self._home = home
        self._settings = settings
        self._now = now
        self._writer: ThreadPoolExecutor | None = None
        self._waiting = 0
        self._bytes = 0
        self._left_out = 0
        self._closed = False

    async def around(self, run: Callable[[Call, Sink], Awaitable[None]], call: Call, sink: Sink) -> None:
        """Answer a call, and write it down if that is wanted, whatever became of it. Raises what `run` raises."""
        settings = self._settings()
        if settings.prompt_log_mode == "none":
            await run(call, sink)
            return
        heard = Heard(sink, settings.prompt_log_kb << 10)
        try:
            await run(call, heard)
        finally:
            self._hand_over(call, heard, settings)

    def _hand_over(self, call: Call, heard: Heard, settings: Settings) -> None:
        asked = Part(settings.prompt_log_kb << 10, call.headers.get("content-type", ""))
        asked.add(call.body)
        size = len(asked.held) + len(heard.answer.held)
        if self._waiting >= WAITING or (self._waiting and self._bytes + size > WAITING_BYTES) or self._closed:
            self._left_out += 1
            return
        if self._left_out:
            log.warning("%d calls are not in the prompt log: they came faster than they could be written", self._left_out)
            self._left_out = 0
        self._waiting += 1
        self._bytes += size
        self._writer = self._writer or ThreadPoolExecutor(1, "prompts")
        loop = asyncio.get_running_loop()
        # Not the call itself: it would keep its whole body, of which only a part is written.
        done = loop.run_in_executor(self._writer, self._write, _facts(call, heard.status), asked, heard.answer, settings)
        done.add_done_callback(partial(self._written, size))

    def _written(self, size: int, done: asyncio.Future[None]) -> None:
        self._waiting -= 1
        self._bytes -= size
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("a call could not be written to the prompt log: %s", error)

    def _write(self, facts: Mapping[str, Any], asked: Part, answer: Part, settings: Settings) -> None:
        cut = [name for name, part in (("request", asked), ("answer", answer)) if part.cut]
        entry = {**facts, "request": asked.text(), "answer": answer.text(), "cut": cut}
        if settings.prompt_log_mode == "console":
            print(json.dumps(entry), file=sys.stderr, flush=True)  # ASCII only: nothing in it can steer a terminal
            return
        append(self._home / FOLDER, file_name(settings.prompt_log_file), json.dumps(entry, ensure_ascii=False), self._now())

    async def close(self) -> None:
        """Everything that was handed over is written when this returns."""
        self._closed = True
        if self._writer is not None:
            await asyncio.to_thread(self._writer.shutdown)


def _facts(call: Call, status: int | None) -> Mapping[str, Any]:
    return {
        "at": call.started_at,
        "id": call.id,
        "path": secrets.redact(call.path),
        "protocol": call.wire,
        "client": secrets.redact(call.client),
        "key": call.key.name,
        "status": status,
    }


def file_name(wanted: str) -> str:
    """The last part of the name; a path does not lead out of the folder."""
    name = Path(wanted.replace("\\", "/").replace("\0", "")).name
    return name if name.strip(".") else "prompts.jsonl"


def append(folder: Path, name: str, line: str, now_ms: int) -> None:
    """Add a line to the file, 0600, in one write: several processes may do so at once. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / name
    _set_aside(path, now_ms)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        data = f"{line}\n".encode("utf-8", "replace")
        while data:
            data = data[os.write(file, data) :]
    finally:
        os.close(file)


def _set_aside(path: Path, now_ms: int) -> None:
    """Rename a file that is full or of another day, so that all of it grows old together."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_size < FILE_BYTES and int(found.st_mtime // DAY_S) == now_ms // 1000 // DAY_S:
        return
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ms / 1000))
    path.replace(path.with_name(f"{path.stem}.{stamp}-{os.getpid()}-{now_ms % 1000:03}{path.suffix}"))


def prune(home: Path, days: int, now_ms: int) -> int:
    """Delete files of the prompt log that are older than `days` (0: none is), and the oldest beyond MOST_FILES. Returns how many."""
    folder = home / FOLDER
    if not folder.is_dir():
        return 0
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime, reverse=True)
    oldest = now_ms / 1000 - days * DAY_S if days else 0.0
    gone = [path for number, path in enumerate(files) if number >= MOST_FILES or path.stat().st_mtime < oldest]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)
