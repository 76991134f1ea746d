from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from omni_connector.updating import releases
from omni_connector.updating.releases import UpdateError
from tests.updating.conftest import Home


def test_a_release_knows_its_schema(home: Home) -> None:
    found = home.release("1.0", "0001", "0002")
    assert (found.version, found.schema) == ("1.0", "0002")
    assert found.reads("0001") and found.reads(None) and not found.reads("0003")


def test_links_lead_to_releases_only(home: Home) -> None:
    found = home.release("1.0", "0001")
    assert releases.linked(home.path, "current") is None
    with pytest.raises(UpdateError, match="install"):
        releases.present(home.path)
    releases.point(home.path, "current", "1.0")
    releases.point(home.path, "current", "1.0")
    assert releases.present(home.path) == found and os.readlink(home.path / "current") == "releases/1.0"
    (home.path / "previous").symlink_to("/usr")
    assert releases.linked(home.path, "previous") is None
    for name in ("2.0", "../1.0", "."):
        with pytest.raises(UpdateError, match="no release"):
            releases.named(home.path, name)


def test_what_is_linked_is_never_removed(home: Home) -> None:
    for age, name in enumerate(("1", "2", "3", "4", "5")):
        note = home.release(name, "0001").path / ".omni-release"
        os.utime(note, (age, age))
    home.link("current", "1")
    home.link("previous", "3")
    assert releases.prune(home.path, keep=["2"], most=1) == ["4"]
    releases.remove(home.path, "1")
    releases.remove(home.path, "5")
    assert {path.name for path in (home.path / "releases").iterdir()} == {"1", "2", "3"}


def test_a_program_belongs_to_a_release(home: Home) -> None:
    one, two = home.release("1.0", "0001"), home.release("1.0.1", "0001")
    home.link("current", "1.0")
    assert releases.is_inside(home.path / "current", one) and releases.is_inside(one.path / "app.py", one)
    assert not releases.is_inside(two.path, one) and not releases.is_inside("", one)


def test_a_release_that_still_writes_is_removed_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.release("2.0", "0001").path
    rmtree, times = shutil.rmtree, []

    def meanwhile(folder: Path, **given: Any) -> None:
        rmtree(folder, **given)
        times.append(folder)
        if len(times) == 1:  # a program of the release compiles a module as its folder goes
            (folder / "__pycache__").mkdir(parents=True)

    monkeypatch.setattr(releases.shutil, "rmtree", meanwhile)
    releases.remove(home.path, "2.0")
    assert not path.exists() and times == [path, path]
