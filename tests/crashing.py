"""Real servers that die when and where a test wants it: SIGKILL by their own hand, at a chosen place of a request.

`python -m tests.crashing` is a nursery: it imports the product once and forks a server for each order, so that one costs a
third of a second. The hooks are here and nowhere in the product. The parent's side:

    async with nursery() as nest:
        server = await nest.server(Order(str(home), where=RELAY, step=7))
        …
        await server.dead()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet

from tests.live.processes import ROOT, Line, Server

T = TypeVar("T")
RELAY, STORAGE = "relay", "storage"
"""Where places are counted: of the request itself, or of the transactions that run while it does."""
FATAL = "fatal number"
"""A request with these words in it is walked step by step; all others are left alone."""
HOUR = 3600 * 10**9
BACK = signal.SIGUSR1
"""Sets the clock of a server back by an hour."""


@dataclass(frozen=True)
class Order:
    """`step`: the place at which the server dies, -1: never. `late`: when what was waited for there is done, and nobody has heard of it.
    `output`: where it writes what it says, "": beside its home."""

    home: str
    where: str = RELAY
    step: int = -1
    late: bool = False
    output: str = ""
    env: dict[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------- The parent's side


class Doomed(Server):
    """A server of the nursery."""

    def __init__(self, order: Order, pid: int, ended: asyncio.Future[int]) -> None:
        super().__init__(Path(order.home))
        self._order = order
        self._pid = pid
        self._ended = ended

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def output(self) -> Path:
        return output_of(self._order)

    async def ready(self, within: float = 20) -> float:
        began = time.monotonic()
        while time.monotonic() < began + within and not self._ended.done():
            with contextlib.suppress(OSError, ValueError, KeyError):
                note = json.loads((self.home / "server.json").read_text())
                if note["pid"] == self.pid:
                    self.url = note["url"]
                    async with Line.open(self.url) as line:
                        if (await line.ask("GET", "/health")).status == 200:
                            return time.monotonic() - began
            await asyncio.sleep(0.005)
        raise AssertionError(f"the server did not start: {self.output.read_text()}")

    def kill(self) -> None:
        if not self._ended.done():
            os.kill(self._pid, signal.SIGKILL)

    async def dead(self, within: float = 15) -> int:
        """Its exit code (-9 when it was killed), once it is dead and reaped: a zombie would still count as a living process."""
        async with asyncio.timeout(within):
            return await asyncio.shield(self._ended)

    @property
    def places(self) -> int:
        """At how many places the fatal request has waited."""
        path = places_file(self.home)
        return path.stat().st_size if path.exists() else 0


class Nest:
    def __init__(self, process: Process) -> None:
        self._process = process
        self._born: list[asyncio.Future[int]] = []
        self._ended: dict[int, asyncio.Future[int]] = {}

    async def server(self, order: Order) -> Doomed:
        """A server that has just begun to start."""
        assert self._process.stdin is not None
        loop = asyncio.get_running_loop()
        born: asyncio.Future[int] = loop.create_future()
        self._born.append(born)
        assert self._process.returncode is None, "the nursery is gone: see what it said"
        self._process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        pid = await born
        return Doomed(order, pid, self._ended[pid])

    async def listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "born" in said:
                self._ended[said["born"]] = asyncio.get_running_loop().create_future()
                self._born.pop(0).set_result(said["born"])
            else:
                self._ended[said["ended"]].set_result(said["code"])
        for born in self._born:
            born.set_exception(AssertionError("the nursery is gone: see what it said"))


@contextlib.asynccontextmanager
async def nursery() -> AsyncIterator[Nest]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.crashing", stdin=PIPE, stdout=PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}
    )
    nest = Nest(process)
    listening = asyncio.create_task(nest.listen())
    try:
        yield nest
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await listening


def output_of(order: Order) -> Path:
    home = Path(order.home)
    return Path(order.output) if order.output else home.with_name(f"{home.name}.output")


def places_file(home: Path) -> Path:
    return home.with_name(f"{home.name}.places")


# ---------------------------------------------------------------- The nursery's side


def tell(**said: int) -> None:
    os.write(1, json.dumps(said).encode() + b"\n")


def main() -> None:
    import app  # noqa: F401 - so that those who are forked have it
    from omni_connector import usage

    usage.priced_model("openai", "gpt-4o")  # the price tables, too
    children: set[int] = set()
    waiting = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.005)
        if readable:
            data = os.read(0, 1 << 16)
            if not data:
                break
            *orders, waiting = (waiting + data).split(b"\n")
            for line in orders:
                pid = os.fork()
                if not pid:
                    be_server(Order(**json.loads(line)))
                children.add(pid)
                tell(born=pid)
        for pid in tuple(children):
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                children.discard(pid)
                tell(ended=pid, code=os.waitstatus_to_exitcode(status))
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def be_server(order: Order) -> None:
    """Never returns."""
    import app

    output = os.open(output_of(order), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    code = 1
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.closerange(3, 1024)
        os.environ.update({"OMNI_HOME": order.home, "OMNI_SERVER": os.environ.get("OMNI_TEST_SERVER", "hypercorn"), **order.env})
        prepare_hooks(order)
        code = app.main("127.0.0.1", 0, jobs=False)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def prepare_hooks(order: Order) -> None:
    from omni_connector.gateway import Gateway

    real, serve = time.time_ns, Gateway.serve
    behind = [0]

    def set_back(*_: object) -> None:
        behind[0] += HOUR

    signal.signal(BACK, set_back)
    time.time_ns = lambda: real() - behind[0]
    time.time = lambda: (real() - behind[0]) / 1e9

    async def serving(self: Gateway, *, jobs: bool = True) -> None:
        await serve(self, jobs=jobs)
        {RELAY: walk_requests, STORAGE: walk_storage}[order.where](self, Reaper(order))

    Gateway.serve = serving  # type: ignore[method-assign]


class Reaper:
    """Counts places, and kills at the one that was ordered."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._places = 0
        self._path = places_file(Path(order.home))
        with contextlib.suppress(OSError):
            self._path.unlink()

    async def walk(self, work: Coroutine[Any, Any, T]) -> T:
        from tests.stepping import Stepping, nothing

        late = self._order.late
        return await Stepping(work, waiting=nothing if late else self._here, resumed=self._here if late else nothing)

    def watch(self, conn: Any) -> None:
        """A transaction on SQLite waits in its own thread, once for each statement and once for the end."""
        import sqlalchemy as sa

        sa.event.listen(conn, "after_cursor_execute" if self._order.late else "before_cursor_execute", lambda *_: self._here())
        sa.event.listen(conn, "commit", lambda *_: self._here())

    def appending(self, append: Callable[[bytes], T], frame: bytes) -> T:
        """A journal waits in its own thread, once for each flush."""
        if not self._order.late:
            self._here()
        place = append(frame)
        if self._order.late:
            self._here()
        return place

    def _here(self, _place: int = 0, _future: object = None) -> None:
        with self._path.open("ab") as file:
            file.write(b".")
        if self._places == self._order.step:
            os.kill(os.getpid(), signal.SIGKILL)
        self._places += 1


def walk_requests(gateway: Any, reaper: Reaper) -> None:
    run = gateway.relay.run

    async def walked(call: Any, sink: Any) -> None:
        work = run(call, sink)
        await (reaper.walk(work) if FATAL.encode() in call.body else work)

    gateway.relay.run = walked


def walk_storage(gateway: Any, reaper: Reaper) -> None:
    run, work, append = gateway.relay.run, gateway.db._work, gateway.journal._append
    fatal, watched = [False], WeakSet[Any]()

    async def running(call: Any, sink: Any) -> None:
        fatal[0] = fatal[0] or FATAL.encode() in call.body
        await run(call, sink)

    async def worked(engine: Any, fn: Callable[[Any], T], *, commit: bool) -> T:
        def stepwise(conn: Any) -> T:
            if conn not in watched:
                watched.add(conn)
                reaper.watch(conn)
            return fn(conn)

        in_thread = fatal[0] and commit and gateway.db.path is not None
        doing: Coroutine[Any, Any, T] = work(engine, stepwise if in_thread else fn, commit=commit)
        return await (reaper.walk(doing) if fatal[0] and commit else doing)

    def appended(frame: bytes) -> Any:
        return reaper.appending(append, frame) if fatal[0] else append(frame)

    gateway.relay.run, gateway.db._work, gateway.journal._append = running, worked, appended


if __name__ == "__main__":
    main()
