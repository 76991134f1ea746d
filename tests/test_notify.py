from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from omni_connector.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> socket.socket:
    """A service manager's end of the socket."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(str(tmp_path / "notify"))
    found.settimeout(5)
    return found


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_readiness_and_the_end_are_told(manager: socket.socket, tmp_path: Path) -> None:
    with manager:
        notifier = Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert notifier.ready("0.1.0 at http://localhost:1") and heard(manager) == "READY=1\nSTATUS=0.1.0 at http://localhost:1"
        assert notifier.stopping() and heard(manager) == "STOPPING=1"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or not Path("/proc/self").exists(), reason="abstract sockets are Linux's")
def test_an_abstract_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{tmp_path}")
        manager.settimeout(5)
        assert Notifier(f"@{tmp_path}").send(MAINPID=7) and heard(manager) == "MAINPID=7"


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    assert not Notifier.of({}).ready("")
    assert not Notifier(str(tmp_path / "gone")).ready("")


@pytest.mark.parametrize(("env", "seconds"), [({}, 0), ({"WATCHDOG_PID": "7"}, 60), ({"WATCHDOG_PID": "8"}, 0)])
def test_a_watchdog_of_another_process_is_none_of_ours(env: dict[str, str], seconds: float) -> None:
    microseconds = {} if not env else {"WATCHDOG_USEC": "60000000"}
    assert Notifier.of({**env, **microseconds}, pid=7).watchdog_s == seconds


async def test_signs_of_life_come_from_the_loop(manager: socket.socket, tmp_path: Path) -> None:
    with manager:
        async with Notifier(str(tmp_path / "notify"), watchdog_s=0.01).alive():
            assert [await asyncio.to_thread(heard, manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
