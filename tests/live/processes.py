"""Real server processes and bare HTTP for tests: what a client library would hide must be seen here byte by byte.

async with running(home) as server:          # python -m omni_connector serve
    await server.admin("POST", "/api/accounts", {"provider": "demo", "label": "demo"})
    async with Line.open(server.url) as line:
        reply = await line.ask("POST", "/v1/messages", {...}, {"x-api-key": key})
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent.parent
Json = dict[str, Any]

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"

BUSY_S = 30.0
"""How long to wait for what must happen: it decides nothing but how late a test fails on a busy machine."""


async def soon(holds: Callable[[], Any], within: float = BUSY_S) -> None:
    """Waits until it holds."""
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, "it never happened"
        await asyncio.sleep(0.005)


# ---------------------------------------------------------------- Bare HTTP


@dataclass
class Reply:
    """One HTTP answer. `whole`: its end was marked (Content-Length or last chunk), so nothing is missing."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Line:
    """One TCP connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str
    pieces: list[bytes] = field(default_factory=list)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str, limit: int = 1 << 20) -> AsyncIterator[Line]:
        place = urlsplit(url)
        host = place.hostname or ""
        reader, writer = await asyncio.open_connection(host if host.startswith("127.") else "127.0.0.1", place.port, limit=limit)
        line = cls(reader, writer, place.netloc)
        try:
            yield line
        finally:
            await line.hang_up()

    async def hang_up(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def request(self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of a request; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Host": self.host, "Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + data

    async def ask(self, method: str, path: str, body: Any = b"", headers: Mapping[str, str] | None = None, within: float = BUSY_S) -> Reply:
        self.writer.write(self.request(method, path, body, headers))
        return await self.reply(within)

    async def start(self, within: float = BUSY_S) -> Reply:
        """Status and headers of the next answer; `piece` gives its body bit by bit."""
        async with asyncio.timeout(within):
            head = await self.reader.readuntil(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Reply(int(status_line.split()[1]), headers)

    async def reply(self, within: float = BUSY_S) -> Reply:
        """The next whole answer (or what came of it before the connection broke)."""
        reply = await self.start(within)
        async with asyncio.timeout(within):
            try:
                if "content-length" in reply.headers:
                    reply.body = await self.reader.readexactly(int(reply.headers["content-length"]))
                else:
                    while piece := await self.piece():
                        reply.body += piece
                reply.whole = True
            except asyncio.IncompleteReadError as broken:
                reply.body += broken.partial
        return reply

    async def piece(self) -> bytes:
        """The next chunk of a chunked body, b"" at its end. Raises IncompleteReadError when the connection breaks."""
        size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
        data = await self.reader.readexactly(size + 2)
        return data[:-2]

    async def until(self, mark: bytes, within: float = BUSY_S) -> bytes:
        """Chunks of the body up to the one in which `mark` is seen."""
        seen = b""
        async with asyncio.timeout(within):
            while mark not in seen:
                piece = await self.piece()
                assert piece, f"the body ended without {mark!r}: {seen[-500:]!r}"
                seen += piece
        return seen

    async def rest(self, within: float = BUSY_S) -> bytes:
        """What is left of a chunked body, to its very end."""
        seen = b""
        async with asyncio.timeout(within):
            while piece := await self.piece():
                seen += piece
        return seen

    async def closed(self, within: float = 2) -> bool:
        """True when the server ended the connection cleanly: nothing more to read, no reset."""
        try:
            async with asyncio.timeout(within):
                return await self.reader.read(1) == b""
        except (TimeoutError, ConnectionError):
            return False


def chat(text: str = "hello", model: str = "test-model", *, stream: bool = False, **more: Any) -> Json:
    """A Chat Completions request."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **({"stream": True} if stream else {}), **more}


def message(text: str = "hello", model: str = "test-model", *, stream: bool = False, **more: Any) -> Json:
    """A Messages request."""
    return {**chat(text, model, stream=stream), "max_tokens": 100, **more}


# ---------------------------------------------------------------- Server processes


class Server:
    """`python -m omni_connector serve --port 0` on a home of its own; may be killed and started again."""

    def __init__(self, home: Path, *arguments: str, **env: str) -> None:
        self.home = home
        self.arguments = arguments
        self.env = env
        self.url = ""
        self.process: subprocess.Popen[str] | None = None
        self.spawned_at = 0.0
        self.started = 0.0
        """Seconds that it took to be ready."""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> None:
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        server = os.environ.get("OMNI_TEST_SERVER", "hypercorn")  # the same tests on every server
        env = {**os.environ, "OMNI_HOME": str(self.home), "OMNI_SERVER": server, "PYTHONPATH": path, **self.env}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, every start would compile the whole product anew
        command = [sys.executable, "-m", "omni_connector", "serve", *(self.arguments or ("--port", "0"))]
        self.spawned_at = time.monotonic()
        # A file and not a pipe: a killed process must not leave us with a half-read pipe, and nobody need drain it.
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with self.output.open("w") as output:
            self.process = subprocess.Popen(command, env=env, cwd=self.home.parent, stdout=output, stderr=subprocess.STDOUT, text=True)

    @property
    def output(self) -> Path:
        return self.home.parent / f"{self.home.name}.output"

    async def ready(self, within: float = 2 * BUSY_S) -> float:
        """Waits until /health answers; seconds since `spawn`."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            assert self.process is not None
            assert self.process.poll() is None, f"the server ended: {self.output.read_text()}"
            with contextlib.suppress(OSError, ValueError, KeyError, asyncio.IncompleteReadError):
                note = json.loads((self.home / "server.json").read_text())
                if note["pid"] == self.pid:
                    self.url = note["url"]
                    async with Line.open(self.url) as line:
                        if (await line.ask("GET", "/health")).status == 200:
                            self.started = time.monotonic() - self.spawned_at
                            return self.started
            await asyncio.sleep(0.01)
        raise AssertionError(f"the server did not start: {self.output.read_text()}")

    def kill(self) -> None:
        """SIGKILL, and reap it: a zombie would still count as a living process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> None:
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self, within: float = BUSY_S) -> int:
        """The exit code, once the process has ended."""
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within)

    async def admin(self, method: str, path: str, body: Any = b"") -> Any:
        """A call of the admin API that must succeed."""
        key = (self.home / "admin.key").read_text().strip()
        async with Line.open(self.url) as line:
            reply = await line.ask(method, path, body, {"Authorization": f"Bearer {key}"})
        if not reply.whole:  # killed while it answered
            raise asyncio.IncompleteReadError(reply.body, None)
        assert reply.status < 300, reply
        return reply.json

    def memory_mb(self) -> float:
        """Resident memory of the process."""
        return resident_mb(self.pid)


def resident_mb(pid: int | str = "self") -> float:
    """Resident memory of a process in MB, where /proc tells it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


@contextlib.asynccontextmanager
async def running(home: Path, **env: str) -> AsyncIterator[Server]:
    """A ready server, killed at the end if it still runs."""
    server = Server(home, **env)
    server.spawn()
    try:
        await server.ready()
        yield server
    finally:
        server.kill()
