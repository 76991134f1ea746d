"""The file of a backup: what goes in comes out, and nothing half-written is ever left."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from omni_connector import backup, sealing
from omni_connector.errors import GatewayError, Kind

WORDS = "correct horse"
KEY = "k1:" + "A" * 43 + "=\n"


@pytest.fixture
def database(migrated_home: Path) -> Path:
    return migrated_home / "omni.db"


@pytest.fixture
def sealed(database: Path, tmp_path: Path) -> Path:
    backup.write(tmp_path / "b", database, KEY, WORDS, 5)
    return tmp_path / "b"


def test_there_and_back(sealed: Path, database: Path, tmp_path: Path) -> None:  # P-61
    facts = backup.read(sealed, WORDS, tmp_path / "out.db")
    assert (facts["made_at"], facts["master_keys"]) == (5, KEY)
    assert (tmp_path / "out.db").read_bytes() == database.read_bytes()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (sealed, tmp_path / "out.db")} == {0o600}
    assert b"AAAAAAA" not in sealed.read_bytes()
    assert b"SQLite" not in sealed.read_bytes()


@pytest.mark.parametrize("keep", [0, 50, 500, -17, -1])
def test_a_truncated_file_leaves_nothing(sealed: Path, tmp_path: Path, keep: int) -> None:
    sealed.write_bytes(sealed.read_bytes()[:keep])
    with pytest.raises(GatewayError) as caught:
        backup.read(sealed, WORDS, tmp_path / "out.db")
    assert caught.value.kind is Kind.BAD_REQUEST
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_file(sealed: Path, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    before = sealed.read_bytes()

    def full(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sealing, "seal_stream", lambda *_: map(full, [1])) if call == "write" else monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GatewayError, match="No space left"):
        backup.write(sealed, database, KEY, WORDS, 6)
    assert sealed.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_moving_replaces_a_name_and_not_what_it_points_at(sealed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    backup.move(sealed, tmp_path / "link")
    assert ((tmp_path / "mine").read_text(), (tmp_path / "link").is_symlink(), sealed.exists()) == ("mine", False, False)
    with pytest.raises(GatewayError, match="gone"):
        backup.move(sealed, tmp_path / "link")


def test_the_ring_and_what_is_swept(tmp_path: Path) -> None:
    for name in ("omni-9.db", "omni-10.db", "omni-x.db", "passing-1.db", ".passing-2.part", "omni-8.db.part", "mine.backup"):
        (tmp_path / name).touch()
    assert [(path.name, made) for path, made in backup.copies(tmp_path)] == [("omni-10.db", 10), ("omni-9.db", 9)]
    backup.sweep(tmp_path, time.time())
    assert len(list(tmp_path.iterdir())) == 7
    backup.sweep(tmp_path, time.time() + 2 * backup.STALE_S)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.backup", "omni-10.db", "omni-9.db", "omni-x.db"]


def test_room_is_looked_for_first(tmp_path: Path) -> None:
    backup.free_for(tmp_path, 1)
    with pytest.raises(GatewayError, match="Free some space"):
        backup.free_for(tmp_path, 1 << 60)


def test_small_files_go_along_and_nothing_else_does(sealed: Path, database: Path, tmp_path: Path) -> None:  # P-61
    home = tmp_path / "home"
    (home / "logs").mkdir(parents=True)
    for name in (".env", "admin.key", "server.json", "mine.toml", "logs/x.log"):
        (home / name).write_text(name)
    assert backup.home_files(home) == {".env": b".env", "admin.key": b"admin.key"}
    assert set(backup.home_files(home, str(home / "mine.toml"))) == {".env", "admin.key", "mine.toml"}
    assert set(backup.home_files(home, "/etc/hosts.toml")) == {".env", "admin.key"}
    backup.write(sealed, database, KEY, WORDS, 5, backup.home_files(home))
    assert backup.files_of(backup.look(sealed, WORDS)) == backup.home_files(home)
    hostile = dict.fromkeys(("../x", "a/b.toml", "omni.db", "master.key", "server.json", ".toml", ""), "eA==")
    assert backup.files_of({"files": {**hostile, ".env": "eA=="}}) == {".env": b"x"}
    for wrong in ({"files": {".env": "?"}}, {"files": {".env": 5}}, {"files": [1]}):
        with pytest.raises(GatewayError, match="damaged"):
            backup.files_of(wrong)
    (home / ".env").write_bytes(b"x" * (backup.FILE_BYTES + 1))
    with pytest.raises(GatewayError, match="larger than"):
        backup.home_files(home)
    (home / ".env").unlink()
    (home / ".env").mkdir()
    with pytest.raises(GatewayError, match="cannot be read"):
        backup.home_files(home)
