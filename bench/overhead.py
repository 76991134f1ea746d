"""What a request costs on its way through: CPU and added latency against going direct, and against LiteLLM's proxy.

    python bench/overhead.py                                 omni-connector alone, against direct
    python bench/overhead.py --litellm /path/to/venv         and LiteLLM from that virtual environment, on the same load

Load: POST of a 2 KB body, answered by a fixed 600-byte chat completion (whole) or by 100 chunks at once (stream).
Upstream and client are bare asyncio protocols, far cheaper than what they measure. CPU is user + system time of the
server process per request, from the kernel's accounting. Read the figures as ratios: they are made on the same machine,
in the same minute. Everything stays on loopback and stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "bench-model"
WHOLE = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 60}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560},
    }
).encode()


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    body = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return b"data: " + json.dumps({**body, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}).encode() + b"\n\n"


USAGE = {"prompt_tokens": 500, "completion_tokens": 98, "total_tokens": 598}
CHUNKS = [
    chunk({"role": "assistant", "content": ""}),
    *(chunk({"content": f"word{n} "}) for n in range(98)),
    chunk({}, "stop", usage=USAGE),
]
STREAM = b"".join(CHUNKS) + b"data: [DONE]\n\n"


class UpstreamProtocol(asyncio.Protocol):
    """Answers every POST at once; keeps the connection."""

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
            if len(rest) < length:
                return
            body, self._buffer = rest[:length], rest[length:]
            self._answer(b'"stream":true' in body.replace(b" ", b""))

    def _answer(self, stream: bool) -> None:
        kind, body = (b"text/event-stream", STREAM) if stream else (b"application/json", WHOLE)
        head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ncontent-length: " + str(len(body)).encode() + b"\r\n\r\n"
        self._transport.write(head + body)  # type: ignore[attr-defined]


class ClientProtocol(asyncio.Protocol):
    """One connection that sends a request when the last answer is complete. Understands length and chunked."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._done: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def ask(self, data: bytes) -> asyncio.Future[bytes]:
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(data)  # type: ignore[attr-defined]
        return self._done

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0 or self._done is None:
            return
        head = bytes(self._buffer[:end]).lower()
        if b"transfer-encoding: chunked" in head:
            complete = self._buffer.endswith(b"0\r\n\r\n")
        else:
            length = int(next(line.split(b":")[1] for line in head.split(b"\r\n") if line.startswith(b"content-length")))
            complete = len(self._buffer) - end - 4 >= length
        if complete:
            answer, self._buffer = bytes(self._buffer), bytearray()
            done, self._done = self._done, None
            done.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server hung up"))


@dataclass
class Figures:
    cpu_us: float
    p50_ms: float
    p99_ms: float
    per_s: float


def request_bytes(port: int, key: str, stream: bool) -> bytes:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello " * 330}], **({"stream": True} if stream else {})}
    raw = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    )
    return head.encode() + f"content-length: {len(raw)}\r\n\r\n".encode() + raw


def cpu_seconds(pids: list[int]) -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


async def load(port: int, key: str, *, stream: bool, count: int, connections: int, pids: list[int]) -> Figures:
    data = request_bytes(port, key, stream)
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(ClientProtocol, "127.0.0.1", port))[1] for _ in range(connections)]
    marker = b"[DONE]" if stream else b'"usage"'
    times: list[float] = []
    left = count

    async def work(client: ClientProtocol) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            began = time.perf_counter()
            answer = await client.ask(data)
            times.append(time.perf_counter() - began)
            if marker not in answer:
                raise RuntimeError(answer[:500].decode("utf-8", "replace"))

    for client in clients:
        await client.ask(data)  # warm
    before, began = cpu_seconds(pids), time.perf_counter()
    await asyncio.gather(*(work(client) for client in clients))
    took = time.perf_counter() - began
    used = cpu_seconds(pids) - before
    times.sort()
    return Figures(used / count * 1e6, median(times) * 1e3, times[int(len(times) * 0.99) - 1] * 1e3, count / took)


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float) -> float:
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if process.poll() is not None:
            raise SystemExit(f"the server ended with {process.returncode}; see its log")
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return time.perf_counter() - began
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{url} did not answer within {seconds} s")


def start_omni(home: Path, upstream: int, port: int) -> tuple[subprocess.Popen[bytes], str]:
    env = {**os.environ, "OMNI_HOME": str(home), "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-m", "omni_connector"]
    add = ["backend", "add", "custom-openai", "--label", "bench", "--api-key", "sk-bench", "--base-url", f"http://127.0.0.1:{upstream}/v1"]
    subprocess.run([*run, *add, "--models", MODEL, "--json"], env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = subprocess.run([*run, "key", "create", "--name", "bench", "--json"], env=env, check=True, capture_output=True)
    process = subprocess.Popen([*run, "serve", "--port", str(port)], env=env, stdout=subprocess.DEVNULL)
    return process, json.loads(made.stdout)["key"]


def start_litellm(venv: Path, home: Path, upstream: int, port: int) -> tuple[subprocess.Popen[bytes], str]:
    config = home / "litellm.yaml"
    params = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-bench"}
    config.write_text(
        json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": params}], "general_settings": {"master_key": "sk-bench-key"}})
    )
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "NO_PROXY": "*"}
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--port", str(port), "--host", "127.0.0.1", "--num_workers", "1"]
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=(home / "litellm.log").open("wb")), "sk-bench-key"


def tree(pid: int) -> list[int]:
    """The process and its children."""
    found = [pid]
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == pid:
                found.append(int(entry.name))
    return found


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(UpstreamProtocol, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()[1]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        me = [os.getpid()]
        results["direct"] = {
            name: await load(upstream, "x", stream=stream, count=args.count, connections=args.connections, pids=me)
            for name, stream in (("whole", False), ("stream", True))
        }
        servers: list[tuple[str, tuple[subprocess.Popen[bytes], str], int, str, float]] = []
        started = [("omni-connector", start_omni(home / "omni", upstream, args.port), args.port, "/health", 1.0)]
        if args.litellm:
            port = args.port + 1
            started.append(("litellm", start_litellm(args.litellm, home, upstream, port), port, "/health/liveliness", 0.1))
        servers.extend(started)
        try:
            for name, (process, key), port, path, share in servers:
                await asyncio.to_thread(wait_for, f"http://127.0.0.1:{port}{path}", process, 90)
                await asyncio.sleep(args.settle)
                idle = memory_mb(tree(process.pid)[-1])
                count = max(50, int(args.count * share))
                results[name] = {
                    kind: await load(port, key, stream=stream, count=count, connections=args.connections, pids=tree(process.pid))
                    for kind, stream in (("whole", False), ("stream", True))
                }
                alone = {
                    kind: await load(port, key, stream=stream, count=max(50, count // 10), connections=1, pids=tree(process.pid))
                    for kind, stream in (("whole", False), ("stream", True))
                }
                results[name] |= {"alone": alone, "idle_mb": idle}
                process.send_signal(signal.SIGTERM)
                process.wait(20)
        finally:
            for _, (process, _), *_rest in servers:
                if process.poll() is None:
                    process.kill()
    server.close()
    return results


def show(results: dict[str, Any]) -> None:
    print(f"{'':16}{'kind':8}{'CPU µs':>10}{'p50 ms':>10}{'p99 ms':>10}{'req/s':>10}")
    for name, kinds in results.items():
        for kind in ("whole", "stream"):
            f = kinds[kind]
            cpu = "–" if name == "direct" else f"{f.cpu_us:.0f}"
            print(f"{name:16}{kind:8}{cpu:>10}{f.p50_ms:>10.2f}{f.p99_ms:>10.2f}{f.per_s:>10.0f}")
        if "alone" in kinds:
            for kind, f in kinds["alone"].items():
                print(f"{'  one at a time':16}{kind:8}{f.cpu_us:>10.0f}{f.p50_ms:>10.2f}{f.p99_ms:>10.2f}{f.per_s:>10.0f}")
            print(f"{'  idle memory':16}{kinds['idle_mb']:>10.0f} MB")
    if "litellm" in results:
        for kind in ("whole", "stream"):
            ratio = results["litellm"][kind].cpu_us / results["omni-connector"][kind].cpu_us
            print(f"LiteLLM uses {ratio:.1f} times the CPU of omni-connector per {kind} request.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="requests of each kind")
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--port", type=int, default=38600)
    parser.add_argument("--settle", type=float, default=2.0, help="seconds of rest before measuring")
    parser.add_argument("--litellm", type=Path, help="a virtual environment that has LiteLLM's proxy")
    show(asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
