"""`serve --reload`: the server anew whenever a source changes. For whoever works on the program itself; nobody else needs it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WATCHED = ("app.py", "omni_connector/**/*.py", "migrations/**/*.py", "static/**/*")
PAUSE_S = 0.5
"""Between two looks at the sources."""
END_WITHIN_S = 40.0
"""That a server has to let running requests finish, before it is killed."""

Stamps = Mapping[Path, int]


def stamps(root: Path) -> Stamps:
    """Every source and when it was changed (ns)."""
    found: dict[Path, int] = {}
    for pattern in WATCHED:
        for path in root.glob(pattern):
            try:
                found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # an editor that replaces a file
                continue
    return found


def run(command: Sequence[str], root: Path, say: Callable[[str], None], wait: Callable[[float], object]) -> int:
    """Runs `command`, and again when a source under `root` has changed; a server that ends by itself waits for the next change. Ends with
    the signal that ends the terminal's programs; returns the server's exit code. `wait`: between two looks, raises KeyboardInterrupt."""
    seen = stamps(root)
    server = _start(command)
    try:
        while True:
            wait(PAUSE_S)
            now = stamps(root)
            if now == seen:
                continue
            changed = sorted(path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path))
            say(f"{changed[0].relative_to(root)} changed{f' and {len(changed) - 1} more' if len(changed) > 1 else ''}: starting anew")
            seen = now
            _end(server)
            server = _start(command)
    except KeyboardInterrupt:
        return _end(server)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=dict(os.environ))  # noqa: S603 - ourselves


def _end(server: subprocess.Popen[bytes]) -> int:
    if server.poll() is None:
        server.send_signal(signal.SIGTERM)
    try:
        return server.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        server.kill()
        return server.wait()
