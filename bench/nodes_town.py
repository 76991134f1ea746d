"""The town of bench/nodes.py: one real PostgreSQL, several real servers on loopback addresses of their own, each behind a wire to the
database that can be cut, frozen or slowed down, HAProxy in front, and a provider here that counts.

    async with town(folder) as place:
        async with place.load() as load: ...
        await place.check(load)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from omni_connector.store import rollups
from omni_connector.store.engine import Database
from tests import postgres as machine
from tests.live.processes import CHAT, ROOT, Json, Line, Reply, chat
from tests.live.test_crash import NUMBER, _chat_answer
from tests.postgres import LocalServer
from tests.serving import Answer, FakeUpstream, Seen

MODEL = "chat-model"
ASIDE = "number 0."
"""Of requests that are asked beside the load, and are not counted."""
IN, OUT = 1000, 2000
"""Nano-dollars a token."""
ISOLATED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""A node with process ids of its own, as in a container: nobody can ask the machine whether its process lives."""
BALANCER = """
global
    maxconn 2000
    nbthread 1
    tune.bufsize 131072
defaults
    mode http
    timeout connect 2s
    timeout client 10m
    timeout server 10m
    timeout check 2s
    retries 3
    option redispatch 1
    retry-on conn-failure empty-response
    balance roundrobin
frontend all
    bind {host}:{port}
    use_backend sound if {{ nbsrv(sound) gt 0 }}
    default_backend any
backend sound
    option httpchk GET /ready?database=1
    default-server check inter 500ms fall 1 rise 1
{sound}
backend any
    option httpchk GET /ready
    default-server check inter 500ms fall 1 rise 1
{any}
"""
"""`sound` has the nodes that reach the database; with none, `any` takes those that serve without."""


def limited(seen: Seen) -> Answer:
    """1000 + n tokens in and n + 1 out for the number n in a request, but never more than it allows: a budget may have shortened it."""
    prompt, output = _tokens(seen)
    return _chat_answer(prompt, output, bool(seen.body.get("stream")))


def _tokens(seen: Seen) -> tuple[int, int]:
    found = NUMBER.search(seen.raw)
    assert found is not None, seen.raw[:200]
    number = int(found[1])
    return 1000 + number, min(number + 1, seen.body.get("max_tokens") or seen.body.get("max_completion_tokens") or number + 1)


class Impossible(Exception):
    """This machine does not let us try it."""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------- Between a node and the database


class Wire:
    """A TCP forwarder. `delay`: seconds that each piece waits, in both directions."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = 0
        self.delay = 0.0
        self._flows = asyncio.Event()
        self._flows.set()
        self._cut = False
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._met, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self.cut()
        assert self._server is not None
        self._server.close()

    def freeze(self) -> None:
        """Nothing passes, nobody hears of it: as when packets are dropped."""
        self._flows.clear()

    def cut(self) -> None:
        """Every connection ends, and new ones at once."""
        self._cut = True
        self._flows.set()
        for writer in tuple(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        self._cut = False
        self._flows.set()

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._cut:
            writer.transport.abort()
            return
        try:
            far, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(far, writer))
        finally:
            self._writers -= both

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


# ---------------------------------------------------------------- A node


class Node:
    """One server process with a home of its own."""

    def __init__(self, name: str, host: str, home: Path, database: str, *, isolated: bool) -> None:
        self.name = name
        self.host = host
        self.home = home
        self.port = free_port(host)
        self.url = f"http://{host}:{self.port}"
        self._database = database
        self._isolated = isolated
        self._process: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}

    def reaches(self, database: str) -> None:
        """From the next start on."""
        self._database = database

    async def start(self, **env: str) -> None:
        self.spawn(**env)
        await self.ready()

    def spawn(self, **env: str) -> None:
        """`env`: for this start only."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        given = {"OMNI_HOME": str(self.home), "OMNI_DATABASE_URL": self._database, "OMNI_NODE_NAME": self.name, "PYTHONPATH": path}
        # libfaketime is for the server, not for the program around it.
        preload = [f"LD_PRELOAD={value}" for name, value in env.items() if name == "LD_PRELOAD"]
        more = {name: value for name, value in env.items() if name != "LD_PRELOAD"}
        command = [*(ISOLATED if self._isolated else ()), *(["env", *preload] if preload else [])]
        command += [sys.executable, "-m", "omni_connector", "serve", "--host", self.host, "--port", str(self.port)]
        with self.output.open("ab") as output:
            full = {**os.environ, **given, **self.env, **more}
            full.pop("PYTHONDONTWRITEBYTECODE", None)
            self._process = subprocess.Popen(command, env=full, cwd=self.home.parent, stdout=output, stderr=subprocess.STDOUT)

    @property
    def output(self) -> Path:
        return self.home.parent / f"{self.home.name}.output"

    @property
    def log(self) -> str:
        return (self.home / "logs" / "omni-connector.log").read_text()

    async def ready(self, within: float = 150) -> None:
        until = time.monotonic() + within
        while True:
            assert self._process is not None and self._process.poll() is None, f"{self.name} ended: {self.output.read_text()[-3000:]}"
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                if (await self.ask("GET", "/ready", within=2)).status == 200:
                    return
            assert time.monotonic() < until, f"{self.name} is not ready: {self.output.read_text()[-3000:]}"
            await asyncio.sleep(0.05)

    def send(self, number: int) -> None:
        """A signal to the server itself, not to what stands around it."""
        assert self._process is not None
        pid = self._process.pid
        if self._isolated:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        os.kill(pid, number)

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(OSError, IndexError):
                self.send(signal.SIGKILL)
            self._process.kill()
            self._process.wait()

    async def ended(self, within: float = 60) -> int:
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, within)

    async def ask(self, method: str, path: str, body: Any = b"", key: str = "", within: float = 15) -> Reply:
        async with Line.open(self.url) as line:
            return await line.ask(method, path, body, {"Authorization": f"Bearer {key}"} if key else {}, within)

    async def admin(self, method: str, path: str, body: Any = b"", within: float = 15) -> Any:
        reply = await self.ask(method, path, body, (self.home / "admin.key").read_text().strip(), within)
        assert reply.status < 300, (self.name, method, path, reply.status, reply.body)
        return reply.json

    async def metric(self, name: str) -> float:
        reply = await self.ask("GET", "/metrics", key=(self.home / "admin.key").read_text().strip())
        return sum(float(line.rpartition(" ")[2]) for line in reply.body.decode().splitlines() if line.startswith(name))


# ---------------------------------------------------------------- Clients


@dataclass
class Load:
    """Clients that ask all the time, one request after the other. `whole`: request id → number of each answer that came whole."""

    urls: list[str]
    keys: Mapping[str, str]
    """Its name → a key. What is said to "free" must be an answer; to others it may be a refusal."""
    pause: float = 0.05
    model: str = MODEL
    whole: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    """Answers that broke off after their first byte."""
    failed: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    longest: float = 0
    slowest: str = ""
    number: int = 0
    within: float = 90
    balances: bool = False
    """Each client is its own balancer: what had no answer is sent to the next address."""
    again: list[int] = field(default_factory=list)

    async def client(self, name: str, place: int, stop: asyncio.Event) -> None:
        while not stop.is_set() or self.again:
            try:
                async with Line.open(self.urls[place % len(self.urls)]) as line:
                    while (not stop.is_set() or self.again) and await self._once(line, name):
                        await asyncio.sleep(self.pause)
            except OSError:
                await asyncio.sleep(self.pause)
            place += self.balances

    async def _once(self, line: Line, name: str) -> bool:
        """True when the connection may be used again."""
        self.number += not self.again
        number = self.again.pop() if self.again else self.number
        stream = number % 2 == 0
        began = time.monotonic()
        # A hard budget trusts that nobody is billed for more than was said: as many words as the provider here counts tokens.
        words = f"number {number}." + (" word" * (1000 + number) if name == "poor" else "")
        body = chat(words, self.model, stream=stream, max_tokens=number + 10)
        line.writer.write(line.request("POST", CHAT, body, {"Authorization": f"Bearer {self.keys[name]}"}))
        try:
            reply = await line.start(self.within)
        except (OSError, asyncio.IncompleteReadError) as error:
            if self.balances and not isinstance(error, TimeoutError):
                self.again.append(number)
                return False
            self.failed.append(f"{name} {number}: no answer ({type(error).__name__}) after {time.monotonic() - began:.1f} s")
            return False
        broken = not await self._read(line, reply)
        took = time.monotonic() - began
        if took > self.longest:
            self.longest, self.slowest = took, f"{number} to {line.host}"
        self.statuses[f"{name} {reply.status}"] += 1
        if reply.status != 200:
            if name == "free":
                self.failed.append(f"{number}: {reply.status} {reply.body[:300]!r}")
        elif broken or (stream and not reply.body.rstrip().endswith(b"data: [DONE]")):
            self.cut.append(f"{number}: {reply.body[-200:]!r}")
        else:
            self.whole[reply.headers["x-omni-request-id"]] = number
        return not broken and reply.headers.get("connection", "") != "close"

    async def _read(self, line: Line, reply: Reply) -> bool:
        try:
            async with asyncio.timeout(self.within):
                if "content-length" in reply.headers:
                    reply.body = await line.reader.readexactly(int(reply.headers["content-length"]))
                    return True
                while piece := await line.piece():
                    reply.body += piece
                return True
        except (OSError, ValueError, asyncio.IncompleteReadError):
            return False


# ---------------------------------------------------------------- All of it


@dataclass(frozen=True)
class Figures:
    """`whole`, `cut` and `longest` (s) of the answers to one load; the rest of the books since the beginning."""

    whole: int
    cut: int
    longest: float
    rows: int
    recovered: int
    twice: int

    def __str__(self) -> str:
        cut = f", {self.cut} broke off after their first byte" if self.cut else ""
        return f"{self.whole} whole answers{cut}, none failed, the slowest took {self.longest:.1f} s; {self.rows} rows in all"


class Town:
    def __init__(self, folder: Path, server: LocalServer, upstream: FakeUpstream) -> None:
        self.folder = folder
        self.server = server
        self.upstream = upstream
        self.nodes: list[Node] = []
        self.wires: list[Wire] = []
        self.url = ""
        self.database = ""
        self.keys: dict[str, str] = {}
        self.amounts: dict[str, int] = {}
        """Id of a key → nano-dollars that it may spend."""
        self._number = 0
        self._deaths = 0
        self._balancer: subprocess.Popen[bytes] | None = None
        self.db: Database

    @property
    def urls(self) -> list[str]:
        return [self.url] if self.url else [node.url for node in self.nodes]

    async def prepare(self, count: int, *, isolated: bool, balanced: bool, env: Mapping[str, str]) -> None:
        self.database = await self.server.fresh(blank=True)
        self.db = await Database.open(self.database)
        for number in range(count):
            wire = Wire(self.server.port)
            await wire.open()
            self.wires.append(wire)
            address = self.database.replace(f":{self.server.port}/", f":{wire.port}/")
            node = Node(f"node-{number}", f"127.0.0.{number + 2}", self.folder / f"node-{number}", address, isolated=isolated)
            node.env = dict(env)
            self.nodes.append(node)
        first = self.nodes[0]
        await first.start()
        for node in self.nodes[1:]:
            node.home.mkdir(mode=0o700)
            for name in ("master.key", "admin.key"):
                shutil.copy(first.home / name, node.home / name)
            node.spawn()
        await asyncio.gather(*(node.ready() for node in self.nodes))
        await self._furnish(first)
        if balanced:
            await self._balance()

    async def _furnish(self, node: Node) -> None:
        body = {"provider": "openai", "label": "main", "api_key": "sk-main-0123456789abcdef", "base_url": f"{self.upstream.url}/v1"}
        await node.admin("POST", "/api/accounts", {**body, "models": [MODEL], "discover": False})
        await node.admin("PUT", "/api/prices/*", {"input": "1", "output": "2"})
        await self.key("free")
        await asyncio.sleep(1)

    async def key(self, name: str, budget: str = "") -> Json:
        limits = {"budget": {"amount": budget, "period": "total"}} if budget else {}
        made: Json = await self.nodes[0].admin("POST", "/api/keys", {"name": name, **limits})
        self.keys[name] = made["key"]
        if budget:
            self.amounts[made["id"]] = int(float(budget) * 10**9)
        return made

    async def _balance(self) -> None:
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        if not Path(program).exists():
            raise Impossible("haproxy is not installed")
        port = free_port()
        lines = "\n".join(f"    server {node.name} {node.host}:{node.port}" for node in self.nodes)
        file = self.folder / "haproxy.cfg"
        file.write_text(BALANCER.format(host="127.0.0.1", port=port, sound=lines, any=lines))
        with (self.folder / "haproxy.log").open("wb") as output:
            self._balancer = subprocess.Popen([program, "-db", "-f", str(file)], stdout=output, stderr=output)
        self.url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with Line.open(self.url) as line:
                    if (await line.ask("GET", "/health")).status == 200:
                        return
            await asyncio.sleep(0.05)
        raise AssertionError((self.folder / "haproxy.log").read_text())

    async def close(self) -> None:
        if self._balancer is not None:
            self._balancer.kill()
            self._balancer.wait()
        for node in self.nodes:
            node.kill()
        for wire in self.wires:
            await wire.close()
        if self.database:
            await self.db.close()

    @contextlib.asynccontextmanager
    async def load(self, clients: int = 8, poor: int = 0, urls: list[str] | None = None, **more: Any) -> AsyncIterator[Load]:
        """Clients with the key "free", and some with the key "poor", from now on to the end of the block."""
        load, stop = Load(urls or self.urls, self.keys, number=self._number, **more), asyncio.Event()
        names = ["free"] * clients + ["poor"] * poor
        tasks = [asyncio.create_task(load.client(name, place, stop)) for place, name in enumerate(names)]
        try:
            await asyncio.sleep(0.3)
            yield load
        finally:
            stop.set()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self._number = load.number
        for problem in ended:
            if isinstance(problem, BaseException):
                raise problem

    # ------------------------------------------------------------ the books

    async def rows(self) -> list[Json]:
        return [dict(row) for row in await self.select("SELECT * FROM requests ORDER BY id")]

    async def select(self, query: str) -> list[Any]:
        return await self.server.execute(query, str(urlsplit(self.database).path.lstrip("/")))

    async def closed(self, within: float) -> float:
        """Seconds until no row is open."""
        began = time.monotonic()
        while opened := await self.select("SELECT id, process_id FROM requests WHERE state = 'open'"):
            assert time.monotonic() < began + within, f"rows stay open: {opened[:5]}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def check(self, load: Load, *, within: float = 15, deaths: int = 0) -> Figures:
        """Everything that must hold of the books after `load`. `deaths`: requests that may have been under way on nodes that were killed:
        their answers may have broken off, and those that had none may have asked the provider twice."""
        assert not load.failed, load.failed[:5]
        assert len(load.cut) <= deaths, load.cut[:5]
        self._deaths += deaths
        await self.closed(within)
        rows = {row["id"]: row for row in await self.rows()}
        said = {_tokens(seen) for seen in self.upstream.seen if NUMBER.search(seen.raw)}
        for request_id, number in load.whole.items():
            row = rows[request_id]
            assert (row["state"], row["outcome"], row["input"]) == ("settled", "ok", 1000 + number), (number, row)
            assert (row["input"], row["output"]) in said, (number, row)
            assert row["cost_nano"] == IN * row["input"] + OUT * row["output"], row
        answered = Counter(row["input"] - 1000 for row in rows.values() if row["outcome"] == "ok")
        asked = Counter(int(found[1]) for seen in self.upstream.seen if (found := NUMBER.search(seen.raw)))
        del answered[0], asked[0]
        twice = [number for number, count in asked.items() if count > 1]
        doubled = [number for number, count in answered.items() if count > 1]
        lost = set(asked) - set(answered)
        assert len(twice) <= self._deaths and len(doubled) <= len(twice), (twice, doubled)
        assert len(lost) <= self._deaths and not set(answered) - set(asked), (lost, set(answered) - set(asked))
        recovered = [row for row in rows.values() if row["flag"] == "RECOVERED"]
        assert len(recovered) <= self._deaths, "taken for dead, and was not"
        assert await self.db.run(rollups.check) == []
        await self._check_budgets()
        return Figures(len(load.whole), len(load.cut), load.longest, len(rows), len(recovered), len(twice))

    async def _check_budgets(self) -> None:
        for row in await self.select("SELECT * FROM spend WHERE scope = 'key'"):
            paid = await self.select(f"SELECT COALESCE(SUM(cost_nano), 0)::bigint AS paid FROM requests WHERE key_id = '{row['subject']}'")
            assert row["spent_nano"] == paid[0]["paid"], (dict(row), paid)
            assert row["spent_nano"] <= self.amounts[row["subject"]], ("a budget was overshot", dict(row), self.amounts)
        query = "SELECT h.request_id FROM holds h JOIN requests r ON r.id = h.request_id WHERE h.open AND r.state = 'settled'"
        assert not await self.select(query), "held for a request that is over"

    async def spilled(self) -> int:
        """Files with entries that wait, on all nodes."""
        return sum(len(list((node.home / "spill").glob("*.spill"))) for node in self.nodes if (node.home / "spill").is_dir())

    async def until_carried(self, within: float = 30) -> float:
        began = time.monotonic()
        while await self.spilled():
            assert time.monotonic() < began + within, "entries of the books wait for ever"
            await asyncio.sleep(0.05)
        return time.monotonic() - began


@contextlib.asynccontextmanager
async def town(folder: Path, count: int = 3, *, isolated: bool | None = None, balanced: bool = True, **env: str) -> AsyncIterator[Town]:
    """Raises Impossible."""
    if why := machine.missing():
        raise Impossible(why)
    server = await asyncio.to_thread(machine.start)
    if not isinstance(server, LocalServer):
        raise Impossible("the PostgreSQL named by the environment is somebody else's, and is not stopped")
    upstream = FakeUpstream()
    upstream.answer(limited)
    await upstream.start()
    place = Town(folder, server, upstream)
    try:
        wanted = can_isolate() if isolated is None else isolated
        await place.prepare(count, isolated=wanted, balanced=balanced, env={"OMNI_SPILL_MINUTES": "5", **env})
        yield place
    finally:
        await place.close()
        await upstream.stop()
        server.close()


def can_isolate() -> bool:
    """Whether processes may have process ids of their own here."""
    return shutil.which("unshare") is not None and subprocess.run([*ISOLATED, "true"], capture_output=True, check=False).returncode == 0
