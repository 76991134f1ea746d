"""The running server of a home, from outside: who it is, whether it is well, and bringing it to the release that `current` names."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from omni_connector import handover
from omni_connector.updating.releases import Release, UpdateError, is_inside
from omni_connector.values import dataclass

Json = dict[str, Any]

LOOK_S = 0.05
ASK_S = 3.0
READY_WITHIN_S = 60.0
"""A start, migration included."""
HANDOVER_WITHIN_S = 40.0
"""Requests may finish first (drain_s, 30 s by default)."""
KILL_AFTER_S = 5.0
RESTARTED_WITHIN_S = 15.0
"""A service manager starts a server that ended."""


@dataclass(frozen=True, slots=True)
class Server:
    """What server.json says of a process that is alive."""

    pid: int
    url: str
    release: str
    started_at: int
    hands_over: bool
    managed: bool
    args: tuple[str, ...]
    host: str = ""

    def same_place(self) -> list[str]:
        """Arguments with which another one listens where this one does, also when only its environment said where."""
        place = {"--host": self.host, "--port": str(urlsplit(self.url).port or "")}
        missing = {name: value for name, value in place.items() if value and not any(word.startswith(name) for word in self.args)}
        return [*self.args, *(word for pair in missing.items() for word in pair)]


def running(home: Path) -> Server | None:
    try:
        said = json.loads((home / "server.json").read_text("utf-8"))
        found = Server(
            int(said["pid"]),
            str(said["url"]).rstrip("/"),
            str(said.get("release") or ""),
            int(said.get("started_at") or 0),
            said.get("hands_over") is True,
            said.get("managed") is True,
            tuple(str(word) for word in said.get("args") or ()),
            str(said.get("host") or ""),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if alive(found.pid) else None


def alive(pid: int) -> bool:
    """Whether the process has not ended. (A dead child of a careless parent keeps its number.)"""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return True  # no /proc here
    except (OSError, OverflowError, IndexError):
        return False


def ask(url: str, method: str, path: str, body: Json | None = None, key: str = "", within: float = ASK_S) -> tuple[int, Json]:
    """One request to a listener of ours, past every proxy; its certificate may be self-signed. (0, {}) when nobody answers."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=within, context=context)
    else:
        line = http.client.HTTPConnection(host, port, timeout=within)
    headers = {"content-type": "application/json", "connection": "close", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        line.request(method, path, None if body is None else json.dumps(body), headers)
        answer = line.getresponse()
        told = json.loads(answer.read() or b"{}")
    except (OSError, http.client.HTTPException, ValueError):
        return 0, {}
    finally:
        line.close()
    return answer.status, told if isinstance(told, dict) else {"answer": told}


def is_well(server: Server) -> bool:
    return ask(server.url, "GET", "/health")[0] == 200


def serves(home: Path, release: Release) -> bool:
    """Whether the running server is of that release, and well."""
    server = running(home)
    return server is not None and is_inside(server.release, release) and is_well(server)


# ---------------------------------------------------------------- Bringing it to a release


def bring(home: Path, release: Release, args: Sequence[str], managed: bool, env: Mapping[str, str]) -> bool:
    """Lets the server become `release`, which `current` names already; starts it where it does not run any more. True when it is well."""
    server = running(home)
    if server is not None and is_inside(server.release, release) and is_well(server):
        return True
    if server is None:
        return start(home, release, args, managed, env)
    if handover.SIGNAL is not None and server.hands_over:
        failed = home / handover.FAILED
        failed.unlink(missing_ok=True)
        os.kill(server.pid, handover.SIGNAL)
        try:
            return _wait(
                HANDOVER_WITHIN_S + READY_WITHIN_S, lambda: serves(home, release), lambda: failed.exists() or running(home) is None
            )
        finally:
            failed.unlink(missing_ok=True)
    end(home)
    return start(home, release, args, managed, env)


def start(home: Path, release: Release, args: Sequence[str], managed: bool, env: Mapping[str, str]) -> bool:
    """Starts a server in the background, or waits until its service manager did. True when it is well."""
    if managed and _wait(RESTARTED_WITHIN_S, lambda: serves(home, release)):
        return True
    if running(home) is not None:
        return _wait(READY_WITHIN_S, lambda: serves(home, release), lambda: running(home) is None)
    log = os.open(home / "logs" / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        begun = subprocess.Popen(  # noqa: S603 — a release of ours
            [str(release.launcher), *(args or ("serve",))],
            env={**env, "OMNI_HOME": str(home)},
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    except OSError:
        return False
    finally:
        os.close(log)
    well = _wait(READY_WITHIN_S, lambda: serves(home, release), lambda: begun.poll() is not None)
    begun.returncode = 0  # it outlives us on purpose: nobody need warn of it
    return well


def end(home: Path) -> None:
    """Ends the server: it may finish what runs, but one that does not begin to is killed. Raises UpdateError."""
    server = running(home)
    if server is None:
        return
    well = is_well(server)
    with contextlib.suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGTERM)
        if _wait(HANDOVER_WITHIN_S if well else KILL_AFTER_S, lambda: not alive(server.pid)):
            return
        os.kill(server.pid, signal.SIGKILL)
    if not _wait(KILL_AFTER_S, lambda: not alive(server.pid)):
        raise UpdateError(f"Process {server.pid}, the running server, cannot be ended.")


def _wait(within: float, holds: Callable[[], bool], hopeless: Callable[[], bool] = lambda: False) -> bool:
    until = time.monotonic() + within
    while not holds():
        if hopeless() or time.monotonic() > until:
            return holds()
        time.sleep(LOOK_S)
    return True
