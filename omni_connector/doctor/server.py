"""The server: healthy, or able to start."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path

from omni_connector import __version__, secrets
from omni_connector.doctor.finding import Finding, Server
from omni_connector.errors import GatewayError
from omni_connector.settings import Settings


async def listening(home: Path, env: Mapping[str, str], stored: Settings, server: Server | None) -> list[Finding]:
    """The server is healthy, or it could start: its port is free."""
    if server is not None:
        return [await _health(home, env, server)]
    if (home / "server.json").exists():
        stale = [
            Finding(
                "warn",
                "server",
                "The last server did not end properly (server.json is still there).",
                "Nothing to do: the next start replaces it.",
            )
        ]
    else:
        stale = [Finding("ok", "server", "Not running.")]
    taken = await asyncio.to_thread(_port_taken, stored.host, stored.port)
    if not taken:
        return [*stale, Finding("ok", "port", f"{stored.host}:{stored.port} is free.")]
    fix = "End the program that uses it, or take another port: omni-connector serve --port 38472"
    return [*stale, Finding("fail", "port", f"{stored.host}:{stored.port} is taken by another program ({taken}).", fix)]


async def _health(home: Path, env: Mapping[str, str], server: Server) -> Finding:
    from omni_connector.upstream import admin_client

    client = admin_client(server.url, secrets.load_or_create_admin_key(home, env))
    try:
        status, answer = await client.request("GET", "/api/system")
        if status == 404 and (await client.request("GET", "/health"))[0] == 200:
            return Finding("ok", "server", f"Healthy at {server.url} (process {server.pid}); the admin side is closed (admin state off).")
    except GatewayError as error:
        fix = "omni-connector stop, then omni-connector; the log says more: omni-connector logs"
        return Finding("fail", "server", f"Process {server.pid} runs, but {server.url} does not answer: {error.message}", fix)
    finally:
        await client.close()
    if status == 401:
        return Finding("fail", "server", "It refuses this home's admin key.", "Restart it: omni-connector stop, then omni-connector.")
    if status != 200:
        return Finding("fail", "server", f"{server.url} answers with status {status}.", "See: omni-connector logs")
    if answer.get("version") != __version__:
        message = f"It is release {answer.get('version')}, installed is {__version__}."
        return Finding("warn", "server", message, "Restart it: omni-connector stop, then omni-connector.")
    return Finding("ok", "server", f"Healthy at {server.url} (process {server.pid}).")


def _port_taken(host: str, port: int) -> str | None:
    """What the system says when the port cannot be bound; None when it can (or when any port will do)."""
    if port == 0:
        return None
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            # Without this a port whose connections ended a moment ago looks taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return None
