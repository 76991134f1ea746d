from __future__ import annotations

import hashlib
import tarfile
import zipfile
from pathlib import Path

import pytest

from omni_connector.updating import offer
from omni_connector.updating.releases import UpdateError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "omni-connector-3.0"
    (root / "omni_connector").mkdir(parents=True)
    (root / "migrations/versions").mkdir(parents=True)
    (root / "omni_connector/__init__.py").write_text('__version__ = "3.0"\n')
    (root / "migrations/versions/0001.py").write_text('revision = "0001"\ndown_revision = None\n')
    return root


def packed(tree: Path, ending: str) -> Path:
    target = tree.with_suffix(ending)
    if ending == ".zip":
        with zipfile.ZipFile(target, "w") as bundle:
            for path in tree.rglob("*.py"):
                bundle.write(path, path.relative_to(tree.parent))
    else:
        with tarfile.open(target, "w:gz") as archive:
            archive.add(tree, tree.name)
    return target


def test_every_kind_of_source_is_looked_into(tree: Path) -> None:
    for source in (str(tree), str(packed(tree, ".zip")), str(packed(tree, ".tgz")), packed(tree, ".tgz").as_uri()):
        assert offer.look(source) == ("3.0", "0001")


def test_another_archive_than_the_expected_one_is_refused(tree: Path) -> None:
    archive = packed(tree, ".tgz")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert offer.look(str(archive), digest.upper()) == ("3.0", "0001")
    with pytest.raises(UpdateError, match=digest):
        offer.look(str(archive), "0" * 64)
    archive.with_name(f"{archive.name}.sha256").write_text(f"{'1' * 64}  {archive.name}\n")
    for source in (str(archive), archive.as_uri()):
        with pytest.raises(UpdateError, match="1111"):
            offer.look(source)


def test_what_is_no_release_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "x.tgz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    for source, words in (("x.tgz", "no archive"), ("gone.tgz", "does not exist"), ("empty", "no release")):
        with pytest.raises(UpdateError, match=words):
            offer.look(str(tmp_path / source))
    with pytest.raises(UpdateError, match="cannot be fetched"):
        offer.look((tmp_path / "gone").as_uri())
