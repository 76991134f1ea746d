"""One run of a command for one request: an exchange that speaks chat completions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Protocol

from omni_connector.chat import ChatRequest, Json
from omni_connector.command.answer import Answer
from omni_connector.command.process import GRACE_S, Process, exited, hider, quoted, tell
from omni_connector.errors import GatewayError, Kind
from omni_connector.providers.command_claude import ClaudeReader
from omni_connector.providers.command_output import Piece, PointedLineReader, PointerReader, Reader, TextReader, failure
from omni_connector.providers.command_talk import command_line, standard_input, talk
from omni_connector.providers.commands import Template

log = logging.getLogger("omni.command")

READERS: Mapping[str, type[Reader]] = {
    "text": TextReader,
    "json-pointer": PointerReader,
    "json-lines": PointedLineReader,
    "claude-code": ClaudeReader,
}
LINGER_S = 1.0
"""For which output may follow the end of the program: only a child that it left behind could write any more."""


def cancel(task: asyncio.Task[None]) -> None:
    """Once: a second time would cut short what is done for the first."""
    if not task.cancelling():
        task.cancel()


class Runner(Protocol):
    """What a run needs of whoever starts it, each for as long as the context lasts."""

    def place(self, account: str, template: Template) -> AbstractAsyncContextManager[None]:
        """One of the account's places. Raises GatewayError when none becomes free."""

    def folders(self, account: str, template: Template) -> AbstractAsyncContextManager[tuple[Path, Path]]:
        """(working directory, private folder of the run)."""

    def process(
        self, template: Template, line: list[str], cwd: Path, private: Path
    ) -> AbstractAsyncContextManager[tuple[asyncio.SubprocessTransport, Process]]:
        """A running program, in a group of its own. Raises GatewayError when it cannot be started."""


class Run:
    """One run of a command: an `upstream.Exchange`. `close` ends it, and the group with it."""

    status = 200

    def __init__(self, runner: Runner, local: Json, template: Template, request: ChatRequest) -> None:
        self._runner = runner
        self._account = str(local["account"])
        self._template = template
        self._request = request
        self._talk = talk(request)
        self._reader = READERS[template.output.kind](template.output, time.time)
        self._reader.hide = self._hide = hider(template.set.values())
        self._answer = Answer(request, self._talk)
        self._queue: asyncio.Queue[bytes | GatewayError] = asyncio.Queue(8)
        self._first: bytes | GatewayError | None = None
        self._over = self._told = False
        self._headers = {"content-type": "text/event-stream; charset=utf-8" if request.stream else "application/json"}
        self.headers: Mapping[str, str] = self._headers
        self.task = asyncio.create_task(self._work(), name=f"command {self._account}")
        """Done when nothing of the run is left."""

    async def begin(self) -> None:
        """Waits for the first of the answer. Raises GatewayError when there is none."""
        try:
            self._first = await self._queue.get()
        except BaseException:
            self.close()
            raise
        if isinstance(self._first, GatewayError):
            raise self._first

    async def read(self) -> bytes:
        if self._over:
            return b""
        piece = self._first if self._first is not None else await self._queue.get()
        self._first = None
        if isinstance(piece, GatewayError):
            raise piece
        self._over = not piece
        return piece

    def close(self) -> None:
        # Who has told everything gets the moment that a program needs to end by itself.
        if not self._told:
            cancel(self.task)

    # ------------------------------------------------------------ inside

    async def _work(self) -> None:
        runner, account, template = self._runner, self._account, self._template
        try:
            async with runner.place(account, template), runner.folders(account, template) as (cwd, private):
                await self._run(cwd, private)
        except asyncio.CancelledError:
            with suppress(asyncio.QueueFull):  # who reads on must not wait for ever
                self._queue.put_nowait(self._failed("was stopped"))
            raise
        except GatewayError as error:
            error.message = self._hide(error.message)
            await self._queue.put(error)
        except Exception:
            log.exception("running the command of account %s failed inside omni-connector", account)
            await self._queue.put(GatewayError(Kind.INTERNAL, "Running the command failed inside omni-connector; its log has the details."))

    async def _run(self, cwd: Path, private: Path) -> None:
        template, told = self._template, self._talk
        system_file = ""
        if told.system and template.holds("{system_file}"):
            system_file = str(private / "system.txt")
            (private / "system.txt").write_text(told.system, "utf-8")
        line = command_line(template, told, system_file)
        async with self._runner.process(template, line, cwd, private) as (transport, process):
            tell(transport, standard_input(template, told))
            await self._listen(process)
            if problem := self._problem(process, transport.get_returncode()):
                raise problem
            await self._queue.put(self._answer.end(self._reader))
            await self._queue.put(b"")
            self._told = True
            await exited(process, GRACE_S)

    async def _listen(self, process: Process) -> None:
        """Until all is said. Raises GatewayError at a limit."""
        reader = self._reader
        began = since = time.monotonic()
        while (process.open or process.output) and not reader.complete:
            if data := process.take():
                if process.written > self._template.max_output_bytes:
                    raise self._failed(f"wrote more than {self._template.max_output_bytes} bytes")
                await self._tell(reader.feed(data))
                since = time.monotonic()
            elif not await self._changed(process, began, since):
                break
        await self._tell(reader.close())
        while process.exited_at is None and not reader.complete:
            await self._changed(process, began, since)  # how it ends says whether that was an answer

    async def _changed(self, process: Process, began: float, since: float) -> bool:
        """Waits until the program does something. False: only a child that it left behind could. `since`: its last words, or when a
        slow client had taken them. Raises GatewayError at a limit."""
        process.changed.clear()
        template = self._template
        over, silent = began + template.timeout_s, max(process.heard, since) + template.idle_s
        last = float("inf") if process.exited_at is None else max(process.exited_at, process.heard) + LINGER_S
        try:
            async with asyncio.timeout(max(0.0, min(over, silent, last) - time.monotonic())):
                await process.changed.wait()
        except TimeoutError:
            now = time.monotonic()
            if now >= last:
                return False
            if now >= over:
                raise self._failed(f"took longer than {template.timeout_s:g} s", Kind.UPSTREAM_TIMEOUT) from None
            if now >= max(process.heard, since) + template.idle_s:
                raise self._failed(f"was silent for {template.idle_s:g} s", Kind.UPSTREAM_TIMEOUT) from None
        return True

    async def _tell(self, pieces: list[Piece]) -> None:
        self._headers |= self._reader.headers
        for kind, text in pieces:
            if told := self._answer.say(kind, text, self._reader):
                await self._queue.put(told)

    def _failed(self, words: str, kind: Kind = Kind.UPSTREAM_FAILED) -> GatewayError:
        return GatewayError(kind, f"The command {self._template.name} {words}.")

    def _problem(self, process: Process, code: int | None) -> GatewayError | None:
        """Why this was no answer, in the command's own words where it has some."""
        reader, name = self._reader, self._template.name
        if reader.error is not None:
            reader.error.message = f"{name}: {reader.error.message}"
            return reader.error
        if reader.complete or (not reader.says_end and code == 0):
            return None if self._answer.said else self._failed(f"ended without an answer{quoted(process.errors, self._hide)}")
        if not code:
            return self._failed(f"broke off before its end{quoted(process.errors, self._hide)}")
        how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
        error = failure(bytes(process.errors).decode("utf-8", "replace") or self._answer.text, time.time())
        error.message = f"The command {name} {how}{quoted(process.errors or self._answer.text.encode(), self._hide)}."
        return error
