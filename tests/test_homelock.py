"""Many may work on a home, or one may restore it; nobody waits for ever, and the words tell which of the two it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from omni_connector import homelock
from omni_connector.errors import GatewayError, Kind

HOLDER = """
import sys
from pathlib import Path
from omni_connector import homelock
with homelock.alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_many_at_once_or_one_alone(tmp_path: Path) -> None:  # P-61
    first, second = homelock.share(tmp_path), homelock.share(tmp_path)
    with pytest.raises(GatewayError, match="in use") as caught, homelock.alone(tmp_path):
        pass
    assert caught.value.kind is Kind.CONFLICT
    first.release()
    first.release()
    second.release()
    with homelock.alone(tmp_path), pytest.raises(GatewayError, match="restore is under way"):
        homelock.share(tmp_path, 0)
    with homelock.alone(tmp_path), pytest.raises(GatewayError, match="restore is under way"), homelock.alone(tmp_path):
        pass
    homelock.share(tmp_path, 0).release()
    assert (tmp_path / homelock.FILE).stat().st_mode & 0o777 == 0o600


def test_a_start_waits_a_moment(tmp_path: Path) -> None:
    pauses: list[float] = []
    with homelock.alone(tmp_path), pytest.raises(GatewayError):
        homelock.share(tmp_path, 3 * homelock.PAUSE_S, pauses.append)
    assert pauses == [homelock.PAUSE_S] * 3


def test_who_is_killed_holds_nothing(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(GatewayError, match="restore is under way"):
            homelock.share(tmp_path, 0)
        holder.kill()
        holder.wait()
        homelock.share(tmp_path, 0).release()


def test_a_disk_that_takes_no_lock_stops_nobody(tmp_path: Path) -> None:
    homelock.share(tmp_path / "nowhere", 0).release()
    with homelock.alone(tmp_path / "nowhere"):
        pass
