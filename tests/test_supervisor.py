"""The parent of the workers, with workers that do next to nothing: a program of its own, because it forks and takes signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from omni_connector import supervisor
from omni_connector.workers import SUPPORTED, BackOff

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="needs fork")
ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from omni_connector import supervisor, workers
from omni_connector.listeners import Sockets
from omni_connector.notify import Notifier
workers.PAUSES = supervisor_pauses = tuple(0.01 for _ in workers.PAUSES)
{more}

def serve(channel, until="TERM"):
    import select
    listener = channel.take(("127.0.0.1", 0))
    listener.setblocking(True)
    channel.serves({{"port": listener.getsockname()[1]}}, 1.0)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(workers.RETIRE, lambda *_: os._exit(0))
    signal.signal(workers.LEAVE, lambda *_: os._exit(0))
    while True:
        ready = select.select([listener, channel.lifeline], [], [])[0]
        if channel.lifeline in ready:
            os._exit(9)
        client, _ = listener.accept()
        client.sendall(json.dumps({{"pid": os.getpid(), **channel.crew()}}).encode())
        client.close()

def work(channel):
{work}

def noted(said):
    Path("note.tmp").write_text(json.dumps(said))
    os.replace("note.tmp", "note.json")

sockets = Sockets(os.environ)
parent = supervisor.Supervisor({count}, sockets, work, noted, Notifier(), None, Path("."))
sys.exit(parent.run())
"""


class Parent:
    def __init__(self, folder: Path, work: str, count: int = 2, more: str = "") -> None:
        lines = "\n".join(f"    {line}" for line in work.splitlines())
        program = PROGRAM.format(root=str(ROOT), work=lines, count=count, more=more)
        self.folder = folder
        self.process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stderr=subprocess.PIPE, text=True)

    def crew(self) -> dict[str, Any]:
        port = json.loads((self.folder / "note.json").read_text())["port"]
        with closing(socket.create_connection(("127.0.0.1", port), timeout=5)) as line, line.makefile("rb") as told:
            return dict(json.loads(told.read() or b"{}"))

    def pids(self) -> list[int]:
        return [worker["pid"] for worker in self.crew().get("workers", ()) if worker["state"] == "serving"]

    def until(self, holds: Callable[[], bool], within: float = 10) -> None:
        end = time.monotonic() + within
        while True:
            try:
                if holds():
                    return
            except (OSError, ValueError):
                pass
            assert time.monotonic() < end, "waited in vain"
            assert self.process.poll() is None, self.process.stderr and self.process.stderr.read()
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        _, words = self.process.communicate(timeout=15)
        return self.process.returncode, words


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Parent]]:
    made: list[Parent] = []

    def start(work: str, **more: Any) -> Parent:
        made.append(Parent(tmp_path, work, **more))
        return made[-1]

    yield start
    for parent in made:
        if parent.process.poll() is None:
            parent.process.kill()
        parent.process.communicate()


def test_a_worker_that_dies_is_replaced_and_all_are_on_reload(begin: Callable[..., Parent]) -> None:
    parent = begin("serve(channel)")
    parent.until(lambda: len(parent.pids()) == 2)
    before = parent.pids()
    os.kill(before[0], signal.SIGKILL)
    parent.until(lambda: len(parent.pids()) == 2 and before[0] not in parent.pids())
    assert before[1] in parent.pids()
    before = parent.pids()
    os.kill(parent.process.pid, signal.SIGHUP)
    parent.until(lambda: len(parent.pids()) == 2 and not set(before) & set(parent.pids()))
    os.kill(parent.process.pid, signal.SIGTERM)
    assert parent.end()[0] == 0


def test_one_that_cannot_start_ends_it_with_its_own_code(begin: Callable[..., Parent]) -> None:
    parent = begin("print('omni-connector: no.', file=sys.stderr)\nreturn 7")
    code, words = parent.end()
    assert (code, words.count("no.")) == (7, 1)


def test_workers_that_cannot_live_end_it_with_words(begin: Callable[..., Parent]) -> None:
    work = "if Path('note.json').exists():\n    return 5\nchannel.serves({'port': 1}, 1.0)\nreturn 5"
    parent = begin(work, count=1)
    code, words = parent.end()
    assert code == supervisor.EXIT_CRASHING
    assert "end as soon as they start (exit code 5" in words


def test_a_failed_reload_leaves_the_old_workers(begin: Callable[..., Parent]) -> None:
    parent = begin("if Path('broken').exists():\n    return 3\nserve(channel)")
    parent.until(lambda: len(parent.pids()) == 2)
    before = parent.pids()
    (parent.folder / "broken").touch()
    os.kill(parent.process.pid, signal.SIGHUP)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        assert parent.pids() == before
    assert parent.process.poll() is None


def test_one_that_does_not_end_is_killed(begin: Callable[..., Parent]) -> None:
    work = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchannel.serves({'port': 1}, 0.1)\nPath('up').touch()\ntime.sleep(60)\nreturn 0"
    parent = begin(work, count=1, more="supervisor.MARGIN_S = 0.1")
    parent.until((parent.folder / "up").exists)
    os.kill(parent.process.pid, signal.SIGTERM)
    assert parent.end()[0] == 0


def test_one_that_hangs_is_killed_and_replaced(begin: Callable[..., Parent]) -> None:
    hang = "if Path('hang').exists():\n    Path('hang').unlink()\n    channel.serves({'port': 1}, 0.1)\n    time.sleep(60)\n"
    parent = begin(hang + "serve(channel)", count=1, more="supervisor.SILENT_S = 0.3\nPath('hang').touch()")
    parent.until(lambda: len(parent.pids()) == 1)


def test_patience_with_quick_ends_runs_out() -> None:
    found = BackOff()
    pauses = [found.ended(0.1) for _ in range(8)]
    assert pauses[0] == 0.0 and pauses == sorted(pauses) and not found.is_hopeless
    found.ended(0.1)
    assert found.is_hopeless
    assert found.ended(60.0) == 0.0 and not found.is_hopeless
