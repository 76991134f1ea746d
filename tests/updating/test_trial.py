from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from omni_connector.root import ROOT
from omni_connector.updating import trial
from omni_connector.updating.releases import Release, UpdateError
from tests.updating.conftest import Home

REAL = f'#!/bin/sh\nexport PYTHONPATH={ROOT}\nexec {sys.executable} -m omni_connector "$@"\n'


def test_the_real_program_passes(home: Home, migrated_home: Path) -> None:
    shutil.copytree(migrated_home, home.path, dirs_exist_ok=True)
    (home.path / ".env").write_text("OMNI_DRAIN_S=7\nOMNI_PORT=1\n")
    before = (home.path / "omni.db").read_bytes()
    told = trial.run(home.path, home.release("9.0", "0001", launcher=REAL), home.path / "omni.db", os.environ)
    assert told["accounts"] == 0 and told["answer"]
    assert (home.path / "omni.db").read_bytes() == before
    assert not (home.path / trial.FOLDER).exists()


def test_old_settings_that_are_not_taken_any_more_are_seen(home: Home, migrated_home: Path) -> None:
    shutil.copytree(migrated_home, home.path, dirs_exist_ok=True)
    (home.path / ".env").write_text("OMNI_DRAIN_S=soon\n")
    with pytest.raises(UpdateError, match="OMNI_DRAIN_S"):
        trial.run(home.path, home.release("9.0", "0001", launcher=REAL), home.path / "omni.db", os.environ)
    assert not (home.path / trial.FOLDER).exists()


def test_nothing_real_is_within_its_reach(tmp_path: Path) -> None:
    env = {
        "OMNI_PORT": "1",
        "OMNI_DATABASE_URL": "postgresql://x",
        "OPENAI_API_KEY": "sk",
        "PATH": "/bin",
        "OMNI_DRAIN_S": "7",
        "HTTPS_PROXY": "x",
    }
    found = trial.environment(tmp_path, env)
    assert found == {
        "PATH": "/bin",
        "OMNI_DRAIN_S": "7",
        "HOME": str(tmp_path),
        "OMNI_HOME": str(tmp_path),
        "OMNI_DATABASE_URL": f"sqlite:///{tmp_path / 'omni.db'}",
    }


def test_a_killed_updater_leaves_no_server_and_no_copy(home: Home) -> None:
    """The trial runs in a process of its own here, and that is killed."""
    release: Release = home.release("9.0", "0001", launcher='#!/bin/sh\necho $$ >"$OMNI_HOME/pid"\nexec sleep 60\n')
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pathlib import Path\nfrom omni_connector.updating import releases, trial\n"
        f"home = Path({str(home.path)!r})\ntrial.run(home, releases.named(home, {release.name!r}), None, {{'PATH': '/usr/bin:/bin'}})"
    )
    updater = subprocess.Popen([sys.executable, "-c", code])
    folder, until = home.path / trial.FOLDER, time.monotonic() + 30
    while time.monotonic() < until and not ((folder / "pid").exists() and (folder / "pid").read_text().strip()):
        time.sleep(0.05)
    server = int((folder / "pid").read_text())
    updater.send_signal(signal.SIGKILL)
    updater.wait()
    while time.monotonic() < until and folder.exists():
        time.sleep(0.05)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
