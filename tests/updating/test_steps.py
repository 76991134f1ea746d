"""The order of things, with a server and a trial that do what the test says; the real ones are in tests/live/test_update.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from omni_connector import restoring
from omni_connector.store import files
from omni_connector.updating import journal, process, steps, trial
from omni_connector.updating.journal import Entry
from omni_connector.updating.releases import UpdateError
from tests.updating.conftest import Home

Json = dict[str, Any]


class Stage:
    """What was told, and how trial and server behave."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.env = {"OMNI_HOME": str(home.path)}
        self.told: list[str] = []
        self.trial: Callable[[], Json] = lambda: {"schema": "0002", "accounts": 1, "answer": "yes"}
        self.well = True
        self.started: list[str] = []

    def update(self, name: str = "") -> Json:
        return steps.update(self.home.path, self.env, self.told.append, name=name)

    def rollback(self, agreed: bool = True) -> Json:
        return steps.rollback(self.home.path, self.env, self.told.append, lambda _: agreed)

    def linked(self) -> tuple[str, str]:
        return tuple(os.readlink(self.home.path / link).removeprefix("releases/") for link in ("current", "previous"))  # type: ignore[return-value]


@pytest.fixture
def stage(home: Home, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(home)
    home.release("1.0", "0001")
    home.release("2.0", "0001", "0002")
    home.link("current", "1.0")
    home.database("0001", requests=2)
    monkeypatch.setattr(trial, "run", lambda *_: made.trial())
    monkeypatch.setattr(process, "bring", lambda _home, release, *_: made.started.append(release.name) or made.well)
    monkeypatch.setattr(process, "start", lambda _home, release, *_: made.started.append(release.name) or True)
    monkeypatch.setattr(process, "serves", lambda *_: False)
    return made


def serving(monkeypatch: pytest.MonkeyPatch) -> None:
    server = process.Server(os.getpid(), "http://127.0.0.1:1", "", 0, True, False, ("serve",))
    monkeypatch.setattr(process, "running", lambda _: server)
    monkeypatch.setattr(process, "end", lambda _: None)


def test_an_update_is_tried_then_switched_to(stage: Stage) -> None:
    told = stage.update("2.0")
    assert (told["updated"], told["before"], told["version"], told["restarted"]) == (True, "1.0", "2.0", False)
    assert stage.linked() == ("2.0", "1.0")
    assert [line[:5] for line in stage.told if line.startswith("[")] == [f"[{number}/5]" for number in range(1, 6)]
    (copy,) = (stage.home.path / "backups").iterdir()
    assert str(copy) == told["copy"] and files.revision(copy) == "0001"
    assert not stage.started and journal.read(stage.home.path) is None
    assert stage.update("2.0")["updated"] is False


def test_one_that_fails_its_trial_leaves_nothing(stage: Stage) -> None:
    def fails() -> Json:
        raise UpdateError("It says no.")

    stage.trial = fails
    with pytest.raises(UpdateError, match="says no"):
        stage.update("2.0")
    assert os.readlink(stage.home.path / "current") == "releases/1.0" and not (stage.home.path / "previous").exists()
    assert not (stage.home.path / "releases/2.0").exists() and not list((stage.home.path / "backups").iterdir())


def test_one_that_does_not_serve_is_taken_back_with_its_database(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    serving(monkeypatch)
    stage.well = False
    real = journal.write

    def migrated(home: Any, entry: Entry) -> None:
        if entry.step == "back":  # what the new release did before it ended
            files.before_migration(stage.home.path / "omni.db", stage.home.path / "backups", "0001")
            (stage.home.path / "omni.db").unlink()
            stage.home.database("0002", requests=2)
        real(home, entry)

    monkeypatch.setattr(journal, "write", migrated)
    with pytest.raises(UpdateError, match=r"1\.0 serves again"):
        stage.update("2.0")
    assert stage.started == ["2.0", "1.0"]
    assert os.readlink(stage.home.path / "current") == "releases/1.0" and not (stage.home.path / "previous").exists()
    assert (stage.home.path / restoring.NOTE).exists()
    restoring.finish(stage.home.path)
    assert files.revision(stage.home.path / "omni.db") == "0001"
    assert journal.read(stage.home.path) is None


@pytest.mark.parametrize("step", ["switch", "restart"])
def test_what_was_decided_is_finished_by_the_next_run(stage: Stage, step: Any) -> None:
    journal.write(stage.home.path, Entry("update", step, "1.0", "2.0", running=True))
    if step == "restart":
        (stage.home.path / "current").unlink()
        stage.home.link("current", "2.0")
        stage.home.link("previous", "1.0")
    told = stage.update()
    assert told["version"] == "2.0" and stage.linked() == ("2.0", "1.0") and stage.started == ["2.0"]
    assert "begun and not finished" in stage.told[0]


def test_back_where_the_schema_stayed_loses_nothing(stage: Stage) -> None:
    stage.home.link("previous", "2.0")
    assert stage.rollback(agreed=False)["version"] == "2.0"
    assert stage.linked() == ("2.0", "1.0")
    assert not (stage.home.path / restoring.NOTE).exists()


def test_back_where_the_schema_moved_is_asked(stage: Stage) -> None:
    copy = files.before_migration(stage.home.path / "omni.db", stage.home.path / "backups", "0001")
    (stage.home.path / "omni.db").unlink()
    stage.home.database("0002", requests=5)
    (stage.home.path / "current").unlink()
    stage.home.link("current", "2.0")
    with pytest.raises(UpdateError, match="no release before"):
        stage.rollback()
    stage.home.link("previous", "1.0")
    with pytest.raises(UpdateError, match="Nothing was changed"):
        stage.rollback(agreed=False)
    assert stage.linked() == ("2.0", "1.0")
    told = stage.rollback()
    assert told["lost"] == {"accounts": 0, "keys": 0, "requests": 3} and stage.linked() == ("1.0", "2.0")
    restoring.finish(stage.home.path)
    assert files.revision(stage.home.path / "omni.db") == "0001"
    (kept,) = (stage.home.path / "backups").glob("before-restore-*/omni.db")
    assert files.revision(kept) == "0002"
    copy.unlink()


def test_a_database_that_the_release_does_not_know_is_not_tried(stage: Stage) -> None:
    stage.home.release("0.9", "0000")
    with pytest.raises(UpdateError, match="rollback"):
        stage.update("0.9")


def test_where_releases_come_from(stage: Stage) -> None:
    present = steps.releases.present(stage.home.path)
    assert steps.default_source(present, {}) == ""
    assert steps.default_source(present, {"OMNI_ARCHIVE_URL": "https://x.invalid/a.tgz"}) == "https://x.invalid/a.tgz"
    (present.path / "install.sh").write_text('ARCHIVE_URL="${OMNI_ARCHIVE_URL:-${ARCHIVE_URL:-https://y.invalid/b.tgz}}"\n')
    assert steps.default_source(present, {}) == "https://y.invalid/b.tgz"
    for call in (stage.update, lambda: steps.check(stage.home.path, {})):
        (present.path / "install.sh").write_text("")
        with pytest.raises(UpdateError, match="OMNI_ARCHIVE_URL"):
            call()


def test_install_sh_and_we_read_the_address_alike() -> None:  # the line that a publisher fills in
    from omni_connector.root import ROOT

    assert steps._DEFAULT.search((ROOT / "install.sh").read_text())
