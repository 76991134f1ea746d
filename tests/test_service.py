from __future__ import annotations

import plistlib
import shutil
import subprocess
from pathlib import Path

import pytest

from omni_connector import service

HOME = Path("/home/o'mni user/.omni-connector")
LAUNCHER = HOME / "current/bin/omni-connector"
UNIT = """\
[Unit]
Description=omni-connector: one key for every AI account you own
StartLimitIntervalSec=300
StartLimitBurst=30

[Service]
Type=notify
NotifyAccess=main
ExecStart="/home/o'mni user/.omni-connector/current/bin/omni-connector" serve
ExecReload=/bin/kill -USR2 $MAINPID
Environment="OMNI_HOME=/home/o'mni user/.omni-connector"
Environment="PATH=/usr/bin:/odd %%h/\\"x\\"/$y"
Restart=always
RestartSec=1
WatchdogSec=60
TimeoutStartSec=600
TimeoutStopSec=45
KillMode=mixed
UMask=0077

[Install]
WantedBy=default.target
"""


def variables() -> dict[str, str]:
    return service.environment(
        HOME, {"PATH": '/usr/bin:/odd %h/"x"/$y', "OPENAI_API_KEY": "sk-1", "OMNI_DATABASE_URL": "postgresql://u:p@h/d"}
    )


def test_the_unit() -> None:
    assert service.systemd_unit(LAUNCHER, variables()) == UNIT
    with pytest.raises(ValueError, match="control"):
        service.systemd_unit(Path("/a\nExecStartPre=/bin/false"), {})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_it(tmp_path: Path) -> None:
    launcher = tmp_path / 'o\'mni "$x" %h' / "omni-connector"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\n")
    launcher.chmod(0o755)
    unit = tmp_path / "omni-connector.service"
    unit.write_text(service.systemd_unit(launcher, variables()))
    done = subprocess.run(["systemd-analyze", "--user", "--man=no", "verify", unit], capture_output=True, text=True, check=False)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert not complaints


def test_the_agent() -> None:
    text = service.launchd_agent("omni-connector", LAUNCHER, variables(), HOME / "logs/server.log")
    said = plistlib.loads(text.encode())
    assert said["ProgramArguments"] == [str(LAUNCHER), "serve"]
    assert said["KeepAlive"] is True and said["RunAtLoad"] is True
    assert said["EnvironmentVariables"]["OMNI_SERVICE"] == "launchd" and "OPENAI_API_KEY" not in text and "u:p" not in text


def test_each_home_has_a_service_of_its_own() -> None:
    assert service.unit_name(HOME, HOME) == "omni-connector"
    other = service.unit_name(Path("/srv/omni"), HOME)
    assert other != service.unit_name(Path("/srv/omni2"), HOME) and other.startswith("omni-connector-")


def test_without_a_manager_there_are_other_ways() -> None:
    ways = dict(service.alternatives(LAUNCHER, HOME))
    assert "@reboot" in ways["after every boot, with cron"]
    assert f'nohup "{LAUNCHER}" serve >>"{HOME}/logs/server.log"' in ways["now, in the background"]
