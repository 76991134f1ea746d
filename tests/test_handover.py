from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omni_connector import handover
from omni_connector.handover import Successor, Turn

CODE = "import os, sys; sys.path.insert(0, {root!r}); from omni_connector.handover import Turn, inherited; turn = Turn(os.environ); {rest}"
ROOT = str(Path(handover.__file__).parent.parent)
GOOD = "turn.comes() or sys.exit(1); s = inherited(os.environ, '127.0.0.1', 0); turn.is_taken(); c, _ = s.accept(); c.send(b'new')"


def program(rest: str) -> list[str]:
    return [sys.executable, "-c", CODE.format(root=ROOT, rest=rest)]


@pytest.fixture
def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_who_connects_meanwhile_is_answered_by_the_successor(listener: socket.socket) -> None:
    with listener, socket.create_connection(listener.getsockname()) as client:
        found = Successor.begin(program(GOOD.replace("c, _", "s.setblocking(True); c, _")), [listener])
        assert found.is_loaded(20)
        assert found.takes_over(20)
        client.settimeout(20)
        assert client.recv(3) == b"new"
        assert found.process.wait(20) == 0
        found.forget()


@pytest.mark.parametrize("rest", ["sys.exit(1)", "turn.comes(); sys.exit(1)"])
def test_one_that_ends_before_its_turn_is_noticed(listener: socket.socket, rest: str) -> None:
    with listener:
        found = Successor.begin(program(rest), [listener])
        assert not (found.is_loaded(20) and found.takes_over(20))
        found.give_up()
        assert found.process.poll() is not None


def test_a_successor_does_not_outlive_a_predecessor_that_is_killed(listener: socket.socket) -> None:
    with listener:
        found = Successor.begin(program("sys.exit(0 if turn.comes() else 7)"), [listener])
        assert found.is_loaded(20)
        os.close(found._speak)
        assert found.process.wait(20) == 7
        os.close(found._hear)


def test_without_anybody_before_us_it_is_our_turn() -> None:
    turn = Turn({})
    assert turn.comes() and not turn.is_awaited
    turn.is_taken()


def test_only_a_listener_of_that_address_is_taken(listener: socket.socket) -> None:
    with listener:
        port = listener.getsockname()[1]
        for number, host, wanted in (
            (listener.fileno(), "127.0.0.2", port),
            (listener.fileno(), "127.0.0.1", port + 1),
            (99999, "127.0.0.1", 0),
        ):
            assert handover.inherited({handover.LISTENERS: str(number)}, host, wanted) is None
        other = os.dup(listener.fileno())
        found = handover.inherited({handover.LISTENERS: f"x,{other}"}, "127.0.0.1", port)
        assert found is not None and not found.get_inheritable()
        found.close()


def test_who_is_to_come(tmp_path: Path) -> None:
    release = tmp_path / "releases/1.0"
    (release / "bin").mkdir(parents=True)
    (release / "bin/omni-connector").touch()
    (tmp_path / "current").symlink_to("releases/1.0")
    argv, original = ["omni", "serve", "--port", "1"], ["python", "-m", "omni_connector", "serve"]
    assert handover.command(argv, original, tmp_path, release) == [str(tmp_path / "current/bin/omni-connector"), "serve", "--port", "1"]
    assert handover.command(argv, original, tmp_path, tmp_path / "checkout") == original


def test_who_is_watched() -> None:
    assert handover.is_watched({}, 77, "linux")
    assert not handover.is_watched({}, 1, "linux")
    assert handover.is_watched({}, 1, "darwin")
    assert not handover.is_watched({"NOTIFY_SOCKET": "x"}, 77, "linux")


def guardian(folder: Path, rest: str) -> subprocess.Popen[bytes]:
    """A process that starts a child, and becomes the shell that stands for it."""
    code = f"import os, sys; from pathlib import Path; sys.path.insert(0, {ROOT!r}); from omni_connector.handover import guard; {rest}"
    return subprocess.Popen([sys.executable, "-c", f"{code}; guard(Path({str(folder)!r}), child)"], stderr=subprocess.PIPE)


def test_the_guardian_ends_with_the_server(tmp_path: Path) -> None:
    found = guardian(tmp_path, "child = os.posix_spawn('/bin/sleep', ['sleep', '0.1'], os.environ)")
    found.communicate(timeout=20)


def test_the_guardian_passes_signals_on_to_whoever_serves(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as server:
        (tmp_path / "server.json").write_text(f'{{"pid": {server.pid}, "url": "x"}}')
        found = guardian(tmp_path, "child = os.posix_spawn('/bin/sleep', ['sleep', '3'], os.environ)")
        until = time.monotonic() + 20
        comm = Path(f"/proc/{found.pid}/comm")
        while comm.exists() and "python" in comm.read_text() and time.monotonic() < until:
            time.sleep(0.05)  # it has no traps yet
        while server.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            found.send_signal(signal.SIGTERM)
        assert server.returncode == -signal.SIGTERM
        found.communicate(timeout=20)
