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
    until = time.monotonic() + 60
    while running(omni_home) is None and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    assert running(omni_home) is not None, process.communicate(timeout=5)
    yield process
    process.kill()
    process.communicate()


def test_without_a_server(cli: Cli) -> None:  # P-11
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
    assert live.wait(30) == 0
    # Without the server the same commands work on the same database.
    assert [k["status"] for k in cli("key", "list", "--json").json["keys"]] == ["revoked"]


THERE_AND_BACK: tuple[tuple[str, ...], ...] = (
    ("backend", "add", "demo", "--label", "one"), ("backend", "list"), ("backend", "show", "one"),
    ("backend", "edit", "one", "--weight", "2"),
    ("backend", "models", "one", "--set", "demo-chat"), ("backend", "disable", "one"), ("backend", "enable", "one"),
    ("backend", "test", "one"),
    ("backend", "clear-cooldown", "one"), ("backend", "probe", "one"), ("backend", "refresh", "one"), ("provider", "list"),
    ("provider", "disable", "demo"), ("provider", "enable", "demo"), ("provider", "show", "demo"), ("key", "create", "--name", "k"),
    ("key", "list"), ("key", "show", "k"), ("key", "edit", "k", "--rpm", "3"), ("key", "rotate", "k"), ("key", "revoke", "k"),
    ("config", "list"), ("config", "get", "strategy"), ("config", "strategy", "cost"), ("config", "set", "strategy", "default"),
    ("config", "default-model", "auto"), ("config", "alias", "fast", "demo"), ("config", "alias", "fast", "--remove"), ("config", "reload"),
    ("chain", "set", "safe", "one"), ("chain", "list"), ("explain", "safe"), ("chain", "remove", "safe"),
    ("limit", "set", "model", "gpt-x", "--rpm", "3"), ("limit", "list"), ("limit", "remove", "model", "gpt-x"),
    ("price", "set", "gpt-x", "--input", "1", "--output", "2"), ("price", "list"), ("price", "remove", "gpt-x"),
    ("alerts", "add", "webhook", "--url", "https://alerts.example/x", "--name", "w"), ("alerts", "edit", "w", "--off"), ("alerts", "list"),
    ("alerts", "remove", "w"), ("models",), ("usage",), ("quota",), ("jobs", "list"), ("jobs", "cancel", "snapshot"),
    ("jobs", "run", "snapshot"),
    ("files", "list"), ("files", "show", "server.json"), ("logs", "--requests"), ("backend", "remove", "one"),
)  # fmt: skip
"""Management commands, in an order that ends where it began."""


def test_every_command_works_with_and_without_a_server(cli: Cli, live: subprocess.Popen[str], omni_home: Path) -> None:
    """The same answers in the same form, whoever carries them out."""

    def told() -> dict[tuple[str, ...], tuple[int, list[str]]]:
        results = {argv: cli(*argv, "--json") for argv in THERE_AND_BACK}
        return {argv: (found.code, sorted(found.json)) for argv, found in results.items()}

    through = told()
    assert {argv for argv, (code, _) in through.items() if code} <= {("backend", "test", "one")}
    note = (omni_home / "server.json").read_text()
    assert cli("stop").code == 0
    (omni_home / "server.json").write_text(note)  # as a killed server leaves it
    assert told() == through


@pytest.mark.parametrize(
    "argv", [("chain",), ("backend", "add"), ("alerts", "add"), ("backend", "login"), ("backend", "add", "groq"), ("restore",)]
)
def test_nobody_is_asked_where_nobody_can_answer(cli: Cli, argv: tuple[str, ...]) -> None:
    result = cli(*argv)
    assert result.code in (1, 2) and result.err.count("\n") == 1, result


def test_a_busy_port_is_one_line_and_exit_1(omni_home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start("--port", str(port))
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert str(port) in err


def test_open_prints_the_address_where_no_browser_is(cli: Cli, omni_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # P-11
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
