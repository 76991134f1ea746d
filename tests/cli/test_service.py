"""With a systemctl and a loginctl of our own, which write down what they are asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log, tools = tmp_path / "asked", tmp_path / "tools"
    tools.mkdir()
    for name, says in (("systemctl", "active"), ("loginctl", "Linger=no")):
        (tools / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{log}"\necho {says}\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("USER", "somebody")
    return log


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


def test_a_whole_life(cli: Cli, asked: Path, tmp_path: Path, omni_home: Path) -> None:
    assert cli("service", "status").code == 3
    assert "[Service]" in cli("service", "install", "--print").out
    told = cli("service", "install", "--json").json
    unit = Path(told["file"])
    assert unit.parent == tmp_path / "config/systemd/user" and f'Environment="OMNI_HOME={omni_home}"' in unit.read_text()
    assert told["linger"] == "loginctl enable-linger somebody"
    lines = [line for line in asked.read_text().splitlines() if "show" not in line]
    assert lines == [f"systemctl --user {words}" for words in ("daemon-reload", f"enable {told['name']}", f"restart {told['name']}")]
    status = cli("service", "status")
    assert status.code == 0 and "active" in status.out and "enable-linger" in status.err
    assert cli("service", "uninstall").code == 0 and not unit.exists()
    assert f"systemctl --user disable --now {told['name']}" in asked.read_text()
    assert cli("service", "uninstall", "--json").json["removed"] is False


def test_without_a_manager_other_ways_are_named(cli: Cli, asked: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tools/systemctl").write_text("#!/bin/sh\nexit 1\n")
    done = cli("service", "install")
    assert done.code == 1 and "container" in done.out and "@reboot" in done.out and "/etc/wsl.conf" in done.out
    assert len(cli("service", "install", "--json").json["alternatives"]) == 4


def test_what_systemd_refuses_is_passed_on(cli: Cli, asked: Path, tmp_path: Path) -> None:
    (tmp_path / "tools/systemctl").write_text('#!/bin/sh\n[ "$2" = show ] || { echo "no room" >&2; exit 1; }\n')
    done = cli("service", "install")
    assert done.code == 1 and "no room" in done.err and len(done.err.splitlines()) == 1
