import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import omni_connector
from omni_connector.cli import server as module
from omni_connector.cli.desk import running
from tests.cli.conftest import Cli

PACKAGE_ROOT = str(Path(omni_connector.__file__).parent.parent)


def start(*options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "omni_connector", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PACKAGE_ROOT},
    )


@pytest.fixture
def live(omni_home: Path) -> Iterator[subprocess.Popen[str]]:
    """A server as a user starts it, on a free port."""
    process = start("serve", "--port", "0")
    until = time.monotonic() + 30
    while running(omni_home) is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert running(omni_home) is not None, process.communicate(timeout=5)
    yield process
    process.kill()
    process.communicate()


def test_without_a_server(cli: Cli) -> None:
    assert cli("status", "--json").json["running"] is False
    assert cli("status").code == module.NOT_RUNNING
    assert cli("stop").code == 0
    opened = cli("open")
    assert (opened.code, opened.err.count("\n")) == (1, 1)


def test_with_a_server_commands_go_through_it_and_are_effective_at_once(cli: Cli, live: subprocess.Popen[str], omni_home: Path) -> None:
    found = running(omni_home)
    assert found is not None
    assert cli("backend", "add", "demo").code == 0
    key = cli("key", "create", "--name", "x", "--json").json
    status = cli("status", "--json").json
    assert (status["pid"], status["accounts"], status["url"]) == (live.pid, {"ready": 1}, found.base_url)
    assert "process" in cli("status").out
    assert cli("backend", "add", "demo", "--label", "demo").code == 1
    assert cli("key", "create", "--rpm", "0").code == 2
    assert cli("key", "revoke", "x", "--json").json["id"] == key["id"]
    assert next(f for f in cli("doctor", "--json").json["findings"] if f["what"] == "server")["level"] == "ok"
    stopped = cli("stop", "--json")
    assert stopped.json == {"stopped": True, "running": False, "pid": live.pid}
    assert live.wait(5) == 0
    # Without the server the same commands work on the same database.
    assert [k["status"] for k in cli("key", "list", "--json").json["keys"]] == ["revoked"]


def test_a_busy_port_is_one_line_and_exit_1(omni_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert str(port) in err


def test_open_prints_the_address_where_no_browser_is(cli: Cli, omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    omni_home.mkdir()
    said = {"pid": os.getpid(), "url": "http://127.0.0.1:5", "base_url": "http://localhost:5", "started_at": 1}
    (omni_home / "server.json").write_text(json.dumps(said))
    for variable in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(variable, raising=False)
    assert cli("open").out == "http://localhost:5\n"


def test_an_incomplete_installation_is_said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni_connector.root.ROOT", tmp_path)
    result = cli()
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "app.py" in result.err


def test_doctor_before_and_after_the_first_start(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMNI_PORT", "0")  # the usual port may be taken on this machine
    before = cli("doctor", "--json")
    assert (before.code, before.json["ok"]) == (1, False)
    cli("--init-only")
    cli("backend", "add", "demo")
    cli("key", "create")
    after = cli("doctor")
    assert (after.code, "✗" in after.out) == (0, False)
    assert "accounts: 1 connected, all ready." in after.out
