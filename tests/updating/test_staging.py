from __future__ import annotations

import pytest

from omni_connector.updating import staging
from omni_connector.updating.releases import UpdateError
from tests.updating.conftest import Home

ENV = {"PATH": "/usr/bin:/bin"}


def test_install_sh_is_asked_and_its_words_are_passed_on(home: Home) -> None:
    present, new = home.release("1.0", "0001"), home.release("2.0", "0001")
    (present.path / "install.sh").write_text('echo "[1/6] $*"; echo "$OMNI_HOME"; echo "prepared: 2.0"\n')
    told: list[str] = []
    assert staging.prepare(home.path, present, "/x.tgz", "ab", ENV, told.append) == new
    assert told == ["      [1/6] --prepare --from /x.tgz --sha256 ab", f"      {home.path}"]


def test_why_it_failed_is_told(home: Home) -> None:
    present = home.release("1.0", "0001")
    (present.path / "install.sh").write_text('echo "install.sh: the disk is full"; echo more; exit 1\n')
    with pytest.raises(UpdateError, match="the disk is full"):
        staging.prepare(home.path, present, "", "", ENV, lambda _: None)
    (present.path / "install.sh").write_text("echo nothing\n")
    with pytest.raises(UpdateError, match="nothing"):
        staging.prepare(home.path, present, "", "", ENV, lambda _: None)
