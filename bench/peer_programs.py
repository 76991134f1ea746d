"""The programs that are compared: how each is told of the upstream, and started.

program = await start("portkey", ground)     # or Absent, with the reason
program.request(size=2_000, stream=False)    # the bytes of a request it understands
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import environments, wires
from bench.environments import Absent, which
from bench.processes import end, family, on_cores, wait_for
from bench.wires import HOST, MODEL, Json
from omni_connector import __version__
from tests.live.processes import Server

KEY = "sk-bench-0123456789"
START_S = 120.0
OTHER_MODELS = 50
PATHS: Mapping[str, str] = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages", "gemini": "/v1beta"}
MARKS: Mapping[str, tuple[bytes, bytes]] = {
    "chat": (b'"usage"', b"[DONE]"),
    "responses": (b'"usage"', b"response.completed"),
    "anthropic": (b'"usage"', b"message_stop"),
    "gemini": (b"usageMetadata", b'"STOP"'),
}
"""What an answer must have in it to be complete, whole and streamed."""
TURN = "hello " * 330
"""One turn of a conversation: 2 kB."""

NGINX = """
master_process off; daemon off; worker_processes 1; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 0; client_body_buffer_size 4m; keepalive_requests 100000000;
  client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f; uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;
  upstream up {{ server {upstream}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen {host}:{port};
    location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""
TENSORZERO = """
gateway.observability.enabled = false
[models.{model}]
routing = ["up"]
[models.{model}.providers.up]
type = "openai"
model_name = "{model}"
api_base = "http://{upstream}/v1/"
api_key_location = "none"
"""
EMBEDDED = """
import sys, time
from tensorzero import tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print("at", gateway.base_url, flush=True)
time.sleep(86400)
"""
"""TensorZero's gateway has no program in its Python package: it is a thread of the program that asks for it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where programs are started: the upstream's port, a folder for what they write, environments, and the cores they may use."""

    upstream: int
    home: Path
    environments: Path | None
    cores: set[int] | None


@dataclass
class Program:
    """A program that runs. `wire`: the format its clients speak here."""

    name: str
    pid: int
    port: int
    version: str = ""
    headers: Json = field(default_factory=lambda: {"authorization": f"Bearer {KEY}"})
    path: str = PATHS["chat"]
    model: str = MODEL
    wire: str = "chat"
    server: Server | None = None
    """Ours, for its admin API."""

    @property
    def pids(self) -> list[int]:
        return family(self.pid) if self.pid else []

    def request(self, size: int, stream: bool, words: str = "") -> bytes:
        """A conversation of `size` bytes in turns of 2 kB, the last of which ends with `words`."""
        turns = [{"role": ("user", "assistant")[n % 2], "content": TURN} for n in range(max(1, size // len(TURN)) | 1)]
        turns[-1]["content"] += words
        return _request(self, turns, stream)

    def mark(self, stream: bool) -> bytes:
        return MARKS[self.wire][stream]

    def end(self) -> None:
        if self.pid:
            end(self.pid)
        if self.server is not None:
            self.server.kill()


def _request(program: Program, turns: list[Json], stream: bool) -> bytes:
    model = program.model
    path, asked = program.path, {"stream": True} if stream else {}
    match program.wire:
        case "responses":
            body: Json = {"model": model, "input": turns, "store": False, **asked}
        case "anthropic":
            body = {"model": model, "max_tokens": 4000, "messages": turns, **asked}
        case "gemini":
            roles = {"user": "user", "assistant": "model"}
            body = {"contents": [{"role": roles[turn["role"]], "parts": [{"text": turn["content"]}]} for turn in turns]}
            path = f"{path}/models/{model}:{'streamGenerateContent?alt=sse' if stream else 'generateContent'}"
        case _:
            body = {"model": model, "messages": turns, **asked}
    return wires.post(program.port, path, json.dumps(body).encode(), program.headers)


# ---------------------------------------------------------------- Starting


def free_port() -> int:
    with socket.socket() as line:
        line.bind((HOST, 0))
        return int(line.getsockname()[1])


def _spawn(name: str, command: list[str], ground: Ground, **env: str) -> tuple[subprocess.Popen[bytes], Path]:
    log = ground.home / f"{name}.log"
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy") and key != "PYTHONPATH"}
    with on_cores(ground.cores), log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**kept, "NO_PROXY": "*", **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ground.home
        )
    return process, log


async def _up(name: str, process: subprocess.Popen[bytes], log: Path, port: int, path: str) -> None:
    """Waits until it answers. Raises Absent, and ends it, when it does not."""
    try:
        await asyncio.to_thread(wait_for, f"http://{HOST}:{port}{path}", process, START_S)
    except BaseException as error:
        end(process.pid)
        if not isinstance(error, RuntimeError):
            raise
        raise Absent(f"{error}; {log.read_text(errors='replace').strip()[-300:] or 'it says nothing'}") from error


async def _direct(name: str, ground: Ground) -> Program:
    return Program(name, 0, ground.upstream)


async def _nginx(name: str, ground: Ground) -> Program:
    run, port, config = which("nginx"), free_port(), ground.home / "nginx.conf"
    config.write_text(NGINX.format(home=ground.home, upstream=f"{HOST}:{ground.upstream}", host=HOST, port=port))
    process, log = _spawn(name, [run, "-c", str(config), "-p", str(ground.home)], ground)
    await _up(name, process, log, port, "/")
    told = subprocess.run([run, "-v"], capture_output=True, text=True, check=False, timeout=20).stderr
    return Program(name, process.pid, port, told.strip().rpartition("/")[2])


async def _litellm(name: str, ground: Ground) -> Program:
    return await litellm(environments.find(ground.environments, name), ground)


async def litellm(run: Path, ground: Ground) -> Program:
    """LiteLLM's proxy, by its program. Raises Absent."""
    name, port, config = "litellm", free_port(), ground.home / "litellm.yaml"
    params = {"model": f"openai/{MODEL}", "api_base": f"http://{HOST}:{ground.upstream}/v1", "api_key": KEY}
    config.write_text(
        json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": params}], "general_settings": {"master_key": KEY}})
    )
    command = [str(run), "--config", str(config), "--port", str(port), "--host", HOST, "--num_workers", "1"]
    process, log = _spawn(name, command, ground, LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR")
    await _up(name, process, log, port, "/health/liveliness")
    return Program(name, process.pid, port)


async def _portkey(name: str, ground: Ground) -> Program:
    run, port = environments.find(ground.environments, name), free_port()
    process, log = _spawn(name, [which("node"), str(run), f"--port={port}", "--headless"], ground)
    await _up(name, process, log, port, "/")
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"http://{HOST}:{ground.upstream}/v1"}
    return Program(name, process.pid, port, headers={"authorization": f"Bearer {KEY}", **headers})


async def _tensorzero(name: str, ground: Ground) -> Program:
    run, config = environments.find(ground.environments, name), ground.home / "tensorzero.toml"
    config.write_text(TENSORZERO.format(model=MODEL, upstream=f"{HOST}:{ground.upstream}"))
    process, log = _spawn(name, [str(run), "-c", EMBEDDED, str(config)], ground)
    for _ in range(int(START_S / 0.1)):
        told = [line for line in log.read_text(errors="replace").splitlines() if line.startswith("at http://")]
        if told:
            break
        if process.poll() is not None:
            raise Absent(f"it ended: {log.read_text(errors='replace').strip()[-300:]}")
        await asyncio.sleep(0.1)
    else:
        end(process.pid)
        raise Absent(f"it did not start within {START_S:.0f} s")
    port, _, path = told[0].rpartition(":")[2].partition("/")
    return Program(name, process.pid, int(port), path=f"/{path}/chat/completions", model=f"tensorzero::model_name::{MODEL}")


async def _router(name: str, ground: Ground) -> Program:
    run, port, folder = environments.find(ground.environments, name), free_port(), ground.home / ".claude-code-router"
    provider = {"name": "up", "api_base_url": f"http://{HOST}:{ground.upstream}/v1/chat/completions", "api_key": KEY, "models": [MODEL]}
    config = {"PORT": port, "HOST": HOST, "LOG": False, "APIKEY": KEY, "Providers": [provider], "Router": {"default": f"up,{MODEL}"}}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    process, log = _spawn(name, [which("node"), str(run), "start"], ground, HOME=str(ground.home))
    await _up(name, process, log, port, "/health")
    return Program(name, process.pid, port, headers={"x-api-key": KEY}, path=PATHS["anthropic"], wire="anthropic")


async def ours(name: str, ground: Ground, *arguments: str, accounts: int = 1, others: int = 0, **env: str) -> Program:
    """omni-connector with accounts at the upstream, `others` that do not have the model, and a client key. `env`: settings of this one."""
    server = Server(ground.home / name, "--port", "0", *arguments, **env)
    with on_cores(ground.cores):
        server.spawn()
    try:
        await server.ready(START_S)
        for number in range(accounts):
            await add_account(server, ground.upstream, f"bench-{number}")
        for number in range(others):
            await add_account(server, ground.upstream, f"other-{number}", model=f"other-{number % OTHER_MODELS}")
        key = (await server.admin("POST", "/api/keys", {"name": "bench"}))["key"]
    except BaseException:
        end(server.pid)
        server.kill()
        raise
    port = int(server.url.rpartition(":")[2])
    return Program(name, server.pid, port, __version__, {"authorization": f"Bearer {key}"}, server=server)


async def add_account(
    server: Server, upstream: int, label: str, provider: str = "custom-openai", model: str = MODEL, at: str = "/v1"
) -> None:
    told = {"provider": provider, "label": label, "api_key": KEY, "base_url": f"http://{HOST}:{upstream}{at}", "models": [model]}
    await server.admin("POST", "/api/accounts", {**told, "discover": False})


async def _ours(name: str, ground: Ground) -> Program:
    chosen = name.partition("-")[2] or "hypercorn"
    try:
        return await ours(name, ground, OMNI_SERVER=chosen)
    except AssertionError as error:
        raise Absent(str(error)[-300:]) from error


STARTS: Mapping[str, Callable[[str, Ground], Awaitable[Program]]] = {
    "direct": _direct,
    "nginx": _nginx,
    "omni": _ours,
    "omni-uvicorn": _ours,
    "omni-granian": _ours,
    "tensorzero": _tensorzero,
    "portkey": _portkey,
    "claude-code-router": _router,
    "litellm": _litellm,
}
"""Every program there is, the floor first."""


async def start(name: str, ground: Ground) -> Program:
    """Raises Absent, with the reason, when it is not there or does not start."""
    program = await STARTS[name](name, ground)
    if name in environments.PACKAGES and ground.environments is not None:
        program.version = environments.version(ground.environments, name)
    return program
