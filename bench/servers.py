"""CPU of what serves HTTP, per request: Hypercorn as it comes (h11), as it is here, uvicorn and granian.

    python -m bench.servers                      # five rounds; the best of each
    python -m bench.servers --requests 2000 --rounds 3

Each server runs in a process of its own, on uvloop; 20 connections are kept alive. CPU is user + system time of that process, from the
kernel's accounting, so other work on the machine matters little. Apps: one that answers at once (600 bytes to a request of 2 kB, or 100
chunks), and this gateway's own /health.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import selectors
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("h11", "hypercorn", "uvicorn", "granian")
CONNECTIONS = 20
BODY = b"x" * 600
CHUNK = b"data: " + b"y" * 200 + b"\n\n"
HEADERS = (
    b"Host: localhost:38471\r\nAuthorization: Bearer sk-abcdef\r\nContent-Type: application/json\r\nAccept: */*\r\n"
    b"Accept-Encoding: gzip\r\nUser-Agent: bench\r\n"
)
POST = b"POST %s HTTP/1.1\r\n" + HEADERS + b"Content-Length: 2048\r\n\r\n" + b"z" * 2048
GET = b"GET %s HTTP/1.1\r\n" + HEADERS + b"\r\n"
LOADS: dict[str, tuple[str, bytes]] = {
    "answer at once": ("bare", POST % b"/v1/chat/completions"),
    "100 chunks": ("bare", POST % b"/stream"),
    "gateway /health": ("gateway", GET % b"/health"),
}


async def bare(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] != "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"600")]})
        await send({"type": "http.response.body", "body": BODY, "more_body": False})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def serve(name: str, kind: str, say: int) -> None:
    from omni_connector.listeners import Place, listen
    from omni_connector.servers import maker
    from omni_connector.serving import Door, Face, settings_of_http

    app: Any = bare
    if kind == "gateway":
        import app as module
        from omni_connector.gateway import Gateway

        home = Path(tempfile.mkdtemp())
        app = module.create_app(await Gateway.open(home, {"OMNI_HOME": str(home)}))
        await app.startup()
    face = Face(app, "both", lambda path: "both", lambda: ())
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    if name == "h11":
        from hypercorn.asyncio.tcp_server import TCPServer
        from hypercorn.asyncio.worker_context import WorkerContext
        from hypercorn.typing import LifespanState
        from hypercorn.utils import wrap_app

        wrapped, context, config = wrap_app(face, 0, "asgi"), WorkerContext(None), settings_of_http()  # type: ignore[arg-type]

        async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await TCPServer(wrapped, asyncio.get_running_loop(), config, context, LifespanState({}), reader, writer)

        server = await asyncio.start_server(met, sock=listener)
    else:
        server = Door(Place("both", "127.0.0.1", 0), face, maker(name))  # type: ignore[assignment]
        await server.open(listener)  # type: ignore[attr-defined]
    os.write(say, b"%d" % port)
    await asyncio.sleep(3600)
    del server


def started(name: str, kind: str) -> tuple[int, int]:
    """Process and port."""
    hear, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        import uvloop

        asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(name, kind, say))
        os._exit(0)
    os.close(say)
    return pid, int(os.read(hear, 10))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, request: bytes, count: int) -> None:
    """Answers are told apart by how long the first one is: they are all the same but for the date, which has one length."""
    with socket.create_connection(("127.0.0.1", port)) as first:
        first.sendall(request)
        first.settimeout(0.5)
        length = 0
        try:
            while piece := first.recv(1 << 20):
                length += len(piece)
        except TimeoutError:
            pass
    selector = selectors.DefaultSelector()
    left = count
    for _ in range(CONNECTIONS):
        line = socket.create_connection(("127.0.0.1", port))
        line.setblocking(False)
        selector.register(line, selectors.EVENT_READ, [0])
        line.sendall(request)
        left -= 1
    done = 0
    while done < count:
        for key, _ in selector.select():
            line = key.fileobj  # type: ignore[assignment]
            key.data[0] += len(line.recv(1 << 20))
            if key.data[0] >= length:
                key.data[0] = 0
                done += 1
                if left > 0:
                    line.sendall(request)
                    left -= 1
    for key in list(selector.get_map().values()):
        key.fileobj.close()  # type: ignore[union-attr]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    names = [name for name in NAMES if name in ("h11", "hypercorn") or importlib.util.find_spec(name)]
    best: dict[tuple[str, str], float] = {}
    for kind in ("bare", "gateway"):
        servers = {name: started(name, kind) for name in names}
        try:
            for _ in range(chosen.rounds):
                for what, (of, request) in LOADS.items():
                    for name, (pid, port) in servers.items():
                        if of != kind:
                            continue
                        count = chosen.requests // (10 if what == "100 chunks" else 1)
                        load(port, request, CONNECTIONS)
                        before = cpu_s(pid)
                        load(port, request, count)
                        spent = (cpu_s(pid) - before) / count * 1e6
                        best[what, name] = min(best.get((what, name), spent), spent)
        finally:
            for pid, _ in servers.values():
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    print("| CPU µs per request | " + " | ".join(names) + " |\n|---|" + "---|" * len(names))
    for what in LOADS:
        print(f"| {what} | " + " | ".join(f"{best[what, name]:.0f}" for name in names) + " |")


if __name__ == "__main__":
    main()
