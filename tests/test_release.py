from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from omni_connector import release


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "checkout"
    for name, text in {
        "install.sh": 'RELEASE_PARTS="app.py omni_connector install.sh"\n',
        "app.py": "",
        "omni_connector/__init__.py": '__version__ = "1.2.3"\n',
        "omni_connector/__pycache__/x.pyc": "",
        ".gitignore": "__pycache__\n",
        "tests/test_it.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "install.sh").chmod(0o755)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "x")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "x@example.invalid")
        monkeypatch.setenv(f"GIT_{name}_DATE", "2026-01-02T03:04:05Z")
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def test_the_same_commit_gives_the_same_bytes(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = release.build(checkout, release.listed(checkout, False), "1.2.3", release.moment(checkout))
    for path in checkout.rglob("*.py"):
        os.utime(path, (1, 1))
    again = release.build(checkout, reversed(release.listed(checkout, False)), "1.2.3", release.moment(checkout))
    assert first == again
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        entries = {entry.name: entry for entry in archive}
    assert set(entries) == {f"omni-connector-1.2.3/{name}" for name in ("app.py", "install.sh", "omni_connector/__init__.py")}
    assert {(entry.mtime, entry.uid, entry.gname) for entry in entries.values()} == {(1767323045, 0, "")}
    assert entries["omni-connector-1.2.3/install.sh"].mode == 0o755
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "5")
    assert release.moment(checkout) == 5


def test_archive_and_checksum_are_written(checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "app.py").write_text("changed = True\n")
    assert release.main([str(tmp_path / "out")], checkout) == 1
    assert "app.py" in capsys.readouterr().err
    assert release.main([str(tmp_path / "out"), "--dirty"], checkout) == 0
    assert subprocess.run("sha256sum -c *.sha256", shell=True, cwd=tmp_path / "out", check=True, capture_output=True)


def test_a_wrong_place_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert release.main([], tmp_path) == 2
    (tmp_path / "install.sh").write_text("")
    assert release.main(["out"], tmp_path) == 1
    assert "RELEASE_PARTS" in capsys.readouterr().err
